/// A node's status as gauges and counters, for /metrics.
#pragma once

#include "runtime/status.hpp"

#include <prometheus/metric_family.h>

#include <vector>

namespace troupe {

/// Homes, links, and the store where there is one.
/// @param store  none on a client node.
std::vector<prometheus::MetricFamily> metrics_of(const node_setup& setup, const node_status& status,
                                                 const store_driver* store);

} // namespace troupe
