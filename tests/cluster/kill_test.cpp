/// Real processes, real SIGKILL, under load.
#include "tests/support/cluster_trial.hpp"

#include <doctest/doctest.h>

using namespace troupe::test;
using namespace std::chrono_literals;

TEST_CASE("S1, D1: each node is killed in turn under load, and comes back") {
  trial run;
  run.begin();
  for (std::size_t victim = 0; victim < run.cluster().size(); ++victim) {
    run.struck("SIGKILL of " + run.node(victim).name);
    run.node(victim).kill9();
    run.serve(50);
    run.start_node(victim);
    run.serve(50);
  }
  const auto found = run.conclude();
  MESSAGE(found);
  CHECK(found.problems.empty());
}

TEST_CASE("S1, D1: all nodes are killed at once under load, twice, and come back with all that was acknowledged") {
  trial run;
  run.begin();
  for (int round = 0; round < 2; ++round) {
    run.struck("SIGKILL of all nodes");
    run.kill_all();
    run.start_all();
    run.recovered();
    run.serve(50);
  }
  const auto found = run.conclude();
  MESSAGE(found);
  CHECK(found.problems.empty());
}

TEST_CASE("S1, D1: a node that is killed again while it starts takes nothing with it") {
  trial run;
  run.begin();
  const auto victim = run.home_of(0);
  auto& node = run.node(victim);
  run.struck("SIGKILL of " + node.name);
  node.kill9();
  run.serve(20);

  // As soon as the process is there; once it has opened its store; once it answers, but is not ready; once it is.
  const auto killed_when = [&](auto reached) {
    const auto logged = node.log().size();
    run.struck("start and SIGKILL of " + node.name);
    node.start();
    REQUIRE(wait_until([&] { return reached(logged); }, trial::patience));
    node.kill9();
    run.serve(20);
  };
  killed_when([&](std::size_t) { return node.running(); });
  killed_when([&](std::size_t logged) { return node.log().size() > logged; });
  killed_when([&](std::size_t) { return run.status_of(victim).has_value(); });
  killed_when([&](std::size_t) { return node.wait_ready(0ms); });

  run.start_node(victim);
  run.serve(20);
  const auto found = run.conclude();
  MESSAGE(found);
  CHECK(found.problems.empty());
}
