#include "runtime/bench/closed_loop.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

namespace troupe::bench {

namespace {

using clock = std::chrono::steady_clock;

/// Shared by the clients. Each client's own fields are touched by one thread at a time: it has one operation under
/// way.
struct loop {
  struct client {
    explicit client(session own) : handle(std::move(own)) {}
    session handle;
    std::vector<std::uint32_t> latencies_us;
    std::string failure; ///< why this client has stopped early; empty = it has not
  };

  loop_options options;
  const loop_operation* operation = nullptr;
  std::vector<client> clients;
  clock::time_point until;
  std::atomic<std::uint64_t> issued{0};
  std::mutex mutex;
  std::condition_variable ended;
  std::size_t running = 0;

  void next(std::size_t index);
  void finish();
};

void loop::next(std::size_t index) {
  const auto begun = clock::now();
  const auto number = issued.fetch_add(1, std::memory_order_relaxed);
  if (number >= options.operations_max || begun >= until) return finish();
  (*operation)(clients[index].handle.async(), index, number, [this, index, begun](const error* why) {
    auto& self = clients[index];
    if (why == nullptr) {
      self.latencies_us.push_back(static_cast<std::uint32_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - begun).count()));
      return next(index);
    }
    self.failure = why->message();
    finish();
  });
}

void loop::finish() {
  const std::lock_guard lock{mutex};
  if (--running == 0) ended.notify_all();
}

} // namespace

double loop_outcome::latency_us(double fraction) const {
  if (latencies_us.empty()) return 0;
  const auto last = static_cast<double>(latencies_us.size() - 1);
  return latencies_us[static_cast<std::size_t>(last * fraction)];
}

loop_outcome run_loop(runtime& client_node, const loop_options& options, const loop_operation& operation) {
  loop shared;
  shared.options = options;
  shared.operation = &operation;
  shared.running = options.clients;
  shared.clients.reserve(options.clients);
  for (std::size_t i = 0; i < options.clients; ++i)
    shared.clients.emplace_back(client_node.open_session());
  const auto begun = clock::now();
  shared.until = options.length.count() > 0 ? begun + options.length : clock::time_point::max();
  for (std::size_t i = 0; i < options.clients; ++i)
    shared.next(i);
  {
    // Every operation has a deadline, so this ends.
    std::unique_lock lock{shared.mutex};
    shared.ended.wait(lock, [&] { return shared.running == 0; });
  }
  loop_outcome outcome;
  outcome.seconds = std::chrono::duration<double>(clock::now() - begun).count();
  for (auto& client : shared.clients) {
    outcome.acknowledged += client.latencies_us.size();
    outcome.failed += client.failure.empty() ? 0 : 1;
    if (outcome.first_failure.empty()) outcome.first_failure = client.failure;
    outcome.latencies_us.insert(outcome.latencies_us.end(), client.latencies_us.begin(), client.latencies_us.end());
  }
  std::sort(outcome.latencies_us.begin(), outcome.latencies_us.end());
  return outcome;
}

} // namespace troupe::bench
