#include "runtime/faces/request_sessions.hpp"

#include "runtime/token_question.hpp"

#include <caf/send.hpp>

#include <algorithm>
#include <future>

namespace troupe {

namespace {

/// Why a second beside the deadline: the session answers at the deadline; this is for the case that it does not.
constexpr milliseconds grace{1'000};
/// For as long nodes repeat that a lock is given back, while nobody waits for the answer.
constexpr milliseconds give_back_at_most{10'000};

} // namespace

v1::Result request_sessions::perform(const face_setup& face, typed_operation asked, milliseconds budget) {
  const auto outcome = std::make_shared<std::promise<v1::Result>>();
  auto arrives = outcome->get_future();
  session_actor session;
  {
    const std::lock_guard lock{sessions_->guard};
    if (sessions_->closed) return failed(errc::shutting_down);
    session = face.actors->open_session(face.next_session());
    sessions_->open.insert(session);
    submit(face, session, std::move(asked), budget,
           [outcome](const v1::Result& result) { outcome->set_value(result); });
  }
  const bool arrived = arrives.wait_for(budget + grace) == std::future_status::ready;
  const std::lock_guard lock{sessions_->guard};
  sessions_->open.erase(session);
  caf::anon_send(session, close_atom::value);
  return arrived ? arrives.get() : failed(errc::timeout);
}

request_sessions::whole_answer request_sessions::perform_whole(const face_setup& face, typed_operation asked,
                                                               token_wish token, milliseconds budget) {
  const auto outcome = std::make_shared<std::promise<v1::WeakAnswer>>();
  const auto seen = std::make_shared<std::promise<result<v1::SessionVector>>>();
  auto arrives = outcome->get_future();
  auto token_arrives = seen->get_future();
  const auto until = face.clock->now() + budget + grace;
  whole_answer out;
  session_actor session;
  {
    const std::lock_guard lock{sessions_->guard};
    if (sessions_->closed) {
      *out.answer.mutable_result() = failed(errc::shutting_down);
      return out;
    }
    session = face.actors->open_session(face.next_session());
    sessions_->open.insert(session);
    if (token.seen) caf::anon_send(session, session_token_join{*token.seen});
    submit_whole(face, session, std::move(asked), budget,
                 [outcome](const v1::WeakAnswer& answer) { outcome->set_value(answer); });
  }
  if (arrives.wait_for(budget + grace) == std::future_status::ready)
    out.answer = arrives.get();
  else
    *out.answer.mutable_result() = failed(errc::timeout);
  if (token.wanted) {
    bool asked_for = false;
    {
      const std::lock_guard lock{sessions_->guard}; // the node is there until close()
      asked_for = !sessions_->closed;
      if (asked_for)
        ask_token(*face.system, session, grace,
                  [seen](result<v1::SessionVector> answer) { seen->set_value(std::move(answer)); });
    }
    const auto patience = std::max<nanoseconds>(until - face.clock->now(), grace);
    if (asked_for && token_arrives.wait_for(patience) == std::future_status::ready)
      if (auto answer = token_arrives.get()) out.token = std::move(*answer);
  }
  const std::lock_guard lock{sessions_->guard};
  sessions_->open.erase(session);
  caf::anon_send(session, close_atom::value);
  return out;
}

lock_runner::ending request_sessions::acquire(const face_setup& face, const typed_operation& named,
                                              lock_acquisition::wish wish, milliseconds budget) {
  const auto outcome = std::make_shared<std::promise<lock_runner::ending>>();
  auto arrives = outcome->get_future();
  session_actor session;
  {
    const std::lock_guard lock{sessions_->guard};
    if (sessions_->closed) return lock_acquisition::failed{errc::shutting_down};
    session = face.actors->open_session(face.next_session());
    sessions_->open.insert(session);
  }
  const auto deadline = face.clock->now() + budget;
  auto ask = [shared = sessions_, face, session, named, deadline](v1::Operation operation, lock_runner::answer then) {
    std::unique_lock lock{shared->guard};
    if (!shared->closed) {
      const auto left = std::chrono::ceil<milliseconds>(std::max(deadline - face.clock->now(), nanoseconds{0}));
      return submit(face, session, {named.type, named.key, std::move(operation)}, left, std::move(then));
    }
    lock.unlock();
    then(failed(errc::shutting_down));
  };
  // By a session of its own, which ends with the answer: that of the request may be gone by then.
  auto give_back = [shared = sessions_, face, named](v1::Operation operation, const lock_runner::answer&) {
    const std::lock_guard lock{shared->guard};
    if (shared->closed) return;
    const auto other = face.actors->open_session(face.next_session());
    submit(face, other, {named.type, named.key, std::move(operation)}, give_back_at_most,
           [other](const v1::Result&) { caf::anon_send(other, close_atom::value); });
  };
  lock_runner::run(std::move(wish), *face.clock, std::move(ask), std::move(give_back),
                   [outcome](const lock_runner::ending& end) { outcome->set_value(end); });
  const bool arrived = arrives.wait_for(budget + grace) == std::future_status::ready;
  const std::lock_guard lock{sessions_->guard};
  sessions_->open.erase(session);
  caf::anon_send(session, close_atom::value);
  return arrived ? arrives.get() : lock_acquisition::failed{errc::timeout};
}

void request_sessions::close() {
  const std::lock_guard lock{sessions_->guard};
  sessions_->closed = true;
  for (const auto& session : sessions_->open)
    caf::anon_send(session, close_atom::value);
}

} // namespace troupe
