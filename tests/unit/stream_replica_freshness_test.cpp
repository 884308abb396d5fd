#include "protocol/mutation.hpp"
#include "protocol/stream/freshness.hpp"
#include "tests/support/stream_replica_script.hpp"

#include <doctest/doctest.h>

using namespace troupe;
using namespace std::chrono_literals;
using troupe::testing::stream_replica_script;

namespace {

constexpr node_id us{1}, peer{2}, other{3};
constexpr origin theirs{peer, 7};
constexpr auto free_lane = stream_lane::free, ordered = stream_lane::ordered;

/// Knows what is shown, and keeps the questions.
struct asking {
  freshness core{{.members = {us, peer}, .self = us, .retry = 200ms, .measure = 1000ms}};
  freshness::questions asked;
  version_vector shown;
  instant now{10s};

  freshness::is_shown shows() {
    return [this](const version_vector& v) { return shown.contains(v); };
  }
  void want(nanoseconds age) { core.want(peer, free_lane, now - age, now, asked); }
  bool tell(std::uint64_t number, version_vector accepted) {
    return core.told({peer, free_lane, number, std::move(accepted)}, shows(), now, asked);
  }
  bool show(version_vector more) {
    shown.join(more);
    return core.more_shown(free_lane, shows(), now, asked);
  }
  instant as_of() const { return core.as_of(peer, free_lane); }
  /// The one question since the last look.
  freshness::question question() {
    REQUIRE(asked.size() == 1);
    const auto one = asked.front();
    asked.clear();
    return one;
  }
};

/// A replica that is connected to both of its peers.
struct fresh_replica : stream_replica_script {
  fresh_replica() {
    start();
    for (const auto who : {peer, other})
      connect(who, true);
    take<stream_replica::ask_freshness>();
  }
  void connect(node_id who, bool up) {
    core->peer(who, up, now, out);
    run();
  }
  v1::WeakOperation bounded(const std::string& key, std::chrono::microseconds bound) {
    auto o = get(key);
    o.set_level(static_cast<std::uint32_t>(level::eventual));
    o.set_staleness_us(static_cast<std::uint64_t>(bound.count()));
    return o;
  }
  /// Answers every question that is open.
  void answer_all(std::map<node_id, version_vector> accepted = {}) {
    for (const auto& q : take<stream_replica::ask_freshness>()) {
      v1::FreshnessTold told;
      told.set_number(q.what.number());
      told.set_lane(q.what.lane());
      to_wire(accepted[q.to], *told.mutable_accepted());
      core->freshness_told(q.to, told, at(), out);
      run();
    }
  }
  bool waits() { return take<stream_replica::answer>().empty(); }
};

} // namespace

TEST_CASE("freshness: what is shown is as of the moment at which the question left, once the answer is shown") {
  asking a;
  a.core.peer(peer, true, a.now, a.asked);
  CHECK(a.asked.empty()); // nobody wants to know
  CHECK(a.as_of() == instant::min());
  a.want(20ms);
  const auto q = a.question();
  const auto left = a.now;
  CHECK(q.to == peer);
  a.now += 5ms;
  CHECK_FALSE(a.tell(q.number, {{theirs, 3}}));
  CHECK(a.as_of() == instant::min());
  a.now += 5ms;
  CHECK_FALSE(a.show({{theirs, 2}}));
  CHECK(a.show({{theirs, 3}}));
  CHECK(a.as_of() == left);
  CHECK(a.asked.empty()); // that is fresh enough for everybody
}

TEST_CASE("freshness: who wants it fresher is served by the next question, which leaves when the last one is done") {
  asking a;
  a.core.peer(peer, true, a.now, a.asked);
  a.want(0ms);
  const auto first = a.question();
  a.now += 1ms;
  a.want(0ms);
  a.want(0ms);
  CHECK(a.asked.empty());
  a.now += 1ms;
  CHECK(a.tell(first.number, {}));
  const auto second = a.question();
  const auto left = a.now;
  CHECK(second.number > first.number);
  CHECK_FALSE(a.tell(first.number, {})); // repeated
  CHECK_FALSE(a.tell(0, {}));
  a.now += 1ms;
  CHECK(a.tell(second.number, {}));
  CHECK(a.as_of() == left);
  CHECK_FALSE(a.core.told({other, free_lane, second.number, {}}, a.shows(), a.now, a.asked)); // no member
}

TEST_CASE("freshness: a lost connection voids what was asked and answered, and the next one asks again") {
  asking a;
  a.want(0ms);
  CHECK(a.asked.empty()); // there is no connection
  a.core.peer(peer, true, a.now, a.asked);
  const auto first = a.question();
  a.core.peer(peer, false, a.now, a.asked);
  a.core.peer(peer, true, a.now, a.asked);
  const auto second = a.question();
  CHECK_FALSE(a.tell(first.number, {}));
  CHECK_FALSE(a.tell(second.number, {{theirs, 9}}));
  a.core.peer(peer, false, a.now, a.asked); // what it had accepted and not synced may be gone
  CHECK_FALSE(a.show({{theirs, 9}}));
  CHECK(a.as_of() == instant::min());
}

TEST_CASE("freshness: E4: planted mistakes are caught: an answer counts from its question on, and once it is shown") {
  const auto overstated = [] {
    asking a;
    a.core.peer(peer, true, a.now, a.asked);
    a.want(0ms);
    const auto q = a.question();
    const auto left = a.now;
    a.now += 5ms;
    a.tell(q.number, {{theirs, 3}});
    if (a.as_of() != instant::min()) return true; // nothing of it is here
    a.show({{theirs, 3}});
    return a.as_of() > left;
  };
  for (const auto m : freshness_mutations) {
    CAPTURE(name_of(m));
    plant(m);
    CHECK(overstated());
  }
  plant(mutation::none);
  CHECK_FALSE(overstated());
}

TEST_CASE("freshness: a question without an answer is repeated, and old knowledge is renewed unasked") {
  asking a;
  a.core.peer(peer, true, a.now, a.asked);
  a.want(0ms);
  const auto first = a.question();
  CHECK(a.core.wake_at() <= a.now + 200ms);
  a.now += 200ms;
  a.core.tick(a.now, a.asked);
  std::erase_if(a.asked, [](const auto& q) { return q.to != peer || q.lane != free_lane; });
  const auto again = a.question();
  CHECK(again.number > first.number);
  CHECK(a.tell(again.number, {}));
  a.now += 1000ms;
  a.core.tick(a.now, a.asked);
  std::erase_if(a.asked, [](const auto& q) { return q.to != peer || q.lane != free_lane; });
  CHECK(a.question().number > again.number);
}

TEST_CASE(
    "stream replica: E4: a read with a bound waits for what every member had accepted, and is told how old it is") {
  fresh_replica r;
  r.submit(r.bounded("view:a", 50ms));
  CHECK(r.waits());
  r.now += 3ms;
  r.answer_all({{peer, {{theirs, 1}}}});
  CHECK(r.waits()); // the peer has accepted something that is not here
  r.accept(free_lane, {{.at = {theirs, 1}, .key = "view:a", .value = "new"}});
  const auto first = r.answered();
  CHECK(r.value_of(first) == "new");
  CHECK(first.staleness_us() >= 3'000);
  CHECK(first.staleness_us() <= 3'100); // and the drift of a clock
  r.now += 10ms;
  CHECK(r.value_of(r.ask(r.bounded("view:a", 50ms))) == "new"); // still fresh enough
  CHECK(r.take<stream_replica::ask_freshness>().empty());
  r.submit(r.bounded("view:a", 5ms));
  CHECK(r.waits());
  r.answer_all();
  CHECK(r.value_of(r.answered()) == "new");
}

TEST_CASE(
    "stream replica: E4: a bound that cannot be met by the deadline is an error that names who is out of reach") {
  fresh_replica r;
  r.connect(other, false);
  r.submit(r.bounded("view:a", 20ms));
  r.answer_all();
  CHECK(r.waits());
  r.pass(100ms);
  const auto failed = r.answered();
  CHECK(r.error_of(failed) == errc::too_stale);
  CHECK(failed.waits_for_node() == other.value);
  CHECK(r.error_of(r.ask(r.get("view:a"))) == errc::none); // without a bound nobody waits
  r.connect(other, true);
  r.submit(r.bounded("view:a", 20ms));
  r.answer_all();
  CHECK(r.error_of(r.answered()) == errc::none);
}

TEST_CASE("stream replica: E4: an update that is here and hidden by its causes is not shown, so not fresh") {
  fresh_replica r;
  r.accept(ordered, {{.at = {theirs, 1}, .key = "cause:a", .value = "1", .depends = {{origin{other, 7}, 1}}}});
  r.advance({{theirs, 1}});
  r.submit(r.bounded("cause:a", 20ms));
  r.answer_all({{peer, {{theirs, 1}}}});
  CHECK(r.waits());
  r.accept(ordered, {{.at = {origin{other, 7}, 1}, .key = "cause:b", .value = "0"}});
  r.advance({{theirs, 1}, {origin{other, 7}, 1}});
  CHECK(r.value_of(r.answered()) == "1");
}

TEST_CASE("stream replica: E4: its own writes that its region does not show yet count, too") {
  fresh_replica r;
  CHECK(r.error_of(r.ask(r.put("cause:a", "mine"))) == errc::none);
  r.submit(r.bounded("cause:a", 20ms));
  r.answer_all();
  CHECK(r.waits());
  r.advance({{origin{us, 1}, 1}});
  CHECK(r.value_of(r.answered()) == "mine");
}

TEST_CASE(
    "stream replica: answers what it has accepted, durable or not, of all its lives; and nothing that is strange") {
  fresh_replica r;
  r.ask(r.put("fast:a", "0"));
  r.holds_syncs = true;
  r.submit(r.put("fast:a", "1")); // acknowledged before it is on the disk
  CHECK(r.error_of(r.answered()) == errc::none);
  v1::FreshnessAsked question;
  question.set_number(5);
  question.set_lane(v1::FREE);
  r.core->freshness_asked(peer, question, r.out);
  r.run();
  auto told = r.take<stream_replica::tell_freshness>();
  REQUIRE(told.size() == 1);
  CHECK(told.front().to == peer);
  CHECK(told.front().what.number() == 5);
  CHECK(from_wire(told.front().what.accepted()) == version_vector{{origin{us, 1}, 2}});
  r.sync();
  r.crash();
  r.holds_syncs = false;
  r.start();
  r.core->freshness_asked(peer, question, r.out);
  r.run();
  told = r.take<stream_replica::tell_freshness>();
  REQUIRE(told.size() == 1);
  CHECK(from_wire(told.front().what.accepted()) == version_vector{{origin{us, 1}, 2}});

  v1::FreshnessTold invented;
  invented.set_number(1);
  to_wire({{origin{other, 3}, 8}}, *invented.mutable_accepted());
  r.core->freshness_told(peer, invented, r.at(), r.out); // says what another node has accepted
  CHECK(r.core->report().refused == 1);
}
