#include "runtime/faces/operation_meter.hpp"

#include "runtime/faces/typed_operation.hpp"

namespace troupe {

namespace {

constexpr std::array<std::string_view, 4> outcome_names{"done", "refused", "not_done", "unknown"};
constexpr auto first_kind = v1::Operation::kGet;

/// 50 µs to 10 s.
const prometheus::Histogram::BucketBoundaries& latency_buckets() {
  static const prometheus::Histogram::BucketBoundaries bounds{5e-5,  1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01,
                                                              0.025, 0.05, 0.1,    0.25, 0.5,  1.0,    2.5,  10.0};
  return bounds;
}

} // namespace

operation_meter::operation_meter(const cluster& shape)
    : operations_(prometheus::BuildCounter()
                      .Name("troupe_operations_total")
                      .Help("Operations of this node's clients, by how they ended")
                      .Register(registry_)),
      errors_(prometheus::BuildCounter()
                  .Name("troupe_operation_errors_total")
                  .Help("Operations that ended with an error, by its code")
                  .Register(registry_)),
      seconds_(prometheus::BuildHistogram()
                   .Name("troupe_operation_seconds")
                   .Help("From the client's request to its outcome")
                   .Register(registry_)) {
  add_type("", "none");
  for (const auto& [name, type] : shape.types) {
    add_type(name, name_of(type.consistency));
    from_memory_.emplace_back(types_.find(name)->first, &types_.find(name)->second.from_memory);
  }
}

void operation_meter::add_type(const std::string& name, std::string_view level) {
  auto& series = types_[name];
  series.level = level;
  for (std::size_t kind = 0; kind < kinds; ++kind) {
    const auto what = static_cast<v1::Operation::WhatCase>(static_cast<std::size_t>(first_kind) + kind);
    if (name_of(what) == "none") continue; // a number between two kinds
    prometheus::Labels labels{{"type", name}, {"level", series.level}, {"operation", std::string{name_of(what)}}};
    series.by_kind[kind].seconds = &seconds_.Add(labels, latency_buckets());
    for (std::size_t i = 0; i < outcomes; ++i) {
      labels["outcome"] = outcome_names[i];
      series.by_kind[kind].by_outcome[i] = &operations_.Add(labels);
    }
  }
}

std::vector<prometheus::MetricFamily> operation_meter::collect() {
  const std::lock_guard lock{collecting_};
  for (auto& [name, series] : types_) {
    const auto all = series.from_memory.sum();
    const auto reads = static_cast<double>(all - std::exchange(series.from_memory_collected, all));
    if (reads == 0) continue;
    const auto& gets = series.by_kind[0];
    gets.by_outcome[done]->Increment(reads);
    std::vector<double> buckets(latency_buckets().size() + 1);
    buckets[0] = reads;
    gets.seconds->ObserveMultiple(buckets, 0);
  }
  return registry_.Collect();
}

void operation_meter::count(std::string_view type, v1::Operation::WhatCase what, const v1::Result& result,
                            nanoseconds took) {
  if (what == v1::Operation::WHAT_NOT_SET) return;
  auto found = types_.find(type);
  if (found == types_.end()) found = types_.find("");
  const auto& [name, series] = *found;
  const auto code = code_of(result);
  const bool conditional = what == v1::Operation::kAdd || what == v1::Operation::kCompareAndSet
                           || what == v1::Operation::kAcquireLock || what == v1::Operation::kReleaseLock;
  auto ended = conditional && !result.applied() ? refused : done;
  if (code != errc::none) {
    ended = outcome_of(code) == outcome::unknown ? unknown : not_done;
    errors_.Add({{"type", name}, {"level", series.level}, {"code", std::string{name_of(code)}}}).Increment();
  }
  const auto& kind = series.by_kind[static_cast<std::size_t>(what) - static_cast<std::size_t>(first_kind)];
  kind.by_outcome[ended]->Increment();
  kind.seconds->Observe(std::chrono::duration<double>(took).count());
}

} // namespace troupe
