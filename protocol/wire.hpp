/// Between the value types of ids.hpp and their messages.
#pragma once

#include "protocol/ids.hpp"
#include "protocol/wire/frame.pb.h"
#include "protocol/wire/record.pb.h"
#include "protocol/wire/strong.pb.h"
#include "protocol/wire/weak_record.pb.h"

#include <string_view>

namespace troupe {

inline epoch from_wire(const v1::Epoch& e) {
  return {.round = e.round(), .node = {e.node()}, .life = {e.incarnation()}};
}
inline version from_wire(const v1::Version& v) {
  return {.era = {.round = v.round(), .node = {v.node()}, .life = {v.incarnation()}}, .counter = v.counter()};
}
inline lease_generation from_wire(const v1::Generation& g) { return {.era = from_wire(g.epoch()), .n = g.number()}; }
inline request_id from_wire(const v1::RequestId& id) { return {.session = {id.session()}, .number = id.number()}; }

inline void to_wire(const epoch& e, v1::Epoch& out) {
  out.set_round(e.round);
  out.set_node(e.node.value);
  out.set_incarnation(e.life.value);
}
inline void to_wire(const version& v, v1::Version& out) {
  out.set_round(v.era.round);
  out.set_node(v.era.node.value);
  out.set_incarnation(v.era.life.value);
  out.set_counter(v.counter);
}
inline void to_wire(const lease_generation& g, v1::Generation& out) {
  to_wire(g.era, *out.mutable_epoch());
  out.set_number(g.n);
}
inline void to_wire(const request_id& id, v1::RequestId& out) {
  out.set_session(id.session.value);
  out.set_number(id.number);
}

/// What a stored record's checksum is over.
struct record_view {
  shard_id shard;
  std::string_view key;
  ballot accepted_in;
  version number;
  std::string_view bytes; ///< a serialized v1::Record
  bool tombstone = false; ///< v1::StoredRecord::tombstone
};
std::uint64_t checksum_of(const record_view& record);
std::uint64_t checksum_of(shard_id shard, const v1::StoredPromise& promise);
std::uint64_t checksum_of(const v1::StoreIdentity& identity);
/// Of bytes that a store keeps under a key of its own.
std::uint64_t checksum_of(std::string_view stored_under, std::string_view bytes);
/// The field `checksum` itself is left out.
std::uint64_t checksum_of(shard_id shard, std::string_view key, const v1::WeakRecord& record);
std::uint64_t checksum_of(const v1::Conflict& conflict);
std::uint64_t checksum_of(std::uint64_t connection, std::uint64_t number, std::string_view batch);

/// The name of an envelope's body, for logs: "accept"; "empty" when it has none that this build knows.
std::string_view name_of(const v1::Envelope& envelope);

} // namespace troupe
