/// One shopper: looks, reads and writes reviews, fills a cart, orders. Each type of data at its own level:
///
///   user_sessions, inventory, orders   strong     what is stored is what is read, and no stock is sold twice
///   threads, reviews                   causal     a thread names its newest review, which is there for whoever reads
///   it carts                              session    a shopper finds the cart as it was left catalogue,
///   recommendations         eventual   any version will do, and in the end it is the same everywhere views eventual
///   a counter: in the end every view is counted, once
#pragma once

#include "examples/ecommerce/ledger.hpp"
#include "examples/ecommerce/plan.hpp"
#include "examples/ecommerce/tally.hpp"

#include <troupe/session.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace shop {

/// Ends the waits of all shoppers at once.
class closing_time {
public:
  void close() {
    {
      const std::lock_guard lock{mutex_};
      closed_ = true;
    }
    changed_.notify_all();
  }
  bool closed() const {
    const std::lock_guard lock{mutex_};
    return closed_;
  }
  void wait(std::chrono::nanoseconds at_most) const {
    std::unique_lock lock{mutex_};
    changed_.wait_for(lock, at_most, [&] { return closed_; });
  }

private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool closed_ = false;
};

/// How often each item was looked at, as far as its counter should know. Safe from any thread.
class view_counts {
public:
  struct of_item {
    std::uint64_t counted = 0; ///< acknowledged
    std::uint64_t maybe = 0;   ///< unknown
  };
  void add(const std::string& item, bool known) {
    const std::lock_guard lock{mutex_};
    auto& n = items_[item];
    ++(known ? n.counted : n.maybe);
  }
  std::map<std::string, of_item> all() const {
    const std::lock_guard lock{mutex_};
    return items_;
  }

private:
  mutable std::mutex mutex_;
  std::map<std::string, of_item> items_;
};

/// What all shoppers share.
struct shop_floor {
  std::string run; ///< in front of every key: two runs on one cluster do not meet
  std::chrono::milliseconds deadline{2000};
  double speed = 100;                        ///< think times are divided by this
  std::chrono::milliseconds think_max{1000}; ///< after that
  ledger* books = nullptr;
  view_counts views;
  closing_time closing;

  std::atomic<std::uint64_t> orders{0};   ///< acknowledged and in the books
  std::atomic<std::uint64_t> sold_out{0}; ///< refused: not enough units were left of an item
  std::atomic<std::uint64_t> given_up{0}; ///< by an operation that failed on the way
  std::atomic<bool> books_failed{false};  ///< the ledger cannot be written: nothing more is acknowledged
};

/// Does what the plan says, one operation after the other. An order takes stock of each of its items, never below 0,
/// and is then stored; it counts once the client's books hold it.
void go_shopping(const shopper_plan& plan, troupe::session& session, shop_floor& floor, tallies& counts);

} // namespace shop
