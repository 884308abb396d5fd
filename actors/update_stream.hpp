/// UPDATE STREAM: what this node and one peer send each other of their updates; one per other member.
///
/// Its cores are `outbound` (this node's updates, to the peer) and `inbound` (the peer's, to here). What is to be
/// sent comes from the stream replica once it is durable; what arrives goes there, and is acknowledged once that says
/// that it is durable. Old updates are read from the log. Spawned by the node.
///
/// It monitors nobody: what dies on this node dies with the node, and a peer's death is a peer_change.
#pragma once

#include "actors/context.hpp"
#include "protocol/stream/inbound.hpp"
#include "protocol/stream/outbound.hpp"

#include <caf/actor_system.hpp>

namespace troupe {

struct update_stream_config {
  actor_context context;
  store_driver* store = nullptr; ///< outlives the actor; only its logs are read
  outbound_options outgoing;
  inbound_options incoming;
};

update_stream_actor spawn_update_stream(caf::actor_system& system, update_stream_config config);

} // namespace troupe
