/// The example of README.md about named locks.
#include <troupe/runtime.hpp>

#include "tests/actors/lone_runtime.hpp"

#include <doctest/doctest.h>

using namespace std::chrono_literals;

namespace {

bool sell(troupe::session& s) {
  auto order = s.lock("orders", "order-536365", {.ttl = 5s, .protects = {{"inventory", "85123A"}}, .deadline = 2s});
  if (!order) return false; // somebody else has it, or nobody can be reached
  auto sold = s.add("inventory", "85123A", -6, {.floor = 0, .under = order->fence()});
  return sold && sold->applied; // an error when the lock was lost; else it is given back here
}

} // namespace

TEST_CASE("README: six are sold under a lock, by one at a time") {
  troupe::test::lone_runtime lone;
  auto s = lone.node().open_session();
  REQUIRE(s.add("inventory", "85123A", 8));
  auto other = lone.node().open_session();
  {
    const auto theirs = other.try_lock("orders", "order-536365", {.ttl = 1h});
    REQUIRE(theirs);
    REQUIRE(*theirs);
    CHECK_FALSE(sell(s));
  }
  CHECK(sell(s));
  CHECK_FALSE(sell(s)); // two are left
  CHECK(other.get("inventory", "85123A").value()->value == "2");
}
