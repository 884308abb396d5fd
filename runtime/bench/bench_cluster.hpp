/// Three `troupe node` processes on the loopback address, for measuring them.
#pragma once

#include "protocol/ids.hpp"

#include <troupe/level.hpp>

#include <tl/expected.hpp>
#include <troupe/processes.hpp>
#include <troupe/runtime.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace troupe::bench {

/// What the processes have used since their start.
struct usage {
  std::array<double, 3> node_cpu_seconds{}; ///< by node; 0 = not running
  std::array<std::uint64_t, 3> syncs{};     ///< by node
  double client_cpu_seconds = 0;            ///< of this process
};

struct cluster_options {
  std::filesystem::path troupe; ///< the program
  std::filesystem::path folder; ///< for stores, configurations and logs; exists, is empty
  std::chrono::milliseconds lease{400};
  level at = level::strong; ///< of the data type of every key
  std::string settings{};   ///< TOML: what else that type has
  std::string more_types{}; ///< TOML: sections
  /// The first node is left to the caller, who runs it in this process (node_toml).
  bool first_is_callers = false;
};

/// Stores, configurations and logs are below one folder. Everything ends with this object. For the main thread.
class bench_cluster {
public:
  static constexpr std::size_t nodes = 3;
  static constexpr std::uint32_t shards = 256;

  /// Makes the stores, starts the nodes and waits until each is ready.
  /// @errors a sentence, with what the node that failed has said.
  static tl::expected<std::unique_ptr<bench_cluster>, std::string> start(cluster_options options);

  /// The configuration of a client node, in the region of that node.
  std::string client_toml(const std::string& name = "clients", std::size_t near = 0) const;

  /// The configuration of the first node, for a runtime in this process; its store is made.
  std::string first_node_toml() const;

  /// SIGKILL. Returns when the process is gone.
  void kill(std::size_t node) { processes_[node].running.reset(); }

  /// Starts a node that was killed. @return from the start of the process until it says that it is ready.
  tl::expected<std::chrono::nanoseconds, std::string> restart(std::size_t node);

  /// Which node leads a shard; absent = nobody says that it does.
  std::map<shard_id, std::size_t> homes() const;

  usage used() const;

private:
  struct process {
    std::string name;
    std::uint16_t port = 0;
    std::uint16_t admin = 0;
    std::optional<child> running;
  };

  explicit bench_cluster(cluster_options options) : options_(std::move(options)) {}
  std::string shared_toml() const;
  std::string node_toml(const process& node) const;
  std::size_t first_process() const { return options_.first_is_callers ? 1 : 0; }
  tl::expected<void, std::string> make_store(const process& node) const;
  tl::expected<void, std::string> spawn(process& node);
  tl::expected<void, std::string> wait_ready(process& node);
  std::filesystem::path file(const process& node, const char* extension) const;
  std::string failure_of(const process& node, const std::string& what) const;

  const cluster_options options_;
  std::array<process, nodes> processes_;
};

/// Starts a runtime in this process, and waits until it is ready.
/// @errors a sentence.
tl::expected<runtime, std::string> ready_runtime(result<config> configuration);

} // namespace troupe::bench
