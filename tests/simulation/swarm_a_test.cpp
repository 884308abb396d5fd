#include "tests/simulation/swarm.hpp"
#include "tests/support/seeds.hpp"

// Half of the swarm; the other half is a test of its own so that both run side by side.
TEST_CASE("simulation: S1 S2 S3 D1 hold and liveness returns in every seed (part a)") {
  troupe::test::check_clean(1, troupe::test::seeds(2000) / 2);
}
