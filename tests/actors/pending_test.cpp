#include <troupe/pending.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <coroutine>
#include <exception>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

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
