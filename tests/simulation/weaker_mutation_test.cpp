#include "tests/simulation/planted.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

/// As far as shoppers can see.
const expectation table[] = {
    // An answer is shown without its question, the second of two writes without the first.
    {mutation::dependency_vector_ignored, {"C1", "T3", "T2"}},
    // An addition is counted again for its retry.
    {mutation::retry_executed_twice, {"E2"}},
    // A session reads its key and does not find what it has written.
    {mutation::own_write_hidden, {"T1", "T2"}},
    // What was refused and has begun again elsewhere is executed here, too.
    {mutation::refusal_forgotten, {"E2", "E3"}},
    // The same write is executed by two nodes.
    {mutation::second_executor, {"E2", "E3"}},
    // A read with a bound does not show what had been acknowledged longer ago than that.
    {mutation::fresh_before_shown, {"E4"}},
};

} // namespace

TEST_CASE("simulation: planted mistakes of the weaker levels are caught by what shoppers see") {
  check_caught(table, {simulated::weak_options_for, 300});
}
