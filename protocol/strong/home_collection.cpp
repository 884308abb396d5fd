// Collecting the tombstones of a shard that this home leads (PROTOCOLS §3.4).
//
// Only what the touch of a key has found everywhere is collected: each replica of the set holds one and the same
// tombstone, of an epoch before this one, or has collected it already. By its answer each has promised this epoch
// too, in which no Accept was sent for the key. So no replica holds an older record, none will accept one any more,
// and it makes no difference which of them erases the tombstone, and when.
//
// Nobody waits for that. A later Accept may follow at once, and overtake: a replica erases exactly the record that
// the Collect names, and the Accept has put another one, of a higher ballot, in its place. A Collect that is lost
// leaves a tombstone behind; another home will find it, and that the others have collected it.
//
// What a record remembers of requests goes with it. Whoever has erased it says instead up to which version of the
// shard it may have forgotten; that is any replica, or it still has the record.
#include "protocol/mutation.hpp"
#include "protocol/strong/home.hpp"

#include <algorithm>

namespace troupe {

void home::ask_for_tombstones(instant now, effects& out) {
  ask_tombstones_ = now + nanoseconds{options_.collection.every};
  tombstones_as_ = 0;
  const bool everybody =
      connected_.size() == options_.replicas.size() || mutated(mutation::tombstone_collected_too_early);
  const bool quiet = queued_ <= options_.shard_queue_max / 8;
  if (draining_ || !everybody || !quiet) return;
  send s{.to = options_.self, .envelope = {}};
  auto& question = *s.envelope.mutable_list_tombstones();
  question.set_shard(options_.shard.value);
  question.set_number(++numbers_);
  to_wire(era_, *question.mutable_epoch());
  question.set_after(tombstones_after_);
  tombstones_as_ = numbers_;
  out.emplace_back(std::move(s));
}

void home::receive(node_id, const v1::Tombstones& found, instant now, effects& out) {
  if (!leads(now, out) || draining_ || found.number() != tombstones_as_) return;
  tombstones_as_ = 0;
  tombstones_after_ = found.next();
  const auto& when = options_.collection;
  if (found.unripe() >= when.unripe_max
      && now >= led_since_ + std::max<nanoseconds>(when.round_min, 2 * longest_term(now))) {
    out.emplace_back(note{"home.ripening", "shard=" + to_string(options_.shard) + " epoch=" + to_string(era_)
                                               + " tombstones=" + std::to_string(found.unripe())});
    begin_draining(now, out);
    return finish_draining(now, out);
  }
  for (const auto& name : found.keys())
    touch_to_collect(name, now, out);
  if (!found.next().empty()) // no faster than touches come back
    ask_tombstones_ = std::min(ask_tombstones_, now + nanoseconds{options_.lease} / 4);
}

/// Touches the key once more if it was touched before: only a touch tells who holds what. Read locks stay as they
/// are, as whenever a home forgets a key.
void home::touch_to_collect(const std::string& name, instant now, effects& out) {
  const bool room = busy_.size() <= options_.shard_queue_max / 8 && has_room(name.size());
  if (name.empty() || !room || busy_.contains(name)) return;
  if (const auto known = keys_.find(name); known != keys_.end()) {
    if (known->second.named) return; // it counts somebody's time
    forget(*known);
  }
  key(name, now, out).second.to_collect = true;
}

/// @param best  the greatest of the copies, `record` what it says
bool home::may_be_collected(const entry& e, const copy& best, const v1::Record& record) const {
  const auto& copies = e.second.copies;
  if (!best.number || !is_tombstone(record) || best.accepted_in >= era_) return false;
  if (mutated(mutation::tombstone_collected_too_early)) return true;
  const auto held_or_gone = [&](const auto& each) {
    const auto& c = each.second;
    const bool same = c.accepted_in == best.accepted_in && c.number == best.number;
    const bool gone = !c.number && c.evicted >= best.number;
    return !c.damaged && (same || gone);
  };
  return copies.size() == options_.replicas.size() && std::all_of(copies.begin(), copies.end(), held_or_gone);
}

/// A key was touched that nobody asks for. Copies of a tombstone that differ are made equal: by the next home it can
/// be collected.
/// @return whether `e` is gone.
bool home::end_collection(entry& e, const copy& best, const v1::Record& record, effects& out) {
  if (!draining_ && may_be_collected(e, best, record)) {
    ++collected_;
    out.emplace_back(
        note{"home.collected", "shard=" + to_string(options_.shard) + " version=" + to_string(best.number)});
    for (auto r : options_.replicas) {
      send s{.to = r, .envelope = {}};
      auto& collect = *s.envelope.mutable_collect();
      collect.set_shard(options_.shard.value);
      collect.set_number(++numbers_);
      to_wire(era_, *collect.mutable_epoch());
      collect.set_key(e.first);
      to_wire(best.accepted_in, *collect.mutable_ballot());
      to_wire(best.number, *collect.mutable_version());
      out.emplace_back(std::move(s));
    }
  } else if (!draining_ && best.number && is_tombstone(record) && best.accepted_in < era_
             && e.second.copies.size() == options_.replicas.size()) {
    return false;
  }
  forget(e);
  return true;
}

} // namespace troupe
