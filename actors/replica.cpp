#include "actors/replica.hpp"

#include "actors/spawn.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <deque>

namespace troupe {

namespace {

struct replica_state {
  std::optional<replica_config> config;
  std::optional<acceptor> core;
  acceptor::effects effects; ///< empty between handlers
  alarm timer;
  bool failed = false;             ///< the store refused a write: nothing is promised or answered any more
  bool flush_due = false;          ///< a flush message is under way
  std::uint64_t gathered = 0;      ///< number of the last write handed over by the core
  std::vector<store_write> writes; ///< gathered, not given to the store yet
  std::vector<load_request> loads;
  /// What is said once the write of this number is durable, in order. Bounded by the core: pending_max.
  std::deque<std::pair<std::uint64_t, std::variant<acceptor::answer, acceptor::lessee_changed>>> held;
  std::uint64_t durable = 0;
  static inline const char* name = "troupe.replica";
};

using self_ptr = replica_actor::stateful_pointer<replica_state>;

const actor_context& context(self_ptr self) { return self->state.config->context; }

void flush_soon(self_ptr self) {
  if (self->state.flush_due) return;
  self->state.flush_due = true;
  self->send(self, flush_atom::value); // what is in the mailbox by then goes into the same sync
}

struct performer {
  self_ptr self;

  void operator()(acceptor::persist_record& p) const {
    auto& state = self->state;
    state.gathered = p.write;
    state.writes.emplace_back(record_write{p.shard, std::move(p.key), std::move(p.record)});
    flush_soon(self);
  }
  void operator()(acceptor::persist_promise& p) const {
    auto& state = self->state;
    state.gathered = p.write;
    state.writes.emplace_back(promise_write{p.shard, std::move(p.promise)});
    flush_soon(self);
  }
  void operator()(acceptor::persist_collection& p) const {
    auto& state = self->state;
    state.gathered = p.write;
    state.writes.emplace_back(record_erase{p.shard, std::move(p.key)}); // one call of the store takes both
    state.writes.emplace_back(promise_write{p.shard, std::move(p.promise)});
    flush_soon(self);
  }
  void operator()(const acceptor::scan& s) const {
    auto me = caf::actor_cast<replica_actor>(self);
    self->state.config->store->scan(s.shard, s.after, [me, shard = s.shard](scan_result found) {
      caf::anon_send(me, scanned{shard, std::move(found)});
    });
  }
  void operator()(acceptor::load& l) const {
    self->state.loads.push_back({l.shard, std::move(l.key)});
    flush_soon(self);
  }
  void operator()(acceptor::answer& a) const { a.urgent ? say(a) : say_in_turn(a); }
  void operator()(acceptor::lessee_changed& l) const { say_in_turn(l); }
  void operator()(const note& n) const { context(self).record(n); }

  template <class Said> void say_in_turn(Said& what) const {
    auto& state = self->state;
    if (state.gathered <= state.durable)
      say(what);
    else
      state.held.emplace_back(state.gathered, std::move(what));
  }
  void say(acceptor::answer& a) const { context(self).board->post(a.to, std::move(a.envelope)); }
  void say(const acceptor::lessee_changed& l) const {
    const auto& managers = context(self).board->lock_managers;
    if (l.shard.value < managers.size() && managers[l.shard.value])
      caf::anon_send(managers[l.shard.value], home_seen{l.shard, l.era, l.leaver});
  }
};

template <class Step> void step(self_ptr self, Step&& take) {
  auto& state = self->state;
  if (state.failed) return;
  take(*state.core, context(self).now(), state.effects);
  bool lessee_changed = false;
  for (auto& effect : state.effects) {
    lessee_changed |= std::holds_alternative<acceptor::lessee_changed>(effect);
    std::visit(performer{self}, effect);
  }
  state.effects.clear();
  // Renewals only move a lease's end further away: the timer that is armed stays early enough.
  if (lessee_changed) state.timer.arm(self, *context(self).clock, state.core->wake_at());
}

void flush(self_ptr self) {
  auto& state = self->state;
  state.flush_due = false;
  if (state.failed) return;
  auto me = caf::actor_cast<replica_actor>(self);
  if (!state.writes.empty()) {
    const auto upto = state.gathered;
    state.config->store->persist(std::exchange(state.writes, {}), [me, upto](errc error) {
      caf::anon_send(me, persisted{upto, error});
    });
  }
  if (!state.loads.empty()) {
    auto keys = std::exchange(state.loads, {});
    auto asked = keys;
    state.config->store->load(std::move(asked),
                              [me, keys = std::move(keys)](std::vector<load_result> results) mutable {
                                caf::anon_send(me, loaded{std::move(keys), std::move(results)});
                              });
  }
}

void on_persisted(self_ptr self, const persisted& p) {
  auto& state = self->state;
  if (state.failed) return;
  if (p.error != errc::none) {
    state.failed = true;
    state.held.clear();
    if (context(self).log) context(self).log->critical("replica.store_failed upto={}", p.upto);
    if (state.config->store_failed) state.config->store_failed();
    return;
  }
  state.durable = p.upto;
  state.core->persisted(p.upto);
  while (!state.held.empty() && state.held.front().first <= state.durable) {
    std::visit([say = performer{self}](auto& what) { say.say(what); }, state.held.front().second);
    state.held.pop_front();
  }
}

void on_scanned(self_ptr self, const scanned& s) {
  std::vector<tombstone_list::entry> found;
  for (const auto& each : s.found.tombstones)
    found.push_back({each.key, each.accepted_in});
  self->state.core->scanned(s.shard, found, s.found.next);
}

/// Damaged bytes are never served; that there were some is worth knowing. A store that has failed says so of
/// everything.
void tell_of_damage(self_ptr self, const load_request& of) {
  const auto& monitor = context(self).board->monitor;
  if (self->state.failed || !monitor) return;
  violation_event found;
  found.kind = violation_kind::checksum;
  found.end = violation_end::prevented;
  found.type = of.key.substr(0, of.key.find(':'));
  found.key = of.key;
  found.detail = "in the store of this node, found by a read";
  caf::anon_send(monitor, std::move(found));
}

acceptor::found found_of(load_result& result) {
  if (auto* record = std::get_if<v1::StoredRecord>(&result)) return std::move(*record);
  if (std::holds_alternative<damaged>(result)) return acceptor::damage{};
  return std::monostate{};
}

replica_actor::behavior_type replica(self_ptr self, replica_config config) {
  auto& state = self->state;
  state.config = std::move(config);
  state.core.emplace(state.config->options, state.config->store->promises(), context(self).now());
  self->set_default_handler(caf::drop);

  auto pass = [self](node_id from, auto&& message) {
    step(self, [&](acceptor& core, instant now, acceptor::effects& out) {
      core.receive(from, std::forward<decltype(message)>(message), now, out);
    });
  };
  return {
      [pass](node_id from, const v1::Claim& m) { pass(from, m); },
      [pass](node_id from, const v1::ReleaseHome& m) { pass(from, m); },
      [pass](node_id from, const v1::RenewLeases& m) { pass(from, m); },
      [pass](node_id from, v1::ReadLatest& m) { pass(from, std::move(m)); },
      [pass](node_id from, v1::Accept& m) { pass(from, std::move(m)); },
      [pass](node_id from, const v1::Collect& m) { pass(from, m); },
      [pass](node_id from, const v1::ListTombstones& m) { pass(from, m); },
      [self](const persisted& p) { on_persisted(self, p); },
      [self](loaded& l) {
        for (std::size_t i = 0; i < l.keys.size(); ++i) {
          if (std::holds_alternative<damaged>(l.results[i])) tell_of_damage(self, l.keys[i]);
          step(self, [&](acceptor& core, instant now, acceptor::effects& out) {
            core.loaded(l.keys[i].shard, l.keys[i].key, found_of(l.results[i]), now, out);
          });
        }
      },
      [self](const scanned& s) { on_scanned(self, s); },
      [self](tick_atom) {
        if (self->state.failed) return; // its core stands still: it would want the same tick for ever
        auto& timer = self->state.timer;
        timer.fired(context(self).now());
        step(self, [](acceptor& core, instant now, acceptor::effects& out) { core.tick(now, out); });
        timer.arm(self, *context(self).clock, self->state.core->wake_at());
      },
      [self](flush_atom) { flush(self); },
      [self](status_atom) {
        const auto& core = *self->state.core;
        return replica_status{.tombstones = core.tombstones(), .collected = core.collected()};
      },
  };
}

} // namespace

replica_actor spawn_replica(caf::actor_system& system, replica_config config) {
  auto* const thread = config.context.thread;
  return spawn_on(system, thread, replica, std::move(config));
}

} // namespace troupe
