// What one operation does to a record, and what the record remembers of it.
#include "protocol/strong/register_value.hpp"

#include "protocol/wire.hpp"

#include <doctest/doctest.h>

using namespace troupe;

namespace {

v1::Record record_of(std::string value) {
  v1::Record r;
  r.set_value(std::move(value));
  return r;
}

v1::Operation compare_and_set(std::string expected, std::string value) {
  v1::Operation o;
  o.mutable_compare_and_set()->set_expected(std::move(expected));
  o.mutable_compare_and_set()->set_value(std::move(value));
  return o;
}

v1::Operation add(std::int64_t delta, std::int64_t floor) {
  v1::Operation o;
  o.mutable_add()->set_delta(delta);
  o.mutable_add()->set_has_floor(true);
  o.mutable_add()->set_floor(floor);
  return o;
}

constexpr version at(std::uint64_t counter) {
  return {.era = {.round = 1, .node = {1}, .life = {1}}, .counter = counter};
}

} // namespace

TEST_CASE("a refused compare and set quotes what is there, and the record remembers the quotation up to 1 KiB") {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1024}, std::size_t{1025}, std::size_t{100'000}}) {
    CAPTURE(bytes);
    auto record = record_of(std::string(bytes, 'x'));
    const auto refused = apply(compare_and_set("something else", "new"), record, true);
    CHECK_FALSE(refused.changed);
    CHECK_FALSE(refused.result.applied());
    CHECK(refused.result.value() == std::string(bytes, 'x'));
    CHECK_FALSE(refused.result.value_omitted());

    const request_id id{{7}, 1};
    settle(record, id, refused.result, at(1), 8);
    const auto* remembered = find_settled(record, id);
    REQUIRE(remembered != nullptr);
    CHECK(remembered->result().exists());
    // Told apart from a value that is there and empty.
    CHECK(remembered->result().value_omitted() == (bytes > 1024));
    CHECK(remembered->result().value().size() == (bytes > 1024 ? 0 : bytes));
  }
}

TEST_CASE("an addition that would go below its floor changes nothing and tells the present number") {
  auto record = record_of("3");
  const auto refused = apply(add(-4, 0), record, true);
  CHECK_FALSE(refused.changed);
  CHECK_FALSE(refused.result.applied());
  CHECK(refused.result.number() == 3);
  CHECK(record.value() == "3");
  const auto done = apply(add(-3, 0), record, true);
  CHECK(done.changed);
  CHECK(done.result.number() == 0);
  CHECK(record.value() == "0");
}

TEST_CASE("outcomes beyond the number kept are evicted oldest first, and the highest version among them is kept") {
  auto record = record_of("v");
  v1::Result done;
  done.set_applied(true);
  for (std::uint64_t n = 1; n <= 5; ++n)
    settle(record, {{7}, n}, done, at(n), 3);
  CHECK(record.settled_size() == 3);
  CHECK(find_settled(record, {{7}, 2}) == nullptr);
  CHECK(find_settled(record, {{7}, 3}) != nullptr);
  CHECK(from_wire(record.evicted()) == at(2));
}
