#include "runtime/token_question.hpp"

#include "runtime/waiting.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/sec.hpp>

#include <utility>

namespace troupe {

namespace {

struct token_question {
  session_actor session;
  nanoseconds patience{0};
  std::function<void(result<v1::SessionVector>)> done;
};

/// Asks, answers, and ends.
void ask(caf::event_based_actor* self, const token_question& q) {
  self->request(q.session, std::chrono::ceil<milliseconds>(q.patience), session_token_request{})
      .then(
          [done = q.done](const v1::SessionVector& seen) {
            const delivery_scope scope;
            done(seen);
          },
          [done = q.done](const caf::error& why) {
            const delivery_scope scope;
            const bool ended = why == caf::sec::request_receiver_down;
            done(tl::unexpected{error{ended ? errc::shutting_down : errc::timeout, "the session's token"}});
          });
}

} // namespace

void ask_token(caf::actor_system& system, const session_actor& session, nanoseconds patience,
               std::function<void(result<v1::SessionVector>)> done) {
  if (!session) return done(tl::unexpected{error{errc::shutting_down, "the session's token"}});
  system.spawn(ask, token_question{session, patience, std::move(done)});
}

} // namespace troupe
