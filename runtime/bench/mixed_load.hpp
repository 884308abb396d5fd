/// Threads that read and write through the session API, each the next when the last was answered.
#pragma once

#include "runtime/bench/key_space.hpp"

#include <troupe/runtime.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace troupe::bench {

struct mixed_options {
  std::size_t clients = 1; ///< threads, each with a session
  double reads = 1;        ///< the part of the operations that are reads
  std::chrono::nanoseconds length{};
  std::uint64_t seed = 1;
  /// Called by a client after each of its writes was acknowledged; may be empty.
  std::function<void(const std::string& key, const std::string& value)> written;
};

struct mixed_outcome {
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  std::string first_failure; ///< empty = none
  double seconds = 0;
  std::vector<std::uint32_t> read_ns;  ///< of every sixteenth read, sorted
  std::vector<std::uint32_t> write_ns; ///< of every write, sorted

  double per_second() const { return seconds > 0 ? static_cast<double>(reads + writes) / seconds : 0; }
};

/// @param fraction  0.5 = the median. @return 0 when there is none.
double quantile(const std::vector<std::uint32_t>& sorted, double fraction);

/// Runs to its end; blocks the calling thread.
mixed_outcome run_mixed(runtime& client_node, const key_space& keys, const mixed_options& options);

} // namespace troupe::bench
