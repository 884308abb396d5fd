/// Who must not take part is told so at the start, with both values.
#include "actors/basp_transport.hpp"
#include "actors/link.hpp"
#include "actors/membership.hpp"
#include "actors/node_clock.hpp"
#include "runtime/config_file.hpp"
#include "tests/support/cluster.hpp"

#include <caf/all.hpp>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iomanip>
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

nlohmann::json object_at(const test_node& node, const std::string& path) {
  const auto said = nlohmann::json::parse(node.ask(path).value_or("{}"), nullptr, false);
  return said.is_object() ? said : nlohmann::json::object();
}

nlohmann::json status_of(const test_node& node) { return object_at(node, "/v1/status"); }

/// What stands in the status of `node` about its link to `peer`.
nlohmann::json link_of(const test_node& node, const test_node& peer) {
  for (const auto& link : status_of(node).value("links", nlohmann::json::array()))
    if (link.value("name", "") == peer.name) return link;
  return nlohmann::json::object();
}

bool counts_refusals(const test_node& node, const test_node& peer) {
  const auto page = node.ask("/metrics").value_or("");
  const auto series = "\ntroupe_link_hellos_refused_total{peer=\"" + peer.name + "\"} ";
  const auto at = page.find(series);
  return at != std::string::npos && std::stod(page.substr(at + series.size())) >= 1;
}

/// The log of `node` says in one line that it and `peer` do not talk, and names both values.
bool logs_refusal(const test_node& node, const test_node& peer, const std::string& one, const std::string& other) {
  std::istringstream log{node.log()};
  for (std::string line; std::getline(log, line);)
    if (line.find("link.refused peer=" + peer.name + " ") != std::string::npos && names_both(line, one, other))
      return true;
  return false;
}

/// Starts node 3 of a running cluster, which is to be refused, and waits until it and its peers say why: in the
/// status, the log and the metrics of both ends.
void check_refused(test_cluster& cluster, const std::string& one, const std::string& other) {
  auto& stranger = cluster.node(2);
  stranger.start();
  const auto told = [&](const test_node& node, const test_node& peer) {
    CAPTURE(node.name);
    CHECK(wait_until([&] { return names_both(link_of(node, peer).value("last_refusal", ""), one, other); }, 10s));
    CHECK(logs_refusal(node, peer, one, other));
    CHECK(counts_refusals(node, peer));
    CHECK_FALSE(link_of(node, peer).value("up", true));
  };
  for (const std::size_t i : {0U, 1U}) {
    told(stranger, cluster.node(i));
    told(cluster.node(i), stranger);
    CHECK(cluster.node(i).wait_ready(5s)); // the others do not mind
  }
  CHECK_FALSE(stranger.wait_ready(0ms));
  CHECK(names_both(object_at(stranger, "/readyz").value("because", ""), one, other));
  CHECK(stranger.running());
}

/// The id that `troupe init` gave the node's disk, from the store's mark, as it stands in logs.
std::string disk_of(const test_node& node) {
  const auto mark = content_of(node.folder / "store" / "synced");
  REQUIRE(mark.size() >= 16);
  std::uint64_t disk = 0;
  std::memcpy(&disk, mark.data() + 8, sizeof disk);
  std::ostringstream out;
  out << std::hex << std::setw(16) << std::setfill('0') << disk;
  return out.str();
}

void replace_store(const test_node& node) {
  std::filesystem::remove_all(node.folder / "store");
  REQUIRE(run({troupe_binary(), "init", "--config", node.config().string()}).exit_code == 0);
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

TEST_CASE("refused: a node with another cluster-wide configuration, until it has the right one") {
  test_cluster cluster;
  REQUIRE(cluster.start());
  auto& node = cluster.node(2);
  REQUIRE(node.terminate(10s) == 0);
  change(node, "shards = 256", "shards = 128");
  check_refused(cluster, "shards=256", "shards=128");

  REQUIRE(node.terminate(10s) == 0);
  change(node, "shards = 128", "shards = 256");
  node.start();
  CHECK(node.wait_ready(20s));
  CHECK(link_of(node, cluster.node(0)).value("last_refusal", "?").empty());
  CHECK(link_of(cluster.node(0), node).value("last_refusal", "?").empty());
}

TEST_CASE("refused: a node of another cluster that has this one's addresses") {
  test_cluster cluster;
  REQUIRE(cluster.start());
  auto& node = cluster.node(2);
  REQUIRE(node.terminate(10s) == 0);
  change(node, "name = \"test\"", "name = \"shop\"");
  replace_store(node);
  check_refused(cluster, "\"test\"", "\"shop\"");
}

TEST_CASE("refused: a node whose disk was replaced, by the peers that remember the old one") {
  test_cluster cluster;
  REQUIRE(cluster.start());
  auto& node = cluster.node(2);
  REQUIRE(node.terminate(10s) == 0);
  const auto old_disk = disk_of(node);
  replace_store(node);
  check_refused(cluster, old_disk, disk_of(node));
}

TEST_CASE("refused: a node of another protocol version, here a client, and the member says so as well") {
  test_cluster cluster;
  REQUIRE(cluster.start());
  const auto& member = cluster.node(0);
  const auto stranger_says = [&](std::uint32_t version) {
    const auto shape = troupe::read_config(member.config())->shape;
    caf::actor_system_config config;
    troupe::configure(config);
    caf::actor_system system{config};
    const troupe::node_id self{troupe::client_node_bit | 77U};
    troupe::boot_clock clock;
    troupe::basp_transport wires{system, shape, self};
    const auto board = std::make_shared<troupe::switchboard>();
    board->self = self;
    board->membership = troupe::spawn_membership(
        system, {{&clock, board, nullptr, {}}, nullptr, {.shape = shape, .self = self, .remembered_disks = {}}});
    troupe::link_config setting;
    setting.self = troupe::make_hello({.cluster = shape.name,
                                       .configuration = shape.hash(),
                                       .configuration_text = shape.describe(),
                                       .node = self,
                                       .life = {1},
                                       .name = "stranger",
                                       .region = "r1"});
    setting.self.set_protocol(version);
    setting.peer = {1};
    setting.peer_name = member.name;
    setting.dials = true;
    setting.clock = &clock;
    setting.wires = &wires;
    setting.board = board;
    const auto link = troupe::spawn_link(system, setting);
    caf::anon_send(link, troupe::tick_atom::value);
    troupe::link_status last;
    wait_until(
        [&] {
          caf::scoped_actor asking{system};
          asking->request(link, 5s, troupe::status_atom::value)
              .receive([&](const troupe::link_status& s) { last = s; }, [](caf::error&) {});
          return last.up || !last.last_refusal.empty();
        },
        10s);
    caf::anon_send_exit(link, caf::exit_reason::kill);
    caf::anon_send_exit(board->membership, caf::exit_reason::kill);
    system.await_all_actors_done();
    return last.up ? "up" : last.last_refusal;
  };
  CHECK(stranger_says(troupe::protocol_version) == "up"); // the control
  const auto why =
      "protocol version: stranger has 9, " + member.name + " has " + std::to_string(troupe::protocol_version);
  CHECK(stranger_says(9) == why);
  CHECK(status_of(member)["door"].value("last_refusal", "") == why);
  CHECK(status_of(member)["door"].value("refused", 0) >= 1);
  CHECK(member.log().find("door.refused error=wrong_protocol what=\"" + why + "\"") != std::string::npos);
}
