/// Values that lost against concurrent ones, as people deal with them: real processes, HTTP and the command line.
#include "tests/support/cluster.hpp"

#include <doctest/doctest.h>

#include <httplib.h>
#include <nlohmann/json.hpp>

#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace troupe::test;
using nlohmann::json;

namespace {

constexpr const char* types = R"([types.pages]
level = "eventual"

[types.profiles]
level = "eventual"
resolver = "map"
)";

struct shop {
  test_cluster cluster{[] {
    cluster_options options;
    options.shape = types;
    options.deadline_ms = 10'000;
    return options;
  }()};
  shop() { REQUIRE(cluster.start()); }

  httplib::Client http(std::size_t node) {
    httplib::Client client{"127.0.0.1", cluster.node(node).admin_port};
    client.set_read_timeout(10s);
    return client;
  }
  std::string value(std::size_t node, const std::string& path) {
    const auto r = http(node).Get("/v1/keys/" + path);
    return r && r->status == 200 ? r->body : "";
  }
  json conflicts(std::size_t node, const std::string& parameters = "") {
    const auto r = http(node).Get("/v1/conflicts" + parameters);
    if (!r || r->status != 200) return {};
    return json::parse(r->body, nullptr, false).value("conflicts", json::array());
  }
  /// Writes at two nodes at once until one of them keeps what lost; nothing found = a null id.
  struct found {
    std::size_t node = 0;
    std::string path; ///< of what was written
    json entry;
  };
  found make_conflict(const std::string& begin, const std::string& parameters = "") {
    for (int n = 0; n < 500; ++n) {
      const auto path = begin + std::to_string(n) + parameters;
      std::vector<std::thread> writers;
      for (const std::size_t node : {0U, 1U})
        writers.emplace_back(
            [&, node] { http(node).Put("/v1/keys/" + path, "of node " + std::to_string(node), "text/plain"); });
      for (auto& w : writers)
        w.join();
      const auto type = begin.substr(0, begin.find('/'));
      const auto key = begin.substr(begin.find('/') + 1) + std::to_string(n);
      found out;
      const auto kept = [&](std::size_t node) {
        for (const auto& c : conflicts(node, "?type=" + type + "&key=" + key))
          if (c.value("key", "") == key) out = {node, path, c};
        return !out.entry.is_null();
      };
      // Both ledgers are right once both nodes show the same value.
      wait_until([&] { return kept(0) || kept(1) || value(0, path) == value(1, path); }, 5s);
      if (kept(0) || kept(1)) return out;
    }
    return {};
  }
  command_result cli(std::size_t node, std::vector<std::string> words) {
    words.insert(words.begin(), {troupe_binary(), "conflicts"});
    words.insert(words.end(), {"--admin", cluster.node(node).admin()});
    return run(words);
  }
};

} // namespace

TEST_CASE("conflicts: what lost is listed where it was accepted, outlives the process, and is written again") {
  shop s;
  CHECK(s.cli(0, {"list"}).output == "no conflicts\n");
  const auto lost = s.make_conflict("pages/home-");
  REQUIRE(!lost.entry.is_null());
  const auto id = lost.entry.at("id").get<std::string>();
  const auto mine = "of node " + std::to_string(lost.node);
  const auto theirs = "of node " + std::to_string(1 - lost.node);
  CHECK(lost.entry.at("value") == mine);
  CHECK(wait_until([&] { return s.value(2, lost.path) == theirs; }, 5s));

  s.cluster.node(lost.node).kill9();
  s.cluster.node(lost.node).start();
  REQUIRE(s.cluster.node(lost.node).wait_ready(20s));
  // What was not on the disk when it was killed is sent once more.
  std::string listed;
  CHECK(wait_until(
      [&] {
        listed = s.cli(lost.node, {"list", "--type", "pages"}).output;
        return listed.find(id) != std::string::npos;
      },
      10s));
  CAPTURE(listed);
  CHECK(listed.find(mine) != std::string::npos);

  const auto elsewhere = s.cli(2, {"restore", id}); // another node does not keep it
  CHECK(elsewhere.exit_code == 1);
  CHECK(elsewhere.errors.find("keeps no conflict " + id) != std::string::npos);

  const auto restored = s.cli(lost.node, {"restore", id});
  CAPTURE(restored.errors);
  CHECK(restored.exit_code == 0);
  CHECK(restored.output == "restored " + id + "\n");
  for (const std::size_t node : {0U, 1U, 2U})
    CHECK(wait_until([&] { return s.value(node, lost.path) == mine; }, 5s));
  CHECK(s.cli(lost.node, {"restore", id}).exit_code == 1);
  // The value that it was written over was known: no conflict.
  for (const std::size_t node : {0U, 1U, 2U})
    for (const auto& c : s.conflicts(node))
      CHECK(c.at("key") != lost.entry.at("key"));
}

TEST_CASE("conflicts: a field of a map is written again, the others stay; what is discarded is gone") {
  shop s;
  const auto lost = s.make_conflict("profiles/ann-", "?field=city");
  REQUIRE(!lost.entry.is_null());
  CHECK(lost.entry.at("field") == "city");
  const auto key = lost.path.substr(0, lost.path.find('?'));
  const auto kept = s.http(2).Put("/v1/keys/" + key + "?field=street", "long", "text/plain");
  REQUIRE((kept && kept->status == 200));
  const auto id = lost.entry.at("id").get<std::string>();
  CHECK(s.cli(lost.node, {"restore", id}).output == "restored " + id + "\n");
  CHECK(wait_until([&] { return s.value(2, lost.path) == lost.entry.at("value"); }, 5s));
  CHECK(wait_until([&] { return s.value(lost.node, key + "?field=street") == "long"; }, 5s));

  const auto second = s.make_conflict("pages/page-");
  REQUIRE(!second.entry.is_null());
  const auto which = second.entry.at("id").get<std::string>();
  CHECK(s.cli(second.node, {"discard", which}).output == "discarded " + which + "\n");
  CHECK(wait_until([&] { return s.cli(second.node, {"discard", which}).exit_code == 1; }, 5s));
}

TEST_CASE("conflicts: what is asked wrongly is refused with what is allowed, and changes nothing") {
  shop s;
  auto http = s.http(0);
  for (const char* path : {"/v1/conflicts?max=0", "/v1/conflicts?max=many", "/v1/conflicts?type=nobody",
                           "/v1/conflicts?key=a", "/v1/conflicts?limit=3", "/v1/conflicts/", "/v1/conflicts/17",
                           "/v1/conflicts/free/n1.1:0", "/v1/conflicts/free/n1.1:7?a=b", "/v1/conflicts/%zz"}) {
    CAPTURE(path);
    const auto r = http.Get(path);
    REQUIRE(r);
    CHECK(r->status == 400);
    CHECK(json::parse(r->body).at("error") == "invalid_argument");
  }
  CHECK(http.Post("/v1/conflicts/free/n1.1:7")->status == 404);
  CHECK(http.Delete("/v1/conflicts/free/n1.1:7")->status == 404);
  CHECK(http.Put("/v1/conflicts/free/n1.1:7", "x", "text/plain")->status == 405);
  CHECK(http.Get("/v1/conflicts/free/n1.1:7")->status == 404);
  CHECK(http.Head("/v1/conflicts")->status == 200);
  CHECK(s.cli(0, {"restore", "17"}).exit_code == 1);
  CHECK(s.cli(0, {}).exit_code == 2);
}
