#include "protocol/check/state_set.hpp"

#include <algorithm>
#include <utility>

namespace troupe::check {

namespace {

std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  hash ^= word;
  hash *= 0x9E37'79B9'7F4A'7C15U;
  return hash ^ (hash >> 32);
}

} // namespace

bool state_set::insert(const std::vector<std::uint64_t>& key) {
  if ((taken_ + 1) * 3 > slots_.size() * 2) grow();
  std::uint64_t hash = key.size();
  for (const auto word : key)
    hash = mix(hash, word);
  const auto mask = slots_.size() - 1;
  for (auto i = hash & mask;; i = (i + 1) & mask) {
    auto& entry = slots_[i];
    if (entry.begin == 0) {
      entry = {.hash = hash, .begin = keys_.size() + 1};
      keys_.push_back(key.size());
      keys_.insert(keys_.end(), key.begin(), key.end());
      ++taken_;
      return true;
    }
    const auto* stored = keys_.data() + (entry.begin - 1);
    if (entry.hash == hash && *stored == key.size() && std::equal(key.begin(), key.end(), stored + 1)) return false;
  }
}

void state_set::grow() {
  std::vector<slot> larger(std::max<std::size_t>(64, slots_.size() * 2));
  const auto mask = larger.size() - 1;
  for (const auto& entry : slots_) {
    if (entry.begin == 0) continue;
    auto i = entry.hash & mask;
    while (larger[i].begin != 0)
      i = (i + 1) & mask;
    larger[i] = entry;
  }
  slots_ = std::move(larger);
}

} // namespace troupe::check
