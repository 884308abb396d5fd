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

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Safe from any thread. An operation is counted once, when its outcome is known to the face that issued it.
class operation_meter {
public:
  /// Sets up one series per data type and kind of operation.
  explicit operation_meter(const cluster& shape);

  /// @param what  WHAT_NOT_SET is not counted; a type that is not configured is counted as type "".
  void count(std::string_view type, v1::Operation::WhatCase what, const v1::Result& result, nanoseconds took);

  /// A read that this node's memory answered: far below the shortest time that is told apart.
  ///
  /// Why beside count(): it would cost more than the read, and threads would take turns at it.
  void count_memory_read(std::string_view type);

  std::vector<prometheus::MetricFamily> collect();

private:
  /// How an operation can end. `refused` = it was done, and its condition did not hold.
  enum outcome_index : std::size_t { done, refused, not_done, unknown, outcomes };
  static constexpr std::size_t kinds = 12; ///< from get to remove_field; one number of the oneof between them is none

  struct kind_series {
    std::array<prometheus::Counter*, outcomes> by_outcome{};
    prometheus::Histogram* seconds = nullptr;
  };
  /// Reads from memory that collect() has not counted yet, of the threads that share this place.
  struct alignas(64) memory_reads {
    std::atomic<std::uint64_t> count{0};
  };
  static constexpr std::size_t places = 16;

  struct type_series {
    std::string level;
    std::array<memory_reads, places> from_memory;
    std::array<kind_series, kinds> by_kind; ///< in the order of the oneof
  };

  void add_type(const std::string& name, std::string_view level);

  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& operations_;
  prometheus::Family<prometheus::Counter>& errors_;
  prometheus::Family<prometheus::Histogram>& seconds_;
  std::map<std::string, type_series, std::less<>> types_; ///< one entry per configured type, and "" for all others
};

} // namespace troupe
