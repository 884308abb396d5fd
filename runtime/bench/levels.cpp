#include "runtime/bench/levels.hpp"

#include "protocol/cluster.hpp"
#include "runtime/bench/bench_cluster.hpp"
#include "runtime/bench/closed_loop.hpp"
#include "runtime/bench/disk_probe.hpp"
#include "runtime/bench/mixed_load.hpp"
#include "runtime/bench/no_promise.hpp"
#include "runtime/bench/read_hits.hpp"
#include "runtime/runtime_access.hpp"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <optional>

namespace troupe::bench {

namespace {

using failure = tl::unexpected<std::string>;
using step = tl::expected<void, std::string>;

constexpr double skew = 0.99;
constexpr std::size_t load_clients = 512;
/// Before anything is measured, so that threads, sessions and the nodes' caches are what they will be.
constexpr std::chrono::milliseconds warm_up{300};
/// The default of a client node's memory, too: ten times what the keys need.
constexpr std::size_t copies_bytes_max = std::size_t{256} << 20;

memory_table::counters copies_of(const runtime& client_node) {
  memory_table::counters counted;
  runtime_access{client_node}.with_parts([&](assembly& parts) {
    const auto& actors = parts.actors();
    if (const auto& weak = actors.copies().table)
      counted = weak->count();
    else
      counted = actors.memory()->count();
  });
  return counted;
}

/// Three nodes and the clients, with the promise or without.
class contestant {
public:
  /// @param folder  is made.
  static tl::expected<std::unique_ptr<contestant>, std::string> start(const levels_options& options, bool promise,
                                                                      const std::filesystem::path& folder) {
    std::unique_ptr<contestant> made{new contestant{folder}};
    const bool weaker = options.at != level::strong;
    cluster_options shape{.troupe = options.troupe, .folder = folder, .at = options.at, .first_is_callers = weaker};
    if (!promise) {
      if (weaker)
        shape.at = level::eventual; // no order, no dependencies, no waits
      else
        shape.lease = unpromised_lease;
      made->copies_.emplace(copies_bytes_max);
    }
    auto nodes = bench_cluster::start(shape);
    if (!nodes) return failure{nodes.error()};
    made->nodes_ = std::move(*nodes);
    auto configuration = config::from_toml(weaker ? made->nodes_->first_node_toml() : made->nodes_->client_toml(),
                                           "the clients' configuration");
    if (configuration && !promise) configuration = made->copies_->attach_to(*configuration);
    auto client = ready_runtime(std::move(configuration));
    if (!client) return failure{client.error()};
    made->client_.emplace(std::move(*client));
    return made;
  }

  contestant(const contestant&) = delete;
  contestant& operator=(const contestant&) = delete;
  ~contestant() {
    client_.reset();
    nodes_.reset();
    std::error_code ignored;
    for (const auto& file : std::filesystem::directory_iterator{folder_, ignored})
      if (file.is_directory()) std::filesystem::remove_all(file, ignored); // the stores; logs stay
  }

  /// Writes every key, then reads every key, so that the client node holds copies of all.
  step fill(const key_space& keys) {
    const auto written = run_loop(
        *client_, {.clients = load_clients, .operations_max = keys.size()},
        [&](async_session session, std::size_t, std::uint64_t n, loop_answer done) {
          session.put(key_type, keys.name(n), std::string(value_bytes, 'v'),
                      {[done = std::move(done)](const result<troupe::written>& r) { done(r ? nullptr : &r.error()); },
                       {.deadline = std::chrono::seconds{10}}});
        });
    if (written.failed > 0) return failure{"writing every key: " + written.first_failure};
    return read_every_key(*client_, keys, teller());
  }

  mixed_outcome run(const key_space& keys, mixed_options options) {
    options.written = teller();
    return run_mixed(*client_, keys, options);
  }

  memory_table::counters copies() const { return copies_of(*client_); }
  /// Of all processes, since their start.
  double cpu_seconds() const {
    const auto used = nodes_->used();
    return std::accumulate(used.node_cpu_seconds.begin(), used.node_cpu_seconds.end(), used.client_cpu_seconds);
  }

private:
  explicit contestant(std::filesystem::path folder) : folder_(std::move(folder)) {
    std::filesystem::create_directory(folder_);
  }

  /// Without read locks somebody has to tell the copies what was written.
  std::function<void(const std::string&, const std::string&)> teller() {
    if (!copies_) return {};
    return
        [this](const std::string& key, const std::string& value) { copies_->tell(stored_key(key_type, key), value); };
  }

  const std::filesystem::path folder_;
  std::optional<unpromised_copies> copies_; ///< none with the promise; outlives the client node
  std::unique_ptr<bench_cluster> nodes_;
  std::optional<runtime> client_; ///< ends before the nodes
};

/// One run: what was measured so far.
class levels_run {
public:
  levels_run(const levels_options& options, const std::function<void(const std::string&)>& say)
      : options_(options), say_(say), keys_(options.keys, skew) {
    results_.at = options.at;
    results_.keys = options.keys;
    results_.clients = options.clients;
    results_.mixes = {{"A", 0.5, {}, {}}, {"B", 0.95, {}, {}}, {"C", 1, {}, {}}};
  }

  tl::expected<levels_results, std::string> all() {
    for (std::size_t round = 0; round < options_.rounds; ++round)
      for (const bool first : {true, false}) {
        const bool promise = first == (round % 2 == 0);
        if (auto taken = turn(round, promise); !taken) return failure{taken.error()};
      }
    double average = 0;
    if (::getloadavg(&average, 1) == 1) results_.load_average = average;
    return results_;
  }

private:
  step turn(std::size_t round, bool promise) {
    say_(std::string{promise ? "with" : "without"} + " the promise (round " + std::to_string(round + 1) + " of "
         + std::to_string(options_.rounds) + ")");
    auto disk = probe_disk(options_.folder, 300);
    if (!disk) return failure{disk.error()};
    results_.fdatasync_p50_us.rounds.push_back(*disk);
    const auto folder = options_.folder / (std::to_string(round + 1) + (promise ? "-on" : "-off"));
    auto system = contestant::start(options_, promise, folder);
    if (!system) return failure{system.error()};
    if (auto filled = (*system)->fill(keys_); !filled) return filled;
    const auto warm =
        (*system)->run(keys_, {.clients = options_.clients, .reads = 0.5, .length = warm_up, .written = {}});
    if (!warm.first_failure.empty()) return failure{"warm-up: " + warm.first_failure};
    for (auto& mix : results_.mixes)
      if (auto measured = measure(**system, mix, promise ? mix.on : mix.off); !measured) return measured;
    return {};
  }

  step measure(contestant& system, const mix_results& mix, mix_figures& figures) {
    const auto before = system.copies();
    const auto cpu_before = system.cpu_seconds();
    // The same operations in every turn of both.
    const auto done = system.run(
        keys_,
        {.clients = options_.clients, .reads = mix.reads, .length = options_.mix_length, .seed = 1, .written = {}});
    if (!done.first_failure.empty()) return failure{"mix " + mix.name + ": " + done.first_failure};
    const auto cpu = system.cpu_seconds() - cpu_before;
    const auto hits = static_cast<double>(system.copies().hits - before.hits);
    const auto operations = static_cast<double>(std::max<std::uint64_t>(done.reads + done.writes, 1));
    figures.cpu_us_per_op.rounds.push_back(cpu * 1e6 / operations);
    figures.per_s.rounds.push_back(done.per_second());
    figures.read_p50_ns.rounds.push_back(quantile(done.read_ns, 0.5));
    figures.read_p99_ns.rounds.push_back(quantile(done.read_ns, 0.99));
    figures.hits_percent.rounds.push_back(100 * hits / static_cast<double>(std::max<std::uint64_t>(done.reads, 1)));
    if (done.writes == 0) return {};
    figures.write_p50_us.rounds.push_back(quantile(done.write_ns, 0.5) / 1000);
    figures.write_p99_us.rounds.push_back(quantile(done.write_ns, 0.99) / 1000);
    return {};
  }

  const levels_options& options_;
  const std::function<void(const std::string&)>& say_;
  const key_space keys_;
  levels_results results_;
};

} // namespace

double mix_results::cost_percent() const {
  const auto without = off.per_s.median();
  return without > 0 ? 100 * (1 - on.per_s.median() / without) : 0;
}

tl::expected<levels_results, std::string> measure_levels(const levels_options& options,
                                                         const std::function<void(const std::string&)>& say) {
  return levels_run{options, say}.all();
}

} // namespace troupe::bench
