#include "tests/support/weak_updates.hpp"

#include "protocol/limits.hpp"
#include "protocol/wire.hpp"

#include <doctest/doctest.h>

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr auto lww = resolver_kind::last_writer_wins;
constexpr auto all_values = resolver_kind::siblings;

} // namespace

TEST_CASE("siblings: a write replaces what its context covers, and stands beside what it does not") {
  replica r;
  CHECK(r.state.empty());
  CHECK(r.merge(put({{a, 1}, 10}, "old")).added);
  CHECK(r.merge(put({{b, 1}, 20}, "new", {{a, 1}})).added);
  CHECK(shown(all_values, r.state) == "new");
  CHECK(r.merge(put({{c, 1}, 15}, "beside", {{a, 1}})).added);
  CHECK(shown(all_values, r.state) == "new beside");
  CHECK(r.state.entries().size() == 2);
  CHECK_FALSE(r.state.has_excess());
}

TEST_CASE(
    "siblings: an update that comes after the one that replaced it is not added, and what it replaced goes too") {
  replica r;
  r.merge(put({{a, 1}, 10}, "first"));
  // c has seen b's update, this replica has not.
  CHECK(r.merge(put({{c, 1}, 30}, "third", {{b, 1}})).added);
  CHECK(r.state.has_excess());
  const auto late = r.merge(put({{b, 1}, 20}, "second", {{a, 1}}));
  CHECK_FALSE(late.added);
  CHECK(late.changed);
  CHECK(shown(all_values, r.state) == "third");
  CHECK(r.state.prune(r.received));
  CHECK_FALSE(r.state.has_excess());
  CHECK_FALSE(r.state.prune(r.received));
}

TEST_CASE(
    "siblings: a duplicate changes nothing, neither before nor after it was replaced, nor when excess is gone") {
  replica r;
  const auto first = put({{a, 1}, 10}, "first"), second = put({{b, 1}, 20}, "second", {{a, 1}});
  r.merge(first);
  // The vector was not raised yet.
  CHECK_FALSE(r.state.merge(first.from, first.update, {.received = {}}).changed);
  CHECK_FALSE(r.merge(first).changed);
  r.merge(second);
  const auto before = r.state;
  CHECK_FALSE(r.merge(first).changed);
  CHECK_FALSE(r.merge(second).changed);
  CHECK(r.state == before);
}

TEST_CASE("siblings: the context of a field concerns that field alone, on arrival and before it") {
  replica r;
  r.merge(put({{a, 1}, 10}, "1", {}, "x"));
  r.merge(put({{a, 2}, 11}, "1", {}, "y"));
  // b has seen three updates of a, of which the third, of y, has not arrived; and one of c.
  r.merge(put({{b, 1}, 20}, "2", {{a, 3}, {c, 1}}, "x"));
  CHECK(shown(resolver_kind::map, r.state) == "x=2 y=1");
  CHECK(r.merge(put({{a, 3}, 12}, "3", {{a, 2}}, "y")).added);
  CHECK_FALSE(r.merge(put({{c, 1}, 13}, "4", {}, "x")).added);
  CHECK(shown(resolver_kind::map, r.state) == "x=2 y=3");
  version_vector x, y;
  r.state.excess_into("x", x);
  r.state.excess_into("y", y);
  CHECK(x == version_vector{{c, 1}}); // a's is forgotten: it was received when the field was written again
  CHECK(y.empty());
}

TEST_CASE("siblings: the removal of a whole key concerns all its fields, those that have not arrived included") {
  replica r;
  r.merge(put({{a, 1}, 10}, "1", {}, "x"));
  r.merge(removed({{b, 1}, 30}, {{a, 2}}));
  CHECK(r.state.entries().size() == 1);
  CHECK_FALSE(r.merge(put({{a, 2}, 20}, "1", {}, "y")).added);
  CHECK(r.merge(put({{a, 3}, 21}, "1", {}, "z")).added);
  CHECK(shown(resolver_kind::set, r.state) == "z"); // added while it was removed: stays
  CHECK(shown(resolver_kind::map, r.state) == "-"); // the removal is the later writer of z too
}

TEST_CASE("siblings: a counter keeps one entry per node, over all its lives: the newest") {
  replica r;
  r.merge(counted({{a, 1}, 10}, 5));
  r.merge(counted({{b, 1}, 10}, 7, 3));
  CHECK(r.merge(counted({{a, 2}, 11}, 6)).added);
  CHECK(shown(resolver_kind::counter, r.state) == "10");
  CHECK(r.merge(counted({{a2, 1}, 12}, 9)).added);
  CHECK_FALSE(r.merge(counted({{a, 3}, 13}, 7)).changed); // of the former life, late
  CHECK_FALSE(r.merge(counted({{b, 1}, 10}, 7, 3)).changed);
  CHECK(shown(resolver_kind::counter, r.state) == "13");
  CHECK(r.state.entries().size() == 2);
  REQUIRE(r.state.counter_of({1}) != nullptr);
  CHECK(r.state.counter_of({1})->at == dot{a2, 1});
  CHECK(r.state.counter_of({9}) == nullptr);
  // No context replaces it: that of a Put is no business of a counter.
  r.merge(put({{c, 1}, 50}, "v", {{a2, 1}, {b, 1}}));
  CHECK(shown(resolver_kind::counter, r.state) == "13");
}

TEST_CASE(
    "siblings: what is malformed is not merged, and no update replaces itself or what its origin wrote after it") {
  replica r;
  CHECK_FALSE(r.merge(put({{a, 0}, 10}, "v")).changed);
  CHECK_FALSE(r.merge(put({{a, 1}, 0}, "v")).changed);
  CHECK_FALSE(r.merge(put({{{{1}, 0}, 1}, 10}, "v")).changed);
  CHECK_FALSE(r.merge(put({{{{0}, 1}, 1}, 10}, "v")).changed);
  CHECK_FALSE(r.merge(counted({{b, 1}, 10}, -1)).changed);
  auto strange = counted({{b, 2}, 10}, 1);
  strange.update.set_field("x");
  CHECK_FALSE(r.merge(strange).changed);
  strange.update.set_kind(static_cast<v1::Update::Kind>(9));
  CHECK_FALSE(r.merge(strange).changed);
  CHECK(r.state.empty());
  r.received = {};
  CHECK(r.merge(put({{a, 1}, 10}, "v", {{a, 9}})).added);
  CHECK(r.merge(put({{a, 2}, 11}, "w")).added);
  CHECK(shown(all_values, r.state) == "w v");
}

TEST_CASE("siblings: joined, the states of two replicas are that of one which has merged what both have") {
  replica x, y;
  const auto first = put({{a, 1}, 10}, "first");
  x.merge(first);
  y.merge(first);
  x.merge(put({{b, 1}, 20}, "second", {{a, 1}}));
  y.merge(put({{c, 1}, 21}, "third"));
  auto joined = x.state;
  CHECK(joined.join(y.state, {.own = x.received, .others = y.received}));
  CHECK(shown(all_values, joined) == "third second");
  auto other = y.state;
  CHECK(other.join(x.state, {.own = y.received, .others = x.received}));
  auto both = x.received;
  both.join(y.received);
  joined.prune(both);
  other.prune(both);
  CHECK(joined == other);
  CHECK_FALSE(joined.join(other, {.own = both, .others = both}));
}

TEST_CASE("siblings: what was learnt by a join is not shown again when the stream brings it after it was replaced") {
  replica x, y;
  y.merge(put({{a, 1}, 10}, "first"));
  y.merge(put({{b, 1}, 20}, "second", {{a, 1}}));
  x.state.join(y.state, {.own = x.received, .others = y.received});
  CHECK(shown(all_values, x.state) == "second");
  CHECK_FALSE(x.merge(put({{a, 1}, 10}, "first")).added);
  CHECK_FALSE(x.merge(put({{b, 1}, 20}, "second", {{a, 1}})).added);
  CHECK(shown(all_values, x.state) == "second");
  x.state.prune(x.received);
  CHECK(x.state == y.state);
}

TEST_CASE("siblings: a damaged record is repaired by a join that claims to know nothing; a counter by any") {
  replica x, damaged;
  x.merge(put({{a, 1}, 10}, "v"));
  damaged.received = x.received;
  auto taken_for_empty = damaged.state;
  taken_for_empty.join(x.state, {.own = damaged.received, .others = x.received});
  CHECK(shown(all_values, taken_for_empty) == "-");
  CHECK(damaged.state.join(x.state, {.own = {}, .others = x.received}));
  damaged.state.prune(damaged.received);
  CHECK(damaged.state == x.state);

  replica sums, lost;
  sums.merge(counted({{a, 1}, 10}, 5));
  lost.received = sums.received;
  lost.state.join(sums.state, {.own = lost.received, .others = sums.received});
  CHECK(lost.state == sums.state);
  replica newer;
  newer.merge(counted({{a2, 1}, 11}, 8));
  newer.state.join(sums.state, {.own = newer.received, .others = sums.received});
  CHECK(shown(resolver_kind::counter, newer.state) == "8");
  CHECK(newer.state.entries().size() == 1);
}

TEST_CASE("E3: a tombstone stays until it is stable and no value with a lower stamp can come, nor is there") {
  replica r;
  r.merge(put({{a, 1}, 10}, "v"));
  r.merge(removed({{b, 1}, 30}, {{a, 1}}));
  CHECK(shown(lww, r.state) == "-");
  const version_vector all{{a, 1}, {b, 1}}, before{{a, 1}};
  CHECK(r.state.collect_tombstones({.stable = before, .clock = 99}).collected == 0);
  CHECK(r.state.collect_tombstones({.stable = all, .clock = 29}).collected == 0);
  auto collected = r.state;
  CHECK(collected.collect_tombstones({.stable = all, .clock = 30}).collected == 1);
  CHECK(collected.empty());
  // A concurrent value with a lower stamp: what the clock has ruled out there.
  CHECK(r.merge(put({{c, 1}, 20}, "concurrent")).added);
  const auto kept = r.state.collect_tombstones({.stable = all, .clock = 30});
  CHECK(kept.collected == 0);
  CHECK(kept.hiding == 1);
  CHECK(shown(lww, r.state) == "-");
  // Among siblings and in sets a tombstone hides nothing; but others may lack what it replaced.
  CHECK(r.state.collect_tombstones({.stable = all, .clock = 29, .hides = false}).collected == 0);
  CHECK(r.state.collect_tombstones({.stable = all, .clock = 30, .hides = false}).collected == 1);
  CHECK(shown(all_values, r.state) == "concurrent");
}

TEST_CASE("E3: a tombstone of a field waits for that field only, one of the key for all") {
  replica r;
  r.merge(put({{a, 1}, 10}, "1", {}, "x"));
  r.merge(put({{a, 2}, 11}, "1", {}, "y"));
  r.merge(removed({{b, 1}, 30}, {{a, 1}}, "x"));
  const version_vector all{{a, 9}, {b, 9}, {c, 9}};
  auto fields = r.state;
  CHECK(fields.collect_tombstones({.stable = all, .clock = 99}).collected == 1);
  CHECK(shown(resolver_kind::map, fields) == "y=1");
  r.merge(removed({{c, 1}, 30}, {}));
  const auto kept = r.state.collect_tombstones({.stable = all, .clock = 99});
  CHECK(kept.collected == 1);
  CHECK(kept.hiding == 1);
  CHECK(shown(resolver_kind::map, r.state) == "-");
}

TEST_CASE("E3: excess outlives the tombstone, and what it replaced does not come back") {
  replica r;
  r.merge(removed({{b, 1}, 30}, {{a, 1}}));
  CHECK(r.state.collect_tombstones({.stable = {{b, 1}}, .clock = 99}).collected == 1);
  CHECK_FALSE(r.state.empty());
  CHECK_FALSE(r.merge(put({{a, 1}, 10}, "v")).added);
  r.state.prune(r.received);
  CHECK(r.state.empty());
}

TEST_CASE("X1: a write that would add one version too many is refused, one that replaces is not") {
  replica r;
  for (std::uint64_t i = 1; i <= limits::siblings_max; ++i)
    r.merge(put({{a, i}, i}, "v"));
  CHECK(r.state.room_for(put({{b, 1}, 99}, "v").update) == errc::too_many_siblings);
  CHECK(r.state.room_for(put({{b, 1}, 99}, "v", {}, "field").update) == std::nullopt);
  CHECK(r.state.room_for(put({{b, 1}, 99}, "v", {{a, 1}}).update) == std::nullopt);
  CHECK(r.state.room_for(removed({{b, 1}, 99}, {{a, 9}}).update) == std::nullopt);
  CHECK(r.merge(put({{b, 1}, 99}, "v")).added); // accepted elsewhere: merged
}

TEST_CASE("X1: fields and bytes of a key are bounded; a value of the largest size fits") {
  replica fields;
  for (std::uint64_t i = 1; i <= limits::fields_max; ++i)
    fields.merge(put({{a, i}, i}, {}, {}, std::to_string(i)));
  CHECK(fields.state.entries().size() == limits::fields_max);
  CHECK(fields.state.room_for(put({{b, 1}, 99}, {}, {}, "one more").update) == errc::value_too_large);
  CHECK(fields.state.room_for(removed({{b, 1}, 99}, {}, "one more").update) == errc::value_too_large);
  CHECK(fields.state.room_for(removed({{b, 1}, 99}, {{a, 5}}, "5").update) == std::nullopt);
  CHECK(fields.state.room_for(removed({{b, 1}, 99}, {{a, limits::fields_max}}).update) == std::nullopt);
  replica large;
  const std::string most(limits::value_bytes_max, 'x');
  CHECK(large.state.room_for(put({{a, 1}, 1}, most).update) == std::nullopt);
  large.merge(put({{a, 1}, 1}, most));
  CHECK(large.state.room_for(put({{b, 1}, 1}, most, {{a, 1}}).update) == std::nullopt);
  CHECK(large.state.room_for(put({{b, 1}, 1}, most).update) == errc::value_too_large);
  const auto before = large.state.bytes();
  large.merge(put({{b, 1}, 1}, "small", {{a, 1}}));
  CHECK(large.state.bytes() == before - most.size() + 5);
}

TEST_CASE("a loser is reported at its origin alone, when it loses, and not when it was replaced knowingly") {
  replica at_a, at_b;
  const auto low = put({{a, 1}, 10}, "low"), high = put({{b, 1}, 20}, "high");
  at_a.merge(low, {1});
  at_a.merge(high, {1});
  REQUIRE(at_a.lost.size() == 1);
  CHECK(at_a.lost[0].at == dot{a, 1});
  CHECK(at_a.lost[0].value == "low");
  CHECK(at_a.lost[0].winner == dot{b, 1});
  at_b.merge(high, {2});
  at_b.merge(low, {2});
  CHECK(at_b.lost.empty());
  at_a.merge(put({{c, 1}, 30}, "third"), {1}); // it has lost before
  CHECK(at_a.lost.size() == 1);
  replica late; // it loses on the day of its birth: its session has not seen the other
  late.merge(high, {1});
  late.merge(low, {1});
  REQUIRE(late.lost.size() == 1);
  CHECK(late.lost[0].winner == dot{b, 1});
  replica knowing;
  knowing.merge(low, {1});
  knowing.merge(put({{b, 1}, 20}, "high", {{a, 1}}), {1});
  CHECK(knowing.lost.empty());
}

TEST_CASE("a loser is reported when a removal wins, of every field when it is that of the key, and by a join") {
  replica r;
  r.merge(put({{a, 1}, 10}, "1", {}, "x"), {1});
  r.merge(put({{a, 2}, 40}, "1", {}, "y"), {1});
  r.merge(put({{a, 3}, 11}, "1", {}, "z"), {1});
  r.merge(removed({{b, 1}, 30}, {{a, 1}}), {1});
  REQUIRE(r.lost.size() == 1);
  CHECK(r.lost[0].field == "z");
  replica mine, theirs;
  mine.merge(put({{a, 1}, 10}, "mine"), {1});
  theirs.merge(put({{b, 1}, 20}, "theirs"), {2});
  sibling_set::loser_list losers{{1}, mine.lost};
  mine.state.join(theirs.state, {.own = mine.received, .others = theirs.received, .losers = &losers});
  REQUIRE(mine.lost.size() == 1);
  CHECK(mine.lost[0].value == "mine");
  mine.state.join(theirs.state, {.own = mine.received, .others = theirs.received, .losers = &losers});
  CHECK(mine.lost.size() == 1);
}

TEST_CASE("a weak record reads back as it was written, and one that is not canonical is refused") {
  replica r;
  r.merge(put({{a, 1}, 10}, "1", {}, "x"));
  r.merge(put({{b, 3}, 40}, std::string{"\0y", 2}, {{c, 7}}, "y"));
  r.merge(removed({{c, 8}, 41}, {{d, 5}}));
  r.merge(counted({{d, 1}, 50}, 3, 2));
  v1::WeakRecord record;
  to_wire(r.state, record);
  CHECK(from_wire(record) == r.state);
  const auto sum = checksum_of({7}, "t:k", record);
  CHECK(sum != checksum_of({7}, "t:l", record));
  CHECK(sum != checksum_of({8}, "t:k", record));
  record.set_checksum(sum);
  CHECK(checksum_of({7}, "t:k", record) == sum);

  const auto refused = [&](auto change) {
    auto changed = record;
    change(changed);
    CHECK(checksum_of({7}, "t:k", changed) != sum);
    CHECK_FALSE(from_wire(changed).has_value());
  };
  refused([](v1::WeakRecord& w) { w.mutable_siblings()->SwapElements(0, 1); });
  refused([](v1::WeakRecord& w) { *w.add_siblings() = w.siblings(w.siblings_size() - 1); });
  refused([](v1::WeakRecord& w) { w.mutable_siblings(0)->set_node(0); });
  refused([](v1::WeakRecord& w) { w.mutable_siblings(0)->set_life(0); });
  refused([](v1::WeakRecord& w) { w.mutable_siblings(0)->set_seq(0); });
  refused([](v1::WeakRecord& w) { w.mutable_siblings(0)->set_clock(0); });
  refused([](v1::WeakRecord& w) { w.mutable_siblings(0)->set_value("of a tombstone"); });
  refused([](v1::WeakRecord& w) { w.mutable_siblings(1)->set_number(-1); });
  refused([](v1::WeakRecord& w) { w.mutable_siblings(2)->set_number(1); });
  refused([](v1::WeakRecord& w) { w.mutable_siblings(0)->set_kind(static_cast<v1::Sibling::Kind>(7)); });
  refused([](v1::WeakRecord& w) { w.mutable_excess()->SwapElements(0, 1); });
  refused([](v1::WeakRecord& w) { w.mutable_excess(0)->clear_vector(); });
  refused([](v1::WeakRecord& w) { w.mutable_excess(0)->mutable_vector()->mutable_entries(0)->set_seq(0); });
  refused([](v1::WeakRecord& w) {
    auto& second = *w.add_siblings(); // of the same node as the counter
    second = w.siblings(1);
    second.set_seq(9);
    for (int i = w.siblings_size() - 1; i > 2; --i)
      w.mutable_siblings()->SwapElements(i, i - 1);
  });
}

TEST_CASE("the hash of a key's siblings leaves out what only this replica lacks, and tombstones") {
  replica x, y;
  const auto first = put({{a, 1}, 10}, "v", {{b, 5}});
  x.merge(first);
  y.received = {{b, 5}};
  y.merge(first);
  CHECK(x.state != y.state);
  CHECK(hash_of("t:k", x.state) == hash_of("t:k", y.state));
  CHECK(hash_of("t:k", x.state) != hash_of("t:l", x.state));
  CHECK(hash_of("t:k", {}) == 0);
  y.merge(put({{a, 2}, 11}, "v", {{a, 1}}));
  CHECK(hash_of("t:k", x.state) != hash_of("t:k", y.state));
  y.merge(removed({{a, 3}, 12}, {{a, 2}}));
  CHECK_FALSE(y.state.empty());
  CHECK(hash_of("t:k", y.state) == 0);
}

TEST_CASE("a filtered copy has the same excess and the siblings that were asked for") {
  replica r;
  r.merge(put({{a, 1}, 10}, "one", {{c, 4}}));
  r.merge(put({{b, 1}, 11}, "two"));
  const auto of_a = r.state.only([](const sibling& s) { return s.at.from == a; });
  CHECK(shown(all_values, of_a) == "one");
  CHECK(of_a.has_excess());
  CHECK(of_a.bytes() < r.state.bytes());
  CHECK(r.state.clock() == 11);
}
