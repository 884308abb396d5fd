#include "actors/door.hpp"

#include "actors/spawn.hpp"
#include "protocol/error.hpp"

#include <caf/all.hpp>
#include <spdlog/spdlog.h>

namespace troupe {

namespace {

struct door_state {
  /// The links of clients end with the door. (An attached functor would run too late: CAF destroys the state first.)
  ~door_state() {
    for (auto& [peer, link] : clients)
      caf::anon_send_exit(link, caf::exit_reason::kill);
  }

  static inline const char* name = "door";

  caf::stateful_actor<door_state>* self = nullptr;
  door_config config;
  std::map<node_id, link_actor> clients; ///< at most clients_max; one per connected client node
  std::uint64_t admitted = 0;
  std::uint64_t refused = 0;
  std::uint64_t dropped = 0;
  std::string last_refusal; ///< of a hello that belongs to no link

  void greet(const v1::Hello& hello, const caf::strong_actor_ptr& wire);
  void answer(const v1::Hello& hello, const v1::HelloRefused& verdict, const caf::strong_actor_ptr& wire);
  void refuse(const v1::Hello& hello, const caf::strong_actor_ptr& wire, v1::HelloRefused no);
  void note_refusal(const v1::HelloRefused& no);
  const link_actor* link_of(const v1::Hello& hello, v1::HelloRefused& no);
  void client_gone(const caf::actor_addr& link);
};

v1::HelloRefused refusal_of(errc error, std::string what) {
  v1::HelloRefused no;
  no.set_error(static_cast<std::uint32_t>(error));
  no.set_what(std::move(what));
  return no;
}

void door_state::greet(const v1::Hello& hello, const caf::strong_actor_ptr& wire) {
  if (!wire) { // nobody to answer
    ++dropped;
    return;
  }
  auto gone = refusal_of(errc::shutting_down, "this node's membership has ended");
  const auto& membership = config.links.board->membership;
  if (!membership) return refuse(hello, wire, std::move(gone));
  // A local question without a deadline: membership answers at once, and its death is an error at once.
  self->request(membership, caf::infinite, hello)
      .then([=, this](const v1::HelloRefused& verdict) { answer(hello, verdict, wire); },
            [=, this](caf::error&) { refuse(hello, wire, gone); });
}

void door_state::answer(const v1::Hello& hello, const v1::HelloRefused& verdict, const caf::strong_actor_ptr& wire) {
  if (verdict.error() != 0) return refuse(hello, wire, verdict);
  v1::HelloRefused no;
  const auto* link = link_of(hello, no);
  if (link == nullptr) return refuse(hello, wire, std::move(no));
  ++admitted;
  self->send(*link, hello, wire);
}

void door_state::refuse(const v1::Hello& hello, const caf::strong_actor_ptr& wire, v1::HelloRefused no) {
  ++refused;
  no.set_what(one_line(no.what()));
  no.set_connection(hello.connection());
  // A peer of the list tries every second: its link knows what was said before.
  const auto& members = config.links.board->links;
  if (auto i = members.find({hello.node()}); i != members.end())
    self->send(i->second, turned_away_atom{}, no);
  else
    note_refusal(no);
  self->send(caf::actor_cast<caf::actor>(wire), std::move(no));
}

void door_state::note_refusal(const v1::HelloRefused& no) {
  if (const auto& log = config.links.log)
    log->log(no.what() == last_refusal ? spdlog::level::debug : spdlog::level::warn,
             "door.refused error={} what=\"{}\"", name_of(static_cast<errc>(no.error())), no.what());
  last_refusal = no.what();
}

/// The link that a hello is for; null, and why, when there is none.
const link_actor* door_state::link_of(const v1::Hello& hello, v1::HelloRefused& no) {
  const node_id peer{hello.node()};
  if (peer == config.self || dials(config.self, peer)) {
    no = refusal_of(errc::wrong_configuration, "node " + to_string(peer) + " must not dial node "
                                                   + to_string(config.self)
                                                   + ": of two members the one with the lower id dials");
    return nullptr;
  }
  const auto& members = config.links.board->links;
  if (auto i = members.find(peer); i != members.end()) return &i->second;
  if (!is_client(peer)) {
    no = refusal_of(errc::wrong_configuration, "node " + to_string(peer) + " is not in this node's list of members");
    return nullptr;
  }
  if (auto i = clients.find(peer); i != clients.end()) return &i->second;
  if (clients.size() >= config.clients_max) {
    no = refusal_of(errc::overloaded, std::to_string(clients.size()) + " client nodes are connected already");
    return nullptr;
  }
  auto config_of_link = config.links;
  config_of_link.peer = peer;
  config_of_link.peer_name = shown_name(hello);
  config_of_link.dials = false;
  config_of_link.one_connection = true;
  if (auto i = config.region_delays.find(hello.region()); i != config.region_delays.end())
    config_of_link.delay = i->second;
  auto& link = clients[peer] = spawn_link(self->system(), std::move(config_of_link));
  self->monitor(link);
  return &link;
}

void door_state::client_gone(const caf::actor_addr& link) {
  std::erase_if(clients, [&](const auto& client) { return client.second.address() == link; });
}

caf::behavior door_behavior(caf::stateful_actor<door_state>* self, door_config config) {
  auto& state = self->state;
  state.self = self;
  state.config = std::move(config);
  self->set_default_handler([&state](caf::scheduled_actor*, caf::message_view&) -> caf::result<caf::message> {
    ++state.dropped;
    return caf::sec::unexpected_message;
  });
  self->set_error_handler([&state](caf::scheduled_actor*, caf::error&) { ++state.dropped; });
  self->set_down_handler([&state](const caf::down_msg& down) { state.client_gone(down.source); });

  return {
      [&state, self](const v1::Hello& hello) { state.greet(hello, self->current_sender()); },
      [&state](node_id to, v1::Envelope& envelope) {
        if (auto i = state.clients.find(to); i != state.clients.end())
          state.self->send(i->second, std::move(envelope));
        else
          ++state.dropped;
      },
      [&state](status_atom) {
        return door_status{state.clients.size(), state.admitted, state.refused, state.dropped, state.last_refusal};
      },
  };
}

} // namespace

door_actor spawn_door(caf::actor_system& system, door_config config) {
  auto* const thread = config.links.thread;
  return spawn_on(system, thread, door_behavior, std::move(config));
}

} // namespace troupe
