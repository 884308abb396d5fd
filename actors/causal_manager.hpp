/// CAUSAL MANAGER: operations of causal types.
///
/// Promises what session does, all four of it, between sessions: whoever sees a write sees everything that its writer
/// had seen (C1), and several keys read together are one such picture (C2).
///
/// The operation carries what it depends on (core: `session_vector`), the replica waits for it; this actor finds the
/// replica. See weak_manager.hpp.
#pragma once

#include "actors/weak_manager.hpp"

namespace troupe {

inline weak_manager_actor spawn_causal_manager(caf::actor_system& system, weak_manager_config config) {
  return spawn_weak_manager(system, level::causal, std::move(config));
}

} // namespace troupe
