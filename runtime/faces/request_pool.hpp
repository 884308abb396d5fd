/// The threads of the admin HTTP: a fixed number of them, and a bounded queue in front.
#pragma once

#include <httplib.h>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace troupe {

/// Why not httplib's own pool: its queue has no bound. Here the thread that accepts waits when the queue is full, and
/// the kernel's backlog turns clients away.
class request_pool final : public httplib::TaskQueue {
public:
  request_pool(std::size_t threads, std::size_t waiting_max) : waiting_max_(waiting_max) {
    for (std::size_t i = 0; i < threads; ++i)
      threads_.emplace_back([this] { serve(); });
  }

  void enqueue(std::function<void()> request) override {
    std::unique_lock lock{guard_};
    changed_.wait(lock, [this] { return waiting_.size() < waiting_max_ || ending_; });
    waiting_.push_back(std::move(request));
    changed_.notify_all();
  }

  /// Serves what was taken in, then ends the threads.
  void shutdown() override {
    {
      const std::lock_guard lock{guard_};
      ending_ = true;
    }
    changed_.notify_all();
    for (auto& thread : threads_)
      thread.join();
  }

private:
  void serve() {
    std::unique_lock lock{guard_};
    for (;;) {
      changed_.wait(lock, [this] { return !waiting_.empty() || ending_; });
      if (waiting_.empty()) return;
      const auto request = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      changed_.notify_all();
      request();
      lock.lock();
    }
  }

  const std::size_t waiting_max_;
  std::mutex guard_;
  std::condition_variable changed_; ///< waiting_ or ending_
  std::deque<std::function<void()>> waiting_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

} // namespace troupe
