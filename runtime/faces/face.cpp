#include "runtime/faces/face.hpp"

#include "protocol/strong/named_lock.hpp"
#include "runtime/history_line.hpp"

#include <caf/send.hpp>

namespace troupe {

void submit(const face_setup& face, const session_actor& session, typed_operation asked, milliseconds budget,
            std::function<void(const v1::Result&)> done) {
  const auto what = asked.operation.what_case();
  if (const auto error = find_mistake(face.shape(), asked); error != errc::none) {
    const auto result = failed(error);
    face.meter->count(asked.type, what, result, nanoseconds{0});
    done(result);
    return;
  }
  const auto begun = face.clock->now();
  session_call call;
  call.operation = std::move(asked.operation);
  if (!is_lock_operation(what)) call.operation.set_key(stored_key(asked.type, asked.key));
  call.operation.set_roll_back(face.shape().types.at(asked.type).timeout == on_timeout::rollback);
  call.type = asked.type;
  // The sessions of a face are its own, and nobody's: keys are audited, and no sessions.
  auto audit = operation_audit::of(
      face.audit, face.shape(),
      {.type = asked.type, .key = call.operation.key(), .given = face.shape().types.at(asked.type).consistency},
      call.operation, begun);
  call.deadline = begun + budget;
  call.done = [meter = face.meter, clock = face.clock, type = std::move(asked.type), what, begun,
               audit = std::move(audit), tell = std::move(done)](const v1::Result& result) mutable {
    const auto now = clock->now();
    meter->count(type, what, result, now - begun);
    if (audit) audit->end(result, now);
    tell(result);
  };
  caf::anon_send(session, std::move(call));
}

} // namespace troupe
