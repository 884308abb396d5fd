/// What a node says about itself: its links, its shards, its store.
#pragma once

#include "actors/interfaces.hpp"
#include "runtime/node.hpp"
#include "runtime/streams_status.hpp"

#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// What the actors of a node answered. Whoever did not answer in time is left out.
struct node_status {
  instant at; ///< on the node's clock
  std::vector<link_status> links;
  std::vector<home_status> homes;        ///< one per shard that this node keeps a replica of; none on a client node
  std::size_t shards = 0;                ///< how many were asked
  std::optional<door_status> door;       ///< none on a client node
  std::optional<memory_status> memory;   ///< none when the node keeps no copies
  std::optional<replica_status> replica; ///< none on a client node
  std::optional<monitor_status> monitor;
  std::optional<view_status> view;       ///< none on a client node, and where every type is strong
  std::optional<streams_status> streams; ///< none where every type is strong
  bool store_failed = false;
  bool died = false; ///< see node::died
};

/// Asks the door, the memory layer, the replica, the monitor, the streams, every link and every lock manager. Blocks:
/// not for an actor's thread. Who has not answered in time is left out: everybody, when the process was stopped
/// meanwhile.
node_status ask_status(caf::actor_system& system, const node& actors, const node_clock& clock, nanoseconds at_most);

/// What keeps the node from serving, for people; nothing = it is ready.
///
/// Ready is a node whose store takes writes, that is linked to so many members that a majority of any shard's
/// replicas is among them (itself counted), over links whose measured round trip leaves a lease time to be renewed,
/// and that knows a home for every shard that it keeps a replica of; and, where there is a view, that has its life.
std::optional<std::string> obstacle(const node_setup& setup, const node_status& status);

/// As a JSON object with a stable order of keys.
/// @param store  none on a client node.
std::string to_json(const node_setup& setup, const node_status& status, const store_driver* store);

} // namespace troupe
