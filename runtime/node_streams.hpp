/// The part of a node that serves the weaker levels: spawned only where a data type has one.
#pragma once

#include "actors/context.hpp"
#include "actors/weak_copies.hpp"
#include "runtime/node.hpp"

#include <caf/actor_system.hpp>

#include <functional>
#include <memory>
#include <vector>

namespace troupe {

/// Whether any type of the cluster is not strong.
bool has_weaker_types(const cluster& shape);

/// What the actors of the weaker levels are made of.
struct stream_parts {
  const node_setup& setup;
  const actor_context& context;
  store_driver* store = nullptr;                    ///< none on a client node
  std::vector<std::vector<node_id>> replica_sets{}; ///< by shard
  weak_copies copies{};                             ///< null = nobody reads without asking
  session_id restarts{};                            ///< unlike any session's of the cluster
  std::function<void()> store_failed{};
};

/// Spawns managers, and on a member stream replica, update streams and frontier; puts them on the board.
void spawn_streams(caf::actor_system& system, const stream_parts& parts, switchboard& board);
/// The board is complete.
void start_streams(const switchboard& board);

/// For the view keeper: tells all of them of a new view.
std::function<void(const view_changed&)> stream_listener(std::shared_ptr<const switchboard> board);
/// All that were spawned.
std::vector<caf::actor> stream_actors(const switchboard& board);

} // namespace troupe
