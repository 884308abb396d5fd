/// What a node says about its update streams: the weaker levels' records, what is visible, who waits for whom.
#pragma once

#include "actors/interfaces.hpp"

#include <nlohmann/json_fwd.hpp>
#include <prometheus/metric_family.h>

#include <optional>
#include <vector>

namespace troupe {

/// What the actors answered. Whoever did not answer in time is left out.
struct streams_status {
  std::vector<weak_manager_status> managers;     ///< one per weaker level
  std::optional<stream_replica::status> replica; ///< none on a client node; so the two below
  std::optional<frontier_status> frontier;
  std::vector<update_stream_status> peers; ///< one per other member
};

nlohmann::ordered_json to_json(const streams_status& status, const cluster& shape);
std::vector<prometheus::MetricFamily> metrics_of(const streams_status& status, const cluster& shape);

} // namespace troupe
