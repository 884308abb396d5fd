// What answers of the stream replica say of attempts, of what was seen and written, and of what was lost; and
// restarts.
#include "tests/support/stream_replica_script.hpp"

using namespace troupe;
using namespace troupe::testing;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const origin two{{2}, 1}, three{{3}, 1};
constexpr auto ordered = stream_lane::ordered;
constexpr auto free_lane = stream_lane::free;

struct replica : stream_replica_script {
  replica() { start(); }
  origin own() const { return {self, life}; }
};

} // namespace

TEST_CASE(
    "stream replica: a retry after a restart finds what survived; what did not was never done, and never will be") {
  replica r;
  auto kept = r.add("sum:n", 1);
  kept.set_executor_life(1);
  r.ask(kept);
  r.holds_syncs = true;
  auto lost = r.add("sum:n", 1);
  lost.set_executor_life(1);
  r.submit(lost);
  r.crash();
  r.holds_syncs = false;
  r.start();
  kept.set_attempt(2);
  lost.set_attempt(2);
  const auto found = r.ask(kept);
  CHECK(r.error_of(found) == errc::none);
  CHECK(from_wire(found.written()) == dot{{{1}, 1}, 1});
  CHECK(found.result().number() == 1); // of the record: the log does not know it
  const auto gone = r.ask(lost);
  CHECK(r.error_of(gone) == errc::unavailable);
  CHECK(gone.executed_elsewhere());
  CHECK(r.ask(r.get("sum:n")).result().number() == 1);
  CHECK(r.ask(r.add("sum:n", 1)).result().number() == 2); // goes on with this node's own sum
}

TEST_CASE(
    "stream replica: a counter's retry after a restart waits for the record, and says no sum that it cannot know") {
  replica r;
  auto first = r.add("sum:n", 4);
  r.ask(first);
  r.pass(seconds{1}); // folded: only the record has it
  r.crash();
  r.start();
  r.holds_loads = true;
  first.set_attempt(2);
  r.submit(first);
  CHECK(r.take<stream_replica::answer>().empty());
  r.pass(milliseconds{150});                        // its deadline
  CHECK(r.error_of(r.answered()) == errc::timeout); // it was done: no error may say that it was not
  r.submit(first);
  r.load();
  CHECK(r.answered().result().number() == 4);

  r.crash();
  r.start();
  r.damaged.insert("sum:n");
  r.submit(first);
  r.load();
  CHECK(r.error_of(r.answered()) == errc::timeout);
}

TEST_CASE("stream replica: what may have been forgotten is unknown, what cannot have been is done") {
  stream_replica_script r;
  r.options.requests_max = 2;
  r.start();
  auto first = r.put("view:a", "1");
  r.ask(first);
  std::uint64_t clock = 0;
  for (int n = 0; n < 3; ++n)
    clock = r.ask(r.put("view:b", "x")).session().clock();
  first.set_attempt(2);
  CHECK(r.error_of(r.ask(first)) == errc::forgotten);
  auto fresh = r.put("view:c", "1");
  fresh.set_attempt(2); // its first attempt never came
  fresh.mutable_session()->set_clock(clock);
  CHECK(r.error_of(r.ask(fresh)) == errc::none);
}

TEST_CASE("stream replica: restarts in a row set its clock ahead, but not so far that it takes no writes") {
  replica r;
  for (int n = 0; n < 4; ++n) {
    CHECK(r.error_of(r.ask(r.put("view:a", "1"))) == errc::none);
    r.crash();
    r.start();
  }
  CHECK(r.error_of(r.ask(r.put("view:a", "1"))) == errc::none);
}

TEST_CASE("stream replica: an own write that the frontier covers, but not its causes, is its session's to see (T1)") {
  replica r;
  auto o = r.put("cause:a", "mine");
  to_wire(version_vector{{three, 1}}, *o.mutable_session()->mutable_seen());
  const auto written = r.ask(o);
  r.advance({{r.own(), 1}});
  CHECK(r.value_of(r.ask(r.get("cause:a"))) == "nothing");
  auto mine = r.get("cause:a");
  *mine.add_own() = written.written();
  CHECK(r.value_of(r.ask(mine)) == "mine");
}

TEST_CASE("stream replica: an answer to a write names it, and says of what was seen only what the caller has named") {
  replica r;
  auto o = r.put("cause:a", "1");
  to_wire(version_vector{{r.own(), 7}, {three, 2}}, *o.mutable_session()->mutable_seen());
  auto a = r.ask(o);
  CHECK(from_wire(a.session().seen()).empty());
  CHECK(a.level() == static_cast<std::uint32_t>(level::causal));
  auto named = r.put("cause:b", "1");
  to_wire(version_vector{{r.own(), 1}}, *named.mutable_session()->mutable_seen());
  named.set_explicit_depends(true);
  to_wire(version_vector{{r.own(), 1}, {two, 3}}, *named.mutable_depends());
  a = r.ask(named);
  CHECK(from_wire(a.session().seen()) == version_vector{{two, 3}});
  CHECK(from_wire(a.written()) == dot{r.own(), 2});
  named.set_attempt(2);
  a = r.ask(named);
  CHECK(from_wire(a.session().seen()) == version_vector{{two, 3}});
}

TEST_CASE(
    "stream replica: a refusal speaks for earlier attempts once it has looked for them; one that waits, or comes "
    "late, is refused like it") {
  replica r;
  auto o = r.put("view:a", "1");
  o.set_attempt(2);
  o.mutable_session()->set_clock((r.wall_ms + 60'000) << 16);
  CHECK(r.error_of(r.ask(o)) == errc::clock_ahead);
  CHECK(r.ask(o).settled());
  o.set_budget_us(0);
  CHECK_FALSE(r.ask(o).settled()); // it was not looked for

  stream_replica_script fresh;
  fresh.start();
  fresh.holds_syncs = true;
  auto waits = fresh.put("view:a", "1"); // for a ceiling of the clock
  fresh.submit(waits);
  CHECK(fresh.take<stream_replica::answer>().empty());
  auto wrong = fresh.add("view:a", 1);
  *wrong.mutable_id() = waits.id();
  wrong.set_attempt(2);
  const auto refused = fresh.ask(wrong);
  CHECK(fresh.error_of(refused) == errc::unsupported_operation);
  CHECK(refused.settled());
  fresh.sync();
  fresh.sync();
  CHECK(fresh.error_of(fresh.answered()) == errc::unavailable);
  const auto late = fresh.ask(waits); // a copy of the first attempt
  CHECK(fresh.error_of(late) == errc::unavailable);
  CHECK(late.settled());
  CHECK_FALSE(fresh.ask(fresh.get("view:a")).result().exists());
}

TEST_CASE("stream replica: what may have been forgotten names the newest that it can have become (T3)") {
  stream_replica_script r;
  r.options.requests_max = 2;
  r.start();
  auto first = r.put("cause:a", "1");
  first.set_executor_life(1);
  r.ask(first);
  for (int n = 0; n < 3; ++n)
    r.ask(r.put("cause:b", "x"));
  first.set_attempt(2);
  auto a = r.ask(first);
  CHECK(r.error_of(a) == errc::forgotten);
  CHECK(from_wire(a.written()) == dot{{{1}, 1}, 4});

  SUBCASE("of the life that was to execute it") {
    r.crash();
    r.start();
    for (int n = 0; n < 3; ++n)
      r.ask(r.put("cause:b", "y"));
    a = r.ask(first);
    CHECK(r.error_of(a) == errc::forgotten);
    CHECK(from_wire(a.written()) == dot{{{1}, 1}, 4});
    auto of_this_life = r.put("cause:a", "2");
    of_this_life.set_executor_life(1);
    CHECK(r.ask(of_this_life).executed_elsewhere()); // a first attempt
    of_this_life.set_executor_life(0);
    of_this_life.set_attempt(2);
    a = r.ask(of_this_life);
    CHECK(r.error_of(a) == errc::forgotten);
    CHECK(from_wire(a.written()) == dot{{{1}, 2}, 3});
    CHECK(from_wire(a.session().seen()) == version_vector{{{{1}, 1}, 4}}); // or it was that life
  }
}

TEST_CASE("stream replica: what a life before has forgotten makes no retry unknown that this one was to execute") {
  stream_replica_script r;
  r.start();
  const std::string big(70'000, 'x');
  r.ask(r.put("view:a", big));
  r.ask_peer_has({2}, free_lane, 1);
  r.ask_peer_has({3}, free_lane, 1);
  r.pass(seconds{1});
  CHECK(r.disk.read({{{1}, 1}, free_lane, 0, 1}).updates.empty());
  r.crash();
  r.start();
  auto o = r.put("view:b", "1");
  o.set_attempt(2); // the first was lost
  o.set_executor_life(2);
  CHECK(r.error_of(r.ask(o)) == errc::none);
  auto before = r.put("view:b", "1");
  before.set_attempt(2);
  before.set_executor_life(1);
  CHECK(r.error_of(r.ask(before)) == errc::forgotten);
}

TEST_CASE("stream replica: a retry after a restart is done when as many have the write as its type wants (E2)") {
  replica r;
  auto o = r.put("safe:a", "1");
  o.set_executor_life(1);
  r.submit(o);
  CHECK(r.take<stream_replica::answer>().empty());
  r.crash();
  r.start();
  o.set_attempt(2);
  auto a = r.ask(o);
  CHECK(r.error_of(a) == errc::timeout);
  CHECK(from_wire(a.written()) == dot{{{1}, 1}, 1});
  r.core->peer_durable({2}, {{1}, 1}, {ordered, 1}, r.out);
  r.run();
  CHECK(r.error_of(r.ask(o)) == errc::none);
}

TEST_CASE("stream replica: a read that needs an own write which was lost with its node is told what is left") {
  replica r;
  auto o = r.get("cause:a");
  to_wire(dot{two, 3}, *o.add_own());
  r.submit(o);
  CHECK(r.take<stream_replica::answer>().empty());
  r.core->ended(two, 1, r.now, r.out);
  r.run();
  auto a = r.answered();
  CHECK(r.error_of(a) == errc::lost_update);
  CHECK(from_wire(a.survived()) == dot{two, 1});
  CHECK(r.error_of(r.ask(o)) == errc::lost_update);

  SUBCASE("by a wait of the frontier") {
    auto more = r.get("cause:a");
    to_wire(version_vector{{three, 2}}, *more.mutable_session()->mutable_seen());
    r.submit(more);
    const auto waits = r.take<stream_replica::await>();
    r.core->unmet(waits.at(0).cookie,
                  {.error = errc::lost_update, .missing = {three, 2}, .node = {3}, .survived = {three, 1}}, r.out);
    r.run();
    a = r.answered();
    CHECK(from_wire(a.survived()) == dot{three, 1});
  }
}

TEST_CASE("stream replica: a life is over after a restart, though it left nothing behind") {
  replica r;
  r.crash();
  r.start();
  const auto over = r.take<stream_replica::own_ended>();
  REQUIRE(over.size() == 2);
  CHECK(over[0].life == 1);
  CHECK(over[0].last == 0);
  auto o = r.get("cause:a");
  to_wire(dot{{{1}, 1}, 1}, *o.add_own()); // answered before it was on the disk
  const auto a = r.ask(o);
  CHECK(r.error_of(a) == errc::lost_update);
  CHECK(from_wire(a.survived()) == dot{{{1}, 1}, 0});
}

TEST_CASE("stream replica: a start shows what was shown when its records were taken, be it in them or not (C1)") {
  replica r;
  r.accept(ordered, {{.at = {two, 1}, .key = "cause:x", .value = "x", .depends = {{three, 1}}},
                     {.at = {two, 2}, .key = "cause:question", .value = "?"}});
  r.advance({{two, 2}});
  r.ask(r.put("cause:answer", "42")); // everybody has the question: it is not named
  r.advance({{two, 2}, {r.own(), 1}});
  r.pass(seconds{2});
  CHECK(r.disk.records().size() == 1); // the answer; the question stays behind what depends on others
  r.crash();
  r.start();
  CHECK(r.value_of(r.ask(r.get("cause:answer"))) == "42");
  CHECK(r.value_of(r.ask(r.get("cause:question"))) == "?");
}

TEST_CASE("stream replica: a store that fails leaves nobody without an answer who waits for other replicas") {
  replica r;
  r.submit(r.put("safe:a", "1"));
  CHECK(r.take<stream_replica::answer>().empty());
  r.core->store_failed(r.out);
  r.run();
  const auto a = r.answered();
  CHECK(r.error_of(a) == errc::timeout);
  CHECK(from_wire(a.written()) == dot{r.own(), 1});
}
