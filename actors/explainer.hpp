/// EXPLAINER: what every layer of every member has of a key, and why a read there would wait. For people.
///
/// Spawned by the node, one per node. It asks the actors of its own node, and its like on the members; they answer at
/// once, and change nothing. Whoever does not answer by the deadline is said not to have answered. It keeps nothing
/// between two questions, and monitors nobody.
#pragma once

#include "actors/context.hpp"
#include "actors/layers/memory_table.hpp"
#include "actors/layers/store.hpp"
#include "actors/weak_copies.hpp"
#include "protocol/cluster.hpp"

#include <caf/actor_system.hpp>

#include <memory>

namespace troupe {

struct explainer_config {
  actor_context context;
  cluster shape;
  store_driver* store = nullptr;        ///< null on a client node
  std::shared_ptr<memory_table> memory; ///< null = none
  weak_copies copies;                   ///< none on a client node
};

explainer_actor spawn_explainer(caf::actor_system& system, explainer_config config);

} // namespace troupe
