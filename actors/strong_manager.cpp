#include "actors/strong_manager.hpp"

#include "actors/spawn.hpp"

#include <caf/typed_event_based_actor.hpp>

namespace troupe {

namespace {

struct strong_manager_state {
  std::optional<actor_context> context;
  std::optional<requests> core;
  requests::effects effects;                  ///< empty between handlers
  std::map<request_id, session_actor> askers; ///< one entry per operation under way
  alarm timer;
  static inline const char* name = "troupe.strong_manager";
};

using self_ptr = strong_manager_actor::stateful_pointer<strong_manager_state>;

struct performer {
  self_ptr self;

  void operator()(send& s) const { self->state.context->board->post(s.to, std::move(s.envelope)); }
  void operator()(requests::settled& s) const {
    auto asker = self->state.askers.find(s.id);
    if (asker == self->state.askers.end()) return;
    v1::OperationAnswer answer;
    to_wire(s.id, *answer.mutable_id());
    *answer.mutable_result() = std::move(s.result);
    self->send(asker->second, std::move(answer));
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

strong_manager_actor::behavior_type strong_manager(self_ptr self, strong_manager_config config) {
  self->state.context = std::move(config.context);
  self->state.core.emplace(std::move(config.options));
  self->set_default_handler(caf::drop);
  return {
      [self](submission& s) {
        const auto id = from_wire(s.operation.id());
        self->state.askers.try_emplace(id, s.answer_to);
        step(self, [&](requests& core, instant now, requests::effects& out) {
          if (s.hint.value != 0) core.hear_of_home({s.operation.shard()}, s.hint);
          core.submit(std::move(s.operation), s.deadline, now, out);
        });
      },
      [self](const operation_cancelled& c) {
        step(self, [&](requests& core, instant, requests::effects& out) { core.cancel(c.id, out); });
      },
      [self](node_id from, const v1::OperationAnswer& answer) {
        step(self,
             [&](requests& core, instant now, requests::effects& out) { core.receive(from, answer, now, out); });
      },
      [self](node_id from, const v1::NotHome& answer) {
        step(self,
             [&](requests& core, instant now, requests::effects& out) { core.receive(from, answer, now, out); });
      },
      [self](const unsent& u) {
        step(self, [&](requests& core, instant now, requests::effects& out) {
          core.unsent(u.peer, u.operation, u.why, now, out);
        });
      },
      [self](const peer_change& p) {
        step(self, [&](requests& core, instant now, requests::effects& out) { core.peer(p.peer, p.up, now, out); });
      },
      [self](tick_atom) {
        self->state.timer.fired(self->state.context->now());
        step(self, [](requests& core, instant now, requests::effects& out) { core.tick(now, out); });
      },
  };
}

} // namespace

strong_manager_actor spawn_strong_manager(caf::actor_system& system, strong_manager_config config) {
  auto* const thread = config.context.thread;
  return spawn_on(system, thread, strong_manager, std::move(config));
}

} // namespace troupe
