#include "runtime/bench/read_hits.hpp"

#include "runtime/bench/closed_loop.hpp"
#include "runtime/bench/mixed_load.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <mutex>
#include <optional>
#include <random>
#include <shared_mutex>
#include <unordered_map>

namespace troupe::bench {

namespace {

using failure = tl::unexpected<std::string>;
using clock = std::chrono::steady_clock;

/// Enough to keep the nodes busy, and too few to be refused.
constexpr std::size_t fill_clients = 256;
/// Reads between two looks at the clock. A look takes 20 to 50 ns, of which a read then bears a 32nd: that is left
/// in. The time of a group is that of single calls, one after the other, each with its own key; an interrupt spoils
/// its group and no other, and the median over the groups does not see it.
constexpr std::size_t group = 32;
constexpr std::size_t planned = std::size_t{1} << 16;

nlohmann::json status_of(const runtime& node) { return nlohmann::json::parse(node.status_json(), nullptr, false); }

std::uint64_t frames_of(const runtime& node) {
  std::uint64_t sum = 0;
  const auto status = status_of(node);
  for (const auto& link : status.value("links", nlohmann::json::array()))
    sum += link.value("frames_sent", std::uint64_t{0}) + link.value("frames_received", std::uint64_t{0});
  return sum;
}

std::uint64_t misses_of(const runtime& node) {
  return status_of(node).value("memory", nlohmann::json::object()).value("misses", std::uint64_t{0});
}

} // namespace

namespace {

/// What every cache in a process is measured against: one map under one lock. It promises nothing.
class locked_map {
public:
  explicit locked_map(const key_space& keys) {
    for (std::size_t n = 0; n < keys.size(); ++n)
      values_.emplace(keys.name(n), std::string(value_bytes, 'v'));
  }
  std::optional<std::string> get(const std::string& key) const {
    const std::shared_lock lock{mutex_};
    const auto found = values_.find(key);
    return found == values_.end() ? std::nullopt : std::optional{found->second};
  }

private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, std::string> values_;
};

/// Keys in the order in which they are asked for, each at hand: looking up a name is no part of a read.
std::vector<std::string> plan_of(const key_space& keys) {
  std::mt19937_64 random{1};
  std::vector<std::string> plan;
  plan.reserve(planned);
  for (std::size_t n = 0; n < planned; ++n)
    plan.push_back(keys.name(keys.draw(random)));
  return plan;
}

/// The median over groups of reads. Called by turns, each with its own.
class timed_reads {
public:
  /// @param get  reads one key; false: it was not found.
  template <class Get>
  tl::expected<void, std::string> run(const std::vector<std::string>& plan, clock::time_point until, const Get& get) {
    for (auto begun = clock::now(); begun < until; begun = clock::now()) {
      for (std::size_t n = 0; n < group; ++n) {
        if (!get(plan[next_])) return failure{"a read of " + plan[next_] + " did not find its value"};
        next_ = (next_ + 1) % plan.size();
      }
      groups_ns_.push_back(static_cast<std::uint32_t>((clock::now() - begun).count()));
    }
    return {};
  }
  double p50_ns() {
    std::sort(groups_ns_.begin(), groups_ns_.end());
    return quantile(groups_ns_, 0.5) / static_cast<double>(group);
  }

private:
  std::vector<std::uint32_t> groups_ns_;
  std::size_t next_ = 0;
};

} // namespace

tl::expected<hit_times, std::string> time_hits(runtime& node, const key_space& keys,
                                               std::chrono::nanoseconds length) {
  constexpr std::chrono::milliseconds turn{10}; // what disturbs the machine for longer disturbs both
  const auto plan = plan_of(keys);
  const locked_map map{keys};
  auto reader = node.open_session();
  timed_reads of_node, of_map;
  for (const auto until = clock::now() + 2 * length; clock::now() < until;) {
    const auto hits = of_node.run(plan, clock::now() + turn, [&](const std::string& key) {
      const auto answer = reader.get(key_type, key);
      return answer && *answer && (**answer).value.size() == value_bytes;
    });
    if (!hits) return failure{hits.error()};
    const auto beside = of_map.run(plan, clock::now() + turn, [&](const std::string& key) {
      const auto value = map.get(key);
      return value && value->size() == value_bytes;
    });
    if (!beside) return failure{beside.error()};
  }
  return hit_times{.node_p50_ns = of_node.p50_ns(), .map_p50_ns = of_map.p50_ns()};
}

tl::expected<void, std::string>
read_every_key(runtime& client_node, const key_space& keys,
               const std::function<void(const std::string& key, const std::string& value)>& seen) {
  const auto filled =
      run_loop(client_node, {.clients = fill_clients, .operations_max = keys.size()},
               [&](async_session session, std::size_t, std::uint64_t n, loop_answer done) {
                 const auto& key = keys.name(n);
                 session.get(key_type, key,
                             {[&key, &seen, done = std::move(done)](const result<std::optional<found>>& r) {
                                if (r && *r && seen) seen(key, (**r).value);
                                done(r ? nullptr : &r.error());
                              },
                              {.deadline = std::chrono::seconds{10}}});
               });
  if (filled.failed == 0) return {};
  return failure{"reading every key: " + filled.first_failure};
}

tl::expected<void, std::string> measure_hits(runtime& client_node, const key_space& keys,
                                             std::chrono::nanoseconds length, hit_results& results) {
  const auto missed = misses_of(client_node);
  const auto times = time_hits(client_node, keys, length);
  if (!times) return failure{times.error()};
  results.read_hit_p50_ns.rounds.push_back(times->node_p50_ns);
  results.map_hit_p50_ns.rounds.push_back(times->map_p50_ns);
  for (const std::size_t threads : {1U, 2U}) {
    const auto reads = run_mixed(client_node, keys, {.clients = threads, .length = length, .written = {}});
    if (!reads.first_failure.empty()) return failure{reads.first_failure};
    (threads == 1 ? results.read_hits_per_s_1 : results.read_hits_per_s_2).rounds.push_back(reads.per_second());
  }
  // Leases last: nothing but a stall of this process for longer than one makes a read miss.
  if (const auto now = misses_of(client_node); now - missed > keys.size() / 100)
    return failure{std::to_string(now - missed) + " reads were not answered from memory"};

  const auto memory = status_of(client_node).value("memory", nlohmann::json::object());
  const auto entries = memory.value("entries", 0.0);
  if (entries <= 0) return failure{"the client node keeps no copies"};
  double names = 0;
  for (std::size_t n = 0; n < keys.size(); ++n)
    names += static_cast<double>(std::string_view{key_type}.size() + 1 + keys.name(n).size());
  results.l1_bytes_per_entry.rounds.push_back(memory.value("bytes", 0.0) / entries
                                              - names / static_cast<double>(keys.size()) - value_bytes);
  return {};
}

tl::expected<void, std::string> measure_holders(runtime& writer, std::vector<runtime>& holders, const key_space& keys,
                                                std::chrono::nanoseconds length, holder_results& results) {
  for (std::size_t count = 0; count < results.write1_p50_us.size(); ++count) {
    if (count > 0)
      if (auto held = read_every_key(holders[count - 1], keys); !held) return held;
    const auto before = frames_of(holders.front());
    const auto writes = run_mixed(writer, keys, {.clients = 1, .reads = 0, .length = length, .written = {}});
    if (!writes.first_failure.empty()) return failure{writes.first_failure};
    results.write1_p50_us[count].rounds.push_back(quantile(writes.write_ns, 0.5) / 1000);
    if (count == 1)
      results.frames_per_write.rounds.push_back(static_cast<double>(frames_of(holders.front()) - before)
                                                / static_cast<double>(std::max<std::uint64_t>(writes.writes, 1)));
  }
  return {};
}

} // namespace troupe::bench
