/// Nodes that answer strong reads from their memory, while homes and holders are killed and stopped.
///
/// Every node of these clusters keeps copies, the client node that works and those that only read as well.
#include "tests/support/reader_process.hpp"

#include <doctest/doctest.h>

using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

/// Reads of unknown outcome say nothing, and readers have many.
constexpr std::size_t any_unknowns = 100'000;

void check_history(trial& run) {
  const auto found = run.conclude(any_unknowns);
  MESSAGE(found);
  CHECK(found.problems.empty());
}

/// Stops the process for a while, in which every shard goes on, and lets it go on itself.
void stop_for(trial& run, reader_process& holder, std::chrono::milliseconds how_long) {
  run.struck("SIGSTOP of a client node that holds locks");
  holder.stop();
  run.serve(10);
  run.last(how_long);
  run.struck("SIGCONT of a client node that held locks");
  holder.cont();
  CHECK(holder.reads_on(50));
}

} // namespace

TEST_CASE("S1: homes and a holder are killed while others read their keys from memory, and never read what is over") {
  trial run;
  run.begin();
  reader_process victim{run, "victim"}, witness{run, "witness"};
  run.struck("SIGKILL of a client node that holds locks");
  victim.kill9();
  run.serve(50);
  reader_process successor{run, "successor"};
  for (int round = 0; round < 3; ++round) {
    const auto home = run.home_of(0);
    run.struck("SIGKILL of " + run.node(home).name + ", which leads shard 0");
    run.node(home).kill9();
    run.serve(50);
    run.start_node(home);
    run.serve(50);
    CHECK(witness.reads_on(50));
  }
  for (auto* reader : {&victim, &witness, &successor})
    CHECK(reader->conclude() > 0);
  check_history(run);
}

TEST_CASE("S1: a home that is stopped for 0.5 s, 2 s and 5 s is not believed by those who hold locks of it") {
  trial run;
  run.begin();
  reader_process one{run, "one"}, other{run, "other"};
  for (const auto pause : {500ms, 2'000ms, 5'000ms}) {
    const auto home = run.home_of(0);
    run.struck("SIGSTOP of " + run.node(home).name + ", which leads shard 0");
    run.node(home).stop();
    run.last(pause);
    run.struck("SIGCONT of " + run.node(home).name);
    run.node(home).cont();
    run.serve(50);
    CHECK(one.reads_on(50));
    CHECK(other.reads_on(50));
  }
  for (auto* reader : {&one, &other})
    CHECK(reader->conclude() > 0);
  check_history(run);
}

TEST_CASE("S1: a home and a holder are stopped for 30 s, and other holders for 0.5 s, 2 s and 5 s in that time; none "
          "of them reads what is over when it goes on") {
  trial run;
  run.begin();
  reader_process sleeper{run, "sleeper"}, napper{run, "napper"};
  const auto home = run.home_of(0);
  run.struck("SIGSTOP of " + run.node(home).name + ", which leads shard 0, and of a client node");
  const auto goes_on = stamp_now() + std::chrono::nanoseconds{30s}.count();
  sleeper.stop();
  run.node(home).stop();
  run.serve(20);
  CHECK(run.home_of(0) != home);
  for (const auto pause : {500ms, 2'000ms, 5'000ms})
    stop_for(run, napper, pause);
  CHECK(wait_until([&] { return stamp_now() >= goes_on; }, 30s));
  run.struck("SIGCONT of " + run.node(home).name + " and of a client node");
  run.node(home).cont();
  sleeper.cont();
  CHECK(sleeper.reads_on(50));
  run.serve(50);
  for (auto* reader : {&sleeper, &napper})
    CHECK(reader->conclude() > 0);
  check_history(run);
}
