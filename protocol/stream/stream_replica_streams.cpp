// What peers and the frontier say: staging, showing, folding, forgetting.
#include "protocol/stream/stream_replica_impl.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Tombstones that one statement of the frontier may lead to be looked at.
constexpr std::size_t collect_max = 256;
constexpr std::size_t tombstones_max = 1'000'000;

} // namespace

void stream_replica::impl::accept(incoming what, instant now, effects& out) {
  if (failed) return;
  if (what.from.node == options.self || !what.from || static_cast<std::size_t>(what.lane) >= stream_lanes) {
    ++counts.refused;
    out.push_back(note{"stream.updates_refused", "origin=" + to_string(what.from)});
    return;
  }
  auto& lane = of(what.lane);
  if (!is_ready || !lane.held.empty() || lane.staged.bytes() >= options.unfolded_bytes_max) {
    lane.held.push_back(std::move(what)); // bounded by what the peers' streams send without an acknowledgement
    return;
  }
  take(std::move(what), now, out);
}

void stream_replica::impl::take(incoming what, instant now, effects& out) {
  auto& lane = of(what.lane);
  std::vector<stream_write> writes;
  const auto before = lane.taken.at(what.from);
  auto last = before;
  for (auto& u : what.updates) {
    if (u->seq() <= last || u->seq() > what.upto) continue;
    last = u->seq();
    if (lane.staged.folded().covers({what.from, last})) continue;
    clock.saw({.clock = u->clock(), .origin = what.from.node});
    if (!acceptable(*u, what.lane)) {
      ++counts.refused;
      out.push_back(note{"stream.update_refused", "origin=" + to_string(what.from) + " seq=" + std::to_string(last)});
      continue;
    }
    writes.emplace_back(update_write{what.from, what.lane, *u});
    stage(what.from, what.lane, u, now, out);
  }
  const received position{what.from, what.lane, what.upto, what.clock};
  if (what.upto <= before) {
    // Nothing new but a clock, or a repetition: said again as soon as it is true.
    if (what.upto <= lane.received.at(what.from)) {
      out.push_back(position);
    } else {
      store({}, position_durable{position}, out);
    }
    return;
  }
  lane.taken.raise(what.from, what.upto);
  writes.emplace_back(
      mark_write{stream_marks::received(what.from, what.lane), stream_marks::numbers(what.upto, what.clock)});
  store(std::move(writes), position_durable{position}, out);
  if (what.lane == stream_lane::free) show(what.lane, version_vector{{what.from, what.upto}}, now, out);

  if (what.lane == stream_lane::ordered) arrived({what.from, what.upto}, before, now, out);
}

/// Whoever waits for an own write that was accepted elsewhere may find it here now.
void stream_replica::impl::arrived(const dot& upto, std::uint64_t before, instant now, effects& out) {
  if (expecting.empty()) return;
  std::vector<std::uint64_t> woken;
  const auto first = expecting.upper_bound(dot{upto.from, before});
  const auto end = expecting.upper_bound(upto);
  for (auto i = first; i != end; ++i)
    woken.insert(woken.end(), i->second.begin(), i->second.end());
  expecting.erase(first, end);
  for (const auto cookie : woken)
    resume(cookie, now, 0, out);
}

bool stream_replica::impl::acceptable(const v1::Update& u, stream_lane l) const {
  if (u.seq() == 0 || u.clock() == 0 || u.key().empty() || u.key().size() > limits::key_bytes_max) return false;
  if (!v1::Update::Kind_IsValid(u.kind()) || u.value().size() > limits::value_bytes_max) return false;
  if (static_cast<std::size_t>(u.context().entries_size()) > limits::stream_vector_entries_max
      || static_cast<std::size_t>(u.depends().entries_size()) > limits::stream_vector_entries_max)
    return false;
  const auto* type = type_of(u.key());
  if (type == nullptr || lane_of(*type) != l) return false;
  const shard_id shard{u.shard()};
  return shard == shard_of(u.key(), options.shards) && options.stored.contains(shard);
}

void stream_replica::impl::stage(const origin& from, stream_lane l, shared_update u, instant now, effects& out) {
  auto& lane = of(l);
  auto& k = key_of(u->key(), l, *type_of(u->key()), out);
  auto depends = l == stream_lane::ordered ? from_wire(u->depends()) : version_vector{};
  const dot at{from, u->seq()};
  auto& staged = lane.staged.add({.at = at,
                                  .what = std::move(u),
                                  .key = &k,
                                  .depends = std::move(depends),
                                  .arrived = now,
                                  .own = from.node == options.self,
                                  .visible = false});
  k.unfolded.push_back(&staged);
  if (staged.own) {
    ++k.own_hidden;
    if (k.record == stream_key::bytes::here) {
      if (!k.latest) k.latest = k.visible;
      k.latest->merge(from, *staged.what, {.received = merged_before(k, lane.staged.folded())});
    }
  }
  touched(k);
}

void stream_replica::impl::show(stream_lane l, const version_vector& upto, instant now, effects& out) {
  std::vector<staged_update*> visible;
  of(l).staged.show(upto, now, visible);
  of(l).more_shown = true;
  for (auto* u : visible)
    shown(*u, now, out);
}

void stream_replica::impl::shown(staged_update& u, instant now, effects& out) {
  auto& k = *u.key;
  counts.visible_delay_max = std::max(counts.visible_delay_max, now - u.arrived);
  merge(k, u, out);
  if (u.own) {
    TROUPE_ASSERT(k.own_hidden > 0);
    if (--k.own_hidden == 0) k.latest.reset();
  }
  note_change(k);
  touched(k);
}

void stream_replica::impl::fold(stream_lane l, instant now, effects& out) {
  auto& lane = of(l);
  const auto before = lane.staged.folded();
  const auto window = l == stream_lane::ordered ? options.snapshot_window : options.fold_every;
  const auto folded =
      lane.staged.fold(now, window, [](const staged_update& u) { return u.key->record == stream_key::bytes::here; });
  std::vector<stream_write> writes;
  auto keys_written = fold_into_records(l, folded, before, writes);
  for (auto* k : keys_written) {
    const bool more = std::any_of(k->unfolded.begin(), k->unfolded.end(), [](const auto* u) { return u->visible; });
    if (!more) {
      k->visible = std::move(*k->base);
      k->base.reset();
    }
    touched(*k);
  }
  if (!folded.empty()) state_folded(l, writes);
  shorten(l, now, writes, out);
  if (!writes.empty()) {
    store(std::move(writes),
          records_durable{.keys = std::move(keys_written), .lane = l, .folded = lane.staged.folded()}, out);
  } else if (persists.empty()) {
    lane.folded_durable = lane.staged.folded(); // no record has changed by what was folded
  } else if (lane.staged.folded() != before) {
    persists.push_back({persist_number, records_durable{.lane = l, .folded = lane.staged.folded()}});
  }
}

std::vector<stream_key*>
stream_replica::impl::fold_into_records(stream_lane l, const std::vector<std::unique_ptr<staged_update>>& updates,
                                        const version_vector& before, std::vector<stream_write>& writes) {
  const auto& after = of(l).staged.folded();
  std::vector<stream_key*> written; // in the order in which they come up
  std::set<origin> from;
  for (const auto& u : updates) {
    auto& k = *u->key;
    if (!k.base) k.base = k.visible; // as a key that is damaged has it; others have one since something was shown
    k.base->merge(u->at.from, *u->what, {.received = merged_before(k, before)});
    if (u->at.from.node != options.self) from.insert(u->at.from);
    u->folded = true;
    if (!k.folding) written.push_back(&k);
    k.folding = true;
  }
  counts.folded += updates.size();
  for (auto* k : written) {
    k->folding = false;
    std::erase_if(k->unfolded, [](const auto* u) { return u->folded; });
    k->base->prune(merged_before(*k, after));
    write_record(*k, *k->base, writes);
    if (k->damaged) writes.emplace_back(mark_write{stream_marks::damaged(k->key), "1"});
    watch_tombstones(*k, *k->base);
    ++k->unsynced;
  }
  for (const auto& o : from)
    writes.emplace_back(updates_erase{o, l, after.at(o)});
  return written;
}

void stream_replica::impl::state_folded(stream_lane l, std::vector<stream_write>& writes) const {
  const auto& staged = of(l).staged;
  writes.push_back(stream_marks::of(stream_marks::folded(l), staged.folded()));
  if (l == stream_lane::ordered) writes.push_back(stream_marks::of(stream_marks::shown, staged.shown()));
}

void stream_replica::impl::shorten(stream_lane l, instant now, std::vector<stream_write>& writes, effects& out) {
  auto& lane = of(l);
  for (auto& [of_life, log] : lane.logs) {
    if (!lane.shortened_due && log.bytes() <= options.own_log_bytes_max) continue;
    const origin own{options.self, of_life};
    const auto s = log.shorten(peers, {.folded = lane.staged.folded().at(own),
                                       .kept = log_kept_from(l, of_life, log, now),
                                       .bytes_max = options.own_log_bytes_max});
    if (s.upto.seq == 0) continue;
    writes.emplace_back(updates_erase{own, l, s.upto.seq});
    writes.emplace_back(
        mark_write{stream_marks::erased(of_life, l), stream_marks::numbers(s.upto.seq, s.upto.clock)});
    if (s.cut) out.push_back(log_cut{of_life, l, s.upto.seq});
  }
  lane.shortened_due = false;
}

void stream_replica::impl::watch_tombstones(const stream_key& k, const sibling_set& folded) {
  auto& list = tombstones[static_cast<std::size_t>(k.lane)];
  if (list.size() >= tombstones_max) return; // found again when the key is read or written
  std::uint64_t newest = 0;                  // all of them go then
  for (const auto& s : folded.entries())
    if (s.kind == sibling_kind::tombstone) newest = std::max(newest, s.when.clock);
  if (newest != 0) list.emplace(newest, k.key);
}

void stream_replica::impl::collect(stream_lane l, std::uint64_t upto, effects& out) {
  auto& list = tombstones[static_cast<std::size_t>(l)];
  const auto& lane = of(l);
  std::vector<stream_write> writes;
  std::vector<stream_key*> written;
  for (std::size_t n = 0; n < collect_max && !list.empty() && list.begin()->first <= upto; ++n) {
    const auto name = list.begin()->second;
    list.erase(list.begin());
    auto& k = key_of(name, l, *type_of(name), out);
    // What is being read, or has news, comes back into the list by that.
    if (k.record != stream_key::bytes::here || k.damaged || !k.unfolded.empty()) continue;
    // Only what is folded counts as merged here: nothing of the key is on its way, see above.
    const auto result =
        k.visible.collect_tombstones({.stable = lane.stable, .clock = upto, .hides = has_losers(k.type->resolver)});
    if (result.collected == 0) continue;
    counts.collected += result.collected;
    k.visible.prune(lane.staged.folded());
    write_record(k, k.visible, writes);
    ++k.unsynced;
    touched(k);
    written.push_back(&k);
  }
  if (!writes.empty()) store(std::move(writes), records_durable{.keys = std::move(written)}, out);
}

} // namespace troupe
