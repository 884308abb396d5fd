/// How many seeds a randomized test runs: more when the environment asks for it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace troupe::test {

/// TROUPE_SEEDS when it is set and a number above zero, else `usual`.
inline std::uint64_t seeds(std::uint64_t usual) {
  const char* asked = std::getenv("TROUPE_SEEDS");
  const auto n = asked == nullptr ? 0 : std::strtoull(asked, nullptr, 10);
  return n > 0 ? n : usual;
}

/// The same for a test of which each seed is long: a tenth of them, three at least, where a sanitizer slows it down.
inline std::uint64_t long_seeds(std::uint64_t usual) {
#ifdef __SANITIZE_ADDRESS__
  return std::max<std::uint64_t>(seeds(usual) / 10, 3);
#else
  return seeds(usual);
#endif
}

} // namespace troupe::test
