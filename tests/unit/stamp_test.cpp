// The hybrid logical clock: stamps only grow, whatever the wall clock does, a crash included.
#include "protocol/stamp.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <random>

using namespace troupe;

namespace {

constexpr node_id here{1};
constexpr node_id there{2};

/// A node whose store is as fast as thought.
struct node {
  std::uint64_t disk = 0;
  stamp_clock clock{here, 0};
  std::uint64_t writes = 0;

  void store(stamp_clock::effects& out) {
    for (const auto& effect : out) {
      disk = std::get<stamp_clock::persist_ceiling>(effect).clock;
      clock.ceiling_durable(disk);
      ++writes;
    }
    out.clear();
  }
  stamp next(std::uint64_t wall_ms) {
    stamp_clock::effects out;
    auto s = clock.next(wall_ms, out);
    store(out);
    if (!s) s = clock.next(wall_ms, out);
    store(out);
    REQUIRE(s.has_value());
    return *s;
  }
};

} // namespace

TEST_CASE("stamp: it is the wall clock's time while that advances, and counts within a millisecond") {
  node n;
  CHECK(to_string(n.next(1'000)) == "1000.0@1");
  CHECK(to_string(n.next(1'000)) == "1000.1@1");
  CHECK(to_string(n.next(1'001)) == "1001.0@1");
  for (int i = 0; i < 70'000; ++i)
    n.next(1'001); // more than the counter holds: it runs over into the next millisecond
  CHECK(n.next(1'001).wall_ms() == 1'002);
}

TEST_CASE("stamp: a wall clock that is set back, or was fast, never makes a later stamp lower") {
  node n;
  const auto fast = n.next(5'000'000);
  const auto back = n.next(1'000);
  CHECK(back > fast);
  CHECK(n.clock.ahead_ms(1'000) == 4'999'000);
  CHECK(n.clock.ahead_ms(6'000'000) == 0);
}

TEST_CASE("stamp: the next one is above every stamp that was seen") {
  node n;
  n.next(1'000);
  const stamp seen{(std::uint64_t{9'000} << 16) + 7, there};
  n.clock.saw(seen);
  CHECK(n.next(1'000) > seen);
  n.clock.saw({std::uint64_t{2} << 16, there}); // an old one changes nothing
  CHECK(n.next(1'000).wall_ms() == 9'000);
}

TEST_CASE("stamp: nothing above the durable ceiling is given out, and the ceiling is asked for once") {
  stamp_clock clock{here, 0};
  stamp_clock::effects out;
  CHECK_FALSE(clock.next(1'000, out).has_value());
  REQUIRE(out.size() == 1);
  CHECK_FALSE(clock.next(1'000, out).has_value());
  CHECK(out.size() == 1);
  clock.ceiling_durable(std::get<stamp_clock::persist_ceiling>(out.front()).clock);
  CHECK(clock.next(1'000, out).has_value());
  CHECK(out.size() == 1);
}

TEST_CASE("stamp: a node that crashes at any moment, its clock set back by any amount, repeats none") {
  std::mt19937_64 random{11};
  for (int run = 0; run < 200; ++run) {
    node n;
    std::uint64_t wall = 1'000'000;
    stamp newest;
    for (int i = 0; i < 300; ++i) {
      wall += random() % 900;
      if (random() % 20 == 0) wall -= random() % wall;
      if (random() % 30 == 0)
        n.clock = stamp_clock{here, n.disk}; // what it had seen is forgotten, what it gave is not
      const auto s = n.next(wall);
      REQUIRE(s > newest);
      newest = s;
    }
    CHECK(n.writes < 150); // not a write of the store for each
  }
}

TEST_CASE("stamp: a ceiling that is ignored at the start repeats stamps (control)") {
  node n;
  const auto before = n.next(5'000'000);
  n.clock = stamp_clock{here, 0};
  CHECK(n.next(1'000) < before);
}

TEST_CASE("stamp: at the end of its range the clock stops instead of turning over") {
  node n;
  n.clock.saw({std::numeric_limits<std::uint64_t>::max() - 1, there});
  CHECK(n.next(1'000).clock == std::numeric_limits<std::uint64_t>::max());
  stamp_clock::effects out;
  CHECK_FALSE(n.clock.next(1'000, out).has_value());
  CHECK(out.empty());
}
