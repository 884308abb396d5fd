/// STRONG MANAGER: brings the strong operations of this node's sessions to their homes, and their outcomes back.
///
/// Its core is `requests`. Spawned by the node, one per node, client nodes included. A session that has ended is sent
/// its answers all the same; CAF drops them.
#pragma once

#include "actors/context.hpp"
#include "protocol/strong/requests.hpp"

#include <caf/actor_system.hpp>

namespace troupe {

struct strong_manager_config {
  actor_context context;
  requests_options options;
};

strong_manager_actor spawn_strong_manager(caf::actor_system& system, strong_manager_config config);

} // namespace troupe
