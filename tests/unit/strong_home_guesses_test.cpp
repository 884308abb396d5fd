// Whom a memory layer asks first.
#include "protocol/strong/home_guesses.hpp"

#include <doctest/doctest.h>

using namespace troupe;

namespace {

constexpr node_id a{1}, b{2}, c{3}, nobody{};
constexpr shard_id shard{0};

home_guesses of(node_id self) { return {self, {{a, b, c}}}; }

} // namespace

TEST_CASE("home guesses: nobody is asked before somebody is connected, but this node itself") {
  CHECK(of({9}).home_of(shard) == nobody);
  CHECK(of(b).home_of(shard) == b);
  CHECK(of(b).home_of({1}) == nobody); // there is no such shard
}

TEST_CASE("home guesses: the first connected member in the order of claims, until one has answered as home") {
  auto g = of(c);
  g.peer(b, true);
  CHECK(g.home_of(shard) == b);
  g.peer(a, true);
  CHECK(g.home_of(shard) == a);
  g.answered(shard, c);
  CHECK(g.home_of(shard) == c);
  g.answered(shard, b);
  g.peer(b, false);
  CHECK(g.home_of(shard) == a);
}

TEST_CASE("home guesses: who is not home is believed in whom it names; else the next in turn is asked") {
  auto g = of({9});
  for (const auto peer : {a, b, c})
    g.peer(peer, true);
  g.refused(shard, a, c);
  CHECK(g.home_of(shard) == c);
  g.refused(shard, a, nobody); // late: c has been heard of since
  CHECK(g.home_of(shard) == c);
  g.refused(shard, c, nobody);
  CHECK(g.home_of(shard) == a);
  g.refused(shard, a, a); // it names itself, and is not
  CHECK(g.home_of(shard) == b);
}
