/// How many seeds a randomized test runs: more when the environment asks for it.
#pragma once

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

} // namespace troupe::test
