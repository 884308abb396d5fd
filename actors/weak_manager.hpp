/// MANAGER of a weaker level: brings this node's operations of that level to a replica of their shard, and their
/// outcomes back. One actor class, spawned once per level by eventual_manager.hpp, session_manager.hpp and
/// causal_manager.hpp, which say what each level promises.
///
/// Its core is `weak_requests`. Spawned by the node, client nodes included. A session that has ended is sent its
/// answers all the same; CAF drops them.
#pragma once

#include "actors/context.hpp"
#include "protocol/stream/weak_requests.hpp"

#include <caf/actor_system.hpp>

namespace troupe {

struct weak_manager_config {
  actor_context context;
  weak_requests_options options; ///< `restarts` differs between the three
};

weak_manager_actor spawn_weak_manager(caf::actor_system& system, level which, weak_manager_config config);

} // namespace troupe
