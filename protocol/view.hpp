/// The view: the numbered, agreed list of nodes, each with its life, and who is out (PROTOCOLS §1, §4).
#pragma once

#include "protocol/ids.hpp"

#include <cstdint>
#include <map>

namespace troupe {

/// What a node knows of the view. Suspicion never changes it; only an agreed change does, under the next number.
struct view {
  std::uint64_t number = 0; ///< grows with every change; 0 = none is known yet
  /// How the view counts one node.
  struct standing {
    std::uint64_t life = 0; ///< of its running process, or of the last one; 0 = it has none yet
    bool out = false;       ///< silent: it holds no frontier up until it has caught up and is back in
  };
  std::map<node_id, standing> nodes; ///< one entry per node of the static list
};

} // namespace troupe
