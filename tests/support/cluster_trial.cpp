#include "tests/support/cluster_trial.hpp"

#include <nlohmann/json.hpp>

#include <csignal>
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>

namespace troupe::test {

namespace {

void need(bool well, const std::string& otherwise) {
  if (!well) throw std::runtime_error{otherwise};
}

cluster_options with_shards(cluster_options options, std::uint32_t shards) {
  options.shards = shards;
  return options;
}

} // namespace

trial::trial(trial_options options)
    : options_(std::move(options)), cluster_(with_shards(options_.cluster, options_.load.shards)) {}

trial::~trial() {
  if (load_) load_->stop();
  if (!failed_ && std::uncaught_exceptions() == 0) return;
  cluster_.keep_folder();
  write_history();
  std::cerr << "history: " << (cluster_.folder() / "history.jsonl").string() << "\n";
}

void trial::begin() {
  need(cluster_.start(patience), "the cluster did not start");
  auto client = runtime::start(config::from_toml(cluster_.client_toml("load")));
  if (!client) throw std::runtime_error{client.error().message()};
  client_.emplace(std::move(*client));
  const auto ready = client_->wait_ready(patience);
  need(ready.has_value(), ready ? "" : ready.error().message());
  load_ = std::make_unique<cluster_load>(*client_, options_.load);
  load_->start();
  serve(20);
}

void trial::struck(std::string what) {
  const auto now = stamp_now();
  faults_.push_back({std::move(what), now, now});
}

void trial::serve(std::uint64_t each, std::chrono::milliseconds at_most) {
  need(load_->wait_for_progress(each, at_most), "a shard did not acknowledge " + std::to_string(each) + " calls in "
                                                    + std::to_string(at_most.count()) + " ms"
                                                    + (faults_.empty() ? "" : " after " + faults_.back().what));
}

void trial::last(std::chrono::milliseconds since_fault) {
  const auto until = faults_.back().at + std::chrono::nanoseconds{since_fault}.count();
  const auto left = std::chrono::nanoseconds{std::max<std::int64_t>(0, until - stamp_now())};
  (void)wait_until([&] { return stamp_now() >= until; }, std::chrono::ceil<std::chrono::milliseconds>(left));
}

void trial::kill_all() {
  for (std::size_t i = 0; i < cluster_.size(); ++i)
    node(i).signal(SIGKILL);
  for (std::size_t i = 0; i < cluster_.size(); ++i)
    node(i).kill9();
}

void trial::start_all() {
  need(cluster_.start(patience), "the cluster did not start again");
  const auto ready = client_->wait_ready(patience);
  need(ready.has_value(), ready ? "" : "the client node: " + ready.error().message());
}

void trial::start_node(std::size_t i) {
  node(i).start();
  need(node(i).wait_ready(patience), node(i).name + " is not ready:\n" + node(i).log());
}

std::optional<std::string> trial::status_of(std::size_t i) {
  return node(i).stopped() ? std::nullopt : node(i).ask("/v1/status");
}

std::size_t trial::home_of(std::uint32_t shard) {
  std::optional<std::size_t> home;
  const bool known = wait_until(
      [&] {
        for (std::size_t i = 0; i < cluster_.size() && !home; ++i) {
          const auto status = nlohmann::json::parse(status_of(i).value_or("{}"), nullptr, false);
          if (!status.is_object() || !status.contains("shards")) continue;
          for (const auto& row : status["shards"])
            if (row.value("shard", ~0U) == shard && row.value("leading", false)) home = i;
        }
        return home.has_value();
      },
      patience);
  need(known, "nobody leads shard " + std::to_string(shard));
  return *home;
}

std::size_t trial::workers() const { return options_.load.shards * options_.load.workers_per_shard; }

judgement trial::conclude(std::optional<std::size_t> unknowns_max) {
  load_->stop();
  kill_all();
  start_all();
  load_->read_all();
  expectation expected;
  expected.shards = options_.load.shards;
  expected.began = load_->began();
  expected.ended = load_->ended();
  expected.faults = faults_;
  expected.unknowns_max = unknowns_max.value_or(workers() * faults_.size());
  auto found = judge(load_->history(), expected);
  failed_ = !found.problems.empty();
  return found;
}

void trial::write_history() const {
  if (!load_) return;
  std::ofstream out{cluster_.folder() / "history.jsonl"};
  for (const auto& op : load_->history().operations)
    check::write_operation(out, op);
}

} // namespace troupe::test
