#include "protocol/stamp.hpp"

#include <algorithm>
#include <limits>

namespace troupe {

namespace {

constexpr std::uint64_t clock_max = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t wall_ms_max = clock_max >> 16;

constexpr std::uint64_t clock_at(std::uint64_t wall_ms) { return std::min(wall_ms, wall_ms_max) << 16; }

} // namespace

std::string to_string(const stamp& s) {
  return std::to_string(s.wall_ms()) + "." + std::to_string(s.counter()) + "@" + std::to_string(s.origin.value);
}

std::optional<stamp> stamp_clock::next(std::uint64_t wall_ms, effects& out) {
  if (last_ == clock_max) return std::nullopt;
  const auto clock = std::max(clock_at(wall_ms), last_ + 1);
  // Asked for at half of the way, so that a node in use never waits for the store.
  const auto ahead = ceiling_ahead_ms << 16;
  const auto wanted = clock > clock_max - ahead ? clock_max : clock + ahead;
  if (std::max(durable_, asked_) < wanted - std::min(ahead / 2, wanted - clock)) {
    asked_ = wanted;
    out.emplace_back(persist_ceiling{wanted});
  }
  if (clock > durable_) return std::nullopt;
  last_ = clock;
  return stamp{clock, origin_};
}

void stamp_clock::saw(const stamp& s) { last_ = std::max(last_, s.clock); }

void stamp_clock::ceiling_durable(std::uint64_t clock) { durable_ = std::max(durable_, clock); }

std::uint64_t stamp_clock::ahead_ms(std::uint64_t wall_ms) const {
  const auto mine = last_ >> 16;
  return mine > wall_ms ? mine - wall_ms : 0;
}

} // namespace troupe
