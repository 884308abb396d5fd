#include "actors/node_clock.hpp"

#include <algorithm>
#include <ctime>

namespace troupe {

instant boot_clock::now() const noexcept {
  timespec t{};
  clock_gettime(CLOCK_BOOTTIME, &t);
  return instant{std::chrono::seconds{t.tv_sec} + nanoseconds{t.tv_nsec}};
}

nanoseconds boot_clock::until(instant at) const noexcept {
  if (at == never) return nanoseconds::max();
  const auto time = now();
  return at <= time ? nanoseconds{0} : at - time; // instant::min(), at once, cannot be subtracted from
}

std::uint64_t boot_clock::wall_ms() const noexcept {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  const auto since_1970 = std::chrono::seconds{t.tv_sec} + nanoseconds{t.tv_nsec};
  return static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(since_1970).count());
}

} // namespace troupe
