/// Child processes that end with their parent, and the ports they listen on: for programs that start a topology of
/// nodes, kill some, and start them again.
///
///     auto node = troupe::child::start({"troupe", "node", "--config", "eu-1.toml"}, "eu-1.log");
///     node->kill();
#pragma once

#include <tl/expected.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// How a process ended: its exit code, or 128 + the signal that ended it.
using exit_code = int;
/// It has ended, and how is lost: this process ignores SIGCHLD, or another part of it has waited for all its
/// children.
inline constexpr exit_code unknown_exit = -1;

/// A running process. Ends with this object, and with the thread that started it: start them from the main thread.
class child {
public:
  /// @param command  the program's path, then its arguments.
  /// @param output   what it writes to its standard output and error is appended here.
  /// @errors a sentence that names the program, or says that none was named.
  static tl::expected<child, std::string> start(const std::vector<std::string>& command,
                                                const std::filesystem::path& output);
  child(child&& other) noexcept;
  child& operator=(child&& other) noexcept;
  ~child(); ///< kill()

  int pid() const { return pid_; }

  /// Waits for its end. Nothing = it runs still. milliseconds::max() = for as long as it takes.
  std::optional<exit_code> wait(std::chrono::milliseconds at_most);
  /// SIGKILL, and waits for its end.
  void kill();
  /// SIGTERM; SIGKILL when it has not ended in time.
  exit_code stop(std::chrono::milliseconds at_most);

private:
  explicit child(int pid) : pid_(pid) {}
  int pid_ = -1; ///< -1 = ended, or moved from
  std::optional<exit_code> ended_;
};

/// Starts a process and waits for its end.
/// @errors a sentence: it cannot be started, or did not end in time and was killed.
tl::expected<exit_code, std::string> run_to_end(const std::vector<std::string>& command,
                                                const std::filesystem::path& output,
                                                std::chrono::milliseconds at_most);

/// Ports of the loopback address on which nobody listens, and which no process is given here while this one runs;
/// fewer than `count` when there are no more. Outside the range that the system hands out to outgoing connections, or
/// a redial could take a killed node's port.
std::vector<std::uint16_t> free_ports(std::size_t count);

} // namespace troupe
