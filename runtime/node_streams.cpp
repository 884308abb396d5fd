#include "runtime/node_streams.hpp"

#include "actors/causal_manager.hpp"
#include "actors/eventual_manager.hpp"
#include "actors/frontier.hpp"
#include "actors/session_manager.hpp"
#include "actors/stream_replica.hpp"
#include "actors/update_stream.hpp"

#include <caf/send.hpp>

#include <algorithm>

namespace troupe {

namespace {

std::vector<bool> stored_by(const std::vector<std::vector<node_id>>& replica_sets, node_id who) {
  std::vector<bool> stored(replica_sets.size());
  for (std::size_t shard = 0; shard < stored.size(); ++shard)
    stored[shard] =
        std::find(replica_sets[shard].begin(), replica_sets[shard].end(), who) != replica_sets[shard].end();
  return stored;
}

stream_replica_config replica_of(const stream_parts& parts) {
  stream_replica_config config;
  config.context = parts.context;
  config.store = parts.store;
  config.copies = parts.copies;
  config.store_failed = parts.store_failed;
  auto& options = config.options;
  options.self = parts.setup.self;
  options.shards = parts.setup.shape.shards;
  options.drift_ppm = parts.setup.shape.drift_ppm;
  options.own_log_bytes_max = parts.setup.stream_log_bytes_max;
  options.compare_every = parts.setup.stream_compare_every;
  for (const auto& [name, type] : parts.setup.shape.types)
    if (type.consistency != level::strong) options.types.emplace(name, type);
  for (std::uint32_t shard = 0; shard < parts.replica_sets.size(); ++shard) {
    const auto& nodes = parts.replica_sets[shard];
    if (std::find(nodes.begin(), nodes.end(), parts.setup.self) != nodes.end())
      options.stored.emplace(shard_id{shard}, nodes);
  }
  return config;
}

frontier_config frontier_of(const stream_parts& parts) {
  frontier_config config;
  config.context = parts.context;
  config.options.self = parts.setup.self;
  config.options.life = parts.setup.life;
  for (const auto& m : parts.setup.shape.members)
    config.options.regions.emplace(m.id, m.region);
  return config;
}

void spawn_managers(caf::actor_system& system, const stream_parts& parts, switchboard& board) {
  weak_requests_options options;
  options.self = parts.setup.self;
  for (const auto& m : parts.setup.shape.members)
    if (m.region == parts.setup.region) options.near.insert(m.id);
  options.replica_sets = parts.replica_sets;
  const auto with_restarts = [&](std::uint64_t n) {
    auto own = options;
    own.restarts = session_id{parts.restarts.value + n};
    return own;
  };
  board.eventual_manager = spawn_eventual_manager(system, {parts.context, with_restarts(0)});
  board.session_manager = spawn_session_manager(system, {parts.context, with_restarts(1)});
  board.causal_manager = spawn_causal_manager(system, {parts.context, with_restarts(2)});
}

/// Calls `tell` with each handle that is there.
template <class Tell> void for_each_stream_actor(const switchboard& board, const Tell& tell) {
  if (board.stream_replica) tell(board.stream_replica);
  if (board.frontier) tell(board.frontier);
  for (const auto& [peer, stream] : board.update_streams)
    tell(stream);
}

template <class Tell> void for_each_manager(const switchboard& board, const Tell& tell) {
  for (const auto* manager : {&board.eventual_manager, &board.session_manager, &board.causal_manager})
    if (*manager) tell(*manager);
}

} // namespace

bool has_weaker_types(const cluster& shape) {
  return std::any_of(shape.types.begin(), shape.types.end(),
                     [](const auto& named) { return named.second.consistency != level::strong; });
}

void spawn_streams(caf::actor_system& system, const stream_parts& parts, switchboard& board) {
  spawn_managers(system, parts, board);
  if (is_client(parts.setup.self)) return;
  board.stream_replica = spawn_stream_replica(system, replica_of(parts));
  board.frontier = spawn_frontier(system, frontier_of(parts));
  for (const auto& m : parts.setup.shape.members) {
    if (m.id == parts.setup.self) continue;
    update_stream_config config;
    config.context = parts.context;
    config.store = parts.store;
    config.outgoing.self = config.incoming.self = parts.setup.self;
    config.outgoing.peer = config.incoming.peer = m.id;
    config.outgoing.stored = stored_by(parts.replica_sets, m.id);
    config.incoming.stored = stored_by(parts.replica_sets, parts.setup.self);
    board.update_streams.emplace(m.id, spawn_update_stream(system, std::move(config)));
  }
}

void start_streams(const switchboard& board) {
  if (board.stream_replica) caf::anon_send(board.stream_replica, start_atom::value);
}

std::function<void(const view_changed&)> stream_listener(std::shared_ptr<const switchboard> board) {
  return [board = std::move(board)](const view_changed& v) {
    for_each_stream_actor(*board, [&](const auto& actor) { caf::anon_send(actor, v); });
    lives_changed lives;
    for (const auto& [node, standing] : v.now.nodes) {
      if (standing.life != 0) lives.lives.emplace(node, standing.life);
      if (standing.out) lives.out.insert(node);
    }
    for_each_manager(*board, [&](const auto& manager) { caf::anon_send(manager, lives); });
  };
}

std::vector<caf::actor> stream_actors(const switchboard& board) {
  std::vector<caf::actor> all;
  const auto add = [&](const auto& handle) { all.push_back(caf::actor_cast<caf::actor>(handle)); };
  for_each_stream_actor(board, add);
  for_each_manager(board, add);
  return all;
}

} // namespace troupe
