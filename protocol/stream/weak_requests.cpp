#include "protocol/stream/weak_requests.hpp"

#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"
#include "protocol/session/session_vector.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <tuple>

namespace troupe {

namespace {

/// How often the time between two attempts doubles.
constexpr std::uint32_t doublings_max = 4;

nanoseconds spaced(milliseconds first, std::uint32_t tries) {
  return nanoseconds{first} * (std::int64_t{1} << std::min(tries, doublings_max));
}

errc code_of(const v1::Result& result) {
  return result.error() > 255 ? static_cast<errc>(255) : static_cast<errc>(result.error());
}

v1::WeakAnswer failure(errc code) {
  v1::WeakAnswer a;
  a.mutable_result()->set_error(static_cast<std::uint32_t>(code));
  return a;
}

/// Of this node only, and for now: another one, or the same a moment later, may well do it.
bool passes(errc code) {
  return code == errc::not_joined || code == errc::shutting_down || code == errc::unavailable
         || code == errc::clock_ahead;
}

/// A replica that has this trouble with a read says nothing about the others.
bool may_be_read_elsewhere(errc code) {
  switch (code) {
  case errc::dependency_timeout:
  case errc::too_stale:
  case errc::overloaded:
  case errc::expired:
  case errc::corrupt:
  case errc::storage_failed:
  case errc::timeout:
  case errc::internal:
    return true;
  default:
    return passes(code);
  }
}

} // namespace

// -- beginning and end
// ------------------------------------------------------------------------------------------------

void weak_requests::submit(v1::WeakOperation operation, instant deadline, instant now, effects& out) {
  const auto id = from_wire(operation.id());
  const bool resumed = is_write(operation) && operation.executor() != 0;
  auto refuse = [&](errc code) {
    // Asking again changes nothing about what may have happened before.
    settled s{id, failure(resumed ? errc::timeout : code), {}};
    s.answer.set_level(operation.level());
    *s.answer.mutable_id() = operation.id();
    if (resumed) s.unsettled = std::move(operation);
    ++(resumed ? counters_.unknown : counters_.not_done);
    out.emplace_back(std::move(s));
  };
  if (operation.shard() >= options_.replica_sets.size()) return refuse(errc::invalid_argument);
  if (calls_.contains(id) || renamed_.contains(id)) return refuse(errc::invalid_argument);
  const auto bytes = operation.ByteSizeLong();
  if (calls_.size() >= options_.operations_max) return refuse(errc::overloaded);
  if (!calls_.empty() && bytes_ + bytes > options_.operations_bytes_max) return refuse(errc::overloaded);
  if (now >= deadline) return refuse(errc::expired);
  call c;
  c.resumed = resumed;
  if (resumed) {
    c.earlier = operation.attempt();
    c.open.emplace(c.earlier, node_id{operation.executor()});
  } else {
    operation.set_attempt(0);
    operation.set_executor(0);
    operation.set_executor_life(0);
  }
  c.operation = std::move(operation);
  c.bytes = bytes;
  c.deadline = c.next = deadline;
  bytes_ += bytes;
  const auto i = calls_.emplace(id, std::move(c)).first;
  by_time_.emplace(deadline, id);
  proceed(i, now, out);
}

void weak_requests::finish(call_map::iterator i, v1::WeakAnswer answer, effects& out) {
  auto& c = i->second;
  const auto code = code_of(answer.result());
  const bool unknown = code != errc::none && outcome_of(code) == outcome::unknown;
  ++(code == errc::none ? counters_.done : unknown ? counters_.unknown : counters_.not_done);
  if (answer.waited_us() != 0) ++counters_.waits;
  counters_.waited_us += answer.waited_us();
  renamed_.erase(from_wire(c.operation.id()));
  settled s{i->first, std::move(answer), {}};
  to_wire(i->first, *s.answer.mutable_id());
  s.answer.set_level(c.operation.level());
  // With `written` known the order of the session's writes is, too: nothing is left to ask for.
  if (unknown && is_write(c.operation) && s.answer.written().seq() == 0) {
    out.emplace_back(
        note{"weak.unknown", "id=" + to_string(i->first) + " executor=" + std::to_string(c.operation.executor())});
    s.unsettled = std::move(c.operation);
  }
  out.emplace_back(std::move(s));
  by_time_.erase({c.next, i->first});
  bytes_ -= c.bytes;
  calls_.erase(i);
}

void weak_requests::finish(call_map::iterator i, errc code, effects& out) { finish(i, failure(code), out); }

/// The deadline has passed.
void weak_requests::give_up(call_map::iterator i, effects& out) {
  auto& c = i->second;
  const auto said = code_of(c.refusal.result());
  // What a read was refused for tells more than that it was too late.
  if (!is_write(c.operation) && said != errc::none) return finish(i, std::move(c.refusal), out);
  const auto code = c.open.empty() ? errc::unavailable : errc::timeout;
  if (said != errc::none && outcome_of(said) == outcome_of(code)) return finish(i, std::move(c.refusal), out);
  finish(i, code, out);
}

void weak_requests::cancel(request_id id, effects& out) {
  const auto i = calls_.find(id);
  if (i == calls_.end()) return; // settled before
  const bool harmless = i->second.open.empty() || !is_write(i->second.operation);
  finish(i, harmless ? errc::cancelled : errc::abandoned, out);
}

// -- whom to ask
// ------------------------------------------------------------------------------------------------------

bool weak_requests::reachable(node_id who) const { return who == options_.self || connected_.contains(who); }

std::uint64_t weak_requests::life_of(node_id who) const {
  const auto i = lives_.find(who);
  return i == lives_.end() ? 0 : i->second;
}

/// This node, else one of its region, else any: of those that can be talked to. Behind all of them who is not in the
/// view, or was asked to no avail. Value 0 = nobody can be talked to.
node_id weak_requests::choose(const call& c) const {
  using rank = std::tuple<bool, bool, bool, int, std::size_t>;
  std::optional<std::pair<rank, node_id>> best;
  const auto& set = options_.replica_sets[c.operation.shard()];
  for (std::size_t n = 0; n < set.size(); ++n) {
    const auto who = set[n];
    const bool joined = life_of(who) != 0;
    if (who == options_.self ? !joined : !connected_.contains(who)) continue;
    const int distance = who == options_.self ? 0 : options_.near.contains(who) ? 1 : 2;
    // Without the view, as on a client node, only those lives are known that have answered.
    const rank r{c.asked.contains(who), view_known_ && !joined, outs_.contains(who), distance, n};
    if (!best || r < best->first) best.emplace(r, who);
  }
  return best ? best->second : node_id{};
}

/// Makes the next attempt, of which there may be none for now.
void weak_requests::proceed(call_map::iterator i, instant now, effects& out) {
  auto& c = i->second;
  if (now >= c.deadline) return give_up(i, out);
  const bool writes = is_write(c.operation);
  if (writes && mutated(mutation::second_executor) && c.operation.attempt() != 0) {
    c.asked.insert(node_id{c.operation.executor()});
    c.operation.set_executor(choose(c).value);
  }
  if (writes && c.operation.executor() != 0) {
    const node_id executor{c.operation.executor()};
    return reachable(executor) ? attempt(i, executor, now, out) : park(i);
  }
  const auto to = choose(c);
  if (to.value == 0) return park(i);
  if (c.asked.contains(to)) c.asked.clear(); // all were: one more round
  if (writes) {
    c.operation.set_executor(to.value);
    c.operation.set_executor_life(life_of(to));
  } else {
    c.asked.insert(to);
  }
  attempt(i, to, now, out);
}

void weak_requests::attempt(call_map::iterator i, node_id to, instant now, effects& out) {
  auto& c = i->second;
  const bool writes = is_write(c.operation);
  c.parked = false;
  if (c.operation.attempt() != 0) {
    const bool elsewhere = c.open.empty() || c.open.rbegin()->second != to;
    ++(elsewhere && !writes ? counters_.forwards : counters_.retries);
  }
  // What a replica waits for in vain it has to say before the deadline.
  auto left = c.deadline - now;
  left -= std::min(left / 5, nanoseconds{options_.attempt});
  c.operation.set_budget_us(
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(left).count()));
  c.operation.set_attempt(c.operation.attempt() + 1);
  if (!writes) std::erase_if(c.open, [&](const auto& o) { return o.second == to; }); // the later one speaks for it
  c.open.emplace(c.operation.attempt(), to);
  send s{.to = to, .envelope = {}};
  *s.envelope.mutable_weak_operation() = c.operation;
  out.emplace_back(std::move(s));
  schedule(i, now + spaced(writes ? options_.attempt : options_.forward, c.tries));
  ++c.tries;
}

/// Nothing has happened, and never will, under the present id and executor. `why` = what the executor said.
void weak_requests::begin_again(call_map::iterator i, v1::WeakAnswer why, instant now, effects& out) {
  auto& c = i->second;
  // The caller of a resumed one was told *unknown* long ago: that it was not done is all that is left to learn.
  if (c.resumed || options_.restarts.value == 0 || now >= c.deadline) return finish(i, std::move(why), out);
  ++counters_.restarts;
  c.refusal = std::move(why);
  c.asked.insert(node_id{c.operation.executor()});
  renamed_.erase(from_wire(c.operation.id()));
  const request_id fresh{options_.restarts, ++restarted_};
  renamed_.emplace(fresh, i->first);
  out.emplace_back(note{"weak.restarted", "id=" + to_string(i->first) + " as=" + to_string(fresh)
                                              + " not_executed_by=" + std::to_string(c.operation.executor())});
  to_wire(fresh, *c.operation.mutable_id());
  c.operation.set_executor(0);
  c.operation.set_executor_life(0);
  c.operation.set_attempt(0);
  c.tries = 0;
  const auto other = choose(c);
  if (other.value != 0 && !c.asked.contains(other)) return proceed(i, now, out);
  schedule(i, now + nanoseconds{options_.pause});
}

// -- what comes back
// --------------------------------------------------------------------------------------------------

void weak_requests::receive(node_id from, const v1::WeakAnswer& answer, instant now, effects& out) {
  const auto id = from_wire(answer.id());
  const auto renamed = renamed_.find(id);
  const auto i = calls_.find(renamed == renamed_.end() ? id : renamed->second);
  if (i == calls_.end()) return; // settled before: a duplicate, or too late
  auto& c = i->second;
  if (id != from_wire(c.operation.id())) return; // under a former id: proven not to have been executed
  if (answer.attempt() == 0 || answer.attempt() > c.operation.attempt() || !was_asked(c, from, answer.attempt())) {
    out.emplace_back(note{"weak.ignored", "id=" + to_string(id) + " from=" + to_string(from)});
    return;
  }
  if (answer.life() != 0) lives_[from] = std::max(lives_[from], answer.life());
  if (is_write(c.operation))
    answered_write(i, answer, now, out);
  else
    answered_read(i, from, answer, now, out);
}

bool weak_requests::was_asked(const call& c, node_id who, std::uint32_t attempt) {
  if (is_write(c.operation)) return who.value == c.operation.executor();
  return std::any_of(c.open.begin(), c.open.end(),
                     [&](const auto& o) { return o.second == who && attempt <= o.first; });
}

/// That one attempt was not executed, and will not be.
void weak_requests::close(call& c, std::uint32_t attempt) {
  if (attempt != c.earlier) c.open.erase(attempt);
}

void weak_requests::answered_read(call_map::iterator i, node_id from, const v1::WeakAnswer& answer, instant now,
                                  effects& out) {
  auto& c = i->second;
  const auto code = code_of(answer.result());
  if (code == errc::none || !may_be_read_elsewhere(code)) return finish(i, answer, out);
  const auto asked = c.open.find(answer.attempt());
  if (asked == c.open.end() || asked->second != from) return; // it was asked again since, and will answer that
  c.open.erase(asked);
  // Of several reasons, the one that names whom everybody waits for.
  if (c.refusal.result().error() == 0 || code == errc::dependency_timeout) c.refusal = answer;
  const auto other = choose(c);
  if (other.value != 0 && !c.asked.contains(other)) return proceed(i, now, out);
  if (!c.open.empty()) return; // somebody may still do better
  if (!passes(code)) return finish(i, std::move(c.refusal), out);
  schedule(i, now + spaced(options_.pause, c.tries));
}

void weak_requests::answered_write(call_map::iterator i, const v1::WeakAnswer& answer, instant now, effects& out) {
  auto& c = i->second;
  const auto code = code_of(answer.result());
  if (!answer.executed_elsewhere()) {
    if (code == errc::none) return finish(i, answer, out);
    if (outcome_of(code) == outcome::unknown) {
      // Its executor goes on with it: a later attempt may still learn the outcome.
      if (code != errc::timeout || now >= c.deadline) return finish(i, answer, out);
      c.refusal = answer;
      if (c.operation.executor_life() == 0) c.operation.set_executor_life(answer.life());
      return;
    }
  }
  if (answer.executed_elsewhere())
    c.open.clear();
  else if (answer.settled())
    c.open.erase(c.open.begin(), c.open.upper_bound(answer.attempt()));
  else
    close(c, answer.attempt());
  if (!c.open.empty()) return; // another attempt may yet be executed, or was; it is asked for again in its time
  if (answer.executed_elsewhere()) return begin_again(i, failure(errc::unavailable), now, out);
  if (passes(code)) return begin_again(i, answer, now, out);
  finish(i, answer, out);
}

void weak_requests::unsent(node_id to, const v1::WeakOperation& sent, errc why, instant now, effects& out) {
  const auto id = from_wire(sent.id());
  const auto renamed = renamed_.find(id);
  const auto i = calls_.find(renamed == renamed_.end() ? id : renamed->second);
  if (i == calls_.end() || id != from_wire(i->second.operation.id())) return;
  auto& c = i->second;
  const auto attempt = c.open.find(sent.attempt());
  if (attempt == c.open.end() || attempt->second != to) return;
  close(c, sent.attempt());
  if (why != errc::none) {
    if (c.open.empty()) return finish(i, why, out);
    return schedule(i, c.deadline); // an answer to another one may still come
  }
  if (is_write(c.operation) && c.open.empty() && options_.restarts.value != 0)
    return begin_again(i, failure(errc::unavailable), now, out);
  schedule(i, now + nanoseconds{options_.pause});
}

// -- peers, the view, time
// --------------------------------------------------------------------------------------------

void weak_requests::peer(node_id who, bool connected, instant now, effects& out) {
  if (connected) {
    connected_.insert(who);
    return wake_parked(now, out);
  }
  connected_.erase(who);
  std::vector<request_id> hit;
  for (auto& [id, c] : calls_)
    if (is_write(c.operation) ? c.operation.executor() == who.value
                              : std::erase_if(c.open, [&](const auto& o) { return o.second == who; }) != 0)
      hit.push_back(id);
  for (const auto& id : hit)
    if (const auto i = calls_.find(id); i != calls_.end()) proceed(i, now, out);
}

void weak_requests::lives(std::map<node_id, std::uint64_t> lives, std::set<node_id> outs, instant now, effects& out) {
  lives_ = std::move(lives);
  outs_ = std::move(outs);
  view_known_ = true;
  wake_parked(now, out);
}

/// Until somebody can be asked who cannot be now.
void weak_requests::park(call_map::iterator i) {
  i->second.parked = true;
  schedule(i, i->second.deadline);
}

void weak_requests::wake_parked(instant now, effects& out) {
  std::vector<request_id> hit;
  for (const auto& [id, c] : calls_)
    if (c.parked) hit.push_back(id);
  for (const auto& id : hit)
    if (const auto i = calls_.find(id); i != calls_.end()) proceed(i, now, out);
}

void weak_requests::tick(instant now, effects& out) {
  while (!by_time_.empty() && by_time_.begin()->first <= now) {
    const auto i = calls_.find(by_time_.begin()->second);
    TROUPE_ASSERT(i != calls_.end());
    proceed(i, now, out);
  }
}

void weak_requests::schedule(call_map::iterator i, instant at) {
  by_time_.erase({i->second.next, i->first});
  i->second.next = std::min(at, i->second.deadline);
  by_time_.emplace(i->second.next, i->first);
}

} // namespace troupe
