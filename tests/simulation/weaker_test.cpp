#include "tests/simulation/swarm.hpp"
#include "tests/support/seeds.hpp"

TEST_CASE("simulation: C1 T1 T2 T3 E1 E2 E3 E4 D1 hold for the weaker levels, and liveness returns, in every seed") {
  troupe::test::check_clean(1, troupe::test::seeds(300), true);
}
