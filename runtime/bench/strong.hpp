/// What the strong promise costs: three nodes as processes, the clients in this one, no injected delay.
#pragma once

#include "runtime/bench/bench_cluster.hpp"
#include "runtime/bench/figure.hpp"
#include "runtime/bench/read_hits.hpp"

#include <tl/expected.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace troupe::bench {

struct strong_options {
  std::filesystem::path troupe;          ///< the program
  std::filesystem::path folder;          ///< for stores, configurations and logs; exists, is empty
  std::uint64_t keys = 100'000;          ///< that the writes are spread over
  std::uint64_t stored_keys = 1'000'000; ///< when a home is killed
  std::size_t rounds = 3;
  std::chrono::milliseconds round_length{4'000};
  std::uint64_t held_keys = 1'000; ///< that other client nodes hold while they are written
  std::size_t kills = 3;
};

struct strong_results {
  figure fdatasync_p50_us;
  figure write1_p50_us, write1_per_s;
  figure write64_per_s, write64_p99_us;
  figure write256_per_s, write256_p99_us;
  figure hotkey64_per_s;
  hit_results hits;
  holder_results held;
  figure recovery_ms;
  figure start_ms;
  double store_s = 0;                 ///< how long storing `stored_keys` took
  std::uint64_t hot_acknowledged = 0; ///< additions of 1 to the hot key
  std::int64_t hot_value = 0;         ///< what it holds in the end
  usage used;                         ///< by the rounds
  usage used_by_write64;              ///< by the rounds with 64 clients
  std::uint64_t acknowledged_by_write64 = 0;
  double load_average = 0; ///< of the machine, over the last minute, at the end

  bool hot_value_right() const { return hot_value == static_cast<std::int64_t>(hot_acknowledged); }
};

/// Runs all measures. `say` gets a line when each begins.
/// @errors a sentence: a node that did not start, an operation that failed.
tl::expected<strong_results, std::string> measure_strong(const strong_options& options,
                                                         const std::function<void(const std::string&)>& say);

/// For people, with the targets beside.
std::string table_of(const strong_results& results);
/// For programs: medians under the names of the members, and the rounds behind them.
std::string json_of(const strong_results& results);

} // namespace troupe::bench
