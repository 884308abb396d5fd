// Claiming a shard, holding it, letting it go. What happens to its keys is in home_touch.cpp, home_keys.cpp,
// home_locks.cpp and home_collection.cpp.
#include "protocol/strong/home.hpp"

#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"

#include <algorithm>

namespace troupe {

namespace {

std::string describe(shard_id shard, const epoch& era) {
  return "shard=" + to_string(shard) + " epoch=" + to_string(era);
}

} // namespace

home::home(home_options options)
    : options_{std::move(options)},
      holders_{{.shard = options_.shard,
                .lease = options_.lease,
                .retransmit = options_.retransmit,
                .nodes_max = options_.holders_max,
                .bytes_max = options_.held_bytes_max,
                .queue_max = options_.holder_queue_max}} {
  TROUPE_ASSERT(std::find(options_.replicas.begin(), options_.replicas.end(), options_.self)
                != options_.replicas.end());
  connected_.insert(options_.self);
}

instant home::lease_until() const { return role_ == role::leading ? lease_->until() : instant::min(); }

std::size_t home::undecided() const {
  return static_cast<std::size_t>(std::count_if(
      busy_.begin(), busy_.end(), [&](const auto& name) { return !keys_.find(name)->second.to_collect; }));
}

std::size_t home::in_doubt() const {
  return static_cast<std::size_t>(std::count_if(busy_.begin(), busy_.end(), [&](const auto& name) {
    const auto& undecided = keys_.find(name)->second.undecided;
    return undecided && undecided->what != proposal::kind::write_back && undecided->participants.empty();
  }));
}

// -- claiming
// ---------------------------------------------------------------------------------------------------------

bool home::can_reach_majority() const {
  const auto reachable = std::count_if(options_.replicas.begin(), options_.replicas.end(),
                                       [&](node_id r) { return connected_.contains(r); });
  return static_cast<std::size_t>(reachable) >= majority();
}

/// How many connected nodes that may claim stand before this one in the shard's order.
std::size_t home::rank() const {
  std::size_t n = 0;
  for (auto r : options_.replicas) {
    if (r == options_.self) return n;
    if (connected_.contains(r) && !leavers_.contains(r)) ++n;
  }
  return n;
}

/// Spreads candidates that collided: differs by node, shard and attempt, and is the same in every run of a seed.
nanoseconds home::jitter() const {
  auto x = options_.self.value * 0x9E3779B97F4A7C15ULL + options_.shard.value * 0xC2B2AE3D27D4EB4FULL + attempts_;
  x ^= x >> 29;
  x *= 0xBF58476D1CE4E5B9ULL;
  x ^= x >> 32;
  const auto spread = nanoseconds{options_.lease} / 2;
  return nanoseconds{static_cast<std::int64_t>(x % static_cast<std::uint64_t>(spread.count() + 1))};
}

/// Plans the next claim, or waits for the end of somebody else's lease: this node's replica will report it.
void home::plan_claim(instant now, nanoseconds extra) {
  if (leased_elsewhere()) {
    known_home_ = lessee_here_.node;
    claim_at_ = never;
    return;
  }
  if (retired_) return;
  claim_at_ = now + extra + nanoseconds{options_.stagger} * static_cast<std::int64_t>(rank());
}

void home::start(instant now, effects&) {
  // Nobody is connected yet: wait in the shard's order, as if everybody were there.
  const auto self = std::find(options_.replicas.begin(), options_.replicas.end(), options_.self);
  claim_at_ = now + nanoseconds{options_.stagger} * (self - options_.replicas.begin());
}

void home::saw(const epoch& era) { highest_ = std::max(highest_, era); }

epoch home::next_epoch() const {
  if (mutated(mutation::epoch_used_twice) && era_ && highest_ <= era_) return era_;
  // The lowest epoch of this incarnation above everything that was seen.
  epoch next{.round = std::max<std::uint64_t>(highest_.round, 1), .node = options_.self, .life = options_.life};
  if (next <= highest_ || next <= era_) ++next.round;
  return next;
}

void home::claim(instant now, effects& out) {
  claim_at_ = never;
  if (retired_) return;
  ++attempts_;
  era_ = next_epoch();
  saw(era_);
  role_ = role::claiming;
  lease_.emplace(options_.replicas.size(), options_.lease, options_.drift_ppm);
  claims_sent_.clear();
  claimed_.clear();
  claim_ends_ = now + nanoseconds{options_.lease} / 2;
  out.emplace_back(note{"home.claiming", describe(options_.shard, era_)});
  // The own replica is asked last, when its vote decides: a candidate that nobody hears must not raise even its own
  // promise, or it would shut out the home that everybody else hears.
  for (auto r : options_.replicas)
    if (r != options_.self && connected_.contains(r)) send_claim(r, now, out);
  if (majority() == 1) send_claim(options_.self, now, out);
}

void home::send_claim(node_id to, instant now, effects& out) {
  send s{.to = to, .envelope = {}};
  auto& c = *s.envelope.mutable_claim();
  c.set_shard(options_.shard.value);
  c.set_number(++numbers_);
  to_wire(era_, *c.mutable_epoch());
  c.set_lease_ms(static_cast<std::uint64_t>(options_.lease.count()));
  claims_sent_.emplace(numbers_, now);
  claimed_.insert(to);
  out.emplace_back(std::move(s));
}

void home::send_release(node_id to, effects& out) const {
  send s{.to = to, .envelope = {}};
  auto& release = *s.envelope.mutable_release_home();
  release.set_shard(options_.shard.value);
  to_wire(era_, *release.mutable_epoch());
  release.set_leaving(retired_);
  out.emplace_back(std::move(s));
}

void home::abandon_claim(instant now, nanoseconds pause, effects& out) {
  role_ = role::idle;
  claim_ends_ = never;
  for (auto r : claimed_)
    send_release(r, out);
  out.emplace_back(note{"home.claim_failed", describe(options_.shard, era_)});
  held_bytes_ = 0;
  for (const auto& early : std::exchange(lobby_, {}))
    turn_away(early.from, early.operation, v1::NotHome::NO_HOME, out);
  plan_claim(now, pause);
}

void home::receive(node_id from, const v1::Granted& granted, instant now, effects& out) {
  if (role_ == role::idle || from_wire(granted.epoch()) != era_) return;
  auto sent = claims_sent_.find(granted.number());
  if (sent == claims_sent_.end()) return;
  lease_->answered(from, mutated(mutation::lease_from_answer) ? now : sent->second);
  claims_sent_.erase(sent);
  if (role_ == role::leading) return;
  if (lease_->grants() >= majority()) return begin_leading(now, out);
  if (lease_->grants() + 1 >= majority() && !claimed_.contains(options_.self)) send_claim(options_.self, now, out);
}

void home::receive(node_id, const v1::Refused& refused, instant now, effects& out) {
  const auto promised = from_wire(refused.promised());
  saw(promised);
  if (claims_sent_.erase(refused.number()) == 0) return;
  if (role_ == role::leading && refused.reason() == v1::Refused::PROMISED) return raise_round(promised, now, out);
  if (role_ != role::claiming) return;
  if (refused.reason() == v1::Refused::LEASED && refused.home() != 0) known_home_ = {refused.home()};
  // Claims that can still be granted, the own one included while it is held back.
  const auto open = claims_sent_.size() + (claimed_.contains(options_.self) ? 0 : 1);
  if (lease_->grants() + open >= majority()) return;
  // The end of a lease is known, and candidates come in their order; after a collision they spread.
  if (refused.reason() == v1::Refused::LEASED)
    abandon_claim(now, milliseconds{refused.remaining_ms()}, out);
  else
    abandon_claim(now, jitter(), out);
}

void home::begin_leading(instant now, effects& out) {
  claim_ends_ = never;
  if (now >= lease_->until()) return abandon_claim(now, jitter(), out); // the answers took too long
  role_ = role::leading;
  known_home_ = options_.self;
  counter_ = 0;
  draining_ = false;
  holders_.reset(era_);
  reclaim_at_ = now + nanoseconds{options_.lease} / 4;
  led_since_ = now;
  ask_tombstones_ = now + std::max(options_.collection.after, options_.collection.every);
  tombstones_after_.clear();
  tombstones_as_ = 0;
  out.emplace_back(lead{era_});
  out.emplace_back(note{"home.leading", describe(options_.shard, era_)});
  held_bytes_ = 0; // each is counted again
  for (auto& early : std::exchange(lobby_, {})) {
    const auto waited = std::chrono::duration_cast<std::chrono::microseconds>(now - early.arrived);
    const auto budget = std::chrono::microseconds{early.operation.budget_us()};
    early.operation.set_budget_us(static_cast<std::uint64_t>(std::max(budget - waited, {}).count()));
    receive(early.from, std::move(early.operation), now, out);
  }
}

void home::lessee_seen(const epoch& era, node_id leaver, instant now, effects& out) {
  saw(era);
  leavers_.erase(era.node);
  if (leaver.value != 0) leavers_.insert(leaver);
  lessee_here_ = era;
  // After a pause this may be the first to say that the own lease has lapsed. It is said once.
  if (leads(now, out) || role_ != role::idle) return;
  if (era) {
    known_home_ = era.node;
    claim_at_ = never;
    if (handover_ends_ != never && era.node != options_.self) {
      handover_ends_ = never;
      out.emplace_back(released{});
    }
  } else {
    known_home_ = {};
    plan_claim(now, nanoseconds{0});
  }
}

void home::peer(node_id who, bool up, instant now, effects& out) {
  if (std::find(options_.replicas.begin(), options_.replicas.end(), who) == options_.replicas.end()) return;
  if (!up) {
    connected_.erase(who);
    return;
  }
  connected_.insert(who);
  leavers_.erase(who); // it has come back
  if (role_ == role::claiming && !claimed_.contains(who)) send_claim(who, now, out);
  if (role_ == role::idle && now >= claim_at_ && can_reach_majority()) claim(now, out);
  // What was under way to this peer was lost with the old connection.
  if (role_ == role::leading && leads(now, out)) tick(now, out);
}

// -- leading
// ----------------------------------------------------------------------------------------------------------

bool home::leads(instant now, effects& out) {
  if (role_ == role::leading && now >= lease_->until()) {
    stop_leading("lapsed", now, out);
    if (mutated(mutation::epoch_used_twice)) claim(now, out);
  }
  return role_ == role::leading;
}

void home::stop_leading(std::string_view why, instant now, effects& out) {
  out.emplace_back(note{"home.stopped", describe(options_.shard, era_) + " why=" + std::string{why}});
  known_home_ = {}; // nobody is sent back here
  for (const auto& name : busy_) {
    auto& state = keys_.find(name)->second;
    if (state.undecided)
      for (const auto& p : state.undecided->participants)
        turn_away(p.who.from, p.who.operation, v1::NotHome::INTERRUPTED, out);
    for (const auto& w : state.queue)
      if (w.lock)
        refuse_lock(w, errc::unavailable, out);
      else
        turn_away(w.from, w.operation, v1::NotHome::NO_HOME, out);
    if (state.named)
      for (const auto& w : state.named->waiters)
        turn_away(w.from, w.operation, v1::NotHome::NO_HOME, out);
  }
  for (const auto& f : std::exchange(fences_, {}))
    turn_away(f.who.from, f.who.operation, v1::NotHome::INTERRUPTED, out);
  locks_.clear();
  busy_.clear();
  keys_.clear();
  by_use_.clear();
  bytes_ = queued_ = held_bytes_ = 0;
  wake_ = reclaim_at_ = ask_tombstones_ = never;
  holders_.reset({});
  role_ = role::idle;
  draining_ = false;
  out.emplace_back(unlead{era_});
  for (auto r : options_.replicas)
    send_release(r, out);
  if (retired_)
    hand_over(now, out);
  else
    plan_claim(now, nanoseconds{0});
}

void home::hand_over(instant now, effects& out) {
  const bool successor = std::any_of(options_.replicas.begin(), options_.replicas.end(), [&](node_id r) {
    return r != options_.self && connected_.contains(r) && !leavers_.contains(r);
  });
  if (successor && can_reach_majority() && !leased_elsewhere())
    handover_ends_ = now + nanoseconds{options_.lease};
  else
    out.emplace_back(released{}); // nobody else can claim, or somebody has
}

void home::renewed(node_id replica, const epoch& era, instant sent_at, const epoch& superseded_by, instant now,
                   effects& out) {
  saw(superseded_by);
  if (role_ != role::leading || era != era_) return;
  if (!leads(now, out)) return;
  if (!superseded_by) {
    lease_->answered(replica, mutated(mutation::lease_from_answer) ? now : sent_at);
    return;
  }
  raise_round(superseded_by, now, out);
}

/// Somebody's failed claim holds a replica's promise: only a higher epoch of ours gets it back. What is undecided is
/// finished first, so that nobody's outcome depends on it.
void home::raise_round(const epoch& promised, instant now, effects& out) {
  if (promised <= era_ || draining_ || !leads(now, out)) return;
  begin_draining(now, out);
  finish_draining(now, out);
}

/// Admits nothing from now on, and takes back what caches hold: the next home will know nothing of it.
void home::begin_draining(instant now, effects& out) {
  draining_ = true;
  holders::effects sent;
  holders_.recall_all(now, sent);
  pass_on(sent, now, out);
}

void home::finish_draining(instant now, effects& out) {
  if (!draining_) return;
  // Only what replicas were asked to accept holds it up. A touch that only reads might wait for ever, for the very
  // replica whose promise the higher round is to regain; what is queued was not executed, and is turned away.
  if (std::any_of(busy_.begin(), busy_.end(),
                  [&](const auto& name) { return keys_.find(name)->second.undecided.has_value(); }))
    return;
  if (!holders_.nobody_left(now) && !mutated(mutation::drain_not_awaited)) return;
  stop_leading(retired_ ? "released" : "raising the round", now, out);
  if (!retired_) claim_at_ = now;
}

void home::release(instant now, effects& out) {
  if (!retired_) {
    retired_ = true;
    claim_at_ = never;
    if (role_ == role::claiming) abandon_claim(now, nanoseconds{0}, out);
    if (leads(now, out)) begin_draining(now, out);
  }
  if (role_ == role::idle) {
    // When the lease lapsed just now, stop_leading has seen to it.
    const bool told = !out.empty() && std::holds_alternative<released>(out.back());
    if (handover_ends_ == never && !told) out.emplace_back(released{});
    return;
  }
  finish_draining(now, out);
}

// -- time
// -------------------------------------------------------------------------------------------------------------

void home::tick(instant now, effects& out) {
  switch (role_) {
  case role::idle:
    if (now >= claim_at_ && can_reach_majority()) claim(now, out);
    if (now >= handover_ends_) {
      handover_ends_ = never;
      out.emplace_back(released{});
    }
    return;
  case role::claiming:
    if (now >= claim_ends_) abandon_claim(now, jitter(), out);
    return;
  case role::leading:
    break;
  }
  if (!leads(now, out)) return;
  if (now >= reclaim_at_) {
    reclaim_at_ = now + nanoseconds{options_.lease} / 4;
    for (auto r : options_.replicas)
      if (!lease_->granted_by(r) && connected_.contains(r)) send_claim(r, now, out);
    while (claims_sent_.size() > 4 * options_.replicas.size())
      claims_sent_.erase(claims_sent_.begin());
  }
  wake_ = never;
  const std::vector<std::string> names(busy_.begin(), busy_.end());
  for (const auto& name : names) {
    auto e = keys_.find(name);
    if (e != keys_.end()) look_after(*e, now, out);
  }
  look_after_drains(now, out);
  forget_surplus();
  look_after_holders(now, out);
  if (now >= ask_tombstones_) ask_for_tombstones(now, out);
  finish_draining(now, out);
}

instant home::wake_at() const {
  switch (role_) {
  case role::idle:
    return std::min(can_reach_majority() ? claim_at_ : never, handover_ends_);
  case role::claiming:
    return claim_ends_;
  case role::leading:
    return std::min({wake_, reclaim_at_, ask_tombstones_, lease_->until(), holders_.wake_at()});
  }
  return never;
}

} // namespace troupe
