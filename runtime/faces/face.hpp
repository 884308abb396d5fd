/// What a face (a door for clients: RESP, HTTP) stands on, and how it hands an operation to a session.
#pragma once

#include "actors/auditor.hpp"
#include "actors/interfaces.hpp"
#include "actors/node_clock.hpp"
#include "runtime/faces/alert_webhook.hpp"
#include "runtime/faces/operation_meter.hpp"
#include "runtime/faces/typed_operation.hpp"
#include "runtime/node.hpp"
#include "runtime/token_seal.hpp"

#include <functional>
#include <memory>

namespace troupe {

/// Everything that a face needs of its node. The plain pointers are never null but for `store`, and outlive the
/// face.
struct face_setup {
  caf::actor_system* system = nullptr;
  node* actors = nullptr;
  const node_clock* clock = nullptr;
  const store_driver* store = nullptr; ///< none on a client node
  operation_meter* meter = nullptr;
  std::shared_ptr<spdlog::logger> log;
  std::function<session_id()> next_session; ///< ids unique in the cluster; safe from any thread
  milliseconds deadline{1000};              ///< of an operation whose client names none
  token_seal seal{};                        ///< of session tokens
  std::shared_ptr<audit_feed> audit{};      ///< null = nothing is audited
  std::shared_ptr<alert_webhook> webhook{}; ///< null = none

  const cluster& shape() const { return actors->setup().shape; }
};

/// Hands `asked` to `session` and counts it. `done` runs on an actor's thread, exactly once; it must not block or
/// throw.
/// @param budget  how long the client waits, from now on.
/// @errors unknown_type, key_too_long, value_too_large: `done` runs at once, on the caller's thread.
void submit(const face_setup& face, const session_actor& session, typed_operation asked, milliseconds budget,
            std::function<void(const v1::Result&)> done);

/// The same, with all that an answer says of a weaker level; of a strong type it is the result only.
/// @errors those of submit, and unsupported_operation and unsupported_level: `done` runs at once, and the answer says
///   in its detail what the type has.
void submit_whole(const face_setup& face, const session_actor& session, typed_operation asked, milliseconds budget,
                  std::function<void(const v1::WeakAnswer&)> done);

} // namespace troupe
