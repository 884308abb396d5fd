#include "examples/ecommerce/tally.hpp"

#include <algorithm>

namespace shop {

void tally::failed(const troupe::error& why) {
  const std::lock_guard lock{mutex_};
  ++failures_[static_cast<std::uint8_t>(why.code())];
}

void tally::observed(bool as_promised, const std::string& what) {
  const std::lock_guard lock{mutex_};
  ++seen_.made;
  if (as_promised) return;
  ++seen_.broken;
  if (broken_.size() < broken_max) broken_.push_back(what);
}

std::optional<latency> latency_of(std::vector<std::chrono::microseconds> took) {
  if (took.empty()) return std::nullopt;
  std::sort(took.begin(), took.end());
  auto quantile = [&](std::size_t percent) { return took[(took.size() - 1) * percent / 100]; };
  return latency{quantile(50), quantile(99)};
}

std::vector<std::string> tally::failures() const {
  const std::lock_guard lock{mutex_};
  std::vector<std::string> all;
  for (std::size_t code = 0; code < failures_.size(); ++code)
    if (failures_[code] > 0)
      all.push_back(std::string{troupe::name_of(static_cast<troupe::errc>(code))} + ": "
                    + std::to_string(failures_[code]));
  return all;
}

} // namespace shop
