#include "protocol/mutation.hpp"
#include "protocol/session/write_order.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace troupe;

namespace {

v1::WeakOperation unknown(std::uint64_t number) {
  v1::WeakOperation o;
  o.mutable_id()->set_number(number);
  o.set_executor(2);
  return o;
}

std::string next(write_order& order) {
  const auto step = order.next();
  if (const auto* w = std::get_if<write_order::write>(&step)) return "write " + std::to_string(w->which);
  if (const auto* s = std::get_if<write_order::settle_first>(&step))
    return "settle " + std::to_string(s->operation.id().number()) + " for " + std::to_string(s->waiting);
  return "";
}

} // namespace

TEST_CASE("write order: T3: one write is under way at a time, in the order of their issue") {
  write_order order;
  CHECK(next(order) == "");
  order.issue(1);
  order.issue(2);
  order.issue(3);
  CHECK(next(order) == "write 1");
  CHECK(next(order) == "");
  CHECK(order.withdraw(2));
  CHECK_FALSE(order.withdraw(2));
  CHECK_FALSE(order.withdraw(1)); // it was sent
  order.written({});
  CHECK(next(order) == "write 3");
  order.written({});
  CHECK(next(order) == "");
}

TEST_CASE("write order: T3: an unknown write is settled before the next one is sent") {
  write_order order;
  order.issue(1);
  next(order);
  order.written(unknown(11));
  CHECK(order.unsettled());
  CHECK(next(order) == ""); // nobody needs to know
  order.issue(2);
  order.issue(3);
  CHECK(next(order) == "settle 11 for 2");
  CHECK(next(order) == "");
  CHECK(order.asked_again({}) == std::nullopt);
  CHECK(next(order) == "write 2");
}

TEST_CASE(
    "write order: T3: writes are refused one by one, at their own deadlines, while an earlier one stays unknown") {
  write_order order;
  order.issue(1);
  next(order);
  order.written(unknown(11));
  order.issue(2);
  order.issue(3);
  next(order);
  CHECK(order.asked_again(unknown(11)) == 2);
  CHECK(next(order) == "settle 11 for 3");
  CHECK(order.withdraw(3)); // its caller has left
  order.issue(4);
  CHECK(next(order) == ""); // still being asked
  CHECK(order.asked_again(unknown(11)) == std::nullopt);
  CHECK(next(order) == "settle 11 for 4");
  CHECK(order.asked_again({}) == std::nullopt);
  CHECK(next(order) == "write 4");
}

TEST_CASE("write order: a session that forgets the unknown write sends the next one before it is settled") {
  plant(mutation::unknown_write_not_settled);
  write_order order;
  order.issue(1);
  next(order);
  order.written(unknown(11));
  order.issue(2);
  CHECK(next(order) == "write 2"); // what the tests above catch
  plant(mutation::none);
}
