/// VIEW KEEPER: this node's life, and who is counted, from one strong record.
///
/// Its core is `view_keeper`. Spawned by the node, one per member of a cluster that has a type of a weaker level. It
/// reads and writes the record through a session of its own, which the node spawned with register_shape(); speaks
/// ViewChanged and ViewHeartbeat with the view keepers of the other members; and tells whoever listens of every view.
/// When another start of this node has taken a later life it ends with an error, and the node with it.
#pragma once

#include "actors/context.hpp"
#include "protocol/cluster.hpp"
#include "protocol/view_keeper.hpp"

#include <caf/actor_system.hpp>

#include <functional>
#include <vector>

namespace troupe {

/// `shape` with the reserved type of the view's record: for the keeper's own session, and for nobody else.
cluster register_shape(cluster shape);

struct view_keeper_config {
  actor_context context;
  view_keeper_options options;
  session_actor record;                          ///< spawned with register_shape(); used by nobody else
  nanoseconds attempt = std::chrono::seconds{1}; ///< after which the outcome of a request counts as not known
  /// Called in order on the keeper's thread with every view, and when this start has its life.
  std::vector<std::function<void(const view_changed&)>> listeners;
};

view_keeper_actor spawn_view_keeper(caf::actor_system& system, view_keeper_config config);

} // namespace troupe
