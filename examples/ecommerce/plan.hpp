/// What shoppers do besides looking: which items go into the cart, and who orders.
#pragma once

#include "examples/ecommerce/visits.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace shop {

/// What a shopper does next.
struct step {
  std::chrono::milliseconds think{0}; ///< before it, at the speed of real life
  std::string item;
  std::int64_t into_cart = 0; ///< units; 0 = only looks
  bool reviews = false;       ///< writes what it thinks of the item
};

struct shopper_plan {
  std::string id;
  std::vector<step> steps;
  bool orders = false; ///< at the end, what is in the cart
};

struct shop_plan {
  std::vector<shopper_plan> shoppers;
  std::map<std::string, std::int64_t> stock; ///< of every item that somebody looks at, at the opening
  std::string hottest_item;                  ///< the one that the orders want most units of
};

/// The sample says what is looked at, not what is bought: these are assumptions. They are far above what shops report
/// (about one session in thirty orders), and stock is small, so that orders compete and some are refused.
struct habits {
  double into_cart = 0.3; ///< of an item at its first view
  double orders = 0.7;    ///< of a shopper with something in the cart
  double reviews = 0.1;   ///< of an item at its first view
  std::int64_t units_max = 3;
  std::int64_t stock_max = 12;
};

/// The same visits and seed give the same plan.
shop_plan plan_shopping(const std::vector<visit>& visits, std::uint64_t seed, const habits& assumed = {});

} // namespace shop
