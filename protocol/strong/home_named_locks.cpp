// Named locks of a shard that this home leads: who waits, whose time is over, and which writes a fence lets pass.
#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"
#include "protocol/strong/home.hpp"
#include "protocol/strong/opened_record.hpp"

#include <algorithm>

namespace troupe {

namespace {

applied as_applied(lock_step s) { return {.result = std::move(s.result), .changed = s.changed}; }

applied refused(errc why) {
  applied a;
  a.result.set_error(static_cast<std::uint32_t>(why));
  return a;
}

} // namespace

/// Decides an operation whose turn it is.
/// @param next  the record that it is to change
/// @return nothing when it waits for something else, and has been moved from.
std::optional<applied> home::decide(entry& e, waiting& w, v1::Record& next, bool there, instant now, effects& out) {
  const auto& operation = w.operation;
  if (w.dropped) return refused(errc::lock_lost);
  if (w.late) return refused(errc::expired);
  if (operation.has_acquire_lock()) {
    static const lock_terms none;
    const auto& named = e.second.named;
    const bool others = !w.first && has_waiters(e.second);
    auto s = acquire_lock(operation.acquire_lock(), next, there, {.era = era_, .counter = counter_ + 1}, others,
                          named ? named->terms : none, now);
    if (!s.waits) return as_applied(std::move(s));
    wait_for_lock(e, std::move(w), out);
    return std::nullopt;
  }
  if (operation.has_release_lock()) {
    auto s = release_lock(operation.release_lock(), next);
    if (static_cast<errc>(s.result.error()) == errc::none) drop_waiters(e, operation.release_lock().owner());
    return as_applied(std::move(s));
  }
  if (operation.has_raise_fence()) return as_applied(raise_floor(operation.raise_fence(), next));
  if (operation.has_fence()) {
    const auto* floor = floor_of(operation.fence());
    TROUPE_ASSERT(floor != nullptr); // it stayed here for this write
    opened_record record{floor->second.record};
    if (const auto why = verdict(operation.fence(), e.first, *record); why != errc::none) return refused(why);
  }
  return apply(operation, next, there);
}

// -- waiting
// ----------------------------------------------------------------------------------------------------------

/// Why only half of the bounds: whoever waits is helped by those who release, and these need room.
void home::wait_for_lock(entry& e, waiting w, effects& out) {
  TROUPE_ASSERT(e.second.named);
  auto& waiters = e.second.named->waiters;
  const bool room = waiters.size() < options_.key_queue_max && queued_ < options_.shard_queue_max / 2
                    && (held_bytes_ == 0 || held_bytes_ + w.bytes <= options_.shard_queue_bytes_max / 2);
  if (!room) return refuse_overload(w, out);
  watch(w.deadline);
  ++queued_;
  held_bytes_ += w.bytes;
  busy_.insert(e.first);
  waiters.push_back(std::move(w));
}

/// Puts the one who has waited longest before everybody else, once nobody is in its way.
bool home::call_waiter(entry& e, const v1::Record& committed, instant now) {
  auto& state = e.second;
  if (!has_waiters(state)) return false;
  auto& lock = *state.named;
  if (in_the_way(lock.waiters.front().operation.acquire_lock(), committed.lock(), lock.terms, now) == nullptr) {
    lock.waiters.front().first = true;
    state.queue.splice(state.queue.begin(), lock.waiters, lock.waiters.begin());
    return true;
  }
  for (const auto& owner : committed.lock().owners())
    if (lock.terms.has(owner, now)) watch(lock.terms.until(owner));
  return false;
}

/// Whoever gives a lock up does not wait for it any more: its acquires are decided next, as lost.
void home::drop_waiters(entry& e, const std::string& owner) {
  if (!e.second.named) return;
  auto& waiters = e.second.named->waiters;
  for (auto i = waiters.begin(); i != waiters.end();) {
    const auto each = i++;
    if (each->operation.acquire_lock().owner() != owner) continue;
    each->dropped = true;
    e.second.queue.splice(e.second.queue.end(), waiters, each);
  }
}

/// Waiters that were sent more than once, and whose time is over: their refusal is committed, as that of every retry,
/// so that it is certain. Owners leave some of their time for it.
void home::refuse_late_waiters(entry& e, instant now) {
  auto& waiters = e.second.named->waiters;
  for (auto i = waiters.begin(); i != waiters.end();) {
    const auto each = i++;
    if (now < each->deadline || !each->operation.unsettled()) continue;
    each->late = true;
    each->deadline = now + nanoseconds{options_.lease};
    watch(each->deadline);
    e.second.queue.splice(e.second.queue.end(), waiters, each);
  }
}

/// Served like a read. Not while a write is under way that takes the lock from its owner.
v1::Result home::renew(entry& e, const v1::RenewLock& asked, const v1::Record& committed, instant now) {
  auto& state = e.second;
  if (!state.named) return refused(errc::lock_lost).result;
  if (state.undecided && !mutated(mutation::renewal_after_expiry)) {
    opened_record next{state.undecided->bytes};
    if (find_grant(next->lock(), asked) == nullptr) return refused(errc::lock_lost).result;
  }
  return renew_lock(asked, committed, state.named->terms, now);
}

/// The record of a named lock was found or has committed.
void home::follow_lock(entry& e, const v1::Record& committed, bool inherited, instant now) {
  auto& named = e.second.named;
  if (!named) {
    named = std::make_unique<lock_state>();
    locks_.insert(e.first);
  }
  named->terms.follow(committed.lock(), inherited, now);
}

/// Of the locks that somebody has, as far as this home knows.
nanoseconds home::longest_term(instant now) const {
  nanoseconds longest{0};
  for (const auto& name : locks_) {
    const auto& state = keys_.find(name)->second;
    opened_record record{state.record};
    for (const auto& owner : record->lock().owners())
      if (state.named->terms.has(owner, now))
        longest = std::max<nanoseconds>(longest, milliseconds{owner.duration_ms()});
  }
  return longest;
}

std::vector<lock_view> home::locks(instant now, std::size_t max) const {
  std::vector<lock_view> views;
  for (const auto& name : locks_) {
    if (views.size() == max) break;
    const auto& state = keys_.find(name)->second;
    opened_record record{state.record};
    lock_view view{.key = name, .owners = {}, .waiting = state.named->waiters.size()};
    for (const auto& owner : record->lock().owners())
      view.owners.push_back({owner.owner(), owner.shared(), state.named->terms.until(owner) - now});
    if (!view.owners.empty() || view.waiting > 0) views.push_back(std::move(view));
  }
  return views;
}

// -- fences
// -----------------------------------------------------------------------------------------------------------

/// The floor of the fence's lock in this shard; nullptr = it has to be touched first.
home::entry* home::floor_of(const v1::Fence& fence) {
  const auto i = keys_.find(floor_key(fence.lock(), options_.shard));
  return i != keys_.end() && i->second.at == key_state::stage::ready ? &*i : nullptr;
}

/// A write under a lock waits in the queue of its floor until that was touched.
void home::wait_for_floor(waiting w, instant now, effects& out) {
  if (const auto i = keys_.find(w.operation.key()); i != keys_.end() && join(*i, w)) return;
  const auto name = floor_key(w.operation.fence().lock(), options_.shard);
  const auto known = keys_.find(name);
  if (known != keys_.end() && join(*known, w)) return;
  const bool room = (busy_.contains(name) || busy_.size() < options_.shard_queue_max) && has_room(w.bytes)
                    && (known == keys_.end() || known->second.queue.size() < options_.key_queue_max);
  if (!room) return refuse_overload(w, out);
  auto& floor = key(name, now, out);
  watch(w.deadline);
  ++queued_;
  held_bytes_ += w.bytes;
  busy_.insert(name);
  floor.second.queue.push_back(std::move(w));
}

/// Admits the writes that waited for this floor.
void home::pass_floor(entry& e, instant now, effects& out) {
  auto& queue = e.second.queue;
  if (queue.empty() || !is_floor_key(e.first)) return;
  std::list<waiting> passed;
  for (auto i = queue.begin(); i != queue.end();) {
    const auto each = i++;
    if (each->operation.key() != e.first) passed.splice(passed.end(), queue, each);
  }
  for (auto& w : passed) {
    leave_queue(w);
    admit(std::move(w), now, out);
  }
}

/// The write waits in the queue of its own key. Until it leaves that its floor is not forgotten.
///
/// Why: either might be forgotten while the other is read, again and again.
void home::rely(waiting& w) {
  auto& floor = *floor_of(w.operation.fence());
  ++floor.second.relied_on;
  busy_.insert(floor.first);
  w.relies = true;
}

/// The floor is raised: answers once no older write can change a protected key any more.
///
/// Why every key is touched: a write that a home before this one left half finished would come up with the first
/// touch.
void home::drain(waiting w, v1::Result result, bool settled, instant now, effects& out) {
  draining_fence f{.who = std::move(w), .result = std::move(result), .settled = settled, .left = {}};
  const auto& fence = f.who.operation.raise_fence();
  for (const auto* keys : {&fence.keys(), &fence.formerly()})
    for (const auto& name : *keys) {
      const auto i = keys_.find(name);
      if (i == keys_.end() || i->second.at != key_state::stage::ready || i->second.undecided) f.left.insert(name);
    }
  if (f.left.empty() || mutated(mutation::floor_raised_without_draining))
    return answer(f.who, f.result, f.settled, out);
  if (fences_.size() >= options_.key_queue_max || !has_room(f.who.bytes)) // it is repeated
    return turn_away(f.who.from, f.who.operation, v1::NotHome::INTERRUPTED, out);
  watch(f.who.deadline);
  ++queued_;
  held_bytes_ += f.who.bytes;
  touch_for(f, now, out);
  fences_.push_back(std::move(f));
}

/// Touches the keys that nobody else has asked for, or again those whose touch came to nothing; as many as there is
/// room for.
void home::touch_for(draining_fence& f, instant now, effects& out) {
  for (const auto& name : f.left)
    if (!keys_.contains(name) && busy_.size() < options_.shard_queue_max) key(name, now, out);
  watch(now + nanoseconds{options_.retransmit});
}

/// `key` was touched, or the write of it that was undecided is decided.
void home::drained(const std::string& key, effects& out) {
  for (auto i = fences_.begin(); i != fences_.end();) {
    const auto each = i++;
    if (each->left.erase(key) == 0 || !each->left.empty()) continue;
    answer(each->who, each->result, each->settled, out);
    leave_queue(each->who);
    fences_.erase(each);
  }
}

void home::look_after_drains(instant now, effects& out) {
  for (auto i = fences_.begin(); i != fences_.end();) {
    const auto each = i++;
    if (now < each->who.deadline) {
      watch(each->who.deadline);
      touch_for(*each, now, out);
      continue;
    }
    answer(each->who, errc::timeout, out);
    leave_queue(each->who);
    fences_.erase(each);
  }
}

} // namespace troupe
