/// A client node in a process of its own that takes one named lock, over and over, so that it can be stopped and
/// killed while it has it, or waits for it.
#pragma once

#include "tests/support/cluster.hpp"
#include "tests/support/lock_ledger.hpp"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace troupe::test {

/// It writes down what it does as soon as it is over, so nothing of it is lost with the process.
class owner_process {
public:
  /// @param nap  it stops itself (SIGSTOP) for so long now and then, in the middle of what it does under the lock.
  owner_process(test_cluster& cluster, const std::string& name, std::chrono::milliseconds nap);

  const std::string& name() const { return name_; }
  void stop() const { process_->signal(SIGSTOP); }
  void cont() const { process_->signal(SIGCONT); }
  void kill9();
  /// All that it has written down so far.
  std::vector<ledger_entry> ledger() const;
  /// What it has said on its error output.
  std::string errors() const;

private:
  const std::string name_;
  const std::filesystem::path ledger_, errors_;
  std::unique_ptr<child> process_;
};

/// The program.
struct owner_task {
  std::string config; ///< of a client node: a file
  std::string name;
  std::string output;
  std::chrono::milliseconds nap;
};
/// Does not return while all is well.
int own_for_ever(const owner_task& task);

} // namespace troupe::test
