/// MEMORY LAYER: the copies and read locks of one node, which let its threads answer strong reads by themselves.
///
/// Speaks PROTOCOLS §3.3 to the homes of all shards; its core is `holder`, and it is the only writer of the node's
/// memory table. Sessions look into the table first, and send it what they do not find: such a read is answered by
/// the home with a read lock, so every key that is read here becomes readable from memory. What the home does not
/// answer in time goes on as an operation of the strong manager, which retries and redirects.
///
/// Spawned by the node, members and client nodes alike, when its configuration gives it memory. It monitors nobody:
/// what dies on this node dies with the node, and a peer's death is a peer_change. Should it die alone, its leases
/// lapse, and with them all that the table could answer.
#pragma once

#include "actors/context.hpp"
#include "actors/layers/memory_table.hpp"
#include "protocol/strong/holder.hpp"

#include <caf/actor_system.hpp>

#include <memory>
#include <vector>

namespace troupe {

/// Keys that the table has put out for want of room, by its writer: wire it to memory_table::options::evicted.
struct eviction_list {
  std::vector<std::string> keys; ///< empty between handlers
};

struct memory_layer_config {
  actor_context context;
  std::shared_ptr<memory_table> table;
  std::size_t bytes_max = 0;              ///< of the table
  std::shared_ptr<eviction_list> evicted; ///< filled by the table
  holder_options options;
  std::vector<std::vector<node_id>> replica_sets; ///< by shard; in the order in which their members claim it
};

memory_layer_actor spawn_memory_layer(caf::actor_system& system, memory_layer_config config);

/// What a strong read is answered with.
v1::Result result_of_read(const version& at, bool exists, std::string value);

} // namespace troupe
