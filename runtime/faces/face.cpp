#include "runtime/faces/face.hpp"

#include "protocol/strong/named_lock.hpp"
#include "runtime/operation_audit.hpp"

#include <caf/send.hpp>

namespace troupe {

namespace {

session_call message_of(const face_setup& face, typed_operation& asked, instant deadline) {
  session_call call;
  if (!is_lock_operation(asked.operation.what_case())) asked.operation.set_key(stored_key(asked.type, asked.key));
  call.operation = std::move(asked.operation);
  call.operation.set_roll_back(face.shape().types.at(asked.type).timeout == on_timeout::rollback);
  call.type = asked.type;
  call.deadline = deadline;
  call.at = asked.at;
  call.extra = std::move(asked.extra);
  return call;
}

} // namespace

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
  auto call = message_of(face, asked, begun + budget);
  // The sessions of a face are its own, and nobody's: keys are audited, and no sessions.
  auto audit = operation_audit::of(
      face.audit, face.shape(),
      {.type = asked.type, .key = call.operation.key(), .given = face.shape().types.at(asked.type).consistency},
      call.operation, begun);
  call.done = [meter = face.meter, clock = face.clock, type = std::move(asked.type), what, begun,
               audit = std::move(audit), tell = std::move(done)](const v1::Result& result) mutable {
    const auto now = clock->now();
    meter->count(type, what, result, now - begun);
    if (audit) audit->end(result, now);
    tell(result);
  };
  caf::anon_send(session, std::move(call));
}

void submit_whole(const face_setup& face, const session_actor& session, typed_operation asked, milliseconds budget,
                  std::function<void(const v1::WeakAnswer&)> done) {
  const auto what = asked.operation.what_case();
  v1::WeakAnswer refusal;
  auto wrong = find_mistake(face.shape(), asked);
  if (wrong == errc::none) {
    if (auto refused = find_refusal(face.shape(), asked)) {
      wrong = refused->code;
      refusal.set_detail(std::move(refused->detail));
    }
  }
  if (wrong != errc::none) {
    *refusal.mutable_result() = failed(wrong);
    face.meter->count(asked.type, what, refusal.result(), nanoseconds{0});
    return done(refusal);
  }
  if (face.shape().types.at(asked.type).consistency == level::strong) {
    return submit(face, session, std::move(asked), budget, [tell = std::move(done)](const v1::Result& result) {
      v1::WeakAnswer answer;
      *answer.mutable_result() = result;
      tell(answer);
    });
  }
  const auto begun = face.clock->now();
  auto call = message_of(face, asked, begun + budget);
  call.weak_done = [meter = face.meter, clock = face.clock, type = std::move(asked.type), what, begun,
                    tell = std::move(done)](const v1::WeakAnswer& answer) {
    meter->count(type, what, answer.result(), clock->now() - begun);
    tell(answer);
  };
  caf::anon_send(session, std::move(call));
}

} // namespace troupe
