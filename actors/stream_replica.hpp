/// STREAM REPLICA: this node's records of all weaker types, for all shards that it stores.
///
/// Executes what the managers of the three weaker levels send, takes what the update streams bring, and tells these
/// and the frontier what has become durable; its core is `stream_replica`. It is the only writer of the node's weak
/// table. Spawned by the node, one per member. It uses the node's store beside the strong replica: its writes are
/// gathered while a sync is under way. A store that fails ends its answers for good.
///
/// It monitors nobody: what dies on this node dies with the node.
#pragma once

#include "actors/context.hpp"
#include "actors/weak_copies.hpp"
#include "protocol/stream/stream_replica.hpp"

#include <caf/actor_system.hpp>

#include <functional>
#include <memory>

namespace troupe {

struct stream_replica_config {
  actor_context context;
  store_driver* store = nullptr; ///< outlives the actor
  weak_copies copies;            ///< may be null: nobody reads without asking
  stream_replica_options options;
  std::function<void()> store_failed; ///< called once, from the actor, when the store refuses a write
};

stream_replica_actor spawn_stream_replica(caf::actor_system& system, stream_replica_config config);

} // namespace troupe
