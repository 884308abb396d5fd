/// FRONTIER: what this node, its region and all members have of everybody's updates, and who waits for it.
///
/// Its core is `frontier`. Tells the stream replica what may be shown and what is stable, answers its waits, and the
/// view keeper whether this node has caught up. Spawned by the node, one per member. It monitors nobody.
#pragma once

#include "actors/context.hpp"
#include "protocol/stream/frontier.hpp"

#include <caf/actor_system.hpp>

namespace troupe {

struct frontier_config {
  actor_context context;
  frontier_options options;
};

frontier_actor spawn_frontier(caf::actor_system& system, frontier_config config);

} // namespace troupe
