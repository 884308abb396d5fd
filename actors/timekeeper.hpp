/// TIMEKEEPER: one timer for the many actors that a node has one of per shard.
///
/// Why: CAF's clock wakes its thread for every timer that is set, and hands what has expired to the I/O thread
/// through a pipe of a few thousand places that only that thread empties. Thousands of actors with timers of their
/// own cost thousands of wake-ups a second, and after a pause of the machine, when all are due at once, the two
/// threads could wait for each other for ever.
#pragma once

#include "actors/context.hpp"

#include <caf/actor_system.hpp>

namespace troupe {

/// Ticks come at multiples of this. Small against a lease; nothing that a home does by time is exact, or has to be.
inline constexpr milliseconds tick_grain{10};

timekeeper_actor spawn_timekeeper(caf::actor_system& system, actor_context context);

} // namespace troupe
