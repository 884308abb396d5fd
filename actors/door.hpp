/// DOOR: what a peer reaches when it dials this node.
///
/// Spawned by NODE and published through the transport. Asks MEMBERSHIP whether a stranger may speak, then hands its
/// wire to the LINK of that peer; links of client nodes, which are not in the static list, are spawned and monitored
/// here and go with their connection. Untyped towards the network: anything but a hello is counted and dropped. When
/// MEMBERSHIP dies every hello is refused.
///
///   Hello, over the wire          -> (Hello, wire) to the link of that peer, or HelloRefused over the wire
///   (node_id to, Envelope), local -> to the link of client `to`; dropped when there is none
///   status_atom, local            -> door_status
#pragma once

#include "actors/link.hpp"

#include <map>
#include <string>

namespace troupe {

struct door_config {
  /// What the links of clients are made from: self, frames, clock, wires, board, log. Also the door's own.
  link_config links;
  node_id self;
  std::size_t clients_max = 1'024;
  /// Injected one-way delay towards client nodes, by their region; absent = none.
  std::map<std::string, nanoseconds> region_delays{};
};

/// The switchboard must be filled before the transport listens for this door.
door_actor spawn_door(caf::actor_system& system, door_config config);

} // namespace troupe
