/// Reads from memory over a real cluster: three members and a client node in this process, connected over loopback.
#include <troupe/runtime.hpp>

#include "actors/layers/rocksdb_store.hpp"
#include "protocol/check/history.hpp"
#include "protocol/check/linearizability.hpp"
#include "runtime/config_file.hpp"
#include "runtime/faces/node_metrics.hpp"
#include "runtime/runtime_access.hpp"
#include "runtime/status.hpp"
#include "tests/actors/lone_runtime.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <thread>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

template <class T> T value_of(result<T> r) {
  if (!r) FAIL(r.error().message());
  return std::move(*r);
}

/// Three members, and as many client nodes as a test asks for.
class small_cluster {
public:
  explicit small_cluster(std::size_t memory_bytes_max = std::size_t{16} << 20) {
    base_ = example_config("eu-1");
    base_.shape.shards = 4;
    base_.shape.lease = 400ms;
    base_.resp.reset();
    base_.admin.reset();
    base_.deadline = 10s;
    base_.memory_bytes_max = memory_bytes_max;
    const auto ports = free_ports(base_.shape.members.size());
    for (std::size_t i = 0; i < ports.size(); ++i)
      base_.shape.members[i].port = ports[i];
    for (const auto& m : base_.shape.members) {
      rocksdb_options store;
      store.directory = folder_.path / m.name;
      store.cluster = base_.shape.name;
      store.node = m.id;
      if (auto made = create_store(store); !made) FAIL(made.error().what);
      members.push_back(start(m.name));
    }
    for (auto& m : members)
      if (auto ready = m.wait_ready(20s); !ready) FAIL(ready.error().message());
  }

  config of(std::string_view name) const {
    auto c = base_;
    c.name = name;
    const auto* m = c.shape.find(name);
    c.self = m == nullptr ? node_id{} : m->id;
    c.region = m == nullptr ? "eu" : m->region;
    c.directory = m == nullptr ? std::filesystem::path{} : folder_.path / name;
    c.log.file = folder_.path / (std::string{name} + ".log");
    return value_of(config::from_toml(print_config(c), name));
  }
  runtime start(std::string_view name) const { return value_of(runtime::start(of(name))); }
  runtime client(std::string_view name) const {
    auto started = start(name);
    if (auto ready = started.wait_ready(20s); !ready) FAIL(ready.error().message());
    return started;
  }
  const std::filesystem::path& folder() const { return folder_.path; }

private:
  test_folder folder_;
  node_config base_;

public:
  std::vector<runtime> members;
};

std::uint64_t memory_figure(const runtime& node, const char* name) {
  const auto status = nlohmann::json::parse(node.status_json());
  return status.at("memory").at(name).get<std::uint64_t>();
}
std::uint64_t hits_of(const runtime& node) { return memory_figure(node, "hits"); }

std::uint64_t frames_sent(const runtime& node) {
  std::uint64_t frames = 0;
  const auto status = nlohmann::json::parse(node.status_json());
  for (const auto& link : status.at("links"))
    frames += link.at("frames_sent").get<std::uint64_t>();
  return frames;
}

/// The same figure of all shards that the members are home of.
std::uint64_t home_figure(const std::vector<runtime>& members, const char* name) {
  std::uint64_t all = 0;
  for (const auto& m : members) {
    const auto status = nlohmann::json::parse(m.status_json());
    for (const auto& shard : status.at("shards"))
      all += shard.at(name).get<std::uint64_t>();
  }
  return all;
}

/// What the metrics say of reads that were done.
double metered_gets(const runtime& node) {
  for (const auto& family : runtime_access{node}.meter().collect())
    for (const auto& sample : family.metric)
      for (const auto& label : sample.label)
        if (family.name == "troupe_operations_total" && label.value == "inventory"
            && std::any_of(sample.label.begin(), sample.label.end(), [](const auto& l) { return l.value == "get"; })
            && std::any_of(sample.label.begin(), sample.label.end(), [](const auto& l) { return l.value == "done"; }))
          return sample.counter.value;
  return -1;
}

/// Reads until memory has answered one: a lock is refused while a write is under way.
void warm_up(const runtime& node, session& s, const std::string& key) {
  const auto before = hits_of(node);
  for (int i = 0; i < 1'000 && hits_of(node) == before; ++i)
    value_of(s.get("inventory", key));
  REQUIRE(hits_of(node) > before);
}

} // namespace

TEST_CASE("S1: a key is read from memory on every node, and a write from another one is what the next read sees") {
  const small_cluster cluster;
  auto web = cluster.client("web");
  std::vector<const runtime*> nodes{&web};
  for (const auto& m : cluster.members)
    nodes.push_back(&m);
  std::vector<session> sessions;
  for (const auto* n : nodes)
    sessions.push_back(const_cast<runtime*>(n)->open_session()); // NOLINT: sessions are opened by the owner
  value_of(sessions[0].put("inventory", "k", "0"));
  for (std::size_t i = 0; i < nodes.size(); ++i)
    warm_up(*nodes[i], sessions[i], "k");

  for (int round = 1; round <= 40; ++round) {
    const auto writer = static_cast<std::size_t>(round) % nodes.size();
    const auto written = value_of(sessions[writer].put("inventory", "k", std::to_string(round)));
    for (auto& s : sessions) {
      const auto read = value_of(s.get("inventory", "k"));
      REQUIRE(read);
      CHECK(read->value == std::to_string(round));
      CHECK(read->version == written.version);
    }
  }
  value_of(sessions[1].remove("inventory", "k"));
  for (auto& s : sessions)
    CHECK_FALSE(value_of(s.get("inventory", "k")));
}

TEST_CASE("memory: a hit sends nothing, in the blocking, the future and the callback form") {
  const small_cluster cluster;
  auto web = cluster.client("web");
  auto s = web.open_session();
  value_of(s.put("inventory", "k", "v"));
  warm_up(web, s, "k");
  const auto hits = hits_of(web);
  CHECK(value_of(s.get("inventory", "k"))->value == "v");
  auto future = s.async().get("inventory", "k");
  CHECK(future.wait_for(0s) == std::future_status::ready);
  CHECK(value_of(future.get())->value == "v");
  std::optional<std::string> told;
  s.async().get("inventory", "k", [&](result<std::optional<found>> r) { told = value_of(std::move(r))->value; });
  CHECK(told == "v"); // before the call returned
  CHECK(hits_of(web) == hits + 3);
  CHECK(metered_gets(web) >= 4);
  const auto metered = metered_gets(web);
  for (int i = 0; i < 100; ++i)
    value_of(s.get("inventory", "k"));
  CHECK(metered_gets(web) == metered + 100);
  CHECK(memory_figure(web, "leases") >= 1);
  CHECK(memory_figure(web, "entries") >= 1);
  CHECK(web.stop(10s));
  CHECK(s.get("inventory", "k").error().code() == errc::shutting_down);
}

TEST_CASE("memory: a thousand hits send no frame, but those of leases and heartbeats") {
  const small_cluster cluster;
  auto web = cluster.client("web");
  auto s = web.open_session();
  value_of(s.put("inventory", "k", "v"));
  warm_up(web, s, "k");
  // Renewals and heartbeats go on: in one of these rounds, most likely the first, nothing else was due.
  bool silent = false;
  for (int round = 0; round < 200 && !silent; ++round) {
    const auto frames = frames_sent(web);
    const auto hits = hits_of(web);
    for (int i = 0; i < 1'000; ++i)
      value_of(s.get("inventory", "k"));
    silent = hits_of(web) == hits + 1'000 && frames_sent(web) == frames;
  }
  CHECK(silent);
}

TEST_CASE("memory: a read that memory has no answer to counts as one miss, in every form") {
  const small_cluster cluster;
  auto web = cluster.client("web");
  auto s = web.open_session();
  const auto misses = memory_figure(web, "misses");
  CHECK_FALSE(value_of(s.get("inventory", "a")));
  CHECK(memory_figure(web, "misses") == misses + 1);
  CHECK_FALSE(value_of(s.async().get("inventory", "b").get()));
  CHECK(memory_figure(web, "misses") == misses + 2);
}

TEST_CASE("memory: homes say how many read locks they have given, in their status and their metrics") {
  const small_cluster cluster;
  CHECK(home_figure(cluster.members, "read_locks") == 0);
  auto web = cluster.client("web");
  auto s = web.open_session();
  value_of(s.put("inventory", "k", "v"));
  warm_up(web, s, "k");
  CHECK(home_figure(cluster.members, "holders") >= 1);
  CHECK(home_figure(cluster.members, "read_locks") >= 1);
  CHECK(home_figure(cluster.members, "read_lock_bytes") > 100);
  CHECK(home_figure(cluster.members, "recalls") == 0);
  double metered = 0;
  for (const auto& m : cluster.members)
    runtime_access{m}.with_parts([&](assembly& parts) {
      const auto status = ask_status(parts.system(), parts.actors(), parts.clock(), 5s);
      for (const auto& family : metrics_of(parts.actors().setup(), status, parts.store()))
        if (family.name == "troupe_home_read_locks") metered += family.metric.at(0).gauge.value;
    });
  CHECK(metered >= 1);
}

TEST_CASE("T1: a read behind this session's own open write on its key waits for it") {
  const small_cluster cluster;
  auto web = cluster.client("web");
  auto s = web.open_session();
  value_of(s.put("inventory", "k", "old"));
  for (int i = 0; i < 50; ++i) {
    warm_up(web, s, "k");
    const auto value = "new-" + std::to_string(i);
    auto put = s.async().put("inventory", "k", value);
    CHECK(value_of(s.get("inventory", "k"))->value == value);
    value_of(put.get());
  }
}

TEST_CASE("memory: none is kept where the configuration gives it no room") {
  const small_cluster cluster{0};
  auto s = const_cast<runtime&>(cluster.members[0]).open_session(); // NOLINT: the cluster owns it
  value_of(s.put("inventory", "k", "v"));
  CHECK(value_of(s.get("inventory", "k"))->value == "v");
  CHECK(nlohmann::json::parse(cluster.members[0].status_json()).count("memory") == 0);
}

TEST_CASE("S1: what threads of two nodes read from memory while others write stands in a linearizable history") {
  const small_cluster cluster;
  const auto file = cluster.folder() / "history.jsonl";
  {
    auto web = value_of(runtime::start(cluster.of("web").with_history(file)));
    if (auto ready = web.wait_ready(20s); !ready) FAIL(ready.error().message());
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&web, t] {
        auto s = web.open_session();
        for (int i = 0; i < 400; ++i) {
          const auto key = "k" + std::to_string(i % 3);
          if (t == 0 && i % 8 == 0)
            static_cast<void>(s.put("inventory", key, std::to_string(i)));
          else
            static_cast<void>(s.get("inventory", key));
        }
      });
    for (auto& t : threads)
      t.join();
    CHECK(hits_of(web) > 100);
    CHECK(web.stop(10s));
  }
  std::ifstream in{file};
  const auto history = check::read_history(in);
  if (!history) FAIL(check::to_string(history.error()));
  CHECK(history->operations.size() == 1'600);
  const auto report = check::check_linearizability(*history);
  REQUIRE(report);
  CHECK(report->result == check::verdict::yes);
}

TEST_CASE("a client node with unpromised copies reads them, takes no read lock, and its status says that the promise "
          "is off") {
  const small_cluster cluster;
  auto shape = std::make_shared<node_config>(cluster.of("web").checked());
  const lease_generation generation{.era = {.round = 1, .node = {1}, .life = {1}}, .n = 1};
  shape->unpromised = std::make_shared<memory_table>(memory_table::options{});
  REQUIRE(shape->unpromised->set_lease({0}, generation, never));
  auto web = value_of(runtime::start(config{shape}));
  REQUIRE(web.wait_ready(20s));
  auto s = web.open_session();
  value_of(s.put("inventory", "k", "new"));
  CHECK(value_of(s.get("inventory", "k"))->value == "new"); // there is no copy of it
  REQUIRE(shape->unpromised->publish({.key = stored_key("inventory", "k"),
                                      .home = {0},
                                      .generation = generation,
                                      .at = {.era = generation.era, .counter = 1},
                                      .value = "stale"})
          == published::done);
  CHECK(value_of(s.get("inventory", "k"))->value == "stale");

  const auto status = nlohmann::json::parse(web.status_json());
  CHECK(status["promise"] == "off");
  CHECK_FALSE(status.contains("memory"));
  CHECK_FALSE(nlohmann::json::parse(cluster.members[0].status_json()).contains("promise"));
  std::ifstream log{cluster.folder() / "web.log"};
  const std::string said{std::istreambuf_iterator<char>{log}, {}};
  CHECK(said.find("node.no_promise") != std::string::npos);
  // Nor can a file say it: what is printed is all that can be read.
  CHECK(config{shape}.toml() == cluster.of("web").toml());
}
