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

#include <future>
#include <stdexcept>
#include <string>

namespace troupe {

namespace {

/// The port that was bound; 0 = none. A broker is initialized on the middleman's thread, after spawn returned.
using bind_promise = std::promise<std::uint16_t>;

/// ACCEPTOR: hands each new client to a broker of its own, or turns it away.
void accept(caf::io::broker* self, const std::shared_ptr<const resp_context>& context,
            caf::io::connection_handle wire) {
  if (!context->load->enter(context->bounds.connections_max)) {
    context->face.log->warn("resp.connection_refused connections_max={}", context->bounds.connections_max);
    const auto refusal = resp::error("max number of clients reached");
    self->write(wire, refusal.size(), refusal.data());
    self->flush(wire);
    self->close(wire);
    return;
  }
  self->link_to(self->fork(run_resp_connection, wire, context));
}

caf::behavior run_acceptor(caf::io::broker* self, const std::shared_ptr<const resp_context>& context,
                           const endpoint& at, const std::shared_ptr<bind_promise>& bound) {
  auto door = self->add_tcp_doorman(at.port, at.host.c_str(), true);
  if (!door) {
    bound->set_value(0);
    return {};
  }
  bound->set_value(door->second);
  self->set_default_handler(caf::drop);
  return {
      [self, context](const caf::io::new_connection_msg& client) { accept(self, context, client.handle); },
      [](const caf::io::connection_closed_msg&) { /* one that was turned away has gone */ },
      [self, context](const caf::io::acceptor_closed_msg&) {
        context->face.log->error("resp.listener_closed");
        self->quit();
      },
  };
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
  const auto context = std::make_shared<const resp_context>(resp_context{face, bounds, load_});
  const auto bound = std::make_shared<bind_promise>();
  auto outcome = bound->get_future();
  acceptor_ = face.system->middleman().spawn_broker(
      [context, at, bound](caf::io::broker* self) { return run_acceptor(self, context, at, bound); });
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
