#include "actors/membership.hpp"

#include "actors/spawn.hpp"

#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>

namespace troupe {

namespace {

struct membership_state {
  std::optional<membership_config> config;
  std::optional<membership> core;
  membership::effects effects; ///< empty between handlers
  alarm timer;
  static inline const char* name = "troupe.membership";
};

using self_ptr = membership_actor::stateful_pointer<membership_state>;

const actor_context& context(self_ptr self) { return self->state.config->context; }

struct performer {
  self_ptr self;

  void operator()(send& s) const { context(self).board->post(s.to, std::move(s.envelope)); }
  void operator()(const membership::renewed& r) const {
    const auto& managers = context(self).board->lock_managers;
    if (r.shard.value < managers.size() && managers[r.shard.value])
      caf::anon_send(managers[r.shard.value], lease_renewed{r.shard, r.era, r.replica, r.sent_at, r.superseded_by});
  }
  void operator()(const membership::presence& p) const {
    const auto& board = *context(self).board;
    const peer_change change{p.peer, p.life, p.up};
    for (const auto& manager : board.lock_managers)
      if (manager) caf::anon_send(manager, change);
    caf::anon_send(board.strong_manager, change);
    for (const auto& manager : {board.eventual_manager, board.session_manager, board.causal_manager})
      if (manager) caf::anon_send(manager, change);
    if (board.memory_layer) caf::anon_send(board.memory_layer, change);
    if (board.view_keeper) caf::anon_send(board.view_keeper, change);
    if (context(self).log) context(self).log->info("peer.{} node={}", p.up ? "up" : "down", to_string(p.peer));
  }
  void operator()(const membership::remember& r) const {
    if (self->state.config->store != nullptr) self->state.config->store->remember_disk(r.peer, r.disk, [](errc) {});
  }
  void operator()(const note& n) const { context(self).record(n); }
};

template <class Step> void step(self_ptr self, Step&& take) {
  auto& state = self->state;
  take(*state.core, context(self).now(), state.effects);
  for (auto& effect : state.effects)
    std::visit(performer{self}, effect);
  state.effects.clear();
  state.timer.arm(self, *context(self).clock, state.core->wake_at());
}

membership_actor::behavior_type membership_behavior(self_ptr self, membership_config config) {
  self->state.config = std::move(config);
  self->state.core.emplace(self->state.config->options);
  self->set_default_handler(caf::drop);
  return {
      [self](const v1::Hello& hello) {
        v1::HelloRefused verdict;
        step(self, [&](membership& core, instant, membership::effects& out) {
          auto v = core.admit(hello, out);
          verdict.set_error(static_cast<std::uint32_t>(v.error));
          verdict.set_what(std::move(v.what));
        });
        verdict.set_connection(hello.connection());
        return verdict;
      },
      [self](const peer_change& p) {
        step(self, [&](membership& core, instant now, membership::effects& out) {
          core.peer(p.peer, p.life, p.up, now, out);
        });
      },
      [self](const lead_change& l) {
        step(self, [&](membership& core, instant, membership::effects&) {
          l.leading ? core.lead(l.shard, l.era) : core.unlead(l.shard, l.era);
        });
      },
      [self](node_id from, const v1::LeasesRenewed& answer) {
        step(self,
             [&](membership& core, instant now, membership::effects& out) { core.receive(from, answer, now, out); });
      },
      [self](start_atom) {
        step(self, [](membership& core, instant now, membership::effects&) { core.start(now); });
      },
      [self](tick_atom) {
        self->state.timer.fired(context(self).now());
        step(self, [](membership& core, instant now, membership::effects& out) { core.tick(now, out); });
      },
  };
}

} // namespace

membership_actor spawn_membership(caf::actor_system& system, membership_config config) {
  auto* const thread = config.context.thread;
  return spawn_on(system, thread, membership_behavior, std::move(config));
}

} // namespace troupe
