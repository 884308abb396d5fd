/// Several runtimes in one process: nothing that they have in common may make one feel another.
#include <troupe/runtime.hpp>

#include "tests/actors/three_nodes.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

/// Adds to one counter from one node until told to stop; every addition that was answered, and those that are not
/// known.
struct adder {
  std::atomic<std::int64_t> sure{0};  ///< additions that were done
  std::atomic<std::int64_t> maybe{0}; ///< that are not known
  std::jthread thread;

  adder(runtime& node, std::string key) {
    thread = std::jthread{[this, s = node.open_session(), key](const std::stop_token& stop) mutable {
      while (!stop.stop_requested()) {
        const auto r = s.add("inventory", key, 1, {.floor = {}, .deadline = 5s});
        if (r) {
          ++sure;
          sure.notify_all();
        } else if (r.error().unknown()) {
          ++maybe;
        }
      }
    }};
  }
  void end() {
    if (!thread.joinable()) return; // it has ended
    thread.request_stop();
    thread.join();
  }
  /// Returns once as many more have been answered.
  void goes_on(std::int64_t more) const {
    const auto target = sure + more;
    for (auto now = sure.load(); now < target; now = sure.load())
      sure.wait(now);
  }
};

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in{file};
  return {std::istreambuf_iterator<char>{in}, {}};
}

/// What this process does with a signal.
struct sigaction handling(int signal) {
  struct sigaction now {};
  ::sigaction(signal, nullptr, &now);
  return now;
}

} // namespace

TEST_CASE("several runtimes in one process: one is stopped and started again, and the others go on") {
  const three_nodes cluster;
  auto members = cluster.start_members();
  std::deque<adder> adders; // one per runtime that was started
  for (auto& m : members)
    adders.emplace_back(m, "n");
  for (auto& a : adders)
    a.goes_on(20);

  for (std::size_t leaving = 0; leaving < members.size(); ++leaving) {
    REQUIRE(members[leaving].stop(10s));
    adders[leaving].end(); // a session of a stopped runtime is refused for good
    for (std::size_t i = leaving + 1; i < adders.size(); ++i)
      adders[i].goes_on(20);
    members[leaving] = cluster.start(cluster.base.shape.members[leaving].name);
    if (auto ready = members[leaving].wait_ready(20s); !ready) FAIL(ready.error().message());
    adders.emplace_back(members[leaving], "n").goes_on(20);
  }

  std::int64_t sure = 0;
  std::int64_t maybe = 0;
  for (auto& a : adders) {
    a.end();
    sure += a.sure;
    maybe += a.maybe;
  }
  const auto sum = value_of(members[0].open_session().get("inventory", "n", {.deadline = 10s}));
  REQUIRE(sum);
  CHECK(std::stoll(sum->value) >= sure);
  CHECK(std::stoll(sum->value) <= sure + maybe);
  for (auto& m : members)
    CHECK(m.stop(10s));
}

TEST_CASE("several runtimes in one process: each keeps its own log, and none touches the signals of the process") {
  const int signals[] = {SIGTERM, SIGINT, SIGPIPE, SIGHUP, SIGCHLD};
  std::vector<void (*)(int)> before;
  for (const int signal : signals)
    before.push_back(handling(signal).sa_handler);
  const three_nodes cluster;
  {
    auto members = cluster.start_members();
    value_of(members[1].open_session().put("inventory", "k", "v"));
    for (std::size_t i = 0; i < before.size(); ++i)
      CHECK((handling(signals[i]).sa_handler == before[i]));
  }
  for (const auto& m : cluster.base.shape.members) {
    const auto log = text_of(cluster.folder.path / (m.name + ".log"));
    CHECK(log.find("runtime.started node=" + m.name) != std::string::npos);
    CHECK(log.find("runtime.ended") != std::string::npos);
    for (const auto& other : cluster.base.shape.members)
      if (other.name != m.name) CHECK(log.find("runtime.started node=" + other.name) == std::string::npos);
  }
}

TEST_CASE("several runtimes in one process: client nodes come and go while another one works") {
  const three_nodes cluster;
  auto members = cluster.start_members();
  auto stays = cluster.start("stays");
  if (auto ready = stays.wait_ready(20s); !ready) FAIL(ready.error().message());
  adder busy{stays, "n"};
  busy.goes_on(10);
  for (int i = 0; i < 5; ++i) {
    auto comes = cluster.start("comes");
    if (auto ready = comes.wait_ready(20s); !ready) FAIL(ready.error().message());
    value_of(comes.open_session().put("inventory", "k", std::to_string(i), {.deadline = 10s}));
    CHECK(comes.stop(10s));
    busy.goes_on(10);
  }
  busy.end();
  CHECK(busy.maybe == 0);
}
