// Named locks while everything goes wrong: S4 and S5, by what their owners see.
#include "protocol/mutation.hpp"
#include "tests/support/lossy_cluster.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>

using namespace troupe;

namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// Mostly lockers; times of locks on both sides of what a lease and a fail-over take.
lossy::options with_lockers(std::uint64_t seed) {
  auto o = lossy::options::from_seed(seed);
  o.clients = 1;
  o.keys = 1;
  o.lockers = 1 + static_cast<unsigned>(seed % 3);
  o.named = 1 + static_cast<std::uint32_t>(seed / 3 % 2);
  o.held_max = milliseconds{seed % 2 == 0 ? 200 : 700};
  o.think_max = 20 * lossy::ms;
  o.settled_kept = 8;
  o.key_queue_max = 64;
  return o;
}

} // namespace

TEST_CASE("S4, S5: no named lock has two owners and no old token writes while everything goes wrong") {
  const auto first = from_environment("TROUPE_SEED", 1);
  const auto seeds = from_environment("TROUPE_SEED", 0) != 0 ? from_environment("TROUPE_SEED_COUNT", 1)
                                                             : from_environment("TROUPE_SEEDS", 300);
  plant(mutation::none);
  lossy::outcome_of_run sum;
  for (auto seed = first; seed < first + seeds; ++seed) {
    const auto run = lossy::run_seed(with_lockers(seed), seeds == 1 ? 100'000 : 80);
    INFO("run again: TROUPE_SEED=" << seed << " test_unit_lossy -sf=*/strong_lossy_named_locks_test.cpp");
    REQUIRE_MESSAGE(run.violation.empty(), run.violation);
    sum.locked += run.locked;
    sum.renewed += run.renewed;
    sum.written += run.written;
    sum.fenced += run.fenced;
    sum.late += run.late;
    sum.undecided_keys += run.undecided_keys;
  }
  std::cout << "seeds=" << seeds << " locked=" << sum.locked << " renewed=" << sum.renewed
            << " written=" << sum.written << " fenced=" << sum.fenced << " late=" << sum.late
            << " undecided_keys=" << sum.undecided_keys << "\n";
  if (seeds >= 100) { // the schedule is not tame
    CHECK(sum.locked > 10 * seeds);
    CHECK(sum.renewed > seeds);
    CHECK(sum.written > 2 * seeds);
    CHECK(sum.fenced > 0);
  }
}

TEST_CASE("S4, S5: every planted mistake of named locks is caught within 500 seeds") {
  const auto seeds = from_environment("TROUPE_MUTATION_SEEDS", 500);
  const char* only = std::getenv("TROUPE_MUTATION");
  for (auto m : named_lock_mutations) {
    if (only != nullptr && name_of(m) != only) continue;
    std::uint64_t unsafe = 0;
    std::string how;
    for (std::uint64_t seed = 1; seed <= seeds && unsafe == 0; ++seed) {
      auto o = with_lockers(seed);
      plant(m);
      const auto run = lossy::run_seed(o, 0);
      plant(mutation::none);
      if (run.violation.empty() || run.violation.starts_with("liveness")) continue;
      unsafe = seed;
      how = run.violation;
      const auto honest = lossy::run_seed(o);
      REQUIRE_MESSAGE(honest.violation.empty(), honest.violation);
    }
    std::cout << name_of(m) << ": caught at seed " << unsafe << ": " << how << "\n";
    CHECK_MESSAGE(unsafe != 0, name_of(m));
  }
}
