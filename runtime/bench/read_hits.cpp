#include "runtime/bench/read_hits.hpp"

#include "runtime/bench/closed_loop.hpp"
#include "runtime/bench/mixed_load.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

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

tl::expected<double, std::string> hit_p50_ns(runtime& node, const key_space& keys, std::chrono::nanoseconds length) {
  std::mt19937_64 random{1};
  std::vector<std::uint32_t> plan(planned);
  for (auto& key : plan)
    key = keys.draw(random);
  auto reader = node.open_session();
  std::vector<std::uint32_t> groups_ns;
  const auto until = clock::now() + length;
  std::size_t next = 0;
  for (auto begun = clock::now(); begun < until; begun = clock::now()) {
    for (std::size_t n = 0; n < group; ++n) {
      const auto answer = reader.get(key_type, keys.name(plan[next]));
      if (!answer || !*answer || (**answer).value.size() != value_bytes)
        return failure{"a read of " + keys.name(plan[next]) + " did not find its value"};
      next = (next + 1) % planned;
    }
    groups_ns.push_back(static_cast<std::uint32_t>((clock::now() - begun).count()));
  }
  std::sort(groups_ns.begin(), groups_ns.end());
  return quantile(groups_ns, 0.5) / static_cast<double>(group);
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
  const auto p50 = hit_p50_ns(client_node, keys, length);
  if (!p50) return failure{p50.error()};
  results.read_hit_p50_ns.rounds.push_back(*p50);
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
