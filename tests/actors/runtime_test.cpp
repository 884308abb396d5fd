/// The public API over a real cluster: three members and a client node in this process, connected over loopback.
#include <troupe/runtime.hpp>

#include "protocol/check/history.hpp"
#include "protocol/limits.hpp"
#include "runtime/runtime_access.hpp"
#include "tests/actors/three_nodes.hpp"

#include <doctest/doctest.h>

#include <coroutine>
#include <exception>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <set>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

/// A coroutine that nobody waits for.
struct detached {
  struct promise_type {
    detached get_return_object() const { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const {}
    void unhandled_exception() const { std::terminate(); }
  };
};

} // namespace

TEST_CASE("runtime: three nodes in one process serve every operation, from members and from a client node") {
  three_nodes cluster;
  // The largest value is copied by four nodes on what may be two processors and an allocator that checks everything:
  // a lease must outlast that stall, and what is tested here is not how long it takes.
  cluster.base.shape.lease = 3s;
  cluster.base.deadline = 60s;
  auto members = cluster.start_members();
  auto client = cluster.start("web");
  value_of(client.wait_ready(20s).map([] { return true; }));

  auto here = members[0].open_session();
  auto there = members[1].open_session();
  auto outside = client.open_session();

  SUBCASE("a value that one node has written is what all others read") {
    CHECK_FALSE(value_of(here.get("inventory", "a")).has_value());
    const auto first = value_of(here.put("inventory", "a", "one"));
    const auto read = value_of(there.get("inventory", "a"));
    REQUIRE(read);
    CHECK(read->value == "one");
    CHECK(read->version == first.version);
    const auto second = value_of(outside.put("inventory", "a", "two"));
    CHECK(second.version > first.version);
    CHECK(to_string(second.version) != to_string(first.version));
    CHECK(value_of(here.get("inventory", "a"))->value == "two");
    CHECK(value_of(there.remove("inventory", "a")).existed);
    CHECK_FALSE(value_of(there.remove("inventory", "a")).existed);
    CHECK_FALSE(value_of(outside.get("inventory", "a")).has_value());
  }

  SUBCASE("an addition respects its floor, and says what is left") {
    CHECK(value_of(here.add("inventory", "stock", 10)).value == 10);
    const auto taken = value_of(outside.add("inventory", "stock", -6, {.floor = 0}));
    CHECK(taken.applied);
    CHECK(taken.value == 4);
    const auto refused = value_of(there.add("inventory", "stock", -6, {.floor = 0}));
    CHECK_FALSE(refused.applied);
    CHECK(refused.value == 4);
    value_of(here.put("inventory", "stock", "many"));
    CHECK(error_of(here.add("inventory", "stock", 1)) == errc::not_a_number);
  }

  SUBCASE("compare and set writes only over what is expected") {
    CHECK(value_of(here.compare_and_set("orders", "1", {.expected = {}, .value = "open"})).applied);
    const auto refused = value_of(there.compare_and_set("orders", "1", {.expected = {}, .value = "again"}));
    CHECK_FALSE(refused.applied);
    CHECK(refused.current == "open");
    CHECK(value_of(outside.compare_and_set("orders", "1", {.expected = "open", .value = "paid"})).applied);
    const auto absent = value_of(here.compare_and_set("orders", "2", {.expected = "open", .value = "paid"}));
    CHECK_FALSE(absent.applied);
    CHECK_FALSE(absent.current.has_value());
  }

  SUBCASE("asynchronous calls keep their order, as futures and with functions") {
    auto async = outside.async();
    std::promise<int> told;
    auto put = async.put("inventory", "n", "5");
    auto add = async.add("inventory", "n", 2);
    async.add("inventory", "n", 1, [&](result<added> r) { told.set_value(r ? static_cast<int>(r->value) : -1); });
    auto get = async.get("inventory", "n", {.deadline = 4s});
    CHECK(value_of(put.get()).version <= value_of(add.get()).version);
    auto sum = told.get_future();
    REQUIRE(sum.wait_for(10s) == std::future_status::ready);
    CHECK(sum.get() == 8);
    CHECK(value_of(get.get())->value == "8");
  }

  SUBCASE("coroutines go on with the outcome of a call") {
    auto async = outside.async();
    std::promise<std::int64_t> told;
    [](async_session calls, std::promise<std::int64_t>& last) -> detached {
      auto put = calls.put("inventory", "co", "5"); // both are under way at once
      auto sum = co_await calls.add("inventory", "co", 2);
      if (!co_await put || !sum) co_return last.set_value(-1);
      sum = co_await calls.add("inventory", "co", 1, {.floor = 0});
      // Here it runs in the runtime's thread, which must not wait.
      const auto refused = calls.get("inventory", "co").get();
      last.set_value(!refused && refused.error().code() == errc::invalid_argument ? sum->value : -1);
    }(async, told);
    auto sum = told.get_future();
    REQUIRE(sum.wait_for(10s) == std::future_status::ready);
    CHECK(sum.get() == 8);
  }

  SUBCASE("what cannot be served is refused before it is sent, and says why") {
    const auto unknown = here.get("stock", "a");
    CHECK(error_of(unknown) == errc::unknown_type);
    CHECK(unknown.error().not_done());
    CHECK(unknown.error().message().find("drafts, inventory, orders") != std::string::npos);
    const auto stronger = here.get("drafts", "a", {.at = level::strong});
    CHECK(error_of(stronger) == errc::unsupported_level);
    CHECK(stronger.error().message().find("drafts is causal, and cannot be read at strong") != std::string::npos);
    auto strong = members[0].open_session({.consistency = level::strong});
    CHECK(error_of(strong.get("drafts", "a")) == errc::unsupported_level);
    CHECK(error_of(here.compare_and_set("drafts", "a", {.expected = {}, .value = "v"}))
          == errc::unsupported_operation);
    CHECK(error_of(here.add("drafts", "a", 1)) == errc::unsupported_operation);
    CHECK(error_of(here.get_siblings("inventory", "a")) == errc::unsupported_operation);
    CHECK(error_of(here.get_many("inventory", {"a"})) == errc::unsupported_operation);
    CHECK(error_of(here.get_many("drafts", {})) == errc::invalid_argument);
    CHECK(error_of(here.put("drafts", "a", "v", {.after = "t1.nonsense"})) == errc::bad_token);
    CHECK(error_of(here.join("t1.nonsense")) == errc::bad_token);
    auto forged = members[0].open_session({.token = "t1.nonsense"});
    CHECK(error_of(forged.get("inventory", "a")) == errc::bad_token); // not from nothing
    // A strong type is read strongly whatever weaker level is asked for, and says so.
    auto causal = members[0].open_session({.consistency = level::causal});
    CHECK(here.put("inventory", "weak", "1"));
    const auto read = causal.get("inventory", "weak", {.receipt = true});
    REQUIRE(read);
    REQUIRE(*read);
    REQUIRE((*read)->receipt);
    CHECK((*read)->receipt->given == level::strong);
    CHECK((*read)->receipt->staleness == 0ns);
    CHECK(error_of(here.get("inventory", "")) == errc::key_too_long);
    CHECK(error_of(here.get("inventory", std::string(limits::key_bytes_max + 1, 'k'))) == errc::key_too_long);
    CHECK(error_of(here.put("inventory", "a", std::string(limits::value_bytes_max + 1, 'v')))
          == errc::value_too_large);
    // Both values of a compare and set travel in one message: their sum is bounded.
    const std::string most(limits::value_bytes_max / 2 + 1, 'v');
    CHECK(error_of(here.compare_and_set("inventory", "a", {.expected = most, .value = most}))
          == errc::value_too_large);
    CHECK(error_of(here.put("inventory", "a", "x", {.deadline = 0s})) == errc::expired);
    CHECK(error_of(here.put("inventory", "a", "x", {.deadline = 2h})) == errc::invalid_argument);
  }

  SUBCASE("a value of the largest size, and of any bytes, comes back as it was") {
    std::string large(limits::value_bytes_max, '\0');
    for (std::size_t i = 0; i < large.size(); ++i)
      large[i] = static_cast<char>((i * 131) >> 3U);
    value_of(outside.put("inventory", "large", large, {.deadline = 60s}));
    const auto read = value_of(there.get("inventory", "large", {.deadline = 60s}));
    REQUIRE(read);
    CHECK((read->value == large));
  }

  SUBCASE("the status names the node, its links and its shards") {
    const auto json = members[0].status_json();
    CHECK(json.find("\"node\":\"eu-1\"") != std::string::npos);
    CHECK(json.find("\"ready\":true") != std::string::npos);
    CHECK(json.find("\"name\":\"us-1\",\"up\":true") != std::string::npos);
  }

  SUBCASE("a node that stops hands its shards over, and the others go on") {
    value_of(there.put("inventory", "k", "kept"));
    CHECK(members[0].stop(10s));
    for (int i = 0; i < 8; ++i) {
      const auto key = "after-" + std::to_string(i);
      value_of(there.put("inventory", key, "x"));
      CHECK(value_of(outside.get("inventory", key))->value == "x");
    }
    CHECK(value_of(there.get("inventory", "k"))->value == "kept");
    CHECK(error_of(here.get("inventory", "k")) == errc::shutting_down);
    CHECK(members[0].stop(10s));
    CHECK(error_of(members[0].wait_ready(1s)) == errc::shutting_down);
  }

  CHECK(client.stop(10s));
  for (auto& m : members)
    CHECK(m.stop(10s));
}

TEST_CASE("runtime: without a majority an operation ends at its deadline, and is not done") {
  const three_nodes cluster;
  cluster.create_store("eu-1");
  auto alone = cluster.start("eu-1");
  auto s = alone.open_session();
  const boot_clock clock;
  const auto begun = clock.now();
  const auto r = s.put("inventory", "a", "x", {.deadline = 300ms});
  CHECK_FALSE(r);
  CHECK(clock.now() - begun >= 250ms);
  CHECK(clock.now() - begun < 1500ms);
  const auto ready = alone.wait_ready(100ms);
  REQUIRE_FALSE(ready);
  CHECK(ready.error().code() == errc::unavailable);
  CHECK(ready.error().detail().find("us-1 (") != std::string::npos);
  CHECK(alone.stop(10s));
}

TEST_CASE("runtime: calls that are under way when it stops end, as unknown at the worst") {
  const three_nodes cluster;
  cluster.create_store("eu-1");
  auto alone = cluster.start("eu-1");
  auto s = alone.open_session();
  auto pending = s.async().put("inventory", "a", "x", {.deadline = 60s});
  CHECK(alone.stop(5s));
  REQUIRE(pending.wait_for(0s) == std::future_status::ready);
  CHECK_FALSE(pending.get());
}

TEST_CASE("runtime: a call's own function may issue calls, but must not wait for one") {
  const three_nodes cluster;
  cluster.create_store("eu-1");
  auto alone = cluster.start("eu-1");
  auto s = alone.open_session();
  std::promise<std::vector<errc>> refused;
  std::promise<errc> issued;
  s.async().put("inventory", "a", "x",
                {[&](const result<written>&) {
                   refused.set_value({error_of(s.get("inventory", "a")), error_of(alone.wait_ready(20s)),
                                      error_of(alone.stop(20s))});
                   s.async().get("inventory", "a",
                                 {[&](const result<std::optional<found>>& r) { issued.set_value(error_of(r)); },
                                  {.deadline = 100ms}});
                 },
                 {.deadline = 100ms}}); // nobody else is there: it ends by its deadline, on the runtime's thread
  CHECK(refused.get_future().get() == std::vector(3, errc::invalid_argument));
  CHECK(issued.get_future().get() != errc::invalid_argument);
  CHECK(alone.stop(5s));
}

TEST_CASE("runtime: what the open operations of one session hold is bounded") {
  const three_nodes cluster;
  cluster.create_store("eu-1");
  auto alone = cluster.start("eu-1");
  auto s = alone.open_session();
  const std::string large(std::size_t{8} << 20, 'x');
  std::vector<pending<written>> pending;
  for (int i = 0; i < 7; ++i)
    pending.push_back(s.async().put("inventory", "a", large, {.deadline = 3s}));
  CHECK(error_of(s.put("inventory", "b", large, {.deadline = 3s})) == errc::overloaded);
  CHECK(error_of(alone.open_session().put("inventory", "b", "y", {.deadline = 100ms})) != errc::overloaded);
  for (auto& p : pending)
    CHECK_FALSE(p.get());
  CHECK(error_of(s.put("inventory", "b", "y", {.deadline = 100ms})) != errc::overloaded);
}

TEST_CASE("runtime: what keeps it from starting is an error in words") {
  const three_nodes cluster;
  SUBCASE("a configuration that is wrong") {
    const auto started = runtime::start(config::from_toml("", "empty.toml"));
    CHECK(error_of(started) == errc::invalid_argument);
    CHECK(started.error().detail().find("empty.toml:1: cluster is missing") != std::string::npos);
  }
  SUBCASE("a store that nobody has made") {
    const auto started = runtime::start(cluster.of("eu-1"));
    CHECK(error_of(started) == errc::storage_failed);
    CHECK_FALSE(started.error().detail().empty());
  }
  SUBCASE("a store of another node") {
    cluster.create_store("us-1");
    fs::rename(cluster.folder.path / "us-1", cluster.folder.path / "eu-1");
    CHECK(error_of(runtime::start(cluster.of("eu-1"))) == errc::storage_failed);
  }
  SUBCASE("a store that is in use, and a port that is taken") {
    cluster.create_store("eu-1");
    auto first = cluster.start("eu-1");
    CHECK(error_of(runtime::start(cluster.of("eu-1"))) == errc::storage_failed);
    cluster.create_store("us-1");
    three_nodes clash;
    clash.base.shape.members[1].port = cluster.base.shape.members[0].port;
    clash.create_store("us-1");
    const auto second = runtime::start(clash.of("us-1"));
    CHECK(error_of(second) == errc::cannot_listen);
    CHECK(second.error().detail().find(std::to_string(cluster.base.shape.members[0].port)) != std::string::npos);
    CHECK(first.stop(10s));
  }
  SUBCASE("a log or a history that cannot be written") {
    CHECK(error_of(runtime::start(cluster.of("web").with_history("/nowhere/h.jsonl"))) == errc::invalid_argument);
  }
}

TEST_CASE("runtime: every operation of recorded sessions stands in the history, calls under way at once included") {
  const three_nodes cluster;
  auto members = cluster.start_members();
  const auto file = cluster.folder.path / "history.jsonl";
  auto client = value_of(runtime::start(cluster.of("web").with_history(file)));
  value_of(client.wait_ready(20s).map([] { return true; }));
  auto s = client.open_session();
  auto silent = client.open_session({.consistency = {}, .recorded = false});

  value_of(s.put("inventory", "k", "\xFF\x01"));
  value_of(s.get("inventory", "k"));
  value_of(s.remove("inventory", "k"));
  value_of(s.add("inventory", "k", 3, {.floor = 0}));
  value_of(s.add("inventory", "k", -4, {.floor = 0}));
  value_of(s.compare_and_set("inventory", "k", {.expected = "3", .value = "9"}));
  CHECK(error_of(s.add("orders", "word", 1)) == errc::none);
  std::vector<pending<written>> pending;
  for (int i = 0; i < 50; ++i)
    pending.push_back(s.async().put("orders", std::to_string(i), "v" + std::to_string(i)));
  for (auto& p : pending)
    value_of(p.get());
  value_of(silent.put("inventory", "secret", "x"));
  CHECK(client.stop(10s));
  for (auto& m : members)
    CHECK(m.stop(10s));

  std::ifstream in{file};
  const auto history = check::read_history(in);
  if (!history) FAIL(check::to_string(history.error()));
  REQUIRE(history->operations.size() == 57);
  const auto& ops = history->operations;
  CHECK(ops[0].kind == check::op_kind::put);
  CHECK(ops[0].value == "hex:ff01");
  CHECK(ops[1].value == "hex:ff01");
  CHECK(ops[2].applied == true);
  CHECK(ops[3].result == 3);
  CHECK(ops[4].applied == false);
  CHECK(ops[5].old == "3");
  CHECK(ops[5].client == ops[0].client);
  std::set<std::string> clients;
  for (const auto& op : ops)
    clients.insert(op.client);
  CHECK(clients.size() > 1);
}
