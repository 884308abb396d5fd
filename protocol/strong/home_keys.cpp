// The keys of a shard that this home leads: decisions, acceptance, doubt. Their first touch is in home_touch.cpp,
// read locks are in home_locks.cpp.
#include "protocol/assert.hpp"
#include "protocol/limits.hpp"
#include "protocol/mutation.hpp"
#include "protocol/strong/home.hpp"
#include "protocol/strong/opened_record.hpp"
#include "protocol/strong/register_value.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// What a key costs beside its bytes: table node, list node.
constexpr std::size_t key_overhead = 700;
/// What a participant of a proposal costs beside the value that it will be answered with.
constexpr std::size_t participant_overhead = 400;
/// Between two steps that answer from one queue: the links take the answers away.
constexpr milliseconds answers_pause{1};

v1::Result failure(errc code) {
  v1::Result r;
  r.set_error(static_cast<std::uint32_t>(code));
  return r;
}

} // namespace

// -- operations
// -------------------------------------------------------------------------------------------------------

void home::receive(node_id from, v1::Operation operation, instant now, effects& out) {
  const auto bytes = operation.ByteSizeLong();
  if (role_ == role::claiming && lobby_.size() < options_.key_queue_max && has_room(bytes)) {
    held_bytes_ += bytes;
    return lobby_.push_back({from, std::move(operation), now});
  }
  if (!leads(now, out)) return turn_away(from, operation, v1::NotHome::NO_HOME, out);
  const auto giver = operation.has_given_back() ? take_back(from, operation, now, out) : 0;
  if (role_ != role::leading || draining_) return turn_away(from, operation, v1::NotHome::NO_HOME, out);
  waiting w{.from = from, .operation = std::move(operation), .id = {}, .deadline = {}, .base = {}};
  w.id = from_wire(w.operation.id());
  w.base = from_wire(w.operation.base());
  w.deadline = now + std::chrono::microseconds{std::min<std::uint64_t>(w.operation.budget_us(), 3'600'000'000)};
  w.bytes = bytes;
  w.given_back_in = giver;
  if (w.operation.key().empty() || w.operation.key().size() > limits::key_bytes_max)
    return answer(w, errc::key_too_long, out);
  if (w.operation.what_case() == v1::Operation::WHAT_NOT_SET || w.id.number == 0)
    return answer(w, errc::invalid_argument, out);
  if (const auto flaw = lock_flaw_of(w.operation); flaw != errc::none) return answer(w, flaw, out);

  admit(std::move(w), now, out);
}

/// Serves a read of a key that was touched; queues everything else.
void home::admit(waiting w, instant now, effects& out) {
  if (w.operation.has_fence() && floor_of(w.operation.fence()) == nullptr)
    return wait_for_floor(std::move(w), now, out);
  // Bounded beside the queues: keys under way, those in doubt and those that nobody waits for any more included.
  const bool room = busy_.contains(w.operation.key()) || busy_.size() < options_.shard_queue_max;
  if (!keys_.contains(w.operation.key()) && (!room || !has_room(w.bytes))) return refuse_overload(w, out);
  auto& e = key(w.operation.key(), now, out);
  if (w.given_back_in != 0) e.second.givers[w.from] = w.given_back_in;
  if (join(e, w)) return;
  if (e.second.at == key_state::stage::ready && reads(w.operation)) {
    if (options_.trace)
      out.emplace_back(note{"home.read", "shard=" + to_string(options_.shard) + " epoch=" + to_string(era_)});
    opened_record record{e.second.record};
    return serve(e, w, *record, now, out);
  }
  if (!room || e.second.queue.size() >= options_.key_queue_max || !has_room(w.bytes)) return refuse_overload(w, out);
  watch(w.deadline);
  ++queued_;
  held_bytes_ += w.bytes;
  if (w.operation.has_fence()) rely(w);
  e.second.queue.push_back(std::move(w));
  busy_.insert(e.first);
  if (e.second.at == key_state::stage::ready) advance(e, now, out);
}

/// Answers a read from `committed`, the record of the key: until a write has committed, nobody has seen it.
void home::serve(entry& e, const waiting& w, v1::Record& committed, instant now, effects& out) {
  if (w.lock) return lock(e, w, committed, now, out);
  if (w.operation.has_renew_lock()) return answer(w, renew(e, w.operation.renew_lock(), committed, now), true, out);
  auto result = apply(w.operation, committed, exists(committed, e.second.number)).result;
  to_wire(e.second.number, *result.mutable_version());
  answer(w, result, true, out);
}

/// Whether the answers of this step may carry another value. Else whoever waits is looked at again in a moment.
///
/// Why: each answer has a copy of the value, and a thousand reads may have waited for one key.
bool home::may_answer(instant now) {
  if (now != answered_at_) answered_bytes_ = 0;
  answered_at_ = now;
  if (answered_bytes_ < options_.answers_bytes_max) return true;
  watch(now + answers_pause);
  return false;
}

bool home::has_room(std::size_t bytes) const {
  return queued_ < options_.shard_queue_max
         && (held_bytes_ == 0 || held_bytes_ + bytes <= options_.shard_queue_bytes_max);
}

void home::leave_queue(waiting& w) {
  --queued_;
  held_bytes_ -= w.bytes;
  if (!std::exchange(w.relies, false)) return;
  auto& floor = *floor_of(w.operation.fence());
  --floor.second.relied_on;
  rest(floor);
}

void home::refuse_overload(const waiting& w, effects& out) const {
  // An earlier attempt may have been executed: "not done" would be a lie.
  if (w.operation.unsettled()) return turn_away(w.from, w.operation, v1::NotHome::NO_HOME, out);
  answer(w, errc::overloaded, out);
}

/// A retry that meets the attempt that it repeats takes its place.
bool home::join(entry& e, const waiting& again) {
  if (again.lock || mutated(mutation::deduplication_off)) return false;
  auto take_place = [&](waiting& running) {
    if (running.id != again.id) return false;
    running.from = again.from;
    running.deadline = again.deadline;
    running.operation.set_attempt(again.operation.attempt());
    running.operation.set_unsettled(running.operation.unsettled() || again.operation.unsettled());
    watch(again.deadline);
    return true;
  };
  for (auto& w : e.second.queue)
    if (take_place(w)) return true;
  if (e.second.named)
    for (auto& w : e.second.named->waiters)
      if (take_place(w)) return true;
  if (again.operation.has_raise_fence())
    for (auto& f : fences_)
      if (take_place(f.who)) return true;
  if (e.second.undecided)
    for (auto& p : e.second.undecided->participants)
      if (take_place(p.who)) return true;
  return false;
}

/// Answers `w` from what the committed record remembers, or refuses what the record may have forgotten.
bool home::settled_before(const v1::Record& committed, waiting& w, instant now, effects& out) {
  if (mutated(mutation::deduplication_off)) return false;
  if (const auto* s = find_settled(committed, w.id)) {
    auto result = s->result();
    if (w.operation.has_acquire_lock() && result.applied())
      quote_protected(committed.lock(), w.operation.acquire_lock().owner(), result);
    if (w.operation.has_raise_fence() && result.applied())
      drain(std::move(w), std::move(result), true, now, out); // by another home, perhaps, that did not see it drained
    else
      answer(w, result, true, out);
    return true;
  }
  if (w.base >= from_wire(committed.evicted()) || may_be_repeated(w.operation)) return false;
  if (w.operation.unsettled())
    answer(w, errc::forgotten, out);
  else
    turn_away(w.from, w.operation, v1::NotHome::STALE_BASE, out);
  return true;
}

void home::advance(entry& e, instant now, effects& out) {
  auto& state = e.second;
  TROUPE_ASSERT(state.at == key_state::stage::ready);
  pass_floor(e, now, out);
  if (!state.queue.empty() || has_waiters(state)) {
    opened_record committed{state.record};
    for (auto i = state.queue.begin(); i != state.queue.end();) {
      if (!reads(i->operation)) {
        ++i;
        continue;
      }
      if (!may_answer(now)) return; // nothing is written before they are all answered
      answered_bytes_ += committed->value().size();
      serve(e, *i, *committed, now, out);
      leave_queue(*i);
      i = state.queue.erase(i);
    }
    while (!state.undecided && !draining_ && may_answer(now)) {
      const bool called = call_waiter(e, *committed, now);
      if (state.queue.empty()) break;
      proposal p;
      combine(e, *committed, committed.copy(), p, now, out);
      if (p.number) propose(e, std::move(p), now, out);
      if (!called) break;
    }
  }
  if (!state.givers.empty() && is_quiet(state)) grant_anew(e, now, out);
  rest(e);
}

/// Decides waiting writes in their order, together, as one new version: at most `combine_max` of them.
///
/// Why: a hot key would otherwise commit one write per round trip. All of them take effect at the one commit, in
/// order.
void home::combine(entry& e, const v1::Record& committed, v1::Record& next, proposal& p, instant now, effects& out) {
  auto& state = e.second;
  bool there = exists(committed, state.number);
  if (!state.number) next.set_tombstone(true); // what is committed may be a refusal only
  std::size_t effective = 0;
  while (!state.queue.empty() && p.participants.size() < options_.combine_max && may_answer(now)) {
    auto& front = state.queue.front();
    // Undone alone, or with a token of its own: decided alone.
    const bool alone = front.operation.roll_back() || is_lock_operation(front.operation.what_case());
    if (alone && !p.participants.empty()) break;
    auto w = std::move(front);
    state.queue.pop_front();
    leave_queue(w);
    if (now >= w.deadline) {
      answer(w, w.operation.unsettled() ? errc::timeout : errc::expired, out);
      continue;
    }
    if (settled_before(committed, w, now, out)) continue;
    auto a = decide(e, w, next, there, now, out);
    if (!a) continue;
    answered_bytes_ += a->result.value().size(); // a refused compare_and_set says what is there
    if (!a->changed && !w.operation.unsettled() && p.participants.empty()) {
      to_wire(state.number, *a->result.mutable_version());
      if (w.operation.has_raise_fence() && a->result.applied())
        drain(std::move(w), std::move(a->result), false, now, out);
      else
        answer(w, a->result, false, out);
      continue;
    }
    // A retry's refusal is committed too: the attempt that it repeats may still arrive, and must find it.
    const bool settled = a->changed || w.operation.unsettled();
    if (settled) {
      if (!p.number) p.number = {.era = era_, .counter = ++counter_};
      there = exists(next, p.number);
      to_wire(p.number, *a->result.mutable_version());
      settle(next, w.id, a->result, p.number, std::max(options_.settled_kept, ++effective));
    } else {
      to_wire(p.number ? p.number : state.number, *a->result.mutable_version());
    }
    p.participants.push_back({std::move(w), std::move(a->result), settled});
    if (alone) break;
  }
  if (!p.number) return;
  p.bytes = next.SerializeAsString();
  p.lock = next.has_lock();
  p.tombstone = is_tombstone(next);
}

/// Nobody waits for this key any more: it need not be looked after.
void home::rest(entry& e) {
  const auto& state = e.second;
  if (state.at == key_state::stage::ready && !state.undecided && state.queue.empty() && !has_waiters(state)
      && state.relied_on == 0)
    busy_.erase(e.first);
}

void home::fail_queue(entry& e, errc code, effects& out) {
  for (auto& w : e.second.queue) {
    answer(w, w.operation.unsettled() ? errc::timeout : code, out);
    leave_queue(w);
  }
  e.second.queue.clear();
}

// -- acceptance
// -------------------------------------------------------------------------------------------------------

void home::propose(entry& e, proposal p, instant now, effects& out) {
  if (options_.trace) {
    auto fields = "shard=" + to_string(options_.shard) + " epoch=" + to_string(era_)
                  + " version=" + to_string(p.number)
                  + " kind=" + (p.what == proposal::kind::write_back ? "write_back" : "new") + " requests=";
    for (const auto& part : p.participants)
      fields += to_string(part.who.id) + ",";
    out.emplace_back(note{"home.proposed", std::move(fields)});
  }
  // Until it has committed it counts by what it holds, whether anybody still waits for it or not.
  p.weight = (e.second.held ? 2 : 1) * p.bytes.size(); // the record, and its copy in the recall
  for (auto& part : p.participants) {
    if (!part.who.operation.has_raise_fence()) part.who.operation.clear_what(); // it is decided
    p.weight += participant_overhead + (p.lock ? part.result.ByteSizeLong() : part.result.value().size());
  }
  if (const auto& undone = e.second.undecided) held_bytes_ -= undone->weight;
  held_bytes_ += p.weight;
  e.second.undecided = std::move(p);
  busy_.insert(e.first);
  for (const auto& part : e.second.undecided->participants)
    watch(part.who.deadline);
  transmit(e, now, out);
  if (e.second.held) recall(e, now, out);
}

void home::transmit(entry& e, instant now, effects& out) {
  auto& p = *e.second.undecided;
  p.sent_at = now;
  watch(now + nanoseconds{options_.retransmit});
  for (auto r : options_.replicas)
    if (!p.accepted.contains(r)) send_accept(r, e, out);
}

void home::send_accept(node_id to, entry& e, effects& out) {
  const auto& p = *e.second.undecided;
  send s{.to = to, .envelope = {}};
  auto& accept = *s.envelope.mutable_accept();
  accept.set_shard(options_.shard.value);
  accept.set_number(++numbers_);
  to_wire(era_, *accept.mutable_epoch());
  accept.set_key(e.first);
  to_wire(p.number, *accept.mutable_version());
  accept.set_record(p.bytes);
  accept.set_tombstone(p.tombstone);
  if (auto i = p.repairs.find(to); i != p.repairs.end()) accept.set_repairs(i->second);
  out.emplace_back(std::move(s));
}

void home::receive(node_id from, const v1::Accepted& accepted, instant now, effects& out) {
  if (!leads(now, out) || from_wire(accepted.epoch()) != era_) return;
  auto i = keys_.find(accepted.key());
  if (i == keys_.end() || !i->second.undecided || i->second.undecided->number != from_wire(accepted.version()))
    return;
  count_acceptance(from, *i, now, out);
}

void home::receive(node_id, const v1::Superseded& superseded, instant now, effects& out) {
  const auto promised = from_wire(superseded.promised());
  saw(promised);
  if (role_ == role::leading) raise_round(promised, now, out);
}

void home::count_acceptance(node_id from, entry& e, instant now, effects& out) {
  auto& p = *e.second.undecided;
  p.accepted.insert(from);
  if (decided(p)) commit(e, now, out);
}

void home::commit(entry& e, instant now, effects& out) {
  auto& state = e.second;
  auto p = std::move(*state.undecided);
  state.undecided.reset();
  held_bytes_ -= p.weight;
  state.copies.clear();
  state.at = key_state::stage::ready;
  state.number = p.number;
  state.record = std::move(p.bytes);
  newest_ = std::max(newest_, p.number);
  ++commits_;
  if (options_.trace)
    out.emplace_back(
        note{"home.committed", "shard=" + to_string(options_.shard) + " version=" + to_string(p.number)});
  if (p.lock) {
    opened_record committed{state.record};
    follow_lock(e, *committed, p.what == proposal::kind::write_back, now);
  }
  for (auto& part : p.participants) {
    if (part.who.operation.has_raise_fence() && part.result.applied())
      drain(std::move(part.who), std::move(part.result), part.settled, now, out);
    else
      answer(part.who, part.result, part.settled, out);
  }
  drained(e.first, out);
  if (state.held) tell_holders(e, now, out);
  weigh(e);
  advance(e, now, out);
  forget_surplus();
  finish_draining(now, out);
}

/// Undoes the one undecided write: the previous value under a higher version, with the outcome in the record.
void home::roll_back(entry& e, instant now, effects& out) {
  auto& state = e.second;
  auto undone = std::move(*state.undecided);
  proposal p;
  p.what = proposal::kind::rollback;
  p.number = {.era = era_, .counter = ++counter_};
  opened_record record{state.record};
  if (!state.number) record->set_tombstone(true);
  for (auto& part : undone.participants) {
    part.result = failure(errc::rolled_back);
    to_wire(p.number, *part.result.mutable_version());
    settle(*record, part.who.id, part.result, p.number, options_.settled_kept);
    part.settled = true;
  }
  p.bytes = record->SerializeAsString();
  p.lock = record->has_lock();
  p.tombstone = is_tombstone(*record);
  p.participants = std::move(undone.participants);
  p.repairs = std::move(undone.repairs);
  out.emplace_back(note{"home.rolling_back", "shard=" + to_string(options_.shard) + " version="
                                                 + to_string(undone.number) + " by=" + to_string(p.number)});
  propose(e, std::move(p), now, out);
}

// -- time
// -------------------------------------------------------------------------------------------------------------

/// Deadlines: what waits is *not done*, unless an earlier attempt may have been; what is undecided is *unknown*, and
/// the home goes on with it.
void home::expire(entry& e, instant now, effects& out) {
  auto& state = e.second;
  auto end = [&](std::list<waiting>& queue) {
    for (auto i = queue.begin(); i != queue.end();) {
      if (now < i->deadline) {
        watch(i->deadline);
        ++i;
        continue;
      }
      answer(*i, i->operation.unsettled() ? errc::timeout : errc::expired, out);
      leave_queue(*i);
      i = queue.erase(i);
    }
  };
  end(state.queue);
  if (state.named) {
    refuse_late_waiters(e, now);
    end(state.named->waiters);
  }
  if (!state.undecided) return;
  auto& p = *state.undecided;
  if (p.what == proposal::kind::write && p.participants.size() == 1 && p.participants[0].who.operation.roll_back()
      && now >= p.participants[0].who.deadline)
    return roll_back(e, now, out);
  if (p.what == proposal::kind::rollback) return; // the caller counts the time that it still has
  for (auto i = p.participants.begin(); i != p.participants.end();) {
    if (now < i->who.deadline) {
      watch(i->who.deadline);
      ++i;
      continue;
    }
    answer(i->who, errc::timeout, out);
    i = p.participants.erase(i);
  }
}

void home::look_after(entry& e, instant now, effects& out) {
  expire(e, now, out);
  auto& state = e.second;
  if (state.undecided) {
    if (now >= state.undecided->sent_at + nanoseconds{options_.retransmit})
      transmit(e, now, out);
    else
      watch(state.undecided->sent_at + nanoseconds{options_.retransmit});
  } else if (state.at == key_state::stage::reading) {
    // Nobody waits for it, and a replica that is needed does not answer: the next operation asks again.
    if (state.queue.empty() && now >= state.first_asked_at + nanoseconds{options_.lease}) return forget(e);
    if (now >= state.settle_at) return touched(e, now, out);
    watch(state.settle_at);
    if (now >= state.asked_at + nanoseconds{options_.retransmit})
      ask_latest(e, now, out);
    else
      watch(state.asked_at + nanoseconds{options_.retransmit});
  } else if (has_waiters(state) || !state.queue.empty()) {
    advance(e, now, out); // somebody's time may be over, or it was too much for one step
  } else {
    rest(e);
  }
}

// -- memory
// -----------------------------------------------------------------------------------------------------------

void home::use(entry& e) { by_use_.splice(by_use_.begin(), by_use_, e.second.used); }

void home::weigh(entry& e) {
  auto& state = e.second;
  bytes_ -= state.bytes;
  state.bytes = key_overhead + 2 * e.first.size() + (state.named ? 3 : 1) * state.record.size(); // terms of owners
  bytes_ += state.bytes;
}

/// Forgets a key that nothing is under way for; `e` is gone afterwards.
void home::forget(entry& e) {
  busy_.erase(e.first);
  locks_.erase(e.first);
  bytes_ -= e.second.bytes;
  by_use_.erase(e.second.used);
  keys_.erase(keys_.find(e.first));
}

/// Forgets the least recently used keys that nobody waits for; they are touched again when they are asked for.
void home::forget_surplus() {
  while (bytes_ > options_.bytes_max && !by_use_.empty()) {
    auto oldest = std::prev(by_use_.end());
    if (busy_.contains(*oldest)) {
      if (busy_.size() >= by_use_.size()) return;
      by_use_.splice(by_use_.begin(), by_use_, oldest);
      continue;
    }
    forget(*keys_.find(*oldest));
  }
}

// -- answers
// ----------------------------------------------------------------------------------------------------------

void home::answer(const waiting& who, const v1::Result& result, bool settled, effects& out) const {
  send s{.to = who.from, .envelope = {}};
  auto& a = *s.envelope.mutable_operation_answer();
  to_wire(who.id, *a.mutable_id());
  a.set_attempt(who.operation.attempt());
  *a.mutable_result() = result;
  a.set_shard(options_.shard.value);
  to_wire(newest_, *a.mutable_newest());
  a.set_settled(settled);
  out.emplace_back(std::move(s));
}

void home::answer(const waiting& who, errc code, effects& out) const {
  if (who.lock) return refuse_lock(who, code, out);
  answer(who, failure(code), false, out);
}

void home::turn_away(node_id to, const v1::Operation& operation, v1::NotHome::Reason reason, effects& out) const {
  send s{.to = to, .envelope = {}};
  auto& n = *s.envelope.mutable_not_home();
  *n.mutable_id() = operation.id();
  n.set_attempt(operation.attempt());
  n.set_shard(options_.shard.value);
  n.set_hint(known_home_.value);
  n.set_reason(reason);
  to_wire(newest_, *n.mutable_newest());
  out.emplace_back(std::move(s));
}

} // namespace troupe
