// Bounds of staleness: what other members have accepted has to be shown here first (E4).
#include "protocol/stream/stream_replica_impl.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr std::uint64_t bound_us_max = 86'400'000'000; // a day
constexpr std::int64_t per_million = 1'000'000;

} // namespace

/// Whoever stores the shard may accept writes of it, out of the view or not: all of them count, this node too.
bool stream_replica::impl::fresh_enough(std::uint64_t cookie, operation& o, instant now, effects& out) {
  const nanoseconds bound = std::chrono::microseconds{std::min(o.what.staleness_us(), bound_us_max)};
  // From its arrival: it was called before. This node's clock may be slow, so it counts less than the whole bound.
  const auto since = o.arrived - (bound - bound / per_million * options.drift_ppm);
  const auto l = lane_of(*o.type);
  const auto& nodes = options.stored.at(shard_id{o.what.shard()});
  freshness::questions questions;
  for (const auto who : nodes)
    fresh.want(who, l, since, now, questions);
  ask(std::move(questions), now, out);
  const auto stale =
      std::find_if(nodes.begin(), nodes.end(), [&](node_id who) { return fresh.as_of(who, l) < since; });
  if (stale == nodes.end()) {
    o.stale_of = {};
    return true;
  }
  if (o.stale_of.value == 0) prevented(violation::bound_exceeded);
  o.stale_of = *stale;
  of(l).stale.insert(cookie);
  return false;
}

std::optional<nanoseconds> stream_replica::impl::age_of(shard_id shard, stream_lane l, instant now) const {
  auto oldest = now;
  for (const auto who : options.stored.at(shard))
    oldest = std::min(oldest, fresh.as_of(who, l));
  if (oldest == instant::min()) return std::nullopt;
  const auto age = now - oldest;
  return age + age / per_million * options.drift_ppm;
}

/// Own updates, of all lives, that are answered or going to be: those of former lives that did not survive are in no
/// answer any more.
version_vector stream_replica::impl::accepted(stream_lane l) const {
  version_vector own;
  for (const auto& e : of(l).taken.entries())
    if (e.from.node == options.self) own.raise(e.from, e.seq);
  return own;
}

void stream_replica::impl::freshness_asked(node_id from, const v1::FreshnessAsked& question, effects& out) {
  if (!is_ready || !v1::Lane_IsValid(question.lane())) return;
  tell_freshness told{from, {}};
  told.what.set_number(question.number());
  told.what.set_lane(question.lane());
  to_wire(accepted(static_cast<stream_lane>(question.lane())), *told.what.mutable_accepted());
  out.push_back(std::move(told));
}

void stream_replica::impl::ask(freshness::questions questions, instant now, effects& out) {
  for (std::size_t n = 0; n < questions.size(); ++n) { // this node's own answer may lead to another one
    const auto q = questions[n];
    if (q.to != options.self) {
      ask_freshness asked{q.to, {}};
      asked.what.set_number(q.number);
      asked.what.set_lane(static_cast<v1::Lane>(q.lane));
      out.push_back(std::move(asked));
    } else if (is_ready) {
      fresh.told({q.to, q.lane, q.number, accepted(q.lane)}, shows(q.lane), now, questions);
    }
  }
}

void stream_replica::impl::resume_stale(stream_lane l, instant now, effects& out) {
  for (const auto cookie : std::exchange(of(l).stale, {}))
    resume(cookie, now, 0, out);
}

freshness::is_shown stream_replica::impl::shows(stream_lane l) const {
  return [&lane = of(l)](const version_vector& v) { return lane.staged.shows(v); };
}

void stream_replica::impl::show_fresher(instant now, effects& out) {
  for (const auto l : {stream_lane::ordered, stream_lane::free}) {
    if (!std::exchange(of(l).more_shown, false)) continue;
    freshness::questions questions;
    const bool fresher = fresh.more_shown(l, shows(l), now, questions);
    ask(std::move(questions), now, out);
    if (fresher) resume_stale(l, now, out);
  }
}

void stream_replica::freshness_asked(node_id from, const v1::FreshnessAsked& question, effects& out) {
  impl_->freshness_asked(from, question, out);
}

void stream_replica::freshness_told(node_id from, const v1::FreshnessTold& told, const times& at, effects& out) {
  if (!v1::Lane_IsValid(told.lane())
      || static_cast<std::size_t>(told.accepted().entries_size()) > limits::stream_vector_entries_max)
    return;
  const auto l = static_cast<stream_lane>(told.lane());
  auto accepted = from_wire(told.accepted());
  const bool own = std::all_of(accepted.entries().begin(), accepted.entries().end(),
                               [from](const auto& e) { return e.from.node == from; });
  if (!own) {
    ++impl_->counts.refused;
    out.push_back(note{"stream.freshness_refused", "from=" + to_string(from)});
    return;
  }
  freshness::questions questions;
  const bool fresher =
      impl_->fresh.told({from, l, told.number(), std::move(accepted)}, impl_->shows(l), at.now, questions);
  impl_->ask(std::move(questions), at.now, out);
  if (fresher) impl_->resume_stale(l, at.now, out);
  impl_->publish_changes(out);
}

void stream_replica::peer(node_id who, bool connected, instant now, effects& out) {
  freshness::questions questions;
  impl_->fresh.peer(who, connected, now, questions);
  impl_->ask(std::move(questions), now, out);
  impl_->copy_peer(who, connected, now, out);
}

} // namespace troupe
