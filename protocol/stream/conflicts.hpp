/// The conflict ledger of one node: values that it accepted and that lost against a concurrent update, so that a
/// person or a program may look at them, and write them again (PROTOCOLS §5: nothing is silently destroyed).
///
/// Only the node that accepted a value records that it lost: so each stands in one ledger of the cluster. What a
/// write replaced knowingly is no conflict. Bounded in entries and bytes: the oldest are evicted, and counted.
#pragma once

#include "protocol/stream/siblings.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// The update that lost. Both lanes of an origin count from 1, so a dot alone names none.
struct conflict_id {
  stream_lane lane = stream_lane::ordered;
  dot at = {};
  friend constexpr auto operator<=>(const conflict_id&, const conflict_id&) = default;
};

/// "ordered/n1.2:17", which conflict_id_from() reads.
std::string to_string(const conflict_id& id);
std::optional<conflict_id> conflict_id_from(std::string_view text);

struct conflict {
  conflict_id id = {};
  std::string key = {}; ///< as stored: "type:key"
  std::string field = {};
  std::string value = {};
  stamp when = {};
  dot winner = {};
  std::uint64_t seen_at_ms = 0; ///< wall clock of the node, for people
  std::uint64_t number = 0;     ///< age: given by the ledger, 1 and up; the key under which a store may keep it
};

class conflict_ledger {
public:
  struct bounds {
    std::size_t entries_max = 10'000; ///< 1 and up
    std::size_t bytes_max = std::size_t{64} << 20;
  };
  explicit conflict_ledger(const bounds& b) : bounds_{b} {}

  struct recorded {
    std::uint64_t number = 0;           ///< of the new entry; 0 = there is one of that id, or there is no room at all
    std::vector<std::uint64_t> evicted; ///< numbers of those that had to go
  };
  /// Records a value that lost; the first time, when it loses several times.
  recorded record(conflict c);

  /// From the store, at start, in any order; `number` is kept. False: damaged, or of the same id or number as
  /// another.
  bool restore(conflict c);

  const conflict* find(const conflict_id& id) const;
  /// Newest first. `prefix` of the stored key.
  std::vector<const conflict*> list(std::string_view prefix, std::size_t max) const;
  /// Somebody has dealt with it. @return its number; 0 = there is none.
  std::uint64_t remove(const conflict_id& id);

  std::size_t size() const { return entries_.size(); }
  std::size_t bytes() const { return bytes_; }
  std::uint64_t evicted() const { return evicted_; } ///< since the start

private:
  void erase(std::map<std::uint64_t, conflict>::iterator i);
  void evict(std::vector<std::uint64_t>& numbers);

  bounds bounds_;
  std::map<std::uint64_t, conflict> entries_; ///< by number
  std::map<conflict_id, std::uint64_t> numbers_;
  std::size_t bytes_ = 0;
  std::uint64_t last_ = 0, evicted_ = 0;
};

/// With the checksum.
void to_wire(const conflict& c, v1::Conflict& out);
/// Nothing when it is damaged or malformed.
std::optional<conflict> from_wire(const v1::Conflict& c);

} // namespace troupe
