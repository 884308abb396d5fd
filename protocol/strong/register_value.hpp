/// What one operation does to one record: the sequential meaning of every strong operation, in one place.
#pragma once

#include "protocol/ids.hpp"
#include "protocol/wire/record.pb.h"
#include "protocol/wire/strong.pb.h"

namespace troupe {

/// Applies an operation on a value to `record`: value and tombstone change when the condition holds, nothing else
/// ever does. A named lock has no value, and none can be stored in its place.
///
/// A record that was never written, or is a tombstone, is absent; an absent number counts as 0.
/// @return the answer, without `version`; `changed` says whether the record did.
/// @errors in result.error: not_a_number, out_of_range, invalid_argument, wrong_kind (all not done, nothing
/// changed).
struct applied {
  v1::Result result;
  bool changed = false;
};
applied apply(const v1::Operation& operation, v1::Record& record, bool exists);

/// Whether a key whose committed record is `record`, of version `number`, has a value.
inline bool exists(const v1::Record& record, const version& number) {
  return static_cast<bool>(number) && !record.tombstone() && !record.has_lock() && !record.has_floor();
}

/// Whether the record says that there is no value, and nothing else. What was once a lock or a floor stays one.
inline bool is_tombstone(const v1::Record& record) {
  return record.tombstone() && !record.has_lock() && !record.has_floor();
}

/// Finds what `id` was answered; nullptr when the record does not remember it.
const v1::Settled* find_settled(const v1::Record& record, const request_id& id);

/// Remembers the outcome of `id`, written by `at`. Drops the oldest entries above `kept`, and raises `evicted` over
/// them.
void settle(v1::Record& record, const request_id& id, const v1::Result& result, const version& at, std::size_t kept);

} // namespace troupe
