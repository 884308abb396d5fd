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

TEST_CASE("stream replica: a write is answered once it is on the disk, and leaves the node then") {
  replica r;
  r.holds_syncs = true;
  r.submit(r.put("cause:a", "1"));
  r.sync(); // the ceiling of the clock
  CHECK(r.take<stream_replica::answer>().empty());
  CHECK(r.take<stream_replica::durable_updates>().empty());
  r.sync();
  const auto a = r.answered();
  CHECK(r.error_of(a) == errc::none);
  CHECK(from_wire(a.written()) == dot{r.own(), 1});
  const auto sent = r.take<stream_replica::durable_updates>();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].updates.size() == 1);
  CHECK(sent[0].upto == 1);
  CHECK(sent[0].clock == a.result().version().round());
  CHECK(r.core->received_vector(ordered).at(r.own()) == 1);
}

TEST_CASE("stream replica: durability async answers before the sync, and sends after it") {
  replica r;
  r.ask(r.put("fast:first", "0")); // the clock has a ceiling now
  r.take<stream_replica::durable_updates>();
  r.holds_syncs = true;
  r.submit(r.put("fast:a", "1"));
  CHECK(r.error_of(r.answered()) == errc::none);
  CHECK(r.take<stream_replica::durable_updates>().empty());
  CHECK(r.value_of(r.ask(r.get("fast:a"))) == "1");
  r.sync();
  CHECK(r.take<stream_replica::durable_updates>().size() == 1);
}

TEST_CASE(
    "stream replica: an ordered write is seen by its own session at once, by others when the region has it (T1)") {
  replica r;
  const auto written = r.ask(r.put("cause:a", "1"));
  CHECK(r.value_of(r.ask(r.get("cause:a"))) == "nothing");
  auto mine = r.get("cause:a");
  *mine.add_own() = written.written();
  CHECK(r.value_of(r.ask(mine)) == "1");
  r.advance({{r.own(), 1}});
  CHECK(r.value_of(r.ask(r.get("cause:a"))) == "1");
}

TEST_CASE("stream replica: an update is visible only where its dependencies are (C1)") {
  replica r;
  r.accept(ordered, {{.at = {two, 1}, .key = "cause:answer", .value = "42", .depends = {{three, 1}}}});
  r.advance({{two, 1}});
  CHECK(r.value_of(r.ask(r.get("cause:answer"))) == "nothing");
  const auto why = r.core->explain("cause:answer", r.now);
  REQUIRE(why.has_value());
  CHECK(why->waits_for()
        == "reads that need " + to_string(dot{two, 1}) + ", which waits for " + to_string(dot{three, 1}));
  CHECK(why->state().find("1 updates are here and hidden") != std::string::npos);
  r.accept(ordered, {{.at = {three, 1}, .key = "cause:question", .value = "?"}});
  CHECK(r.value_of(r.ask(r.get("cause:answer"))) == "nothing");
  r.advance({{two, 1}, {three, 1}});
  CHECK(r.value_of(r.ask(r.get("cause:answer"))) == "42");
  CHECK(r.value_of(r.ask(r.get("cause:question"))) == "?");
  const auto shown = r.core->explain("cause:answer", r.now);
  REQUIRE(shown.has_value());
  CHECK(shown->waits_for().empty());
  CHECK(shown->version() == to_string(dot{two, 1}));
  CHECK_FALSE(r.core->explain("cause:nobody", r.now).has_value());
}

TEST_CASE("stream replica: who depends on what was lost with its node waits for no more than what is left") {
  replica r;
  r.accept(ordered, {{.at = {two, 1}, .key = "cause:a", .value = "1", .depends = {{three, 2}}}});
  r.advance({{two, 1}});
  CHECK(r.value_of(r.ask(r.get("cause:a"))) == "nothing");
  r.core->ended(three, 1, r.now, r.out);
  r.run();
  CHECK(r.value_of(r.ask(r.get("cause:a"))) == "nothing"); // the first of them survived, and is not here
  r.accept(ordered, {{.at = {three, 1}, .key = "cause:b", .value = "2"}});
  r.advance({{two, 1}, {three, 1}});
  CHECK(r.value_of(r.ask(r.get("cause:a"))) == "1");
}

TEST_CASE("stream replica: nothing is shown that was not received, whatever is said of the region") {
  replica r;
  r.holds_syncs = true;
  r.accept(ordered, {{.at = {two, 1}, .key = "cause:a", .value = "1"}});
  r.advance({{two, 1}});
  CHECK(r.core->applied_vector(ordered).at(two) == 0); // not on the disk yet
  r.sync();
  CHECK(r.take<stream_replica::received>().back().upto == 1);
  r.advance({{two, 1}});
  CHECK(r.core->applied_vector(ordered).at(two) == 1);
}

TEST_CASE("stream replica: a read waits for what its session has seen, and says whom everybody waits for (T2)") {
  replica r;
  r.accept(ordered, {{.at = {two, 1}, .key = "cause:a", .value = "1"}});
  auto o = r.get("cause:a");
  to_wire(version_vector{{two, 1}}, *o.mutable_session()->mutable_seen());
  r.submit(o);
  auto waits = r.take<stream_replica::await>();
  REQUIRE(waits.size() == 1);
  CHECK(waits[0].wanted == version_vector{{two, 1}});
  r.advance({{two, 1}});
  r.core->met(waits[0].cookie, r.at(), r.out);
  r.run();
  const auto a = r.answered();
  CHECK(r.value_of(a) == "1");
  CHECK(from_wire(a.session().seen()).contains({{two, 1}}));

  SUBCASE("one that is told so before it is true waits on") {
    auto more = r.get("cause:a");
    to_wire(version_vector{{two, 2}}, *more.mutable_session()->mutable_seen());
    r.submit(more);
    waits = r.take<stream_replica::await>();
    REQUIRE(waits.size() == 1);
    r.core->met(waits[0].cookie, r.at(), r.out);
    r.run();
    CHECK(r.take<stream_replica::answer>().empty());
    CHECK(r.take<stream_replica::await>().size() == 1);
  }
  SUBCASE("one that waits in vain gets the reason") {
    auto more = r.get("cause:a");
    to_wire(version_vector{{two, 2}}, *more.mutable_session()->mutable_seen());
    r.submit(more);
    waits = r.take<stream_replica::await>();
    r.core->unmet(waits.at(0).cookie, {.error = errc::dependency_timeout, .missing = {two, 2}, .node = {2}}, r.out);
    r.run();
    const auto failed = r.answered();
    CHECK(r.error_of(failed) == errc::dependency_timeout);
    CHECK(failed.waits_for_node() == 2);
    CHECK(from_wire(failed.waits_for()) == dot{two, 2});
    CHECK(from_wire(failed.session().region()).contains({{two, 1}})); // raised by errors as well
    r.core->met(waits[0].cookie, r.at(), r.out);                      // late: nothing happens
    CHECK(r.out.empty());
  }
}

TEST_CASE("stream replica: an own write that was accepted at another node is waited for, then joined (T1)") {
  replica r;
  auto o = r.get("cause:a");
  to_wire(dot{two, 1}, *o.add_own());
  r.submit(o);
  CHECK(r.take<stream_replica::answer>().empty());
  r.accept(ordered, {{.at = {two, 1}, .key = "cause:a", .value = "mine"}});
  CHECK(r.value_of(r.answered()) == "mine");
  CHECK(r.value_of(r.ask(r.get("cause:a"))) == "nothing");

  SUBCASE("until the deadline") {
    auto late = r.get("cause:a");
    to_wire(dot{two, 2}, *late.add_own());
    r.submit(late);
    r.pass(milliseconds{100});
    const auto a = r.answered();
    CHECK(r.error_of(a) == errc::dependency_timeout);
    CHECK(a.waits_for_node() == 2);
  }
}

TEST_CASE("stream replica: a free update is merged at once; a counter is the sum of all nodes") {
  replica r;
  r.accept(free_lane, {{.at = {two, 1}, .key = "view:a", .value = "x"}});
  CHECK(r.value_of(r.ask(r.get("view:a"))) == "x");
  CHECK(r.ask(r.add("sum:n", 5)).result().number() == 5);
  CHECK(r.ask(r.add("sum:n", -2)).result().number() == 3);
  CHECK(r.ask(r.get("sum:n")).result().number() == 3);
  CHECK(r.value_of(r.ask(r.get("sum:n"))) == "3");
}

TEST_CASE("stream replica: a counter goes on from what is not on the disk yet") {
  replica r;
  r.ask(r.add("sum:n", 1));
  r.holds_syncs = true;
  r.submit(r.add("sum:n", 1));
  r.submit(r.add("sum:n", 1));
  CHECK(r.ask(r.get("sum:n")).result().number() == 1);
  r.sync();
  auto answers = r.take<stream_replica::answer>();
  REQUIRE(answers.size() == 2);
  CHECK(answers[1].what.result().number() == 3);
  CHECK(r.ask(r.get("sum:n")).result().number() == 3);
}

TEST_CASE("stream replica: a retry is executed once, joins the running attempt, and finds the answer") {
  replica r;
  auto o = r.add("sum:n", 1);
  r.ask(o);
  o.set_attempt(2);
  CHECK(r.ask(o).result().number() == 1);
  CHECK(r.ask(r.get("sum:n")).result().number() == 1);
  auto next = r.add("sum:n", 1);
  r.holds_syncs = true;
  r.submit(next);
  next.set_attempt(2);
  r.submit(next);
  CHECK(r.take<stream_replica::answer>().empty());
  r.sync();
  CHECK(r.take<stream_replica::answer>().size() == 2);
  CHECK(r.ask(r.get("sum:n")).result().number() == 2);
  CHECK(r.core->report().duplicates == 2);
}

TEST_CASE("stream replica: ack majority waits for another replica, and is unknown when none answers") {
  replica r;
  r.submit(r.put("safe:a", "1"));
  CHECK(r.take<stream_replica::answer>().empty());
  r.ask_peer_has({2}, ordered, 1);
  CHECK(r.error_of(r.answered()) == errc::none);
  r.submit(r.put("safe:a", "2"));
  r.pass(milliseconds{100});
  const auto a = r.answered();
  CHECK(r.error_of(a) == errc::timeout);
  CHECK(outcome_of(r.error_of(a)) == outcome::unknown);
  CHECK(from_wire(a.written()) == dot{r.own(), 2}); // it happened: what follows comes after it
  r.ask_peer_has({3}, ordered, 2);
  CHECK(r.take<stream_replica::answer>().empty());

  SUBCASE("replicas that are out do not count") {
    r.submit(r.put("safe:a", "3"));
    r.core->counted({{1}}, r.out);
    r.run();
    CHECK(r.error_of(r.answered()) == errc::none);
  }
}

TEST_CASE("stream replica: a write carries what its session has seen, less what is stable (T3, T4)") {
  replica r;
  r.core->stable(ordered, {{two, 5}}, 0, r.out);
  auto o = r.put("cause:a", "1");
  to_wire(version_vector{{two, 4}, {three, 2}}, *o.mutable_session()->mutable_seen());
  r.ask(o);
  auto sent = r.take<stream_replica::durable_updates>();
  CHECK(from_wire(sent.at(0).updates.at(0)->depends()) == version_vector{{three, 2}});

  auto named = r.put("cause:b", "1");
  to_wire(version_vector{{two, 4}, {three, 2}}, *named.mutable_session()->mutable_seen());
  named.set_explicit_depends(true);
  to_wire(version_vector{{three, 1}}, *named.mutable_depends());
  r.ask(named);
  sent = r.take<stream_replica::durable_updates>();
  CHECK(from_wire(sent.at(0).updates.at(0)->depends()) == version_vector{{three, 1}});

  auto loose = r.put("cart:c", "1");
  to_wire(version_vector{{three, 2}}, *loose.mutable_session()->mutable_seen());
  loose.set_guarantees(3);
  r.ask(loose);
  sent = r.take<stream_replica::durable_updates>();
  CHECK(from_wire(sent.at(0).updates.at(0)->depends()).empty());
}

TEST_CASE("stream replica: a snapshot read shows exactly the cut, and an old one is refused (C2)") {
  replica r;
  r.accept(ordered, {{.at = {two, 1}, .key = "cause:a", .value = "1"}});
  r.advance({{two, 1}});
  r.accept(ordered, {{.at = {two, 2}, .key = "cause:a", .value = "2", .context = {{two, 1}}}});
  r.advance({{two, 2}});
  CHECK(r.value_of(r.ask(r.get("cause:a"))) == "2");
  auto old = r.get("cause:a");
  to_wire(version_vector{{two, 1}}, *old.mutable_cut());
  CHECK(r.value_of(r.ask(old)) == "1");
  r.pass(seconds{2}); // folded
  CHECK(r.error_of(r.ask(old)) == errc::old_cut);
  auto ahead = r.get("cause:a");
  to_wire(version_vector{{two, 3}}, *ahead.mutable_cut());
  r.submit(ahead);
  CHECK(r.take<stream_replica::await>().at(0).wanted == version_vector{{two, 3}});
}

TEST_CASE("stream replica: folding writes the record, shortens the log, and a start goes on from both (D1)") {
  replica r;
  r.accept(ordered, {{.at = {two, 1}, .key = "cause:a", .value = "1"}});
  r.accept(ordered, {{.at = {two, 2}, .key = "cause:b", .value = "2"}});
  r.advance({{two, 2}});
  r.ask(r.put("cause:a", "3"));
  r.advance({{two, 2}, {r.own(), 1}});
  r.pass(seconds{2});
  CHECK(r.core->report().unfolded_bytes[0] == 0);
  CHECK(r.disk.records().size() == 2);
  CHECK(r.disk.read({two, ordered, 0, 1}).updates.empty());
  CHECK(r.disk.read({r.own(), ordered, 0, 1}).updates.size() == 1); // the peers have not got it
  r.crash();
  r.start();
  CHECK(r.core->received_vector(ordered) == version_vector{{{{1}, 1}, 1}, {two, 2}});
  CHECK(r.take<stream_replica::own_ended>().size() == 2);
  CHECK(r.value_of(r.ask(r.get("cause:a"))) == "3");
  CHECK(r.value_of(r.ask(r.get("cause:b"))) == "2");
}

TEST_CASE("stream replica: staged updates survive a restart, and stay hidden until the region has them") {
  replica r;
  r.accept(ordered, {{.at = {two, 1}, .key = "cause:a", .value = "1"}});
  r.crash();
  r.start();
  CHECK(r.core->received_vector(ordered).at(two) == 1);
  CHECK(r.value_of(r.ask(r.get("cause:a"))) == "nothing");
  r.advance({{two, 1}});
  CHECK(r.value_of(r.ask(r.get("cause:a"))) == "1");
}

TEST_CASE("stream replica: what is accepted and not synced is gone after a crash, with its position") {
  replica r;
  r.holds_syncs = true;
  r.accept(free_lane, {{.at = {two, 1}, .key = "view:a", .value = "1"}});
  r.crash();
  r.holds_syncs = false;
  r.start();
  CHECK(r.core->received_vector(free_lane).at(two) == 0);
  CHECK(r.value_of(r.ask(r.get("view:a"))) == "nothing");
  r.accept(free_lane, {{.at = {two, 1}, .key = "view:a", .value = "1"}});
  CHECK(r.value_of(r.ask(r.get("view:a"))) == "1");
}

TEST_CASE("stream replica: repeated updates change nothing, and are acknowledged again") {
  replica r;
  r.accept(free_lane, {{.at = {two, 1}, .key = "view:a", .value = "1"}});
  r.take<stream_replica::received>();
  r.accept(free_lane, {{.at = {two, 1}, .key = "view:a", .value = "other"}});
  CHECK(r.take<stream_replica::received>().at(0).upto == 1);
  CHECK(r.value_of(r.ask(r.get("view:a"))) == "1");
}

TEST_CASE("stream replica: an update that is malformed or not meant for here is left out, and its number counts") {
  replica r;
  auto bad = stream_replica_script::update({.at = {two, 1}, .key = "nobody:a", .value = "1"});
  r.core->accept({.from = two, .lane = free_lane, .updates = {bad}, .upto = 1, .clock = 0}, r.now, r.out);
  r.run();
  CHECK(r.core->report().refused == 1);
  CHECK(r.core->received_vector(free_lane).at(two) == 1);
  r.core->accept({.from = {{1}, 1}, .lane = free_lane, .updates = {}, .upto = 5, .clock = 0}, r.now, r.out);
  r.run();
  CHECK(r.core->received_vector(free_lane).at({{1}, 1}) == 0); // nobody tells this node of itself
}

TEST_CASE("stream replica: operations wait for the record's bytes; damage is an error, and is told (D2)") {
  replica r;
  r.holds_loads = true;
  r.submit(r.get("view:a"));
  CHECK(r.take<stream_replica::answer>().empty());
  r.load();
  CHECK(r.value_of(r.answered()) == "nothing");
  r.damaged.insert("view:b");
  r.submit(r.get("view:b"));
  r.load();
  CHECK(r.error_of(r.answered()) == errc::corrupt);
  CHECK(r.take<stream_replica::damaged_record>().at(0).key == "view:b");
  CHECK(r.core->report().violations.prevented[static_cast<std::size_t>(violation::checksum)] == 1);
  r.holds_loads = false;
  // What comes for it is kept; a part of it is not served as the whole, not even after a restart.
  r.accept(free_lane, {{.at = {two, 1}, .key = "view:b", .value = "1"}});
  r.pass(seconds{1});
  r.damaged.clear();
  r.crash();
  r.start();
  CHECK(r.error_of(r.ask(r.get("view:b"))) == errc::corrupt);
}

TEST_CASE("stream replica: single values and counters are published when they change, and withdrawn while unread") {
  replica r;
  r.holds_loads = true;
  r.accept(ordered, {{.at = {two, 1}, .key = "cause:a", .value = "1"}});
  r.advance({{two, 1}});
  CHECK(r.take<stream_replica::withdraw>().size() == 1);
  CHECK(r.take<stream_replica::applied>().back().at == version_vector{{two, 1}});
  r.load();
  auto published = r.take<stream_replica::publish>();
  REQUIRE(published.size() == 1);
  CHECK(published[0].value == "1");
  CHECK(published[0].written == dot{two, 1});
  r.holds_loads = false;
  r.ask(r.add("sum:n", 4));
  published = r.take<stream_replica::publish>();
  REQUIRE(!published.empty());
  CHECK(published.back().value == "4");
  r.ask(r.put("cart:c", "1"));
  r.advance({{two, 1}, {r.own(), 1}});
  CHECK(r.take<stream_replica::publish>().empty()); // siblings have no single value
}

TEST_CASE("stream replica: writes are refused without a life, by a clock far ahead, and when malformed") {
  stream_replica_script r;
  r.core = std::make_unique<stream_replica>(r.options, r.disk.image(), r.now);
  CHECK(r.error_of(r.ask(r.put("view:a", "1"))) == errc::unavailable); // not read yet
  r.core->start(r.now, r.out);
  r.run();
  CHECK(r.error_of(r.ask(r.put("view:a", "1"))) == errc::not_joined);
  r.core->begin(3, r.out);
  r.life = 3;
  CHECK(r.error_of(r.ask(r.put("view:a", "1"))) == errc::none);
  r.core->begin(3, r.out); // a life is lived once
  CHECK(r.core->report().life == 3);

  CHECK(r.error_of(r.ask(r.put("nobody:a", "1"))) == errc::unknown_type);
  CHECK(r.error_of(r.ask(r.put("strong:a", "1"))) == errc::unknown_type);
  CHECK(r.error_of(r.ask(r.add("view:a", 1))) == errc::unsupported_operation);
  auto o = r.put("view:a", "1");
  o.set_executor(2);
  CHECK(r.error_of(r.ask(o)) == errc::unavailable);
  o = r.put("view:a", "1");
  o.set_shard(o.shard() + 1);
  CHECK(r.error_of(r.ask(o)) == errc::invalid_argument);
  o = r.put("view:a", "1");
  o.set_level(static_cast<std::uint32_t>(level::causal));
  CHECK(r.error_of(r.ask(o)) == errc::unsupported_level);
  o = r.put("view:a", "1");
  o.set_budget_us(0);
  CHECK(r.error_of(r.ask(o)) == errc::expired);
  o = r.put("view:a", "1");
  o.set_executor_life(9);
  CHECK(r.error_of(r.ask(o)) == errc::not_joined);
  o = r.put("view:a", "1");
  o.clear_id();
  CHECK(r.error_of(r.ask(o)) == errc::invalid_argument);

  auto ahead = r.put("view:a", "1");
  ahead.mutable_session()->set_clock((r.wall_ms + 60'000) << 16);
  CHECK(r.error_of(r.ask(ahead)) == errc::clock_ahead);
}

TEST_CASE("stream replica: a stamp is above all that the session has seen, and above all of an earlier life") {
  replica r;
  auto o = r.put("view:a", "1");
  o.mutable_session()->set_clock((r.wall_ms + 5) << 16);
  const auto first = r.ask(o).session().clock();
  CHECK(first > (r.wall_ms + 5) << 16);
  r.crash();
  r.wall_ms -= 3'600'000; // the machine's clock goes back by an hour
  r.options.max_clock_ahead_ms = 10'000'000;
  r.start();
  CHECK(r.ask(r.put("view:a", "2")).session().clock() > first);
}

TEST_CASE("stream replica: overload is an error, and a lane that is full holds what comes until there is room (X1)") {
  stream_replica_script r;
  r.options.unfolded_bytes_max = 400;
  r.start();
  for (std::uint64_t n = 1; n <= 6; ++n)
    r.accept(ordered, {{.at = {two, n}, .key = "cause:" + std::to_string(n), .value = std::string(60, 'x')}});
  const auto taken = r.core->received_vector(ordered).at(two);
  CHECK(taken < 6);
  CHECK(r.error_of(r.ask(r.put("cause:a", "1"))) == errc::overloaded);
  r.advance({{two, 6}});
  for (int n = 0; n < 6; ++n) {
    r.pass(seconds{2});
    r.advance({{two, 6}});
  }
  CHECK(r.core->received_vector(ordered).at(two) == 6);
  CHECK(r.error_of(r.ask(r.put("cause:a", "1"))) == errc::none);

  stream_replica_script busy;
  busy.options.waiting_max = 2;
  busy.start();
  busy.holds_loads = true;
  for (int n = 0; n < 3; ++n)
    busy.submit(busy.get("view:a"));
  CHECK(busy.error_of(busy.answered()) == errc::overloaded);
}

TEST_CASE("stream replica: own entries leave the log when every peer has them, or when there are too many") {
  stream_replica_script r;
  r.start();
  const std::string big(70'000, 'x');
  for (int n = 0; n < 3; ++n)
    r.ask(r.put("view:" + std::to_string(n), big));
  const origin own{{1}, 1};
  r.pass(seconds{1});
  CHECK(r.disk.read({own, free_lane, 0, 1}).updates.size() == 3);
  r.ask_peer_has({2}, free_lane, 3);
  r.pass(seconds{1});
  CHECK(r.disk.read({own, free_lane, 0, 1}).updates.size() == 3);
  r.ask_peer_has({3}, free_lane, 2);
  r.pass(seconds{1});
  CHECK(r.disk.read({own, free_lane, 0, 1}).updates.size() == 1);
  CHECK(r.take<stream_replica::log_cut>().empty());
  r.crash();
  r.start();
  CHECK(r.core->received_vector(free_lane).at(own) == 3);

  SUBCASE("past its bound") {
    stream_replica_script small;
    small.options.own_log_bytes_max = 100'000;
    small.start();
    for (int n = 0; n < 3; ++n)
      small.ask(small.put("view:" + std::to_string(n), big));
    small.pass(seconds{1});
    const auto cut = small.take<stream_replica::log_cut>();
    REQUIRE(!cut.empty()); // as it is folded
    CHECK(cut.back().upto == 2);
    CHECK(small.disk.read({own, free_lane, 0, 1}).updates.size() == 1);
  }
}

TEST_CASE("stream replica: a tombstone goes when it is stable, and the key does not come back (E3)") {
  replica r;
  r.ask(r.put("view:a", "1"));
  auto o = r.operation("view:a");
  o.mutable_remove();
  const auto removed = r.ask(o);
  CHECK(removed.result().exists());
  r.pass(seconds{1});
  CHECK(r.disk.records().size() == 1);
  r.core->stable(free_lane, {{r.own(), 1}}, removed.session().clock() - 1, r.out);
  r.run();
  CHECK(r.disk.records().size() == 1);
  r.core->stable(free_lane, {{r.own(), 2}}, removed.session().clock(), r.out);
  r.run();
  CHECK(r.disk.records().empty());
  CHECK(r.value_of(r.ask(r.get("view:a"))) == "nothing");
}

TEST_CASE("stream replica: a store that fails refuses everything, and leaves nobody without an answer") {
  replica r;
  r.holds_syncs = r.holds_loads = true;
  r.submit(r.get("view:a"));
  r.core->store_failed(r.out);
  r.run();
  CHECK(r.error_of(r.answered()) == errc::storage_failed);
  CHECK(r.error_of(r.ask(r.put("view:a", "1"))) == errc::storage_failed);
}

TEST_CASE("stream replica: records that nobody uses leave the memory, and are read again") {
  stream_replica_script r;
  r.options.cache_bytes = 2'000;
  r.start();
  for (int n = 0; n < 50; ++n)
    r.ask(r.put("view:" + std::to_string(n), "v" + std::to_string(n)));
  r.pass(seconds{1});
  CHECK(r.core->report().keys < 10);
  for (int n = 0; n < 50; ++n)
    CHECK(r.value_of(r.ask(r.get("view:" + std::to_string(n)))) == "v" + std::to_string(n));
}
