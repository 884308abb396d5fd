/// Versions of keys, which are also the fencing tokens of named locks.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace troupe {

/// Which write of a key a value comes from. Versions of one key grow with its writes; of two keys they say nothing.
class key_version {
public:
  key_version() = default; ///< of a key that was never written
  key_version(std::uint64_t round, std::uint32_t node, std::uint64_t life, std::uint64_t counter)
      : round_(round), incarnation_(life), counter_(counter), node_(node) {}

  friend bool operator==(const key_version&, const key_version&) = default;
  friend std::strong_ordering operator<=>(const key_version& a, const key_version& b) noexcept;
  /// "7.2.1.42", as HTTP spells tokens and ETags.
  friend std::string to_string(const key_version& v);

private:
  std::uint64_t round_ = 0;
  std::uint64_t incarnation_ = 0;
  std::uint64_t counter_ = 0;
  std::uint32_t node_ = 0;
};

} // namespace troupe
