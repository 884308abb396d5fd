#include "actors/frontier.hpp"

#include "actors/spawn.hpp"

#include <caf/typed_event_based_actor.hpp>

namespace troupe {

namespace {

struct frontier_state {
  std::optional<frontier_config> config;
  std::optional<frontier> core;
  frontier::effects effects;                        ///< empty between handlers
  bool flush_due = false;                           ///< a flush message is under way
  bool caught_up = false;                           ///< as the view keeper was told last, of
  std::uint64_t as_of = 0;                          ///< this view
  std::uint64_t view = 0;                           ///< number of the newest one
  std::map<origin, std::uint64_t> ended;            ///< as the replica was told
  std::array<std::uint64_t, stream_lanes> clocks{}; ///< stable ones, as the replica was told last
  alarm timer;
  static inline const char* name = "troupe.frontier";
};

using self_ptr = frontier_actor::stateful_pointer<frontier_state>;

const actor_context& context(self_ptr self) { return self->state.config->context; }

void flush_soon(self_ptr self) {
  if (std::exchange(self->state.flush_due, true)) return;
  self->send(self, flush_atom::value);
}

struct performer {
  self_ptr self;

  const switchboard& board() const { return *context(self).board; }

  void operator()(frontier::send_facts& s) const {
    v1::Envelope envelope;
    *envelope.mutable_frontier_facts() = std::move(s.message);
    board().post(s.to, std::move(envelope));
  }
  void operator()(frontier::advanced& a) const {
    caf::anon_send(board().stream_replica, region_advanced{std::move(a.applied)});
  }
  void operator()(frontier::stable_advanced& s) const {
    auto& state = self->state;
    const auto clock = state.core->stable_clock(s.lane);
    state.clocks[static_cast<std::size_t>(s.lane)] = clock;
    caf::anon_send(board().stream_replica, everywhere_advanced{s.lane, std::move(s.stable), clock});
  }
  void operator()(const frontier::reached& r) const {
    caf::anon_send(board().stream_replica, dependency_met{r.cookie});
  }
  void operator()(const frontier::failed& f) const {
    dot survived{f.missing.from, 0};
    const auto& ended = self->state.core->ended();
    if (const auto last = ended.find(f.missing.from); last != ended.end()) survived.seq = last->second;
    caf::anon_send(board().stream_replica, dependency_missed{f.cookie, f.code, f.missing, f.who, survived});
  }
  void operator()(const note& n) const { context(self).record(n); }
};

/// The view keeper hears when this node has caught up with a view, or has not; once per change.
void tell_keeper(self_ptr self) {
  auto& state = self->state;
  const auto& keeper = context(self).board->view_keeper;
  if (!keeper || state.view == 0) return;
  const bool now = state.core->caught_up(state.view);
  if (now == state.caught_up && state.as_of == state.view) return;
  state.caught_up = now;
  state.as_of = state.view;
  caf::anon_send(keeper, caught_up{.as_of = state.view, .reached = now});
}

/// A clock can become stable while the vector does not change.
void tell_clocks(self_ptr self) {
  auto& state = self->state;
  for (const auto lane : {stream_lane::ordered, stream_lane::free}) {
    const auto clock = state.core->stable_clock(lane);
    auto& told = state.clocks[static_cast<std::size_t>(lane)];
    if (clock == told) continue;
    told = clock;
    caf::anon_send(context(self).board->stream_replica, everywhere_advanced{lane, state.core->stable(lane), clock});
  }
}

/// What depends on an update that was lost with its node waits for it no more.
void tell_ended(self_ptr self) {
  auto& told = self->state.ended;
  const auto& known = self->state.core->ended();
  if (known.size() == told.size()) return; // an end is never changed
  for (const auto& [from, last] : known)
    if (told.emplace(from, last).second)
      caf::anon_send(context(self).board->stream_replica, origin_ended{from, last});
}

void perform(self_ptr self) {
  auto& state = self->state;
  for (auto& effect : state.effects)
    std::visit(performer{self}, effect);
  state.effects.clear();
  state.timer.arm(self, *context(self).clock, state.core->wake_at());
}

frontier_status describe(const frontier& core) {
  frontier_status s;
  s.ready = core.ready();
  s.received = to_string(core.received());
  s.received_free = to_string(core.received_free());
  s.region = to_string(core.region());
  s.applied = to_string(core.applied());
  s.stable = to_string(core.stable(stream_lane::ordered));
  s.waits = core.waits();
  s.timeouts = core.counted().timeouts;
  s.lost = core.counted().lost;
  s.refused = core.counted().refused;
  if (const auto holdup = core.holdup()) {
    s.held_up_by = holdup->who;
    s.behind = holdup->behind;
  }
  return s;
}

frontier_actor::behavior_type frontier_behavior(self_ptr self, frontier_config config) {
  self->state.config = std::move(config);
  self->state.core.emplace(self->state.config->options);
  self->set_default_handler(caf::drop);
  return {
      [self](node_id from, const v1::FrontierFacts& m) {
        self->state.core->receive(from, m, context(self).now(), self->state.effects);
        perform(self);
        flush_soon(self);
      },
      [self](const received_durable& r) {
        self->state.core->received(r.lane, r.from, r.upto);
        if (r.clock != 0) self->state.core->stated({r.lane, r.from, r.upto, r.clock});
        flush_soon(self);
      },
      [self](const origin_clock& c) {
        self->state.core->stated({c.lane, c.from, c.upto, c.clock});
        flush_soon(self);
      },
      [self](const own_life_ended& e) {
        if (e.lane == stream_lane::ordered) self->state.core->earlier_life(e.life, e.last);
        flush_soon(self);
      },
      [self](const region_facts& f) {
        self->state.core->facts(f.region);
        flush_soon(self);
      },
      [self](dependency_wait& w) {
        self->state.core->wait({w.cookie, std::move(w.wanted), w.deadline}, context(self).now(), self->state.effects);
        perform(self);
        flush_soon(self);
      },
      [self](const dependency_forgotten& f) { self->state.core->cancel(f.cookie); },
      [self](const peer_change& p) {
        self->state.core->peer(p.peer, p.up, context(self).now());
        flush_soon(self);
      },
      [self](const view_changed& v) {
        self->state.view = std::max(self->state.view, v.now.number);
        self->state.core->view_changed(v.now, context(self).now(), self->state.effects);
        perform(self);
        flush_soon(self);
      },
      [self](flush_atom) {
        self->state.flush_due = false;
        self->state.core->flush(context(self).now(), self->state.effects);
        perform(self);
        tell_ended(self);
        tell_clocks(self);
        tell_keeper(self);
      },
      [self](tick_atom) {
        const auto now = context(self).now();
        self->state.timer.fired(now);
        self->state.core->tick(now, self->state.effects);
        perform(self);
        tell_ended(self);
        tell_clocks(self);
        tell_keeper(self);
      },
      [self](status_atom) { return describe(*self->state.core); },
  };
}

} // namespace

frontier_actor spawn_frontier(caf::actor_system& system, frontier_config config) {
  auto* const thread = config.context.thread;
  return spawn_on(system, thread, frontier_behavior, std::move(config));
}

} // namespace troupe
