// Records that a stream replica takes from others: where logs do not reach it any more, and where its own are
// damaged.
#include "protocol/mutation.hpp"
#include "tests/support/stream_replica_script.hpp"

#include <doctest/doctest.h>

using namespace troupe;
using namespace std::chrono;

namespace {

using replica_base = testing::stream_replica_script;

constexpr origin two{{2}, 5};
constexpr auto ordered = stream_lane::ordered;
constexpr auto free_lane = stream_lane::free;

struct replica : replica_base {
  replica() { start(); }

  struct copied {
    std::string key, value;
    dot at;
    bool damaged = false;
  };
  static v1::WeakRecord record(const copied& c) {
    v1::WeakRecord r;
    auto& s = *r.add_siblings();
    s.set_node(c.at.from.node.value);
    s.set_life(c.at.from.life);
    s.set_seq(c.at.seq);
    s.set_clock((wall << 16) + c.at.seq);
    s.set_value(c.value);
    return r;
  }
  void offer(node_id from, std::uint64_t upto, stream_lane lane = ordered) {
    v1::CopyOffered m;
    m.set_life(5);
    m.set_lane(static_cast<v1::Lane>(lane));
    m.set_upto(upto);
    core->copy_offered(from, m, now, out);
    run();
  }
  /// The one question that is open, and to whom.
  stream_replica::ask_copy asked() {
    auto all = take<stream_replica::ask_copy>();
    REQUIRE(all.size() == 1);
    return all.front();
  }
  struct page {
    version_vector folded, reached;
    std::vector<copied> records = {};
    std::string next = {};
  };
  static v1::CopyTold told(const v1::CopyAsked& question, const page& p) {
    v1::CopyTold m;
    *m.mutable_question() = question;
    to_wire(p.folded, *m.mutable_folded());
    to_wire(p.reached, *m.mutable_reached());
    for (const auto& c : p.records) {
      if (shard_of(c.key, shards).value != question.shard()) continue;
      auto& r = *m.add_records();
      r.set_key(c.key);
      r.set_damaged(c.damaged);
      if (!c.damaged) *r.mutable_record() = record(c);
    }
    m.set_next(p.next);
    return m;
  }
  void answer(const stream_replica::ask_copy& to, const page& p) {
    core->copy_told(to.to, told(to.what, p), at(), out);
    run();
  }
  /// All pages of a copy, one per shard.
  void copy_all(const page& p) {
    for (std::uint32_t shard = 0; shard < shards; ++shard) {
      const auto question = asked();
      CHECK(question.what.shard() == shard);
      answer(question, p);
    }
  }
  std::string read(const std::string& key) { return value_of(ask(get(key))); }
  std::uint64_t refused() { return core->report().refused; }
};

} // namespace

TEST_CASE("copies: nothing is answered from what may be half a copy, over restarts; then all of it is (C1)") {
  replica r;
  r.accept(ordered, {{.at = {two, 1}, .key = "cause:a", .value = "old"}});
  r.advance({{two, 1}});
  CHECK(r.read("cause:a") == "old");
  r.offer({2}, 9);
  // The record may contain an update that is above what all records are known to contain.
  const replica::page p{.folded = {{two, 9}},
                        .reached = {{two, 11}},
                        .records = {{"cause:a", "new", {two, 9}}, {"cause:b", "newest", {two, 11}}}};
  r.copy_all(p);
  CHECK(r.core->received_vector(ordered).at(two) == 9); // the stream goes on behind it
  CHECK(r.core->report().closed);
  for (const auto* key : {"cause:a", "cause:b"})
    CHECK(r.read(key) == "error unavailable"); // others are asked
  const auto refused = r.ask(r.put("cause:a", "x"));
  CHECK(r.value_of(refused) == "error unavailable");
  CHECK(refused.settled());
  CHECK(r.read("view:a") == "nothing"); // the free lane promises nothing of the kind

  r.crash();
  r.start();
  CHECK(r.core->report().closed);
  CHECK(r.read("cause:a") == "error unavailable");
  r.accept(ordered, {{.at = {two, 10}, .key = "cause:c", .value = "ten"},
                     {.at = {two, 11}, .key = "cause:b", .value = "newest"}});
  r.advance({{two, 11}});
  CHECK(r.read("cause:b") == "error unavailable"); // shown, not part of the records yet
  r.pass(seconds{3});
  CHECK_FALSE(r.core->report().closed);
  CHECK(r.read("cause:a") == "new");
  CHECK(r.read("cause:b") == "newest");
  CHECK(r.read("cause:c") == "ten");
  r.crash();
  r.start();
  CHECK_FALSE(r.core->report().closed);
  CHECK(r.read("cause:a") == "new");
}

TEST_CASE("copies: a source says what its records contain for certain, and what they may contain") {
  const auto reached_while_reading = [](mutation planted) {
    replica r;
    r.accept(ordered, {{.at = {two, 1}, .key = "cause:a", .value = "1"}});
    r.advance({{two, 1}});
    r.pass(seconds{3});
    v1::CopyAsked q;
    q.set_number(1);
    q.set_shard(shard_of("cause:a", replica::shards).value);
    r.core->copy_asked({3}, q, r.out);
    r.run();
    const auto reads = r.take<stream_replica::read_copy>();
    REQUIRE(reads.size() == 1);
    r.accept(ordered, {{.at = {two, 2}, .key = "cause:a", .value = "2", .context = {{two, 1}}}});
    r.advance({{two, 2}});
    r.pass(seconds{3});
    plant(planted);
    r.core->copy_read(reads[0].cookie, r.disk.scan(reads[0], false), r.now, r.out);
    plant(mutation::none);
    r.run();
    const auto told = r.take<stream_replica::tell_copy>();
    REQUIRE(told.size() == 1);
    CHECK(told[0].to == node_id{3});
    REQUIRE(told[0].what.records_size() == 1);
    CHECK(told[0].what.records(0).record().siblings(0).value() == "2"); // newer than was asked for
    CHECK(from_wire(told[0].what.folded()).at(two) == 1);
    return from_wire(told[0].what.reached()).at(two);
  };
  CHECK(reached_while_reading(mutation::none) == 2);
  CHECK(reached_while_reading(mutation::copy_may_contain_no_more) == 1); // whoever copies would show 2 too early
}

TEST_CASE(
    "copies: a page that the store could not read whole is no page; it is read again when it is asked for again") {
  replica r;
  r.accept(free_lane, {{.at = {two, 1}, .key = "view:a", .value = "1"}});
  r.pass(seconds{1});
  v1::CopyAsked q;
  q.set_number(1);
  q.set_lane(v1::FREE);
  q.set_shard(shard_of("view:a", replica::shards).value);
  const auto ask = [&] {
    r.core->copy_asked({3}, q, r.out);
    r.run();
    return r.take<stream_replica::read_copy>();
  };
  const auto first = ask();
  REQUIRE(first.size() == 1);
  CHECK(ask().empty()); // it is being read
  r.core->copy_read(first[0].cookie, r.disk.scan(first[0], true), r.now, r.out);
  r.run();
  CHECK(r.take<stream_replica::tell_copy>().empty());
  const auto second = ask();
  REQUIRE(second.size() == 1);
  r.core->copy_read(second[0].cookie, r.disk.scan(second[0], false), r.now, r.out);
  r.run();
  CHECK(r.take<stream_replica::tell_copy>().size() == 1);

  // What one of both does not store is nobody's business here.
  const auto before = r.refused();
  q.set_shard(99);
  CHECK(ask().empty());
  q.set_shard(0);
  r.core->copy_asked({9}, q, r.out);
  r.run();
  CHECK(r.take<stream_replica::read_copy>().empty());
  CHECK(r.refused() == before + 2);
}

TEST_CASE("copies: a page that cannot be is refused, and its sender not asked for a minute") {
  const auto key_in = [](std::uint32_t shard, int nth) {
    for (int n = 0;; ++n) {
      auto key = "cause:" + std::to_string(n);
      if (shard_of(key, replica::shards).value == shard && nth-- == 0) return key;
    }
  };
  auto low = key_in(0, 0), high = key_in(0, 1);
  if (high < low) std::swap(low, high);
  const replica::page good{
      .folded = {{two, 9}}, .reached = {{two, 9}}, .records = {{low, "1", {two, 3}}, {high, "2", {two, 4}}}};
  const auto is_refused = [&](auto&& spoil) {
    replica r;
    r.offer({2}, 9);
    const auto q = r.asked();
    auto m = replica::told(q.what, good);
    REQUIRE(m.records_size() == 2);
    spoil(m);
    r.core->copy_told({2}, m, r.at(), r.out);
    r.run();
    if (r.refused() == 0) return false;
    CHECK(r.core->report().copied == 0);
    CHECK_FALSE(r.core->report().closed);
    r.offer({2}, 9);
    CHECK(r.take<stream_replica::ask_copy>().empty());
    r.pass(seconds{61});
    CHECK(r.take<stream_replica::ask_copy>().size() == 1);
    return true;
  };
  CHECK_FALSE(is_refused([](v1::CopyTold&) {}));
  CHECK(is_refused([](v1::CopyTold& m) { m.mutable_records()->SwapElements(0, 1); }));
  CHECK(is_refused([&](v1::CopyTold& m) { m.mutable_records(0)->set_key(key_in(1, 0)); }));
  CHECK(is_refused([](v1::CopyTold& m) { m.mutable_records(0)->set_key({}); }));
  CHECK(
      is_refused([](v1::CopyTold& m) { m.mutable_records(1)->mutable_record()->mutable_siblings(0)->set_life(0); }));
  CHECK(is_refused([](v1::CopyTold& m) { m.mutable_folded()->mutable_entries(0)->set_life(0); }));
  CHECK(is_refused([&](v1::CopyTold& m) { m.set_next(low); }));
  CHECK(is_refused([](v1::CopyTold& m) { m.set_next(std::string(limits::key_bytes_max + 1, 'z')); }));
  CHECK_FALSE(is_refused([](v1::CopyTold& m) { m.mutable_question()->set_number(77); })); // late: passed over
}

TEST_CASE("copies: who is offered what is there already says so, and copies nothing") {
  replica r;
  r.accept(ordered,
           {{.at = {two, 1}, .key = "cause:a", .value = "1"}, {.at = {two, 2}, .key = "cause:a", .value = "2"}});
  r.take<stream_replica::received>();
  r.offer({2}, 2);
  CHECK(r.take<stream_replica::ask_copy>().empty());
  const auto said = r.take<stream_replica::received>();
  REQUIRE(said.size() == 1);
  CHECK(said[0].upto == 2);
  CHECK(said[0].again);
  r.offer({2}, 3);
  CHECK(r.asked().to == node_id{2});
}

TEST_CASE("copies: a page that does not come is asked for again as it was, and given up in the end") {
  replica r;
  r.offer({2}, 9);
  const auto first = r.asked();
  for (int n = 1; n < 10; ++n) {
    r.pass(seconds{3});
    CHECK(r.asked().what.SerializeAsString() == first.what.SerializeAsString());
  }
  r.pass(seconds{3});
  CHECK(r.take<stream_replica::ask_copy>().empty());
  CHECK(r.core->report().copying_from == node_id{});
  r.offer({2}, 9);                                   // it says so again and again
  CHECK(r.take<stream_replica::ask_copy>().empty()); // others get their turn
  r.offer({3}, 4);
  CHECK(r.asked().to == node_id{3});
  r.core->peer({3}, false, r.now, r.out);
  r.run();
  CHECK(r.take<stream_replica::ask_copy>().empty());
  r.pass(seconds{59});
  CHECK(r.take<stream_replica::ask_copy>().empty());
  r.pass(seconds{1});
  const auto again = r.asked();
  CHECK(again.to == node_id{2});
  CHECK(again.what.number() > first.what.number());
}

TEST_CASE("copies: one that is broken off goes on where it was, for a while") {
  replica r;
  const replica::page p{.folded = {{two, 9}}, .reached = {{two, 11}}};
  r.offer({2}, 9);
  r.answer(r.asked(), p);
  CHECK(r.asked().what.shard() == 1);
  const auto away = [&](seconds time) {
    r.core->peer({2}, false, r.now, r.out);
    r.run();
    r.pass(time);
    CHECK(r.take<stream_replica::ask_copy>().empty());
    r.core->peer({2}, true, r.now, r.out);
    r.run();
  };
  SUBCASE("the source is back") {
    away(seconds{60});
    const auto second = r.asked();
    CHECK(second.what.shard() == 1);
    // What came later contains more; what it all contains is what the first page did.
    r.answer(second, {.folded = {{two, 11}}, .reached = {{two, 11}}});
    for (const auto shard : {2, 3}) {
      const auto q = r.asked();
      CHECK(q.what.shard() == shard);
      r.answer(q, p);
    }
    CHECK(r.core->received_vector(ordered).at(two) == 9);
  }
  SUBCASE("it does not lead to what is offered now") {
    r.core->peer({2}, false, r.now, r.out);
    r.run();
    r.offer({2}, 10);
    r.core->peer({2}, true, r.now, r.out);
    r.run();
    CHECK(r.asked().what.shard() == 0);
  }
  SUBCASE("the source keeps its log no longer") {
    away(seconds{121});
    CHECK(r.asked().what.shard() == 0);
  }
}

TEST_CASE("copies: one that does not reach what is offered is not begun again at once, and less and less often") {
  replica r;
  r.offer({2}, 9);
  const replica::page p{.folded = {{two, 4}}, .reached = {{two, 4}}};
  for (const auto wait : {1, 2, 4, 8, 16, 32, 60, 60}) {
    r.copy_all(p);
    r.offer({2}, 9);
    r.pass(milliseconds{wait * 1'000 - 1});
    CHECK(r.take<stream_replica::ask_copy>().empty());
    r.pass(milliseconds{1});
  }
  r.copy_all({.folded = {{two, 9}}, .reached = {{two, 9}}});
  CHECK(r.core->received_vector(ordered).at(two) == 9);
  r.offer({2}, 11);
  CHECK(r.take<stream_replica::ask_copy>().size() == 1);
}

TEST_CASE("copies: that the lane is open again is on the disk with what opened it (C1)") {
  replica r;
  r.offer({2}, 9);
  r.copy_all({.folded = {{two, 9}}, .reached = {{two, 11}}, .records = {{"cause:a", "new", {two, 11}}}});
  CHECK(r.core->report().closed);
  // None of these concerns this node: no record changes by them.
  r.core->accept({.from = two, .lane = ordered, .updates = {}, .upto = 11, .clock = replica::wall << 16}, r.now,
                 r.out);
  r.run();
  r.advance({{two, 11}});
  r.pass(seconds{3});
  CHECK(r.read("cause:a") == "new");
  r.crash();
  r.start();
  CHECK_FALSE(r.core->report().closed);
  CHECK(r.core->applied_vector(ordered).at(two) == 11); // not 9, of which the record is ahead
}

TEST_CASE("copies: a source keeps its log for whoever copies from it") {
  replica r;
  r.options.own_log_bytes_max = 2'000;
  r.crash();
  r.start();
  const auto write = [&](int n) {
    for (int i = 0; i < n; ++i) {
      r.submit(r.put("view:" + std::to_string(i % 3), std::string(100, 'x')));
      r.pass(milliseconds{60});
    }
    r.take<stream_replica::answer>();
    r.ask_peer_has({2}, free_lane, r.core->received_vector(free_lane).at({r.self, r.life}));
    r.pass(milliseconds{200});
    const auto cuts = r.take<stream_replica::log_cut>();
    return cuts.empty() ? std::uint64_t{0} : cuts.back().upto;
  };
  const auto question = [&] {
    v1::CopyAsked q;
    q.set_number(1);
    q.set_lane(v1::FREE);
    r.core->copy_asked({3}, q, r.out);
    r.run();
    const auto reads = r.take<stream_replica::read_copy>();
    REQUIRE(reads.size() == 1);
    r.core->copy_read(reads[0].cookie, r.disk.scan(reads[0], false), r.now, r.out);
    r.run();
    const auto told = r.take<stream_replica::tell_copy>();
    REQUIRE(told.size() == 1);
    return from_wire(told[0].what.folded()).at({r.self, r.life});
  };
  CHECK(write(40) > 0);
  const auto contains = question();
  CHECK(contains == 40);
  CHECK(write(12) <= contains);
  CHECK(write(60) > contains); // twice as long a log as it may be, and no longer
  const auto again = question();
  r.pass(seconds{121});
  CHECK(write(20) > again); // it has given up
}

TEST_CASE("copies: what nobody could give keeps the source's log, which may have it") {
  replica r;
  r.offer({2}, 9);
  const replica::page holed{.folded = {{two, 12}}, .reached = {{two, 12}}, .records = {{"cause:a", "", {}, true}}};
  r.copy_all(holed);
  for (int n = 0; n < 20 && r.core->received_vector(ordered).at(two) < 9; ++n) {
    for (const auto& q : r.take<stream_replica::ask_copy>())
      r.answer(q, holed);
    r.pass(seconds{1});
  }
  CHECK(r.core->received_vector(ordered).at(two) == 9); // 10 to 12 come by the stream, where they are still
  r.accept(ordered, {{.at = {two, 10}, .key = "cause:a", .value = "ten"}});
  CHECK(r.core->received_vector(ordered).at(two) == 10);
}

TEST_CASE("copies: who is away is not waited for, and one malformed answer costs no finished copy") {
  replica r;
  r.core->peer({3}, false, r.now, r.out);
  r.offer({2}, 9);
  const replica::page holed{.folded = {{two, 9}}, .reached = {{two, 9}}, .records = {{"cause:a", "", {}, true}}};
  r.copy_all(holed);
  auto q = r.asked();
  CHECK(q.to == node_id{2});
  auto m = replica::told(q.what, holed);
  m.set_next("cause:b");
  r.core->copy_told({2}, m, r.at(), r.out);
  r.run();
  CHECK(r.refused() == 1);
  CHECK(r.take<stream_replica::ask_copy>().empty()); // nobody is left in this round
  r.core->peer({3}, true, r.now, r.out);
  r.pass(seconds{1});
  q = r.asked();
  CHECK(q.to == node_id{2});
  r.answer(q, holed);
  q = r.asked();
  CHECK(q.to == node_id{3});
  r.answer(q, {.folded = {{two, 9}}, .reached = {{two, 9}}, .records = {{"cause:a", "new", {two, 7}}}});
  CHECK(r.core->received_vector(ordered).at(two) == 9);
}

TEST_CASE("copies: what the source cannot read is taken from another, or refused here as well") {
  replica r;
  r.accept(ordered, {{.at = {two, 1}, .key = "cause:a", .value = "old"}});
  r.offer({2}, 9);
  const replica::page holed{.folded = {{two, 9}}, .reached = {{two, 9}}, .records = {{"cause:a", "", {}, true}}};
  r.copy_all(holed);
  const auto at_source = r.asked();
  CHECK(at_source.to == node_id{2});
  CHECK(at_source.what.key() == "cause:a");
  r.answer(at_source, holed);
  const auto elsewhere = r.asked();
  CHECK(elsewhere.to == node_id{3});
  CHECK(r.core->received_vector(ordered).at(two) == 1); // not yet

  SUBCASE("another has it") {
    r.answer(elsewhere, {.folded = {{two, 9}}, .reached = {{two, 9}}, .records = {{"cause:a", "new", {two, 7}}}});
    CHECK(r.core->received_vector(ordered).at(two) == 9);
    r.pass(seconds{3});
    CHECK(r.read("cause:a") == "new");
  }
  SUBCASE("nobody has it") {
    r.answer(elsewhere, {.folded = {{two, 8}}, .reached = {{two, 9}}, .records = {{"cause:a", "8", {two, 7}}}});
    for (int n = 0; n < 20 && r.core->received_vector(ordered).at(two) < 9; ++n) {
      r.pass(seconds{1});
      for (const auto& q : r.take<stream_replica::ask_copy>())
        r.answer(q, holed);
    }
    CHECK(r.core->received_vector(ordered).at(two) == 9); // the other keys are not held up for ever
    r.pass(milliseconds{100});
    CHECK(r.core->report().damaged_keys == 1);
    CHECK(r.read("cause:a") == "error corrupt");
    CHECK(r.read("cause:b") == "nothing");
  }
}

TEST_CASE("copies: a damaged record is mended by one that contains all that was in it, and by no other") {
  replica r;
  r.accept(free_lane,
           {{.at = {two, 1}, .key = "view:a", .value = "1"}, {.at = {two, 2}, .key = "view:b", .value = "2"}});
  r.pass(seconds{1});
  r.crash();
  r.damaged.insert("view:a");
  r.start();
  CHECK(r.read("view:a") == "error corrupt");
  r.pass(milliseconds{100});
  const auto question = r.asked();
  CHECK(question.what.key() == "view:a");
  // What comes meanwhile is kept, with what it replaces.
  r.accept(free_lane, {{.at = {two, 3}, .key = "view:a", .value = "3", .context = {{two, 1}}}});
  r.pass(milliseconds{100});

  r.answer(question, {.folded = {{two, 1}}, .reached = {{two, 3}}, .records = {{"view:a", "1", {two, 1}}}});
  CHECK(r.read("view:a") == "error corrupt");
  auto next = r.take<stream_replica::ask_copy>();
  for (int n = 0; n < 5 && next.empty(); ++n) {
    r.pass(seconds{1});
    next = r.take<stream_replica::ask_copy>();
  }
  REQUIRE(next.size() == 1);
  r.damaged.clear(); // it is written again
  r.answer(next[0], {.folded = {{two, 2}}, .reached = {{two, 4}}, .records = {{"view:a", "1", {two, 1}}}});
  CHECK(r.read("view:a") == "error corrupt"); // it may contain the fourth, and what that has replaced
  r.accept(free_lane, {{.at = {two, 4}, .key = "view:b", .value = "4", .context = {{two, 2}}}});
  r.pass(seconds{1});
  CHECK(r.read("view:a") == "3");
  CHECK(r.core->report().repaired == 1);
  CHECK(r.core->report().damaged_keys == 0);
  r.crash();
  r.start();
  CHECK(r.read("view:a") == "3");
}

TEST_CASE("copies: what no single replica has of a damaged record, several have together") {
  constexpr origin three{{3}, 5};
  replica r;
  r.accept(free_lane, {{.at = {two, 1}, .key = "view:a", .value = "2"}});
  r.accept(free_lane, {{.at = {three, 1}, .key = "view:a", .value = "3", .clock = (replica::wall << 16) + 7}});
  r.pass(seconds{1});
  r.crash();
  r.damaged.insert("view:a");
  r.start();
  CHECK(r.read("view:a") == "error corrupt");
  r.damaged.clear();
  const auto next = [&] {
    for (int n = 0; n < 5; ++n) {
      r.pass(seconds{1});
      if (auto asked = r.take<stream_replica::ask_copy>(); !asked.empty()) return asked.front();
    }
    FAIL("nobody is asked");
    return stream_replica::ask_copy{};
  };
  r.answer(next(), {.folded = {{two, 1}}, .reached = {{two, 1}}, .records = {{"view:a", "2", {two, 1}}}});
  CHECK(r.read("view:a") == "error corrupt");
  // It is not taken for whole after a restart either.
  SUBCASE("") {}
  SUBCASE("after a restart") {
    r.crash();
    r.start();
    CHECK(r.read("view:a") == "error corrupt");
    r.answer(next(), {.folded = {{two, 1}}, .reached = {{two, 1}}, .records = {{"view:a", "2", {two, 1}}}});
  }
  r.answer(next(), {.folded = {{three, 1}}, .reached = {{three, 1}}, .records = {{"view:a", "3", {three, 1}}}});
  r.pass(seconds{1});
  CHECK(r.read("view:a") == "3");
  CHECK(r.core->report().damaged_keys == 0);
}

TEST_CASE("copies: what a first copy knows to be replaced does not come back after a second one that does not") {
  constexpr origin three{{3}, 5};
  replica r;
  r.options.types["many"] = r.type(level::eventual, resolver_kind::siblings);
  r.crash();
  r.start();
  // It replaces one that is on its way still.
  r.accept(free_lane, {{.at = {two, 1}, .key = "many:a", .value = "new", .context = {{three, 1}}}});
  const auto mine = from_wire(r.ask(r.put("view:b", "mine")).written());
  r.pass(seconds{1});
  r.crash();
  r.damaged.insert("many:a");
  r.start();
  CHECK(r.read("many:a") == "error corrupt");
  r.damaged.clear();
  const auto next = [&] {
    for (int n = 0; n < 5; ++n) {
      r.pass(seconds{1});
      if (auto asked = r.take<stream_replica::ask_copy>(); !asked.empty()) return asked.front();
    }
    FAIL("nobody is asked");
    return stream_replica::ask_copy{};
  };
  const version_vector both{{two, 1}, {three, 1}}, own{{two, 1}, {mine.from, mine.seq}};
  r.answer(next(), {.folded = both, .reached = both, .records = {{"many:a", "new", {two, 1}}}});
  CHECK(r.read("many:a") == "error corrupt"); // what this node had accepted is not in it
  r.answer(next(), {.folded = own, .reached = own, .records = {{"many:a", "new", {two, 1}}}});
  r.accept(free_lane, {{.at = {three, 1}, .key = "many:a", .value = "old"}});
  r.pass(seconds{1});
  const auto seen = r.ask(r.get("many:a"));
  CHECK(r.error_of(seen) == errc::none);
  REQUIRE(seen.items_size() == 1);
  CHECK(seen.items(0).value() == "new");
}

TEST_CASE("copies: a key that is not whole is not told as one that is not there; what is known of it is told") {
  constexpr origin three{{3}, 5};
  replica r;
  r.accept(free_lane, {{.at = {two, 1}, .key = "view:a", .value = "2"}});
  r.accept(free_lane, {{.at = {three, 1}, .key = "view:a", .value = "3", .clock = (replica::wall << 16) + 7}});
  r.pass(seconds{1});
  r.crash();
  r.damaged.insert("view:a");
  r.start();
  CHECK(r.read("view:a") == "error corrupt");
  r.damaged.clear();
  REQUIRE(r.disk.lose(1) == "view:a"); // now nothing of it is left
  v1::CopyAsked q;
  q.set_lane(v1::FREE);
  q.set_shard(shard_of("view:a", replica::shards).value);
  const auto told = [&](const std::string& key) {
    q.set_number(q.number() + 1);
    q.set_key(key);
    r.core->copy_asked({3}, q, r.out);
    r.run();
    const auto reads = r.take<stream_replica::read_copy>();
    REQUIRE(reads.size() == 1);
    r.core->copy_read(reads[0].cookie, r.disk.scan(reads[0], false), r.now, r.out);
    r.run();
    const auto all = r.take<stream_replica::tell_copy>();
    REQUIRE(all.size() == 1);
    return all[0].what;
  };
  for (const auto* key : {"view:a", ""}) {
    const auto answer = told(key);
    REQUIRE(answer.records_size() == 1);
    CHECK(answer.records(0).damaged());
  }
  r.pass(seconds{1});
  const auto asked = r.take<stream_replica::ask_copy>();
  REQUIRE_FALSE(asked.empty());
  r.answer(asked.back(), {.folded = {{two, 1}}, .reached = {{two, 1}}, .records = {{"view:a", "2", {two, 1}}}});
  CHECK(r.read("view:a") == "error corrupt");
  const auto part = told("view:a");
  REQUIRE(part.records_size() == 1);
  CHECK(part.records(0).record().siblings(0).value() == "2");
  CHECK(from_wire(part.folded()) == version_vector{{two, 1}}); // and not the other's, which is folded here
  CHECK(told("").records(0).damaged());
}

TEST_CASE("copies: a record that is damaged on the disk and whole in memory is written again") {
  replica r;
  r.accept(free_lane, {{.at = {two, 1}, .key = "view:a", .value = "1"}});
  r.pass(seconds{1});
  REQUIRE(r.disk.damage(0) == "view:a");
  v1::CopyAsked q;
  q.set_number(1);
  q.set_lane(v1::FREE);
  q.set_shard(shard_of("view:a", replica::shards).value);
  r.core->copy_asked({3}, q, r.out);
  r.run();
  const auto reads = r.take<stream_replica::read_copy>();
  REQUIRE(reads.size() == 1);
  r.core->copy_read(reads[0].cookie, r.disk.scan(reads[0], false), r.now, r.out);
  r.run();
  const auto told = r.take<stream_replica::tell_copy>();
  REQUIRE(told.size() == 1);
  CHECK(told[0].what.records(0).damaged()); // this time
  CHECK(std::holds_alternative<v1::WeakRecord>(r.disk.read("view:a")));
  r.crash();
  r.start();
  CHECK(r.read("view:a") == "1");
}
