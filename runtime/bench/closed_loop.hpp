/// Clients that issue the next operation when the last was answered, and stop at the first that fails.
#pragma once

#include <troupe/runtime.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace troupe::bench {

struct loop_options {
  std::size_t clients = 1;                   ///< sessions, each with one operation under way
  std::chrono::nanoseconds length{};         ///< no operation begins later; 0 = until `operations_max`
  std::uint64_t operations_max = UINT64_MAX; ///< of all clients together
  std::chrono::nanoseconds deadline = std::chrono::seconds{10}; ///< of one operation
};

struct loop_outcome {
  std::uint64_t acknowledged = 0;
  std::uint64_t failed = 0;                ///< not done, or unknown; at most one per client
  std::string first_failure;               ///< empty = none
  double seconds = 0;                      ///< from the first call to the last answer
  std::vector<std::uint32_t> latencies_us; ///< of what was acknowledged, sorted

  double per_second() const { return seconds > 0 ? static_cast<double>(acknowledged) / seconds : 0; }
  /// @param fraction  0.5 = the median. @return 0 when nothing was acknowledged.
  double latency_us(double fraction) const;
};

/// Tells the loop how one operation went: nothing, or why not.
using loop_answer = std::function<void(const error* why)>;
/// Issues operation number `n` (0 and up, over all clients) of client `client` on its session.
using loop_operation =
    std::function<void(async_session session, std::size_t client, std::uint64_t n, loop_answer done)>;

/// Runs the loop to its end; blocks the calling thread only.
loop_outcome run_loop(runtime& client_node, const loop_options& options, const loop_operation& operation);

} // namespace troupe::bench
