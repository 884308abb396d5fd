/// LOCK MANAGER: the home of one shard's keys while this node leads the shard, a candidate while nobody does.
///
/// Speaks PROTOCOLS §3.1 to §3.4 to replicas, strong managers and memory layers; its core is `home`. Spawned by the
/// node, one per shard that this node stores. It monitors nobody: what dies on this node dies with the node, and a
/// peer's death is a peer_change.
#pragma once

#include "actors/context.hpp"
#include "protocol/strong/home.hpp"

#include <caf/actor_system.hpp>

namespace troupe {

struct lock_manager_config {
  actor_context context;
  home_options options;
};

lock_manager_actor spawn_lock_manager(caf::actor_system& system, lock_manager_config config);

} // namespace troupe
