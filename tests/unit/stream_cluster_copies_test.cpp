// Stream replicas whose logs are too short, and whose records are damaged now and then: they copy from each other.
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
  o.cache_bytes = seed % 5 == 0 ? 4 << 10 : 64 << 10;
  o.damages = seed % 4 != 0;
  o.compare_every = seed % 2 == 0 ? 200 * ms : nanoseconds{0};
  o.loses = seed % 4 == 0;
  // Where nearly everything is cut, nobody may have a whole copy of what is damaged at the one that has cut it.
  o.log_bytes = o.damages ? 4'000 : 1'000;
  return o;
}

std::string told(const run_options& o, const run_outcome& r) {
  std::string out = "TROUPE_SEED=" + std::to_string(o.seed) + ":";
  for (const auto& v : r.violations)
    out += "\n  " + v;
  return out;
}

} // namespace

TEST_CASE("copies of replicas: C1 C2 E1 E2 E3 T1 T2 T3 T4 D1 hold while logs are cut and records damaged") {
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
    sum.failed += r.failed;
    sum.crashes += r.crashes;
    sum.cuts += r.cuts;
    sum.copied += r.copied;
    sum.closed += r.closed;
    sum.repaired += r.repaired;
    sum.compared += r.compared;
    sum.lost += r.lost;
  }
  MESSAGE("operations=" << sum.operations << " done=" << sum.done << " failed=" << sum.failed
                        << " crashes=" << sum.crashes << " cuts=" << sum.cuts << " copied=" << sum.copied
                        << " pages while closed=" << sum.closed << " repaired=" << sum.repaired
                        << " compared=" << sum.compared << " lost=" << sum.lost);
  if (only != nullptr) return;
  // What never happens shows nothing.
  CHECK(sum.done > 0);
  CHECK(sum.cuts > 0);
  CHECK(sum.copied > 0);
  CHECK(sum.closed > 0);
  CHECK(sum.repaired > 0);
  CHECK(sum.compared > 0);
  CHECK(sum.lost > 0);
}

TEST_CASE("copies of replicas: every planted mistake is caught") {
  constexpr std::uint64_t seeds_max = 60;
  for (const auto m : copy_mutations) {
    if (m == mutation::copy_may_contain_no_more) continue; // too short to be met here; see stream_replica_copies_test
    CAPTURE(name_of(m));
    plant(m);
    std::uint64_t after = 0;
    for (std::uint64_t seed = 1; seed <= seeds_max && after == 0; ++seed) {
      const auto r = cluster_run{options_for(seed)}.run();
      if (r.violations.empty()) continue;
      after = seed;
      MESSAGE(name_of(m) << " after " << seed << ": " << r.violations.front());
    }
    plant(mutation::none);
    CHECK(after > 0);
  }
}
