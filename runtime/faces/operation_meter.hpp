/// Counts the operations that clients asked of this node, for /metrics and for the monitor.
#pragma once

#include "protocol/cluster.hpp"
#include "protocol/monitor/violations.hpp"
#include "protocol/wire/record.pb.h"
#include "protocol/wire/strong.pb.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe {

/// The reads of one data type, at one level, that this node's memory answered. Safe from any thread.
///
/// Why beside operation_meter::count: it would cost more than the read, and threads would take turns at it.
class memory_reads {
public:
  /// @param thread  the calling thread's: see reader_number().
  void count(std::size_t thread) {
    auto& own = by_thread_[std::min(thread, own_counts)].count;
    if (thread < own_counts)
      own.store(own.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); // nobody else writes it
    else
      own.fetch_add(1, std::memory_order_relaxed);
  }

  std::uint64_t sum() const {
    std::uint64_t all = 0;
    for (const auto& own : by_thread_)
      all += own.count.load(std::memory_order_relaxed);
    return all;
  }

private:
  static constexpr std::size_t own_counts = 63;
  struct alignas(64) thread_count {
    std::atomic<std::uint64_t> count{0};
  };
  std::array<thread_count, own_counts + 1>
      by_thread_; ///< the last: of all whose number is too high for one of their own
};

/// One operation that has ended, and what was measured of it.
struct measured_operation {
  std::string_view type;                                      ///< one that is not configured is counted as type ""
  v1::Operation::WhatCase what = v1::Operation::WHAT_NOT_SET; ///< which is not counted
  nanoseconds took{0};
  std::optional<level> given{};           ///< none = that of the type
  std::optional<nanoseconds> staleness{}; ///< of what was read, at most; none = not measured
  /// How long it waited for what its session depends on, for the session's token, for a lock; 0 = it did not.
  nanoseconds waited_dependency{0};
  nanoseconds waited_token{0};
  nanoseconds waited_lock{0};
};

/// Safe from any thread. An operation is counted once, when its outcome is known to the face that issued it.
class operation_meter {
  /// How an operation can end. `refused` = it was done, and its condition did not hold.
  enum outcome_index : std::size_t { done, refused, not_done, unknown, outcomes };
  static constexpr std::size_t kinds = 12; ///< from get to remove_field; one number of the oneof between them is none
  static constexpr std::size_t levels = violation_ledger::levels;

  struct kind_series {
    std::array<prometheus::Counter*, outcomes> by_outcome{};
    prometheus::Histogram* seconds = nullptr;
  };

  struct level_series {
    std::array<kind_series, kinds> by_kind; ///< in the order of the oneof; null where there is no such kind
    memory_reads from_memory;
    std::uint64_t collected = 0; ///< of them, by collect(); under reading_
    std::uint64_t tallied = 0;   ///< of them, by take_tallies(); under reading_
  };
  struct type_series {
    std::string level_name;                 ///< of the type
    level strongest = level::eventual;      ///< of the type; "" has none, and is counted as if it were this one
    std::array<level_series, levels> given; ///< by level, up to the strongest
    level_series& of(std::optional<level> l) {
      return given[static_cast<std::size_t>(std::min(l.value_or(strongest), strongest))];
    }
  };

public:
  /// Sets up one series per data type, kind of operation and level that it may be given.
  explicit operation_meter(const cluster& shape);

  void count(const measured_operation& ended, const v1::Result& result);
  void count(std::string_view type, v1::Operation::WhatCase what, const v1::Result& result, nanoseconds took) {
    count({.type = type, .what = what, .took = took}, result);
  }

  /// A configured type, and where the reads of it that this node's memory answered are counted: as done, in less than
  /// the shortest time that is told apart.
  struct configured_type {
    std::string_view name;
    data_type policy;
    type_series* series = nullptr;
    /// @param given  none = the level of the type.
    memory_reads& from_memory(std::optional<level> given = {}) const { return series->of(given).from_memory; }
  };
  /// nullptr: the type is not configured. @cost  looks at the length of each type's name.
  const configured_type* find(std::string_view type) const {
    for (const auto& known : configured_)
      if (known.name == type) return &known;
    return nullptr;
  }

  /// For /metrics. Of levels that a type was not asked for, those that nobody has asked for are left out.
  std::vector<prometheus::MetricFamily> collect();

  /// What has ended since the last call, by level; for the monitor. Left out is what its caller gave up, or asked
  /// wrongly.
  std::vector<operation_tally> take_tallies(instant now);

private:
  struct tally {
    std::atomic<std::uint64_t> succeeded{0}, failed{0};
  };

  void add_type(const std::string& name, std::optional<level> l);
  void observe_waits(const measured_operation& ended, const std::string& type, const std::string& given);

  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& operations_;
  prometheus::Family<prometheus::Counter>& errors_;
  prometheus::Family<prometheus::Histogram>& seconds_;
  prometheus::Family<prometheus::Histogram>& staleness_;
  prometheus::Family<prometheus::Histogram>& waits_;
  std::map<std::string, type_series, std::less<>> types_; ///< one entry per configured type, and "" for all others
  std::vector<configured_type> configured_;
  std::array<tally, levels> tallies_; ///< since take_tallies(), but for reads from memory
  std::mutex reading_;                ///< held by who takes in the reads from memory
};

} // namespace troupe
