/// `troupe simulate`: runs seeds, prints what failed and the command that repeats it.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

namespace troupe::simulated {

struct simulate_options {
  std::uint64_t seed = 1;   ///< first seed
  std::uint64_t seeds = 1;  ///< how many
  std::string log_file;     ///< full event log of a single seed; empty = none
  std::string history_file; ///< history of a single seed; empty = none
  double undecided_max = 0; ///< share of the seeds whose history may be too hard for the checker's budget
  bool weaker = false;      ///< most clients use the weaker levels
  bool verbose = false;     ///< print options and figures of every seed
};

/// @return exit code: 0 clean, 1 a violation, 2 bad usage, 3 clean but too many histories undecided.
int simulate_command(const simulate_options& options, std::ostream& out, std::ostream& err);

} // namespace troupe::simulated
