#include "protocol/cluster.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

using namespace troupe;

namespace {

cluster nodes_in(const std::vector<std::string>& regions) {
  cluster c;
  for (std::uint32_t n = 1; n <= regions.size(); ++n)
    c.members.push_back(
        {.id = {n}, .name = "n" + std::to_string(n), .region = regions[n - 1], .host = {}, .port = 0});
  return c;
}

std::string region_of(const cluster& c, node_id n) { return c.find(n)->region; }

} // namespace

TEST_CASE("placement: no region has two replicas of a shard while another has none") {
  const auto c = nodes_in({"eu", "eu", "eu", "us", "us", "asia"});
  for (std::uint32_t s = 0; s < c.shards; ++s) {
    std::set<std::string> regions;
    for (auto n : replica_set(c, {s}))
      regions.insert(region_of(c, n));
    CHECK(regions.size() == 3);
  }
  auto five = c;
  five.replicas = 5;
  for (std::uint32_t s = 0; s < c.shards; ++s) {
    const auto set = replica_set(five, {s});
    CHECK(std::set<node_id>(set.begin(), set.end()).size() == 5);
    CHECK(std::count_if(set.begin(), set.end(), [&](node_id n) { return region_of(c, n) == "eu"; }) == 2);
  }
}

TEST_CASE("placement: without a node only the shards that it had change, each by one replica") {
  const auto c = nodes_in({"a", "a", "a", "a", "a", "a"});
  auto without = c;
  without.members.erase(without.members.begin() + 2);
  for (std::uint32_t s = 0; s < c.shards; ++s) {
    auto before = replica_set(c, {s});
    const auto after = replica_set(without, {s});
    if (std::erase(before, node_id{3}) == 0) {
      CHECK(before == after);
      continue;
    }
    // The others keep their order, and one joins.
    CHECK(after.size() == 3);
    CHECK(std::vector<node_id>(after.begin(), after.begin() + 2) == before);
  }
}

TEST_CASE("placement: replicas and first homes are spread evenly") {
  auto c = nodes_in({"a", "a", "a", "a", "a"});
  c.shards = 4'000;
  std::map<node_id, int> held, first;
  for (std::uint32_t s = 0; s < c.shards; ++s) {
    const auto set = replica_set(c, {s});
    ++first[set.front()];
    for (auto n : set)
      ++held[n];
  }
  for (const auto& m : c.members) {
    CHECK(held[m.id] == doctest::Approx(2'400).epsilon(0.06));
    CHECK(first[m.id] == doctest::Approx(800).epsilon(0.12));
  }
}

TEST_CASE("placement: it depends on ids and regions only, and fewer nodes than replicas hold all of them") {
  const auto c = nodes_in({"a", "b", "c", "d"});
  auto renamed = c;
  for (auto& m : renamed.members)
    m.name += "x", m.host = "h", m.port = 7;
  std::reverse(renamed.members.begin(), renamed.members.end());
  for (std::uint32_t s = 0; s < c.shards; ++s)
    CHECK(replica_set(c, {s}) == replica_set(renamed, {s}));
  CHECK(replica_set(nodes_in({"a", "a"}), {0}).size() == 2);
}

TEST_CASE("placement: keys spread evenly over shards, and the type is part of the key") {
  std::map<shard_id, int> keys;
  for (int k = 0; k < 64'000; ++k)
    ++keys[shard_of(stored_key("stock", std::to_string(k)), 64)];
  CHECK(keys.size() == 64);
  for (const auto& [shard, n] : keys)
    CHECK(n == doctest::Approx(1'000).epsilon(0.2));
  CHECK(stored_key("stock", "85123A") == "stock:85123A");
}
