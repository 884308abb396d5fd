/// The keys of a measurement, and which of them is asked for next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace troupe::bench {

/// Data type of every key.
inline constexpr const char* key_type = "bench";
/// Of every value.
inline constexpr std::size_t value_bytes = 100;

std::string key_name(std::uint64_t n);

/// Keys of unequal popularity: that of rank r is asked for in proportion to 1 / r^skew.
class key_space {
public:
  /// @param skew  0 = all alike.
  key_space(std::size_t keys, double skew);

  std::size_t size() const { return names_.size(); }
  const std::string& name(std::size_t key) const { return names_[key]; }
  std::uint32_t draw(std::mt19937_64& random) const;

private:
  std::vector<std::string> names_;
  std::vector<double> up_to_; ///< by rank: the chance of it or a more popular one
};

} // namespace troupe::bench
