/// For services that are CAF actor systems themselves: a runtime in a given system, and its sessions as actors.
///
///     caf::actor_system_config settings;
///     troupe::configure(settings);
///     caf::actor_system system{settings};
///     auto rt = troupe::start_in(system, troupe::config::from_file("node.toml"));
///     auto stock = troupe::spawn_session(*rt);
///
/// and in an actor of `system`:
///
///     self->request(*stock, caf::infinite, troupe::calls::add{"inventory", "85123A", -6, {.floor = 0}})
///         .then([](const troupe::added& left) { ... },
///               [](const caf::error& why) { if (troupe::error_of(why).unknown()) ... });
///
/// The only header of Troupe that needs CAF: 0.17.6, as installed with it.
#pragma once

#include <troupe/runtime.hpp>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/error.hpp>
#include <caf/replies_to.hpp>
#include <caf/typed_actor.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace troupe {

/// Prepares a configuration for runtimes: message types and errors, the middleman, its heartbeats, and a node id that
/// is unique where CAF's own is not. How actors are scheduled stays the service's. To be called before the system is
/// made; what is set afterwards, by config.parse for one, wins, and start_in refuses what cannot work.
///
/// The first type id of the service's own may be caf::first_custom_type_id; those of Troupe are 30,000 and up.
void configure(caf::actor_system_config& config);

/// Starts a runtime in `system`, which must outlive it: stop() ends what the runtime has brought, and nothing else.
/// One of each cluster may run in a system. Connections to other nodes are the system's, and stay open until it ends.
///
/// The actors of the runtime run on the thread that does the network I/O of `system`. A broker of the service runs
/// there too: what it does for long holds up the node, and there calls that wait, and stop(), are refused.
/// @errors see runtime::start; invalid_argument: `system` lacks what `configure` sets, which the detail names, or a
///   runtime of this cluster is in it.
result<runtime> start_in(caf::actor_system& system, result<config> configuration);

/// What a session's actor is asked: the calls of `session`, as messages. The deadline in the options counts from when
/// the actor has the message.
namespace calls {

struct get {
  std::string type;
  std::string key;
  call_options options{};
};

struct put {
  std::string type;
  std::string key;
  std::string value;
  call_options options{};
};

struct remove {
  std::string type;
  std::string key;
  call_options options{};
};

struct compare_and_set {
  std::string type;
  std::string key;
  swap_request what;
  call_options options{};
};

struct add {
  std::string type;
  std::string key;
  std::int64_t delta = 0;
  add_options options{};
};

} // namespace calls

/// A session as an actor. Operations are issued in the order in which their messages arrive; each request is answered
/// once, by the value or by an error for error_of, at its deadline at the latest: a timeout of CAF's is not needed.
/// Its messages stay in the process.
using session_handle =
    caf::typed_actor<caf::replies_to<calls::get>::with<std::optional<found>>,
                     caf::replies_to<calls::put>::with<written>, caf::replies_to<calls::remove>::with<removed>,
                     caf::replies_to<calls::compare_and_set>::with<swapped>,
                     caf::replies_to<calls::add>::with<added>>;

/// Opens a session and gives it to an actor of the system that `of` was started in. It ends with its last handle, or
/// when `of` is stopped.
/// @errors invalid_argument: `of` was not started by start_in; shutting_down.
result<session_handle> spawn_session(runtime& of, session_options options = {});

/// What a request's error says. One of CAF's own says that the session has ended, and the operation is *not done*;
/// any other, a timeout for one, that its outcome is *unknown*.
error error_of(const caf::error& why);

} // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::calls::get)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::calls::put)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::calls::remove)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::calls::compare_and_set)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::calls::add)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::optional<troupe::found>)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::written)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::removed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::swapped)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::added)
