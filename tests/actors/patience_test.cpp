/// Patience without end, where a runtime is waited for.
#include "tests/actors/lone_runtime.hpp"

#include <doctest/doctest.h>

#include <chrono>

using namespace troupe;

TEST_CASE("runtime: the longest patience there is waits until it is ready, and until it has stopped") {
  test::lone_runtime lone;
  CHECK(lone.node().wait_ready(std::chrono::nanoseconds::max()));
  CHECK(lone.node().stop(std::chrono::nanoseconds::max()));
}

TEST_CASE("runtime: no patience at all, however little, is an answer at once") {
  test::lone_runtime_options alone;
  alone.has_majority = false;
  test::lone_runtime lone{alone};
  CHECK_FALSE(lone.node().wait_ready(std::chrono::nanoseconds{0}));
  CHECK_FALSE(lone.node().wait_ready(std::chrono::nanoseconds::min()));
}
