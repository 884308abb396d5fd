/// Counts the operations that clients asked of this node, for /metrics.
#pragma once

#include "protocol/cluster.hpp"
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
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe {

/// The reads of one data type that this node's memory answered. Safe from any thread.
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

/// Safe from any thread. An operation is counted once, when its outcome is known to the face that issued it.
class operation_meter {
public:
  /// Sets up one series per data type and kind of operation.
  explicit operation_meter(const cluster& shape);

  /// @param what  WHAT_NOT_SET is not counted; a type that is not configured is counted as type "".
  void count(std::string_view type, v1::Operation::WhatCase what, const v1::Result& result, nanoseconds took);

  /// Where the reads of this type that this node's memory answered are counted: as done, in less than the shortest
  /// time that is told apart. nullptr: the type is not configured.
  /// @cost  looks at the length of each type's name.
  memory_reads* from_memory(std::string_view type) const {
    for (const auto& [name, reads] : from_memory_)
      if (name == type) return reads;
    return nullptr;
  }

  std::vector<prometheus::MetricFamily> collect();

private:
  /// How an operation can end. `refused` = it was done, and its condition did not hold.
  enum outcome_index : std::size_t { done, refused, not_done, unknown, outcomes };
  static constexpr std::size_t kinds = 12; ///< from get to remove_field; one number of the oneof between them is none

  struct kind_series {
    std::array<prometheus::Counter*, outcomes> by_outcome{};
    prometheus::Histogram* seconds = nullptr;
  };
  struct type_series {
    std::string level;
    memory_reads from_memory;
    std::uint64_t from_memory_collected = 0; ///< of these; under collecting_
    std::array<kind_series, kinds> by_kind;  ///< in the order of the oneof
  };

  void add_type(const std::string& name, std::string_view level);

  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& operations_;
  prometheus::Family<prometheus::Counter>& errors_;
  prometheus::Family<prometheus::Histogram>& seconds_;
  std::map<std::string, type_series, std::less<>> types_; ///< one entry per configured type, and "" for all others
  std::vector<std::pair<std::string_view, memory_reads*>> from_memory_; ///< one entry per configured type
  std::mutex collecting_;
};

} // namespace troupe
