#include "examples/ecommerce/plan.hpp"

#include <algorithm>
#include <random>
#include <set>

namespace shop {

namespace {

shopper_plan plan_of(const visit& one, std::mt19937_64& random, const habits& assumed) {
  std::bernoulli_distribution takes{assumed.into_cart};
  std::bernoulli_distribution orders{assumed.orders};
  std::bernoulli_distribution reviews{assumed.reviews};
  std::uniform_int_distribution<std::int64_t> units{1, assumed.units_max};
  shopper_plan plan{one.id, {}, false};
  std::set<std::string> seen;
  bool has_cart = false;
  std::chrono::milliseconds before{0};
  for (const auto& v : one.views) {
    const bool first = seen.insert(v.item).second;
    const bool puts = first && takes(random);
    has_cart = has_cart || puts;
    plan.steps.push_back({v.at - before, v.item, puts ? units(random) : 0, first && reviews(random)});
    before = v.at;
  }
  plan.orders = has_cart && orders(random);
  return plan;
}

} // namespace

shop_plan plan_shopping(const std::vector<visit>& visits, std::uint64_t seed, const habits& assumed) {
  std::mt19937_64 random{seed};
  shop_plan plan;
  std::map<std::string, std::int64_t> wanted; // by shoppers who order, else 0
  for (const auto& one : visits) {
    plan.shoppers.push_back(plan_of(one, random, assumed));
    for (const auto& s : plan.shoppers.back().steps)
      wanted[s.item] += plan.shoppers.back().orders ? s.into_cart : 0;
  }
  std::uniform_int_distribution<std::int64_t> stock{1, assumed.stock_max};
  for (const auto& [item, units] : wanted)
    plan.stock[item] = stock(random);
  const auto hottest = std::max_element(wanted.begin(), wanted.end(),
                                        [](const auto& a, const auto& b) { return a.second < b.second; });
  if (hottest != wanted.end()) plan.hottest_item = hottest->first;
  return plan;
}

} // namespace shop
