/// Internal to the cluster of simulated replicas: one of its nodes.
#pragma once

#include "tests/support/replica_cluster.hpp"

namespace troupe::replicas {

struct cluster_run::node {
  explicit node(std::uint32_t shards) : disk{shards} {}
  node_id id;
  bool up = false;
  std::uint64_t start = 0; ///< callbacks of an earlier one are dropped
  std::uint64_t life = 0;
  instant silent_since;
  toy_disk disk;
  std::unique_ptr<stream_replica> core;
  bool ready = false, syncing = false, ticking = false;
  instant ticks_at = never;

  std::map<node_id, version_vector> reports; ///< ordered lane: what the others have said to have
  version_vector region;                     ///< what is known of the region's frontier
  bool told = true;                          ///< nothing to tell the others
  std::map<std::uint64_t, std::pair<version_vector, instant>> waits;
  std::map<stream_lane, std::map<origin, std::uint64_t>> clocks;  ///< of its own streams
  std::map<std::pair<stream_lane, origin>, std::uint64_t> stated; ///< upto, with `clocks`
  std::uint64_t confirmed[stream_lanes] = {0, 0};                 ///< clock that everybody has reached
};

} // namespace troupe::replicas
