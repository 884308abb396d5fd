#include "actors/lock_manager.hpp"

#include "actors/spawn.hpp"

#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>

namespace troupe {

namespace {

/// Named locks of one shard in its status.
constexpr std::size_t locks_shown_max = 100;

struct lock_manager_state {
  std::optional<actor_context> context;
  std::optional<home> core;
  home::effects effects; ///< empty between handlers; keeps its capacity
  alarm timer;
  std::vector<caf::typed_response_promise<bool>> releases; ///< who waits for the shard to be released
  shard_id shard;
  std::uint64_t dropped = 0; ///< messages about read locks that the core refused
  static inline const char* name = "troupe.lock_manager";
};

using self_ptr = lock_manager_actor::stateful_pointer<lock_manager_state>;

struct performer {
  self_ptr self;

  void operator()(send& s) const { self->state.context->board->post(s.to, std::move(s.envelope)); }
  void operator()(const home::lead& l) const { tell_membership(l.era, true); }
  void operator()(const home::unlead& u) const { tell_membership(u.era, false); }
  void operator()(const home::released&) const {
    for (auto& promise : self->state.releases)
      promise.deliver(true);
    self->state.releases.clear();
  }
  void operator()(const note& n) const {
    if (n.name == "home.dropped") ++self->state.dropped;
    self->state.context->record(n);
  }

  void tell_membership(const epoch& era, bool leading) const {
    caf::anon_send(self->state.context->board->membership, lead_change{self->state.shard, era, leading});
  }
};

/// Runs one step of the core at this moment, then does what it asked for.
template <class Step> void step(self_ptr self, Step&& take) {
  auto& state = self->state;
  take(*state.core, state.context->now(), state.effects);
  for (auto& effect : state.effects)
    std::visit(performer{self}, effect);
  state.effects.clear();
  if (const auto at = state.core->wake_at(); state.timer.lower(at))
    caf::anon_send(state.context->board->timekeeper, wake_request{at, caf::actor_cast<lock_manager_actor>(self)});
}

home_status describe(const lock_manager_state& state, instant now) {
  const auto& core = *state.core;
  home_status s;
  s.shard = state.shard;
  s.era = core.era();
  s.home = core.known_home();
  s.leading = core.state() == home::role::leading;
  s.claiming = core.state() == home::role::claiming;
  s.lease_until = core.lease_until();
  s.keys = core.keys();
  s.queued = core.queued();
  s.undecided = core.undecided();
  s.in_doubt = core.in_doubt();
  s.committed = core.committed();
  s.collected = core.collected();
  s.dropped = state.dropped;
  s.holders = core.held().nodes(now);
  s.read_locks = core.held().locks();
  s.read_lock_bytes = core.held().bytes();
  s.recalls = core.held().recalls();
  s.locks = core.locks(now, locks_shown_max);
  return s;
}

lock_manager_actor::behavior_type lock_manager(self_ptr self, lock_manager_config config) {
  self->state.shard = config.options.shard;
  self->state.context = std::move(config.context);
  self->state.core.emplace(std::move(config.options));
  self->set_default_handler(caf::drop);

  auto pass = [self](auto&&... args) {
    step(self, [&](home& core, instant now, home::effects& out) {
      core.receive(std::forward<decltype(args)>(args)..., now, out);
    });
  };
  return {
      [pass](node_id from, const v1::Granted& m) { pass(from, m); },
      [pass](node_id from, const v1::Refused& m) { pass(from, m); },
      [pass](node_id from, v1::Latest& m) { pass(from, std::move(m)); },
      [pass](node_id from, const v1::Abstain& m) { pass(from, m); },
      [pass](node_id from, const v1::Accepted& m) { pass(from, m); },
      [pass](node_id from, const v1::Superseded& m) { pass(from, m); },
      [pass](node_id from, const v1::Tombstones& m) { pass(from, m); },
      [pass](node_id from, v1::Operation& m) { pass(from, std::move(m)); },
      [pass](node_id from, const v1::LockRequest& m) { pass(from, m); },
      [pass](node_id from, const v1::LockRelease& m) { pass(from, m); },
      [pass](node_id from, const v1::Recalled& m) { pass(from, m); },
      [self](const held_renewal& r) {
        step(self, [&](home& core, instant now, home::effects& out) {
          core.renew_held(r.from, r.number, r.lease, now, out);
        });
      },
      [self](const lease_renewed& r) {
        step(self, [&](home& core, instant now, home::effects& out) {
          core.renewed(r.replica, r.era, r.sent_at, r.superseded_by, now, out);
        });
      },
      [self](const home_seen& h) {
        step(self, [&](home& core, instant now, home::effects& out) { core.lessee_seen(h.era, h.leaver, now, out); });
      },
      [self](const peer_change& p) {
        step(self, [&](home& core, instant now, home::effects& out) { core.peer(p.peer, p.up, now, out); });
      },
      [self](start_atom) { step(self, [](home& core, instant now, home::effects& out) { core.start(now, out); }); },
      [self](release_atom) -> caf::result<bool> {
        auto promise = self->make_response_promise<bool>();
        self->state.releases.push_back(promise);
        step(self, [](home& core, instant now, home::effects& out) { core.release(now, out); });
        return promise;
      },
      [self](tick_atom) {
        self->state.timer.fired(self->state.context->now());
        step(self, [](home& core, instant now, home::effects& out) { core.tick(now, out); });
      },
      [self](status_atom) { return describe(self->state, self->state.context->now()); },
      [self](const key_question& q) {
        v1::ExplainTold told;
        if (auto view = self->state.core->explain(q.key, self->state.context->now()))
          *told.add_views() = std::move(*view);
        return told;
      },
  };
}

} // namespace

lock_manager_actor spawn_lock_manager(caf::actor_system& system, lock_manager_config config) {
  auto* const thread = config.context.thread;
  return spawn_on(system, thread, lock_manager, std::move(config));
}

} // namespace troupe
