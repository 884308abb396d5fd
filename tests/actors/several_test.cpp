/// Several runtimes in one process: nothing that they have in common may make one feel another.
#include <troupe/runtime.hpp>

#include "tests/actors/three_nodes.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <csignal>
#include <cstdint>
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
  std::atomic<std::int64_t> sure{0};
  std::atomic<std::int64_t> maybe{0};
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
  {
    adder first{members[0], "n"};
    adder second{members[1], "n"};
    adder third{members[2], "n"};
    for (auto* a : {&first, &second, &third})
      a->goes_on(20);

    for (int round = 0; round < 3; ++round) {
      auto& leaving = members[static_cast<std::size_t>(round)];
      value_of(leaving.stop(10s).map([] { return true; }));
      for (auto* a : {&first, &second, &third})
        if (a != (round == 0 ? &first : round == 1 ? &second : &third) && a->thread.joinable()) a->goes_on(20);
      leaving = cluster.start(cluster.base.shape.members[static_cast<std::size_t>(round)].name);
      if (auto ready = leaving.wait_ready(20s); !ready) FAIL(ready.error().message());
      auto again = leaving.open_session();
      value_of(again.add("inventory", "others", 1, {.floor = {}, .deadline = 10s}));
      // The sessions of the stopped runtime stay refused; its thread is done with.
      auto& gone = round == 0 ? first : round == 1 ? second : third;
      gone.thread.request_stop();
      gone.thread.join();
      if (round == 2) {
        const auto sum = value_of(again.get("inventory", "n", {.deadline = 10s}));
        REQUIRE(sum);
        const auto sure = first.sure + second.sure + third.sure;
        CHECK(std::stoll(sum->value) >= sure);
        CHECK(std::stoll(sum->value) <= sure + first.maybe + second.maybe + third.maybe);
        CHECK(value_of(again.get("inventory", "others"))->value == "3");
      }
    }
  }
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
  CHECK(busy.maybe == 0);
}
