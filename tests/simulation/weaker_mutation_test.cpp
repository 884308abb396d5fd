#include "protocol/mutation.hpp"
#include "runtime/topology/simulation.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

using namespace troupe;

namespace {

constexpr std::uint64_t seeds_max = 300;

/// As in mutation_test.cpp: what the mistake breaks, as far as shoppers can see.
struct expectation {
  mutation planted;
  std::vector<std::string_view> breaks;
};

const expectation table[] = {
    // An answer is shown without its question, the second of two writes without the first.
    {mutation::dependency_vector_ignored, {"C1", "T3", "T2"}},
    // An addition is counted again for its retry.
    {mutation::retry_executed_twice, {"E2"}},
    // A session reads its key and does not find what it has written.
    {mutation::own_write_hidden, {"T1", "T2"}},
    // What was refused and has begun again elsewhere is executed here, too.
    {mutation::refusal_forgotten, {"E2", "E3"}},
    // The same write is executed by two nodes.
    {mutation::second_executor, {"E2", "E3"}},
};

struct caught {
  std::uint64_t seed = 0; ///< 0 = in none
  std::string violated;
};

caught first_caught(mutation m) {
  plant(m);
  caught c;
  for (std::uint64_t seed = 1; seed <= seeds_max && c.seed == 0; ++seed) {
    const auto report = simulated::simulate(simulated::weak_options_for(seed));
    if (!report.clean()) c = {seed, report.violated};
  }
  plant(mutation::none);
  return c;
}

} // namespace

TEST_CASE("simulation: planted mistakes of the weaker levels are caught by what shoppers see") {
  const char* only = std::getenv("TROUPE_MUTATION");
  for (const auto& line : table) {
    const std::string name{name_of(line.planted)};
    if (only != nullptr && name != only) continue;
    CAPTURE(name);
    const auto c = first_caught(line.planted);
    CHECK(c.seed != 0);
    MESSAGE(name << ": "
                 << (c.seed == 0 ? "not caught" : "caught by " + c.violated + " at seed " + std::to_string(c.seed)));
    if (c.seed == 0) continue;
    const bool expected = std::find(line.breaks.begin(), line.breaks.end(), c.violated) != line.breaks.end();
    CHECK_MESSAGE(expected, c.violated << " is not what this mistake is known to break");
    const auto honest = simulated::simulate(simulated::weak_options_for(c.seed));
    CHECK_MESSAGE(honest.clean(), "the honest build fails seed " << c.seed << " as well: " << honest.what);
  }
}
