/// What a strong read costs that the node's own memory answers, and what a write costs that others hold.
#pragma once

#include "runtime/bench/figure.hpp"
#include "runtime/bench/key_space.hpp"

#include <tl/expected.hpp>
#include <troupe/runtime.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace troupe::bench {

/// Reads every key once, so that the node holds what it may. Blocks the calling thread.
/// @param seen  called on the thread that does the network I/O with each value; may be empty.
/// @errors a sentence.
tl::expected<void, std::string>
read_every_key(runtime& client_node, const key_space& keys,
               const std::function<void(const std::string& key, const std::string& value)>& seen = {});

/// Median times of a read of a key that is at hand.
struct hit_times {
  double node_p50_ns = 0; ///< by one session, from its node's memory
  double map_p50_ns = 0;  ///< from a std::unordered_map under a std::shared_mutex, by turns with it
};
/// @param length  of each of the two.
/// @errors a sentence: a key that was not found.
tl::expected<hit_times, std::string> time_hits(runtime& node, const key_space& keys, std::chrono::nanoseconds length);

struct hit_results {
  figure read_hit_p50_ns;
  figure map_hit_p50_ns;    ///< of a locked hash map, by turns with it
  figure read_hits_per_s_1; ///< one thread with a session of its own
  figure read_hits_per_s_2; ///< two of them
  /// Of the memory table, beside key and value, as it counts what the heap gives for entries and index.
  figure l1_bytes_per_entry;
};

/// Adds a round to each of the figures. The node holds all keys.
/// @param length  of each of the three measures.
/// @errors a sentence: a key was not answered from memory.
tl::expected<void, std::string> measure_hits(runtime& client_node, const key_space& keys,
                                             std::chrono::nanoseconds length, hit_results& results);

/// Writes of one client to keys that nobody holds, one other client node, and two of them.
struct holder_results {
  std::array<figure, 3> write1_p50_us; ///< by the number of holders
  figure frames_per_write; ///< between the nodes and one holder, both ways; a frame has one message or more
};

/// @param holders  at least two client nodes that hold nothing.
/// @errors a sentence.
tl::expected<void, std::string> measure_holders(runtime& writer, std::vector<runtime>& holders, const key_space& keys,
                                                std::chrono::nanoseconds length, holder_results& results);

} // namespace troupe::bench
