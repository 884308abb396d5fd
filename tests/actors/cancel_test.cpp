/// Cancellation through the public API: by a std::stop_token in the options of a call, of whatever form.
#include <troupe/runtime.hpp>

#include "tests/actors/three_nodes.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <coroutine>
#include <exception>
#include <future>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

/// Far beyond what any of these tests waits for: what ends earlier was cancelled.
constexpr auto long_deadline = 10min;
/// As many as a session may have open.
constexpr int open_max = 4096;

struct detached {
  struct promise_type {
    detached get_return_object() const { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const {}
    void unhandled_exception() const { std::terminate(); }
  };
};

/// A client node whose cluster is not there: its operations wait for a home, and none is ever sent.
struct lonely_client {
  three_nodes cluster;
  runtime node = cluster.start("web");
  session calls = node.open_session();
  std::stop_source stop;

  pending<written> put(const std::string& key) {
    return calls.async().put("inventory", key, "v", {.deadline = long_deadline, .stop = stop.get_token()});
  }
};

errc outcome_of(pending<written>& p) {
  REQUIRE(p.wait_for(20s) == std::future_status::ready);
  return error_of(p.get());
}

} // namespace

TEST_CASE("cancel: a call of every form ends at once, and is not done when nothing was sent") {
  lonely_client c;
  const call_options options{.deadline = long_deadline, .stop = c.stop.get_token()};
  auto waited_for = c.put("a");
  std::promise<errc> by_function;
  c.calls.async().put("inventory", "b", "v",
                      {[&](const result<written>& r) { by_function.set_value(error_of(r)); }, options});
  std::promise<errc> by_coroutine;
  [](async_session calls, call_options with, std::promise<errc>& told) -> detached {
    told.set_value(error_of(co_await calls.get("inventory", "c", std::move(with))));
  }(c.calls.async(), options, by_coroutine);
  std::promise<errc> by_blocking;
  std::jthread blocked{[&] {
    by_blocking.set_value(
        error_of(c.calls.add("inventory", "d", 1, {.floor = {}, .deadline = long_deadline, .stop = options.stop})));
  }};

  CHECK(waited_for.wait_for(50ms) == std::future_status::timeout);
  c.stop.request_stop();
  CHECK(outcome_of(waited_for) == errc::cancelled);
  for (auto* told : {&by_function, &by_coroutine, &by_blocking}) {
    auto outcome = told->get_future();
    REQUIRE(outcome.wait_for(20s) == std::future_status::ready);
    CHECK(outcome.get() == errc::cancelled);
  }
  CHECK(troupe::outcome_of(errc::cancelled) == troupe::outcome::not_done);

  SUBCASE("and a call whose token was stopped before is not made") {
    auto late = c.put("e");
    CHECK(late.wait_for(0s) == std::future_status::ready);
    CHECK(outcome_of(late) == errc::cancelled);
    CHECK(error_of(c.calls.get("inventory", "a", options)) == errc::cancelled);
  }
}

TEST_CASE("cancel: a call that waits behind another of its key ends at once, and leaves that one alone") {
  lonely_client c;
  std::stop_source first_stop;
  auto first =
      c.calls.async().put("inventory", "k", "1", {.deadline = long_deadline, .stop = first_stop.get_token()});
  auto second = c.put("k");
  auto third = c.calls.async().put("inventory", "k", "3", {.deadline = 300ms});
  c.stop.request_stop();
  CHECK(outcome_of(second) == errc::cancelled);
  CHECK(first.wait_for(0s) == std::future_status::timeout);
  CHECK(third.wait_for(0s) == std::future_status::timeout);
  first_stop.request_stop();
  CHECK(outcome_of(first) == errc::cancelled);
  CHECK(outcome_of(third) != errc::cancelled); // its turn came, or its deadline
}

TEST_CASE("cancel: the places of cancelled calls are free again, and each call has ended once") {
  lonely_client c;
  std::vector<std::atomic<int>> ended(open_max);
  std::atomic<int> left{open_max};
  std::promise<void> all;
  for (int i = 0; i < open_max; ++i)
    c.calls.async().put("inventory", "k" + std::to_string(i % 64), "v",
                        {[&, i](const result<written>& r) {
                           CHECK(error_of(r) == errc::cancelled);
                           ++ended[static_cast<std::size_t>(i)];
                           if (--left == 0) all.set_value();
                         },
                         {.deadline = long_deadline, .stop = c.stop.get_token()}});
  const auto one_more = [&] { return error_of(c.calls.put("inventory", "more", "v", {.deadline = 50ms})); };
  CHECK(one_more() == errc::overloaded);
  c.stop.request_stop();
  REQUIRE(all.get_future().wait_for(20s) == std::future_status::ready);
  CHECK(one_more() != errc::overloaded);
  for (const auto& times : ended)
    CHECK(times == 1);
}

TEST_CASE("cancel: what may have been sent is unknown, and its key serves the next call at once") {
  three_nodes cluster;
  auto members = cluster.start_members();
  cluster.base.delays = {{"eu", "eu", 1s}, {"eu", "us", 1s}, {"eu", "ap", 1s}}; // of the client alone
  auto client = cluster.start("web");
  if (auto ready = client.wait_ready(20s); !ready) FAIL(ready.error().message());
  auto calls = client.open_session();
  std::stop_source stop;
  auto put = calls.async().put("inventory", "k", "sent", {.deadline = long_deadline, .stop = stop.get_token()});
  stop.request_stop();
  REQUIRE(put.wait_for(20s) == std::future_status::ready);
  const auto outcome = put.get();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code() == errc::abandoned);
  CHECK(outcome.error().unknown());
  CHECK(value_of(calls.add("inventory", "n", 1, {.floor = {}, .deadline = 20s})).value == 1);
  value_of(calls.put("inventory", "k", "next", {.deadline = 20s}));
  const auto read = value_of(members[0].open_session().get("inventory", "k"));
  REQUIRE(read);
  CHECK(read->value == "next"); // it was sent after the other
}

TEST_CASE("cancel: calls that race with their answers end once, by what is true") {
  const three_nodes cluster;
  auto members = cluster.start_members();
  constexpr int threads = 4;
  constexpr int calls_each = 200;
  struct call {
    std::string key;
    errc ended = errc::none;
  };
  std::vector<call> all(threads * calls_each);
  {
    std::vector<std::jthread> callers;
    for (int t = 0; t < threads; ++t)
      callers.emplace_back([&, t] {
        auto session = members[static_cast<std::size_t>(t) % members.size()].open_session();
        for (int i = 0; i < calls_each; ++i) {
          auto& c = all[static_cast<std::size_t>(t * calls_each + i)];
          c.key = std::to_string(t) + "." + std::to_string(i);
          std::stop_source stop;
          auto put = session.async().put("inventory", c.key, c.key, {.deadline = 20s, .stop = stop.get_token()});
          (void)put.wait_for(std::chrono::microseconds{(i * 211) % 8'000}); // some are answered by then
          stop.request_stop();
          c.ended = error_of(put.get());
        }
      });
  }
  auto judge = members[1].open_session();
  int by_outcome[3] = {};
  for (const auto& c : all) {
    const bool there = value_of(judge.get("inventory", c.key)).has_value();
    INFO(c.key);
    INFO(name_of(c.ended));
    if (c.ended == errc::none) CHECK(there);
    if (c.ended == errc::cancelled) CHECK_FALSE(there);
    const bool expected = c.ended == errc::none || c.ended == errc::cancelled || c.ended == errc::abandoned;
    CHECK(expected);
    ++by_outcome[c.ended == errc::none ? 0 : c.ended == errc::cancelled ? 1 : 2];
  }
  MESSAGE("done ", by_outcome[0], ", cancelled ", by_outcome[1], ", abandoned ", by_outcome[2]);
  CHECK(by_outcome[0] > 0);
  CHECK(by_outcome[2] > 0);
}
