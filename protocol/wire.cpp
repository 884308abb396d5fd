#include "protocol/wire.hpp"

#include "protocol/digest.hpp"

namespace troupe {

namespace {

digest& operator<<(digest& d, const v1::OriginSeq& e) { return d << std::uint64_t{e.node()} << e.life() << e.seq(); }

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

std::uint64_t checksum_of(shard_id shard, std::string_view key, const v1::WeakRecord& record) {
  digest d;
  d << shard.value << key << static_cast<std::uint64_t>(record.siblings_size());
  for (const auto& s : record.siblings())
    d << std::uint64_t{s.node()} << s.life() << s.seq() << s.clock() << static_cast<std::uint64_t>(s.kind())
      << s.field() << s.value() << static_cast<std::uint64_t>(s.number())
      << static_cast<std::uint64_t>(s.decrements());
  d << static_cast<std::uint64_t>(record.excess_size());
  for (const auto& e : record.excess()) {
    d << e.field() << static_cast<std::uint64_t>(e.vector().entries_size());
    for (const auto& entry : e.vector().entries())
      d << entry;
  }
  return d.value();
}

std::uint64_t checksum_of(const v1::Conflict& c) {
  digest d;
  d << static_cast<std::uint64_t>(c.lane()) << c.at() << c.key() << c.field() << c.value() << c.clock() << c.winner()
    << c.seen_at_ms() << c.number();
  return d.value();
}

std::uint64_t checksum_of(std::uint64_t connection, std::uint64_t number, std::string_view batch) {
  return (digest() << connection << number << batch).value();
}

std::string_view name_of(const v1::Envelope& envelope) {
  const auto* field = v1::Envelope::descriptor()->FindFieldByNumber(static_cast<int>(envelope.body_case()));
  return field != nullptr ? std::string_view{field->name()} : "empty";
}

} // namespace troupe
