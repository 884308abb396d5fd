#include "actors/monitor.hpp"

#include "actors/spawn.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <algorithm>
#include <map>
#include <optional>

namespace troupe {

namespace {

constexpr std::size_t counted_types_max = 1'024; ///< beyond, they are counted together, as "*"

struct monitor_state {
  std::optional<monitor_config> config;
  std::optional<violation_ledger> core;
  violation_ledger::effects effects;              ///< empty between handlers
  std::map<std::string, std::uint64_t> conflicts; ///< by type
  std::map<std::string, std::uint64_t> repairs;   ///< by type
  std::vector<alert_listener_actor> listeners;    ///< that live; at most alert_listeners_max
  std::uint64_t notices = 0;
  instant next_tally = never; ///< when the operations are asked for again
  alarm timer;
  static inline const char* name = "troupe.monitor";
};

using self_ptr = monitor_actor::stateful_pointer<monitor_state>;

/// A line of the log: what a person greps for first, then who, then in words.
void write(spdlog::logger& log, const alert_notice& n) {
  const auto& a = n.about;
  const auto seriousness = n.turn == alert_turn::resolved           ? spdlog::level::warn
                           : a.severity == alert_severity::critical ? spdlog::level::err
                                                                    : spdlog::level::warn;
  log.log(seriousness,
          "alert.{} name={} severity={} kind={} type={} level={} count={} since={} key={:?} summary={:?} detail={:?}",
          name_of(n.turn), a.name, name_of(a.severity), a.kind, a.type, name_of(a.given), a.count, a.since, a.key,
          a.summary, a.detail);
}

void perform(self_ptr self) {
  auto& state = self->state;
  for (const auto& notice : state.effects) {
    ++state.notices;
    if (state.config->context.log) write(*state.config->context.log, notice);
    if (state.config->context.trace)
      state.config->context.trace(notice.at, "alert." + std::string{name_of(notice.turn)},
                                  "name=" + notice.about.name + " kind=" + notice.about.kind);
    for (const auto& listener : state.config->listeners)
      listener(notice);
    for (const auto& listener : state.listeners)
      caf::anon_send(listener, notice);
  }
  state.effects.clear();
  state.timer.arm(self, *state.config->context.clock, std::min(state.core->wake_at(), state.next_tally));
}

void count(std::map<std::string, std::uint64_t>& counts, const std::string& type, std::uint64_t events) {
  const bool full = counts.size() >= counted_types_max && !counts.contains(type);
  counts[full ? "*" : type] += events;
}

void tick(self_ptr self) {
  auto& state = self->state;
  const auto now = state.config->context.now();
  state.timer.fired(now);
  if (now >= state.next_tally) {
    for (const auto& tally : state.config->tallies(now))
      state.core->note(tally, state.effects);
    state.next_tally = now + state.config->tally_interval;
  }
  state.core->tick(now, state.effects);
  perform(self);
}

monitor_actor::behavior_type monitor_behavior(self_ptr self, monitor_config config) {
  self->state.config = std::move(config);
  self->state.core.emplace(self->state.config->options);
  self->set_default_handler(caf::drop);
  self->set_down_handler([self](const caf::down_msg& down) {
    auto& all = self->state.listeners;
    all.erase(std::remove_if(all.begin(), all.end(), [&](const auto& l) { return l.address() == down.source; }),
              all.end());
  });
  return {
      [self](violation_event& event) {
        event.at = self->state.config->context.now();
        self->state.core->note(std::move(event), self->state.effects);
        perform(self);
      },
      [self](operation_tally& event) {
        event.at = self->state.config->context.now();
        self->state.core->note(event, self->state.effects);
        perform(self);
      },
      [self](const conflict_event& event) { count(self->state.conflicts, event.type, event.count); },
      [self](const repair_event& event) { count(self->state.repairs, event.type, event.count); },
      [self](subscribe_atom, const alert_listener_actor& listener) {
        auto& all = self->state.listeners;
        if (!listener) return false;
        if (std::find(all.begin(), all.end(), listener) != all.end()) return true;
        if (all.size() >= alert_listeners_max) return false;
        self->monitor(listener);
        all.push_back(listener);
        return true;
      },
      [self](start_atom) {
        auto& state = self->state;
        if (state.config->tallies) state.next_tally = state.config->context.now() + state.config->tally_interval;
        perform(self);
      },
      [self](tick_atom) { tick(self); },
      [self](status_atom) {
        const auto& state = self->state;
        monitor_status status;
        status.found.assign(state.core->counts().begin(), state.core->counts().end());
        status.conflicts.assign(state.conflicts.begin(), state.conflicts.end());
        status.repairs.assign(state.repairs.begin(), state.repairs.end());
        status.alerts_active = state.core->active();
        status.notices = state.notices;
        status.listeners = state.listeners.size();
        return status;
      },
  };
}

} // namespace

monitor_actor spawn_monitor(caf::actor_system& system, monitor_config config) {
  auto* const thread = config.context.thread;
  return spawn_on(system, thread, monitor_behavior, std::move(config));
}

} // namespace troupe
