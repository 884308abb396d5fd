/// Who owns which kind of message on this node, and which link leads to which other node.
#pragma once

#include "actors/interfaces.hpp"

#include <caf/local_actor.hpp>
#include <caf/send.hpp>

#include <map>
#include <vector>

namespace troupe {

/// Filled by the node while it spawns its actors, before the first of them is told to start; never changed
/// afterwards.
class switchboard {
public:
  node_id self;
  replica_actor replica;       ///< none on a client node
  membership_actor membership; ///< none on a client node
  strong_manager_actor strong_manager;
  weak_manager_actor eventual_manager; ///< the three weaker levels: none where they are not served
  weak_manager_actor session_manager;
  weak_manager_actor causal_manager;
  stream_replica_actor stream_replica;                   ///< none on a client node
  frontier_actor frontier;                               ///< none on a client node
  std::map<node_id, update_stream_actor> update_streams; ///< one per other member; empty on a client node
  memory_layer_actor memory_layer;                       ///< none when the node keeps no copies
  std::vector<lock_manager_actor> lock_managers;         ///< one per shard, by id; empty on a client node
  std::map<node_id, link_actor> links;                   ///< one per node of the static list, this node left out
  view_keeper_actor view_keeper;                         ///< none on a client node, and where every type is strong
  session_actor view_record;                             ///< its session, for the record
  timekeeper_actor timekeeper;                           ///< none on a client node
  door_actor door;                                       ///< keeps the links of client nodes
  monitor_actor monitor;
  explainer_actor explainer;

  /// Sends `envelope` to node `to`: to the owner of its kind when that is this node, else to the link.
  void post(node_id to, v1::Envelope envelope) const;

  /// Who keeps the operations of this level; null = nobody does (strong has a manager of its own kind).
  const weak_manager_actor& weak_manager(level which) const;

  /// Hands a message of node `from` to its owner on this node.
  /// @errors false: this node has no owner for it (a kind that it does not know, or a shard out of range).
  bool deliver(node_id from, v1::Envelope& envelope) const;
};

} // namespace troupe
