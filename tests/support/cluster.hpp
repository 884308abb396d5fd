/// Clusters of real `troupe node` processes on this machine, for the tests that kill, stop and restart them.
///
/// Every wait is bounded and looks at what it waits for. A test that fails keeps its folder when TROUPE_KEEP is set.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe::test {

/// What a test ends with that could not be run here, after it has said why; ctest then calls it skipped.
inline constexpr int skipped_exit_code = 77;

/// Looks at `condition` every few milliseconds; false when it has not become true in time.
bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds at_most);

/// As troupe::free_ports, and throws when there are fewer.
std::vector<std::uint16_t> free_ports(std::size_t count);

/// A folder that goes with the object, with everything in it.
class temporary_folder {
public:
  temporary_folder();
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  ~temporary_folder();
  const std::filesystem::path& path() const { return path_; }
  /// Leaves the folder behind, and says where.
  void keep() { keep_ = true; }

private:
  std::filesystem::path path_;
  bool keep_ = false;
};

/// A child process; killed when the object goes. Its output goes to files.
class child {
public:
  child(const std::vector<std::string>& command, const std::filesystem::path& output,
        const std::filesystem::path& errors);
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  ~child();

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  /// The exit code, or 128 + the signal that ended it; none when it has not ended in time.
  std::optional<int> wait(std::chrono::milliseconds at_most);

private:
  pid_t pid_ = 0;
  std::optional<int> ended_;
};

/// What a finished command said.
struct command_result {
  int exit_code = 0;
  std::string output;
  std::string errors;
};
/// Runs a command to its end; killed, with exit code 137, when it does not end in time.
command_result run(const std::vector<std::string>& command,
                   std::chrono::milliseconds at_most = std::chrono::seconds{30});

/// The `troupe` of this build (TROUPE_BINARY_DIR).
std::string troupe_binary();

/// Where a node runs: an address of its own, and the words before its command that bring it there.
struct node_place {
  std::string host = "127.0.0.1";
  std::vector<std::string> launcher{};
};

struct cluster_options {
  std::size_t nodes = 3;
  std::uint32_t shards = 256;
  std::vector<node_place> places{}; ///< one per node; empty = all on the loopback
  int lease_ms = 400;
  int deadline_ms = 1'000;
  std::string shape; ///< TOML for all nodes, behind the types "inventory" (strong) and "key" (strong)
};

/// One node of a test_cluster.
class test_node {
public:
  std::string name;
  node_place place;
  std::uint16_t link_port = 0;
  std::uint16_t resp_port = 0;
  std::uint16_t admin_port = 0;
  std::filesystem::path folder;

  std::string admin() const { return place.host + ":" + std::to_string(admin_port); }
  std::filesystem::path config() const { return folder / "node.toml"; }

  void start();
  bool running();
  /// Answers /readyz with 200 in time.
  bool wait_ready(std::chrono::milliseconds at_most);
  /// What the admin HTTP says at this path, whatever the status; nothing when it does not answer in two seconds.
  std::optional<std::string> ask(const std::string& path) const;
  void kill9();
  void signal(int number) { process_->signal(number); }
  void stop(); ///< SIGSTOP
  void cont(); ///< SIGCONT
  /// Between stop() and cont(): whoever asks it something waits.
  bool stopped() const { return stopped_; }
  /// SIGTERM; the exit code, none when it has not ended in time.
  std::optional<int> terminate(std::chrono::milliseconds at_most);
  /// The exit code of a node that ends by itself; none when it has not ended in time.
  std::optional<int> wait_end(std::chrono::milliseconds at_most) { return process_->wait(at_most); }
  /// All that its starts have logged.
  std::string log() const;
  const child& process() const { return *process_; }

private:
  std::unique_ptr<child> process_;
  bool stopped_ = false;
};

/// Nodes node-1, node-2, … in regions r1, r2, …, in a temporary folder, with initialized stores.
class test_cluster {
public:
  explicit test_cluster(const cluster_options& options = {});

  /// Starts all nodes and waits until all are ready; false, with their logs printed, when that takes too long.
  bool start(std::chrono::milliseconds at_most = std::chrono::seconds{20});
  test_node& node(std::size_t i) { return *nodes_.at(i); }
  std::size_t size() const { return nodes_.size(); }
  const std::filesystem::path& folder() const { return folder_.path(); }
  void keep_folder() { folder_.keep(); }
  /// The configuration of a client node of this cluster, in region r1.
  std::string client_toml(const std::string& name) const;

private:
  std::string shared_toml(const cluster_options& options) const;
  void write_config(const cluster_options& options, const test_node& own) const;

  temporary_folder folder_;
  std::string shared_; ///< what is the same in all configurations
  std::vector<std::unique_ptr<test_node>> nodes_;
};

} // namespace troupe::test
