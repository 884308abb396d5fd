/// Stopping under load: what becomes of the calls that are under way, and of those that come.
#include <troupe/runtime.hpp>

#include "actors/node_clock.hpp"
#include "tests/actors/three_nodes.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <coroutine>
#include <deque>
#include <exception>
#include <future>
#include <string>
#include <thread>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

/// stop() may take this long, and the clock of a busy machine a little more.
constexpr auto stop_patience = 5s;
constexpr auto stop_slack = 2s;

/// One write of a key that nobody else writes, so that reading the key tells whether it was done.
struct call {
  std::string key;
  std::atomic<int> ended{0};
  std::atomic<errc> outcome{errc::none};

  void end(const result<written>& r) {
    outcome = error_of(r);
    ++ended;
    ended.notify_all();
  }
};

/// The calls of one thread; addresses stay.
using calls = std::deque<call>;

struct detached {
  struct promise_type {
    detached get_return_object() const { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const {}
    void unhandled_exception() const { std::terminate(); }
  };
};

enum class form { blocking, waited_for, function, coroutine };

detached co_put(async_session session, call& c, call_options options) {
  c.end(co_await session.put("inventory", c.key, "v", options));
}

/// Calls until its node refuses; never more than a few at a time, or all would be overloaded.
void call_until_refused(session& s, form how, const std::string& name, calls& made, std::atomic<int>& begun) {
  constexpr std::size_t at_once = 16;
  const call_options options{.deadline = 20s};
  std::deque<pending<written>> open;
  for (std::size_t i = 0;; ++i) {
    auto& c = made.emplace_back();
    c.key = name + "." + std::to_string(i);
    ++begun;
    begun.notify_all();
    switch (how) {
    case form::blocking:
      c.end(s.put("inventory", c.key, "v", options));
      break;
    case form::waited_for:
      open.push_back(s.async().put("inventory", c.key, "v", options));
      if (open.size() > at_once || open.back().wait_for(0s) == std::future_status::ready) {
        for (auto n = made.size() - open.size(); !open.empty(); open.pop_front())
          made[n++].end(open.front().get());
      }
      break;
    case form::function:
      s.async().put("inventory", c.key, "v", {[&c](const result<written>& r) { c.end(r); }, options});
      break;
    case form::coroutine:
      co_put(s.async(), c, options);
      break;
    }
    if ((how == form::function || how == form::coroutine) && i >= at_once) made[i - at_once].ended.wait(0);
    if (c.ended > 0 && c.outcome == errc::shutting_down) break;
  }
  for (auto n = made.size() - open.size(); !open.empty(); open.pop_front())
    made[n++].end(open.front().get());
}

} // namespace

TEST_CASE("stop: under load every call ends once, by what is true, and stop() in its time") {
  const three_nodes cluster;
  auto members = cluster.start_members();
  auto client = cluster.start("web");
  if (auto ready = client.wait_ready(20s); !ready) FAIL(ready.error().message());

  bool is_client = false;
  SUBCASE("of a member, which is home of many keys") {}
  SUBCASE("of a client node") { is_client = true; }
  auto& stopped = is_client ? client : members[0];

  constexpr int threads_per_form = 2;
  std::vector<calls> made(4 * threads_per_form);
  std::vector<session> sessions; // a session that ends gives up what is under way
  for (std::size_t t = 0; t < made.size(); ++t)
    sessions.push_back(stopped.open_session());
  std::atomic<int> begun{0};
  {
    std::vector<std::jthread> callers;
    for (std::size_t t = 0; t < made.size(); ++t)
      callers.emplace_back([&, t] {
        call_until_refused(sessions[t], static_cast<form>(t % 4), "t" + std::to_string(t), made[t], begun);
      });
    for (int n = begun; n < 2'000; n = begun)
      begun.wait(n);
    const boot_clock clock;
    const auto from = clock.now();
    const auto ended = stopped.stop(stop_patience);
    if (!ended) FAIL(ended.error().message());
    CHECK(clock.now() - from < stop_patience + stop_slack);
  } // every caller was refused, and has come back

  auto judge = members[1].open_session();
  int done = 0, not_done = 0, unknown = 0;
  for (const auto& thread : made)
    for (const auto& c : thread) {
      INFO(c.key);
      INFO(name_of(c.outcome));
      REQUIRE(c.ended == 1);
      const auto there = value_of(judge.get("inventory", c.key, {.deadline = 20s})).has_value();
      if (c.outcome == errc::none) {
        ++done;
        CHECK(there);
      } else if (outcome_of(c.outcome) == outcome::not_done) {
        ++not_done;
        CHECK_FALSE(there);
      } else {
        ++unknown;
        CHECK(c.outcome == errc::timeout);
      }
    }
  MESSAGE("done ", done, ", not done ", not_done, ", unknown ", unknown);
  CHECK(done > 0);
  CHECK(not_done >= static_cast<int>(made.size()));
}

TEST_CASE("stop: calls that can never be answered end within its time, as unknown if they may have been sent") {
  const three_nodes cluster;
  cluster.create_store("eu-1");
  auto alone = cluster.start("eu-1"); // no majority
  auto s = alone.open_session();
  std::vector<pending<written>> open;
  for (int i = 0; i < 1'000; ++i)
    open.push_back(s.async().put("inventory", std::to_string(i % 10), "v", {.deadline = 10min}));
  const boot_clock clock;
  const auto from = clock.now();
  const auto ended = alone.stop(2s);
  if (!ended) FAIL(ended.error().message());
  CHECK(clock.now() - from < 2s + stop_slack);
  int sent = 0;
  for (auto& p : open) {
    REQUIRE(p.wait_for(0s) == std::future_status::ready);
    const auto r = p.get();
    REQUIRE_FALSE(r);
    sent += r.error().unknown() ? 1 : 0;
  }
  CHECK(sent <= 10); // one for each key; the others waited behind it
}
