/// The monitor as an actor: who is told of what, and what the node says about it in its log, status and metrics.
#include "actors/monitor.hpp"

#include "runtime/faces/node_metrics.hpp"
#include "runtime/runtime_access.hpp"
#include "tests/actors/alert_listener.hpp"
#include "tests/actors/lone_runtime.hpp"

#include <doctest/doctest.h>

#include <caf/actor_system.hpp>
#include <caf/scoped_actor.hpp>

#include <prometheus/text_serializer.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

struct lone_monitor {
  struct config_of_types : caf::actor_system_config {
    config_of_types() { register_types(*this); }
  };
  boot_clock clock;
  config_of_types config;
  caf::actor_system system{config};
  std::shared_ptr<heard<alert_notice>> function_heard = std::make_shared<heard<alert_notice>>();
  monitor_actor monitor;
  caf::scoped_actor self{system};

  explicit lone_monitor(violation_ledger::options options = {},
                        std::function<std::vector<operation_tally>(instant)> tallies = {}) {
    monitor_config c;
    c.context.clock = &clock;
    c.options = options;
    c.listeners.emplace_back([into = function_heard](const alert_notice& n) { into->add(n); });
    c.tallies = std::move(tallies);
    c.tally_interval = 5ms;
    monitor = spawn_monitor(system, std::move(c));
    caf::anon_send(monitor, start_atom::value);
  }
  ~lone_monitor() { caf::anon_send_exit(monitor, caf::exit_reason::kill); }

  bool subscribe(const alert_listener_actor& who) {
    bool taken = false;
    self->request(monitor, 20s, subscribe_atom::value, who)
        .receive([&](bool t) { taken = t; }, [](const caf::error&) { FAIL("no answer"); });
    return taken;
  }
  monitor_status status() {
    monitor_status s;
    self->request(monitor, 20s, status_atom::value)
        .receive([&](const monitor_status& answer) { s = answer; }, [](const caf::error&) { FAIL("no answer"); });
    return s;
  }
};

violation_event served(std::string type) {
  violation_event v;
  v.kind = violation_kind::dependency_missing;
  v.end = violation_end::served;
  v.given = level::causal;
  v.type = std::move(type);
  return v;
}

} // namespace

TEST_CASE("monitor: functions and actors that have subscribed hear of an alert, from raised to resolved") {
  lone_monitor m{{.fold = 20ms, .resolve = 100ms}};
  const auto actor_heard = std::make_shared<heard<alert_notice>>();
  const auto listener = spawn_listener(m.system, actor_heard);
  CHECK(m.subscribe(listener));
  CHECK(m.subscribe(listener)); // once more is once
  CHECK_FALSE(m.subscribe(alert_listener_actor{}));
  CHECK(m.status().listeners == 1);
  caf::anon_send(m.monitor, served("cart"));
  caf::anon_send(m.monitor, served("cart"));
  const auto over = [](const std::vector<alert_notice>& all) {
    return !all.empty() && all.back().turn == alert_turn::resolved;
  };
  for (const auto& all : {actor_heard->wait_until(over), m.function_heard->wait_until(over)}) {
    REQUIRE(all.size() == 3);
    CHECK(all[0].turn == alert_turn::raised);
    CHECK(all[1].turn == alert_turn::repeated);
    CHECK(all[2].about.count == 2);
  }
  const auto status = m.status();
  REQUIRE(status.found.size() == 1);
  CHECK(status.found[0].second == 2);
  CHECK(status.found[0].first.type == "cart");
  CHECK(status.alerts_active == 0);
  CHECK(status.notices == 3);
}

TEST_CASE("X1: monitor: subscribers are bounded, and one that has ended makes room") {
  lone_monitor m;
  const auto into = std::make_shared<heard<alert_notice>>();
  std::vector<alert_listener_actor> all;
  for (std::size_t i = 0; i < alert_listeners_max; ++i) {
    all.push_back(spawn_listener(m.system, into));
    CHECK(m.subscribe(all.back()));
  }
  const auto another = spawn_listener(m.system, into);
  CHECK_FALSE(m.subscribe(another));
  caf::anon_send_exit(all.front(), caf::exit_reason::user_shutdown);
  while (m.status().listeners == alert_listeners_max)
    std::this_thread::yield();
  CHECK(m.subscribe(another));
}

TEST_CASE("monitor: it asks for the operations that have ended, and an error rate above the target is an alert") {
  std::atomic<int> asked{0};
  lone_monitor m{{.operations_min = 100}, [&](instant now) {
                   ++asked;
                   return std::vector<operation_tally>{{level::strong, 100, 1, now}, {level::eventual, 300, 1, now}};
                 }};
  const auto told = m.function_heard->wait_for(1);
  REQUIRE_FALSE(told.empty());
  CHECK(told[0].about.name == "success_rate_missed");
  CHECK(told[0].about.given == level::strong);
  const auto so_far = asked.load();
  while (asked < so_far + 3)
    std::this_thread::yield();
  CHECK(m.function_heard->all().size() == 1); // folded
}

TEST_CASE("monitor: conflicts and repairs are counted by type") {
  lone_monitor m;
  caf::anon_send(m.monitor, conflict_event{"cart", 2});
  caf::anon_send(m.monitor, conflict_event{"cart", 3});
  caf::anon_send(m.monitor, repair_event{"", 4});
  for (int i = 0; i < 2'000; ++i)
    caf::anon_send(m.monitor, conflict_event{"type" + std::to_string(i), 1});
  while (m.status().conflicts.size() < 1'025)
    std::this_thread::yield();
  caf::scoped_actor self{m.system};
  const auto status = m.status();
  CHECK(status.conflicts.size() == 1'025); // X1: beyond so many, together
  CHECK(status.conflicts[0].first == "*");
  CHECK(status.conflicts[1] == std::pair<std::string, std::uint64_t>{"cart", 5});
  CHECK(status.repairs == std::vector<std::pair<std::string, std::uint64_t>>{{"", 4}});
}

TEST_CASE("monitor: a node's log, status and metrics say what was found") {
  lone_runtime lone{{.log = {}, .alerts = {.webhook = "", .fold = 1s, .resolve = 1s, .instance = ""}, .audit = {}}};
  std::string text;
  runtime_access{lone.node()}.with_parts([&](assembly& parts) {
    const auto& monitor = parts.actors().actors().monitor;
    caf::anon_send(monitor, served("cart"));
    caf::anon_send(monitor, conflict_event{"cart", 2});
    const auto status = ask_status(parts.system(), parts.actors(), parts.clock(), 20s);
    REQUIRE(status.monitor);
    text = prometheus::TextSerializer{}.Serialize(metrics_of(parts.actors().setup(), status, parts.store()));
  });
  CHECK(text.find(R"(troupe_violations_total{kind="dependency_missing",end="served",type="cart",level="causal"} 1)")
        != std::string::npos);
  CHECK(text.find(R"(troupe_conflicts_total{type="cart"} 2)") != std::string::npos);
  CHECK(text.find("troupe_alerts_active 1") != std::string::npos);
  CHECK(lone.node().status_json().find(R"("violations_served":1)") != std::string::npos);
  const auto log = [&] {
    std::ostringstream all;
    all << std::ifstream{lone.log_file()}.rdbuf();
    return all.str();
  };
  while (log().find("alert.resolved") == std::string::npos)
    std::this_thread::yield();
  CHECK(log().find("alert.raised name=violation_served severity=critical kind=dependency_missing type=cart "
                   "level=causal count=1 since=1")
        != std::string::npos);
}
