/// Counts what the shoppers' operations answered, and how long they took, by region.
#pragma once

#include <troupe/error.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace shop {

/// How an operation ended for its caller. A refusal by the floor is an answer.
enum class ending : std::uint8_t { answered, not_done, unknown };

struct counts {
  std::uint64_t answered = 0;
  std::uint64_t not_done = 0;
  std::uint64_t unknown = 0;

  std::uint64_t issued() const { return answered + not_done + unknown; }
  /// Of those issued; an unknown is a failure. 1 when there are none.
  double success() const { return issued() == 0 ? 1 : static_cast<double>(answered) / static_cast<double>(issued()); }
};

struct latency {
  std::chrono::microseconds p50{0};
  std::chrono::microseconds p99{0};
};

/// Safe from any thread.
class tally {
public:
  void add(ending how, std::chrono::nanoseconds took) {
    const std::lock_guard lock{mutex_};
    switch (how) {
    case ending::answered:
      ++counts_.answered;
      break;
    case ending::not_done:
      ++counts_.not_done;
      break;
    case ending::unknown:
      ++counts_.unknown;
      break;
    }
    took_.push_back(std::chrono::duration_cast<std::chrono::microseconds>(took));
  }

  /// For the report: an error that shoppers met, and how often.
  void failed(const troupe::error& why);

  counts counted() const {
    const std::lock_guard lock{mutex_};
    return counts_;
  }
  /// Of all operations, however they ended. Nothing = there are none.
  std::optional<latency> latencies() const;
  /// "timeout: 3", one per kind of error.
  std::vector<std::string> failures() const;

private:
  mutable std::mutex mutex_;
  counts counts_;
  std::vector<std::chrono::microseconds> took_; ///< one per operation of the run
  std::array<std::uint64_t, 256> failures_{};   ///< by number of the error code
};

/// Calls, and counts how that went. `call` answers a troupe::result.
template <class Call> auto counted(tally& counts, Call&& call) {
  const auto begin = std::chrono::steady_clock::now();
  auto answer = call();
  const auto took = std::chrono::steady_clock::now() - begin;
  if (!answer) counts.failed(answer.error());
  counts.add(answer ? ending::answered : answer.error().unknown() ? ending::unknown : ending::not_done, took);
  return answer;
}

} // namespace shop
