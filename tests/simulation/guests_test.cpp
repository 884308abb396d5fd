#include "protocol/mutation.hpp"
#include "runtime/topology/simulation.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <string_view>

using namespace troupe;

namespace {

/// A run with two client nodes, whatever the seed says otherwise.
simulated::simulation_options with_guests(std::uint64_t seed) {
  auto options = simulated::options_for(seed);
  options.guests = 2;
  options.readers = true;
  options.memory_bytes = std::size_t{1} << 20;
  return options;
}

std::size_t lines_with(const std::string& log, std::string_view who, std::string_view what) {
  std::size_t count = 0;
  std::istringstream in{log};
  for (std::string line; std::getline(in, line);)
    count += line.find(who) != std::string::npos && line.find(what) != std::string::npos ? 1 : 0;
  return count;
}

} // namespace

TEST_CASE("simulation: S1: client nodes without vote and store hold read locks, and come and go") {
  std::size_t starts = 0, leases = 0;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    std::ostringstream log;
    const auto report = simulated::simulate(with_guests(seed), {.log = &log, .history = nullptr});
    CHECK_MESSAGE(report.clean(), report.violated << ": " << report.what);
    starts += lines_with(log.str(), "guest1", " start ");
    leases += lines_with(log.str(), "guest1", "holder.leased");
  }
  CHECK(starts > 10);
  CHECK(leases > 10);
}

TEST_CASE("simulation: S1: planted: a recall that is not sent to client nodes is seen by what they read") {
  plant(mutation::recall_not_sent);
  std::string violated;
  for (std::uint64_t seed = 1; seed <= 100 && violated.empty(); ++seed)
    violated = simulated::simulate(with_guests(seed)).violated;
  plant(mutation::none);
  CHECK(violated == "S1");
}
