/// A node's status as gauges and counters, for /metrics.
#pragma once

#include "actors/auditor.hpp"
#include "runtime/faces/alert_webhook.hpp"
#include "runtime/status.hpp"

#include <prometheus/metric_family.h>

#include <vector>

namespace troupe {

/// Homes, links, and the store where there is one.
/// @param store  none on a client node.
std::vector<prometheus::MetricFamily> metrics_of(const node_setup& setup, const node_status& status,
                                                 const store_driver* store);

/// What an auditor has done.
std::vector<prometheus::MetricFamily> metrics_of(const audit_counts& audit);
/// How alerts reach their receiver.
std::vector<prometheus::MetricFamily> metrics_of(const alert_webhook::counters& webhook);

} // namespace troupe
