/// SESSION MANAGER: operations of session types, and reads of causal types that were asked for at this level.
///
/// Promises what eventual does, and to each session, as far as it has not switched them off: it reads its own writes
/// (T1), never reads anything older than before (T2), and everybody sees its writes in its order (T3), after what it
/// had read before them (T4). A read waits for what its session has seen; nobody waits for anybody else's session.
///
/// The operation carries what it depends on (core: `session_vector`), the replica waits for it; this actor finds the
/// replica. See weak_manager.hpp.
#pragma once

#include "actors/weak_manager.hpp"

namespace troupe {

inline weak_manager_actor spawn_session_manager(caf::actor_system& system, weak_manager_config config) {
  return spawn_weak_manager(system, level::session, std::move(config));
}

} // namespace troupe
