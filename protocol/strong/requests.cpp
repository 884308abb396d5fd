#include "protocol/strong/requests.hpp"

#include "protocol/assert.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Redirects that are followed without a pause.
constexpr std::size_t redirects_max = 2;

v1::Result failure(errc code) {
  v1::Result r;
  r.set_error(static_cast<std::uint32_t>(code));
  return r;
}

} // namespace

void requests::submit(v1::Operation operation, instant deadline, instant now, effects& out) {
  const auto id = from_wire(operation.id());
  auto refuse = [&](errc code) { out.emplace_back(settled{id, failure(code)}); };
  if (operation.shard() >= options_.replica_sets.size()) return refuse(errc::invalid_argument);
  const auto bytes = operation.ByteSizeLong();
  if (calls_.size() >= options_.operations_max) return refuse(errc::overloaded);
  if (!calls_.empty() && bytes_ + bytes > options_.operations_bytes_max) return refuse(errc::overloaded);
  if (now >= deadline) return refuse(errc::expired);
  if (auto i = newest_.find({operation.shard()}); i != newest_.end()) to_wire(i->second, *operation.mutable_base());
  call c{.operation = std::move(operation), .bytes = bytes, .deadline = deadline, .next = now, .at = {}, .open = {}};
  auto [i, fresh] = calls_.try_emplace(id, std::move(c));
  if (!fresh) return refuse(errc::invalid_argument);
  bytes_ += bytes;
  by_time_.emplace(i->second.next, id);
  attempt(i, now, out);
}

node_id requests::home_hint(shard_id shard) const {
  auto i = hints_.find(shard);
  return i == hints_.end() ? node_id{} : i->second;
}

/// The home as last heard of, else the connected members of the replica set in turn, who was just silent last. Value
/// 0 = nobody is connected.
node_id requests::choose(call& c) {
  const auto hint = home_hint({c.operation.shard()});
  if (hint.value != 0 && (hint == options_.self || connected_.contains(hint))) return hint;
  const auto& set = options_.replica_sets[c.operation.shard()];
  node_id silent;
  for (std::size_t n = 0; n < set.size(); ++n) {
    const auto candidate = set[(c.tries + n) % set.size()];
    if (candidate != options_.self && !connected_.contains(candidate)) continue;
    if (candidate == c.at) {
      silent = candidate;
      continue;
    }
    c.tries += n + 1;
    return candidate;
  }
  return silent;
}

/// The last attempt got no answer. A home that stopped, or that is cut off, keeps its connection long after its
/// lease: somebody else may be home by now.
void requests::doubt(const call& c) {
  if (auto h = hints_.find({c.operation.shard()}); h != hints_.end() && h->second == c.at) hints_.erase(h);
}

void requests::schedule(call_map::iterator i, instant at) {
  by_time_.erase({i->second.next, i->first});
  i->second.next = std::min(at, i->second.deadline);
  by_time_.emplace(i->second.next, i->first);
}

void requests::attempt(call_map::iterator i, instant now, effects& out) {
  auto& c = i->second;
  c.at = choose(c);
  if (c.at.value == 0) return schedule(i, now + nanoseconds{options_.pause});
  auto left = c.deadline - now;
  if (c.operation.roll_back())
    left = left * 3 / 5; // the rest is for undoing it
  else if (c.operation.acquire_lock().wait())
    left -= std::min(left / 5, nanoseconds{options_.attempt}); // for learning that it was not granted
  c.operation.set_budget_us(
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(left).count()));
  c.operation.set_unsettled(!c.open.empty());
  c.operation.set_attempt(c.operation.attempt() + 1);
  c.open.insert(c.operation.attempt());
  send s{.to = c.at, .envelope = {}};
  *s.envelope.mutable_operation() = c.operation;
  out.emplace_back(std::move(s));
  schedule(i, now + nanoseconds{options_.attempt});
}

/// Tries again after `pause`; at once when it is zero.
void requests::again(call_map::iterator i, nanoseconds pause, instant now, effects& out) {
  if (now >= i->second.deadline) return give_up(i, out);
  i->second.at = {};
  if (pause == nanoseconds{0}) return attempt(i, now, out);
  schedule(i, now + pause);
}

void requests::finish(call_map::iterator i, v1::Result result, effects& out) {
  out.emplace_back(settled{i->first, std::move(result)});
  by_time_.erase({i->second.next, i->first});
  bytes_ -= i->second.bytes;
  calls_.erase(i);
}

void requests::give_up(call_map::iterator i, effects& out) {
  finish(i, failure(i->second.open.empty() ? errc::unavailable : errc::timeout), out);
}

void requests::learn(shard_id shard, const v1::Version& newest) {
  auto& known = newest_[shard];
  known = std::max(known, from_wire(newest));
}

void requests::receive(node_id from, const v1::OperationAnswer& answer, instant now, effects& out) {
  learn({answer.shard()}, answer.newest());
  auto i = calls_.find(from_wire(answer.id()));
  if (i == calls_.end()) return; // settled before: a duplicate, or too late
  auto& c = i->second;
  const auto code = static_cast<errc>(answer.result().error());
  if (code == errc::none) hints_[{answer.shard()}] = from;
  if (code != errc::none && outcome_of(code) == outcome::unknown) {
    // Its home goes on with it: a later attempt may still learn the outcome.
    if (code != errc::timeout || now >= c.deadline) finish(i, answer.result(), out);
    return;
  }
  if (answer.settled()) return finish(i, answer.result(), out);
  // This attempt changed nothing, and no record remembers that: another attempt that is open may yet be executed.
  c.open.erase(answer.attempt());
  if (c.open.empty()) return finish(i, answer.result(), out);
  if (answer.attempt() == c.operation.attempt()) again(i, nanoseconds{options_.pause}, now, out);
}

void requests::receive(node_id from, const v1::NotHome& answer, instant now, effects& out) {
  const shard_id shard{answer.shard()};
  auto i = calls_.find(from_wire(answer.id()));
  if (auto h = hints_.find(shard);
      h != hints_.end() && h->second == from && answer.reason() != v1::NotHome::STALE_BASE)
    hints_.erase(h);
  if (answer.hint() != 0 && node_id{answer.hint()} != from) hints_[shard] = {answer.hint()};
  if (answer.reason() == v1::NotHome::STALE_BASE) learn(shard, answer.newest());
  if (i == calls_.end()) return;
  auto& c = i->second;
  if (answer.reason() != v1::NotHome::INTERRUPTED) c.open.erase(answer.attempt());
  if (answer.attempt() != c.operation.attempt()) return; // a newer attempt is under way
  if (answer.reason() == v1::NotHome::STALE_BASE) {
    // No attempt was executed, so the operation may begin again, as of what is known now. Were one open, the home
    // would have answered "forgotten".
    if (c.open.empty()) to_wire(newest_[shard], *c.operation.mutable_base());
    return again(i, nanoseconds{0}, now, out);
  }
  // A redirect is followed at once, but not for ever: two nodes may each take the other for the home, and a home that
  // cannot be reached is no better than none.
  const auto hint = home_hint(shard);
  const bool reachable = hint == options_.self || connected_.contains(hint);
  if (hint != from && reachable && ++c.redirects <= redirects_max) return again(i, nanoseconds{0}, now, out);
  c.redirects = 0;
  again(i, nanoseconds{options_.pause}, now, out);
}

void requests::unsent(node_id to, const v1::Operation& sent, errc why, instant now, effects& out) {
  auto i = calls_.find(from_wire(sent.id()));
  if (i == calls_.end()) return;
  auto& c = i->second;
  c.open.erase(sent.attempt());
  if (why != errc::none) {
    if (c.open.empty()) return finish(i, failure(why), out);
    return schedule(i, c.deadline); // no link stands before this node's own home: its answer may still come
  }
  if (sent.attempt() != c.operation.attempt()) return;
  if (auto h = hints_.find({c.operation.shard()}); h != hints_.end() && h->second == to && !connected_.contains(to))
    hints_.erase(h);
  again(i, nanoseconds{options_.pause}, now, out);
}

void requests::cancel(request_id id, effects& out) {
  auto i = calls_.find(id);
  if (i == calls_.end()) return; // settled before
  const bool harmless = i->second.open.empty() || i->second.operation.has_get();
  finish(i, failure(harmless ? errc::cancelled : errc::abandoned), out);
}

void requests::peer(node_id who, bool connected, instant now, effects& out) {
  if (connected) {
    connected_.insert(who);
    return;
  }
  connected_.erase(who);
  for (auto h = hints_.begin(); h != hints_.end();)
    h = h->second == who ? hints_.erase(h) : std::next(h);
  std::vector<request_id> hit;
  for (const auto& [id, c] : calls_)
    if (c.at == who) hit.push_back(id);
  for (const auto& id : hit)
    if (auto i = calls_.find(id); i != calls_.end()) again(i, nanoseconds{options_.pause}, now, out);
}

void requests::tick(instant now, effects& out) {
  while (!by_time_.empty() && by_time_.begin()->first <= now) {
    auto i = calls_.find(by_time_.begin()->second);
    TROUPE_ASSERT(i != calls_.end());
    if (now >= i->second.deadline) {
      give_up(i, out);
      continue;
    }
    doubt(i->second);
    attempt(i, now, out);
  }
}

instant requests::wake_at() const { return by_time_.empty() ? never : by_time_.begin()->first; }

} // namespace troupe
