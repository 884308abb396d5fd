/// Load on a real cluster from a client node in this process, and a judge that knows only what the callers saw.
#pragma once

#include "protocol/check/history.hpp"

#include <troupe/runtime.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

namespace troupe::test {

/// What a trial does to the cluster; explains what its callers notice.
struct fault {
  std::string what;
  std::int64_t at = 0;   ///< stamp: it began
  std::int64_t over = 0; ///< stamp: the cluster could serve again
};

/// The stamps of a history: ns of the steady clock.
std::int64_t stamp_now();

struct load_options {
  std::uint32_t shards = 6;          ///< of the cluster; each has its own workers, on a register and a counter
  std::size_t workers_per_shard = 3; ///< so many calls meet on a key
  std::chrono::milliseconds pace{8}; ///< a worker issues no more than one call in this time
  std::chrono::milliseconds deadline{2'000};
  std::size_t value_bytes = 16; ///< of what is put; the unique beginning is never cut
};

/// Closed loops: every worker calls, waits for the answer, records both, and calls again.
class cluster_load {
public:
  static constexpr auto type = "inventory";

  cluster_load(runtime& client, const load_options& options);
  cluster_load(const cluster_load&) = delete;
  cluster_load& operator=(const cluster_load&) = delete;
  ~cluster_load(); ///< stop()

  void start();
  /// Lets every call end and every worker go.
  void stop();

  /// Waits until every shard has acknowledged `each` calls that were issued after this one began.
  bool wait_for_progress(std::uint64_t each, std::chrono::milliseconds at_most) const;

  /// Reads all keys, as the last calls of the history.
  void read_all();
  /// Records a call of somebody else.
  void record(check::operation done);

  const load_options& options() const { return options_; }
  std::string register_of(std::uint32_t shard) const { return registers_.at(shard); }
  std::string counter_of(std::uint32_t shard) const { return counters_.at(shard); }
  std::int64_t began() const { return began_; }
  std::int64_t ended() const { return ended_; }
  /// Once stopped.
  check::history history() const;

private:
  void work(std::uint32_t shard, std::size_t worker);
  bool rest() const;

  runtime& client_;
  const load_options options_;
  std::vector<std::string> registers_; ///< by shard
  std::vector<std::string> counters_;  ///< by shard
  std::vector<std::thread> workers_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool stopping_ = false;
  check::history history_;
  /// By shard: stamps at which acknowledged calls were issued.
  std::vector<std::vector<std::int64_t>> acknowledged_;
  std::int64_t began_ = 0;
  std::int64_t ended_ = 0;
};

/// What a history is judged against.
struct expectation {
  std::uint32_t shards = 6;
  std::int64_t began = 0; ///< of the load
  std::int64_t ended = 0;
  std::vector<fault> faults;
  std::size_t unknowns_max = 0;
  std::chrono::milliseconds window{1'000};          ///< no shard is without an acknowledged call for longer
  std::chrono::milliseconds window_of_fault{2'000}; ///< from a fault's end, if it began in that time
};

struct judgement {
  std::vector<std::string> problems; ///< sentences that begin with the invariant
  std::size_t operations = 0;
  std::size_t acknowledged = 0;
  std::size_t failed = 0;
  std::size_t unknown = 0;
  std::chrono::milliseconds longest_gap{0}; ///< without an acknowledged call on some shard
};

/// S1 by the checker; that no acknowledged addition is lost by adding up; progress in every window; unknowns within
/// their bound.
judgement judge(const check::history& history, const expectation& expected);

std::ostream& operator<<(std::ostream& out, const judgement& j);

} // namespace troupe::test
