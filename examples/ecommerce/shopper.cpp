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
  shopper(const shopper_plan& plan, troupe::session& session, shop_floor& floor, tallies& counts)
      : plan_(plan), session_(session), floor_(floor), counts_(counts), order_(floor.run + "order-" + plan.id) {}

  void shop() {
    log_in();
    for (const auto& next : plan_.steps) {
      const auto think = std::chrono::duration<double, std::nano>{next.think} / floor_.speed;
      floor_.closing.wait(std::min(std::chrono::nanoseconds{std::llround(think.count())},
                                   std::chrono::nanoseconds{floor_.think_max}));
      if (floor_.closing.closed()) return;
      look_at(next.item);
      read_thread(next.item);
      if (next.reviews) review(next.item);
      if (next.into_cart > 0) put_into_cart(next.item, next.into_cart);
    }
    if (plan_.orders && !cart_.empty() && is_logged_in()) order();
  }

private:
  /// Strong: nobody else writes this record.
  void log_in() {
    logged_in_ = get_through(strong(), [&] {
      return session_.put("user_sessions", floor_.run + plan_.id, "shopper " + plan_.id, within_deadline());
    });
  }
  /// An order is taken of whoever is known to be logged in, and refused to nobody who is.
  bool is_logged_in() {
    const auto record =
        counted(strong(), [&] { return session_.get("user_sessions", floor_.run + plan_.id, within_deadline()); });
    if (!record) {
      ++floor_.given_up;
      return false;
    }
    if (logged_in_)
      strong().observed(record->has_value() && (*record)->value == "shopper " + plan_.id,
                        "shopper " + plan_.id + " had logged in, and is not known");
    return true;
  }

  void look_at(const std::string& item) {
    const auto key = floor_.run + item;
    (void)counted(eventual(), [&] { return session_.get("catalogue", key, within_deadline()); });
    (void)counted(strong(), [&] { return session_.get("inventory", key, within_deadline()); });
    (void)counted(eventual(), [&] { return session_.get("recommendations", key, within_deadline()); });
    const auto view =
        counted(eventual(), [&] { return session_.add("views", key, 1, {.deadline = floor_.deadline}); });
    if (view || view.error().unknown()) floor_.views.add(key, view.has_value());
    if (!before_.empty() && before_ != item)
      (void)counted(eventual(), [&] {
        return session_.put("recommendations", floor_.run + before_, "also seen: " + item, within_deadline());
      });
    before_ = item;
  }

  /// The thread names a review that was written before it: it has to be there for whoever has read the thread.
  void read_thread(const std::string& item) {
    const auto thread =
        counted(causal(), [&] { return session_.get("threads", floor_.run + item, within_deadline()); });
    if (!thread || !*thread) return;
    const auto& newest = (*thread)->value;
    const auto review = counted(causal(), [&] { return session_.get("reviews", newest, within_deadline()); });
    if (review)
      causal().observed(review->has_value(), "the thread of " + item + " names " + newest + ", which is not there");
  }

  void review(const std::string& item) {
    const auto key = floor_.run + item + "-by-" + plan_.id;
    const bool stored = get_through(causal(), [&] {
      return session_.put("reviews", key, "shopper " + plan_.id + " has an opinion", within_deadline());
    });
    if (stored)
      (void)counted(causal(), [&] { return session_.put("threads", floor_.run + item, key, within_deadline()); });
  }

  /// Nobody else writes this cart: it is found as it was left.
  void put_into_cart(const std::string& item, std::int64_t units) {
    cart_[item] += units;
    const auto text = text_of(cart_, ++changes_);
    const bool stored = get_through(
        of_session(), [&] { return session_.put("carts", floor_.run + plan_.id, text, within_deadline()); });
    const auto left =
        counted(of_session(), [&] { return session_.get("carts", floor_.run + plan_.id, within_deadline()); });
    if (stored && left)
      of_session().observed(left->has_value() && (*left)->value == text, "shopper " + plan_.id + " has put " + text
                                                                             + " into the cart and finds "
                                                                             + (*left ? (*left)->value : "nothing"));
  }

  template <class Call> bool get_through(tally& counts, const Call& call) {
    return counted(counts, call).has_value();
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
    const auto stored = counted(strong(), [&] { return session_.put("orders", order_, record, within_deadline()); });
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
        strong(), [&] { return session_.add("inventory", key, -units, {.floor = 0, .deadline = floor_.deadline}); });
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
      const auto stock = counted(strong(), [&] {
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
  tally& strong() { return counts_[troupe::level::strong]; }
  tally& causal() { return counts_[troupe::level::causal]; }
  tally& of_session() { return counts_[troupe::level::session]; }
  tally& eventual() { return counts_[troupe::level::eventual]; }

  const shopper_plan& plan_;
  troupe::session& session_;
  shop_floor& floor_;
  tallies& counts_;
  const std::string order_;
  bool logged_in_ = false; ///< acknowledged
  std::string before_;     ///< the item that was looked at before; empty = none
  cart cart_;
  std::size_t changes_ = 0; ///< of the cart
};

} // namespace

void go_shopping(const shopper_plan& plan, troupe::session& session, shop_floor& floor, tallies& counts) {
  shopper{plan, session, floor, counts}.shop();
}

} // namespace shop
