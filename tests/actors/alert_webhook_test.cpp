/// Alerts on their way to an Alertmanager-compatible receiver, which is a real HTTP server here.
#include "runtime/faces/alert_webhook.hpp"

#include "runtime/runtime_access.hpp"
#include "tests/actors/alert_listener.hpp"
#include "tests/actors/lone_runtime.hpp"

#include <doctest/doctest.h>

#include <caf/send.hpp>

#include <memory>
#include <regex>
#include <set>
#include <string>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

const boot_clock the_clock;

alert_notice notice_of(alert_turn turn, std::string key = "inventory:k") {
  const auto now = the_clock.now();
  alert_notice n;
  n.turn = turn;
  n.at = now;
  n.about.name = "violation_served";
  n.about.severity = alert_severity::critical;
  n.about.kind = "checksum";
  n.about.type = "inventory";
  n.about.given = level::strong;
  n.about.summary = "served: damaged bytes";
  n.about.key = std::move(key);
  n.about.detail = "of \"3\" copies";
  n.about.began = now - 90s;
  n.about.last = now;
  n.about.count = 5;
  n.about.since = 2;
  return n;
}

webhook_options options_for(const std::string& url) {
  webhook_options options;
  options.address = webhook_address_in(url).value();
  options.labels = {{"node", "eu-1"}, {"cluster", "shop"}, {"region", "eu"}, {"instance", ""}};
  options.external_url = "http://127.0.0.1:7481";
  options.connect_timeout = 1s;
  options.answer_timeout = 1s;
  options.retry_first = 5ms;
  options.retry_max = 50ms;
  return options;
}

std::string key_of(const std::string& body) {
  return json::parse(body)["alerts"][0]["annotations"]["key"].get<std::string>();
}

bool is_time(const std::string& text) {
  return std::regex_match(text, std::regex{R"(20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ)"});
}

} // namespace

TEST_CASE("webhook: URLs are http or https, with a host") {
  CHECK(webhook_address_in("http://host:9093/a/b?c=d")->origin == "http://host:9093");
  CHECK(webhook_address_in("http://host:9093/a/b?c=d")->path == "/a/b?c=d");
  CHECK(webhook_address_in("https://host")->path == "/");
  CHECK(webhook_address_in("http://[::1]:9093/x")->origin == "http://[::1]:9093");
  CHECK(webhook_address_in("http://[::1]/x"));
  for (const auto* wrong : {"", "host:9093", "ftp://host/", "http://", "http:///path", "http://:80/",
                            "http://host:0/", "http://host:x/", "http://host:70000/", "http://::1:80/",
                            "http://ho st/", "http://h/a b", "http://user@host/", "http://host/#x", "http://host?x"})
    CHECK_FALSE(webhook_address_in(wrong));
}

TEST_CASE("webhook: the body is what version 4 of Alertmanager's webhook says, field by field") {
  hook_server listener;
  alert_webhook webhook{options_for(listener.url()), the_clock, nullptr};
  webhook.post(notice_of(alert_turn::raised));
  webhook.post(notice_of(alert_turn::resolved));
  const auto bodies = listener.bodies.wait_for(2);
  REQUIRE(bodies.size() == 2);
  CHECK(listener.content_types().front() == "application/json");
  const auto body = json::parse(bodies[0]);
  const json labels{{"alertname", "troupe_violation_served"},
                    {"severity", "critical"},
                    {"kind", "checksum"},
                    {"type", "inventory"},
                    {"level", "strong"},
                    {"node", "eu-1"},
                    {"cluster", "shop"},
                    {"region", "eu"}};
  const json annotations{{"summary", "served: damaged bytes"},
                         {"description", "of \"3\" copies"},
                         {"key", "inventory:k"},
                         {"count", "5"},
                         {"since", "2"}};
  std::set<std::string> fields;
  for (const auto& [name, value] : body.items())
    fields.insert(name);
  CHECK(fields
        == std::set<std::string>{"version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels",
                                 "commonLabels", "commonAnnotations", "externalURL", "alerts"});
  CHECK(body["version"] == "4");
  CHECK(body["groupKey"] == "{}:{alertname=\"troupe_violation_served\"}");
  CHECK(body["truncatedAlerts"] == 0);
  CHECK(body["status"] == "firing");
  CHECK(body["receiver"] == "troupe");
  CHECK(body["groupLabels"] == json{{"alertname", "troupe_violation_served"}});
  CHECK(body["commonLabels"] == labels);
  CHECK(body["commonAnnotations"] == annotations);
  CHECK(body["externalURL"] == "http://127.0.0.1:7481");
  REQUIRE(body["alerts"].size() == 1);
  const auto& alert = body["alerts"][0];
  CHECK(alert.size() == 7);
  CHECK(alert["status"] == "firing");
  CHECK(alert["labels"] == labels);
  CHECK(alert["annotations"] == annotations);
  CHECK(is_time(alert["startsAt"].get<std::string>()));
  CHECK(alert["endsAt"] == "0001-01-01T00:00:00Z");
  CHECK(alert["generatorURL"] == "http://127.0.0.1:7481/metrics");
  CHECK(std::regex_match(alert["fingerprint"].get<std::string>(), std::regex{"[0-9a-f]{16}"}));
  const auto over = json::parse(bodies[1]);
  CHECK(over["status"] == "resolved");
  CHECK(over["alerts"][0]["status"] == "resolved");
  CHECK(is_time(over["alerts"][0]["endsAt"].get<std::string>()));
  CHECK(over["alerts"][0]["endsAt"].get<std::string>() > over["alerts"][0]["startsAt"].get<std::string>());
  CHECK(over["alerts"][0]["fingerprint"] == alert["fingerprint"]);
}

TEST_CASE("webhook: alerts of other labels have other fingerprints, and bytes that are no text are no trouble") {
  alert_webhook webhook{options_for("http://127.0.0.1:1/"), the_clock, nullptr};
  auto other = notice_of(alert_turn::raised);
  other.about.type = "orders";
  const auto of = [&](const alert_notice& n) {
    return json::parse(webhook.body_of(n))["alerts"][0]["fingerprint"].get<std::string>();
  };
  CHECK(of(other) != of(notice_of(alert_turn::raised)));
  CHECK(of(notice_of(alert_turn::raised, "another")) == of(notice_of(alert_turn::resolved)));
  CHECK(json::accept(webhook.body_of(notice_of(alert_turn::raised, "\xFF\xFE\"\\\n"))));
}

TEST_CASE("webhook: what is told while the listener is down arrives when it is up, all of it and in order") {
  const auto port = free_ports(1).front();
  alert_webhook webhook{options_for("http://127.0.0.1:" + std::to_string(port) + "/hook"), the_clock, nullptr};
  for (int i = 0; i < 50; ++i)
    webhook.post(notice_of(alert_turn::raised, std::to_string(i)));
  while (webhook.count().failed < 3)
    std::this_thread::yield();
  CHECK(webhook.count().waiting == 50);
  hook_server listener{port};
  const auto bodies = listener.bodies.wait_for(50);
  REQUIRE(bodies.size() == 50);
  for (int i = 0; i < 50; ++i)
    CHECK(key_of(bodies[static_cast<std::size_t>(i)]) == std::to_string(i));
  CHECK(webhook.count().dropped == 0);
}

TEST_CASE("webhook: an answer of 5xx is asked again; what is refused is given up, and the next one sent") {
  hook_server listener;
  listener.answer_with(503);
  alert_webhook webhook{options_for(listener.url()), the_clock, nullptr};
  webhook.post(notice_of(alert_turn::raised, "first"));
  CHECK(listener.bodies.wait_for(3).size() >= 3);
  listener.answer_with(400);
  while (webhook.count().refused == 0)
    std::this_thread::yield();
  listener.answer_with(204);
  webhook.post(notice_of(alert_turn::raised, "second"));
  const auto bodies =
      listener.bodies.wait_until([](const auto& all) { return !all.empty() && key_of(all.back()) == "second"; });
  CHECK(key_of(bodies.back()) == "second");
  while (webhook.count().waiting > 0)
    std::this_thread::yield();
  CHECK(webhook.count().sent == 1);
  CHECK(webhook.count().refused == 1);
  CHECK(webhook.count().failed >= 3);
}

TEST_CASE("X1: webhook: what waits is bounded; repetitions are dropped before beginnings and ends, and counted") {
  auto options = options_for("http://127.0.0.1:" + std::to_string(free_ports(1).front()) + "/hook");
  options.waiting_max = 4;
  options.retry_first = options.retry_max = 1h;
  alert_webhook webhook{options, the_clock, nullptr};
  webhook.post(notice_of(alert_turn::raised, "1"));
  webhook.post(notice_of(alert_turn::repeated, "2"));
  webhook.post(notice_of(alert_turn::repeated, "3"));
  webhook.post(notice_of(alert_turn::raised, "4"));
  CHECK(webhook.count().dropped == 0);
  webhook.post(notice_of(alert_turn::repeated, "5")); // itself
  webhook.post(notice_of(alert_turn::resolved, "6")); // instead of 2
  webhook.post(notice_of(alert_turn::raised, "7"));   // instead of 3
  webhook.post(notice_of(alert_turn::resolved, "8")); // itself: there is nothing less
  CHECK(webhook.count().dropped == 4);
  CHECK(webhook.count().waiting == 4);
  webhook.stop();
  CHECK(webhook.count().dropped == 8);
  webhook.post(notice_of(alert_turn::raised, "9"));
  CHECK(webhook.count().dropped == 9);
}

TEST_CASE("webhook: a listener that does not answer holds up nobody, not even the end") {
  hook_server listener;
  listener.hold(true);
  auto options = options_for(listener.url());
  options.answer_timeout = 1h;
  alert_webhook webhook{options, the_clock, nullptr};
  webhook.post(notice_of(alert_turn::raised));
  listener.wait_begun(1);
  for (int i = 0; i < 200; ++i)
    webhook.post(notice_of(alert_turn::raised));
  CHECK(webhook.count().waiting == 201);
  webhook.stop();
  CHECK(webhook.count().dropped == 201);
}

TEST_CASE("webhook: a listener that answers too late is asked again") {
  hook_server listener;
  listener.hold(true);
  auto options = options_for(listener.url());
  options.answer_timeout = 50ms;
  alert_webhook webhook{options, the_clock, nullptr};
  webhook.post(notice_of(alert_turn::raised));
  listener.wait_begun(2);
  listener.hold(false);
  while (webhook.count().sent == 0)
    std::this_thread::yield();
  CHECK(webhook.count().failed >= 1);
}

TEST_CASE("webhook: a node posts its alerts: raised, repeated with what happened since, resolved") {
  hook_server listener;
  lone_runtime lone{{.admin = true,
                     .log = {},
                     .alerts = {.webhook = listener.url(), .fold = 1s, .resolve = 2s, .instance = "blue"},
                     .audit = {}}};
  const auto tell = [&](std::uint64_t count) {
    runtime_access{lone.node()}.with_parts([&](assembly& parts) {
      violation_event v;
      v.kind = violation_kind::session_went_back;
      v.end = violation_end::served;
      v.given = level::session;
      v.type = "cart";
      v.count = count;
      caf::anon_send(parts.actors().actors().monitor, v);
    });
  };
  tell(1);
  tell(2);
  const auto bodies = listener.bodies.wait_for(3);
  REQUIRE(bodies.size() == 3);
  std::string statuses, since;
  for (const auto& text : bodies) {
    const auto body = json::parse(text);
    statuses += body["status"].get<std::string>() + " ";
    since += body["alerts"][0]["annotations"]["since"].get<std::string>() + " ";
    CHECK(body["commonLabels"]["instance"] == "blue");
    CHECK(body["commonLabels"]["node"] == "eu-1");
    CHECK(body["commonLabels"]["kind"] == "session_went_back");
  }
  CHECK(statuses == "firing firing resolved ");
  CHECK(since == "1 2 0 ");
}
