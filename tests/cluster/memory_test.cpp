/// Nodes that answer strong reads from their memory, while homes and holders are killed and stopped.
#include "tests/support/cluster_trial.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <atomic>
#include <thread>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

/// A second client node, whose threads only read, as fast as the pace allows, and put all that into the history of
/// the load.
class readers {
public:
  explicit readers(trial& run) : run_(run), node_(start(run)) {
    for (std::uint32_t shard = 0; shard < run.load().options().shards; ++shard)
      threads_.emplace_back([this, shard] { work(shard); });
  }
  readers(const readers&) = delete;
  readers& operator=(const readers&) = delete;
  ~readers() { stop(); }

  void stop() {
    stopping_ = true;
    for (auto& t : threads_)
      t.join();
    threads_.clear();
  }

  /// How many reads memory has answered.
  std::uint64_t hits() const {
    return nlohmann::json::parse(node_.status_json()).at("memory").at("hits").get<std::uint64_t>();
  }

private:
  static runtime start(trial& run) {
    auto started = runtime::start(config::from_toml(run.cluster().client_toml("readers")));
    if (!started) throw std::runtime_error{started.error().message()};
    if (auto ready = started->wait_ready(trial::patience); !ready) throw std::runtime_error{ready.error().message()};
    return std::move(*started);
  }

  void work(std::uint32_t shard) {
    auto s = node_.open_session();
    const auto name = "reader-" + std::to_string(shard) + ".";
    int life = 0;
    for (bool counter = false; !stopping_; counter = !counter) {
      check::operation op;
      op.client = "\"" + name + std::to_string(life) + "\"";
      op.key = counter ? run_.load().counter_of(shard) : run_.load().register_of(shard);
      op.kind = check::op_kind::get;
      op.call = stamp_now();
      const auto answer = s.get(cluster_load::type, op.key, {500ms});
      op.outcome = answer                      ? check::op_outcome::ok
                   : answer.error().not_done() ? check::op_outcome::fail
                                               : check::op_outcome::unknown;
      if (answer && *answer) op.value = (*answer)->value;
      if (op.outcome == check::op_outcome::unknown)
        ++life; // a client ends with its first unknown
      else
        op.returned = stamp_now();
      run_.load().record(std::move(op));
      (void)wait_until([this] { return stopping_.load(); }, 3ms);
    }
  }

  trial& run_;
  runtime node_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

/// Reads of unknown outcome say nothing, and readers have many.
constexpr std::size_t any_unknowns = 100'000;

} // namespace

TEST_CASE("S1: homes are killed while another node reads their keys from memory, and it never reads what is over") {
  trial run;
  run.begin();
  readers others{run};
  for (int round = 0; round < 3; ++round) {
    const auto victim = run.home_of(0);
    const auto before = others.hits();
    run.struck("SIGKILL of " + run.node(victim).name + ", which leads shard 0");
    run.node(victim).kill9();
    run.serve(50, 5s);
    run.start_node(victim);
    run.serve(50, 5s);
    CHECK(others.hits() > before);
  }
  others.stop();
  MESSAGE("reads from memory: " << others.hits());
  const auto found = run.conclude(any_unknowns);
  MESSAGE(found);
  CHECK(found.problems.empty());
}

TEST_CASE("S1: a home that is stopped for 0.5 s and for 2 s is not believed by those who hold locks of it") {
  trial run;
  run.begin();
  readers others{run};
  for (const auto pause : {500ms, 2'000ms}) {
    const auto home = run.home_of(0);
    run.struck("SIGSTOP of " + run.node(home).name + ", which leads shard 0");
    run.node(home).stop();
    run.last(pause);
    run.node(home).cont();
    run.recovered();
    run.serve(50, 5s);
  }
  others.stop();
  CHECK(others.hits() > 0);
  MESSAGE("reads from memory: " << others.hits());
  const auto found = run.conclude(any_unknowns);
  MESSAGE(found);
  CHECK(found.problems.empty());
}
