/// The cost of a promise: the same mixes of reads and writes with it and without it, by turns.
#pragma once

#include "runtime/bench/figure.hpp"

#include <tl/expected.hpp>
#include <troupe/level.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace troupe::bench {

struct levels_options {
  level at = level::strong;
  std::filesystem::path troupe; ///< the program
  std::filesystem::path folder; ///< for stores, configurations and logs; exists, is empty
  std::size_t keys = 100'000;
  std::size_t clients = 4; ///< threads of the client node, each with a session
  std::size_t rounds = 3;
  std::chrono::milliseconds mix_length{2'000};
};

/// What one mix did in one of the two systems.
struct mix_figures {
  figure per_s;
  figure read_p50_ns, read_p99_ns;
  figure write_p50_us, write_p99_us; ///< no rounds without writes
  figure cpu_us_per_op;              ///< of the nodes and the client node together
  figure hits_percent;               ///< of the reads: answered by the client node's memory
};

struct mix_results {
  std::string name;
  double reads = 1; ///< the part of the operations that are reads
  mix_figures on;   ///< with the promise
  mix_figures off;  ///< see no_promise.hpp

  /// How much less is done with the promise than without it.
  double cost_percent() const;
};

struct levels_results {
  level at = level::strong;
  std::size_t keys = 0;
  std::size_t clients = 0;
  std::vector<mix_results> mixes;
  figure fdatasync_p50_us;
  double load_average = 0; ///< of the machine, over the last minute, at the end
};

/// Runs all. Each turn has a cluster of its own, with a client node in this process (for a weaker level one of the
/// three members, whose copies of these types sessions read), and nothing of the other alive
/// beside it; the two take turns as on, off, off, on, … so that neither gains by a machine that changes slowly.
/// `say` gets a line when each turn begins.
/// @errors a sentence: a node that did not start, an operation that failed.
tl::expected<levels_results, std::string> measure_levels(const levels_options& options,
                                                         const std::function<void(const std::string&)>& say);

/// For people, with the targets beside.
std::string table_of(const levels_results& results);
/// For programs: medians, and the rounds behind them.
std::string json_of(const levels_results& results);

} // namespace troupe::bench
