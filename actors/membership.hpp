/// MEMBERSHIP: who may speak to this node, who is there, and the renewal of every lease that this node holds.
///
/// Its core is `membership`. Spawned by the node, one per node. Links and the door ask it about strangers and tell it
/// of connections; it tells the lock managers and the strong manager.
#pragma once

#include "actors/context.hpp"
#include "protocol/membership.hpp"

#include <caf/actor_system.hpp>

namespace troupe {

struct membership_config {
  actor_context context;
  store_driver* store = nullptr; ///< none on a client node; outlives the actor
  membership_options options;
};

membership_actor spawn_membership(caf::actor_system& system, membership_config config);

} // namespace troupe
