#include "actors/view_keeper.hpp"

#include "actors/spawn.hpp"
#include "protocol/cluster.hpp"
#include "protocol/limits.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <utility>

namespace troupe {

namespace {

struct view_keeper_state {
  std::optional<view_keeper_config> config;
  std::optional<view_keeper> core;
  view_keeper::effects effects; ///< empty between handlers
  alarm timer;
  static inline const char* name = "troupe.view_keeper";
};

using self_ptr = view_keeper_actor::stateful_pointer<view_keeper_state>;

const actor_context& context(self_ptr self) { return self->state.config->context; }

/// Hands one operation on the record to the session, which answers exactly once.
void ask_record(self_ptr self, std::uint64_t number, v1::Operation operation) {
  const auto& config = *self->state.config;
  operation.set_key(stored_key(view_type, view_key));
  session_call call;
  call.operation = std::move(operation);
  call.type = view_type;
  call.deadline = context(self).now() + config.attempt;
  call.done = [keeper = caf::actor_cast<view_keeper_actor>(self), number](const v1::Result& result) {
    caf::anon_send(keeper, register_answered{number, result});
  };
  self->send(config.record, std::move(call));
}

/// What the register said, in the words of the core.
view_keeper::answer answer_of(register_answered& told) {
  view_keeper::answer a{.number = told.number, .error = static_cast<errc>(told.result.error()), .bytes = {}};
  a.applied = told.result.applied();
  if (a.error == errc::none && told.result.value_omitted()) a.error = errc::timeout; // too old a one: read again
  if (told.result.exists()) a.bytes = std::move(*told.result.mutable_value());
  return a;
}

struct performer {
  self_ptr self;

  void operator()(const view_keeper::read& r) const {
    v1::Operation get;
    get.mutable_get();
    ask_record(self, r.number, std::move(get));
  }
  void operator()(view_keeper::compare_and_set& c) const {
    v1::Operation change;
    auto& op = *change.mutable_compare_and_set();
    op.set_expect_absent(!c.expected);
    if (c.expected) op.set_expected(std::move(*c.expected));
    op.set_value(std::move(c.value));
    ask_record(self, c.number, std::move(change));
  }
  void operator()(send& s) const { context(self).board->post(s.to, std::move(s.envelope)); }
  void operator()(const view_keeper::changed& c) const {
    for (const auto& listener : self->state.config->listeners)
      listener({c.now, c.ours});
    if (context(self).log) context(self).log->info("view.changed view=\"{}\"", to_string(c.now));
  }
  void operator()(const view_keeper::joined& j) const {
    if (context(self).log) context(self).log->info("view.joined number={} life={}", j.now.number, j.life);
  }
  void operator()(const view_keeper::superseded& s) const {
    if (context(self).log)
      context(self).log->critical("view.superseded by={} why=\"another start of this node has taken a later life\"",
                                  s.by);
    self->quit(caf::exit_reason::user_shutdown); // the node ends with it
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

view_keeper_actor::behavior_type view_keeper_behavior(self_ptr self, view_keeper_config config) {
  self->state.config = std::move(config);
  self->state.core.emplace(self->state.config->options);
  self->set_default_handler(caf::drop);
  using effects = view_keeper::effects;
  return {
      [self](node_id from, const v1::ViewChanged& told) {
        step(self, [&](view_keeper& core, instant now, effects& out) { core.receive(from, told, now, out); });
      },
      [self](node_id from, const v1::ViewHeartbeat& beat) {
        step(self, [&](view_keeper& core, instant now, effects& out) { core.receive(from, beat, now, out); });
      },
      [self](const peer_change& p) {
        step(self, [&](view_keeper& core, instant now, effects& out) { core.peer(p.peer, p.up, now, out); });
      },
      [self](const caught_up& c) {
        step(self,
             [&](view_keeper& core, instant now, effects& out) { core.caught_up(c.reached, c.as_of, now, out); });
      },
      [self](const view_number_seen& seen) {
        step(self, [&](view_keeper& core, instant now, effects& out) { core.heard(seen.number, now, out); });
      },
      [self](view_listener& listener) {
        auto& listeners = self->state.config->listeners;
        if (listeners.size() >= limits::view_listeners_max) {
          if (context(self).log) context(self).log->error("view.listener_refused max={}", listeners.size());
          return;
        }
        listener.tell({self->state.core->current(), self->state.core->life()});
        listeners.push_back(std::move(listener.tell));
      },
      [self](start_atom) { step(self, [](view_keeper& core, instant now, effects& out) { core.start(now, out); }); },
      [self](register_answered& told) {
        step(self, [&](view_keeper& core, instant now, effects& out) { core.receive(answer_of(told), now, out); });
      },
      [self](tick_atom) {
        self->state.timer.fired(context(self).now());
        step(self, [](view_keeper& core, instant now, effects& out) { core.tick(now, out); });
      },
      [self](status_atom) {
        return view_status{self->state.core->current(), self->state.core->life()};
      },
  };
}

} // namespace

cluster register_shape(cluster shape) {
  shape.types.emplace(std::string{view_type}, data_type{});
  return shape;
}

view_keeper_actor spawn_view_keeper(caf::actor_system& system, view_keeper_config config) {
  auto* const thread = config.context.thread;
  return spawn_on(system, thread, view_keeper_behavior, std::move(config));
}

} // namespace troupe
