// Reads: what has to be here first, and what is seen then.
#include "protocol/stream/stream_replica_impl.hpp"

#include "protocol/session/session_vector.hpp"

#include <algorithm>

namespace troupe {

bool stream_replica::impl::read(std::uint64_t cookie, operation& o, instant now, effects& out) {
  const auto l = lane_of(*o.type);
  auto& lane = of(l);
  const auto& what = o.what;
  const auto promised = static_cast<level>(what.level());
  if (lane.is_closed()) {
    fail(o, errc::unavailable, out);
    return true;
  }
  const auto wait_for = [&](version_vector wanted) {
    ++counts.waited;
    o.waited = o.awaiting = true;
    prevented(violation::behind_session);
    operation_deadlines.erase({o.deadline, cookie});
    out.push_back(await{cookie, std::move(wanted), o.deadline});
    return false;
  };
  if (what.has_cut()) {
    const auto cut = from_wire(what.cut());
    if (!cut.contains(lane.staged.folded())) {
      fail(o, errc::old_cut, out);
      return true;
    }
    if (!lane.staged.shown().contains(cut)) return wait_for(cut);
  } else if (promised != level::eventual) {
    const bool asked = promised == level::causal
                       || (what.guarantees() & (guarantee::read_your_writes | guarantee::monotonic_reads)) != 0;
    auto seen = asked ? from_wire(what.session().seen()) : version_vector{};
    if (!lane.staged.shown().contains(seen)) return wait_for(std::move(seen));
  }
  const bool with_own = promised == level::causal || (what.guarantees() & guarantee::read_your_writes) != 0;
  if (l == stream_lane::ordered && promised != level::eventual && with_own && !mutated(mutation::own_write_hidden)) {
    for (const auto& d : what.own()) {
      const auto at = from_wire(d);
      if (at.seq == 0 || lane.taken.covers(at)) continue;
      if (const auto last = lane.staged.last_of(at.from); last && *last < at.seq) {
        // It was answered before it was on the disk, and went with that life.
        auto a = failure(o, errc::lost_update);
        to_wire(dot{at.from, *last}, *a.mutable_survived());
        a.set_waits_for_node(at.from.node.value);
        to_wire(at, *a.mutable_waits_for());
        out.push_back(answer{o.from, std::move(a)});
        return true;
      }
      // Accepted elsewhere in this region, and on its way.
      if (!o.waited) ++counts.waited;
      o.waited = true;
      prevented(violation::went_back);
      expecting[at].push_back(cookie);
      o.expects = at;
      return false;
    }
  }
  if (what.staleness_us() != 0 && promised == level::eventual && !fresh_enough(cookie, o, now, out)) return false;
  auto& k = key_of(what.key(), l, *o.type, out);
  if (k.record != stream_key::bytes::here) {
    k.waiting.push_back(cookie);
    touched(k);
    return false;
  }
  ++counts.cache_hits;
  touched(k);
  return read_record(o, k, now, out);
}

sibling_set stream_replica::impl::state_at(const stream_key& k, const version_vector& cut,
                                           const std::vector<dot>& own) const {
  const auto& lane = of(k.lane);
  const auto& folded = lane.staged.folded();
  const bool all = cut.contains(lane.staged.shown());
  auto state = all || !k.base ? k.visible : *k.base;
  for (const auto* u : k.unfolded) {
    if (all && u->visible) continue;
    const bool in_cut = u->visible && cut.covers(u->at) && !lane.staged.missing(cut, u->depends);
    const bool theirs = std::find(own.begin(), own.end(), u->at) != own.end();
    if (in_cut || theirs) state.merge(u->at.from, *u->what, {.received = folded});
  }
  return state;
}

bool stream_replica::impl::read_record(operation& o, stream_key& k, instant now, effects& out) {
  if (k.damaged) {
    fail(o, errc::corrupt, out);
    return true;
  }
  if (k.withdrawn) note_change(k); // the lane is open again
  const auto& lane = of(k.lane);
  const auto& what = o.what;
  const bool ordered = k.lane == stream_lane::ordered;
  const auto cut = what.has_cut() ? from_wire(what.cut()) : lane.staged.shown();
  std::vector<dot> own;
  const bool with_own =
      static_cast<level>(what.level()) == level::causal || (what.guarantees() & guarantee::read_your_writes) != 0;
  if (ordered && with_own && !mutated(mutation::own_write_hidden))
    for (const auto& d : what.own()) // one that is not among the staged is part of the record
      if (const auto* u = lane.staged.find(from_wire(d)); u != nullptr && (!u->visible || what.has_cut()))
        own.push_back(u->at);
  const bool plain = own.empty() && !what.has_cut();
  std::optional<sibling_set> apart;
  if (!plain) apart = state_at(k, cut, own);
  const auto& state = plain ? k.visible : *apart;
  auto seen = resolve(k.type->resolver, state);

  auto a = answer_to(attempt_of(what));
  auto& r = *a.mutable_result();
  r.set_exists(seen.exists);
  r.set_value(std::move(seen.value));
  r.set_number(seen.number);
  if (seen.winner) {
    auto& v = *r.mutable_version();
    v.set_round(seen.when.clock);
    v.set_node(seen.winner.from.node.value);
    v.set_incarnation(seen.winner.from.life);
    v.set_counter(seen.winner.seq);
  }
  for (const auto& i : seen.items)
    to_wire(i, *a.add_items());
  // A write that quotes it replaces what was read, whatever of the key's other versions was replaced by that already.
  auto context = seen.context;
  state.excess_into({}, context);
  to_wire(context, *a.mutable_context());
  a.mutable_session()->set_clock(state.clock());
  raise_session(a, ordered ? cut : version_vector{}, state.clock());
  a.set_waited_us(o.waited ? static_cast<std::uint64_t>(
                      std::chrono::duration_cast<std::chrono::microseconds>(now - o.arrived).count())
                           : 0);
  if (const auto age = age_of(k.shard, k.lane, now))
    a.set_staleness_us(static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::microseconds>(*age).count()));
  check_answer(o, a, state);
  out.push_back(answer{o.from, std::move(a)});
  return true;
}

/// Looks at the answer alone, and at what is known of the updates in it: not at how it was decided.
void stream_replica::impl::check_answer(const operation& o, const v1::WeakAnswer& a, const sibling_set& state) {
  const auto& what = o.what;
  if (lane_of(*o.type) != stream_lane::ordered || static_cast<level>(what.level()) == level::eventual) return;
  const auto at = from_wire(a.session().seen());
  const bool reads = static_cast<level>(what.level()) == level::causal
                     || (what.guarantees() & (guarantee::read_your_writes | guarantee::monotonic_reads)) != 0;
  if (reads && !what.has_cut() && !at.contains(from_wire(what.session().seen()))) served(violation::behind_session);
  std::set<dot> own;
  for (const auto& d : what.own())
    own.insert(from_wire(d));
  const auto& staged = of(stream_lane::ordered).staged;
  for (const auto& s : state.entries()) {
    if (own.contains(s.at)) {
      own.erase(s.at);
      continue;
    }
    const auto* u = staged.find(s.at);
    if (!at.covers(s.at) || (u != nullptr && staged.missing(at, from_wire(u->what->depends()))))
      served(violation::dependency_missing);
  }
  // Each own write is what is seen, or something that replaced it, or something that beats it.
  if ((what.guarantees() & guarantee::read_your_writes) == 0 && static_cast<level>(what.level()) != level::causal)
    return;
  for (const auto& d : own) {
    if (d.seq == 0 || staged.folded().covers(d)) continue;
    const auto* u = staged.find(d);
    if (u == nullptr || u->what->key() != what.key()) continue;
    sibling_set with = state;
    if (with.merge(d.from, *u->what, {.received = staged.folded()}).added) served(violation::went_back);
  }
}

} // namespace troupe
