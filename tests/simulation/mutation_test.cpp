#include "protocol/mutation.hpp"
#include "runtime/topology/simulation.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace troupe;

namespace {

constexpr std::uint64_t seeds_max = 500;

struct caught {
  std::uint64_t seed = 0; ///< 0 = in none
  std::string violated;
};

caught first_caught(mutation m) {
  plant(m);
  caught c;
  for (std::uint64_t seed = 1; seed <= seeds_max && c.seed == 0; ++seed) {
    const auto report = simulated::simulate(simulated::options_for(seed));
    if (!report.clean()) c = {seed, report.violated};
  }
  plant(mutation::none);
  return c;
}

} // namespace

TEST_CASE("simulation: every planted mistake is caught within 500 seeds, with no schedule made for it") {
  for (auto m : all_mutations) {
    const std::string name{name_of(m)};
    CAPTURE(name);
    const auto c = first_caught(m);
    CHECK(c.seed != 0);
    MESSAGE(name << ": " << (c.seed == 0 ? "not caught" : "caught by " + c.violated + " at seed " + std::to_string(c.seed)));
    if (c.seed == 0) continue;
    const auto honest = simulated::simulate(simulated::options_for(c.seed));
    CHECK_MESSAGE(honest.clean(), "the honest build fails seed " << c.seed << " as well: " << honest.what);
  }
}
