/// Version vectors: per origin, a sequence number up to which everything is meant (PROTOCOLS §4).
///
/// A vector is a frontier ("received up to here"), a set of dependencies ("needs all of this"), a token or the
/// context of a write: one type for all, because all of them are compared by containment and merged by the join.
/// It speaks of one lane; which one, its owner says.
#pragma once

#include "protocol/ids.hpp"
#include "protocol/wire/stream.pb.h"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace troupe {

/// The two lanes of a node's updates, each with its own sequence: neither holds up the other.
enum class stream_lane : std::uint8_t {
  ordered, ///< of causal and session types: dependencies and tokens speak of these only
  free,    ///< of eventual types
};
inline constexpr std::size_t stream_lanes = 2;

class version_vector {
public:
  /// One entry per origin that it says anything of; absent = 0.
  struct entry {
    origin from;
    std::uint64_t seq = 0; ///< 1 and up
    friend constexpr bool operator==(const entry&, const entry&) = default;
  };

  version_vector() = default;
  version_vector(std::initializer_list<entry> entries);

  std::uint64_t at(const origin& from) const;
  bool covers(const dot& d) const { return d.seq <= at(d.from); }
  /// Every entry of `other` is at or below the one here.
  bool contains(const version_vector& other) const;

  /// Raises the entry of an origin; a lower or equal `seq` changes nothing. @return whether it was raised.
  bool raise(const origin& from, std::uint64_t seq);
  bool raise(const dot& d) { return raise(d.from, d.seq); }
  /// Least upper bound, into this one. @return whether anything was raised.
  bool join(const version_vector& other);
  /// Greatest lower bound, into this one: an origin that `other` says nothing of is dropped.
  void meet(const version_vector& other);
  /// Drops the entries that `base` covers: what is left is what `base` lacks.
  void forget(const version_vector& base);
  /// Drops what is said of one origin.
  void erase(const origin& from);

  /// Sorted by origin.
  const std::vector<entry>& entries() const { return entries_; }
  std::size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  friend bool operator==(const version_vector&, const version_vector&) = default;

private:
  std::vector<entry> entries_; ///< sorted by origin; no seq is 0
};

/// The first entry of `wanted` that `have` does not reach; seq 0 = it has all.
dot first_missing(const version_vector& have, const version_vector& wanted);

/// "n1.2:17 n3.1:4"; "-" when empty.
std::string to_string(const version_vector& v);
std::string to_string(const origin& from);
std::string to_string(const dot& d);
std::string_view name_of(stream_lane lane);

/// Entries that are unsorted, repeated or 0 are taken as their join: any message is some vector.
version_vector from_wire(const v1::Vector& v);
dot from_wire(const v1::OriginSeq& d);
void to_wire(const version_vector& v, v1::Vector& out); ///< replaces what is there
void to_wire(const dot& d, v1::OriginSeq& out);

} // namespace troupe
