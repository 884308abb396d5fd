/// Asks a session's actor for what its session has seen, on behalf of who is no actor.
#pragma once

#include "actors/interfaces.hpp"

#include <troupe/error.hpp>

#include <caf/fwd.hpp>

#include <functional>

namespace troupe {

/// @param done  runs once, on some thread; by `patience` at the latest.
void ask_token(caf::actor_system& system, const session_actor& session, nanoseconds patience,
               std::function<void(result<v1::SessionVector>)> done);

} // namespace troupe
