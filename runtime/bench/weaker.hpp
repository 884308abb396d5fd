/// What the weaker levels do by themselves: reads from memory, writes that nobody waits for, and how long a causal
/// update takes to another region. Three nodes on this machine, no injected delay.
#pragma once

#include "runtime/bench/figure.hpp"

#include <tl/expected.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>

namespace troupe::bench {

struct weaker_options {
  std::filesystem::path troupe; ///< the program
  std::filesystem::path folder; ///< for stores, configurations and logs; exists, is empty
  std::size_t keys = 100'000;
  std::size_t rounds = 3;
  std::chrono::milliseconds round_length{2'000}; ///< of each measure
};

struct weaker_results {
  figure fdatasync_p50_us;
  figure eventual_read_p50_ns;           ///< by a session of a member: its node's copy
  figure map_read_p50_ns;                ///< of a locked hash map, by turns with it
  figure eventual_write_per_s;           ///< 256 sessions of one member, durability = async
  figure causal_write_p50_us;            ///< one session of a member, durability = sync
  figure visible_p50_us, visible_p99_us; ///< from the answer to a causal write in one region to that of a read in
                                         ///< another that has its token, and waits for it
  figure read_again_p50_us;              ///< the same read once more: the way of both there and back
  std::size_t token_bytes = 0;           ///< of a session that has written and read all keys
  double load_average = 0;               ///< of the machine, over the last minute, at the end
};

/// Runs all. The first of the three members runs in this process; a client node in the region of the second reads.
/// @errors a sentence: a node that did not start, an operation that failed.
tl::expected<weaker_results, std::string> measure_weaker(const weaker_options& options,
                                                         const std::function<void(const std::string&)>& say);

/// For people, with the goals beside.
std::string table_of(const weaker_results& results);
/// For programs: medians under the names of the members, and the rounds behind them.
std::string json_of(const weaker_results& results);

} // namespace troupe::bench
