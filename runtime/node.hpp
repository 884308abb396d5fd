/// Assembles the actors of one node around its three seams; the same for a real process and for a simulated one.
#pragma once

#include "actors/context.hpp"
#include "actors/layers/memory_table.hpp"
#include "actors/layers/store.hpp"
#include "actors/node_clock.hpp"
#include "actors/switchboard.hpp"
#include "actors/transport.hpp"
#include "actors/weak_copies.hpp"
#include "protocol/cluster.hpp"
#include "protocol/limits.hpp"
#include "protocol/link.hpp"
#include "protocol/monitor/violations.hpp"
#include "protocol/strong/home.hpp"

#include <caf/actor_system.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace spdlog {
class logger;
}

namespace troupe {

/// Delay that the link adds to what it sends to a peer, for demonstrations and tests.
struct injected_delay {
  node_id peer;
  nanoseconds one_way{0};
};

struct node_setup {
  cluster shape;
  node_id self; ///< a member's id, or a client id (client_node_bit set)
  std::string name;
  std::string region;
  incarnation life;       ///< of this start; from the store, or random for a client
  std::uint64_t disk = 0; ///< 0 for a client
  std::vector<injected_delay> delays;
  link_options frames; ///< sizes and times of the links; simulations use small ones
  std::size_t home_bytes_max = limits::home_bytes_max;
  collection_options collection;    ///< of tombstones; simulations do not wait as long
  std::size_t memory_bytes_max = 0; ///< of copies that answer strong reads here; 0 = none are kept
  std::size_t stream_log_bytes_max =
      limits::stream_own_log_bytes_max; ///< of own updates, per lane, for peers that lag
  nanoseconds stream_compare_every{0};  ///< records are read and compared with others' once in this; 0 = never
  violation_ledger::options alerts;
  /// Copies that somebody else keeps, with no promise at all: what they answer may be stale. Null = none; else this
  /// node has no memory layer, and takes no read locks. Only `troupe bench levels` sets it, to measure what the
  /// promise costs: see runtime/bench/no_promise.hpp.
  std::shared_ptr<memory_table> unpromised;
};

/// What the actors stand on. All outlive the node.
struct node_seams {
  node_clock* clock = nullptr;
  transport* wires = nullptr;
  store_driver* store = nullptr; ///< none for a client
  std::shared_ptr<spdlog::logger> log;
  trace_sink trace;
  /// Runs the actors; null = the workers of the actor system.
  io_loop* thread = nullptr;
  /// See monitor_config.
  std::vector<std::function<void(const alert_notice&)>> alert_listeners;
  std::function<std::vector<operation_tally>(instant now)> tallies;
  std::function<void()> store_failed; ///< the store refuses writes for good; called once, on an actor's thread
};

/// The running actors of one node.
class node {
public:
  /// Spawns everything and starts it. Throws what transport::listen throws.
  node(caf::actor_system& system, node_setup setup, node_seams seams);
  node(const node&) = delete;
  node& operator=(const node&) = delete;
  /// Kills every actor of this node; does not wait for them.
  ~node();

  /// A new session of this node. `id` is unique in the cluster.
  session_actor open_session(session_id id);

  const switchboard& actors() const { return *board_; }
  /// What any thread may answer strong reads with; null = nothing. Outlives the node in the hands of who holds it:
  /// its leases lapse.
  const std::shared_ptr<memory_table>& memory() const { return memory_; }
  /// What any thread may answer reads of the weaker levels with; null = nothing. Outlives the node likewise.
  const weak_copies& copies() const { return copies_; }
  /// The store refuses writes for good: this node can only be stopped, and repaired.
  bool store_failed() const { return *store_failed_; }
  /// An actor of this node has died of itself, and all others were ended with it: this node can only be stopped.
  bool died() const { return *died_; }
  const node_setup& setup() const { return setup_; }

  /// All actors, for a simulation that must know whose they are.
  std::vector<caf::actor> all_actors() const;

private:
  void spawn_weaker_levels(const actor_context& context);
  void kill_all() const;
  void die_together();

  caf::actor_system& system_;
  node_setup setup_;
  node_seams seams_;
  std::shared_ptr<switchboard> board_;
  std::shared_ptr<memory_table> memory_;
  weak_copies copies_; ///< none unless the node has a stream replica that keeps them
  // Set by actors, which may outlive the node for a moment.
  std::shared_ptr<std::atomic<bool>> store_failed_;
  std::shared_ptr<std::atomic<bool>> died_;
};

} // namespace troupe
