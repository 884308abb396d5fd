/// SESSION: one open session of this node. Numbers its operations, and keeps their order per key: an operation is
/// sent on only when the one before it on the same key is settled, so that a pipelined put and get mean what they
/// say. A read with nothing before it on its key is answered from the node's memory table when that may answer it;
/// else it goes to the memory layer, and everything else to the strong manager.
///
/// An operation on a type of a weaker level goes to the manager of the level that it is served at, with what the
/// session has seen (core: `session_vector`). Writes to causal and session types are in one order, whatever their
/// keys, and an unknown one is settled before the next (core: `write_order`); who waits for that longer than its
/// deadline is told that nothing was done.
///
/// An operation that is cancelled while it waits here is *not done*. One that was sent on is cancelled where it is,
/// so that what comes after it on its key follows at once; what its home may do with it, it may also do after a
/// deadline.
///
/// Spawned by the node when a session is opened; ends with close_atom, which fails what is still open. It monitors
/// the strong manager: when that has died, so has the node, and every call is answered at once.
#pragma once

#include "actors/context.hpp"
#include "actors/layers/memory_table.hpp"
#include "protocol/cluster.hpp"
#include "protocol/limits.hpp"

#include <caf/actor_system.hpp>

namespace troupe {

struct session_config {
  actor_context context;
  session_id id;
  cluster shape;
  std::shared_ptr<const memory_table> memory; ///< null = the node keeps no copies
  /// Of this session's operations that are not settled, how many and how heavy; more are refused as overloaded.
  std::size_t open_max = 0;
  std::size_t open_bytes_max = limits::session_bytes_max;
  bool by_home = false; ///< every operation goes to the key's home: no read lock is taken for this session
};

session_actor spawn_session(caf::actor_system& system, session_config config);

} // namespace troupe
