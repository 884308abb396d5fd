/// Runs a range of seeds of the honest build; a failure prints the seed, its options, the last events and the
/// command. A history that is too hard for the checker's budget proves nothing: one seed in a hundred may have one.
#pragma once

#include "runtime/topology/simulate_command.hpp"

#include <doctest/doctest.h>

#include <sstream>

namespace troupe::test {

inline void check_clean(std::uint64_t first, std::uint64_t count, bool weaker = false) {
  std::ostringstream said;
  simulated::simulate_options options;
  options.seed = first;
  options.seeds = count;
  options.weaker = weaker;
  options.undecided_max = 0.01;
  const int code = simulated::simulate_command(options, said, said);
  INFO(said.str());
  CHECK(code == 0);
  MESSAGE(said.str());
}

} // namespace troupe::test
