/// The judge of the cluster tests: what it must not let pass.
#include "tests/support/cluster_load.hpp"

#include <doctest/doctest.h>

using namespace troupe;
using namespace troupe::test;
using check::op_kind;
using check::op_outcome;

namespace {

constexpr std::int64_t ms = 1'000'000;

/// One shard, a counter in it, an addition of 1 every 100 ms for three seconds, and the read at the end.
struct small_run {
  check::history history;
  expectation expected;

  small_run() {
    expected.shards = 1;
    expected.ended = 3'000 * ms;
    for (std::int64_t i = 0; i < 30; ++i) {
      auto op = call(op_kind::add, i * 100 * ms);
      op.delta = 1;
      op.result = i + 1;
      history.operations.push_back(op);
    }
    auto last = call(op_kind::get, 3'100 * ms);
    last.value = "30";
    last.final = true;
    history.operations.push_back(last);
  }

  static check::operation call(op_kind kind, std::int64_t at) {
    check::operation op;
    op.client = "1";
    op.key = "counter-0";
    op.kind = kind;
    op.call = at;
    op.returned = at + ms;
    return op;
  }

  void lose_answers(std::size_t from, std::size_t to) {
    for (auto i = from; i < to; ++i) {
      auto& op = history.operations.at(i);
      op.client = std::to_string(100 + i);
      op.outcome = op_outcome::unknown;
      op.returned.reset();
      op.result.reset();
    }
  }

  std::string problems() const {
    std::string text;
    for (const auto& problem : judge(history, expected).problems)
      text += problem + "\n";
    return text;
  }
};

} // namespace

TEST_CASE("judge: a run in which nothing happened is sound") { CHECK(small_run{}.problems().empty()); }

TEST_CASE("judge: an acknowledged addition that is gone at the end is a violation, by both proofs") {
  small_run run;
  run.history.operations.back().value = "29";
  CHECK(run.problems().find("S1: the history is not linearizable") != std::string::npos);
  CHECK(run.problems().find("D1: counter-0 holds 29; acknowledged and unknown additions allow 30 to 30")
        != std::string::npos);
}

TEST_CASE("judge: an addition that was counted twice is a violation") {
  small_run run;
  run.history.operations.back().value = "31";
  CHECK(run.problems().find("D1: counter-0 holds 31") != std::string::npos);
}

TEST_CASE("judge: a counter that could not be read at the end is a violation") {
  small_run run;
  run.history.operations.back().outcome = op_outcome::fail;
  CHECK(run.problems().find("D1: counter-0 was not read at the end") != std::string::npos);
}

TEST_CASE("judge: more unknown outcomes than calls under way at the faults are too many") {
  small_run run;
  run.lose_answers(10, 13);
  run.expected.unknowns_max = 3;
  CHECK(run.problems().empty());
  run.expected.unknowns_max = 2;
  CHECK(run.problems().find("unknowns: 3") != std::string::npos);
}

TEST_CASE("judge: a shard that is silent for longer than a window is a problem, unless a fault explains it") {
  small_run run;
  run.lose_answers(10, 22); // from 0.9 s to 2.2 s
  run.expected.unknowns_max = 12;
  CHECK(run.problems().find("progress: shard 0 acknowledged nothing for 1300 ms") != std::string::npos);

  run.expected.faults = {{"SIGKILL", 950 * ms, 950 * ms}};
  CHECK(run.problems().empty());
  run.expected.faults = {{"SIGKILL", 100 * ms, 100 * ms}}; // its time was over at 2.1 s
  CHECK(run.problems().find("the last fault was SIGKILL") != std::string::npos);
}

TEST_CASE("judge: silence at the end of the load is a problem, too") {
  small_run run;
  run.expected.ended = 4'500 * ms;
  CHECK(run.problems().find("progress: shard 0 acknowledged nothing for 1599 ms") != std::string::npos);
}
