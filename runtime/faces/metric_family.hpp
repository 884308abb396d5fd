/// Families of metrics that are gathered anew for each question.
#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <utility>
#include <vector>

namespace troupe::metrics {

/// A family of one kind of value, filled sample by sample.
class family {
public:
  family(std::string name, std::string help, prometheus::MetricType type) {
    built_.name = std::move(name);
    built_.help = std::move(help);
    built_.type = type;
  }

  template <class Number> family& add(Number value, std::vector<prometheus::ClientMetric::Label> labels = {}) {
    prometheus::ClientMetric sample;
    sample.label = std::move(labels);
    if (built_.type == prometheus::MetricType::Counter)
      sample.counter.value = static_cast<double>(value);
    else
      sample.gauge.value = static_cast<double>(value);
    built_.metric.push_back(std::move(sample));
    return *this;
  }

  prometheus::MetricFamily take() { return std::move(built_); }

private:
  prometheus::MetricFamily built_;
};

inline family counter(std::string name, std::string help) {
  return {"troupe_" + std::move(name), std::move(help), prometheus::MetricType::Counter};
}
inline family gauge(std::string name, std::string help) {
  return {"troupe_" + std::move(name), std::move(help), prometheus::MetricType::Gauge};
}

} // namespace troupe::metrics
