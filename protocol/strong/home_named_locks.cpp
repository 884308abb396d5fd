// Named locks of a shard that this home leads: who waits, whose time is over, and which writes a fence lets pass.
#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"
#include "protocol/strong/home.hpp"
#include "protocol/strong/opened_record.hpp"

#include <algorithm>

namespace troupe {

namespace {

applied as_applied(lock_step s) { return {.result = std::move(s.result), .changed = s.changed}; }

} // namespace

/// Decides an operation whose turn it is.
/// @param next  the record that it is to change
/// @return nothing when it waits for something else, and has been moved from.
std::optional<applied> home::decide(entry& e, waiting& w, v1::Record& next, bool there, instant now, effects& out) {
  const auto& operation = w.operation;
  if (operation.has_acquire_lock()) {
    static const lock_terms none;
    const auto& named = e.second.named;
    const bool others = !w.first && waits_for_lock(e.second);
    auto s = acquire_lock(operation.acquire_lock(), next, there, {.era = era_, .counter = counter_ + 1}, others,
                          named ? named->terms : none, now);
    if (!s.waits) return as_applied(std::move(s));
    wait_for_lock(e, std::move(w), out);
    return std::nullopt;
  }
  if (operation.has_release_lock()) {
    auto s = release_lock(operation.release_lock(), next);
    if (e.second.named) {
      // Whoever gives a lock up does not wait for it any more.
      auto& waiters = e.second.named->waiters;
      for (auto i = waiters.begin(); i != waiters.end();) {
        if (i->operation.acquire_lock().owner() != operation.release_lock().owner()) {
          ++i;
          continue;
        }
        answer(*i, i->operation.unsettled() ? errc::timeout : errc::expired, out);
        leave_queue(*i);
        i = waiters.erase(i);
      }
    }
    return as_applied(std::move(s));
  }
  if (operation.has_raise_fence()) return as_applied(raise_floor(operation.raise_fence(), next));
  if (operation.has_fence()) {
    const auto* floor = floor_of(operation.fence());
    if (floor == nullptr) { // it was forgotten meanwhile
      wait_for_floor(std::move(w), now, out);
      return std::nullopt;
    }
    opened_record record{floor->record};
    if (const auto why = verdict(operation.fence(), e.first, *record); why != errc::none) {
      applied refused;
      refused.result.set_error(static_cast<std::uint32_t>(why));
      return refused;
    }
  }
  return apply(operation, next, there);
}

// -- waiting
// ----------------------------------------------------------------------------------------------------------

void home::wait_for_lock(entry& e, waiting w, effects& out) {
  TROUPE_ASSERT(e.second.named);
  auto& waiters = e.second.named->waiters;
  if (waiters.size() >= options_.key_queue_max || !has_room(w.bytes)) return refuse_overload(w, out);
  w.first = false;
  watch(w.deadline);
  ++queued_;
  held_bytes_ += w.bytes;
  busy_.insert(e.first);
  waiters.push_back(std::move(w));
}

/// Puts the one who has waited longest before everybody else, once nobody is in its way.
void home::call_waiters(entry& e, const v1::Record& committed, instant now) {
  auto& state = e.second;
  if (!waits_for_lock(state)) return;
  auto& lock = *state.named;
  const auto& wish = lock.waiters.front().operation.acquire_lock();
  if (in_the_way(wish, committed.lock(), lock.terms, now) == nullptr) {
    lock.waiters.front().first = true;
    state.queue.splice(state.queue.begin(), lock.waiters, lock.waiters.begin());
    return;
  }
  for (const auto& owner : committed.lock().owners())
    if (lock.terms.has(owner, now)) watch(lock.terms.until(owner));
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

std::vector<home::lock_view> home::locks(instant now, std::size_t max) const {
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
const home::key_state* home::floor_of(const v1::Fence& fence) const {
  const auto i = keys_.find(floor_key(fence.lock()));
  return i != keys_.end() && i->second.at == key_state::stage::ready ? &i->second : nullptr;
}

/// A write under a lock waits in the queue of its floor until that was touched.
void home::wait_for_floor(waiting w, instant now, effects& out) {
  const auto name = floor_key(w.operation.fence().lock());
  const bool room = busy_.contains(name) || busy_.size() < options_.shard_queue_max;
  if (!room || !has_room(w.bytes)) return refuse_overload(w, out);
  auto& floor = key(name, now, out);
  if (join(floor, w)) return;
  if (floor.second.queue.size() >= options_.key_queue_max) return refuse_overload(w, out);
  watch(w.deadline);
  ++queued_;
  held_bytes_ += w.bytes;
  busy_.insert(name);
  floor.second.queue.push_back(std::move(w));
}

/// Admits the writes that waited for this floor.
void home::pass_floor(entry& e, instant now, effects& out) {
  auto& queue = e.second.queue;
  if (queue.empty() || queue.front().lock || !e.first.starts_with(floor_key({}))) return;
  std::list<waiting> passed;
  for (auto i = queue.begin(); i != queue.end();) {
    const auto next = std::next(i);
    if (i->operation.key() != e.first) passed.splice(passed.end(), queue, i);
    i = next;
  }
  for (auto& w : passed) {
    leave_queue(w);
    admit(std::move(w), now, out);
  }
}

/// The floor is raised: answers once no older write can change a protected key any more.
///
/// Why every key is touched: a write that a home before this one left half finished would come up with the first
/// touch.
void home::drain(waiting w, v1::Result result, bool settled, instant now, effects& out) {
  draining_fence f{.who = std::move(w), .result = std::move(result), .settled = settled, .left = {}};
  const auto& fence = f.who.operation.raise_fence();
  auto look_at = [&](const std::string& name) {
    const auto& state = key(name, now, out).second;
    if (state.at != key_state::stage::ready || state.undecided) f.left.insert(name);
  };
  if (!mutated(mutation::floor_raised_without_draining)) {
    if (fences_.size() >= options_.key_queue_max || !has_room(f.who.bytes)) // it is repeated
      return turn_away(f.who.from, f.who.operation, v1::NotHome::INTERRUPTED, out);
    for (const auto& name : fence.keys())
      look_at(name);
    for (const auto& name : fence.formerly())
      look_at(name);
  }
  if (f.left.empty()) return answer(f.who, f.result, f.settled, out);
  watch(f.who.deadline);
  ++queued_;
  held_bytes_ += f.who.bytes;
  fences_.push_back(std::move(f));
}

/// `key` was touched, or the write of it that was undecided is decided.
void home::drained(const std::string& key, effects& out) {
  for (auto i = fences_.begin(); i != fences_.end();) {
    if (i->left.erase(key) == 0 || !i->left.empty()) {
      ++i;
      continue;
    }
    answer(i->who, i->result, i->settled, out);
    leave_queue(i->who);
    i = fences_.erase(i);
  }
}

/// `key` cannot be read.
void home::fail_drains(const std::string& key, effects& out) {
  for (auto i = fences_.begin(); i != fences_.end();) {
    if (!i->left.contains(key)) {
      ++i;
      continue;
    }
    answer(i->who, errc::timeout, out);
    leave_queue(i->who);
    i = fences_.erase(i);
  }
}

void home::expire_drains(instant now, effects& out) {
  for (auto i = fences_.begin(); i != fences_.end();) {
    if (now < i->who.deadline) {
      watch(i->who.deadline);
      ++i;
      continue;
    }
    answer(i->who, errc::timeout, out);
    leave_queue(i->who);
    i = fences_.erase(i);
  }
}

bool home::is_drained(const std::string& key) const {
  return std::any_of(fences_.begin(), fences_.end(), [&](const auto& f) { return f.left.contains(key); });
}

} // namespace troupe
