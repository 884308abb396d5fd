#include "protocol/strong/holder.hpp"

#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"
#include "protocol/strong/lease.hpp"
#include "protocol/strong/lock_messages.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Request numbers and generation numbers of an incarnation are above those of all earlier ones.
std::uint64_t first_of(incarnation life) { return life.value << 32; }

holder::cached cached_copy(shard_id shard, const lease_generation& g, std::string&& key, v1::Copy&& copy) {
  return {.shard = shard,
          .generation = g,
          .key = std::move(key),
          .at = from_wire(copy.version()),
          .exists = copy.exists(),
          .value = std::move(*copy.mutable_value())};
}

} // namespace

holder::holder(holder_options options) : options_{options}, numbers_{first_of(options.life)} {
  TROUPE_ASSERT(options.life.value >> 32 == 0);
}

void holder::drop(std::string_view reason, node_id from, std::uint32_t shard, effects& out) {
  out.emplace_back(note{"holder.dropped", "reason=" + std::string{reason} + " shard=" + to_string(shard_id{shard})
                                              + " node=" + to_string(from)});
}

instant holder::lease_until(shard_id shard) const {
  const auto i = leases_.find(shard);
  return i != leases_.end() && i->second.running ? i->second.until : instant::min();
}

// -- generations
// ------------------------------------------------------------------------------------------------------

/// The lease with the home of `shard`, as of now: one that has lapsed is given up first.
holder::lease& holder::lease_with(shard_id shard, instant now, effects& out) {
  const auto [i, fresh] = leases_.try_emplace(shard);
  if (fresh) i->second.number = first_of(options_.life) + 1;
  if (i->second.running && now >= i->second.until) give_up(i, "lapsed", false, out);
  return i->second;
}

std::optional<instant> holder::sent_at(std::uint64_t number) const {
  if (const auto a = asked_.find(number); a != asked_.end()) return a->second.sent_at;
  if (const auto r = renewals_.find(number); r != renewals_.end()) return r->second;
  return std::nullopt;
}

void holder::begin(lease_map::iterator i, node_id from, const v1::LeaseGranted& granted, effects& out) {
  auto& l = i->second;
  const auto g = from_wire(granted.generation());
  if (l.running) { // of an earlier home
    out.emplace_back(lease_ended{i->first});
    --running_;
  }
  l.running = true;
  ++running_;
  l.era = g.era;
  l.home = from;
  l.until = instant::min();
  l.applied = granted.sequence();
  l.pending.clear();
  l.large.clear();
  out.emplace_back(note{"holder.leased", "shard=" + to_string(i->first) + " generation=" + to_string(g)});
}

/// Ends the generation: nothing of it is readable, and its number is not used again.
void holder::give_up(lease_map::iterator i, std::string_view why, bool tell_home, effects& out) {
  auto& l = i->second;
  if (l.running) {
    l.running = false;
    --running_;
    out.emplace_back(lease_ended{i->first});
    out.emplace_back(note{"holder.ended", "shard=" + to_string(i->first) + " generation="
                                              + to_string(generation_of(l)) + " why=" + std::string{why}});
    if (tell_home) send_release(l, i->first, {}, out);
  }
  ++l.number;
  l.pending.clear();
  l.large.clear();
}

/// The lease that a message of a home's sequence is to be applied to; nullptr when it must not be. A message that
/// shows that something is missing ends the generation.
holder::lease* holder::in_sequence(shard_id shard, const lease_generation& g, std::uint64_t sequence, instant now,
                                   effects& out) {
  const auto i = leases_.find(shard);
  if (i == leases_.end()) return nullptr;
  auto& l = lease_with(shard, now, out);
  if (!l.running || g != generation_of(l)) {
    if (mutated(mutation::generation_not_checked) && l.running) return &l;
    // Of the generation that was asked for, but not its beginning.
    if (g.n == l.number && (!l.running || g.era > l.era)) give_up(i, "beginning missed", true, out);
    return nullptr;
  }
  if (mutated(mutation::old_connection_accepted)) {
    l.applied = std::max(l.applied, sequence);
    return &l;
  }
  if (sequence <= l.applied) return nullptr; // repeated
  if (sequence != l.applied + 1) {
    give_up(i, "gap", true, out);
    return nullptr;
  }
  l.applied = sequence;
  return &l;
}

void holder::receive(node_id from, const v1::LeaseGranted& granted, instant now, effects& out) {
  if (const auto flaw = flaw_of(from, granted); !flaw.empty()) return drop(flaw, from, granted.shard(), out);
  const shard_id shard{granted.shard()};
  const auto i = leases_.find(shard);
  if (i == leases_.end()) return;
  const auto g = from_wire(granted.generation());
  const auto sent = sent_at(granted.number());
  auto& l = lease_with(shard, now, out);
  const bool begins = granted.begins() && sent && g.n == l.number && (l.running ? g.era > l.era : g.era >= l.era);
  if (begins) {
    begin(i, from, granted, out);
  } else if (in_sequence(shard, g, granted.sequence(), now, out) == nullptr) {
    return;
  }
  if (!sent) return; // so long ago that it extends nothing
  const auto longest = std::chrono::duration_cast<std::chrono::microseconds>(options_.lease).count();
  const std::chrono::microseconds length{std::min(granted.lease_us(), static_cast<std::uint64_t>(longest))};
  const auto from_when = mutated(mutation::held_from_grant) ? now : *sent;
  const auto until = from_when + shortened(length, options_.drift_ppm);
  if (until <= l.until) return;
  l.until = until;
  out.emplace_back(lease_set{shard, generation_of(l), until});
  if (renew_at_ == never) {
    renew_at_ = now + nanoseconds{options_.lease} / 4;
    watch(renew_at_);
  }
}

// -- locks
// ------------------------------------------------------------------------------------------------------------

std::uint64_t holder::acquire(node_id home, shard_id shard, const std::string& key, nanoseconds budget, instant now,
                              effects& out) {
  const auto number = ++numbers_;
  if (released_ || asked_.size() >= options_.requests_max) {
    out.emplace_back(failed{number, released_ ? errc::unavailable : errc::overloaded, home});
    return number;
  }
  auto& l = lease_with(shard, now, out);
  if (!l.running) l.home = home;
  asked_.emplace(number, request{home, now});
  watch(now + nanoseconds{options_.patience});
  send s{.to = home, .envelope = {}};
  auto& r = *s.envelope.mutable_lock_request();
  r.set_shard(shard.value);
  r.set_number(number);
  r.set_generation(l.number);
  r.set_key(key);
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(budget).count();
  r.set_budget_us(static_cast<std::uint64_t>(std::max<std::int64_t>(left, 0)));
  out.emplace_back(std::move(s));
  return number;
}

void holder::receive(node_id from, v1::LockGranted granted, instant now, effects& out) {
  if (const auto flaw = flaw_of(from, granted); !flaw.empty()) return drop(flaw, from, granted.shard(), out);
  const shard_id shard{granted.shard()};
  auto& copy = *granted.mutable_copy();
  if (auto* l = in_sequence(shard, from_wire(granted.generation()), granted.sequence(), now, out)) {
    l->pending.erase(granted.key());
    l->large.erase(granted.key());
    if (copy.withheld()) {
      if (l->large.size() < options_.pending_max) l->large.emplace(granted.key(), from_wire(copy.version()));
    } else {
      out.emplace_back(publish{cached_copy(shard, generation_of(*l), std::string{granted.key()}, v1::Copy{copy})});
    }
  }
  if (!copy.withheld()) answer(granted.number(), std::move(copy), out);
}

void holder::receive(node_id from, v1::LargeCopy large, instant now, effects& out) {
  if (const auto flaw = flaw_of(from, large); !flaw.empty()) return drop(flaw, from, large.shard(), out);
  const shard_id shard{large.shard()};
  if (const auto i = leases_.find(shard); i != leases_.end()) {
    auto& l = lease_with(shard, now, out);
    const auto expected = l.large.find(large.key());
    if (l.running && from_wire(large.generation()) == generation_of(l) && expected != l.large.end()
        && expected->second == from_wire(large.copy().version())) {
      l.large.erase(expected);
      out.emplace_back(
          publish{cached_copy(shard, generation_of(l), std::string{large.key()}, v1::Copy{large.copy()})});
    }
  }
  answer(large.number(), std::move(*large.mutable_copy()), out);
}

void holder::receive(node_id from, v1::LockRefused refused, instant, effects& out) {
  if (const auto flaw = flaw_of(refused); !flaw.empty()) return drop(flaw, from, refused.shard(), out);
  // It ended before this node heard of its beginning. What runs here is left to its own messages.
  if (const auto i = leases_.find({refused.shard()});
      refused.over() != 0 && i != leases_.end() && !i->second.running && i->second.number == refused.over())
    give_up(i, "over", false, out);
  if (refused.error() == 0) return answer(refused.number(), std::move(*refused.mutable_copy()), out);
  fail(refused.number(), static_cast<errc>(refused.error()), {refused.hint()}, out);
}

void holder::receive(node_id from, v1::Recall recall, instant now, effects& out) {
  if (const auto flaw = flaw_of(from, recall); !flaw.empty()) return drop(flaw, from, recall.shard(), out);
  const shard_id shard{recall.shard()};
  const auto g = from_wire(recall.generation());
  send s{.to = from, .envelope = {}};
  auto& recalled = *s.envelope.mutable_recalled();
  recalled.set_shard(recall.shard());
  *recalled.mutable_generation() = recall.generation();
  recalled.set_sequence(recall.sequence());
  recalled.set_key(recall.key());
  *recalled.mutable_version() = recall.copy().version();

  if (const auto i = leases_.find(shard); i != leases_.end() && recall.key().empty()) {
    const auto& l = i->second;
    if (g.n == l.number && (!l.running || g.era >= l.era)) give_up(i, "recalled", false, out);
  } else if (auto* l = in_sequence(shard, g, recall.sequence(), now, out)) {
    l->large.erase(recall.key());
    l->pending.erase(recall.key());
    if (recall.copy().withheld() || l->pending.size() >= options_.pending_max) {
      out.emplace_back(erase{shard, std::move(*recall.mutable_key())});
    } else {
      recalled.set_kept(true);
      l->pending.emplace(recall.key(), from_wire(recall.copy().version()));
      out.emplace_back(unpublish{cached_copy(shard, generation_of(*l), std::move(*recall.mutable_key()),
                                             std::move(*recall.mutable_copy()))});
    }
  } else if (i != leases_.end() && i->second.running && g == generation_of(i->second)) {
    return; // repeated: it was answered, and if that was lost it will be sent anew
  }
  out.emplace_back(std::move(s));
}

void holder::receive(node_id from, const v1::Committed& committed, instant now, effects& out) {
  if (const auto flaw = flaw_of(from, committed); !flaw.empty()) return drop(flaw, from, committed.shard(), out);
  const shard_id shard{committed.shard()};
  const auto g = from_wire(committed.generation());
  auto* l = in_sequence(shard, g, committed.sequence(), now, out);
  if (mutated(mutation::duplicate_committed) && l == nullptr) {
    const auto i = leases_.find(shard);
    if (i != leases_.end() && i->second.running && g == generation_of(i->second)) l = &i->second;
  }
  if (l == nullptr) return;
  const auto waits = l->pending.find(committed.key());
  if (waits == l->pending.end()) return; // the table had no room for it
  if (waits->second != from_wire(committed.version()) && !mutated(mutation::duplicate_committed)) return;
  const auto at = waits->second;
  l->pending.erase(waits);
  out.emplace_back(commit{shard, committed.key(), at});
}

void holder::give_back(v1::Operation& write, instant now, effects& out) {
  const shard_id shard{write.shard()};
  if (!leases_.contains(shard)) return;
  auto& l = lease_with(shard, now, out);
  if (!l.running) return;
  l.pending.erase(write.key());
  l.large.erase(write.key());
  out.emplace_back(erase{shard, write.key()});
  auto& given_back = *write.mutable_given_back();
  to_wire(generation_of(l), *given_back.mutable_generation());
  given_back.set_applied(l.applied);
}

void holder::evicted(shard_id shard, const std::string& key, effects& out) {
  const auto i = leases_.find(shard);
  if (i == leases_.end() || !i->second.running) return;
  i->second.pending.erase(key);
  i->second.large.erase(key);
  send_release(i->second, shard, key, out);
}

void holder::send_release(const lease& l, shard_id shard, const std::string& key, effects& out) const {
  send s{.to = l.home, .envelope = {}};
  auto& release = *s.envelope.mutable_lock_release();
  release.set_shard(shard.value);
  to_wire(generation_of(l), *release.mutable_generation());
  release.set_applied(l.applied);
  release.set_key(key);
  out.emplace_back(std::move(s));
}

// -- reads that missed
// ------------------------------------------------------------------------------------------------

void holder::answer(std::uint64_t number, v1::Copy copy, effects& out) {
  if (asked_.erase(number) == 0) return; // given up, or answered before
  out.emplace_back(obtained{number, from_wire(copy.version()), copy.exists(), std::move(*copy.mutable_value())});
}

void holder::fail(std::uint64_t number, errc code, node_id hint, effects& out) {
  if (asked_.erase(number) != 0) out.emplace_back(failed{number, code, hint});
}

// -- time and peers
// ---------------------------------------------------------------------------------------------------

void holder::peer(node_id who, bool connected, instant, effects& out) {
  std::vector<std::uint64_t> lost;
  for (const auto& [number, r] : asked_)
    if (r.home == who) lost.push_back(number);
  for (auto number : lost)
    fail(number, errc::unavailable, {}, out);
  // A broken connection ends no lease: its home counts the time too. On a new one nobody knows what the old one lost.
  if (!connected || mutated(mutation::old_connection_accepted)) return;
  for (auto i = leases_.begin(); i != leases_.end(); ++i)
    if (i->second.home == who) give_up(i, "new connection", true, out);
}

void holder::release(effects& out) {
  released_ = true;
  for (auto i = leases_.begin(); i != leases_.end(); ++i)
    give_up(i, "released", true, out);
}

/// Renews what runs: one message per home's node.
void holder::renew(instant now, effects& out) {
  std::map<node_id, send> by_home;
  for (const auto& [shard, l] : leases_) {
    if (!l.running) continue;
    auto& s = by_home.try_emplace(l.home, send{.to = l.home, .envelope = {}}).first->second;
    auto& held = *s.envelope.mutable_lease_renew()->add_leases();
    held.set_shard(shard.value);
    to_wire(generation_of(l), *held.mutable_generation());
    held.set_applied(l.applied);
  }
  for (auto& [home, s] : by_home) {
    s.envelope.mutable_lease_renew()->set_number(++numbers_);
    renewals_.emplace(numbers_, now);
    out.emplace_back(std::move(s));
  }
}

void holder::tick(instant now, effects& out) {
  wake_ = never;
  while (!asked_.empty() && now >= asked_.begin()->second.sent_at + nanoseconds{options_.patience})
    fail(asked_.begin()->first, errc::timeout, {}, out);
  if (!asked_.empty()) watch(asked_.begin()->second.sent_at + nanoseconds{options_.patience});
  if (now < renew_at_) return watch(renew_at_);
  while (!renewals_.empty() && now >= renewals_.begin()->second + nanoseconds{options_.lease})
    renewals_.erase(renewals_.begin()); // an answer would extend nothing
  for (auto i = leases_.begin(); i != leases_.end(); ++i)
    if (i->second.running && now >= i->second.until) give_up(i, "lapsed", false, out);
  renew_at_ = running_ == 0 ? never : now + nanoseconds{options_.lease} / 4;
  watch(renew_at_);
  renew(now, out);
}

} // namespace troupe
