// Several stream replicas over a network that breaks and nodes that crash, with sessions of every kind on them.
#include "protocol/mutation.hpp"
#include "tests/support/replica_cluster.hpp"
#include "tests/support/seeds.hpp"

#include <doctest/doctest.h>

using namespace troupe;
using namespace troupe::replicas;

namespace {

run_options options_for(std::uint64_t seed) {
  run_options o;
  o.seed = seed;
  o.nodes = seed % 3 == 0 ? 6 : 4;
  o.replicas = seed % 3 == 0 || seed % 3 == 1 ? 4 : o.nodes;
  o.snapshot_window = seed % 2 == 0 ? 200 * ms : 40 * ms;
  o.cache_bytes = seed % 5 == 0 ? 4 << 10 : 256 << 10;
  return o;
}

std::string told(const run_options& o, const run_outcome& r) {
  std::string out = "TROUPE_SEED=" + std::to_string(o.seed) + ":";
  for (const auto& v : r.violations)
    out += "\n  " + v;
  return out;
}

/// How many seeds it took to catch a planted mistake; 0 = none of them did.
std::uint64_t caught_after(mutation m, std::uint64_t seeds_max, run_options (*options)(std::uint64_t)) {
  plant(m);
  std::uint64_t after = 0;
  for (std::uint64_t seed = 1; seed <= seeds_max && after == 0; ++seed) {
    const auto r = cluster_run{options(seed)}.run();
    if (r.violations.empty()) continue;
    after = seed;
    MESSAGE(name_of(m) << " after " << seed << ": " << r.violations.front());
  }
  plant(mutation::none);
  return after;
}

} // namespace

TEST_CASE("streams of replicas: C1 C2 E1 E2 E3 T1 T2 T3 T4 D1 hold over crashes, broken links and restarts") {
  const char* only = std::getenv("TROUPE_SEED");
  const auto first = only != nullptr ? std::strtoull(only, nullptr, 10) : 1;
  const auto last = only != nullptr ? first : test::long_seeds(25);
  run_outcome sum;
  for (auto seed = first; seed <= last; ++seed) {
    const auto o = options_for(seed);
    const auto r = cluster_run{o}.run();
    CHECK_MESSAGE(r.violations.empty(), told(o, r));
    sum.operations += r.operations;
    sum.done += r.done;
    sum.unknown += r.unknown;
    sum.failed += r.failed;
    sum.crashes += r.crashes;
    sum.messages += r.messages;
    sum.waited += r.waited;
    sum.folded += r.folded;
    sum.collected += r.collected;
    sum.answers_checked += r.answers_checked;
    sum.retries += r.retries;
    sum.conflicts += r.conflicts;
    sum.snapshots += r.snapshots;
  }
  MESSAGE("operations=" << sum.operations << " done=" << sum.done << " failed=" << sum.failed
                        << " unknown=" << sum.unknown << " retries=" << sum.retries << " crashes=" << sum.crashes
                        << " messages=" << sum.messages << " waited=" << sum.waited << " folded=" << sum.folded
                        << " collected=" << sum.collected << " checked=" << sum.answers_checked
                        << " snapshots=" << sum.snapshots << " conflicts=" << sum.conflicts);
  // What never happens shows nothing.
  CHECK(sum.done > 0);
  if (only != nullptr) return;
  CHECK(sum.waited > 0);
  CHECK(sum.crashes > 0);
  CHECK(sum.folded > 0);
  CHECK(sum.collected > 0);
  CHECK(sum.answers_checked > 0);
  CHECK(sum.snapshots > 0);
  CHECK(sum.conflicts > 0);
}

TEST_CASE("streams of replicas: the same seed gives the same run (X2)") {
  const auto a = cluster_run{options_for(3)}.run();
  const auto b = cluster_run{options_for(3)}.run();
  CHECK(a.messages == b.messages);
  CHECK(a.operations == b.operations);
  CHECK(a.done == b.done);
  CHECK(a.violations == b.violations);
}

TEST_CASE(
    "streams of replicas: a node that lost its disk comes back in a new life, and what it accepts then is there") {
  const auto lost = [](std::uint64_t seed) {
    auto o = options_for(seed);
    o.replicas = o.nodes = 4;
    o.lost_disk = true;
    o.crashes = false;
    o.snapshot_window = std::chrono::hours{1}; // logs stay whole: there is no catch-up but by them
    return o;
  };
  for (std::uint64_t seed = 1; seed <= test::long_seeds(4); ++seed) {
    const auto r = cluster_run{lost(seed)}.run();
    CHECK_MESSAGE(r.violations.empty(), told(lost(seed), r));
  }
  CHECK(caught_after(mutation::incarnation_reused, 5, lost) > 0);
}

TEST_CASE("streams of replicas: every planted mistake is caught") {
  for (const auto m : replica_mutations) {
    if (m == mutation::incarnation_reused) continue; // above
    if (m == mutation::refusal_forgotten) continue; // no request comes late here; see simulation/weaker_mutation_test
    CAPTURE(name_of(m));
    CHECK(caught_after(m, 60, options_for) > 0);
  }
}
