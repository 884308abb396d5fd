/// Links that are cut by a firewall, between processes in network namespaces of their own.
#include "tests/support/cluster_trial.hpp"
#include "tests/support/private_network.hpp"

#include <doctest/doctest.h>

using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

constexpr auto cut_for = 3s;

} // namespace

TEST_CASE("S1, S2: links of a home that are cut for 3 s, one way, both ways, and all, cost no write and no read") {
  private_network::skip_without();
  private_network network{3};
  trial_options options;
  options.cluster.places = network.places();
  trial run{options};
  run.begin();

  // `moves`: the home cannot keep its lease.
  const auto cut = [&](const std::string& what, bool moves, auto links) {
    const auto home = run.home_of(0);
    run.struck(what);
    links(home, (home + 1) % 3, (home + 2) % 3);
    run.last(cut_for);
    if (moves) CHECK(run.home_of(0) != home);
    run.struck("healing of: " + what);
    CHECK(network.heal());
    run.serve(50);
    for (std::size_t i = 0; i < 3; ++i)
      REQUIRE(run.node(i).wait_ready(trial::patience));
  };
  cut("cut from the home to a peer", false, [&](auto home, auto peer, auto) { network.cut(home, peer); });
  cut("cut from a peer to the home", false, [&](auto home, auto peer, auto) { network.cut(peer, home); });
  cut("cut between the home and a peer", false, [&](auto home, auto peer, auto) {
    network.cut(home, peer);
    network.cut(peer, home);
  });
  // Only its clients still reach the home: what it knows grows old, and it must know that.
  cut("cut between the home and all peers", true, [&](auto home, auto one, auto other) {
    for (const auto peer : {one, other}) {
      network.cut(home, peer);
      network.cut(peer, home);
    }
  });
  cut("cut from all peers to the home", true, [&](auto home, auto one, auto other) {
    network.cut(one, home);
    network.cut(other, home);
  });

  const auto found = run.conclude();
  MESSAGE(found);
  CHECK(found.problems.empty());
}
