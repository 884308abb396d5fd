#include "protocol/limits.hpp"
#include "tests/support/weak_updates.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <stdexcept>

using namespace troupe;
using namespace troupe::test;
using enum resolver_kind;

namespace {

constexpr auto int64_max = std::numeric_limits<std::int64_t>::max();
constexpr auto int64_min = std::numeric_limits<std::int64_t>::min();

v1::WeakOperation put_op(std::string_view value) {
  v1::WeakOperation op;
  op.mutable_put()->set_value(std::string{value});
  return op;
}
v1::WeakOperation remove_op() {
  v1::WeakOperation op;
  op.mutable_remove();
  return op;
}
v1::WeakOperation add_op(std::int64_t delta) {
  v1::WeakOperation op;
  op.mutable_add()->set_delta(delta);
  return op;
}
v1::WeakOperation put_field_op(std::string_view field, std::string_view value) {
  v1::WeakOperation op;
  op.mutable_put_field()->set_field(std::string{field});
  op.mutable_put_field()->set_value(std::string{value});
  return op;
}
v1::WeakOperation remove_field_op(std::string_view field) {
  v1::WeakOperation op;
  op.mutable_remove_field()->set_field(std::string{field});
  return op;
}

/// Node a drafts over a state.
struct desk {
  replica at;
  tl::expected<v1::Update, errc> draft(resolver_kind kind, const v1::WeakOperation& op) const {
    return troupe::draft(
        {.kind = kind, .operation = op, .visible = at.state, .self = a.node, .context = at.received});
  }
  errc error(resolver_kind kind, const v1::WeakOperation& op) const {
    const auto update = draft(kind, op);
    return update ? errc::none : update.error();
  }
};

resolver_registry::refusal refusal_of(resolver_registry& r, resolver_registry::definition d) {
  const auto added = r.add(std::move(d));
  REQUIRE_FALSE(added.has_value());
  return added.error();
}

std::string longest(std::string_view x, std::string_view y) {
  return std::string{x.size() != y.size() ? (x.size() > y.size() ? x : y) : std::max(x, y)};
}

} // namespace

TEST_CASE(
    "last writer wins: by clock, then by node; a removal that wins means absent; nothing was ever written is known") {
  replica r;
  auto seen = resolve(last_writer_wins, r.state);
  CHECK_FALSE(seen.exists);
  CHECK_FALSE(seen.winner);
  CHECK(last_writer(r.state) == nullptr);
  r.merge(put({{a, 1}, 10}, "a"));
  r.merge(put({{b, 1}, 10}, "b"));
  r.merge(put({{c, 1}, 9}, "c"));
  seen = resolve(last_writer_wins, r.state);
  CHECK(seen.value == "b");
  CHECK(seen.winner == dot{b, 1});
  CHECK(seen.when == stamp{10, b.node});
  CHECK(seen.context == version_vector{{a, 1}, {b, 1}, {c, 1}});
  r.merge(removed({{c, 2}, 11}, {}));
  seen = resolve(last_writer_wins, r.state);
  CHECK_FALSE(seen.exists);
  CHECK(seen.value.empty());
  CHECK(seen.winner == dot{c, 2});
}

TEST_CASE(
    "siblings: all concurrent values, newest first, with a context that the next write quotes to replace them") {
  desk n;
  n.at.merge(put({{b, 1}, 10}, "old"));
  n.at.merge(put({{c, 1}, 12}, "new"));
  n.at.merge(removed({{d, 1}, 20}, {}));
  const auto seen = resolve(resolver_kind::siblings, n.at.state);
  CHECK(shown(resolver_kind::siblings, n.at.state) == "new old");
  CHECK(seen.value == "new");
  CHECK(seen.winner == dot{c, 1});
  // One more comes before the write that quotes the context: it stays.
  n.at.merge(put({{b, 2}, 15}, "unseen"));
  auto op = put_op("merged");
  to_wire(seen.context, *op.mutable_context());
  auto update = n.draft(resolver_kind::siblings, op);
  REQUIRE(update.has_value());
  update->set_seq(1);
  update->set_clock(30);
  n.at.merge({a, *update});
  CHECK(shown(resolver_kind::siblings, n.at.state) == "merged unseen");
  // An empty context is a context: it replaces nothing.
  op.mutable_context()->clear_entries();
  CHECK(n.draft(resolver_kind::siblings, op)->context().entries().empty());
}

TEST_CASE("a write without a context replaces what is visible, and what is known to be replaced already") {
  desk n;
  n.at.merge(put({{b, 1}, 10}, "v", {{c, 7}}));
  const auto update = n.draft(last_writer_wins, put_op("w"));
  REQUIRE(update.has_value());
  CHECK(from_wire(update->context()) == version_vector{{b, 1}, {c, 7}});
  CHECK(update->kind() == v1::Update::PUT);
  CHECK(update->value() == "w");
}

TEST_CASE("counters: the sum of all nodes, exact beyond 64 bits; who has seen too much refuses to add") {
  desk n;
  CHECK(shown(counter, n.at.state) == "-");
  n.at.merge(counted({{a, 1}, 10}, 7, 2));
  n.at.merge(counted({{b, 1}, 10}, int64_max - 5));
  auto seen = resolve(counter, n.at.state);
  CHECK(seen.value == std::to_string(int64_max));
  CHECK(seen.number == int64_max);
  CHECK(n.error(counter, add_op(1)) == errc::out_of_range);
  CHECK(n.error(counter, add_op(-1)) == errc::none);
  n.at.merge(counted({{c, 1}, 10}, 2));
  seen = resolve(counter, n.at.state);
  CHECK(seen.value == "9223372036854775809");
  CHECK(seen.number == int64_max);
  CHECK(n.error(counter, add_op(-1)) == errc::none); // back towards zero
  n.at.merge(counted({{c, 2}, 10}, 0, int64_max));
  n.at.merge(counted({{d, 1}, 10}, 0, int64_max));
  CHECK(shown(counter, n.at.state) == "-9223372036854775807");
  n.at.merge(counted({{b, 2}, 10}, 0, 0));
  CHECK(shown(counter, n.at.state) == "-18446744073709551609");
  CHECK(resolve(counter, n.at.state).number == int64_min);
  CHECK(n.error(counter, add_op(-1)) == errc::out_of_range);
  CHECK(n.error(counter, add_op(int64_min)) == errc::out_of_range);
}

TEST_CASE("counters: a node adds to what it has added so far, visible or not, in whichever life") {
  desk n;
  n.at.merge(counted({{a, 1}, 10}, 7, 2));
  n.at.merge(counted({{b, 1}, 10}, 100));
  auto update = n.draft(counter, add_op(-3));
  REQUIRE(update.has_value());
  CHECK(update->kind() == v1::Update::COUNTER);
  CHECK(update->number() == 7);
  CHECK(update->decrements() == 5);
  CHECK(update->context().entries().empty());
  const sibling hidden{
      .at = {a, 2}, .when = {11, a.node}, .kind = sibling_kind::counter, .number = 20, .decrements = 2};
  const auto op = add_op(1);
  update = draft({.kind = counter,
                  .operation = op,
                  .visible = n.at.state,
                  .own_counter = &hidden,
                  .self = a.node,
                  .context = n.at.received});
  REQUIRE(update.has_value());
  CHECK(update->number() == 21);
  const sibling full{.at = {a, 2},
                     .when = {11, a.node},
                     .kind = sibling_kind::counter,
                     .number = int64_max,
                     .decrements = int64_max};
  update = draft({.kind = counter,
                  .operation = op,
                  .visible = {},
                  .own_counter = &full,
                  .self = a.node,
                  .context = n.at.received});
  CHECK(update.error() == errc::out_of_range);
}

TEST_CASE("sets: an addition that a removal has not seen wins; one that it has seen does not") {
  replica r;
  r.merge(put({{a, 1}, 10}, {}, {}, "x"));
  r.merge(put({{a, 2}, 11}, {}, {}, "y"));
  r.merge(removed({{b, 1}, 50}, {{a, 2}}, "x"));
  CHECK(shown(set, r.state) == "y");
  r.merge(put({{c, 1}, 12}, {}, {}, "x")); // concurrent with the removal, and older by its stamp
  CHECK(shown(set, r.state) == "x y");
  CHECK(resolve(set, r.state).items[0].when == stamp{12, c.node});
  r.merge(removed({{b, 2}, 60}, {{a, 2}, {b, 1}, {c, 1}}));
  CHECK(shown(set, r.state) == "-");
  CHECK_FALSE(resolve(set, r.state).exists);
  CHECK(resolve(set, r.state).winner == dot{b, 2});
}

TEST_CASE("maps: each field is its last writer's, and the removal of the key is a write of every field") {
  replica r;
  r.merge(put({{a, 1}, 10}, "1", {}, "x"));
  r.merge(put({{b, 1}, 20}, "2", {}, "x"));
  r.merge(put({{a, 2}, 30}, "3", {}, "y"));
  r.merge(removed({{b, 2}, 5}, {}, "y"));
  r.merge(put({{a, 3}, 31}, "4", {}, "z"));
  r.merge(removed({{c, 1}, 40}, {}, "z"));
  CHECK(shown(map, r.state) == "x=2 y=3");
  r.merge(removed({{d, 1}, 25}, {}));
  CHECK(shown(map, r.state) == "y=3");
}

TEST_CASE("a resolver ignores siblings that it has no use for") {
  replica r;
  r.merge(put({{a, 1}, 10}, "v"));
  r.merge(put({{b, 1}, 20}, "f", {}, "field"));
  r.merge(counted({{c, 1}, 30}, 4));
  CHECK(shown(last_writer_wins, r.state) == "v");
  CHECK(shown(resolver_kind::siblings, r.state) == "v");
  CHECK(shown(counter, r.state) == "4");
  CHECK(shown(set, r.state) == "field");
  CHECK(shown(map, r.state) == "field=f");
}

TEST_CASE("every resolver accepts its own operations, and no other") {
  const desk n;
  auto floor = add_op(1);
  floor.mutable_add()->set_has_floor(true);
  const std::pair<v1::WeakOperation, std::vector<resolver_kind>> table[] = {
      {put_op("v"), {last_writer_wins, resolver_kind::siblings}},
      {remove_op(), {last_writer_wins, resolver_kind::siblings, set, map}},
      {add_op(1), {counter, growing_counter}},
      {floor, {}},
      {put_field_op("f", ""), {set, map}},
      {remove_field_op("f"), {set, map}},
  };
  for (const auto& [op, allowed] : table)
    for (const auto kind : {last_writer_wins, resolver_kind::siblings, counter, growing_counter, set, map}) {
      INFO(name_of(kind) << " " << static_cast<int>(op.what_case()));
      const bool expected = std::find(allowed.begin(), allowed.end(), kind) != allowed.end();
      CHECK(n.error(kind, op) == (expected ? errc::none : errc::unsupported_operation));
    }
}

TEST_CASE("malformed and oversized operations are refused before anything is numbered") {
  desk n;
  v1::WeakOperation read;
  read.mutable_get();
  CHECK(n.error(last_writer_wins, read) == errc::invalid_argument);
  CHECK(n.error(last_writer_wins, {}) == errc::invalid_argument);
  CHECK(n.error(growing_counter, add_op(-1)) == errc::invalid_argument);
  CHECK(n.error(growing_counter, add_op(0)) == errc::none);
  CHECK(n.error(map, put_field_op("", "v")) == errc::invalid_argument);
  CHECK(n.error(map, remove_field_op("")) == errc::invalid_argument);
  CHECK(n.error(map, put_field_op(std::string(limits::key_bytes_max + 1, 'f'), "v")) == errc::invalid_argument);
  CHECK(n.error(set, put_field_op("f", "v")) == errc::invalid_argument);
  CHECK(n.error(last_writer_wins, put_op(std::string(limits::value_bytes_max + 1, 'v'))) == errc::value_too_large);
  CHECK(n.error(map, put_field_op("f", std::string(limits::value_bytes_max + 1, 'v'))) == errc::value_too_large);
  for (std::uint64_t i = 1; i <= limits::siblings_max; ++i)
    n.at.merge(put({{b, i}, i}, "v"));
  auto blind = put_op("v");
  blind.mutable_context();
  CHECK(n.error(resolver_kind::siblings, blind) == errc::too_many_siblings);
  CHECK(n.error(resolver_kind::siblings, put_op("v")) == errc::none);
}

TEST_CASE("a draft carries shard, key and request of its operation") {
  const desk n;
  auto op = put_op("v");
  op.set_shard(7);
  op.set_key("t:k");
  op.mutable_id()->set_session(3);
  op.mutable_id()->set_number(4);
  const auto update = n.draft(last_writer_wins, op);
  REQUIRE(update.has_value());
  CHECK(update->shard() == 7);
  CHECK(update->key() == "t:k");
  CHECK(update->request().number() == 4);
  CHECK(update->seq() == 0);
}

TEST_CASE("a registered function makes one value of the concurrent ones, whatever order they came in") {
  resolver_registry r;
  REQUIRE(r.add({.id = "longest", .version = 2, .merge = longest}).has_value());
  CHECK(r.version_of("longest") == 2);
  CHECK(r.version_of("other") == 0);
  replica x, y;
  const auto one = put({{a, 1}, 10}, "bb"), two = put({{b, 1}, 11}, "ccc"), three = put({{c, 1}, 12}, "a");
  for (const auto& s : {one, two, three})
    x.merge(s);
  for (const auto& s : {three, one, two})
    y.merge(s);
  const auto seen = r.resolve("longest", x.state);
  REQUIRE(seen.has_value());
  CHECK(seen->exists);
  CHECK(seen->value == "ccc");
  CHECK(seen->items.empty());
  CHECK(seen->context == version_vector{{a, 1}, {b, 1}, {c, 1}});
  CHECK(r.resolve("longest", y.state)->value == "ccc");
  CHECK_FALSE(r.resolve("longest", {})->exists);
  CHECK(r.resolve("other", x.state).error() == errc::invalid_argument);
}

TEST_CASE("a function that breaks a law is refused, with the law and the values that show it") {
  using law = resolver_registry::law;
  resolver_registry r;
  const auto broken = [&](resolver_registry::function f) {
    const auto refusal = refusal_of(r, {.id = "f", .merge = std::move(f)});
    REQUIRE(std::holds_alternative<resolver_registry::broken>(refusal));
    return std::get<resolver_registry::broken>(refusal);
  };
  const auto concatenate = broken([](auto x, auto y) { return std::string{x} + std::string{y}; });
  CHECK(concatenate.which == law::idempotence);
  CHECK(concatenate.left == concatenate.a + concatenate.a);
  const auto first = broken([](auto x, auto) { return std::string{x}; });
  CHECK(first.which == law::commutativity);
  CHECK(first.left == first.a);
  CHECK(first.right == first.b);
  // The middle of two lengths: commutes, and depends on who is merged first.
  const auto middle = broken([](std::string_view x, std::string_view y) {
    return x == y ? std::string{x} : std::string((x.size() + y.size()) / 2, 'm');
  });
  CHECK(middle.which == law::associativity);
  CHECK(middle.left != middle.right);
  CHECK(broken([](auto, auto) -> std::string { throw std::runtime_error{"no"}; }).which == law::totality);
  CHECK(name_of(law::totality) == "totality");
  CHECK(r.size() == 0);
}

TEST_CASE("functions are tried on what their generator makes, and one that fails later leaves an error") {
  resolver_registry r;
  const auto numbers = [](std::uint64_t random) { return std::to_string(random % 1'000); };
  const auto greatest = [](std::string_view x, std::string_view y) {
    return std::to_string(std::max(std::stoll(std::string{x}), std::stoll(std::string{y})));
  };
  CHECK(std::holds_alternative<resolver_registry::broken>(refusal_of(r, {.id = "max", .merge = greatest})));
  REQUIRE(r.add({.id = "max", .merge = greatest, .example = numbers}).has_value());
  replica x;
  x.merge(put({{a, 1}, 10}, "5"));
  x.merge(put({{b, 1}, 11}, "12"));
  CHECK(r.resolve("max", x.state)->value == "12");
  x.merge(put({{c, 1}, 12}, "no number"));
  CHECK(r.resolve("max", x.state).error() == errc::internal);
  const auto thrower = [](std::uint64_t) -> std::string { throw std::runtime_error{"no"}; };
  CHECK(std::holds_alternative<resolver_registry::broken>(
      refusal_of(r, {.id = "g", .merge = longest, .example = thrower})));
}

TEST_CASE("X1: functions have an id and a version that grows, and their number is bounded") {
  resolver_registry r;
  const auto error = [&](resolver_registry::definition d) { return std::get<errc>(refusal_of(r, std::move(d))); };
  CHECK(error({.id = "", .merge = longest}) == errc::invalid_argument);
  CHECK(error({.id = std::string(65, 'x'), .merge = longest}) == errc::invalid_argument);
  CHECK(error({.id = "f", .version = 0, .merge = longest}) == errc::invalid_argument);
  CHECK(error({.id = "f", .merge = nullptr}) == errc::invalid_argument);
  REQUIRE(r.add({.id = "f", .merge = longest}).has_value());
  CHECK(error({.id = "f", .merge = longest}) == errc::invalid_argument);
  for (std::size_t i = 1; i < limits::resolvers_max; ++i)
    REQUIRE(r.add({.id = "f" + std::to_string(i), .merge = longest}).has_value());
  CHECK(error({.id = "one more", .merge = longest}) == errc::overloaded);
  CHECK(r.add({.id = "f", .version = 2, .merge = longest}).has_value());
  CHECK(r.size() == limits::resolvers_max);
}

TEST_CASE("small records are merged and resolved quickly" * doctest::skip(std::getenv("TROUPE_MEASURE") == nullptr)) {
  constexpr std::uint64_t rounds = 1'000'000;
  replica r;
  const std::string value(100, 'v');
  std::vector<sent> updates;
  const version_vector others{{b, 1'000'000'000}, {c, 1'000'000'000}};
  r.received = others;
  for (std::uint64_t i = 1; i <= 1'000; ++i) {
    auto context = others;
    context.raise(a, i - 1);
    updates.push_back(put({{a, i}, i}, value, context));
  }
  std::size_t sum = 0;
  const auto begin = std::clock();
  for (std::uint64_t i = 0; i < rounds; ++i) {
    auto& s = updates[i % updates.size()];
    s.update.set_seq(i + 1);
    s.update.mutable_context()->mutable_entries(0)->set_seq(i);
    sum += r.merge(s).added ? 1 : 0;
  }
  const auto merged = std::clock();
  for (std::uint64_t i = 0; i < rounds; ++i)
    sum += resolve(last_writer_wins, r.state).value.size();
  const auto resolved_at = std::clock();
  const auto op = put_op(value);
  for (std::uint64_t i = 0; i < rounds; ++i)
    sum +=
        draft({.kind = last_writer_wins, .operation = op, .visible = r.state, .self = a.node, .context = r.received})
            ->value()
            .size();
  const auto drafted = std::clock();
  v1::WeakRecord record;
  for (std::uint64_t i = 0; i < rounds; ++i) {
    to_wire(r.state, record);
    sum += record.ByteSizeLong();
  }
  const auto written = std::clock();
  const auto ns = [](std::clock_t d) { // of the processor, per round
    return static_cast<double>(d) * 1e9 / CLOCKS_PER_SEC / static_cast<double>(rounds);
  };
  CHECK(sum > 0);
  CHECK(r.state.entries().size() == 1);
  MESSAGE("ns: merge " << ns(merged - begin) << ", resolve " << ns(resolved_at - merged) << ", draft "
                       << ns(drafted - resolved_at) << ", to_wire " << ns(written - drafted));
}
