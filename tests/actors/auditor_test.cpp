/// The auditor as an actor, and what a node tells it of its clients' operations.
#include "actors/auditor.hpp"

#include "protocol/check/check_command.hpp"
#include "runtime/runtime_access.hpp"
#include "tests/actors/alert_listener.hpp"
#include "tests/actors/three_nodes.hpp"

#include <doctest/doctest.h>

#include <caf/scoped_actor.hpp>

#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

lone_runtime_options audited_node() {
  return {.log = {}, .alerts = {}, .audit = {.sample = 1, .window = 1s, .directory = "proofs"}};
}

check::audited get(std::uint64_t version, std::int64_t from, std::int64_t to) {
  check::audited op;
  op.type = "inventory";
  op.line.client = "1";
  op.line.key = "inventory:k";
  op.line.value = "v" + std::to_string(version);
  op.line.call = from;
  op.line.returned = to;
  op.at = {{1, 1, 1, version}};
  return op;
}

std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder, const std::string& extension) {
  std::vector<std::filesystem::path> all;
  if (std::filesystem::exists(folder))
    for (const auto& f : std::filesystem::directory_iterator{folder})
      if (f.path().extension() == extension) all.push_back(f.path());
  return all;
}

std::string text_of(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream{file}.rdbuf();
  return text.str();
}

void judge(const runtime& node) {
  runtime_access{node}.with_parts([](assembly& parts) { parts.finish_audit(parts.clock().now() + 20s); });
}

} // namespace

TEST_CASE("auditor: nothing is audited unless the configuration asks for it") {
  lone_runtime lone;
  CHECK_FALSE(runtime_access{lone.node()}.audit());
}

TEST_CASE("auditor: a node whose clients are served well proves it, whichever way they ask") {
  lone_runtime lone{audited_node()};
  const auto feed = runtime_access{lone.node()}.audit();
  REQUIRE(feed);
  std::vector<std::thread> clients;
  for (int c = 0; c < 3; ++c)
    clients.emplace_back([&, c] {
      auto s = lone.node().open_session();
      for (int i = 0; i < 60; ++i) {
        const auto key = "k" + std::to_string(i % 3);
        (void)s.put("inventory", key, std::to_string(1'000 * c + i));
        (void)s.get("inventory", key);
        (void)s.add("inventory", key, 1);
        (void)s.compare_and_set("inventory", key, {.expected = "nothing", .value = "x"});
        (void)s.get("inventory", key);
        if (i % 10 == 0) (void)s.remove("inventory", key);
        (void)s.get("inventory", key);
      }
    });
  for (auto& c : clients)
    c.join();
  judge(lone.node());
  const auto& counts = feed->counts();
  CHECK(counts.operations == 3 * (60 * 6 + 6));
  CHECK(counts.dropped == 0);
  const auto& strong = counts.of(check::promise::linearizable);
  CHECK(strong.proved >= 3);
  CHECK(strong.refuted == 0);
  CHECK(strong.undecided == 0);
  CHECK(files_in(lone.folder() / "proofs", ".jsonl").empty());
}

TEST_CASE("auditor: the requests of a face are audited, too") {
  auto options = audited_node();
  options.admin = true;
  lone_runtime lone{options};
  std::optional<endpoint> at;
  runtime_access{lone.node()}.with_parts([&](assembly& parts) { at = parts.admin_address(); });
  REQUIRE(at);
  httplib::Client client{at->host, at->port};
  for (int i = 0; i < 5; ++i) {
    CHECK(client.Put("/v1/keys/inventory/k", std::to_string(i), "text/plain"));
    CHECK(client.Get("/v1/keys/inventory/k"));
  }
  judge(lone.node());
  const auto& counts = runtime_access{lone.node()}.audit()->counts();
  CHECK(counts.operations == 10);
  CHECK(counts.of(check::promise::linearizable).proved >= 1);
  const auto page = client.Get("/metrics");
  REQUIRE(page);
  CHECK(page->body.find(R"(troupe_audit_windows_total{level="strong",verdict="refuted"} 0)") != std::string::npos);
  CHECK(page->body.find("troupe_audit_operations_total 10") != std::string::npos);
}

TEST_CASE("auditor: a planted bad history is refuted: a proof in words and for troupe check, an alert, a count") {
  lone_runtime lone{audited_node()};
  const auto feed = runtime_access{lone.node()}.audit();
  const auto notices = std::make_shared<heard<alert_notice>>();
  runtime_access{lone.node()}.with_parts([&](assembly& parts) {
    caf::scoped_actor self{parts.system()};
    self->request(parts.actors().actors().monitor, 20s, subscribe_atom::value,
                  spawn_listener(parts.system(), notices))
        .receive([](bool taken) { CHECK(taken); }, [](const caf::error&) { FAIL("no answer"); });
  });
  feed->end(0, get(1, 0, 1));
  feed->end(0, get(2, 2, 3));
  feed->end(0, get(1, 4, 5)); // back
  judge(lone.node());
  const auto told = notices->wait_for(1);
  REQUIRE_FALSE(told.empty());
  CHECK(told[0].about.kind == "history_refuted");
  CHECK(told[0].about.severity == alert_severity::critical);
  CHECK(told[0].about.type == "inventory");
  CHECK(told[0].about.key == "inventory:k");
  CHECK(feed->counts().of(check::promise::linearizable).refuted == 1);
  const auto proofs = files_in(lone.folder() / "proofs", ".jsonl");
  REQUIRE(proofs.size() == 1);
  CHECK(told[0].about.detail.find(proofs[0].string()) != std::string::npos);
  std::ifstream lines{proofs[0]};
  std::ostringstream out, err;
  CHECK(check::check_linearizability(lines, out, err, {}) == static_cast<int>(check::check_exit::no));
  const auto words = files_in(lone.folder() / "proofs", ".txt");
  REQUIRE(words.size() == 1);
  CHECK(text_of(words[0]).find("inventory:k") != std::string::npos);
  CHECK(text_of(words[0]).find("troupe check linearizability") != std::string::npos);
  const auto log = [&] { return text_of(lone.log_file()); };
  while (log().find("audit.refuted") == std::string::npos)
    std::this_thread::yield();
}

TEST_CASE("auditor: a folder that cannot be written loses the file, not the alert") {
  auto options = audited_node();
  options.audit.directory = "log/proofs"; // the log is a file
  lone_runtime lone{options};
  const auto feed = runtime_access{lone.node()}.audit();
  feed->end(0, get(2, 0, 1));
  feed->end(0, get(1, 2, 3));
  judge(lone.node());
  CHECK(feed->counts().of(check::promise::linearizable).refuted == 1);
  CHECK(lone.node().status_json().find(R"("violations_served":1)") != std::string::npos);
}

TEST_CASE("auditor: half of the keys are sampled when the configuration says so") {
  auto options = audited_node();
  options.audit.sample = 0.5;
  lone_runtime lone{options};
  auto s = lone.node().open_session();
  for (int i = 0; i < 200; ++i)
    CHECK(s.put("inventory", std::to_string(i), "v"));
  judge(lone.node());
  const auto sampled = runtime_access{lone.node()}.audit()->counts().operations.load();
  CHECK(sampled > 60);
  CHECK(sampled < 140);
}

TEST_CASE("auditor: reads from memory of a node of a cluster are audited; writes of others are nobody's fault") {
  three_nodes cluster;
  cluster.base.audit = {1, 1s, cluster.folder.path / "proofs"};
  auto members = cluster.start_members();
  auto web = cluster.start("web");
  value_of(web.wait_ready(20s).map([] { return true; }));
  auto reader = web.open_session(), writer = members[1].open_session();
  std::size_t reads = 0;
  for (int i = 0; i < 200; ++i) {
    value_of(writer.put("inventory", "k", std::to_string(i)));
    for (int r = 0; r < 3; ++r, ++reads)
      value_of(reader.get("inventory", "k"));
  }
  judge(web);
  const auto& counts = runtime_access{web}.audit()->counts();
  CHECK(counts.operations == reads);
  CHECK(counts.of(check::promise::linearizable).refuted == 0);
  CHECK(counts.of(check::promise::linearizable).proved >= 1);
  std::uint64_t hits = 0;
  runtime_access{web}.with_parts([&](assembly& parts) { hits = parts.actors().memory()->count().hits; });
  CHECK(hits > 0);
}
