#include "runtime/bench/figure.hpp"

#include <algorithm>
#include <cstddef>

namespace troupe::bench {

double figure::median() const {
  if (rounds.empty()) return 0;
  auto sorted = rounds;
  std::sort(sorted.begin(), sorted.end());
  const auto middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

double figure::min() const { return rounds.empty() ? 0 : *std::min_element(rounds.begin(), rounds.end()); }

double figure::max() const { return rounds.empty() ? 0 : *std::max_element(rounds.begin(), rounds.end()); }

std::string whole(double x) {
  auto digits = std::to_string(static_cast<long long>(x + 0.5));
  for (auto i = static_cast<std::ptrdiff_t>(digits.size()) - 3; i > 0; i -= 3)
    digits.insert(static_cast<std::size_t>(i), ",");
  return digits;
}

} // namespace troupe::bench
