/// Named locks by HTTP: who gets one, who waits, what a token lets through, and what a request may not ask for.
#include "protocol/limits.hpp"
#include "runtime/faces/admin_http.hpp"
#include "runtime/faces/http_locks.hpp"
#include "runtime/faces/http_query.hpp"
#include "runtime/runtime_access.hpp"
#include "tests/actors/lone_runtime.hpp"

#include <doctest/doctest.h>
#include <httplib.h>
#include <nlohmann/json.hpp>

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace troupe;
using namespace std::chrono_literals;
using nlohmann::json;
using troupe::test::lone_runtime;

namespace {

runtime& shared() {
  static lone_runtime lone;
  return lone.node();
}

std::unique_ptr<admin_http> listen(const admin_limits& bounds = {}) {
  std::unique_ptr<admin_http> admin;
  runtime_access{shared()}.with_parts([&](assembly& parts) {
    admin = std::make_unique<admin_http>(parts.face(), endpoint{"127.0.0.1", 0}, bounds);
  });
  REQUIRE(admin);
  return admin;
}

struct answer {
  int status = 0;
  json body;
};

/// A connection of its own for every request: several wait at once.
answer ask(const admin_http& admin, const std::string& method, const std::string& target,
           const std::string& body = "") {
  httplib::Client client{"127.0.0.1", admin.address().port};
  client.set_read_timeout(30s);
  client.set_url_encode(false);
  httplib::Request request;
  request.method = method;
  request.path = target;
  request.body = body;
  const auto heard = client.send(request);
  if (!heard) return {};
  return {heard->status, json::parse(heard->body, nullptr, false)};
}

answer post(const admin_http& admin, const std::string& target) { return ask(admin, "POST", "/v1/locks/" + target); }

/// "owner=…&token=…" of a grant.
std::string grant_of(const answer& a) {
  return "owner=" + a.body.at("owner").get<std::string>() + "&token=" + a.body.at("token").get<std::string>();
}

/// Who waits for the lock, as the status of the node says.
std::uint64_t waiting_for(const std::string& lock) {
  const auto status = json::parse(shared().status_json());
  for (const auto& row : status.at("locks"))
    if (row.at("lock") == lock) return row.at("waiting").get<std::uint64_t>();
  return 0;
}

bool becomes(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (!condition())
    if (std::chrono::steady_clock::now() > until) return false;
  return true;
}

} // namespace

TEST_CASE("http: a lock is taken, renewed and given back, and every grant has a token above the one before") {
  const auto admin = listen();
  const auto first = post(*admin, "orders/life?ttl_ms=30000&owner=web%2F1");
  REQUIRE(first.status == 200);
  CHECK(first.body.at("held") == true);
  CHECK(first.body.at("owner") == "web/1");
  const auto left = first.body.at("remaining_ms").get<int>();
  CHECK(left > 20'000);
  CHECK(left < 30'000); // less what clocks may drift
  const auto token = first.body.at("token").get<std::string>();
  REQUIRE(http::version_in(token));

  const auto other = post(*admin, "orders/life?owner=web%2F2");
  CHECK(other.status == 409);
  CHECK(other.body.at("held") == false);
  CHECK(other.body.at("owner") == "web/1");
  CHECK(other.body.at("remaining_ms").get<int>() > 20'000);

  const auto renewed = ask(*admin, "PUT", "/v1/locks/orders/life?owner=web%2F1&token=" + token);
  CHECK(renewed.status == 200);
  CHECK(renewed.body.at("remaining_ms").get<int>() > 20'000);
  const auto stranger = ask(*admin, "PUT", "/v1/locks/orders/life?owner=web%2F2&token=" + token);
  CHECK(stranger.status == 409);
  CHECK(stranger.body.at("error") == "lock_lost");

  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/life?owner=web%2F1&token=" + token).body == json{{"released", true}});
  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/life?owner=web%2F1&token=" + token).body.at("error") == "lock_lost");
  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/life?owner=web%2F1").body == json{{"released", false}});
  const auto second = post(*admin, "orders/life");
  REQUIRE(second.status == 200);
  CHECK(*http::version_in(second.body.at("token").get<std::string>()) > *http::version_in(token));
  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/life?" + grant_of(second)).status == 200);
}

TEST_CASE("http: a request that waits for a lock is served when the lock is given back") {
  const auto admin = listen();
  const auto first = post(*admin, "orders/awaited?ttl_ms=60000");
  REQUIRE(first.status == 200);
  auto second = std::async(std::launch::async, [&] { return post(*admin, "orders/awaited?wait_ms=20000"); });
  REQUIRE(becomes([] { return waiting_for("orders:awaited") == 1; }));
  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/awaited?" + grant_of(first)).status == 200);
  const auto granted = second.get();
  REQUIRE(granted.status == 200);
  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/awaited?" + grant_of(granted)).status == 200);
}

TEST_CASE("http: a wait that is over leaves the lock to others, and so does one that its owner gives up") {
  const auto admin = listen();
  const auto first = post(*admin, "orders/impatient?ttl_ms=60000");
  REQUIRE(first.status == 200);
  const auto late = post(*admin, "orders/impatient?wait_ms=50");
  CHECK(late.status >= 500);
  auto waits =
      std::async(std::launch::async, [&] { return post(*admin, "orders/impatient?wait_ms=30000&owner=undecided"); });
  REQUIRE(becomes([] { return waiting_for("orders:impatient") == 1; }));
  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/impatient?owner=undecided").status == 200);
  CHECK(waits.get().status >= 500);
  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/impatient?" + grant_of(first)).status == 200);
  // Nobody of them comes up later.
  const auto next = post(*admin, "orders/impatient");
  CHECK(next.status == 200);
  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/impatient?" + grant_of(next)).status == 200);
}

TEST_CASE("http: owners share a lock, and who wants it alone does not get it meanwhile") {
  const auto admin = listen();
  const auto one = post(*admin, "orders/several?shared=true");
  const auto two = post(*admin, "orders/several?shared=true");
  REQUIRE(one.status == 200);
  REQUIRE(two.status == 200);
  CHECK(post(*admin, "orders/several").status == 409);
  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/several?" + grant_of(one)).status == 200);
  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/several?" + grant_of(two)).status == 200);
  const auto alone = post(*admin, "orders/several");
  CHECK(alone.status == 200);
  CHECK(post(*admin, "orders/several?shared=true").status == 409);
  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/several?" + grant_of(alone)).status == 200);
}

TEST_CASE("S4: http: a write under a lock passes with its token, and is fenced once a newer grant was answered") {
  const auto admin = listen();
  const std::string key = "/v1/keys/inventory/guarded";
  auto under = [](const answer& grant) {
    return "?lock=orders:guard&token=" + grant.body.at("token").get<std::string>();
  };
  const auto protects = std::string{"&protect=inventory:guarded&protect=inventory:guarded-too"};
  const auto first = post(*admin, "orders/guard?ttl_ms=60000" + protects);
  REQUIRE(first.status == 200);
  CHECK(ask(*admin, "PUT", key + under(first), "1").status == 200);
  const auto sum = ask(*admin, "POST", key + under(first) + "&add=2");
  CHECK(sum.body == json{{"applied", true}, {"number", 3}});
  CHECK(ask(*admin, "PUT", key + "-too" + under(first), "1").status == 200);
  const auto elsewhere = ask(*admin, "PUT", "/v1/keys/inventory/unguarded" + under(first), "1");
  CHECK(elsewhere.status == 409);
  CHECK(elsewhere.body.at("error") == "not_protected");

  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/guard?" + grant_of(first)).status == 200);
  const auto second = post(*admin, "orders/guard?ttl_ms=60000" + protects);
  REQUIRE(second.status == 200);
  for (const std::string method : {"PUT", "DELETE"}) {
    const auto late = ask(*admin, method, key + under(first), "late");
    CHECK(late.status == 409);
    CHECK(late.body.at("error") == "fenced");
    CHECK(late.body.at("outcome") == "not done");
  }
  CHECK(ask(*admin, "POST", key + under(second) + "&add=1").body == json{{"applied", true}, {"number", 4}});
  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/guard?" + grant_of(second)).status == 200);
}

TEST_CASE("http: a lock holds no value, and a value is no lock") {
  const auto admin = listen();
  const auto lock = post(*admin, "orders/kind");
  REQUIRE(lock.status == 200);
  CHECK(ask(*admin, "PUT", "/v1/keys/orders/kind", "1").body.at("error") == "wrong_kind");
  CHECK(ask(*admin, "GET", "/v1/keys/orders/kind").status == 404);
  CHECK(ask(*admin, "PUT", "/v1/keys/orders/value", "1").status == 200);
  const auto refused = post(*admin, "orders/value");
  CHECK(refused.status == 409);
  CHECK(refused.body.at("error") == "wrong_kind");
  CHECK(ask(*admin, "DELETE", "/v1/locks/orders/kind?" + grant_of(lock)).status == 200);
}

TEST_CASE("http: what a request for a lock may not ask for is 400, and says what is allowed") {
  const auto admin = listen();
  const std::string long_name(limits::lock_name_bytes_max, 'n');
  std::string many;
  for (std::size_t i = 0; i <= limits::lock_protects_max; ++i)
    many += "&protect=orders:" + std::to_string(i);
  for (const std::string& target : {std::string{"orders"},
                                    std::string{"orders/"},
                                    std::string{"nothing/a"},
                                    std::string{"orders/a%zz"},
                                    std::string{"orders/a?ttl_ms=0"},
                                    std::string{"orders/a?ttl_ms=3600001"},
                                    std::string{"orders/a?ttl_ms=1s"},
                                    std::string{"orders/a?wait_ms=60001"},
                                    std::string{"orders/a?wait_ms=-1"},
                                    std::string{"orders/a?owner="},
                                    std::string{"orders/a?shared=1"},
                                    std::string{"orders/a?shared"},
                                    std::string{"orders/a?protect=a"},
                                    std::string{"orders/a?protect=nothing:a"},
                                    std::string{"orders/a?protect=orders:"},
                                    std::string{"orders/a?token=1.1.1.1"},
                                    std::string{"orders/a?ttl_ms=1&ttl_ms=2"},
                                    std::string{"orders/a?lease=1"},
                                    "orders/a?owner=" + std::string(limits::lock_owner_bytes_max + 1, 'o'),
                                    "orders/" + long_name,
                                    "orders/a?" + many.substr(1)}) {
    CAPTURE(target);
    const auto refused = post(*admin, target);
    CHECK(refused.status == 400);
    REQUIRE(refused.body.is_object());
    CHECK(refused.body.at("outcome") == "not done");
    CHECK(!refused.body.at("message").get<std::string>().empty());
  }
  for (const std::string target :
       {"orders/a", "orders/a?owner=o", "orders/a?token=1.1.1.1", "orders/a?owner=o&token=1.1.1",
        "orders/a?owner=o&token=1.1.1.01", "orders/a?owner=o&token=+1.1.1.1", "orders/a?owner=o&token=1.1.1.1.1",
        "orders/a?owner=o&token=0.1.1.1", "orders/a?owner=o&token=1.4294967296.1.1",
        "orders/a?owner=o&token=1.1.1.1&ttl_ms=5"}) {
    CAPTURE(target);
    CHECK(ask(*admin, "PUT", "/v1/locks/" + std::string{target}).status == 400);
  }
  CHECK(ask(*admin, "GET", "/v1/locks/orders/a").status == 405);
  for (const std::string target : {"?lock=orders:a", "?token=1.1.1.1", "?lock=orders&token=1.1.1.1",
                                   "?lock=nothing:a&token=1.1.1.1", "?lock=orders:a&token=x"}) {
    CAPTURE(target);
    CHECK(ask(*admin, "PUT", "/v1/keys/inventory/a" + target, "1").status == 400);
  }
  CHECK(ask(*admin, "GET", "/v1/keys/inventory/a?lock=orders:a&token=1.1.1.1").status == 400);
}

TEST_CASE("X1: http: requests that wait for locks leave threads to the others, and do not hold up the end") {
  admin_limits bounds;
  bounds.lock_waits_max = 2;
  bounds.threads = 4;
  auto admin = listen(bounds);
  const auto first = post(*admin, "orders/crowded?ttl_ms=60000");
  REQUIRE(first.status == 200);
  std::vector<std::future<answer>> waiting;
  for (int i = 0; i < 2; ++i)
    waiting.push_back(std::async(std::launch::async, [&] { return post(*admin, "orders/crowded?wait_ms=60000"); }));
  REQUIRE(becomes([] { return waiting_for("orders:crowded") == 2; }));
  const auto refused = post(*admin, "orders/crowded?wait_ms=60000");
  CHECK(refused.status == 503);
  CHECK(refused.body.at("error") == "overloaded");
  CHECK(post(*admin, "orders/crowded").status == 409);
  CHECK(ask(*admin, "GET", "/healthz").status == 200);
  const auto begun = std::chrono::steady_clock::now();
  admin.reset();
  for (auto& w : waiting)
    CHECK(w.get().status != 200);
  CHECK(std::chrono::steady_clock::now() - begun < 20s);
}

TEST_CASE("http: the text of a version is read back as that version, and nothing else is") {
  const version v{.era = {.round = 7, .node = {2}, .life = {1}}, .counter = 42};
  CHECK(http::spelled(v) == "7.2.1.42");
  CHECK(http::version_in("7.2.1.42") == v);
  const version most{.era = {.round = UINT64_MAX, .node = {UINT32_MAX}, .life = {UINT64_MAX}}, .counter = UINT64_MAX};
  CHECK(http::version_in(http::spelled(most)) == most);
  for (const auto* const text : {"", ".", "...", "7.2.1", "7.2.1.", "7.2.1.42.", "7.2.1.42 ", " 7.2.1.42", "7.2.1.-1",
                                 "7.2.1.0x2", "07.2.1.42", "7.2.1.18446744073709551616", "0.2.1.42"}) {
    CAPTURE(text);
    CHECK_FALSE(http::version_in(text).has_value());
  }
}
