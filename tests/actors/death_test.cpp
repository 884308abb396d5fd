/// A node of which one actor dies of itself: the others end with it, loudly, and no caller waits for them.
#include <troupe/runtime.hpp>

#include "runtime/runtime_access.hpp"
#include "tests/actors/lone_runtime.hpp"

#include <caf/send.hpp>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <iterator>
#include <string>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

TEST_CASE(
    "node: when one of its actors dies, whoever waits is answered at once, and so is everybody who comes later") {
  lone_runtime lone;
  auto& node = lone.node();
  auto s = node.open_session(), other = node.open_session();
  REQUIRE(s.put("inventory", "k", "v"));
  const auto held = s.lock("inventory", "order", {.ttl = 1h});
  REQUIRE(held);
  auto waiting = other.async().lock("inventory", "order", {.ttl = 1h, .deadline = 30min});
  REQUIRE(waiting.wait_for(100ms) == std::future_status::timeout);

  runtime_access{node}.with_parts([](assembly& parts) {
    caf::anon_send_exit(parts.actors().actors().memory_layer,
                        caf::exit_reason::unknown); // as an exception would end it
  });
  REQUIRE(waiting.wait_for(20s) == std::future_status::ready);
  CHECK(waiting.get().error().code() == errc::timeout); // unknown: it may have been granted
  const auto late = s.put("inventory", "k", "w", {.deadline = 30min});
  REQUIRE_FALSE(late);
  CHECK(late.error().not_done());
  CHECK_FALSE(other.get("inventory", "never read before", {.deadline = 30min}));
  CHECK_FALSE(node.open_session().put("inventory", "k", "w", {.deadline = 30min}));

  const auto status = nlohmann::json::parse(node.status_json());
  CHECK_FALSE(status.at("ready").get<bool>());
  CHECK(status.at("not_ready_because").get<std::string>().find("died") != std::string::npos);
  CHECK(node.stop(10s));
  std::ifstream log{lone.log_file()};
  const std::string said{std::istreambuf_iterator<char>{log}, {}};
  CHECK(said.find("node.actor_died") != std::string::npos);
}
