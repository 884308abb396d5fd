/// Counts the operations that are under way, and lets no more begin once it is closed.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace troupe {

/// Safe from any thread.
class call_gate {
public:
  /// False when the gate is closed. Else leave() has to follow.
  bool enter() {
    const std::lock_guard lock{mutex_};
    if (closed_) return false;
    ++open_;
    return true;
  }

  void leave() {
    const std::lock_guard lock{mutex_};
    if (--open_ == 0) emptied_.notify_all();
  }

  /// From now on enter() refuses.
  void close() {
    const std::lock_guard lock{mutex_};
    closed_ = true;
  }

  /// For calls that are over before anybody could wait for them.
  bool closed() const { return closed_.load(std::memory_order_relaxed); }

  /// Waits until nothing is under way; false when that took longer than `at_most`.
  bool wait_empty(std::chrono::nanoseconds at_most) {
    std::unique_lock lock{mutex_};
    return emptied_.wait_for(lock, at_most, [&] { return open_ == 0; });
  }

  std::size_t open() {
    const std::lock_guard lock{mutex_};
    return open_;
  }

private:
  std::mutex mutex_;
  std::condition_variable emptied_;
  std::size_t open_ = 0;
  std::atomic<bool> closed_ = false; ///< changed under the mutex
};

} // namespace troupe
