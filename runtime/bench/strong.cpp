#include "runtime/bench/strong.hpp"

#include "protocol/cluster.hpp"
#include "runtime/bench/closed_loop.hpp"
#include "runtime/bench/disk_probe.hpp"

#include <cstdlib>
#include <memory>
#include <optional>
#include <random>

namespace troupe::bench {

namespace {

using failure = tl::unexpected<std::string>;
using clock = std::chrono::steady_clock;

constexpr double read_skew = 0.99;
constexpr std::size_t warm_clients = 512;
/// Many, because storing a key the first time is two rounds, and the time of neither is measured.
constexpr std::size_t store_clients = 2'048;
constexpr std::chrono::seconds recovery_patience{30};
constexpr std::chrono::seconds stop_patience{30};
const std::string hot_key = "hot";

usage operator-(usage a, const usage& b) {
  for (std::size_t i = 0; i < bench_cluster::nodes; ++i) {
    a.node_cpu_seconds[i] -= b.node_cpu_seconds[i];
    a.syncs[i] -= b.syncs[i];
  }
  a.client_cpu_seconds -= b.client_cpu_seconds;
  return a;
}

void operator+=(usage& a, const usage& b) {
  for (std::size_t i = 0; i < bench_cluster::nodes; ++i) {
    a.node_cpu_seconds[i] += b.node_cpu_seconds[i];
    a.syncs[i] += b.syncs[i];
  }
  a.client_cpu_seconds += b.client_cpu_seconds;
}

double milliseconds_of(std::chrono::nanoseconds t) { return std::chrono::duration<double, std::milli>(t).count(); }

/// One run: the nodes, the client node, and what was measured so far.
class strong_run {
public:
  strong_run(const strong_options& options, const std::function<void(const std::string&)>& say)
      : options_(options), say_(say) {}

  tl::expected<strong_results, std::string> all() {
    auto begun = begin();
    for (std::size_t round = 0; begun && round < options_.rounds; ++round)
      begun = one_round(round);
    if (begun) begun = check_hot_key();
    if (begun) begun = reads_from_memory();
    if (begun) begun = store_keys();
    for (std::size_t i = 0; begun && i < options_.kills; ++i)
      begun = kill_home(i);
    if (!begun) return failure{begun.error()};
    double average = 0;
    if (::getloadavg(&average, 1) == 1) results_.load_average = average;
    return results_;
  }

private:
  using step = tl::expected<void, std::string>;

  step begin() {
    say_("three nodes start in " + options_.folder.string());
    auto nodes = bench_cluster::start({.troupe = options_.troupe, .folder = options_.folder});
    if (!nodes) return failure{nodes.error()};
    nodes_ = std::move(*nodes);
    auto clients = client_node("clients");
    if (!clients) return failure{clients.error()};
    clients_.emplace(std::move(*clients));
    say_("warm-up: " + std::to_string(options_.keys) + " keys");
    auto touched = run_loop(*clients_, {.clients = warm_clients, .operations_max = options_.keys}, put_each());
    return sound("warm-up", touched);
  }

  tl::expected<runtime, std::string> client_node(const std::string& name) const {
    return ready_runtime(config::from_toml(nodes_->client_toml(name), "the configuration of " + name));
  }

  step one_round(std::size_t round) {
    const auto which = " (round " + std::to_string(round + 1) + " of " + std::to_string(options_.rounds) + ")";
    const auto before = nodes_->used();
    auto disk = probe_disk(options_.folder, 300);
    if (!disk) return failure{disk.error()};
    results_.fdatasync_p50_us.rounds.push_back(*disk);

    say_("writes of 1 client" + which);
    auto one = writes(1);
    results_.write1_p50_us.rounds.push_back(one.latency_us(0.5));
    results_.write1_per_s.rounds.push_back(one.per_second());
    if (auto s = sound("write1", one); !s) return s;

    say_("writes of 64 clients" + which);
    const auto before_64 = nodes_->used();
    auto many = writes(64);
    results_.used_by_write64 += nodes_->used() - before_64;
    results_.acknowledged_by_write64 += many.acknowledged;
    results_.write64_per_s.rounds.push_back(many.per_second());
    results_.write64_p99_us.rounds.push_back(many.latency_us(0.99));
    if (auto s = sound("write64", many); !s) return s;

    say_("writes of 256 clients" + which);
    auto crowd = writes(256);
    results_.write256_per_s.rounds.push_back(crowd.per_second());
    results_.write256_p99_us.rounds.push_back(crowd.latency_us(0.99));
    if (auto s = sound("write256", crowd); !s) return s;

    say_("additions of 64 clients to one key" + which);
    auto hot = run_loop(*clients_, {.clients = 64, .length = options_.round_length},
                        [](async_session session, std::size_t, std::uint64_t, loop_answer done) {
                          session.add(key_type, hot_key, 1, {[done = std::move(done)](const result<added>& r) {
                                        done(r ? nullptr : &r.error());
                                      }});
                        });
    results_.hot_acknowledged += hot.acknowledged;
    results_.hotkey64_per_s.rounds.push_back(hot.per_second());
    results_.used += nodes_->used() - before;
    return sound("hotkey64", hot);
  }

  /// Puts to uniform random keys for the length of a round.
  loop_outcome writes(std::size_t clients) {
    std::vector<std::mt19937_64> random;
    for (std::size_t i = 0; i < clients; ++i)
      random.emplace_back(++seed_);
    return run_loop(*clients_, {.clients = clients, .length = options_.round_length},
                    [&](async_session session, std::size_t client, std::uint64_t, loop_answer done) {
                      put(session, random[client]() % options_.keys, std::move(done));
                    });
  }

  static void put(async_session& session, std::uint64_t key, loop_answer done) {
    session.put(key_type, key_name(key), std::string(value_bytes, 'v'),
                {[done = std::move(done)](const result<written>& r) { done(r ? nullptr : &r.error()); },
                 {.deadline = std::chrono::seconds{10}}});
  }

  /// Puts to key 0, 1, 2, …
  static loop_operation put_each() {
    return [](async_session session, std::size_t, std::uint64_t n, loop_answer done) {
      put(session, n, std::move(done));
    };
  }

  step check_hot_key() {
    auto session = clients_->open_session();
    auto value = session.add(key_type, hot_key, 0);
    if (!value) return failure{"the hot key cannot be read: " + value.error().message()};
    results_.hot_value = value->value;
    return {};
  }

  /// By client nodes that end before anything else is measured, and give their read locks back: no other measure
  /// meets one.
  step reads_from_memory() {
    const key_space keys{options_.keys, read_skew};
    auto reader = client_node("reader");
    if (!reader) return failure{reader.error()};
    say_("reads from memory");
    step done = read_every_key(*reader, keys);
    for (std::size_t round = 0; done && round < options_.rounds; ++round)
      done = measure_hits(*reader, keys, options_.round_length / 4, results_.hits);
    if (!done) return done;
    if (auto stopped = reader->stop(stop_patience); !stopped) return failure{"reader: " + stopped.error().message()};

    say_("writes of 1 client to keys that nobody, one and two others hold");
    const key_space held{options_.held_keys, 0};
    for (std::size_t round = 0; done && round < options_.rounds; ++round) {
      std::vector<runtime> holders;
      for (const char* name : {"holder-1", "holder-2"}) {
        auto holder = client_node(name);
        if (!holder) return failure{holder.error()};
        holders.push_back(std::move(*holder));
      }
      done = measure_holders(*clients_, holders, held, options_.round_length / 4, results_.held);
    }
    return done;
  }

  step store_keys() {
    say_(std::to_string(options_.stored_keys) + " keys are stored");
    auto stored = run_loop(*clients_, {.clients = store_clients, .operations_max = options_.stored_keys}, put_each());
    results_.store_s = stored.seconds;
    return sound("storing the keys", stored);
  }

  step kill_home(std::size_t n) {
    say_("the home of a shard is killed (" + std::to_string(n + 1) + " of " + std::to_string(options_.kills) + ")");
    auto session = clients_->open_session();
    // A key that was written, of a shard that the node leads whose turn it is, so that every node has one.
    const auto victim = n % bench_cluster::nodes;
    const auto homes = nodes_->homes();
    auto led_by_victim = [&](std::uint64_t key) {
      const auto home = homes.find(shard_of(stored_key(key_type, key_name(key)), bench_cluster::shards));
      return home != homes.end() && home->second == victim;
    };
    std::uint64_t key = 0;
    while (!led_by_victim(key))
      if (++key == options_.stored_keys) return failure{"node " + std::to_string(victim + 1) + " leads no shard"};
    auto before = session.put(key_type, key_name(key), "before");
    if (!before) return failure{"before the kill: " + before.error().message()};
    const auto begun = clock::now();
    nodes_->kill(victim);
    auto after = session.put(key_type, key_name(key), "after", {.deadline = recovery_patience});
    if (!after) return failure{"after the kill: " + after.error().message()};
    results_.recovery_ms.rounds.push_back(milliseconds_of(clock::now() - begun));
    auto started = nodes_->restart(victim);
    if (!started) return failure{started.error()};
    results_.start_ms.rounds.push_back(milliseconds_of(*started));
    return {};
  }

  static step sound(const std::string& what, const loop_outcome& outcome) {
    if (outcome.failed == 0) return {};
    return failure{what + ": " + std::to_string(outcome.failed) + " clients met an error: " + outcome.first_failure};
  }

  const strong_options& options_;
  const std::function<void(const std::string&)>& say_;
  std::unique_ptr<bench_cluster> nodes_;
  std::optional<runtime> clients_; ///< ends before the nodes
  strong_results results_;
  std::uint64_t seed_ = 0; ///< of the last client; every client of every round has its own
};

} // namespace

tl::expected<strong_results, std::string> measure_strong(const strong_options& options,
                                                         const std::function<void(const std::string&)>& say) {
  return strong_run{options, say}.all();
}

} // namespace troupe::bench
