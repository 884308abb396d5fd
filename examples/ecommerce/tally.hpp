/// Counts what the shoppers' operations answered, how long they took, and whether what they saw was as promised, by
/// level of consistency.
#pragma once

#include <troupe/error.hpp>
#include <troupe/level.hpp>

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
  counts& operator+=(const counts& other) {
    answered += other.answered;
    not_done += other.not_done;
    unknown += other.unknown;
    return *this;
  }
};

/// What shoppers could tell by themselves: that an answer was as its level promises, or not.
struct observations {
  std::uint64_t made = 0;
  std::uint64_t broken = 0;

  observations& operator+=(const observations& other) {
    made += other.made;
    broken += other.broken;
    return *this;
  }
};

struct latency {
  std::chrono::microseconds p50{0};
  std::chrono::microseconds p99{0};
};
/// Nothing = there are none.
std::optional<latency> latency_of(std::vector<std::chrono::microseconds> took);

/// Of the operations on types of one level. Safe from any thread.
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

  /// An answer that could have broken the promise did not, or did; `what` it was is kept of the first few.
  void observed(bool as_promised, const std::string& what);

  /// For the report: an error that shoppers met, and how often.
  void failed(const troupe::error& why);

  counts counted() const {
    const std::lock_guard lock{mutex_};
    return counts_;
  }
  observations seen() const {
    const std::lock_guard lock{mutex_};
    return seen_;
  }
  /// Of all operations, however they ended.
  std::vector<std::chrono::microseconds> took() const {
    const std::lock_guard lock{mutex_};
    return took_;
  }
  /// "timeout: 3", one per kind of error.
  std::vector<std::string> failures() const;
  std::vector<std::string> broken() const {
    const std::lock_guard lock{mutex_};
    return broken_;
  }

private:
  static constexpr std::size_t broken_max = 5;

  mutable std::mutex mutex_;
  counts counts_;
  observations seen_;
  std::vector<std::string> broken_;
  std::vector<std::chrono::microseconds> took_; ///< one per operation of the run
  std::array<std::uint64_t, 256> failures_{};   ///< by number of the error code
};

/// Strongest first, as in the report.
inline constexpr std::array<troupe::level, 4> levels{troupe::level::strong, troupe::level::causal,
                                                     troupe::level::session, troupe::level::eventual};

/// Of one region: a tally per level.
class tallies {
public:
  tally& operator[](troupe::level at) { return all_[static_cast<std::size_t>(at)]; }
  const tally& operator[](troupe::level at) const { return all_[static_cast<std::size_t>(at)]; }
  counts counted() const {
    counts sum;
    for (const auto& one : all_)
      sum += one.counted();
    return sum;
  }

private:
  std::array<tally, levels.size()> all_;
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
