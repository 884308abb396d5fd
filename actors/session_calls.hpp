/// What a session makes of a call before anything leaves the node: whether it may be done, at which level, and the
/// operation that a manager of a weaker level is given.
#pragma once

#include "actors/interfaces.hpp"
#include "protocol/cluster.hpp"
#include "protocol/error.hpp"
#include "protocol/version_vector.hpp"

namespace troupe {

/// What must hold before anything leaves the node.
errc check_call(const cluster& shape, const session_call& call);

/// How an operation on a type of a weaker level is served.
struct weak_service {
  level at = level::eventual; ///< a read: as asked for; a write: of the type
  stream_lane lane = stream_lane::ordered;
  std::uint32_t guarantees = 0; ///< bits of `guarantee`
  bool in_order = false;        ///< a write that waits for its turn among the session's writes
};

/// @param call  of a type whose level is not strong; check_call has found nothing wrong with it.
weak_service service_of(const data_type& type, const session_call& call);

/// Takes the operation out of the call. Left out: id, and what the session has seen.
v1::WeakOperation weak_operation(session_call& call, const weak_service& service, shard_id shard);

} // namespace troupe
