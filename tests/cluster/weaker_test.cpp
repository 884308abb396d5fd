/// The weaker levels on real processes: sessions that move, nodes that are killed, what was acknowledged.
#include "tests/support/cluster.hpp"

#include <troupe/runtime.hpp>

#include <doctest/doctest.h>

#include <cstdint>
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
  test_cluster cluster{[] {
    cluster_options options;
    options.shards = 16;
    options.deadline_ms = 20'000;
    options.shape = types;
    return options;
  }()};

  weaker_cluster() { REQUIRE(cluster.start()); }

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
