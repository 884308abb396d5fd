/// REPLICA: this node's durable records and promises, for all of its shards.
///
/// Speaks PROTOCOLS §3.1, §3.2, §3.4 to homes and memberships; its core is `acceptor`. Spawned by the node, one per
/// node. It owns the store driver's use: writes are gathered while a sync is under way, and what the core wants said
/// after a write is held back until that write is durable. A store that fails ends the replica's answers for good.
#pragma once

#include "actors/context.hpp"
#include "protocol/strong/acceptor.hpp"

#include <caf/actor_system.hpp>

namespace troupe {

struct replica_config {
  actor_context context;
  store_driver* store = nullptr; ///< outlives the actor
  acceptor_options options;
  std::function<void()> store_failed; ///< called once, from the actor, when the store refuses a write
};

replica_actor spawn_replica(caf::actor_system& system, replica_config config);

} // namespace troupe
