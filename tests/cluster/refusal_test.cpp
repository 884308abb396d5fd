/// Who must not take part is told so at the start, with both values.
#include "tests/support/cluster.hpp"

#include <doctest/doctest.h>
#include <httplib.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>

using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

std::string content_of(const std::filesystem::path& file) {
  std::ifstream in{file, std::ios::binary};
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// Replaces the one place in the node's configuration that says `what`.
void change(const test_node& node, const std::string& what, const std::string& by) {
  auto text = content_of(node.config());
  const auto at = text.find(what);
  REQUIRE(at != std::string::npos);
  std::ofstream{node.config()} << text.replace(at, what.size(), by);
}

command_result start_of(const test_node& node) {
  return run({troupe_binary(), "node", "--config", node.config().string()}, 20s);
}

bool names_both(const std::string& text, const std::string& one, const std::string& other) {
  return text.find(one) != std::string::npos && text.find(other) != std::string::npos;
}

/// What the peers of this node said to it, last.
std::string refusals_of(const test_node& node) {
  httplib::Client client{node.place.host, node.admin_port};
  const auto answer = client.Get("/v1/status");
  const auto status = nlohmann::json::parse(answer ? answer->body : "{}", nullptr, false);
  std::string text;
  if (status.is_object() && status.contains("links"))
    for (const auto& link : status["links"])
      text += link.value("last_refusal", "") + "\n";
  return text;
}

/// Starts node 3 of a running cluster, whose peers are to refuse it, and waits until its status and a log say why.
void check_refused(test_cluster& cluster, const std::string& one, const std::string& other) {
  auto& stranger = cluster.node(2);
  stranger.start();
  CHECK(wait_until([&] { return names_both(refusals_of(stranger), one, other); }, 10s));
  CHECK(wait_until([&] { return names_both(stranger.log(), one, other); }, 10s));
  const auto told = cluster.node(0).log() + cluster.node(1).log();
  CHECK(names_both(told + stranger.log(), one, other));
  CHECK_FALSE(stranger.wait_ready(0ms));
  CHECK(cluster.node(0).wait_ready(5s)); // the others do not mind
  CHECK(cluster.node(1).wait_ready(5s));
  INFO("refusals: ", refusals_of(stranger));
  CHECK(stranger.running());
}

/// The id that `troupe init` gave the node's disk, as the store's mark has it.
std::string disk_of(const test_node& node) {
  const auto mark = content_of(node.folder / "store" / "synced");
  REQUIRE(mark.size() >= 16);
  std::uint64_t disk = 0;
  std::memcpy(&disk, mark.data() + 8, sizeof disk);
  return std::to_string(disk);
}

} // namespace

TEST_CASE("refused: a node does not start on the store of another cluster, and names both") {
  test_cluster cluster;
  change(cluster.node(0), "name = \"test\"", "name = \"shop\"");
  const auto ended = start_of(cluster.node(0));
  CHECK(ended.exit_code == 1);
  CHECK(names_both(ended.errors, "cluster 'test'", "cluster 'shop'"));
}

TEST_CASE("refused: a node does not start on the store of another node, and names both") {
  test_cluster cluster;
  change(cluster.node(1), "directory = \"store\"",
         "directory = \"" + (cluster.node(0).folder / "store").string() + "\"");
  const auto ended = start_of(cluster.node(1));
  CHECK(ended.exit_code == 1);
  CHECK(names_both(ended.errors, "node 1", "node 2"));
}

TEST_CASE("refused: a node without a store does not start, and says how one is made") {
  test_cluster cluster;
  std::filesystem::remove_all(cluster.node(0).folder / "store");
  const auto ended = start_of(cluster.node(0));
  CHECK(ended.exit_code == 1);
  CHECK(ended.errors.find("`troupe init` makes one") != std::string::npos);
}

TEST_CASE("refused: a node with another cluster-wide configuration is refused by its peers, and both are named") {
  test_cluster cluster;
  REQUIRE(cluster.start());
  REQUIRE(cluster.node(2).terminate(10s) == 0);
  change(cluster.node(2), "shards = 256", "shards = 128");
  check_refused(cluster, "shards=256", "shards=128");
}

TEST_CASE(
    "refused: a node whose disk was replaced is refused by the peers that remember the old one, and both are named") {
  test_cluster cluster;
  REQUIRE(cluster.start());
  auto& node = cluster.node(2);
  REQUIRE(node.terminate(10s) == 0);
  const auto old_disk = disk_of(node);
  std::filesystem::remove_all(node.folder / "store");
  const auto made = run({troupe_binary(), "init", "--config", node.config().string()});
  REQUIRE(made.exit_code == 0);
  check_refused(cluster, old_disk, disk_of(node));
}
