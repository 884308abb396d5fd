/// XXH3-64 over a sequence of fields: what checksums and hashes of records are made of.
#pragma once

#include "protocol/ids.hpp"

#include <cstdint>
#include <string_view>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace troupe {

/// Fields are preceded by their length or of fixed size, so that no two sequences of fields collide.
class digest {
public:
  digest() { XXH3_64bits_reset(&state_); }
  digest& operator<<(std::uint64_t x) {
    XXH3_64bits_update(&state_, &x, sizeof x);
    return *this;
  }
  digest& operator<<(std::string_view s) {
    *this << std::uint64_t{s.size()};
    XXH3_64bits_update(&state_, s.data(), s.size());
    return *this;
  }
  digest& operator<<(const epoch& e) { return *this << e.round << std::uint64_t{e.node.value} << e.life.value; }
  std::uint64_t value() const { return XXH3_64bits_digest(&state_); }

private:
  XXH3_state_t state_;
};

} // namespace troupe
