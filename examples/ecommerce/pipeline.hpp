/// Many asynchronous operations at once, with a bound, and their answers one after the other.
#pragma once

#include <troupe/pending.hpp>

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <utility>

namespace shop {

/// Keeps up to `width` operations open. For one thread.
template <class T> class pipeline {
public:
  /// Told the key and the answer, in the order of push(); no answer = it did not come in time.
  using taker = std::function<void(const std::string& key, std::optional<troupe::result<T>> answer)>;

  /// @param patience  for one answer, once its turn has come; above the deadline of the operations.
  pipeline(std::size_t width, std::chrono::milliseconds patience, taker take)
      : width_(width), patience_(patience), take_(std::move(take)) {}

  void push(std::string key, troupe::pending<T> answer) {
    if (open_.size() >= width_) take_oldest();
    open_.emplace_back(std::move(key), std::move(answer));
  }

  void drain() {
    while (!open_.empty())
      take_oldest();
  }

private:
  void take_oldest() {
    auto [key, answer] = std::move(open_.front());
    open_.pop_front();
    const bool came = answer.wait_for(patience_) == std::future_status::ready;
    take_(key, came ? std::optional{answer.get()} : std::nullopt);
  }

  const std::size_t width_;
  const std::chrono::milliseconds patience_;
  const taker take_;
  std::deque<std::pair<std::string, troupe::pending<T>>> open_;
};

} // namespace shop
