/// A restart that was asked for.
#include "tests/support/cluster_trial.hpp"

#include <doctest/doctest.h>

using namespace troupe::test;
using namespace std::chrono_literals;

TEST_CASE("S1, D1: SIGTERM hands the homes over: a rolling restart of all nodes leaves no window without progress") {
  trial run;
  run.begin();
  for (std::size_t i = 0; i < run.cluster().size(); ++i) {
    const auto ended = run.node(i).terminate(10s);
    REQUIRE(ended == 0);
    run.start_node(i);
    run.serve(50);
  }
  // No fault was declared: the judge allows no window, and no unknown.
  const auto found = run.conclude();
  MESSAGE(found);
  CHECK(found.problems.empty());
}
