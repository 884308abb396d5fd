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

} // namespace

TEST_CASE("strong: nothing is violated while everything goes wrong, and all is settled when it heals") {
  const auto first = from_environment("TROUPE_SEED", 1);
  const auto seeds = from_environment("TROUPE_SEED", 0) != 0 ? 1 : from_environment("TROUPE_SEEDS", 300);
  plant(mutation::none);
  lossy::outcome_of_run sum;
  for (auto seed = first; seed < first + seeds; ++seed) {
    const auto run = lossy::run_seed(lossy::options::from_seed(seed), seeds == 1 ? 100'000 : 80);
    INFO("run again: TROUPE_SEED=" << seed << " test_unit_strong_lossy");
    REQUIRE_MESSAGE(run.violation.empty(), run.violation);
    sum.operations += run.operations;
    sum.done += run.done;
    sum.failed += run.failed;
    sum.unknown += run.unknown;
    sum.leaderships += run.leaderships;
    sum.crashes += run.crashes;
    sum.messages += run.messages;
    sum.repairs += run.repairs;
    sum.rollbacks += run.rollbacks;
    sum.undecided_keys += run.undecided_keys;
  }
  std::cout << "seeds=" << seeds << " operations=" << sum.operations << " done=" << sum.done
            << " failed=" << sum.failed << " unknown=" << sum.unknown << " leaderships=" << sum.leaderships
            << " crashes=" << sum.crashes << " messages=" << sum.messages << " repairs=" << sum.repairs
            << " rollbacks=" << sum.rollbacks << " undecided_keys=" << sum.undecided_keys << "\n";
  if (seeds >= 100) { // the schedule is not tame
    CHECK(sum.done > sum.operations / 3);
    CHECK(sum.unknown > 0);
    CHECK(sum.leaderships > 3 * seeds);
    CHECK(sum.repairs > 0);
    CHECK(sum.rollbacks > 0);
  }
}

TEST_CASE("strong: messages to replicas may overtake each other, and still nothing is violated") {
  plant(mutation::none);
  for (std::uint64_t seed = 1; seed <= from_environment("TROUPE_SEEDS", 100); ++seed) {
    auto o = lossy::options::from_seed(seed);
    o.reorder = true;
    const auto run = lossy::run_seed(o);
    REQUIRE_MESSAGE(run.violation.empty(), run.violation);
  }
}

TEST_CASE("strong: every planted mistake breaks safety within 500 seeds") {
  const auto seeds = from_environment("TROUPE_MUTATION_SEEDS", 500);
  const char* only = std::getenv("TROUPE_MUTATION");
  for (auto m : all_mutations) {
    if (only != nullptr && name_of(m) != only) continue;
    std::uint64_t first = 0, unsafe = 0; // the seed of the first violation, and of the first that is not of liveness
    std::string how;
    for (std::uint64_t seed = 1; seed <= seeds && unsafe == 0; ++seed) {
      auto o = lossy::options::from_seed(seed);
      o.damage = m != mutation::first_touch_skipped;     // its only copy may be the damaged one
      o.reorder = m == mutation::lower_version_accepted; // in order, no replica is ever offered a lower version
      if (m == mutation::lease_from_answer) { // a mistake of one round trip: short leases, long round trips
        o.shards = 3;
        o.lease = milliseconds{120};
        o.latency_max = 30 * lossy::ms;
        o.fault_every = 100 * lossy::ms;
      }
      plant(m);
      const auto run = lossy::run_seed(o, 0);
      plant(mutation::none);
      if (run.violation.empty()) continue;
      if (first == 0) first = seed;
      if (run.violation.starts_with("liveness")) continue;
      unsafe = seed;
      how = run.violation;
    }
    std::cout << name_of(m) << ": first violation at seed " << first << ", of safety at seed " << unsafe << ": "
              << how << "\n";
    CHECK_MESSAGE(unsafe != 0, name_of(m));
  }
}
