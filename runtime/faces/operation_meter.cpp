#include "runtime/faces/operation_meter.hpp"

#include "runtime/faces/typed_operation.hpp"

#include <algorithm>

namespace troupe {

namespace {

using prometheus::Histogram;

constexpr std::array<std::string_view, 4> outcome_names{"done", "refused", "not_done", "unknown"};
constexpr auto first_kind = v1::Operation::kGet;

/// 50 µs to 10 s.
const Histogram::BucketBoundaries& latency_buckets() {
  static const Histogram::BucketBoundaries bounds{5e-5,  1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01,
                                                  0.025, 0.05, 0.1,    0.25, 0.5,  1.0,    2.5,  10.0};
  return bounds;
}

/// 1 ms to an hour.
const Histogram::BucketBoundaries& staleness_buckets() {
  static const Histogram::BucketBoundaries bounds{1e-3, 5e-3, 0.01, 0.05, 0.1,   0.5,
                                                  1.0,  5.0,  10.0, 60.0, 300.0, 3600.0};
  return bounds;
}

double seconds_of(nanoseconds d) { return std::chrono::duration<double>(d).count(); }

/// An operation that failed by no fault of ours misses no target.
bool is_callers(errc code) {
  switch (code) {
  case errc::key_too_long:
  case errc::value_too_large:
  case errc::unknown_type:
  case errc::unsupported_level:
  case errc::not_a_number:
  case errc::out_of_range:
  case errc::shutting_down:
  case errc::invalid_argument:
  case errc::wrong_kind:
  case errc::lock_lost:
  case errc::fenced:
  case errc::not_protected:
  case errc::bad_token:
  case errc::unsupported_operation:
  case errc::too_many_siblings:
  case errc::cancelled:
  case errc::abandoned:
    return true;
  default:
    return false;
  }
}

/// Of a level that the type was not configured with, and that nobody has asked for.
bool is_unused(const prometheus::ClientMetric& m) {
  std::string_view own, given;
  for (const auto& label : m.label) {
    if (label.name == "level") own = label.value;
    if (label.name == "given") given = label.value;
  }
  return !given.empty() && own != given && m.counter.value == 0 && m.histogram.sample_count == 0;
}

} // namespace

operation_meter::operation_meter(const cluster& shape)
    : operations_(
        prometheus::BuildCounter()
            .Name("troupe_operations_total")
            .Help("Operations of this node's clients, by how they ended; level: of the type, given: of this "
                  "operation")
            .Register(registry_)),
      errors_(prometheus::BuildCounter()
                  .Name("troupe_operation_errors_total")
                  .Help("Operations that ended with an error, by its code")
                  .Register(registry_)),
      seconds_(prometheus::BuildHistogram()
                   .Name("troupe_operation_seconds")
                   .Help("From the client's request to its outcome")
                   .Register(registry_)),
      staleness_(prometheus::BuildHistogram()
                     .Name("troupe_staleness_seconds")
                     .Help("How old at most was what was read, where that was measured; level: that it was given")
                     .Register(registry_)),
      waits_(prometheus::BuildHistogram()
                 .Name("troupe_wait_seconds")
                 .Help("What an operation waited for, and for how long; level: that it was given")
                 .Register(registry_)) {
  add_type("", std::nullopt);
  for (const auto& [name, type] : shape.types) {
    add_type(name, type.consistency);
    const auto series = types_.find(name);
    configured_.push_back({series->first, type, &series->second});
  }
}

void operation_meter::add_type(const std::string& name, std::optional<level> l) {
  auto& series = types_[name];
  series.level_name = l ? name_of(*l) : "none";
  series.strongest = l.value_or(level::eventual);
  for (std::size_t g = 0; g <= static_cast<std::size_t>(series.strongest); ++g)
    for (std::size_t kind = 0; kind < kinds; ++kind) {
      const auto what = static_cast<v1::Operation::WhatCase>(static_cast<std::size_t>(first_kind) + kind);
      if (name_of(what) == "none") continue; // a number between two kinds
      prometheus::Labels labels{{"type", name},
                                {"level", series.level_name},
                                {"given", l ? std::string{name_of(static_cast<level>(g))} : "none"},
                                {"operation", std::string{name_of(what)}}};
      auto& one = series.given[g].by_kind[kind];
      one.seconds = &seconds_.Add(labels, latency_buckets());
      for (std::size_t i = 0; i < outcomes; ++i) {
        labels["outcome"] = outcome_names[i];
        one.by_outcome[i] = &operations_.Add(labels);
      }
    }
}

std::vector<prometheus::MetricFamily> operation_meter::collect() {
  {
    const std::lock_guard lock{reading_};
    for (auto& [name, series] : types_)
      for (auto& given : series.given) {
        const auto so_far = given.from_memory.sum();
        const auto reads = static_cast<double>(so_far - given.collected);
        given.collected = so_far;
        if (reads == 0) continue;
        const auto& gets = given.by_kind[0];
        gets.by_outcome[done]->Increment(reads);
        std::vector<double> buckets(latency_buckets().size() + 1);
        buckets[0] = reads;
        gets.seconds->ObserveMultiple(buckets, 0);
      }
  }
  auto families = registry_.Collect();
  for (auto& family : families)
    std::erase_if(family.metric, is_unused);
  return families;
}

std::vector<operation_tally> operation_meter::take_tallies(instant now) {
  std::array<operation_tally, levels> all;
  for (std::size_t l = 0; l < levels; ++l)
    all[l] = {static_cast<level>(l), tallies_[l].succeeded.exchange(0), tallies_[l].failed.exchange(0), now};
  {
    const std::lock_guard lock{reading_};
    for (auto& [name, series] : types_)
      for (std::size_t l = 0; l < levels; ++l) {
        const auto so_far = series.given[l].from_memory.sum();
        all[l].succeeded += so_far - std::exchange(series.given[l].tallied, so_far);
      }
  }
  std::vector<operation_tally> some;
  for (const auto& one : all)
    if (one.succeeded + one.failed > 0) some.push_back(one);
  return some;
}

void operation_meter::count(const measured_operation& ended, const v1::Result& result) {
  const auto what = ended.what;
  if (what == v1::Operation::WHAT_NOT_SET) return;
  auto found = types_.find(ended.type);
  const bool known = found != types_.end();
  if (!known) found = types_.find("");
  auto& [name, series] = *found;
  const auto code = code_of(result);
  const bool conditional = what == v1::Operation::kAdd || what == v1::Operation::kCompareAndSet
                           || what == v1::Operation::kAcquireLock || what == v1::Operation::kReleaseLock;
  auto outcome_is = conditional && !result.applied() ? refused : done;
  if (code != errc::none) {
    outcome_is = outcome_of(code) == outcome::unknown ? unknown : not_done;
    errors_.Add({{"type", name}, {"level", series.level_name}, {"code", std::string{name_of(code)}}}).Increment();
  }
  const auto given = std::min(ended.given.value_or(series.strongest), series.strongest);
  const auto& kind = series.of(given).by_kind[static_cast<std::size_t>(what) - static_cast<std::size_t>(first_kind)];
  kind.by_outcome[outcome_is]->Increment();
  kind.seconds->Observe(seconds_of(ended.took));
  if (!known) return;
  auto& so_far = tallies_[static_cast<std::size_t>(given)];
  if (code == errc::none)
    ++so_far.succeeded;
  else if (!is_callers(code))
    ++so_far.failed;
  observe_waits(ended, name, std::string{name_of(given)});
}

void operation_meter::observe_waits(const measured_operation& ended, const std::string& type,
                                    const std::string& given) {
  if (ended.staleness)
    staleness_.Add({{"type", type}, {"level", given}}, staleness_buckets()).Observe(seconds_of(*ended.staleness));
  const std::pair<std::string_view, nanoseconds> waits[] = {
      {"dependency", ended.waited_dependency}, {"token", ended.waited_token}, {"lock", ended.waited_lock}};
  for (const auto& [what, waited] : waits)
    if (waited > nanoseconds{0})
      waits_.Add({{"type", type}, {"level", given}, {"wait", std::string{what}}}, latency_buckets())
          .Observe(seconds_of(waited));
}

} // namespace troupe
