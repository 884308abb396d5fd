/// MONITOR: what was found to break a promise, or nearly did, counted; and alerts, to the log and to whoever listens.
///
/// Its core is `violation_ledger`. Spawned by the node, one per node. Everybody tells it, it asks nobody, and nobody
/// waits for it. Listeners that end are forgotten; when the monitor itself dies, the node does.
#pragma once

#include "actors/context.hpp"
#include "protocol/monitor/violations.hpp"

#include <caf/actor_system.hpp>

#include <functional>
#include <vector>

namespace troupe {

struct monitor_config {
  actor_context context;
  violation_ledger::options options;
  /// Called on the actor's thread for each notice; must not block or throw.
  std::vector<std::function<void(const alert_notice&)>> listeners;
  /// The operations that have ended since it was last called; asked every `tally_interval`. May be empty: then
  /// whoever knows sends operation_tally.
  std::function<std::vector<operation_tally>(instant now)> tallies;
  nanoseconds tally_interval = std::chrono::seconds{1};
};

inline constexpr std::size_t alert_listeners_max = 64;

monitor_actor spawn_monitor(caf::actor_system& system, monitor_config config);

} // namespace troupe
