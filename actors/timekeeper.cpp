#include "actors/timekeeper.hpp"

#include "actors/spawn.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <map>
#include <vector>

namespace troupe {

namespace {

struct timekeeper_state {
  std::optional<actor_context> context;
  /// Who is ticked when. Bounded: an actor asks only for a tick that comes before every other that it has asked for,
  /// and for none later than its longest wait.
  std::map<instant, std::vector<lock_manager_actor>> due;
  alarm timer;
  static inline const char* name = "troupe.timekeeper";
};

using self_ptr = timekeeper_actor::stateful_pointer<timekeeper_state>;

void arm(self_ptr self) {
  auto& state = self->state;
  if (!state.due.empty()) state.timer.arm(self, *state.context->clock, state.due.begin()->first);
}

timekeeper_actor::behavior_type timekeeper(self_ptr self, actor_context context) {
  self->state.context = std::move(context);
  self->set_default_handler(caf::drop);
  return {
      [self](wake_request& wanted) {
        const auto beyond = wanted.at.time_since_epoch() % tick_grain;
        if (beyond > nanoseconds{0}) wanted.at += tick_grain - beyond;
        self->state.due[wanted.at].push_back(std::move(wanted.who));
        arm(self);
      },
      [self](tick_atom) {
        auto& due = self->state.due;
        const auto now = self->state.context->now();
        self->state.timer.fired(now);
        for (; !due.empty() && due.begin()->first <= now; due.erase(due.begin()))
          for (const auto& who : due.begin()->second)
            caf::anon_send(who, tick_atom::value);
        arm(self);
      },
  };
}

} // namespace

timekeeper_actor spawn_timekeeper(caf::actor_system& system, actor_context context) {
  auto* const thread = context.thread;
  return spawn_on(system, thread, timekeeper, std::move(context));
}

} // namespace troupe
