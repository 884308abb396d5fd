#include <troupe/caf.hpp>

#include "actors/basp_transport.hpp"
#include "actors/spawn.hpp"
#include "runtime/runtime_access.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <utility>

namespace troupe {

namespace {

struct session_handle_config {
  session calls;
  strong_manager_actor node; ///< ends when the node does
};

struct session_handle_state {
  std::optional<session> calls;
  static inline const char* name = "troupe.session_handle";
};

using self_ptr = session_handle::stateful_pointer<session_handle_state>;

caf::error as_caf_error(const error& why) {
  return caf::error{static_cast<std::uint8_t>(why.code()), error_category, caf::make_message(why.detail())};
}

/// Issues a call, whose outcome answers the message that is handled now.
template <class T, class Options, class Issue>
caf::typed_response_promise<T> answer_with(self_ptr self, Options options, Issue&& issue) {
  auto promise = self->template make_response_promise<T>();
  // Runs on this actor's thread; and where the node ends, which is when nothing runs there any more.
  auto deliver = [promise](result<T> outcome) mutable {
    if (outcome)
      promise.deliver(std::move(*outcome));
    else
      promise.deliver(as_caf_error(outcome.error()));
  };
  issue(self->state.calls->async(), on_done<T, Options>{std::move(deliver), std::move(options)});
  return promise;
}

session_handle::behavior_type session_behavior(self_ptr self, session_handle_config config) {
  self->state.calls.emplace(std::move(config.calls));
  self->set_default_handler(caf::drop);
  self->set_down_handler([self](const caf::down_msg&) { self->quit(); });
  self->monitor(config.node);
  return {
      [self](calls::get& c) {
        return answer_with<std::optional<found>>(
            self, std::move(c.options), [&](async_session s, auto done) { s.get(c.type, c.key, std::move(done)); });
      },
      [self](calls::put& c) {
        return answer_with<written>(self, std::move(c.options), [&](async_session s, auto done) {
          s.put(c.type, c.key, std::move(c.value), std::move(done));
        });
      },
      [self](calls::remove& c) {
        return answer_with<removed>(self, std::move(c.options),
                                    [&](async_session s, auto done) { s.remove(c.type, c.key, std::move(done)); });
      },
      [self](calls::compare_and_set& c) {
        return answer_with<swapped>(self, std::move(c.options), [&](async_session s, auto done) {
          s.compare_and_set(c.type, c.key, std::move(c.what), std::move(done));
        });
      },
      [self](calls::add& c) {
        return answer_with<added>(self, std::move(c.options), [&](async_session s, auto done) {
          s.add(c.type, c.key, c.delta, std::move(done));
        });
      },
  };
}

} // namespace

result<runtime> start_in(caf::actor_system& system, result<config> configuration) {
  if (!configuration) return tl::unexpected{configuration.error()};
  return runtime_access::start_in(system, *configuration);
}

result<session_handle> spawn_session(runtime& of, session_options options) {
  auto session = of.open_session(options);
  result<session_handle> spawned = tl::unexpected{error{errc::shutting_down}};
  runtime_access{of}.with_parts([&](assembly& a) {
    if (a.is_guest())
      spawned = spawn_on(a.system(), &a.thread(), session_behavior,
                         session_handle_config{std::move(session), a.actors().actors().strong_manager});
    else
      spawned = tl::unexpected{error{errc::invalid_argument, "this runtime was not started by troupe::start_in"}};
  });
  return spawned;
}

error error_of(const caf::error& why) {
  if (why.category() == error_category) {
    const auto& detail = why.context();
    return error{static_cast<errc>(why.code()),
                 detail.match_elements<std::string>() ? detail.get_as<std::string>(0) : std::string{}};
  }
  if (why == caf::sec::request_receiver_down) return error{errc::shutting_down, "the session has ended"};
  return error{errc::timeout, caf::to_string(why)};
}

} // namespace troupe
