/// A whole cluster in one process and one thread: the real actors over a simulated network, disks and clocks, with
/// faults drawn from a seed, and a judge that never asks the cluster for its opinion.
///
/// Safety phase with faults -> everything heals -> liveness phase -> every node is killed at once and restarted ->
/// final reads. Then the histories that the clients recorded are checked.
#pragma once

#include "protocol/cluster.hpp"
#include "protocol/ids.hpp"
#include "protocol/strong/home.hpp"

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace troupe::simulated {

struct simulation_options {
  std::uint64_t seed = 0;
  std::uint32_t nodes = 3, shards = 1, clients = 3;
  std::uint32_t guests = 0;      ///< client nodes beside the nodes, which come and go as these do
  std::uint32_t keys = 2;        ///< in use at a time
  std::uint32_t operations = 60; ///< per client, in the safety phase
  milliseconds think_max{20};    ///< between two operations of a client
  milliseconds deadline_min{200}, deadline_max{1500};
  milliseconds lease{200};
  std::uint32_t read_percent = 30; ///< of a client's operations
  std::uint32_t lockers = 0;       ///< on each node, beside the clients: they take named locks
  milliseconds held_max{0};        ///< for so long they take them
  bool readers = false;            ///< beside the clients, one on each node that reads all the time
  std::uint32_t shoppers = 0;      ///< beside them: clients of the weaker levels; 0 = every type is strong
  double wander = 0;               ///< chance that a shopper goes to another node before an operation
  bool async_weak = false;         ///< durability of their types
  write_ack weak_ack = write_ack::local;
  std::uint32_t regions = 3;
  milliseconds wall_jump_every{0},
      wall_jump_max{0};              ///< a machine's wall clock is wrong by up to so much from then on
  std::uint32_t remove_percent = 10; ///< of its writes of texts; of numbers a third of it
  double rest = 0;                   ///< chance that a removed key is left alone for a while
  collection_options collection;     ///< of tombstones
  bool rollback = false;             ///< on_timeout of the data type
  std::uint32_t value_bytes_max = 16;
  std::uint32_t chunk_bytes = 1024; ///< links cut larger messages into pieces
  std::size_t memory_bytes = 0;     ///< of copies that each node answers reads with; 0 = none
  // network
  nanoseconds latency_max{0};
  double stall = 0; ///< chance that a message is late
  milliseconds stall_max{0};
  // faults: mean time between two of a kind; 0 = none
  double aimed = 0; ///< chance that a fault of a node strikes one that leads a shard
  milliseconds crash_every{0}, restart_after_max{0};
  double quick_restart = 0;    ///< chance that a node is back within a quarter of a lease
  double crash_again = 0;      ///< chance that a node that came back crashes again within a lease
  milliseconds leave_every{0}; ///< a node hands over what it leads, as on SIGTERM, and ends within a lease
  milliseconds pause_every{0}, pause_max{0};
  milliseconds cut_every{0}, cut_max{0};
  bool ragged_cuts = false; ///< the directions of a cut begin and heal each at a time of its own
  milliseconds break_every{0};
  milliseconds lag_every{0}, lag_max{0}; ///< some directions are slower by up to lag_max for a while
  double stray = 0;                      ///< chance that a message reaches its actor once more, within two leases
  double slow_disk = 0;
  milliseconds slow_disk_max{0};
  double failing_disk = 0;
  bool damage = false;            ///< one record of one node is damaged when it crashes
  double rotting_disk = 0;        ///< chance that a record of that node goes bad after it was read
  std::int64_t drift_ppm_max = 0; ///< of each clock, either way; below half of what the leases allow for. Half of the
                                  ///< clocks run at the bound, one way or the other
};

/// Draws all options from a seed.
simulation_options options_for(std::uint64_t seed);
/// The same for the weaker levels: most clients are shoppers.
simulation_options weak_options_for(std::uint64_t seed);
/// One line per group, for people: every value that the run depends on.
std::string describe(const simulation_options& o);

struct simulation_report {
  std::string violated;   ///< invariant, "S1" …, or "liveness"; empty = clean
  std::string what;       ///< in words, with the witness
  std::uint64_t hash = 0; ///< of the whole event log
  std::uint64_t events = 0, lines = 0;
  std::uint64_t operations = 0, done = 0, not_done = 0, unknown = 0;
  std::uint64_t crashes = 0, leaves = 0, pauses = 0, cuts = 0, breaks = 0, lags = 0, strays = 0, leaderships = 0;
  std::uint64_t locks_held = 0;                                ///< grants of named locks that were answered
  std::uint64_t memory_hits = 0, evictions = 0;                ///< of the memory tables of all nodes
  std::uint64_t collections = 0;                               ///< of tombstones
  std::uint64_t weak_operations = 0, weak_done = 0, moves = 0; ///< of shoppers
  bool undecided = false;                                      ///< the checker ran out of its budget for some key
  nanoseconds virtual_time{0};
  std::vector<std::string> last_events;
  bool clean() const { return violated.empty(); }
};

/// Where a simulation writes what `troupe check` and people read; null = nowhere.
struct simulation_outputs {
  std::ostream* log = nullptr;     ///< every event as a line
  std::ostream* history = nullptr; ///< every operation in the history format, when it has ended
};
simulation_report simulate(const simulation_options& options, const simulation_outputs& outputs = {});

} // namespace troupe::simulated
