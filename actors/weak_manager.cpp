#include "actors/weak_manager.hpp"

#include "actors/spawn.hpp"

#include <caf/typed_event_based_actor.hpp>

namespace troupe {

namespace {

struct weak_manager_state {
  std::optional<actor_context> context;
  level which = level::eventual;
  std::optional<weak_requests> core;
  weak_requests::effects effects;             ///< empty between handlers
  std::map<request_id, session_actor> askers; ///< one entry per operation under way
  alarm timer;
  static inline const char* name = "troupe.weak_manager";
};

using self_ptr = weak_manager_actor::stateful_pointer<weak_manager_state>;

struct performer {
  self_ptr self;

  void operator()(send& s) const { self->state.context->board->post(s.to, std::move(s.envelope)); }
  void operator()(weak_requests::settled& s) const {
    const auto asker = self->state.askers.find(s.id);
    if (asker == self->state.askers.end()) return;
    self->send(asker->second, weak_settled{s.id, std::move(s.answer), std::move(s.unsettled)});
    self->state.askers.erase(asker);
  }
  void operator()(const note& n) const { self->state.context->record(n); }
};

template <class Step> void step(self_ptr self, Step&& take) {
  auto& state = self->state;
  take(*state.core, state.context->now(), state.effects);
  for (auto& effect : state.effects)
    std::visit(performer{self}, effect);
  state.effects.clear();
  state.timer.arm(self, *state.context->clock, state.core->wake_at());
}

weak_manager_status status_of(const weak_manager_state& state) {
  const auto& n = state.core->counted();
  return {.which = state.which,
          .open = state.core->open(),
          .done = n.done,
          .not_done = n.not_done,
          .unknown = n.unknown,
          .retries = n.retries,
          .forwards = n.forwards,
          .restarts = n.restarts,
          .waits = n.waits,
          .waited_us = n.waited_us};
}

struct named_config {
  level which;
  weak_manager_config config;
};

weak_manager_actor::behavior_type weak_manager(self_ptr self, named_config named) {
  using core = weak_requests;
  using effects = weak_requests::effects;
  self->state.context = std::move(named.config.context);
  self->state.which = named.which;
  self->state.core.emplace(std::move(named.config.options));
  self->set_default_handler(caf::drop);
  return {
      [self](weak_submission& s) {
        self->state.askers.try_emplace(from_wire(s.operation.id()), s.answer_to);
        step(self,
             [&](core& c, instant now, effects& out) { c.submit(std::move(s.operation), s.deadline, now, out); });
      },
      [self](const operation_cancelled& cancelled) {
        step(self, [&](core& c, instant, effects& out) { c.cancel(cancelled.id, out); });
      },
      [self](node_id from, const v1::WeakAnswer& answer) {
        step(self, [&](core& c, instant now, effects& out) { c.receive(from, answer, now, out); });
      },
      [self](const weak_unsent& u) {
        step(self, [&](core& c, instant now, effects& out) { c.unsent(u.peer, u.operation, u.why, now, out); });
      },
      [self](const peer_change& p) {
        step(self, [&](core& c, instant now, effects& out) { c.peer(p.peer, p.up, now, out); });
      },
      [self](lives_changed& view) {
        step(self, [&](core& c, instant now, effects& out) {
          c.lives(std::move(view.lives), std::move(view.out), now, out);
        });
      },
      [self](tick_atom) {
        self->state.timer.fired(self->state.context->now());
        step(self, [](core& c, instant now, effects& out) { c.tick(now, out); });
      },
      [self](status_atom) { return status_of(self->state); },
  };
}

} // namespace

weak_manager_actor spawn_weak_manager(caf::actor_system& system, level which, weak_manager_config config) {
  auto* const thread = config.context.thread;
  return spawn_on(system, thread, weak_manager, named_config{which, std::move(config)});
}

} // namespace troupe
