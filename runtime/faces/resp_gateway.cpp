#include "runtime/faces/resp_gateway.hpp"

#include "actors/transport.hpp"
#include "runtime/faces/resp_connection.hpp"

#include <caf/actor_system.hpp>
#include <caf/io/broker.hpp>
#include <caf/io/middleman.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>

#include <spdlog/spdlog.h>

#include <sys/resource.h>

#include <future>
#include <limits>
#include <stdexcept>
#include <string>
#include <unordered_map>

namespace troupe {

namespace {

/// The port that was bound; 0 = none. A broker is initialized on the middleman's thread, after spawn returned.
using bind_promise = std::promise<std::uint16_t>;

/// The state of the acceptor. Its end, however it comes, ends the connections.
struct acceptor_state {
  static constexpr const char* name = "troupe.resp_acceptor";
  std::unordered_map<caf::actor_id, caf::actor> connections; ///< those that live

  acceptor_state() = default;
  acceptor_state(const acceptor_state&) = delete;
  acceptor_state& operator=(const acceptor_state&) = delete;
  ~acceptor_state() {
    for (const auto& [id, connection] : connections)
      caf::anon_send_exit(connection, caf::exit_reason::user_shutdown);
  }
};

using acceptor_ptr = caf::io::stateful_broker<acceptor_state>*;

void turn_away(acceptor_ptr self, caf::io::connection_handle wire) {
  const auto refusal = resp::error("max number of clients reached");
  self->write(wire, refusal.size(), refusal.data());
  self->flush(wire);
  self->close(wire);
}

/// ACCEPTOR: hands each new client to a broker of its own, or turns it away.
void accept(acceptor_ptr self, const std::shared_ptr<const resp_context>& context, caf::io::connection_handle wire) {
  const auto& bounds = context->bounds;
  // The system gives out the lowest number that is free: one above the clients' share says that the process has used
  // it up, whoever did.
  const bool room = static_cast<std::size_t>(descriptor_of(wire)) < context->descriptors_max;
  if (!room || !context->load->enter(bounds.connections_max)) {
    context->face.log->warn("resp.connection_refused connections_max={} descriptors_max={}", bounds.connections_max,
                            context->descriptors_max);
    return turn_away(self, wire);
  }
  const auto connection = self->fork(run_resp_connection, wire, context);
  self->monitor(connection);
  self->state.connections.emplace(connection.id(), connection);
}

/// A connection that fails costs its client, and nobody else.
void forget(acceptor_ptr self, const resp_context& context, const caf::down_msg& down) {
  self->state.connections.erase(down.source.id());
  if (down.reason && down.reason != caf::exit_reason::user_shutdown)
    context.face.log->error("resp.connection_failed reason={:?}", self->system().render(down.reason));
}

caf::behavior run_acceptor(acceptor_ptr self, const std::shared_ptr<const resp_context>& context, const endpoint& at,
                           const std::shared_ptr<bind_promise>& bound) {
  auto door = self->add_tcp_doorman(at.port, at.host.c_str(), true);
  if (!door) {
    bound->set_value(0);
    return {};
  }
  bound->set_value(door->second);
  self->set_default_handler(caf::drop);
  self->set_exception_handler([self, context](std::exception_ptr& thrown) {
    auto reason = as_exit_reason(thrown);
    context->face.log->critical("resp.listener_failed reason={:?}", self->system().render(reason));
    return reason;
  });
  self->set_down_handler([self, context](const caf::down_msg& down) { forget(self, *context, down); });
  return {
      [self, context](const caf::io::new_connection_msg& client) { accept(self, context, client.handle); },
      [](const caf::io::connection_closed_msg&) { /* one that was turned away has gone */ },
      [self, context](const caf::io::acceptor_closed_msg&) {
        context->face.log->error("resp.listener_closed");
        self->quit();
      },
  };
}

/// How many descriptors this process may open, as things are.
std::size_t descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return std::numeric_limits<std::size_t>::max();
  return limit.rlim_cur;
}

/// The middleman's thread, on which connections begin and end, is never blocked for long.
constexpr std::chrono::seconds middleman_patience{5};

} // namespace

bool resp_load::enter(std::size_t connections_max) {
  const std::lock_guard lock{guard_};
  if (connections_ >= connections_max) return false;
  ++connections_;
  ++accepted_;
  return true;
}

void resp_load::leave() {
  const std::lock_guard lock{guard_};
  --connections_;
  left_.notify_all();
}

bool resp_load::wait_empty(nanoseconds at_most) {
  std::unique_lock lock{guard_};
  return left_.wait_for(lock, at_most, [this] { return connections_ == 0; });
}

resp_gateway::resp_gateway(const face_setup& face, const endpoint& at, const resp_limits& bounds)
    : face_(face), address_(at), load_(std::make_shared<resp_load>()) {
  resp_context shared{face, bounds, descriptors_for_clients(descriptor_limit()), load_};
  if (shared.descriptors_max < bounds.connections_max) {
    shared.bounds.connections_max = shared.descriptors_max;
    face.log->warn("resp.connections_limited connections_max={} configured={} why=\"the process may not open more "
                   "descriptors\"",
                   shared.descriptors_max, bounds.connections_max);
  }
  const auto context = std::make_shared<const resp_context>(std::move(shared));
  const auto bound = std::make_shared<bind_promise>();
  auto outcome = bound->get_future();
  acceptor_ = face.system->middleman().spawn_broker(
      [context, at, bound](acceptor_ptr self) { return run_acceptor(self, context, at, bound); });
  if (outcome.wait_for(middleman_patience) != std::future_status::ready) {
    caf::anon_send_exit(acceptor_, caf::exit_reason::user_shutdown);
    throw std::runtime_error("cannot listen at " + to_string(at) + " for Redis clients: the middleman is stuck");
  }
  address_.port = outcome.get();
  if (address_.port == 0) throw cannot_listen("listen.resp", to_string(at));
  face.log->info("resp.listening address={}", to_string(address_));
}

resp_gateway::~resp_gateway() {
  caf::anon_send_exit(acceptor_, caf::exit_reason::user_shutdown);
  caf::scoped_actor self{*face_.system, true};
  self->wait_for(acceptor_);
  if (!load_->wait_empty(middleman_patience)) face_.log->critical("resp.connections_left");
}

} // namespace troupe
