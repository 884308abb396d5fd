/// The outcome of a call that does not wait.
///
///     auto stock = s.async().add("inventory", "85123A", -6, {.floor = 0});
///     ...                            // something else meanwhile
///     auto left = stock.get();       // waits; or, in a coroutine: co_await stock
#pragma once

#include <troupe/error.hpp>

#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace troupe {

namespace detail {

/// Whether this is a call's own function, or a coroutine that goes on in one: the thread that it runs on must not
/// wait.
bool must_not_wait();
error wait_refusal();
/// Of a pending that has none: default-made, moved from, or taken already.
error no_outcome();

template <class T> class outcome {
public:
  /// Once. Goes on with the coroutine that waits, here.
  void deliver(result<T> value) {
    std::coroutine_handle<> next;
    {
      const std::lock_guard lock{mutex_};
      value_ = std::move(value);
      next = std::exchange(waiter_, {});
      ready_.notify_all();
    }
    if (next) next.resume();
  }

  bool is_ready() const {
    const std::lock_guard lock{mutex_};
    return value_.has_value();
  }
  void wait() const {
    std::unique_lock lock{mutex_};
    ready_.wait(lock, [this] { return value_.has_value(); });
  }
  bool wait_for(std::chrono::nanoseconds at_most) const {
    std::unique_lock lock{mutex_};
    return ready_.wait_for(lock, at_most, [this] { return value_.has_value(); });
  }
  /// False when there is nothing to wait for.
  bool set_waiter(std::coroutine_handle<> who) {
    const std::lock_guard lock{mutex_};
    if (!value_) waiter_ = who;
    return !value_;
  }
  void forget_waiter() {
    const std::lock_guard lock{mutex_};
    waiter_ = {};
  }
  result<T> take() {
    const std::lock_guard lock{mutex_};
    return std::move(*value_);
  }

private:
  mutable std::mutex mutex_;
  mutable std::condition_variable ready_;
  std::optional<result<T>> value_;
  std::coroutine_handle<> waiter_;
};

} // namespace detail

/// To be waited for or co_awaited, once. Dropping it does not cancel the call; the token in the call's options does.
///
/// A coroutine goes on at once when the outcome is there, else on the thread that does the runtime's network I/O,
/// where it is under the rules of a call's own function (see on_done) until it is suspended again. A coroutine that
/// is destroyed while it waits is not resumed; destroy it where it would be.
template <class T> class [[nodiscard]] pending {
public:
  pending() = default;
  explicit pending(std::shared_ptr<detail::outcome<T>> of) : outcome_{std::move(of)} {}

  /// False: default-made, moved from, or its outcome was taken.
  bool valid() const { return outcome_ != nullptr; }

  /// Waits for the outcome, which comes at the call's deadline at the latest, and takes it.
  /// @errors invalid_argument: called where waiting is refused, and the outcome is not there; it can still be taken.
  /// Or
  ///   there is none.
  result<T> get() {
    if (!valid()) return tl::unexpected{detail::no_outcome()};
    if (!outcome_->is_ready() && detail::must_not_wait()) return tl::unexpected{detail::wait_refusal()};
    outcome_->wait();
    return std::exchange(outcome_, nullptr)->take();
  }

  /// At once where waiting is refused.
  template <class Rep, class Period>
  std::future_status wait_for(const std::chrono::duration<Rep, Period>& at_most) const {
    if (!valid() || outcome_->is_ready()) return std::future_status::ready;
    if (detail::must_not_wait()) return std::future_status::timeout;
    return outcome_->wait_for(std::chrono::duration_cast<std::chrono::nanoseconds>(at_most))
               ? std::future_status::ready
               : std::future_status::timeout;
  }

  auto operator co_await() {
    struct awaiter {
      std::shared_ptr<detail::outcome<T>> outcome;
      bool waits = false;

      explicit awaiter(std::shared_ptr<detail::outcome<T>> of) : outcome{std::move(of)} {}
      awaiter(const awaiter&) = delete;
      awaiter& operator=(const awaiter&) = delete;
      ~awaiter() {
        if (waits) outcome->forget_waiter();
      }
      bool await_ready() const { return !outcome || outcome->is_ready(); }
      bool await_suspend(std::coroutine_handle<> self) {
        waits = true;              // before another thread may go on with the coroutine,
        const auto kept = outcome; // and end it, and this with it
        return kept->set_waiter(self);
      }
      result<T> await_resume() {
        waits = false;
        if (!outcome) return tl::unexpected{detail::no_outcome()};
        return outcome->take();
      }
    };
    return awaiter{std::exchange(outcome_, nullptr)};
  }

private:
  std::shared_ptr<detail::outcome<T>> outcome_;
};

} // namespace troupe
