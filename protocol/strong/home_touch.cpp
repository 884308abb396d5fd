// The first touch of a key in an epoch (PROTOCOLS §3.2).
#include "protocol/assert.hpp"
#include "protocol/limits.hpp"
#include "protocol/mutation.hpp"
#include "protocol/strong/home.hpp"
#include "protocol/strong/register_value.hpp"

#include <algorithm>

namespace troupe {

home::entry& home::key(const std::string& name, instant now, effects& out) {
  auto [i, fresh] = keys_.try_emplace(name);
  auto& e = *i;
  if (!fresh) {
    use(e);
    somebody_waits(e, now);
    return e;
  }
  by_use_.push_front(name);
  e.second.used = by_use_.begin();
  e.second.first_asked_at = now;
  e.second.asked_as = numbers_ + 1;
  e.second.held = !holders_.empty() && holders_.hold(name); // it may have been forgotten here
  busy_.insert(name);
  ask_latest(e, now, out);
  weigh(e);
  return e;
}

/// Its touch is not for collection alone any more: it does not wait for every replica.
void home::somebody_waits(entry& e, instant now) {
  auto& state = e.second;
  if (!std::exchange(state.to_collect, false)) return;
  if (state.at != key_state::stage::reading || state.undecided || good_copies(state) < majority()) return;
  state.settle_at = now;
  watch(now);
}

void home::ask_latest(entry& e, instant now, effects& out) {
  e.second.asked_at = now;
  watch(now + nanoseconds{options_.retransmit});
  for (auto r : options_.replicas) {
    if (mutated(mutation::first_touch_skipped) && r != options_.self && !e.second.copies.contains(options_.self))
      continue; // unless its own copy is damaged
    if (e.second.copies.contains(r)) continue;
    send s{.to = r, .envelope = {}};
    auto& question = *s.envelope.mutable_read_latest();
    question.set_shard(options_.shard.value);
    question.set_number(++numbers_);
    to_wire(era_, *question.mutable_epoch());
    question.set_key(e.first);
    out.emplace_back(std::move(s));
  }
}

void home::receive(node_id from, v1::Latest latest, instant now, effects& out) {
  if (!leads(now, out)) return;
  auto i = keys_.find(latest.key());
  if (i == keys_.end() || i->second.at != key_state::stage::reading || i->second.undecided) return;
  if (latest.number() < i->second.asked_as) return; // of another epoch
  copy c{.damaged = false,
         .accepted_in = from_wire(latest.ballot()),
         .number = from_wire(latest.version()),
         .bytes = std::move(*latest.mutable_record()),
         .abstained = 0,
         .evicted = from_wire(latest.evicted())};
  i->second.copies.insert_or_assign(from, std::move(c));
  consider_touch(*i, now, out);
}

void home::receive(node_id from, const v1::Abstain& abstain, instant now, effects& out) {
  if (!leads(now, out)) return;
  auto i = keys_.find(abstain.key());
  if (i == keys_.end() || abstain.number() < i->second.asked_as) return;
  auto& state = i->second;
  if (state.undecided) {
    state.undecided->repairs[from] = abstain.number();
    send_accept(from, *i, out);
    return;
  }
  if (state.at != key_state::stage::reading) return;
  // Read well before it was damaged, in answer to an earlier question: the copy counts, for it may be the only one
  // here of a write that was acknowledged. The Accept will be abstained from again, and is repaired then.
  if (auto c = state.copies.find(from); c != state.copies.end() && !c->second.damaged) return;
  out.emplace_back(note{"home.copy_damaged", "shard=" + to_string(options_.shard) + " replica=" + to_string(from)});
  copy c;
  c.damaged = true;
  c.abstained = abstain.number();
  state.copies.insert_or_assign(from, std::move(c));
  consider_touch(*i, now, out);
}

std::size_t home::good_copies(const key_state& state) {
  return static_cast<std::size_t>(
      std::count_if(state.copies.begin(), state.copies.end(), [](const auto& c) { return !c.second.damaged; }));
}

void home::consider_touch(entry& e, instant now, effects& out) {
  auto& state = e.second;
  const auto answered = state.copies.size();
  const auto good = good_copies(state);
  if (mutated(mutation::first_touch_skipped) && good > 0) return touched(e, now, out);
  if (good < majority()) {
    state.settle_at = never;
    if (good + options_.replicas.size() - answered >= majority()) return;
    out.emplace_back(note{"home.unreadable", "shard=" + to_string(options_.shard)});
    fail_queue(e, errc::corrupt, out);
    return forget(e); // read again with the next operation
  }
  if (state.to_collect && answered < options_.replicas.size() && !mutated(mutation::tombstone_collected_too_early))
    return;
  const bool everybody = std::all_of(options_.replicas.begin(), options_.replicas.end(),
                                     [&](node_id r) { return state.copies.contains(r) || !connected_.contains(r); });
  if (everybody || now >= state.settle_at) return touched(e, now, out);
  if (state.settle_at == never) {
    // If all copies agree, nothing has to be accepted again: worth as much waiting as the majority took.
    state.settle_at = now + std::max<nanoseconds>(now - state.first_asked_at, milliseconds{1});
    watch(state.settle_at);
  }
}

void home::touched(entry& e, instant now, effects& out) {
  auto& state = e.second;
  const copy* best = nullptr;
  auto rank = [](const copy& c) { return std::pair{c.accepted_in, c.number}; };
  for (const auto& [replica, c] : state.copies)
    if (!c.damaged && (best == nullptr || rank(*best) < rank(c))) best = &c;
  TROUPE_ASSERT(best != nullptr);
  TROUPE_ASSERT(good_copies(state) >= majority() || mutated(mutation::first_touch_skipped));
  bool unanimous = state.copies.size() == options_.replicas.size()
                   && std::all_of(state.copies.begin(), state.copies.end(),
                                  [&](const auto& c) { return !c.second.damaged && rank(c.second) == rank(*best); });
  if (mutated(mutation::write_back_skipped) || mutated(mutation::first_touch_skipped)) unanimous = true;

  v1::Record record;
  if (best->number && !record.ParseFromString(best->bytes)) {
    out.emplace_back(note{"home.unreadable", "shard=" + to_string(options_.shard)});
    fail_queue(e, errc::corrupt, out);
    return forget(e);
  }
  if (std::exchange(state.to_collect, false) && end_collection(e, *best, record, out)) return;
  // Nothing is stored: whatever stood here was collected, with all that it remembered of requests. Every replica that
  // has erased it says so; the others still have it.
  auto as_of = best->number;
  for (const auto& [replica, c] : state.copies)
    if (!best->number) as_of = std::max(as_of, c.evicted);
  if (as_of != best->number) {
    record.set_tombstone(true);
    to_wire(as_of, *record.mutable_evicted());
  }
  newest_ = std::max(newest_, as_of);
  if (unanimous) {
    state.number = as_of;
    state.record = as_of == best->number ? best->bytes : record.SerializeAsString();
    weigh(e);
    state.copies.clear();
    state.at = key_state::stage::ready;
    if (record.has_lock()) follow_lock(e, record, true, now);
    drained(e.first, out);
    return advance(e, now, out);
  }
  if (draining_) { // nothing new is proposed: who waits is turned away at the end
    state.settle_at = never;
    return;
  }
  if (overwrite(e, *best, record, now, out)) return;
  proposal p{.what = proposal::kind::write_back,
             .number = best->number,
             .bytes = best->bytes,
             .accepted = {},
             .repairs = {},
             .participants = {},
             .sent_at = {}};
  p.lock = record.has_lock();
  for (const auto& [replica, c] : state.copies)
    if (c.damaged) p.repairs[replica] = c.abstained;
  if (!p.number) {
    // Nothing that was committed for the key is stored: what a majority accepts is a tombstone, so that no copy that
    // did not answer can come back.
    p.number = {.era = era_, .counter = ++counter_};
    record.set_tombstone(true);
    p.bytes = record.SerializeAsString();
  }
  p.tombstone = is_tombstone(record);
  propose(e, std::move(p), now, out);
}

/// Proposes the first waiting write in the place of a write-back: as a higher version made from the record that was
/// found, it finishes that record and saves a round trip. Only for a first attempt that changes the record and is not
/// to be undone alone; nothing about the found record is answered before a majority has accepted its successor.
bool home::overwrite(entry& e, const copy& best, v1::Record& record, instant now, effects& out) {
  auto& queue = e.second.queue;
  auto w = std::find_if(queue.begin(), queue.end(), [](const waiting& q) { return !q.operation.has_get(); });
  if (w == queue.end() || w->operation.unsettled() || w->operation.roll_back() || now >= w->deadline) return false;
  if (w->operation.has_fence() || is_lock_operation(w->operation.what_case())) return false;
  if (find_settled(record, w->id) != nullptr || w->base < from_wire(record.evicted())) return false;
  auto a = apply(w->operation, record, exists(record, best.number));
  if (!a.changed) return false;
  proposal p;
  p.number = {.era = era_, .counter = ++counter_};
  to_wire(p.number, *a.result.mutable_version());
  settle(record, w->id, a.result, p.number, options_.settled_kept);
  p.bytes = record.SerializeAsString();
  p.tombstone = is_tombstone(record);
  for (const auto& [replica, c] : e.second.copies)
    if (c.damaged) p.repairs[replica] = c.abstained;
  leave_queue(*w);
  p.participants.push_back({std::move(*w), std::move(a.result), true});
  queue.erase(w);
  propose(e, std::move(p), now, out);
  return true;
}

} // namespace troupe
