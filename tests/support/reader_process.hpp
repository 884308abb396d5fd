/// A client node in a process of its own whose threads only read, so that it can be stopped and killed while it holds
/// locks.
#pragma once

#include "tests/support/cluster_trial.hpp"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::test {

/// It writes every read to a file as soon as it has ended, so nothing of it is lost with the process; conclude() puts
/// them into the history of the trial's load. Stamps of processes on one machine compare.
class reader_process {
public:
  /// Starts it, and waits until its memory has answered; throws a sentence when that takes too long.
  reader_process(trial& run, const std::string& name);

  void stop() const { process_->signal(SIGSTOP); }
  void cont() const { process_->signal(SIGCONT); }
  void kill9();

  /// Reads that its memory has answered, as of a moment ago.
  std::uint64_t hits() const;
  /// Whether its memory answers `more` reads than by now. Throws a sentence when the process has ended.
  bool reads_on(std::uint64_t more) const;

  /// Kills it if it still runs, and puts all its reads into the history.
  /// @return how many there are.
  std::size_t conclude();

private:
  trial& run_;
  const std::string name_;
  const std::filesystem::path reads_;
  const std::filesystem::path errors_;
  std::unique_ptr<child> process_;
};

/// The program: reads `keys` until it is killed. A line of the history format for every read; and, in a file beside
/// it, the count of the reader's own memory, a line each.
struct reader_task {
  std::string config;            ///< of a client node: a file
  std::string name;              ///< of its clients in the history
  std::string output;            ///< a file; the other is this + `hits_suffix`
  std::vector<std::string> keys; ///< each has a thread
};
inline constexpr std::string_view hits_suffix = ".hits";
/// Does not return while all is well.
int read_for_ever(const reader_task& task);

} // namespace troupe::test
