#include "examples/ecommerce/shopper.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

namespace shop {

namespace {

using cart = std::map<std::string, std::int64_t>; ///< item -> units

/// "17x2 4711x1", and the number of the change in front: values that are put under a key differ.
std::string text_of(const cart& lines, std::size_t change) {
  auto text = std::to_string(change) + ":";
  for (const auto& [item, units] : lines)
    text += " " + item + "x" + std::to_string(units);
  return text;
}

/// One visit of one shopper.
class shopper {
public:
  shopper(const shopper_plan& plan, troupe::session& session, shop_floor& floor, tally& counts)
      : plan_(plan), session_(session), floor_(floor), counts_(counts), order_(floor.run + "order-" + plan.id) {}

  void shop() {
    for (const auto& next : plan_.steps) {
      const auto think = std::chrono::duration<double, std::nano>{next.think} / floor_.speed;
      floor_.closing.wait(std::min(std::chrono::nanoseconds{std::llround(think.count())},
                                   std::chrono::nanoseconds{floor_.think_max}));
      if (floor_.closing.closed()) return;
      look_at(next.item);
      if (next.into_cart > 0) put_into_cart(next.item, next.into_cart);
    }
    if (plan_.orders && !cart_.empty()) order();
  }

private:
  void look_at(const std::string& item) {
    (void)counted(counts_, [&] { return session_.get("catalogue", floor_.run + item, within_deadline()); });
    (void)counted(counts_, [&] { return session_.get("inventory", floor_.run + item, within_deadline()); });
  }

  void put_into_cart(const std::string& item, std::int64_t units) {
    cart_[item] += units;
    (void)counted(counts_, [&] {
      return session_.put("carts", floor_.run + plan_.id, text_of(cart_, ++changes_), within_deadline());
    });
  }

  void order() {
    std::vector<ledger_entry> taken;
    bool complete = true;
    for (const auto& [item, units] : cart_) {
      complete = take(item, units, taken);
      if (!complete) break;
    }
    if (!enter(taken) || !complete) return give_back(taken);
    const auto record = "shopper " + plan_.id + ", " + text_of(cart_, changes_);
    const auto stored = counted(counts_, [&] { return session_.put("orders", order_, record, within_deadline()); });
    if (!stored) {
      ++floor_.given_up;
      // An order that may exist keeps its units: selling them again could oversell.
      return stored.error().unknown() ? void() : give_back(taken);
    }
    if (enter({{event::ordered, order_, {}, 0, record}})) ++floor_.orders;
  }

  /// @return the units are this order's.
  bool take(const std::string& item, std::int64_t units, std::vector<ledger_entry>& taken) {
    const auto key = floor_.run + item;
    const auto stock = counted(
        counts_, [&] { return session_.add("inventory", key, -units, {.floor = 0, .deadline = floor_.deadline}); });
    if (!stock) {
      ++floor_.given_up;
      if (stock.error().unknown()) taken.push_back({event::maybe_took, order_, key, units, {}});
      return false;
    }
    if (!stock->applied) {
      ++floor_.sold_out;
      return false;
    }
    taken.push_back({event::took, order_, key, units, {}});
    return true;
  }

  /// Units of which it is not known whether they were taken are not given back: that could make units.
  void give_back(const std::vector<ledger_entry>& taken) {
    std::vector<ledger_entry> back;
    for (const auto& entry : taken) {
      if (entry.what != event::took) continue;
      const auto stock = counted(counts_, [&] {
        return session_.add("inventory", entry.item, entry.quantity, {.deadline = floor_.deadline});
      });
      if (stock)
        back.push_back({event::returned, order_, entry.item, entry.quantity, {}});
      else if (stock.error().unknown())
        back.push_back({event::maybe_returned, order_, entry.item, entry.quantity, {}});
    }
    (void)enter(back);
  }

  bool enter(const std::vector<ledger_entry>& entries) {
    if (entries.empty()) return true;
    if (floor_.books->enter(entries)) return true;
    floor_.books_failed = true;
    floor_.closing.close();
    return false;
  }

  troupe::call_options within_deadline() const { return {.deadline = floor_.deadline}; }

  const shopper_plan& plan_;
  troupe::session& session_;
  shop_floor& floor_;
  tally& counts_;
  const std::string order_;
  cart cart_;
  std::size_t changes_ = 0; ///< of the cart
};

} // namespace

void go_shopping(const shopper_plan& plan, troupe::session& session, shop_floor& floor, tally& counts) {
  shopper{plan, session, floor, counts}.shop();
}

} // namespace shop
