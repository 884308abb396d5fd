#include "runtime/bench/key_space.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::bench {

namespace {

/// Spreads the ranks, because popular keys are no neighbours in memory: a prime, so that every key has one rank.
constexpr std::size_t stride = 7'919;

} // namespace

std::string key_name(std::uint64_t n) { return "key-" + std::to_string(n); }

key_space::key_space(std::size_t keys, double skew) {
  double sum = 0;
  for (std::size_t n = 0; n < keys; ++n) {
    names_.push_back(key_name(n));
    sum += std::pow(static_cast<double>(n + 1), -skew);
    up_to_.push_back(sum);
  }
  for (auto& chance : up_to_)
    chance /= sum;
}

std::uint32_t key_space::draw(std::mt19937_64& random) const {
  const auto chance = static_cast<double>(random() >> 11U) * 0x1p-53;
  const auto rank = static_cast<std::size_t>(std::upper_bound(up_to_.begin(), up_to_.end(), chance) - up_to_.begin());
  return static_cast<std::uint32_t>(std::min(rank, names_.size() - 1) * stride % names_.size());
}

} // namespace troupe::bench
