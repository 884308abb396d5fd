/// A node whose disk takes no more writes, under load.
#include "tests/support/cluster_trial.hpp"

#include <doctest/doctest.h>

#include <sys/resource.h>

using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

/// No file of the node may grow beyond this any more: far more than it logs, and less than its store has written.
constexpr rlim_t file_bytes_max = 64 * 1024;

} // namespace

TEST_CASE("D1: a node whose store fails is not ready and says why, hands its shards over, and ends with an error") {
  trial run;
  run.begin();
  const auto victim = run.home_of(0);
  auto& node = run.node(victim);
  run.struck("failure of the disk of " + node.name);
  const rlimit limit{file_bytes_max, file_bytes_max};
  REQUIRE(::prlimit(node.process().pid(), RLIMIT_FSIZE, &limit, nullptr) == 0);

  std::string not_ready;
  std::string status;
  const bool ended = wait_until(
      [&] {
        const auto said = node.ask("/readyz").value_or("");
        if (said.find("the store refuses writes") != std::string::npos) not_ready = said;
        if (!not_ready.empty() && status.empty()) status = node.ask("/v1/status").value_or("");
        return !node.running();
      },
      20s);
  REQUIRE(ended);
  CHECK(not_ready.find("\"ready\":false") != std::string::npos);
  CHECK(status.find("\"store\":{\"failed\":true") != std::string::npos);
  CHECK(node.wait_end(0ms) == 1);
  const auto log = node.log();
  CHECK(log.find("store.failed") != std::string::npos); // and why
  CHECK(log.find("critical " + node.name + " node.fatal") != std::string::npos);
  CHECK(log.find("troupe node: storage_failed") != std::string::npos);

  run.serve(50);
  run.start_node(victim); // its disk is well again
  run.recovered();
  run.serve(50);
  const auto found = run.conclude();
  MESSAGE(found);
  CHECK(found.problems.empty());
}
