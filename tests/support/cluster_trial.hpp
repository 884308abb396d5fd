/// One trial of a real cluster: three processes, load from this one, faults, and at the end the proof.
#pragma once

#include "tests/support/cluster.hpp"
#include "tests/support/cluster_load.hpp"

#include <troupe/runtime.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe::test {

struct trial_options {
  cluster_options cluster{};
  load_options load{};
};

/// The cluster with its load. What must not go wrong throws a sentence. The folder with stores, logs and history
/// stays when the test throws or the judge finds something. For the main thread: the processes end with it.
class trial {
public:
  /// For a node to be ready, and for whatever shall happen at all. How soon it has to, only the judge says: a machine
  /// that others use too is slow at times.
  static constexpr std::chrono::seconds patience{20};

  explicit trial(trial_options options = {});
  trial(const trial&) = delete;
  trial& operator=(const trial&) = delete;
  ~trial();

  /// Starts nodes, client and load, and waits until every shard serves.
  void begin();

  test_cluster& cluster() { return cluster_; }
  test_node& node(std::size_t i) { return cluster_.node(i); }
  cluster_load& load() { return *load_; }

  /// From now on callers may notice `what`: for window_of_fault, or until so long after recovered().
  void struck(std::string what);
  void recovered() { faults_.back().over = stamp_now(); }
  /// Every shard acknowledges `each` new calls.
  void serve(std::uint64_t each, std::chrono::milliseconds at_most = patience);
  /// Lets the load run on until this long after the last fault began.
  void last(std::chrono::milliseconds since_fault);

  /// Kills all nodes at the same moment.
  void kill_all();
  /// Starts all nodes, and waits until they and the client are ready.
  void start_all();
  void start_node(std::size_t i);
  /// Which node leads the shard of the load, as a node says that is asked.
  std::size_t home_of(std::uint32_t shard);
  /// The /v1/status of a node; nothing when it does not answer, or is stopped.
  std::optional<std::string> status_of(std::size_t i);

  /// Ends the load, kills all nodes at once, starts them, reads every key, and judges. Afterwards, stops all.
  /// @param unknowns_max  absent = as many calls as were under way at all faults together.
  judgement conclude(std::optional<std::size_t> unknowns_max = {});

private:
  void write_history() const;
  std::size_t workers() const;

  const trial_options options_;
  test_cluster cluster_;
  std::optional<runtime> client_;
  std::unique_ptr<cluster_load> load_;
  std::vector<fault> faults_;
  bool failed_ = false;
};

} // namespace troupe::test
