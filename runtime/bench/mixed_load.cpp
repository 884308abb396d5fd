#include "runtime/bench/mixed_load.hpp"

#include <algorithm>
#include <barrier>
#include <thread>

namespace troupe::bench {

namespace {

using clock = std::chrono::steady_clock;

/// A read from memory takes little longer than two looks at the clock: most are counted only.
constexpr std::uint64_t timed_every = 16;
/// What a client does, over and over: drawn before it starts, because drawing costs as much as a read.
constexpr std::size_t planned = std::size_t{1} << 16;
constexpr std::chrono::seconds deadline{10};

struct planned_operation {
  std::uint32_t key;
  bool write;
};

std::vector<planned_operation> plan_of(const key_space& keys, double reads, std::uint64_t seed) {
  std::mt19937_64 random{seed};
  std::vector<planned_operation> plan;
  for (std::size_t n = 0; n < planned; ++n) {
    const auto key = keys.draw(random);
    plan.push_back({key, static_cast<double>(random() >> 11U) * 0x1p-53 >= reads});
  }
  return plan;
}

std::uint32_t since(clock::time_point begun) {
  const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(clock::now() - begun).count();
  return static_cast<std::uint32_t>(std::min<std::int64_t>(took, UINT32_MAX));
}

/// One client. `outcome` is its own.
void run_client(session handle, const std::vector<planned_operation>& plan, const key_space& keys,
                const mixed_options& options, clock::time_point until, mixed_outcome& outcome) {
  const std::string value(value_bytes, 'v');
  for (std::uint64_t n = 0;; ++n) {
    const auto& next = plan[n % plan.size()];
    const auto& key = keys.name(next.key);
    const bool timed = next.write || n % timed_every == 0;
    const auto begun = timed ? clock::now() : clock::time_point{};
    if (begun >= until) return;
    if (next.write) {
      const auto answer = handle.put(key_type, key, value, {.deadline = deadline});
      if (!answer) return void(outcome.first_failure = answer.error().message());
      if (options.written) options.written(key, value);
      outcome.write_ns.push_back(since(begun));
      ++outcome.writes;
    } else {
      const auto answer = handle.get(key_type, key, {.deadline = deadline});
      if (!answer) return void(outcome.first_failure = answer.error().message());
      if (timed) outcome.read_ns.push_back(since(begun));
      ++outcome.reads;
    }
  }
}

void append_sorted(std::vector<std::uint32_t>& all, const std::vector<std::uint32_t>& more) {
  const auto middle = static_cast<std::ptrdiff_t>(all.size());
  all.insert(all.end(), more.begin(), more.end());
  std::sort(all.begin() + middle, all.end());
  std::inplace_merge(all.begin(), all.begin() + middle, all.end());
}

} // namespace

double quantile(const std::vector<std::uint32_t>& sorted, double fraction) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<std::size_t>(static_cast<double>(sorted.size() - 1) * fraction)];
}

mixed_outcome run_mixed(runtime& client_node, const key_space& keys, const mixed_options& options) {
  std::vector<mixed_outcome> outcomes(options.clients);
  clock::time_point begun;
  // The last that is ready starts the clock of all.
  std::barrier together{static_cast<std::ptrdiff_t>(options.clients), [&]() noexcept { begun = clock::now(); }};
  std::vector<std::thread> clients;
  for (std::size_t i = 0; i < options.clients; ++i)
    clients.emplace_back([&, i] {
      const auto plan = plan_of(keys, options.reads, options.seed + i);
      auto handle = client_node.open_session();
      together.arrive_and_wait();
      run_client(std::move(handle), plan, keys, options, begun + options.length, outcomes[i]);
    });
  for (auto& client : clients)
    client.join();
  mixed_outcome all;
  all.seconds = std::chrono::duration<double>(clock::now() - begun).count();
  for (const auto& one : outcomes) {
    all.reads += one.reads;
    all.writes += one.writes;
    if (all.first_failure.empty()) all.first_failure = one.first_failure;
    append_sorted(all.read_ns, one.read_ns);
    append_sorted(all.write_ns, one.write_ns);
  }
  return all;
}

} // namespace troupe::bench
