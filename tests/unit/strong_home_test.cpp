// How a home gets its lease and loses it, and how it touches keys. Writes are in strong_write_test.cpp.
#include "tests/support/strong_home_script.hpp"

using namespace troupe;
using namespace troupe::script;

namespace {

const epoch first_era{1, n1, {1}};

bool has_released(const home::effects& out) {
  return std::any_of(out.begin(), out.end(), [](const auto& e) { return std::holds_alternative<home::released>(e); });
}

v1::Record value(const std::string& text) {
  v1::Record r;
  r.set_value(text);
  return r;
}

} // namespace

TEST_CASE("home: the own replica is asked last, when its vote decides") {
  scripted_home h;
  CHECK(h.claims.contains(n2)); // as soon as a majority could be reached
  CHECK(h.claims.contains(n3));
  CHECK_FALSE(h.claims.contains(n1));
  CHECK(h.grant(n3) == "n1: claim 1/n1/1");
  CHECK(h.core.state() == home::role::claiming);
  h.grant(n1);
  CHECK(h.core.state() == home::role::leading);
}

TEST_CASE("home: the lease runs from the sending of the majority-th newest request, shortened by the drift") {
  scripted_home h;
  h.tick();
  h.now += 30ms;
  h.grant(n2); // asked at start
  h.now += 10ms;
  h.grant(n1); // asked at start + 30
  CHECK(h.core.lease_until() == start + 396ms);
  h.renewed(n3, start + 20ms);
  CHECK(h.core.lease_until() == start + 20ms + 396ms); // {0, 30, 20}: the second newest
  h.renewed(n3, start + 10ms);                         // an older answer changes nothing
  CHECK(h.core.lease_until() == start + 20ms + 396ms);
}

TEST_CASE("home: a majority whose answers took a whole lease is no lease") {
  scripted_home h;
  h.tick();
  h.now += 150ms;
  h.grant(n2);
  h.now += 246ms;
  CHECK(h.grant(n1) == "n1: release 1/n1/1 | n2: release 1/n1/1 | n3: release 1/n1/1");
  CHECK(h.core.state() == home::role::idle);
}

TEST_CASE("home: a candidate without a majority releases what it was granted, and never uses the epoch again") {
  scripted_home h;
  h.tick();
  h.grant(n2);
  CHECK(h.tick(200ms) == "n1: release 1/n1/1 | n2: release 1/n1/1 | n3: release 1/n1/1");
  CHECK(h.grant(n1) == ""); // too late
  CHECK(h.core.state() == home::role::idle);
  h.now = h.core.wake_at();
  CHECK(h.tick() == "n2: claim 2/n1/1 | n3: claim 2/n1/1");
}

TEST_CASE("home: a refused candidate claims above the promise that it was told, and waits for the lease that runs") {
  scripted_home h;
  h.tick();
  h.refuse(n2, v1::Refused::LEASED, {4, n3, {2}}, 250);
  CHECK(h.refuse(n3, v1::Refused::LEASED, {4, n3, {2}}, 250) == "n2: release 1/n1/1 | n3: release 1/n1/1");
  CHECK(h.core.wake_at() >= start + 250ms);
  CHECK(h.core.wake_at() <= start + 250ms + 200ms);
  h.now = h.core.wake_at();
  CHECK(h.tick() == "n2: claim 5/n1/1 | n3: claim 5/n1/1");
}

TEST_CASE("home: one whose lease has run out stops before it answers") {
  scripted_home h;
  h.lead();
  h.receive(client, get(1));
  h.touch_empty();
  CHECK(h.receive(client, get(2)) == "n9: answer 5#2 applied");
  h.now = h.core.lease_until();
  CHECK(h.receive(client, get(3))
        == "n1: release 1/n1/1 | n2: release 1/n1/1 | n3: release 1/n1/1 | n9: not_home 5#3 no_home");
  CHECK(h.core.state() == home::role::idle);
  CHECK(h.core.keys() == 0);
}

TEST_CASE("home: operations that were under way at the end are interrupted, those that waited were not executed") {
  scripted_home h;
  h.lead();
  h.receive(client, put(1, "a"));
  h.touch_empty();
  h.receive(client, put(2, "b"));
  h.now = h.core.lease_until() - 1ns;
  CHECK(h.accept(n1) == "");
  CHECK(h.tick(1ns)
        == "n9: not_home 5#1 interrupted | n9: not_home 5#2 no_home | n1: release 1/n1/1 | "
           "n2: release 1/n1/1 | n3: release 1/n1/1");
  CHECK(h.accept(n2) == ""); // late: of an epoch that is over
}

TEST_CASE("home: a higher promise makes it finish what is undecided, and come back in a higher round") {
  scripted_home h;
  h.lead();
  h.receive(client, put(1, "a"));
  h.touch_empty();
  CHECK(h.renewed(n3, h.now, {5, n3, {1}}) == "");
  CHECK(h.receive(client, put(2, "b")) == "n9: not_home 5#2 no_home hint=n1");
  h.accept(n1);
  CHECK(h.accept(n2) == "n9: answer 5#1 applied | n1: release 1/n1/1 | n2: release 1/n1/1 | n3: release 1/n1/1");
  CHECK(h.tick() == "n2: claim 6/n1/1 | n3: claim 6/n1/1");
}

TEST_CASE("home: a touch that waits for a replica with a higher promise does not hold up the higher round") {
  scripted_home h;
  h.lead();
  h.receive(client, put(1, "a"));
  h.latest(n2);
  h.abstain(n3, h.questions[n3].number()); // two good copies are needed, and n1 will not answer in this epoch
  v1::Superseded s;
  s.set_shard(shard.value);
  to_wire(epoch{5, n3, {1}}, *s.mutable_promised());
  CHECK(h.receive(n1, s)
        == "n9: not_home 5#1 no_home | n1: release 1/n1/1 | n2: release 1/n1/1 | n3: release 1/n1/1");
  CHECK(h.tick() == "n2: claim 6/n1/1 | n3: claim 6/n1/1");
}

TEST_CASE("home: while it finishes what is undecided, a touch proposes nothing new") {
  scripted_home h;
  h.lead();
  h.receive(client, put(1, "a"));
  h.touch_empty();
  const auto undecided = h.accepts;
  h.receive(client, put(2, "b", 1s, "t:other"));
  h.receive(client, get(3, "t:third"));
  h.renewed(n3, h.now, {5, n3, {1}}); // drains
  const version v{{1, n2, {1}}, 4}, older{{1, n2, {1}}, 3};
  for (const auto* key : {"t:other", "t:third"}) {
    CHECK(h.latest_of(key, n1, v.era, v, value("x")) == "");
    CHECK(h.latest_of(key, n2, v.era, v, value("x")) == "");
    CHECK(h.latest_of(key, n3, v.era, older, value("w")) == ""); // not unanimous
  }
  h.now += 50ms;
  h.tick(); // not even when the time to settle is up
  CHECK(h.core.wake_at() > h.now);
  CHECK(h.accepts.at(n2).number() == undecided.at(n2).number());
  h.accept(n1);
  CHECK(h.accept(n2)
        == "n9: answer 5#1 applied | n9: not_home 5#2 no_home | n9: not_home 5#3 no_home | "
           "n1: release 1/n1/1 | n2: release 1/n1/1 | n3: release 1/n1/1");
}

TEST_CASE("home: release drains first, and never claims again") {
  scripted_home h;
  h.lead();
  h.receive(client, put(1, "a"));
  h.touch_empty();
  CHECK(h.does([&](auto& out) { h.core.release(h.now, out); }) == "");
  CHECK(h.receive(client, put(2, "b")).starts_with("n9: not_home 5#2 no_home"));
  h.accept(n1);
  home::effects out;
  v1::Accepted a;
  a.set_shard(shard.value);
  *a.mutable_epoch() = h.accepts[n2].epoch();
  a.set_key("t:k");
  *a.mutable_version() = h.accepts[n2].version();
  h.core.receive(n2, a, h.now, out);
  CHECK(joined(sends(out)).starts_with("n9: answer 5#1 applied | n1: release"));
  CHECK_FALSE(has_released(out)); // its replica's vote may be needed yet
  out.clear();
  h.core.lessee_seen({}, n1, h.now, out);
  CHECK_FALSE(has_released(out));
  h.core.lessee_seen({2, n2, {1}}, {}, h.now, out);
  CHECK(has_released(out));
  CHECK(h.receive(client, put(3, "c")).starts_with("n9: not_home 5#3 no_home hint=n2"));
  CHECK(h.core.wake_at() == never);
  h.does([&](auto& more) { h.core.lessee_seen({}, {}, h.now, more); });
  CHECK(h.tick(10s) == "");
}

TEST_CASE("home: one that releases says that it leaves; one that comes back in a higher round does not") {
  scripted_home leaver, stayer;
  leaver.lead();
  stayer.lead();
  CHECK(leaver.does([&](auto& out) { leaver.core.release(leaver.now, out); })
        == "n1: release 1/n1/1 leaving | n2: release 1/n1/1 leaving | n3: release 1/n1/1 leaving");
  CHECK(stayer.renewed(n3, stayer.now, {5, n3, {1}}).starts_with("n1: release 1/n1/1 | n2: release 1/n1/1 |"));
}

TEST_CASE(
    "home: one that releases waits a lease for its successor at most, and not at all when nobody can take over") {
  scripted_home h;
  h.lead();
  home::effects out;
  h.core.release(h.now, out);
  CHECK_FALSE(has_released(out));
  CHECK(h.core.wake_at() == h.now + 400ms);
  h.core.tick(h.now + 400ms, out);
  CHECK(has_released(out));

  scripted_home alone;
  alone.lead();
  alone.does([&](auto& more) { alone.core.peer(n2, false, alone.now, more); });
  alone.does([&](auto& more) { alone.core.peer(n3, false, alone.now, more); });
  out.clear();
  alone.core.release(alone.now, out);
  CHECK(has_released(out));

  scripted_home idle; // it leads nothing
  out.clear();
  idle.core.release(idle.now, out);
  CHECK(has_released(out));
  out.clear();
  idle.core.release(idle.now, out); // asked again
  CHECK(has_released(out));
}

TEST_CASE("home: nobody is waited for where nobody can take over: a set of one, or others that leave, too") {
  home_options o = three_replicas();
  o.replicas = {n1};
  scripted_home only{o};
  only.tick();
  only.grant(n1);
  REQUIRE(only.core.state() == home::role::leading);
  home::effects out;
  only.core.release(only.now, out);
  CHECK(has_released(out));

  scripted_home h;
  h.does([&](auto& more) { h.core.lessee_seen({}, n2, h.now, more); });
  h.does([&](auto& more) { h.core.lessee_seen({}, n3, h.now, more); });
  h.lead();
  out.clear();
  h.core.release(h.now, out);
  CHECK(has_released(out));
}

TEST_CASE("home: one whose successor was seen before it knew that its lease had lapsed claims only after it") {
  scripted_home h;
  h.lead();
  h.now += 1s; // paused: n2 has claimed meanwhile, and the own replica says so before any tick
  CHECK(h.does([&](auto& out) {
    h.core.lessee_seen({2, n2, {1}}, {}, h.now, out);
  }) == "n1: release 1/n1/1 | n2: release 1/n1/1 | n3: release 1/n1/1");
  CHECK(h.core.state() == home::role::idle);
  CHECK(h.core.known_home() == n2);
  CHECK(h.core.wake_at() == never);
  CHECK(h.tick(10s) == "");
  h.does([&](auto& out) { h.core.lessee_seen({}, {}, h.now, out); });
  CHECK(h.tick() == "n2: claim 3/n1/1 | n3: claim 3/n1/1");
}

TEST_CASE("home: a candidate that saw another's lease begin waits for its end, whatever its own claim came to") {
  scripted_home h;
  h.does([&](auto& out) { h.core.lessee_seen({2, n2, {1}}, {}, h.now, out); });
  CHECK(h.core.state() == home::role::claiming);
  h.refuse(n2, v1::Refused::LEASED, {2, n2, {1}}, 400);
  h.refuse(n3, v1::Refused::LEASED, {2, n2, {1}}, 400);
  CHECK(h.core.state() == home::role::idle);
  CHECK(h.core.known_home() == n2);
  CHECK(h.core.wake_at() == never);
  h.does([&](auto& out) { h.core.lessee_seen({}, {}, h.now, out); });
  CHECK(h.core.wake_at() == h.now);
}

TEST_CASE("home: one that seeks a higher round claims it at once, though its own replica is leased to the rival") {
  scripted_home h;
  h.lead();
  h.does([&](auto& out) { h.core.lessee_seen({5, n3, {1}}, {}, h.now, out); });
  CHECK(h.renewed(n1, h.now, {5, n3, {1}}) == "n1: release 1/n1/1 | n2: release 1/n1/1 | n3: release 1/n1/1");
  CHECK(h.tick() == "n2: claim 6/n1/1 | n3: claim 6/n1/1");
}

TEST_CASE("home: it claims when the lease that it saw has ended, in the order of the shard") {
  home_options o = three_replicas();
  o.self = n3;
  o.replicas = {n1, n2, n3};
  home h{o};
  home::effects out;
  h.start(start, out);
  CHECK(h.wake_at() == never); // alone it can do nothing
  h.peer(n2, true, start, out);
  CHECK(h.wake_at() == start + 300ms);
  h.lessee_seen({3, n2, {1}}, {}, start + 10ms, out);
  CHECK(h.wake_at() == never);
  CHECK(h.known_home() == n2);
  h.lessee_seen({}, {}, start + 500ms, out);
  CHECK(h.wake_at() == start + 650ms); // n1 is not there, n2 stands before it
  h.tick(start + 650ms, out);
  CHECK(h.state() == home::role::claiming);
  CHECK(h.era() == epoch{3, n3, {1}}); // the lowest above what it saw
}

TEST_CASE("home: nobody waits for the turn of a node that leaves, until it has come back") {
  home_options o = three_replicas();
  o.self = n3;
  home h{o};
  home::effects out;
  h.start(start, out);
  h.peer(n1, true, start, out);
  h.peer(n2, true, start, out);
  h.lessee_seen({3, n2, {1}}, {}, start, out);
  h.lessee_seen({}, n2, start + 10ms, out);
  CHECK(h.wake_at() == start + 160ms); // n1 stands before it
  h.lessee_seen({4, n1, {1}}, {}, start + 20ms, out);
  h.lessee_seen({}, n1, start + 30ms, out);
  CHECK(h.wake_at() == start + 30ms);
  h.lessee_seen({5, n3, {1}}, {}, start + 40ms, out);
  h.peer(n2, true, start + 50ms, out);
  h.lessee_seen({}, {}, start + 60ms, out);
  CHECK(h.wake_at() == start + 210ms);
}

// -- first touch
// ------------------------------------------------------------------------------------------------------

TEST_CASE("touch: copies that agree at every replica are served without being accepted again") {
  scripted_home h;
  h.lead();
  CHECK(h.receive(client, get(1)) == "n1: read t:k in 1/n1/1 | n2: read t:k in 1/n1/1 | n3: read t:k in 1/n1/1");
  const version v{{1, n2, {1}}, 4};
  h.latest(n1, v.era, v, value("x"));
  h.latest(n2, v.era, v, value("x"));
  CHECK(h.latest(n3, v.era, v, value("x")) == "n9: answer 5#1 applied value=x");
}

TEST_CASE("touch: the same version under two ballots does not agree, and is accepted again with its version") {
  scripted_home h;
  h.lead();
  h.receive(client, get(1));
  const version v{{1, n2, {1}}, 4};
  h.latest(n1, {1, n2, {1}}, v, value("x"));
  h.latest(n2, {1, n3, {1}}, v, value("x"));
  CHECK(
      h.latest(n3, {1, n2, {1}}, v, value("x"))
      == "n1: accept t:k 1/n2/1.4 in 1/n1/1 | n2: accept t:k 1/n2/1.4 in 1/n1/1 | n3: accept t:k 1/n2/1.4 in 1/n1/1");
  CHECK(h.accept(n3) == "");
  CHECK(h.accept(n1) == "n9: answer 5#1 applied value=x");
}

TEST_CASE("touch: the half-finished write of a dead home is finished when the touch sees it") {
  scripted_home h;
  h.lead();
  h.receive(client, get(1));
  const version old{{1, n2, {1}}, 4}, half{{1, n2, {1}}, 5};
  h.latest(n1, old.era, old, value("old"));
  CHECK(h.latest(n2, half.era, half, value("half")) == ""); // the third is given as long as these took
  h.now = h.core.wake_at();
  CHECK(h.tick().starts_with("n1: accept t:k 1/n2/1.5 in 1/n1/1"));
  CHECK(h.latest(n3, old.era, old, value("old")) == ""); // too late to change anything
  h.accept(n1);
  CHECK(h.accept(n2) == "n9: answer 5#1 applied value=half");
}

TEST_CASE("touch: a half-finished write that the touch does not see is outranked, and never seen") {
  scripted_home h;
  h.lead();
  h.receive(client, get(1));
  const version old{{1, n2, {1}}, 4};
  h.latest(n1, old.era, old, value("old"));
  h.latest(n2, old.era, old, value("old"));
  h.now = h.core.wake_at();
  CHECK(
      h.tick() // n3 may hold a higher version under a lower ballot
      == "n1: accept t:k 1/n2/1.4 in 1/n1/1 | n2: accept t:k 1/n2/1.4 in 1/n1/1 | n3: accept t:k 1/n2/1.4 in 1/n1/1");
}

TEST_CASE("touch: a key that only a majority knows to be unwritten becomes a tombstone") {
  scripted_home h;
  h.lead();
  h.receive(client, get(1));
  h.latest(n1);
  h.latest(n2);
  h.now = h.core.wake_at();
  CHECK(h.tick().starts_with("n1: accept t:k 1/n1/1.1 in 1/n1/1"));
  CHECK(h.proposed().tombstone());
  h.accept(n1);
  CHECK(h.accept(n2) == "n9: answer 5#1 applied");
}

TEST_CASE("touch: a damaged copy is no copy, even where nothing was written, and its repair quotes the abstention") {
  scripted_home h;
  h.lead();
  h.receive(client, get(1));
  h.latest(n1);
  h.abstain(n2, h.questions[n2].number());
  CHECK(h.latest(n3)
        == "n1: accept t:k 1/n1/1.1 in 1/n1/1 | n2: accept t:k 1/n1/1.1 in 1/n1/1 repairs | "
           "n3: accept t:k 1/n1/1.1 in 1/n1/1");
  CHECK(h.accepts[n2].repairs() == h.questions[n2].number());
}

TEST_CASE("touch, S1, D1: a copy that was read well counts, whatever its replica says to a second question") {
  scripted_home h;
  h.lead();
  h.receive(client, get(1));
  const version old{{1, n2, {1}}, 8}, acknowledged{{1, n2, {1}}, 9}; // by n2 and n3
  h.latest(n1, old.era, old, value("old"));
  h.tick(100ms); // asks n2 and n3 again: n2 answers both questions, and its copy rots in between
  CHECK(h.latest(n2, acknowledged.era, acknowledged, value("new")) == "");
  CHECK(h.abstain(n2, h.questions[n2].number()) == "");
  h.now = h.core.wake_at();
  h.tick();
  REQUIRE(h.accepts.contains(n3));
  CHECK(from_wire(h.accepts[n3].version()) == acknowledged);
  CHECK(h.proposed(n3).value() == "new");
  CHECK(h.abstain(n2, h.accepts[n2].number()) == "n2: accept t:k 1/n2/1.9 in 1/n1/1 repairs");
}

TEST_CASE("touch: too few good copies are an error, and the next operation asks again") {
  scripted_home h;
  h.lead();
  h.receive(client, get(1));
  h.abstain(n1, h.questions[n1].number());
  CHECK(h.abstain(n2, h.questions[n2].number()) == "n9: answer 5#1 corrupt");
  CHECK(h.core.keys() == 0);
  CHECK(h.receive(client, get(2)).starts_with("n1: read t:k"));
}

TEST_CASE("touch: answers to a touch that was given up do not count for the next one") {
  scripted_home h;
  h.lead();
  h.receive(client, get(1));
  auto stale = h.questions;
  h.abstain(n1, h.questions[n1].number());
  h.abstain(n2, h.questions[n2].number()); // given up
  h.receive(client, get(2));
  std::swap(stale, h.questions);
  CHECK(h.latest(n1) == "");
  CHECK(h.latest(n2) == "");
  CHECK(h.latest(n3) == "");
  CHECK(h.core.undecided() == 1); // still waiting for its own answers
}
