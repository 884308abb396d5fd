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
  const auto seeds = from_environment("TROUPE_SEED", 0) != 0 ? 1 : from_environment("TROUPE_SEEDS", 500);
  plant(mutation::none);
  lossy::outcome_of_run sum;
  for (auto seed = first; seed < first + seeds; ++seed) {
    const auto run = lossy::run_seed(lossy::options::from_seed(seed), seeds == 1 ? 100'000 : 80);
    INFO("run again: TROUPE_SEED=" << seed << " test_unit_lossy -sf=*/strong_lossy_test.cpp");
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
    sum.collections += run.collections;
    sum.undecided_keys += run.undecided_keys;
    sum.hits += run.hits;
    sum.granted += run.granted;
    sum.recalled += run.recalled;
    sum.revived += run.revived;
    sum.given_back += run.given_back;
    sum.generations += run.generations;
    sum.gaps += run.gaps;
    sum.overflows += run.overflows;
  }
  std::cout << "seeds=" << seeds << " operations=" << sum.operations << " done=" << sum.done
            << " failed=" << sum.failed << " unknown=" << sum.unknown << " leaderships=" << sum.leaderships
            << " crashes=" << sum.crashes << " messages=" << sum.messages << " repairs=" << sum.repairs
            << " rollbacks=" << sum.rollbacks << " collections=" << sum.collections
            << " undecided_keys=" << sum.undecided_keys << "\n"
            << "hits=" << sum.hits << " granted=" << sum.granted << " recalled=" << sum.recalled
            << " revived=" << sum.revived << " given_back=" << sum.given_back << " generations=" << sum.generations
            << " gaps=" << sum.gaps << " overflows=" << sum.overflows << "\n";
  if (seeds >= 100) { // the schedule is not tame
    CHECK(sum.done > sum.operations / 3);
    CHECK(sum.unknown > 0);
    CHECK(sum.leaderships > 3 * seeds);
    CHECK(sum.repairs > 0);
    CHECK(sum.rollbacks > 0);
    CHECK(sum.collections > seeds / 2);
    CHECK(sum.hits > sum.operations / 10);
    CHECK(sum.recalled > 0);
    CHECK(sum.revived > 0);
    CHECK(sum.given_back > 0);
    CHECK(sum.gaps > 0);
    CHECK(sum.overflows > 0);
  }
}

TEST_CASE("strong: messages to replicas and about locks may overtake each other, and still nothing is violated") {
  plant(mutation::none);
  for (std::uint64_t seed = 1; seed <= from_environment("TROUPE_SEEDS", 100); ++seed) {
    auto o = lossy::options::from_seed(seed);
    o.reorder = true;
    const auto run = lossy::run_seed(o);
    REQUIRE_MESSAGE(run.violation.empty(), run.violation);
  }
}

namespace {

/// Runs seeds with `m` planted until safety is broken; liveness alone does not count.
template <class Adjust> void must_break_safety(mutation m, const Adjust& adjust) {
  const auto seeds = from_environment("TROUPE_MUTATION_SEEDS", 500);
  const char* only = std::getenv("TROUPE_MUTATION");
  if (only != nullptr && name_of(m) != only) return;
  std::uint64_t first = 0, unsafe = 0; // the seed of the first violation, and of the first that is not of liveness
  std::string how;
  for (std::uint64_t seed = 1; seed <= seeds && unsafe == 0; ++seed) {
    auto o = lossy::options::from_seed(seed);
    adjust(o);
    plant(m);
    const auto run = lossy::run_seed(o, 0);
    plant(mutation::none);
    const auto honest = lossy::run_seed(o);
    REQUIRE_MESSAGE(honest.violation.empty(), honest.violation);
    if (run.violation.empty()) continue;
    if (first == 0) first = seed;
    if (run.violation.starts_with("liveness")) continue;
    unsafe = seed;
    how = run.violation;
  }
  std::cout << name_of(m) << ": first violation at seed " << first << ", of safety at seed " << unsafe << ": " << how
            << "\n";
  CHECK_MESSAGE(unsafe != 0, name_of(m));
}

} // namespace

TEST_CASE("strong: every planted mistake breaks safety within 500 seeds") {
  for (auto m : all_mutations)
    must_break_safety(m, [m](lossy::options& o) {
      o.damage = m != mutation::first_touch_skipped;     // its only copy may be the damaged one
      o.reorder = m == mutation::lower_version_accepted; // in order, no replica is ever offered a lower version
      if (m == mutation::lease_from_answer) { // a mistake of one round trip: short leases, long round trips
        o.shards = 3;
        o.lease = milliseconds{120};
        o.latency_max = 30 * lossy::ms;
        o.fault_every = 100 * lossy::ms;
      }
    });
}

TEST_CASE("strong: every planted mistake of read locks breaks S1 or K1 within 500 seeds") {
  for (auto m : lock_mutations)
    must_break_safety(m, [m](lossy::options& o) {
      o.locks = true;
      o.removes = 8; // what is removed is not read
      o.collection = {};
      if (m == mutation::held_from_grant) { // a mistake of one way: short leases, long ways
        o.keys = 1;
        o.clients = 2;
        o.lease = milliseconds{400};
        o.latency_min = 15 * lossy::ms;
        o.latency_max = 30 * lossy::ms;
        o.think_max = 10 * lossy::ms;
        o.hot_reads = 93;
        o.fault_every = 100 * lossy::ms;
      } else if (m == mutation::drain_not_awaited) { // a mistake of hand-overs, of what is held elsewhere
        o.keys = 1;
        o.lease = milliseconds{400};
        o.latency_min = 1 * lossy::ms;
        o.latency_max = 2 * lossy::ms;
        o.think_max = 5 * lossy::ms;
        o.hot_reads = 80;
        o.fault_every = 250 * lossy::ms;
        o.hand_overs = 40;
      }
    });
  must_break_safety(mutation::table_lease_not_checked, [](lossy::options& o) { o.locks = true; });
}
