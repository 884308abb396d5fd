// What a node knows of everybody's updates, and who waits for it (PROTOCOLS §4, §6).
#include "tests/support/stream_script.hpp"

using namespace troupe;
using namespace troupe::script;

namespace {

constexpr origin a{n1, 1}, b{n2, 1}, c{n3, 1};

} // namespace

TEST_CASE("frontier: C1: nothing is applied before every counted node of the region has it") {
  scripted_frontier s;
  s.core.received(ordered, c, 5);
  CHECK(s.flush() == ""); // nothing is known of node 2
  CHECK_FALSE(s.core.ready());
  CHECK(s.hear(n2, {{c, 3}}) == "applied n3.1:3");
  CHECK(s.core.ready());
  CHECK(s.hear(n2, {{c, 9}}) == "applied n3.1:5"); // no further than what is here
  CHECK(s.hear(n3, {{c, 9}}) == "");               // another region
}

TEST_CASE("frontier: without a view nobody is counted, and nothing is concluded but what others state") {
  scripted_frontier s{false};
  s.core.received(ordered, c, 5);
  CHECK(s.hear(n2, {{c, 5}}) == "");
  CHECK(s.hear(n2, {{c, 5}}, {{c, 4}}) == "applied n3.1:4");
  CHECK_FALSE(s.core.ready());
  s.view_changed();
  CHECK(s.flush() == "applied n3.1:5");
}

TEST_CASE("frontier: a node that is out holds nothing up, and when it is back in, nothing goes back") {
  scripted_frontier s;
  s.core.received(ordered, c, 5);
  s.hear(n2, {{c, 1}});
  s.v.number = 2;
  s.v.nodes[n2].out = true;
  s.view_changed();
  CHECK(s.flush() == "applied n3.1:5");
  s.v.number = 3;
  s.v.nodes[n2].out = false;
  s.view_changed();
  s.core.received(ordered, c, 8);
  CHECK(s.flush() == "");
  CHECK(s.core.applied() == version_vector{{c, 5}});
  CHECK(s.hear(n2, {{c, 6}}) == "applied n3.1:6");
  s.v.number = 2; // late
  s.v.nodes[n2].out = true;
  s.view_changed();
  CHECK(s.noted == "frontier.old_view number=2 known=3");
  CHECK(s.flush() == "");
}

TEST_CASE("frontier: what somebody states about the region is used as far as it has come here") {
  scripted_frontier s;
  s.core.received(ordered, c, 2);
  s.core.facts({{c, 4}, {{{9}, 1}, 4}}); // of no member: nothing
  CHECK(s.flush() == "applied n3.1:2");
  s.core.received(ordered, c, 6);
  CHECK(s.flush() == "applied n3.1:4");
  CHECK(s.core.region() == version_vector{{c, 4}});
  CHECK(s.hear(n3, {{c, 9}}, {{c, 9}}) == ""); // about another region
}

TEST_CASE("frontier: T2: stable is what every member has applied, those that are out included") {
  scripted_frontier s;
  s.core.received(ordered, c, 5);
  s.hear(n2, {{c, 5}}, {{c, 4}});
  s.hear(n3, {{c, 5}}, {{c, 5}});
  s.v.number = 2;
  s.v.nodes[n4].out = true;
  s.view_changed();
  CHECK(s.flush() == "");
  CHECK(s.hear(n4, {{c, 5}}, {{c, 3}}) == "ordered stable n3.1:3");
  CHECK(s.hear(n4, {{c, 5}}, {{c, 2}}) == ""); // it has restarted: the past stays true
  CHECK(s.core.stable(ordered) == version_vector{{c, 3}});
  CHECK(s.hear(n4, {{c, 5}}, {{c, 5}}) == "ordered stable n3.1:4");
}

TEST_CASE("frontier: of the free lane, stable is what every member has received and merged") {
  scripted_frontier s;
  s.core.received(eventual, c, 5);
  for (auto n : {n2, n3, n4}) {
    auto m = s.facts({}, {});
    to_wire({{c, 4}}, *m.mutable_received_free());
    s.receive(n, m);
  }
  CHECK(s.flush() == "free stable n3.1:4");
}

TEST_CASE("frontier: a wait is over when the last of what it is for is applied, and nothing polls") {
  scripted_frontier s;
  s.core.received(ordered, b, 1);
  s.core.received(ordered, c, 1);
  s.hear(n2, {{b, 1}, {c, 1}});
  CHECK(s.wait(1, {{c, 1}}) == "reached 1");
  CHECK(s.wait(2, {{b, 2}, {c, 3}}) == "");
  CHECK(s.wait(3, {{b, 2}}) == "");
  s.core.received(ordered, b, 2);
  s.core.received(ordered, c, 3);
  CHECK(s.hear(n2, {{b, 2}, {c, 2}}) == "applied n2.1:2 n3.1:2 | reached 3");
  CHECK(s.core.waits() == 1);
  CHECK(s.hear(n2, {{b, 2}, {c, 3}}) == "applied n2.1:2 n3.1:3 | reached 2");
  CHECK(s.core.waits() == 0);
}

TEST_CASE("frontier: T2: after a start nobody is answered before the region has been heard") {
  scripted_frontier s;
  CHECK(s.wait(1, {}) == ""); // of a session whose token was pruned
  CHECK(s.flush() == "");
  s.core.received(ordered, c, 1);
  CHECK(s.hear(n2, {{c, 1}}) == "applied n3.1:1 | reached 1");
  CHECK(s.wait(2, {}) == "reached 2");
}

TEST_CASE("frontier: a wait that is not over by its deadline names the update and who is waited for") {
  scripted_frontier s;
  SUBCASE("the node of the region that lacks it") {
    s.core.received(ordered, c, 4);
    s.hear(n2, {{c, 1}});
    s.wait(1, {{c, 4}}, 10ms);
    CHECK(s.core.wake_at() <= start + 10ms);
    CHECK(s.tick(9ms) == "");
    CHECK(s.tick(1ms) == "failed 1 dependency_timeout missing n3.1:4 who n2");
  }
  SUBCASE("this node") {
    s.hear(n2, {{c, 4}});
    s.wait(1, {{c, 4}}, 10ms);
    CHECK(s.tick(10ms) == "failed 1 dependency_timeout missing n3.1:4 who n1");
  }
  SUBCASE("the origin's node, when nobody here has it") {
    s.hear(n2, {{c, 1}});
    s.wait(1, {{c, 4}}, 10ms);
    CHECK(s.tick(10ms) == "failed 1 dependency_timeout missing n3.1:4 who n3");
  }
  SUBCASE("whoever was not heard since the start") {
    s.wait(1, {}, 10ms);
    CHECK(s.tick(10ms) == "failed 1 dependency_timeout missing n0.0:0 who n2");
  }
  SUBCASE("at once when it is past") { CHECK(s.wait(1, {{c, 4}}, 0ms).starts_with("failed 1 dependency_timeout")); }
  CHECK(s.core.waits() == 0);
  CHECK(s.core.counted().timeouts == 1);
}

TEST_CASE("frontier: a wait for what was lost with its node fails as lost, at once") {
  scripted_frontier s;
  s.core.received(ordered, c, 2);
  s.hear(n2, {{c, 2}});
  s.wait(1, {{b, 7}, {c, 3}});
  s.wait(2, {{c, 2}, {b, 1}});
  auto m = s.facts({{c, 2}}, {});
  to_wire(dot{c, 2}, *m.add_ended());
  CHECK(s.receive(n3, m) == "failed 1 lost_update missing n3.1:3 who n3");
  CHECK(s.wait(3, {{c, 3}}) == "failed 3 lost_update missing n3.1:3 who n3");
  CHECK(s.wait(4, {{c, 2}}) == "reached 4");
  CHECK(s.core.waits() == 1);
}

TEST_CASE("frontier: X1: waits are bounded, and one that is cancelled makes room") {
  scripted_frontier s{true, 1};
  s.hear(n2, {});
  CHECK(s.wait(1, {{c, 1}}) == "");
  CHECK(s.wait(2, {{c, 1}}) == "failed 2 overloaded missing n3.1:1 who n0");
  s.core.cancel(2); // was answered
  s.core.cancel(1);
  CHECK(s.wait(3, {{c, 1}}) == "");
  s.core.received(ordered, c, 1);
  CHECK(s.hear(n2, {{c, 1}}) == "applied n3.1:1 | reached 3");
}

TEST_CASE("frontier: facts leave at once, then no more often than the pace, then as a heartbeat") {
  scripted_frontier s;
  s.core.peer(n2, true, s.now);
  s.core.peer(n3, true, s.now);
  CHECK(s.flush() == "n2: received - region - | n3: received - region -");
  CHECK(s.core.wake_at() == start + 1s);
  s.core.received(ordered, a, 1);
  CHECK(s.flush() == "");
  CHECK(s.core.wake_at() == start + 1ms);
  CHECK(s.tick(1ms) == "n2: received n1.1:1 region -");
  CHECK(s.core.wake_at() == start + 10ms); // the other region is told less often
  CHECK(s.tick(9ms) == "n3: received n1.1:1 region -");
  CHECK(s.core.wake_at() == start + 1ms + 1s);
  CHECK(s.tick(991ms) == "n2: received n1.1:1 region -");
  s.core.peer(n2, false, s.now);
  s.core.received(ordered, a, 2);
  CHECK(s.tick(5ms) == "n3: received n1.1:2 region -");
}

TEST_CASE("frontier: who waits asks, and who is asked answers at once what is new") {
  scripted_frontier s;
  s.core.peer(n2, true, s.now);
  s.flush();
  s.wait(1, {{c, 1}});
  CHECK(s.tick(1ms) == "n2: received - region - wanted");
  auto m = s.facts({}, {});
  m.set_wanted(true);
  s.core.received(ordered, c, 1);
  s.receive(n2, m);
  CHECK(s.flush() == "n2: received n3.1:1 region -");
  s.receive(n2, m);
  m.set_number(++s.number);
  s.receive(n2, m);
  CHECK(s.flush() == ""); // nothing is new: at the pace
  CHECK(s.tick(1ms) == "n2: received n3.1:1 region -");
}

TEST_CASE("frontier: facts that are stale, malformed or of a stranger are refused with a reason") {
  scripted_frontier s;
  s.core.received(ordered, c, 9);
  auto m = s.facts({{c, 3}}, {});
  m.set_incarnation(2);
  m.set_number(5);
  s.receive(n2, m);
  const auto refused = [&](node_id from, v1::FrontierFacts f, const std::string& why) {
    s.noted.clear();
    s.receive(from, std::move(f));
    CHECK(s.noted.starts_with("frontier.facts_refused from=" + to_string(from) + " why=" + why));
  };
  to_wire({{c, 7}}, *m.mutable_received());
  refused(n2, m, "stale"); // the same number
  m.set_number(6);
  auto f = m;
  f.set_incarnation(1);
  refused(n2, f, "stale");
  f.set_incarnation(0);
  refused(n2, f, "no_number");
  f = m;
  f.mutable_received()->mutable_entries(0)->set_node(77);
  refused(n2, f, "bad_vector");
  f = m;
  f.mutable_received()->mutable_entries(0)->set_life(0);
  refused(n2, f, "bad_vector");
  f = m;
  to_wire(dot{c, 1}, *f.add_ended());
  refused(n2, f, "ended_of_another");
  refused({77}, m, "not_a_member");
  refused(n1, m, "not_a_member"); // this node itself
  CHECK(s.core.counted().refused == 8);
  CHECK(s.flush() == "applied n3.1:3");
  s.receive(n2, m);
  CHECK(s.flush() == "applied n3.1:7");
}

TEST_CASE("frontier: E3: the stable clock is what every origin has stated of a number that is stable") {
  scripted_frontier s;
  const auto everybody_has = [&](const version_vector& v) {
    for (auto n : {n2, n3, n4})
      s.receive(n, s.facts(v, v));
    s.flush();
  };
  s.core.received(ordered, c, 5);
  everybody_has({{c, 4}});
  for (auto n : {n1, n2, n4})
    s.core.stated({ordered, {n, 1}, 0, 100});
  s.core.stated({ordered, c, 4, 40});
  s.core.stated({ordered, c, 5, 90});
  s.flush();
  CHECK(s.core.stable_clock(ordered) == 40);
  everybody_has({{c, 5}});
  CHECK(s.core.stable_clock(ordered) == 90);
  CHECK(s.core.stable_clock(eventual) == 0);

  SUBCASE("of a new life nothing is known until it has stated something, and told what it has") {
    s.v.number = 2;
    s.v.nodes[n3].life = 2;
    s.view_changed();
    s.core.stated({ordered, {n3, 2}, 0, 120});
    s.flush();
    CHECK(s.core.stable_clock(ordered) == 0);
    auto m = s.facts({{c, 6}}, {{c, 5}}); // one more of its former life has survived
    m.set_view(2);
    s.receive(n3, m);
    s.flush();
    CHECK(s.core.stable_clock(ordered) == 0);
    s.core.received(ordered, c, 6);
    everybody_has({{c, 6}});
    CHECK(s.core.stable_clock(ordered) == 0); // in view 1
    to_wire({{c, 6}}, *m.mutable_region());
    m.set_number(0);
    s.receive(n3, m);
    s.flush();
    CHECK(s.core.stable_clock(ordered) == 100);
  }
  SUBCASE("a member that has never had a life may still come with any stamp") {
    s.v.number = 2;
    s.v.nodes[n4].life = 0;
    s.view_changed();
    CHECK(s.core.stable_clock(ordered) == 0);
  }
}

TEST_CASE("frontier: X1: statements of a clock are bounded, and the newest stays") {
  scripted_frontier s;
  for (auto n : {n1, n2, n4})
    s.core.stated({ordered, {n, 1}, 0, 1'000'000});
  for (std::uint64_t n = 1; n <= 1'000; ++n)
    s.core.stated({ordered, c, n, 10 * n});
  s.core.received(ordered, c, 1'000);
  for (auto n : {n2, n3, n4})
    s.receive(n, s.facts({{c, 1'000}}, {{c, 1'000}}));
  s.flush();
  CHECK(s.core.stable_clock(ordered) == 10'000);
}

TEST_CASE("frontier: a node that was out has caught up when it has what the counted ones have stated since") {
  scripted_frontier s;
  s.core.received(ordered, c, 5);
  s.hear(n2, {{c, 5}}, {{c, 5}});
  CHECK(s.core.caught_up(1));
  CHECK_FALSE(s.core.caught_up(2)); // stated before it was out
  auto m = s.facts({{c, 7}}, {{c, 7}});
  m.set_view(2);
  s.receive(n2, m);
  s.flush();
  CHECK_FALSE(s.core.caught_up(2));
  s.core.received(ordered, c, 7);
  s.flush();
  CHECK(s.core.caught_up(2));
}

TEST_CASE("frontier: a person is told who holds the region up, and by how much") {
  scripted_frontier s;
  s.core.received(ordered, c, 5);
  s.hear(n2, {{b, 2}, {c, 1}});
  s.hear(n3, {{c, 9}});
  const auto worst = s.core.holdup();
  REQUIRE(worst);
  CHECK(worst->who == n2);
  CHECK(worst->from == c);
  CHECK(worst->behind == 8);
  s.core.received(ordered, c, 9);
  s.core.received(ordered, b, 2);
  s.hear(n2, {{b, 2}, {c, 9}});
  CHECK_FALSE(s.core.holdup());
}

TEST_CASE("frontier: at start it tells the others where its earlier lives ended, and knows a former frontier") {
  scripted_frontier s;
  s.core.restored({{c, 3}});
  s.core.received(ordered, c, 2);
  s.core.earlier_life(1, 4);
  s.core.peer(n2, true, s.now);
  frontier::effects out;
  s.core.flush(s.now, out);
  CHECK(s.core.applied() == version_vector{{c, 2}});
  bool told = false;
  for (const auto& e : out)
    if (const auto* f = std::get_if<frontier::send_facts>(&e))
      told = f->message.ended_size() == 1 && from_wire(f->message.ended(0)) == dot{a, 4};
  CHECK(told);
}
