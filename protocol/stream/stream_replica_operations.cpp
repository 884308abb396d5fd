// Operations: what is wrong with one, what it has to wait for, and what becomes of it when its time is over.
#include "protocol/stream/stream_replica_impl.hpp"

#include "protocol/session/session_vector.hpp"

#include <algorithm>

namespace troupe {

namespace {

bool fits(const v1::Vector& v) {
  return static_cast<std::size_t>(v.entries_size()) <= limits::stream_vector_entries_max;
}

} // namespace

errc stream_replica::impl::defect_of(const v1::WeakOperation& what, const data_type*& type) const {
  if (!what.has_id() || what.id().number() == 0) return errc::invalid_argument;
  if (what.what_case() == v1::WeakOperation::WHAT_NOT_SET) return errc::invalid_argument;
  if (what.key().empty() || what.key().size() > limits::key_bytes_max) return errc::key_too_long;
  type = type_of(what.key());
  if (type == nullptr) return errc::unknown_type;
  const shard_id shard{what.shard()};
  if (shard != shard_of(what.key(), options.shards)) return errc::invalid_argument;
  if (what.level() >= static_cast<std::uint32_t>(level::strong)) return errc::unsupported_level;
  // A free lane's records are in no region's frontier: it cannot give more than its type promises.
  const bool free = lane_of(*type) == stream_lane::free;
  if (free && what.level() > static_cast<std::uint32_t>(level::eventual)) return errc::unsupported_level;
  if (free && what.has_cut()) return errc::unsupported_level;
  if (!fits(what.session().seen()) || !fits(what.depends()) || !fits(what.context()) || !fits(what.cut())
      || !fits(what.session().region()))
    return errc::invalid_argument;
  if (static_cast<std::size_t>(what.own_size()) > limits::session_own_writes_max) return errc::invalid_argument;
  if (what.put().value().size() > limits::value_bytes_max
      || what.put_field().value().size() > limits::value_bytes_max)
    return errc::value_too_large;
  if (what.budget_us() == 0) return errc::expired;
  if (!options.stored.contains(shard)) return errc::unavailable;
  if (is_write(what) && what.executor() != options.self.value) return errc::unavailable;
  return errc::none;
}

void stream_replica::impl::execute(node_id from, v1::WeakOperation&& what, instant now, std::uint64_t wall_ms,
                                   effects& out) {
  operation o;
  o.from = from;
  o.what = std::move(what);
  o.arrived = now;
  ++(is_write(o.what) ? counts.writes : counts.reads);
  wall_ms_last = wall_ms;
  // Further than that nobody's clock needs to reach.
  const auto budget = std::min<std::uint64_t>(o.what.budget_us(), 86'400'000'000);
  o.deadline = now + std::chrono::microseconds{budget};
  if (failed) return fail(o, errc::storage_failed, out);
  if (const auto defect = defect_of(o.what, o.type); defect != errc::none) {
    ++counts.refused;
    return fail(o, defect, out);
  }
  if (!is_ready) return fail(o, errc::unavailable, out);
  if (!has_room()) {
    ++counts.refused;
    return fail(o, errc::overloaded, out);
  }
  clock.saw({.clock = o.what.session().clock(), .origin = from});
  o.bytes = o.what.ByteSizeLong();
  const auto cookie = ++last_cookie;
  auto& slot = operations.emplace(cookie, std::move(o)).first->second;
  waiting_bytes += slot.bytes;
  if (proceed(cookie, slot, now, wall_ms, out)) return drop(cookie);
  if (!slot.awaiting) operation_deadlines.emplace(slot.deadline, cookie);
}

bool stream_replica::impl::has_room() const {
  std::size_t writes = 0;
  for (const auto& lane : lanes)
    writes += lane.undurable.size() + lane.unacknowledged.size();
  return operations.size() + writes < options.waiting_max && waiting_bytes < options.waiting_bytes_max;
}

bool stream_replica::impl::proceed(std::uint64_t cookie, operation& o, instant now, std::uint64_t wall_ms,
                                   effects& out) {
  return is_write(o.what) ? write(cookie, o, now, wall_ms, out) : read(cookie, o, now, out);
}

void stream_replica::impl::resume(std::uint64_t cookie, instant now, std::uint64_t wall_ms, effects& out) {
  const auto o = operations.find(cookie);
  if (o == operations.end() || o->second.awaiting) return;
  if (now >= o->second.deadline) {
    out.push_back(answer{o->second.from, too_late(o->second)});
    return drop(cookie);
  }
  if (proceed(cookie, o->second, now, wall_ms, out)) return drop(cookie);
  const auto& still = operations.at(cookie);
  if (!still.awaiting) operation_deadlines.emplace(still.deadline, cookie);
}

void stream_replica::impl::drop(std::uint64_t cookie) {
  const auto o = operations.find(cookie);
  if (o == operations.end()) return;
  operation_deadlines.erase({o->second.deadline, cookie});
  if (const auto e = expecting.find(o->second.expects); e != expecting.end()) {
    std::erase(e->second, cookie);
    if (e->second.empty()) expecting.erase(e);
  }
  if (o->second.stale_of.value != 0) of(lane_of(*o->second.type)).stale.erase(cookie);
  waiting_bytes -= o->second.bytes;
  operations.erase(o);
}

void stream_replica::impl::expire(instant now, effects& out) {
  while (!operation_deadlines.empty() && operation_deadlines.begin()->first <= now) {
    const auto cookie = operation_deadlines.begin()->second;
    operation_deadlines.erase(operation_deadlines.begin());
    const auto o = operations.find(cookie);
    if (o == operations.end() || o->second.awaiting) continue;
    // Where it stands in a list of those that wait, it is passed over when its turn comes.
    out.push_back(answer{o->second.from, too_late(o->second)});
    drop(cookie);
  }
  while (!write_deadlines.empty() && std::get<0>(*write_deadlines.begin()) <= now) {
    const auto [at, l, seq] = *write_deadlines.begin();
    write_deadlines.erase(write_deadlines.begin());
    auto* w = under_way({.at = {self_origin(), seq}, .lane = l});
    if (w == nullptr) continue;
    for (const auto& who : w->askers) {
      if (who.deadline > now) continue;
      auto a = done(w->outcome, who.what);
      // It has happened here, or will have; how many have it is what is not known.
      a.mutable_result()->set_error(static_cast<std::uint32_t>(errc::timeout));
      if (!mutated(mutation::token_not_raised_on_errors)) raise_session(a, w->seen, w->outcome.clock);
      out.push_back(answer{who.to, std::move(a)});
    }
    std::erase_if(w->askers, [now](const asker& a) { return a.deadline <= now; });
    auto& waiting = of(l).unacknowledged;
    if (const auto i = waiting.find(seq); i != waiting.end() && i->second.askers.empty()) waiting.erase(i);
  }
}

void stream_replica::impl::fail(const operation& o, errc error, effects& out) {
  out.push_back(answer{o.from, failure(o, error)});
}

/// To one whose time was over before what it waits for had come.
v1::WeakAnswer stream_replica::impl::too_late(const operation& o) {
  if (is_write(o.what))
    if (const auto* before = requests.find(from_wire(o.what.id()))) return answer_again(o, *before, errc::timeout);
  if (o.stale_of.value != 0) {
    auto a = failure(o, errc::too_stale);
    a.set_waits_for_node(o.stale_of.value);
    return a;
  }
  if (is_write(o.what) || !o.waited) return failure(o, errc::expired);
  auto a = failure(o, errc::dependency_timeout);
  if (o.what.own_size() > 0) {
    *a.mutable_waits_for() = o.what.own(o.what.own_size() - 1);
    a.set_waits_for_node(a.waits_for().node());
  }
  return a;
}

/// Not a write that was executed, or may have been.
void stream_replica::impl::refuse_for_good(const operation& o) {
  if (!is_write(o.what) || mutated(mutation::refusal_forgotten)) return;
  const auto id = from_wire(o.what.id());
  if (requests.find(id) == nullptr) refusals.add(id);
}

v1::WeakAnswer stream_replica::impl::failure(const operation& o, errc error) {
  if (outcome_of(error) == outcome::not_done) refuse_for_good(o);
  auto a = answer_to(attempt_of(o.what));
  a.mutable_result()->set_error(static_cast<std::uint32_t>(error));
  raise_session(a, {}, 0);
  return a;
}

v1::WeakAnswer stream_replica::impl::answer_to(const attempt& to) const {
  v1::WeakAnswer a;
  *a.mutable_id() = to.id;
  a.set_attempt(to.number);
  a.set_level(to.level);
  a.set_life(life);
  a.set_staleness_us(UINT64_MAX);
  return a;
}

void stream_replica::impl::raise_session(v1::WeakAnswer& a, const version_vector& seen, std::uint64_t stamp) const {
  to_wire(seen, *a.mutable_session()->mutable_seen());
  to_wire(of(stream_lane::ordered).staged.shown(), *a.mutable_session()->mutable_region());
  a.mutable_session()->set_clock(std::max(stamp, a.session().clock()));
}

} // namespace troupe
