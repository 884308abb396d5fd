/// EVENTUAL MANAGER: operations of eventual types, and reads of others that were asked for at this level.
///
/// Promises: a write is on the disk of the replica that accepted it (of more, where the type's `ack` says so) and
/// reaches every other one; when writes stop, all replicas become equal (E1). A read is answered at once with
/// whatever that replica has, or within the bound of staleness that it names (E4). Nothing is ordered between keys.
///
/// The operation carries what it depends on (core: `session_vector`), the replica waits for it; this actor finds the
/// replica. See weak_manager.hpp.
#pragma once

#include "actors/weak_manager.hpp"

namespace troupe {

inline weak_manager_actor spawn_eventual_manager(caf::actor_system& system, weak_manager_config config) {
  return spawn_weak_manager(system, level::eventual, std::move(config));
}

} // namespace troupe
