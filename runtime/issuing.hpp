/// How a call of the public API is issued and delivered, in its three forms: with a function, with an outcome to be
/// waited for, and waiting.
#pragma once

#include "runtime/runtime_impl.hpp"
#include "runtime/weak_calls.hpp"

#include <functional>
#include <memory>
#include <utility>

namespace troupe {

// What an operation answered, as its caller sees it. `details`: null unless somebody looks at them.

void take(v1::Result& r, const answer_details* details, std::optional<found>& out);
void take(v1::Result& r, const answer_details* details, written& out);
void take(v1::Result& r, const answer_details* details, removed& out);
void take(v1::Result& r, const answer_details* details, added& out);
void take(v1::Result& r, const answer_details* details, swapped& out);

template <class T>
issued_call::delivery deliver_as(std::shared_ptr<answer_details> details, std::function<void(result<T>)> done) {
  return [details = std::move(details), done = std::move(done)](result<v1::Result> answer) {
    if (!answer) return done(tl::unexpected{std::move(answer.error())});
    T value;
    take(*answer, details.get(), value);
    done(std::move(value));
  };
}

template <class T> void issue(session_impl& session, call_request request, std::function<void(result<T>)> done) {
  auto details = request.weak.details;
  session.issue(std::move(request), deliver_as<T>(std::move(details), std::move(done)));
}

/// Whether the concurrent values of this type are merged by a function of the service.
inline bool merges(const session_impl& session, std::string_view type) {
  const auto& merged = session.settings().merged_types;
  return !merged.empty() && merged.contains(type);
}

/// Reads what that function makes of them.
void get_merged(session_impl& session, std::string_view type, std::string_view key, call_options options,
                std::function<void(result<std::optional<found>>)> done);

/// What `issue_with` delivers, as an outcome.
template <class T, class Issue> pending<T> pending_of(Issue issue_with) {
  auto outcome = std::make_shared<detail::outcome<T>>();
  issue_with([outcome](result<T> r) { outcome->deliver(std::move(r)); });
  return pending<T>{std::move(outcome)};
}

template <class T> pending<T> issue(session_impl& session, call_request request) {
  return pending_of<T>([&](auto done) { issue<T>(session, std::move(request), std::move(done)); });
}

template <class T> result<T> wait(session_impl& session, call_request request) {
  if (must_not_wait()) return tl::unexpected{wait_refusal()};
  const auto patience = session.patience(request.deadline);
  const auto outcome = std::make_shared<detail::outcome<T>>();
  auto details = request.weak.details;
  const auto call =
      session.issue(std::move(request),
                    deliver_as<T>(std::move(details), [outcome](result<T> r) { outcome->deliver(std::move(r)); }));
  if (!outcome->wait_for(patience))
    call->settle(tl::unexpected{error{errc::timeout, "the node did not answer at all"}});
  outcome->wait();
  return outcome->take();
}

/// What `issue_with` delivers, waited for.
template <class T, class Issue>
result<T> wait_for(session_impl& session, const std::optional<nanoseconds>& deadline, Issue issue_with) {
  if (must_not_wait()) return tl::unexpected{wait_refusal()};
  const auto outcome = std::make_shared<detail::outcome<T>>();
  issue_with([outcome](result<T> r) { outcome->deliver(std::move(r)); });
  if (!outcome->wait_for(session.patience(deadline)))
    return tl::unexpected{error{errc::timeout, "the node did not answer at all"}};
  return outcome->take();
}

} // namespace troupe
