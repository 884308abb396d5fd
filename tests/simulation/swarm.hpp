/// Runs a range of seeds of the honest build; a failure prints the seed, its options, the last events and the
/// command.
#pragma once

#include "runtime/topology/simulate_command.hpp"

#include <doctest/doctest.h>

#include <sstream>

namespace troupe::test {

inline void check_clean(std::uint64_t first, std::uint64_t count) {
  std::ostringstream said;
  simulated::simulate_options options;
  options.seed = first;
  options.seeds = count;
  const int code = simulated::simulate_command(options, said, said);
  INFO(said.str());
  CHECK((code == 0 || code == 3)); // 3: some history is too hard for the checker's budget; counted and printed
  MESSAGE(said.str());
}

} // namespace troupe::test
