// The update streams' cores while everything goes wrong (PROTOCOLS §4, §6; C1, E1, E2, E3, T2, X1).
#include "protocol/mutation.hpp"
#include "tests/support/seeds.hpp"
#include "tests/support/stream_shipper.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>

using namespace troupe;
using namespace troupe::shipping;

namespace {

stream_outcome run_seed(std::uint64_t seed) { return stream_run{stream_options::from_seed(seed)}.run(); }

} // namespace

TEST_CASE("streams: C1, E1, X1: every node ends with exactly what is meant for it, once and in order") {
  plant(mutation::none);
  const char* only = std::getenv("TROUPE_SEED");
  const auto first = only != nullptr ? std::strtoull(only, nullptr, 10) : 1;
  const auto seeds = only != nullptr ? 1 : test::long_seeds(50);
  stream_outcome sum;
  for (auto seed = first; seed < first + seeds; ++seed) {
    const auto run = run_seed(seed);
    INFO("run again: TROUPE_SEED=" << seed << " test_unit_lossy_streams -sf=*/stream_lossy_test.cpp");
    REQUIRE_MESSAGE(run.violation.empty(), run.violation);
    sum.written += run.written;
    sum.accepted += run.accepted;
    sum.crashes += run.crashes;
    sum.connections += run.connections;
    sum.reads += run.reads;
    sum.cuts += run.cuts;
    sum.gaps += run.gaps;
    sum.full += run.full;
    sum.repeated += run.repeated;
    sum.duplicates += run.duplicates;
    sum.refused += run.refused;
    sum.reached += run.reached;
    sum.timeouts += run.timeouts;
    sum.lost += run.lost;
    sum.outs += run.outs;
    sum.settled_after_ms = std::max(sum.settled_after_ms, run.settled_after_ms);
  }
  std::cout << "seeds=" << seeds << " written=" << sum.written << " accepted=" << sum.accepted
            << " crashes=" << sum.crashes << " connections=" << sum.connections << " reads=" << sum.reads
            << " cuts=" << sum.cuts << " gaps=" << sum.gaps << " full=" << sum.full << " repeated=" << sum.repeated
            << " duplicates=" << sum.duplicates << " refused=" << sum.refused << " reached=" << sum.reached
            << " timeouts=" << sum.timeouts << " lost=" << sum.lost << " outs=" << sum.outs
            << " settled_after_ms=" << sum.settled_after_ms << "\n";
  if (seeds >= 50) { // the schedule is not tame
    CHECK(sum.crashes > seeds);
    CHECK(sum.reads > seeds);
    CHECK(sum.cuts > 0);
    CHECK(sum.gaps > 0);
    CHECK(sum.full > 0);
    CHECK(sum.repeated > 0);
    CHECK(sum.duplicates > 0);
    CHECK(sum.refused == 0);
    CHECK(sum.reached > seeds);
    CHECK(sum.timeouts > 0);
    CHECK(sum.lost > 0);
    CHECK(sum.outs > 0);
  }
}

TEST_CASE("streams: X2: the same seed gives the same run") {
  plant(mutation::none);
  const auto once = run_seed(3), again = run_seed(3);
  CHECK(once.accepted == again.accepted);
  CHECK(once.connections == again.connections);
  CHECK(once.duplicates == again.duplicates);
  CHECK(once.settled_after_ms == again.settled_after_ms);
}

TEST_CASE("streams: every planted mistake breaks safety within 30 seeds") {
  for (auto m : stream_mutations) {
    std::string how;
    std::uint64_t seed = 1;
    for (; seed <= 30 && (how.empty() || how.starts_with("liveness")); ++seed) {
      plant(m);
      how = run_seed(seed).violation;
      plant(mutation::none);
    }
    std::cout << name_of(m) << ": at seed " << seed - 1 << ": " << how << "\n";
    CHECK_MESSAGE(!how.empty(), name_of(m));
    CHECK_MESSAGE(!how.starts_with("liveness"), name_of(m));
  }
}
