/// Planted mistakes, each looked for in seed after seed until it is caught by the invariant that it breaks.
#pragma once

#include "protocol/mutation.hpp"
#include "runtime/topology/simulation.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::test {

/// What a planted mistake breaks. The judge reports the first violation that it sees, so a mistake that breaks
/// several invariants names each that may come first.
struct expectation {
  mutation planted;
  std::vector<std::string_view> breaks;
};

/// Where they are looked for.
struct planted_search {
  simulated::simulation_options (*options)(std::uint64_t seed) = nullptr;
  std::uint64_t seeds_max = 0;
};

/// TROUPE_MUTATION=name restricts the table to one planted mistake, for whoever works on the simulation.
inline bool wanted(std::string_view name) {
  const char* only = std::getenv("TROUPE_MUTATION");
  return only == nullptr || name == only;
}

/// The first of the seeds; TROUPE_FIRST_SEED moves the range, to see how robust the table is.
inline std::uint64_t first_seed() {
  const char* asked = std::getenv("TROUPE_FIRST_SEED");
  return asked == nullptr ? 1 : std::max<std::uint64_t>(std::strtoull(asked, nullptr, 10), 1);
}

struct caught {
  std::uint64_t seed = 0; ///< 0 = in none
  std::string violated;
  std::string what;
};

inline caught first_caught(mutation m, const planted_search& search) {
  plant(m);
  caught c;
  for (std::uint64_t n = 0; n < search.seeds_max && c.seed == 0; ++n) {
    const auto seed = first_seed() + n;
    const auto report = simulated::simulate(search.options(seed));
    if (!report.clean()) c = {seed, report.violated, report.what};
  }
  plant(mutation::none);
  return c;
}

/// @param lines  of one of the tables.
template <class Table> void check_caught(const Table& lines, const planted_search& search) {
  for (const auto& line : lines) {
    const std::string name{name_of(line.planted)};
    if (!wanted(name)) continue;
    CAPTURE(name);
    const auto c = first_caught(line.planted, search);
    CHECK(c.seed != 0);
    MESSAGE(name << ": "
                 << (c.seed == 0 ? "not caught" : "caught by " + c.violated + " at seed " + std::to_string(c.seed)));
    if (c.seed == 0) continue;
    const bool expected = std::find(line.breaks.begin(), line.breaks.end(), c.violated) != line.breaks.end();
    CHECK_MESSAGE(expected, c.violated << " is not what this mistake is known to break: " << c.what);
    const auto honest = simulated::simulate(search.options(c.seed));
    CHECK_MESSAGE(honest.clean(), "the honest build fails seed " << c.seed << " as well: " << honest.what);
  }
}

} // namespace troupe::test
