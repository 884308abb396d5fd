#include "runtime/bench/weaker.hpp"

#include "runtime/bench/bench_cluster.hpp"
#include "runtime/bench/closed_loop.hpp"
#include "runtime/bench/disk_probe.hpp"
#include "runtime/bench/mixed_load.hpp"
#include "runtime/bench/read_hits.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

namespace troupe::bench {

namespace {

using failure = tl::unexpected<std::string>;
using step = tl::expected<void, std::string>;
using clock = std::chrono::steady_clock;

constexpr double read_skew = 0.99;
constexpr std::size_t writers = 256;
constexpr std::chrono::seconds patience{30};
const std::string talk = "talk"; ///< the causal type

std::uint32_t since_us(clock::time_point begun) {
  return static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - begun).count());
}

class weaker_run {
public:
  weaker_run(const weaker_options& options, const std::function<void(const std::string&)>& say)
      : options_(options), say_(say), keys_(options.keys, read_skew) {}

  tl::expected<weaker_results, std::string> all() {
    auto done = begin();
    for (std::size_t round = 0; done && round < options_.rounds; ++round)
      done = one_round(round);
    if (!done) return failure{done.error()};
    double average = 0;
    if (::getloadavg(&average, 1) == 1) results_.load_average = average;
    return results_;
  }

private:
  step begin() {
    say_("three nodes start in " + options_.folder.string());
    auto nodes = bench_cluster::start({.troupe = options_.troupe,
                                       .folder = options_.folder,
                                       .at = level::eventual,
                                       .settings = "durability = \"async\"\n",
                                       .more_types = "[types." + talk + "]\nlevel = \"causal\"\n",
                                       .first_is_callers = true});
    if (!nodes) return failure{nodes.error()};
    nodes_ = std::move(*nodes);
    auto member = ready_runtime(config::from_toml(nodes_->first_node_toml(), "the first node's configuration"));
    if (!member) return failure{member.error()};
    member_.emplace(std::move(*member));
    auto reader = ready_runtime(config::from_toml(nodes_->client_toml("reader", 1), "the reader's configuration"));
    if (!reader) return failure{reader.error()};
    reader_.emplace(std::move(*reader));
    say_(std::to_string(keys_.size()) + " keys are written and read by one session");
    return one_long_session();
  }

  /// Touches every key, and for a tenth of them a causal one, too; looks at the token in the end.
  step one_long_session() {
    auto session = member_->open_session();
    std::vector<pending<written>> open;
    const auto put = [&](const std::string& type, const std::string& key) {
      open.push_back(session.async().put(type, key, std::string(value_bytes, 'v'), {.deadline = patience}));
    };
    for (std::size_t n = 0; n < keys_.size(); ++n) {
      put(key_type, keys_.name(n));
      if (n % 10 == 0) put(talk, keys_.name(n));
      if (open.size() < writers && n + 1 < keys_.size()) continue;
      for (auto& one : open)
        if (const auto answer = one.get(); !answer) return failure{answer.error().message()};
      open.clear();
    }
    const auto token = session.token();
    if (!token) return failure{token.error().message()};
    results_.token_bytes = token->size();
    return {};
  }

  step one_round(std::size_t round) {
    const auto which = " (round " + std::to_string(round + 1) + " of " + std::to_string(options_.rounds) + ")";
    auto disk = probe_disk(options_.folder, 300);
    if (!disk) return failure{disk.error()};
    results_.fdatasync_p50_us.rounds.push_back(*disk);
    say_("eventual reads from memory" + which);
    const auto hits = time_hits(*member_, keys_, options_.round_length);
    if (!hits) return failure{hits.error()};
    results_.eventual_read_p50_ns.rounds.push_back(hits->node_p50_ns);
    results_.map_read_p50_ns.rounds.push_back(hits->map_p50_ns);
    say_("eventual writes of " + std::to_string(writers) + " clients" + which);
    const auto written_all = run_loop(
        *member_, {.clients = writers, .length = options_.round_length},
        [this](async_session session, std::size_t, std::uint64_t n, loop_answer done) {
          session.put(key_type, keys_.name(n * 7919 % keys_.size()), std::string(value_bytes, 'w'),
                      {[done = std::move(done)](const result<written>& r) { done(r ? nullptr : &r.error()); },
                       {.deadline = patience}});
        });
    if (written_all.failed > 0) return failure{"eventual writes: " + written_all.first_failure};
    results_.eventual_write_per_s.rounds.push_back(written_all.per_second());
    say_("causal writes that another region waits for" + which);
    return visibility();
  }

  step visibility() {
    auto writer = member_->open_session();
    std::vector<std::uint32_t> write_us, visible_us, again_us;
    const auto until = clock::now() + options_.round_length;
    for (std::uint64_t n = 0; clock::now() < until; ++n) {
      const auto key = "k" + std::to_string(n % 100);
      const auto text = std::to_string(n);
      const auto called = clock::now();
      if (const auto answer = writer.put(talk, key, text, {.deadline = patience}); !answer)
        return failure{"causal write: " + answer.error().message()};
      write_us.push_back(since_us(called));
      const auto answered = clock::now();
      const auto token = writer.token();
      if (!token) return failure{token.error().message()};
      auto reader = reader_->open_session();
      if (const auto joined = reader.join(*token); !joined) return failure{joined.error().message()};
      for (auto* times : {&visible_us, &again_us}) {
        const auto begun = times == &visible_us ? answered : clock::now();
        const auto found = reader.get(talk, key, {.deadline = patience});
        if (!found) return failure{"causal read: " + found.error().message()};
        if (!*found || (**found).value != text) return failure{"a causal read did not find what its token names"};
        times->push_back(since_us(begun));
      }
    }
    for (auto* times : {&write_us, &visible_us, &again_us})
      std::sort(times->begin(), times->end());
    results_.causal_write_p50_us.rounds.push_back(quantile(write_us, 0.5));
    results_.visible_p50_us.rounds.push_back(quantile(visible_us, 0.5));
    results_.visible_p99_us.rounds.push_back(quantile(visible_us, 0.99));
    results_.read_again_p50_us.rounds.push_back(quantile(again_us, 0.5));
    return {};
  }

  const weaker_options& options_;
  const std::function<void(const std::string&)>& say_;
  const key_space keys_;
  std::unique_ptr<bench_cluster> nodes_;
  std::optional<runtime> member_, reader_; ///< end before the nodes
  weaker_results results_;
};

} // namespace

tl::expected<weaker_results, std::string> measure_weaker(const weaker_options& options,
                                                         const std::function<void(const std::string&)>& say) {
  return weaker_run{options, say}.all();
}

} // namespace troupe::bench
