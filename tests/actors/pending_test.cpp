#include <troupe/pending.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <exception>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

using text_outcome = detail::outcome<std::string>;

/// A coroutine that its owner may destroy at any time.
struct task {
  struct promise_type {
    task get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    void return_void() const {}
    void unhandled_exception() const { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

/// A coroutine that ends by itself, wherever it is then.
struct free_task {
  struct promise_type {
    free_task get_return_object() const { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const {}
    void unhandled_exception() const { std::terminate(); }
  };
};

task await(pending<std::string> call, std::string& got) {
  auto answer = co_await call;
  got = answer ? *answer : "error";
}

struct call {
  std::shared_ptr<text_outcome> outcome = std::make_shared<text_outcome>();
  pending<std::string> result{outcome};
};

} // namespace

TEST_CASE("pending: the outcome is waited for, and taken once") {
  call c;
  CHECK(c.result.valid());
  CHECK(c.result.wait_for(1ms) == std::future_status::timeout);
  std::thread other{[&] { c.outcome->deliver("done"); }};
  CHECK(c.result.get().value() == "done");
  CHECK_FALSE(c.result.valid());
  other.join();
}

TEST_CASE("pending: a coroutine goes on at once when the outcome is there") {
  call c;
  c.outcome->deliver("early");
  std::string got;
  auto t = await(std::move(c.result), got);
  CHECK(got == "early");
  CHECK(t.handle.done());
  t.handle.destroy();
}

TEST_CASE("pending: a coroutine goes on where the outcome is delivered") {
  call c;
  std::string got;
  auto t = await(std::move(c.result), got);
  CHECK(got.empty());
  std::thread{[&] { c.outcome->deliver("late"); }}.join();
  CHECK(got == "late");
  CHECK(t.handle.done());
  t.handle.destroy();
}

TEST_CASE("pending: a coroutine that was destroyed while it waited is not resumed") {
  call c;
  std::string got;
  auto t = await(std::move(c.result), got);
  t.handle.destroy();
  c.outcome->deliver("nobody");
  CHECK(got.empty());
}

TEST_CASE("pending: however delivery, waiting, awaiting and dropping meet, every outcome arrives once, or nobody "
          "wants it") {
  constexpr int rounds = 5'000;
  std::atomic<int> begun{0}; // how many rounds the other thread has been let into
  std::vector<std::shared_ptr<text_outcome>> outcomes;
  for (int i = 0; i < rounds; ++i)
    outcomes.push_back(std::make_shared<text_outcome>());
  std::thread network{[&] {
    for (int i = 0; i < rounds; ++i) {
      while (begun.load() <= i)
        std::this_thread::yield();
      std::exchange(outcomes[static_cast<std::size_t>(i)], nullptr)->deliver("done");
    }
  }};
  std::atomic<int> went_on{0};
  auto count = [&](pending<std::string> of) -> free_task {
    const auto got = co_await of;
    if (got && *got == "done") ++went_on;
  };
  int awaited = 0, taken = 0;
  for (int i = 0; i < rounds; ++i) {
    pending<std::string> mine{outcomes[static_cast<std::size_t>(i)]};
    begun = i + 1;
    switch (i % 3) {
    case 0:
      count(std::move(mine));
      ++awaited;
      break;
    case 1:
      taken += mine.get().value() == "done" ? 1 : 0;
      break;
    default:
      break; // dropped
    }
  }
  network.join();
  CHECK(went_on == awaited);
  CHECK(taken == rounds / 3 + (rounds % 3 == 2 ? 1 : 0));
}

TEST_CASE("pending: without an outcome it says so, waited for or awaited, and nobody waits") {
  pending<std::string> none;
  CHECK(none.wait_for(1h) == std::future_status::ready);
  CHECK(none.get().error().code() == errc::invalid_argument);
  std::string got;
  auto t = await(pending<std::string>{}, got);
  CHECK(got == "error");
  t.handle.destroy();
  call c;
  c.outcome->deliver("once");
  CHECK(c.result.get().value() == "once");
  CHECK(c.result.get().error().code() == errc::invalid_argument);
}
