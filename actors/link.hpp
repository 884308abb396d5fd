/// LINK: one per peer, the only actor that knows a remote handle. Speaks the protocol of protocol/link.hpp (frames)
/// after that of protocol/greeting.hpp (hello).
///
/// Spawned by NODE for every member of the static list, and by DOOR for every client node that says hello. Monitors
/// the wire: when it dies, what was queued is dropped, operations that were not sent go back to the MANAGER of
/// their level, MEMBERSHIP is told, and the dialling side dials again. When MEMBERSHIP dies, hellos are refused;
/// running connections go on.
#pragma once

#include "actors/context.hpp"
#include "actors/transport.hpp"
#include "protocol/greeting.hpp"
#include "protocol/link.hpp"

#include <caf/actor_system.hpp>

#include <deque>
#include <memory>
#include <string>

namespace spdlog {
class logger;
}

namespace troupe {

struct link_config {
  node_id peer;
  std::string peer_name;
  bool dials = false;
  /// Ends with its first connection: the link of a client node, which comes and goes.
  bool one_connection = false;
  /// Added to every frame on its way out; order is kept. Seen in the measured round trip.
  nanoseconds delay{0};
  v1::Hello self; ///< what this node says of itself
  link_options frames;
  node_clock* clock = nullptr;
  transport* wires = nullptr;
  std::shared_ptr<const switchboard> board; ///< membership, strong manager, and the owners of what arrives
  io_loop* thread = nullptr;                ///< runs the link; null = any worker of the system
  std::shared_ptr<spdlog::logger> log;      ///< may be null
};

/// True when `self` is the one who dials: of two members the lower id, and a client node always.
constexpr bool dials(node_id self, node_id peer) {
  return is_client(self) != is_client(peer) ? is_client(self) : self < peer;
}

/// What this node says to its peers; `connection` stays empty.
struct self_description {
  std::string cluster;
  std::uint64_t configuration = 0; ///< hash of everything that must agree
  std::string configuration_text;  ///< the same in words
  node_id node;
  incarnation life;
  std::uint64_t disk = 0; ///< 0 = a client node
  std::string name;
  std::string region;
};
v1::Hello make_hello(const self_description& self);

/// The link does nothing until it gets its first tick_atom, or a wire from DOOR: by then the switchboard is filled.
link_actor spawn_link(caf::actor_system& system, link_config config);

} // namespace troupe
