/// The weaker levels on real processes: sessions that move, nodes that are killed, what was acknowledged.
#include "actors/layers/rocksdb_store.hpp"
#include "protocol/cluster.hpp"
#include "tests/support/cluster.hpp"

#include <troupe/runtime.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <future>
#include <map>
#include <string>

using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

/// Three nodes in three regions; data that another node has on disk when it is acknowledged.
constexpr const char* types = R"([types.questions]
level = "causal"
ack = "one_remote"

[types.carts]
level = "session"
ack = "one_remote"

[types.views]
level = "eventual"
resolver = "counter"

[types.pages]
level = "eventual"
)";

troupe::call_options patient() { return {.deadline = 20s}; }

struct weaker_cluster {
  test_cluster cluster;

  explicit weaker_cluster(const std::string& shape = types)
      : cluster{{.shards = 16, .deadline_ms = 20'000, .shape = shape}} {
    REQUIRE(cluster.start());
  }

  /// A client node in this process, in the region of that node.
  troupe::runtime client(std::size_t node) {
    auto started = troupe::runtime::start(troupe::config::from_toml(toml(node), "client"));
    REQUIRE_MESSAGE(started, (started ? "" : started.error().message()));
    REQUIRE(started->wait_ready(20s));
    return std::move(*started);
  }

private:
  std::string toml(std::size_t node) const {
    auto text = cluster.client_toml("client-" + std::to_string(node));
    const std::string r1 = "region = \"r1\"";
    const auto at = text.rfind(r1);
    REQUIRE(at != std::string::npos);
    return text.replace(at, r1.size(), "region = \"r" + std::to_string(node + 1) + "\"");
  }
};

nlohmann::json status_of(const test_node& node, const char* path) {
  const auto status = nlohmann::json::parse(node.ask("/v1/status").value_or("{}"), nullptr, false);
  const nlohmann::json::json_pointer at{path};
  return status.contains(at) ? status[at] : nlohmann::json{};
}

/// What a disk may do that has said that it has them: records are gone from the store of a node that does not run.
void lose_records(const std::filesystem::path& store, const std::vector<std::string>& keys) {
  troupe::rocksdb_options options;
  options.directory = store;
  options.cluster = "test";
  options.node = {3};
  auto opened = troupe::open_store(options);
  REQUIRE_MESSAGE(opened.has_value(), (opened ? "" : opened.error().what));
  std::vector<troupe::store_write> erased;
  for (const auto& key : keys)
    erased.emplace_back(troupe::weak_erase{troupe::shard_of(key, 16), key});
  std::promise<troupe::errc> done;
  (*opened)->persist(std::move(erased), [&](troupe::errc e) { done.set_value(e); });
  REQUIRE(done.get_future().get() == troupe::errc::none);
}

std::int64_t number_of(const troupe::result<std::optional<troupe::found>>& read) {
  return read && *read ? std::stoll((*read)->value) : 0;
}

} // namespace

TEST_CASE(
    "T1, T2, C1: a session goes on in another region when its node has been killed, and finds all it had seen") {
  weaker_cluster c;
  auto here = c.client(0);
  auto there = c.client(2);
  std::string token;
  {
    auto shopper = here.open_session();
    for (int n = 1; n <= 20; ++n) {
      REQUIRE(shopper.put("questions", "q", std::to_string(n), patient()));
      REQUIRE(shopper.put("questions", "a", std::to_string(n), patient()));
      REQUIRE(shopper.put("carts", "mine", std::to_string(n), patient()));
    }
    CHECK(number_of(shopper.get("carts", "mine", patient())) == 20);
    auto seen = shopper.token();
    REQUIRE(seen);
    token = *seen;
  }
  c.cluster.node(0).kill9();
  auto moved = there.open_session({.token = token});
  CHECK(number_of(moved.get("carts", "mine", patient())) == 20);
  CHECK(number_of(moved.get("questions", "a", patient())) == 20);
  CHECK(number_of(moved.get("questions", "q", patient())) == 20);
  CHECK(moved.put("carts", "mine", "21", patient())); // without the node that is gone

  c.cluster.node(0).start();
  REQUIRE(c.cluster.node(0).wait_ready(20s));
  auto seen = moved.token();
  REQUIRE(seen);
  auto back = here.open_session({.token = *seen});
  CHECK(number_of(back.get("carts", "mine", patient())) == 21);
}

TEST_CASE("C1: whoever reads an answer finds its question, while nodes are stopped and killed") {
  weaker_cluster c;
  auto writer_node = c.client(0);
  auto reader_node = c.client(1);
  auto writer = writer_node.open_session();
  int read = 0, numbers = 0;
  for (int n = 1; n <= 60; ++n) {
    if (n == 20) c.cluster.node(2).stop();
    if (n == 40) c.cluster.node(2).cont();
    if (n == 45) c.cluster.node(2).kill9();
    REQUIRE(writer.put("questions", "q", std::to_string(n), patient()));
    REQUIRE(writer.put("questions", "a", std::to_string(n), patient()));
    auto reader = reader_node.open_session(); // knows nothing but what it reads
    const auto answer = reader.get("questions", "a", patient());
    REQUIRE(answer);
    const auto question = reader.get("questions", "q", patient());
    REQUIRE(question);
    CHECK(number_of(question) >= number_of(answer));
    ++read;
    numbers = static_cast<int>(number_of(answer));
  }
  CHECK(read == 60);
  CHECK(numbers > 1); // what the other region wrote does arrive
}

TEST_CASE("D1, E1, E2: all nodes are killed at once, and come back with every update that was acknowledged") {
  weaker_cluster c;
  auto client = c.client(1);
  std::int64_t acknowledged = 0, unknown = 0;
  {
    auto s = client.open_session();
    for (int n = 1; n <= 100; ++n) {
      const auto counted = s.add("views", "page", 1, {.deadline = 20s});
      if (counted)
        ++acknowledged;
      else if (counted.error().unknown())
        ++unknown;
      REQUIRE(s.put("carts", "cart-" + std::to_string(n % 10), std::to_string(n), patient()));
      REQUIRE(s.put("pages", "home", std::to_string(n), patient()));
    }
    REQUIRE(acknowledged > 0);
  }
  for (std::size_t i = 0; i < c.cluster.size(); ++i)
    c.cluster.node(i).kill9();
  for (std::size_t i = 0; i < c.cluster.size(); ++i)
    c.cluster.node(i).start();
  for (std::size_t i = 0; i < c.cluster.size(); ++i)
    REQUIRE(c.cluster.node(i).wait_ready(20s));

  // Every region has its own replica; they agree once everything has arrived.
  for (std::size_t region = 0; region < c.cluster.size(); ++region) {
    CAPTURE(region);
    auto asked = c.client(region);
    auto s = asked.open_session();
    const auto complete = [&] {
      const auto views = number_of(s.get("views", "page", patient()));
      if (views < acknowledged || views > acknowledged + unknown) return false;
      if (number_of(s.get("pages", "home", patient())) != 100) return false;
      for (int n = 91; n <= 100; ++n)
        if (number_of(s.get("carts", "cart-" + std::to_string(n % 10), patient())) != n) return false;
      return true;
    };
    CHECK(wait_until(complete, 20s));
  }
}

TEST_CASE("D1, E1, C1: a node that was away for longer than the logs reach copies records, and then has everything") {
  weaker_cluster c{std::string{types} + "[streams]\nlog_bytes_max = 262144\n"};
  auto& away = c.cluster.node(2);
  auto writer_node = c.client(0);
  auto reader_node = c.client(2);
  auto writer = writer_node.open_session();
  const std::string padding(8'000, '.');
  const auto write_all = [&](int round) {
    for (int n = 0; n < 60; ++n) {
      const auto value = std::to_string(1'000 * round + n) + padding;
      REQUIRE(writer.put("questions", "q" + std::to_string(n), value, patient()));
      REQUIRE(writer.put("pages", "p" + std::to_string(n), value, patient()));
    }
    REQUIRE(writer.put("questions", "done", std::to_string(round), patient()));
  };
  write_all(1);
  away.kill9();
  write_all(2);
  write_all(3);
  for (const auto* cut : {"stream.log_cut life=1 lane=ordered", "stream.log_cut life=1 lane=free"})
    CHECK(wait_until([&] { return c.cluster.node(0).log().find(cut) != std::string::npos; }, 20s));
  c.cluster.node(0).kill9(); // or it still has in memory what is in its log no more
  c.cluster.node(0).start();
  REQUIRE(c.cluster.node(0).wait_ready(20s));

  away.start();
  REQUIRE(away.wait_ready(20s));
  const auto is_whole = [&] {
    return status_of(away, "/streams/replica/copied") > 0
           && status_of(away, "/streams/replica/closed_until_copied") == false;
  };
  CHECK(wait_until(is_whole, 20s));
  CHECK(away.log().find("stream.copied") != std::string::npos);

  // It answers by itself, and goes on to get what is written.
  const auto complete = [&](int round) {
    return wait_until(
        [&] {
          auto reader = reader_node.open_session(); // knows nothing
          if (number_of(reader.get("questions", "done", patient())) != round) return false;
          for (int n = 0; n < 60; ++n) {
            const auto wanted = 1'000 * round + n;
            // Whoever sees the last one sees all that came before it.
            CHECK(number_of(reader.get("questions", "q" + std::to_string(n), patient())) == wanted);
            if (number_of(reader.get("pages", "p" + std::to_string(n), patient())) != wanted) return false;
          }
          return true;
        },
        20s);
  };
  CHECK(complete(3));
  write_all(4);
  CHECK(complete(4));
  // Once the others count it again, it needs none of them.
  CHECK(wait_until([&] { return status_of(away, "/view/nodes/2/out") == false; }, 20s));
  c.cluster.node(0).stop();
  c.cluster.node(1).stop();
  CHECK(complete(4));
  c.cluster.node(0).cont();
  c.cluster.node(1).cont();
}

TEST_CASE("E1: a node whose disk has lost records without a trace finds out, and takes them from another one") {
  weaker_cluster c{std::string{types} + "[streams]\ncompare_s = 4\n"};
  auto& node = c.cluster.node(2);
  std::vector<std::string> lost;
  {
    auto client = c.client(2);
    auto session = client.open_session();
    for (int n = 1; n <= 60; ++n) {
      REQUIRE(session.put("questions", "q" + std::to_string(n), std::to_string(n), patient()));
      REQUIRE(session.put("pages", "p" + std::to_string(n), std::to_string(n), patient()));
      if (n % 6 == 0) lost.push_back("questions:q" + std::to_string(n));
      if (n % 6 == 3) lost.push_back("pages:p" + std::to_string(n));
    }
  }
  // All is compared, and nothing found to be wrong, when it is part of the records everywhere.
  const auto compared = [&] { return status_of(node, "/streams/replica/compared"); };
  CHECK(wait_until([&] { return status_of(node, "/streams/replica/unfolded_bytes") == 0; }, 20s));
  const auto before = compared().get<int>();
  CHECK(wait_until([&] { return compared() >= before + 2 * 16; }, 40s));
  for (const auto* none : {"hashes_doubted", "records_differed", "damaged"})
    CHECK(status_of(node, (std::string{"/streams/replica/"} + none).c_str()) == 0);

  node.kill9();
  lose_records(node.folder / "store", lost);
  node.start();
  REQUIRE(node.wait_ready(20s));
  const auto mended = [&] {
    return status_of(node, "/streams/replica/repaired") == lost.size()
           && status_of(node, "/streams/replica/damaged_keys") == 0;
  };
  CHECK(wait_until(mended, 60s));
  CHECK(status_of(node, "/streams/replica/records_differed") == 0); // it was known who is wrong
  for (const std::size_t other : {0, 1})
    CHECK(status_of(c.cluster.node(other), "/streams/replica/damaged") == 0);

  auto reader_node = c.client(2);
  auto reader = reader_node.open_session();
  c.cluster.node(0).stop();
  c.cluster.node(1).stop();
  for (int n = 1; n <= 60; ++n) {
    CHECK(number_of(reader.get("questions", "q" + std::to_string(n), patient())) == n);
    CHECK(number_of(reader.get("pages", "p" + std::to_string(n), patient())) == n);
  }
  c.cluster.node(0).cont();
  c.cluster.node(1).cont();
}
