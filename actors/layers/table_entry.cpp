#include "actors/layers/table_entry.hpp"

#include "protocol/assert.hpp"

#include <cstring>
#include <limits>
#include <new>

namespace troupe {

table_entry* table_entry::create(const description& from, lease_term& term) {
  TROUPE_ASSERT(from.key.size() <= std::numeric_limits<decltype(key_bytes_)>::max());
  TROUPE_ASSERT(from.value.size() <= std::numeric_limits<decltype(value_bytes_)>::max());
  return new (::operator new(sizeof(table_entry) + from.key.size() + from.value.size())) table_entry{from, term};
}

table_entry::table_entry(const description& from, lease_term& term)
    : value_bytes_{static_cast<std::uint32_t>(from.value.size())},
      key_bytes_{static_cast<std::uint16_t>(from.key.size())},
      what_{from.what},
      readable_{from.readable},
      hash_{from.hash},
      term_{term},
      at_{from.at} {
  auto* behind = reinterpret_cast<char*>(this + 1);
  // An empty view may have no address, which memcpy must not be given.
  if (!from.key.empty()) std::memcpy(behind, from.key.data(), from.key.size());
  if (!from.value.empty()) std::memcpy(behind + from.key.size(), from.value.data(), from.value.size());
}

void table_entry::drop_reference() const noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  this->~table_entry();
  ::operator delete(const_cast<table_entry*>(this));
}

} // namespace troupe
