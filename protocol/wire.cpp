#include "protocol/wire.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace troupe {

namespace {

/// XXH3-64 over fields, each preceded by its length or of fixed size, so that no two sequences of fields collide.
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

} // namespace

std::uint64_t checksum_of(const record_view& record) {
  digest d;
  d << record.shard.value << record.key << record.accepted_in << record.number.era << record.number.counter
    << record.bytes;
  if (record.tombstone) d << 1; // as the last field: what was stored before it was known stays right
  return d.value();
}

std::uint64_t checksum_of(shard_id shard, const v1::StoredPromise& promise) {
  digest d;
  d << shard.value << from_wire(promise.promised()) << promise.lease_ms_max();
  if (const auto evicted = from_wire(promise.evicted())) d << evicted.era << evicted.counter; // likewise
  return d.value();
}

std::uint64_t checksum_of(const v1::StoreIdentity& identity) {
  digest d;
  d << identity.format() << identity.cluster() << identity.node() << identity.disk() << identity.incarnation();
  for (const auto& peer : identity.peers())
    d << peer.node() << peer.disk();
  return d.value();
}

std::uint64_t checksum_of(std::string_view stored_under, std::string_view bytes) {
  return (digest() << stored_under << bytes).value();
}

std::uint64_t checksum_of(std::uint64_t connection, std::uint64_t number, std::string_view batch) {
  return (digest() << connection << number << batch).value();
}

std::string_view name_of(const v1::Envelope& envelope) {
  const auto* field = v1::Envelope::descriptor()->FindFieldByNumber(static_cast<int>(envelope.body_case()));
  return field != nullptr ? std::string_view{field->name()} : "empty";
}

} // namespace troupe
