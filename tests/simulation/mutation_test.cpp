#include "protocol/mutation.hpp"
#include "runtime/topology/simulation.hpp"
#include "tests/support/seeds.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <string_view>

using namespace troupe;

namespace {

constexpr std::uint64_t seeds_max = 500;

/// TROUPE_MUTATION=name restricts the table to one planted mistake, for whoever works on the simulation.
bool wanted(std::string_view name) {
  const char* only = std::getenv("TROUPE_MUTATION");
  return only == nullptr || name == only;
}

struct caught {
  std::uint64_t seed = 0; ///< 0 = in none
  std::string violated;
};

caught first_caught(mutation m) {
  plant(m);
  caught c;
  for (std::uint64_t seed = 1; seed <= test::seeds(seeds_max) && c.seed == 0; ++seed) {
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
    if (!wanted(name)) continue;
    CAPTURE(name);
    const auto c = first_caught(m);
    CHECK(c.seed != 0);
    MESSAGE(name << ": "
                 << (c.seed == 0 ? "not caught" : "caught by " + c.violated + " at seed " + std::to_string(c.seed)));
    if (c.seed == 0) continue;
    const auto honest = simulated::simulate(simulated::options_for(c.seed));
    CHECK_MESSAGE(honest.clean(), "the honest build fails seed " << c.seed << " as well: " << honest.what);
  }
}
