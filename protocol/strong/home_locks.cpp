// Read locks on the keys of a shard that this home leads: when they are granted, and when they are taken back.
#include "protocol/limits.hpp"
#include "protocol/mutation.hpp"
#include "protocol/strong/home.hpp"
#include "protocol/strong/lock_messages.hpp"
#include "protocol/strong/opened_record.hpp"
#include "protocol/strong/register_value.hpp"

#include <algorithm>

namespace troupe {

namespace {

v1::Copy copy_of(const v1::Record& record, const version& number) {
  v1::Copy copy;
  to_wire(number, *copy.mutable_version());
  copy.set_exists(exists(record, number));
  if (copy.exists()) copy.set_value(record.value());
  return copy;
}

} // namespace

/// Recalls that came to their end by the way are finished with the next tick, when nothing is half done.
void home::pass_on(holders::effects& from, instant now, effects& out) {
  if (holders_.any_ended()) watch(now);
  for (auto& each : from)
    std::visit([&](auto& e) { out.emplace_back(std::move(e)); }, each);
}

void home::drop_lock_message(node_id from, std::string_view reason, effects& out) const {
  out.emplace_back(note{"home.dropped", "reason=" + std::string{reason} + " shard=" + to_string(options_.shard)
                                            + " node=" + to_string(from)});
}

// -- granting
// ---------------------------------------------------------------------------------------------------------

void home::receive(node_id from, const v1::LockRequest& request, instant now, effects& out) {
  waiting w{.from = from, .operation = {}, .id = {}, .deadline = {}, .base = {}};
  w.operation.set_key(request.key());
  w.operation.mutable_get();
  w.lock = holders::wish{.from = from, .number = request.number(), .generation = request.generation()};
  w.deadline = now + std::chrono::microseconds{std::min<std::uint64_t>(request.budget_us(), 3'600'000'000)};
  w.bytes = request.ByteSizeLong();
  if (const auto flaw = flaw_of(request); !flaw.empty()) {
    drop_lock_message(from, flaw, out);
    return refuse_lock(w, errc::invalid_argument, out);
  }
  if (!leads(now, out) || draining_) return refuse_lock(w, errc::unavailable, out);
  admit(std::move(w), now, out);
  finish_recalls(now, out);
}

/// No write of the key is under way or waits.
bool home::is_quiet(const key_state& state) {
  return !state.undecided
         && std::none_of(state.queue.begin(), state.queue.end(), [](const auto& w) { return !reads(w.operation); });
}

/// Answers a LockRequest for a key that was touched: with a lock, or with the committed record alone.
///
/// Why no lock while a write is under way or waits: it would be taken back at once, and holders would starve the
/// writer.
void home::lock(entry& e, const waiting& w, const v1::Record& committed, instant now, effects& out) {
  auto& state = e.second;
  auto committed_copy = copy_of(committed, state.number);
  if (is_quiet(state) && !draining_) {
    holders_.home_leads_until(lease_->until());
    holders::effects sent;
    const bool granted = holders_.grant(*w.lock, e.first, committed_copy, now, sent);
    pass_on(sent, now, out);
    if (granted) {
      state.held = true;
      return;
    }
  }
  send s{.to = w.from, .envelope = {}};
  auto& refused = *s.envelope.mutable_lock_refused();
  refused.set_shard(options_.shard.value);
  refused.set_number(w.lock->number);
  *refused.mutable_copy() = std::move(committed_copy);
  if (holders_.over(*w.lock, now)) refused.set_over(w.lock->generation);
  out.emplace_back(std::move(s));
}

void home::refuse_lock(const waiting& w, errc code, effects& out) const {
  send s{.to = w.from, .envelope = {}};
  auto& refused = *s.envelope.mutable_lock_refused();
  refused.set_shard(options_.shard.value);
  refused.set_number(w.lock->number);
  refused.set_error(static_cast<std::uint32_t>(code));
  if (code == errc::unavailable) refused.set_hint(known_home_.value);
  out.emplace_back(std::move(s));
}

void home::renew_held(node_id from, std::uint64_t number, const v1::HeldLease& held, instant now, effects& out) {
  if (const auto flaw = flaw_of(held); !flaw.empty()) return drop_lock_message(from, flaw, out);
  if (!leads(now, out)) return;
  holders_.home_leads_until(lease_->until());
  holders::effects sent;
  holders_.renew(from, number, held, now, sent);
  pass_on(sent, now, out);
}

// -- taking back
// ------------------------------------------------------------------------------------------------------

/// A write of a held key: its proposal cannot commit before every holder has answered or lapsed.
void home::recall(entry& e, instant now, effects& out) {
  auto& p = *e.second.undecided;
  if (p.what == proposal::kind::write_back) return; // the same record under another ballot
  opened_record proposed{p.bytes};
  holders::effects sent;
  p.recalling =
      holders_.recall(e.first, copy_of(*proposed, p.number), now, sent) && !mutated(mutation::recall_not_awaited);
  pass_on(sent, now, out);
}

/// The write has committed.
void home::tell_holders(entry& e, instant now, effects& out) {
  holders::effects sent;
  holders_.committed(e.first, e.second.number, sent);
  e.second.held = holders_.hold(e.first);
  pass_on(sent, now, out);
}

void home::receive(node_id from, const v1::Recalled& recalled, instant now, effects& out) {
  if (const auto flaw = flaw_of(recalled); !flaw.empty()) return drop_lock_message(from, flaw, out);
  if (!leads(now, out)) return;
  holders_.home_leads_until(lease_->until());
  holders::effects sent;
  holders_.recalled(from, recalled, now, sent);
  pass_on(sent, now, out);
  finish_recalls(now, out);
  finish_draining(now, out);
}

void home::receive(node_id from, const v1::LockRelease& release, instant now, effects& out) {
  if (const auto flaw = flaw_of(release); !flaw.empty()) return drop_lock_message(from, flaw, out);
  if (!leads(now, out)) return;
  holders::effects sent;
  holders_.released(from, release, sent);
  pass_on(sent, now, out);
  finish_recalls(now, out);
  finish_draining(now, out);
}

/// The node of `write` has dropped its copy of the key.
/// @return the generation in which it held the key; 0 = it did not.
std::uint64_t home::take_back(node_id from, v1::Operation& write, instant now, effects& out) {
  const auto by_write = std::move(*write.mutable_given_back());
  write.clear_given_back();
  if (const auto flaw = flaw_of(by_write); !flaw.empty()) {
    drop_lock_message(from, flaw, out);
    return 0;
  }
  holders::effects sent;
  const bool held = holders_.given_back(from, write.key(), by_write, sent);
  pass_on(sent, now, out);
  finish_recalls(now, out);
  finish_draining(now, out);
  return held ? by_write.generation().number() : 0;
}

/// What nodes had given back with their writes, now that these are over.
void home::grant_anew(entry& e, instant now, effects& out) {
  auto& state = e.second;
  const auto givers = std::exchange(state.givers, {});
  if (draining_) return;
  opened_record committed{state.record};
  const auto committed_copy = copy_of(*committed, state.number);
  holders_.home_leads_until(lease_->until());
  holders::effects sent;
  for (const auto& [node, generation] : givers)
    holders_.grant_anew(node, generation, e.first, committed_copy, now, sent);
  state.held = holders_.hold(e.first);
  pass_on(sent, now, out);
}

void home::look_after_holders(instant now, effects& out) {
  holders::effects sent;
  holders_.tick(now, sent);
  pass_on(sent, now, out);
  finish_recalls(now, out);
}

/// Commits the writes that waited for holders only.
void home::finish_recalls(instant now, effects& out) {
  for (auto ended = holders_.take_ended(); !ended.empty(); ended = holders_.take_ended())
    for (const auto& name : ended) {
      const auto i = keys_.find(name);
      if (i == keys_.end() || !i->second.undecided) continue;
      i->second.undecided->recalling = false;
      if (decided(*i->second.undecided)) commit(*i, now, out);
    }
}

} // namespace troupe
