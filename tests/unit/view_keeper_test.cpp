#include "protocol/view_keeper.hpp"

#include "protocol/limits.hpp"
#include "protocol/mutation.hpp"
#include "tests/support/seeds.hpp"
#include "tests/support/view_world.hpp"

#include <doctest/doctest.h>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

constexpr node_id n1{1}, n2{2}, n3{3};

v1::View message(std::uint64_t number, std::vector<v1::View::Member> members) {
  v1::View v;
  v.set_number(number);
  for (auto& m : members)
    *v.add_members() = std::move(m);
  return v;
}

v1::View::Member member_entry(std::uint32_t node, std::uint64_t life, bool out = false) {
  v1::View::Member m;
  m.set_node(node);
  m.set_life(life);
  m.set_out(out);
  m.set_nonce(life == 0 ? 0 : 7);
  return m;
}

std::string all_of(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& l : lines)
    text += l + "\n";
  return text;
}

/// All members have started, caught up and come in.
view_world settled(std::uint32_t count = 3, std::uint64_t seed = 1) {
  view_world w{count, seed};
  w.start_all();
  REQUIRE(w.run_until([&] { return w.all_in() && w.all_agree(); }, 5s));
  return w;
}

milliseconds since(instant then, instant now) { return std::chrono::duration_cast<milliseconds>(now - then); }

/// Whatever can go wrong, at random; then nothing any more.
std::vector<std::string> storm(std::uint64_t seed) {
  view_world w{3 + static_cast<std::uint32_t>(seed % 3), seed};
  bool calm = false;
  auto chance = [&](unsigned percent) { return w.random() % 100 < percent; };
  auto some = [&](std::uint64_t upto) { return milliseconds{static_cast<std::int64_t>(w.random() % upto)}; };
  w.loss_percent = static_cast<int>(w.random() % 30);
  w.delay_max = some(50);
  w.fate = [&] {
    register_fate f{.there = some(30), .back = some(30)};
    if (calm) return f;
    f.known = !chance(25);
    f.happens = f.known || chance(60);
    if (!f.known && chance(40)) f.there = 250ms + some(1'500); // after its caller has given it up
    return f;
  };
  w.start_all();
  for (int round = 0; round < 40; ++round) {
    const auto who = w.members[w.random() % w.members.size()];
    const auto other = w.members[w.random() % w.members.size()];
    switch (w.random() % 6) {
    case 0:
      w.start(who); // again, at once
      break;
    case 1:
      w.kill(who);
      break;
    case 2:
      if (who != other) w.partition(who, other, chance(50));
      break;
    case 3:
      w.isolate(who, chance(50));
      break;
    case 4:
      w.nodes[who].paused = !w.nodes[who].paused;
      break;
    default:
      for (const auto m : w.members)
        if (!w.nodes[m].core) w.start(m);
    }
    w.run(some(700));
  }
  calm = true;
  w.loss_percent = 0;
  for (const auto m : w.members) {
    w.isolate(m, false);
    w.nodes[m].paused = false;
  }
  for (const auto m : w.members)
    if (!w.nodes[m].core) w.start(m);
  if (!w.run_until([&] { return w.all_in() && w.all_agree(); }, 30s))
    w.violations.push_back("not all are in, and agree, long after all is well: " + to_string(w.recorded()));
  const auto last = w.recorded().number;
  w.run(5s);
  if (w.recorded().number != last) w.violations.push_back("the view changes with no reason");
  for (auto& [n, it] : w.nodes)
    if (it.superseded) w.violations.push_back(to_string(n) + " was superseded by nobody");
  return w.violations;
}

/// Two starts of one node at once, as from a disk that was copied: both want the same life of the same record.
std::string twins() {
  std::optional<std::string> record;
  std::vector<std::uint64_t> lives;
  view_keeper_options o;
  o.self = n1;
  o.members = {n1};
  o.reread = 0ms;
  auto instant_of = view_world::begin;
  std::vector<view_keeper> both;
  for (std::uint64_t nonce : {1, 2}) {
    o.nonce = nonce;
    both.emplace_back(o);
  }
  bool ended = false;
  const auto carry_out = [&](std::size_t who, view_keeper::effects& out, auto& again) -> void {
    for (auto& e : std::exchange(out, {})) {
      view_keeper::answer a{.bytes = {}};
      if (const auto* r = std::get_if<view_keeper::read>(&e)) {
        a.number = r->number;
        a.bytes = record;
      } else if (const auto* c = std::get_if<view_keeper::compare_and_set>(&e)) {
        a.number = c->number;
        a.applied = record == c->expected;
        (a.applied ? record : a.bytes) = a.applied ? c->value : record;
      } else {
        if (const auto* j = std::get_if<view_keeper::joined>(&e)) lives.push_back(j->life);
        ended = ended || std::holds_alternative<view_keeper::superseded>(e);
        continue;
      }
      view_keeper::effects more;
      both[who].receive(a, instant_of, more);
      again(who, more, again);
    }
  };
  view_keeper::effects first, second;
  both[1].start(instant_of, second);
  const auto read = std::get<view_keeper::read>(second.front());
  second.clear();
  both[1].receive(view_keeper::answer{.number = read.number, .bytes = {}}, instant_of, second); // nothing there yet
  both[0].start(instant_of, first);
  carry_out(0, first, carry_out); // takes life 1 meanwhile
  carry_out(1, second, carry_out);
  for (int i = 0; i < 100; ++i) {
    instant_of += 50ms;
    both[1].tick(instant_of, second);
    carry_out(1, second, carry_out);
  }
  both[0].heard(100, instant_of, first);
  carry_out(0, first, carry_out);
  if (lives != std::vector<std::uint64_t>{1, 2}) return "a life is used by two starts, or not given out";
  return ended ? "" : "the former start goes on";
}

} // namespace

TEST_CASE("view: a record has one form, and what has another one, or says what cannot be, is no view") {
  const auto good = message(3, {member_entry(1, 2), member_entry(2, 0, true), member_entry(9, 1, true)});
  CHECK(defect_of(good) == "");
  const auto bytes = record_of(good);
  REQUIRE(view_of(bytes));
  CHECK(record_of(*view_of(bytes)) == bytes);
  CHECK(to_string(from_wire(good)) == "3: n1.2 n2.0(out) n9.1(out)");
  CHECK(from_wire(good).counts(n1));
  CHECK_FALSE(from_wire(good).counts(n2));
  CHECK_FALSE(from_wire(good).counts(n3)); // no member
  CHECK(from_wire(good).life_of(n3) == 0);

  CHECK(defect_of(message(0, {member_entry(1, 1)})) == "no number");
  CHECK(defect_of(message(1, {})) == "no members");
  CHECK(defect_of(message(1, {member_entry(2, 1), member_entry(1, 1)})) == "members out of order");
  CHECK(defect_of(message(1, {member_entry(1, 1), member_entry(1, 1)})) == "members out of order");
  CHECK(defect_of(message(1, {member_entry(0, 1)})) == "members out of order");
  CHECK(defect_of(message(1, {member_entry(client_node_bit | 1, 1)})) == "a client node");
  CHECK(defect_of(message(1, {member_entry(1, 0)})) == "a member that never started, and is in");
  auto odd = member_entry(1, 1);
  odd.set_nonce(0);
  CHECK(defect_of(message(1, {odd})) == "a life without a nonce, or a nonce without a life");
  v1::View many = message(1, {});
  for (std::uint32_t n = 1; n <= limits::view_members_max + 1; ++n)
    *many.add_members() = member_entry(n, 1);
  CHECK(defect_of(many) == "too many members");

  CHECK_FALSE(view_of("no view at all"));
  CHECK_FALSE(view_of(""));
  CHECK_FALSE(view_of(bytes + bytes));                      // parses, as protobuf has it
  CHECK_FALSE(view_of(bytes + std::string{"\x78\x01", 2})); // a field that this build does not know
}

TEST_CASE("view keeper: every node gets life 1 at first, begins out, and comes in once it has caught up") {
  view_world w{3};
  w.always_caught_up = false;
  w.start_all();
  w.say_caught_up(n1, true, 100); // before it has a life: with whom?
  w.run(1s);
  CHECK(to_string(w.recorded()) == "3: n1.1(out) n2.1(out) n3.1(out)");
  CHECK(w.all_agree());
  for (const auto m : w.members)
    CHECK(w.nodes[m].life == 1);
  w.say_caught_up(n2, true, 3);
  w.run(1s);
  CHECK(to_string(w.recorded()) == "4: n1.1(out) n2.1 n3.1(out)");
  w.say_caught_up(n1, true, 4);
  w.say_caught_up(n3, true, 4);
  w.say_caught_up(n3, false, 4); // not any more
  w.run(1s);
  CHECK(to_string(w.recorded()) == "5: n1.1 n2.1 n3.1(out)");
  CHECK(w.all_agree());
  CHECK(all_of(w.violations) == "");
}

TEST_CASE("view keeper: a restart takes a new life, and stays in when nobody has missed it") {
  auto w = settled();
  const auto before = w.recorded().number;
  w.start(n2);
  w.run(3s);
  CHECK(w.recorded().number == before + 1);
  CHECK(w.recorded().life_of(n2) == 2);
  CHECK(w.recorded().counts(n2));
  CHECK(w.nodes[n2].life == 2);
  CHECK(all_of(w.violations) == "");
}

TEST_CASE(
    "view keeper: a member of a new static list is added out, and one of a former list stays, out, with its lives") {
  auto w = settled();
  for (const auto m : w.members)
    w.kill(m);
  w.members = {n1, n3, {4}};
  w.start_all();
  CHECK(w.run_until([&] { return w.all_in() && w.all_agree(); }, 5s));
  CHECK(w.recorded().nodes.size() == 4);
  CHECK(w.recorded().life_of(n2) == 1);
  CHECK_FALSE(w.recorded().counts(n2));
  CHECK(w.recorded().life_of({4}) == 1);
  CHECK(all_of(w.violations) == "");
}

TEST_CASE("view keeper: a compare-and-set whose outcome is not known is settled by reading: it had happened") {
  view_world w{1};
  int asked = 0;
  w.fate = [&] { return register_fate{.known = ++asked != 2}; };
  w.start(n1);
  w.run(200ms);
  CHECK(w.recorded().number == 1);
  CHECK(w.nodes[n1].life == 0); // it does not know yet
  w.run(2s);
  CHECK(w.nodes[n1].life == 1);
  CHECK(w.recorded().life_of(n1) == 1);
  CHECK(all_of(w.violations) == "");
}

TEST_CASE("view keeper: one that happens long after its start has died gives its life to nobody else") {
  view_world w{1};
  int asked = 0;
  w.fate = [&] {
    return ++asked == 2 ? register_fate{.there = 600ms, .known = false, .answer_after = 10s} : register_fate{};
  };
  w.start(n1);
  w.run(100ms);
  CHECK(w.history.empty());
  SUBCASE("before the next start asks") {
    w.run(490ms);
    w.kill(n1);
    w.run(100ms);
    CHECK(w.recorded().life_of(n1) == 1);
    w.start(n1);
    w.run(1s);
    CHECK(w.nodes[n1].life == 2);
  }
  SUBCASE("after it has: the bytes are others, and it does nothing") {
    w.start(n1);
    w.run(2s);
    CHECK(w.nodes[n1].life == 1);
    CHECK(w.recorded().life_of(n1) == 1);
  }
  SUBCASE("between its read and its compare-and-set: the life is the same, the nonce is not") {
    w.run(480ms);
    w.kill(n1);
    w.fate = [&] { return register_fate{.there = 15ms, .back = 15ms}; };
    w.start(n1);
    w.run(2s);
    CHECK(w.nodes[n1].life == 2);
  }
  CHECK(all_of(w.violations) == "");
}

TEST_CASE("view keeper: who dies is out within a second, and once: one proposes, and the others wait for it") {
  for (const auto who : {n1, n2, n3}) {
    auto w = settled();
    const auto then = w.now;
    const auto before = w.recorded().number;
    w.kill(who);
    CHECK(w.run_until([&] { return !w.recorded().counts(who); }, 1s));
    MESSAGE("out after " << since(then, w.now).count() << " ms");
    const auto tried = w.writes_tried;
    w.run(5s);
    CHECK(w.writes_tried == tried);
    CHECK(w.recorded().number == before + 1);
    CHECK(w.all_agree());
    CHECK(all_of(w.violations) == "");
  }
}

TEST_CASE("view keeper: who is silent over a live connection is out within a second as well") {
  auto w = settled();
  w.nodes[n1].paused = true;
  CHECK(w.run_until([&] { return !w.recorded().counts(n1); }, 1s));
  const auto number = w.recorded().number;
  w.run(10s);
  w.nodes[n1].paused = false;
  CHECK(w.run_until([&] { return w.all_in() && w.all_agree(); }, 2s));
  CHECK(w.recorded().number == number + 1); // back in; it blames nobody for its own absence
  CHECK(w.notes_of(n1, "view.was_away") == 1);
  CHECK(w.recorded().life_of(n1) == 1); // the same start goes on
  CHECK(all_of(w.violations) == "");
}

TEST_CASE("view keeper: when the first in order cannot reach the record, the next one proposes") {
  auto w = settled(4);
  w.without_register.insert(n1);
  std::map<node_id, std::size_t> before;
  for (const auto m : w.members)
    before[m] = w.notes_of(m, "view.proposed");
  w.kill(n3);
  CHECK(w.run_until([&] { return !w.recorded().counts(n3); }, 1s));
  CHECK(w.notes_of(n1, "view.proposed") == before[n1] + 1);
  CHECK(w.notes_of(n2, "view.proposed") == before[n2] + 1);
  w.run(2s);
  CHECK(w.notes_of({4}, "view.proposed") == before[{4}]);
  CHECK(w.all_agree()); // n1 was told
}

TEST_CASE("view keeper: suspicion alone changes nothing: without the record the view stays") {
  auto w = settled();
  const auto before = w.recorded();
  for (const auto m : w.members)
    w.without_register.insert(m);
  w.kill(n3);
  const auto tried = w.writes_tried + w.reads;
  w.run(10s);
  CHECK(w.recorded() == before);
  CHECK(w.nodes[n1].core->current() == before);
  CHECK(w.writes_tried + w.reads - tried <= 80); // and nobody asks in haste
  w.without_register.clear();
  CHECK(w.run_until([&] { return !w.recorded().counts(n3); }, 2s));
  CHECK(all_of(w.violations) == "");
}

TEST_CASE("view keeper: a node that is cut off changes nothing, and is back in when it hears the others again") {
  auto w = settled();
  w.isolate(n1, true);
  CHECK(w.run_until([&] { return !w.recorded().counts(n1); }, 1s));
  w.run(60s);
  CHECK(w.recorded().counts(n2));
  CHECK(w.recorded().counts(n3));
  const auto number = w.recorded().number;
  w.isolate(n1, false);
  CHECK(w.run_until([&] { return w.all_in() && w.all_agree(); }, 2s));
  CHECK(w.recorded().number == number + 1);
  CHECK(all_of(w.violations) == "");
}

TEST_CASE("view keeper: of two who do not hear each other one is out, and stays out until they do") {
  auto w = settled();
  const auto before = w.recorded().number;
  bool one_way = false;
  SUBCASE("in both directions") { w.partition(n1, n2, true); }
  SUBCASE("in one direction: the other one hears, and is not heard") {
    one_way = true;
    w.cut.insert({n2, n1});
  }
  w.run(60s);
  CHECK(w.recorded().counts(n3));
  CHECK(w.recorded().counts(n1) != w.recorded().counts(n2));
  CHECK(w.recorded().number - before <= 2);
  CHECK(w.all_agree());
  if (one_way)
    w.cut.clear();
  else
    w.partition(n1, n2, false);
  CHECK(w.run_until([&] { return w.all_in() && w.all_agree(); }, 2s));
  CHECK(all_of(w.violations) == "");
}

TEST_CASE("view keeper: who is out while everyone who is in has died puts them out, and comes in") {
  view_world w{3};
  w.always_caught_up = false;
  w.start_all();
  w.run(1s);
  w.say_caught_up(n3, true, w.recorded().number);
  w.run(100ms);
  CHECK(to_string(w.recorded()) == "4: n1.1(out) n2.1(out) n3.1");
  w.kill(n3);
  w.run(3s);
  CHECK(to_string(w.recorded()) == "5: n1.1(out) n2.1(out) n3.1(out)");
  w.say_caught_up(n2, true, 5);
  w.run(100ms);
  CHECK(to_string(w.recorded()) == "6: n1.1(out) n2.1 n3.1(out)");
}

TEST_CASE("view keeper: a node that comes and goes is let in less and less often") {
  auto w = settled();
  const auto before = w.recorded().number;
  for (int i = 0; i < 60; ++i) { // two minutes
    w.isolate(n3, true);
    w.run(1s);
    w.isolate(n3, false);
    w.run(1s);
  }
  CHECK(w.recorded().number - before >= 6);
  CHECK(w.recorded().number - before <= 40);
  CHECK(w.run_until([&] { return w.all_in() && w.all_agree(); }, 11s));
  w.run(11s); // it has been good for long enough
  w.kill(n3);
  w.run(1s);
  w.start(n3);
  CHECK(w.run_until([&] { return w.all_in(); }, 1s));
  CHECK(all_of(w.violations) == "");
}

TEST_CASE("view keeper: lost announcements are made up for by heartbeats, and without those by reading again") {
  auto w = settled();
  w.loss_percent = 100; // nothing arrives; all become silent, and the record says so
  w.kill(n3);
  w.run(3s);
  CHECK(w.all_agree());
  w.loss_percent = 0;
  CHECK(w.run_until([&] { return w.recorded().counts(n1) && w.recorded().counts(n2) && w.all_agree(); }, 12s));
  CHECK(all_of(w.violations) == "");
}

TEST_CASE("view keeper: at rest it reads once a second, writes nothing, and says that it is there") {
  auto w = settled();
  w.run(1s);
  const auto reads = w.reads;
  const auto writes = w.writes_tried;
  w.run(10s);
  CHECK(w.writes_tried == writes);
  CHECK(w.reads - reads <= 30);
  CHECK(w.reads - reads >= 27);
}

TEST_CASE("view keeper: a view number in another message makes it read, once, and a false one changes nothing") {
  auto w = settled();
  const auto before = w.recorded();
  w.run(50ms);
  const auto reads = w.reads;
  view_keeper::effects out;
  w.nodes[n1].core->heard(before.number, w.now, out);
  CHECK(out.empty());
  w.nodes[n1].core->heard(before.number + 100, w.now, out);
  REQUIRE(out.size() == 1);
  const auto number = std::get<view_keeper::read>(out[0]).number;
  out.clear();
  w.nodes[n1].core->heard(before.number + 200, w.now, out);
  CHECK(out.empty()); // one at a time
  w.nodes[n1].core->receive(
      view_keeper::answer{.number = number, .error = errc::none, .applied = false, .bytes = w.record}, w.now, out);
  CHECK(out.empty());
  w.run(300ms);
  CHECK(w.reads == reads);
  CHECK(w.nodes[n1].core->current() == before);
}

TEST_CASE("view keeper: old, malformed and foreign announcements are ignored, with a note, as is a stray answer") {
  auto w = settled();
  const auto before = w.recorded();
  auto v = *view_of(*w.record);
  w.tell(n1, n2, v); // once more
  CHECK(w.notes_of(n1, "view.old_ignored") >= 1);
  v.set_number(v.number() - 1);
  v.mutable_members(0)->set_out(true);
  w.tell(n1, n2, v);
  CHECK(w.nodes[n1].core->current() == before);
  v.set_number(before.number + 1);
  w.tell(n1, {9}, v);
  CHECK(w.notes_of(n1, "view.stranger_ignored") == 1);
  v.mutable_members(0)->set_node(77);
  w.tell(n1, n2, v);
  CHECK(w.notes_of(n1, "view.malformed") == 1);
  v = *view_of(*w.record);
  v.set_number(before.number + 1);
  v.mutable_members()->RemoveLast();
  w.tell(n1, n2, v);
  CHECK(w.notes_of(n1, "view.does_not_follow") == 1);
  CHECK(w.nodes[n1].core->current() == before);
  view_keeper::effects out;
  w.nodes[n1].core->receive(view_keeper::answer{.number = 99'999, .bytes = {}}, w.now, out);
  REQUIRE(out.size() == 1);
  CHECK(std::get<note>(out[0]).name == "view.answer_ignored");
  out.clear();
  v1::ViewHeartbeat beat;
  w.nodes[n1].core->receive(node_id{9}, beat, w.now, out);
  CHECK(std::get<note>(out[0]).name == "view.stranger_ignored");
}

TEST_CASE("view keeper: a record that is gone, went back, or is none is left alone, and nothing is taken from it") {
  auto w = settled();
  const auto good = w.record;
  const auto known = w.recorded();
  SUBCASE("gone") { w.record.reset(); }
  SUBCASE("no view") { w.record = "rubbish"; }
  SUBCASE("went back") {
    auto v = *view_of(*good);
    v.set_number(1);
    w.record = record_of(v);
  }
  SUBCASE("another one") {
    auto v = *view_of(*good);
    v.mutable_members(0)->set_out(true);
    w.record = record_of(v);
  }
  const auto bad = w.record;
  const auto writes = w.writes_tried;
  w.kill(n3);
  w.run(10s);
  CHECK(w.record == bad);
  CHECK(w.nodes[n1].core->current() == known);
  CHECK(w.notes_of(n1, "view.record_refused") > 0);
  CHECK(w.notes_of(n1, "view.record_refused") < 50);
  CHECK(w.writes_tried - writes < 50);
}

TEST_CASE("view keeper: a start that finds no view in the record takes no life from it") {
  view_world w{1};
  w.record = "rubbish";
  w.start(n1);
  w.run(10s);
  CHECK(w.nodes[n1].life == 0);
  CHECK(w.writes_tried == 0);
  CHECK(w.reads <= 30);
}

TEST_CASE("view keeper: of two starts of one node at once the later takes another life, and the former one ends") {
  CHECK(twins() == "");
}

TEST_CASE("view keeper: a start whose life another one has followed falls silent") {
  auto w = settled();
  auto v = *view_of(*w.record);
  v.set_number(v.number() + 1);
  auto& own = *v.mutable_members(0);
  own.set_life(2);
  own.set_nonce(4'711);
  w.record = record_of(v);
  w.history.emplace_back(w.now, from_wire(v));
  w.run(2s);
  CHECK(w.nodes[n1].superseded);
  CHECK(w.nodes[n1].core->wake_at() == never);
  CHECK(w.nodes[n1].core->life() == 1);
  view_keeper::effects out;
  w.nodes[n1].core->peer(n2, true, w.now, out);
  w.nodes[n1].core->heard(99, w.now, out);
  w.nodes[n1].core->tick(w.now, out);
  w.nodes[n1].core->start(w.now, out);
  CHECK(out.empty());
  CHECK(w.run_until([&] { return !w.recorded().counts(n1); }, 2s)); // nobody hears it
}

TEST_CASE("view keeper: having caught up before being put out does not count") {
  auto w = settled();
  w.always_caught_up = false;
  const auto old = w.recorded().number;
  w.isolate(n3, true);
  w.run(1s);
  w.isolate(n3, false);
  w.run(1s);
  CHECK_FALSE(w.recorded().counts(n3));
  const auto ignored = w.notes_of(n3, "view.catch_up_ignored");
  w.say_caught_up(n3, true, old);
  w.run(5s);
  CHECK_FALSE(w.recorded().counts(n3));
  CHECK(w.notes_of(n3, "view.catch_up_ignored") == ignored + 1);
  w.say_caught_up(n3, true, old + 1);
  w.run(1s);
  CHECK(w.recorded().counts(n3));
}

TEST_CASE("view keeper: no life is used twice and numbers only grow, whatever happens; and all are in afterwards") {
  for (std::uint64_t seed = 1; seed <= seeds(60); ++seed) {
    CAPTURE(seed);
    CHECK(all_of(storm(seed)) == "");
  }
}

TEST_CASE("view keeper: each planted mistake is caught") {
  for (const auto m : view_mutations) {
    plant(m);
    bool caught = !twins().empty();
    for (std::uint64_t seed = 1; seed <= 100 && !caught; ++seed)
      caught = !storm(seed).empty();
    plant(mutation::none);
    CAPTURE(name_of(m));
    CHECK(caught);
  }
}
