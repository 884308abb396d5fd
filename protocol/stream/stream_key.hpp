/// One key in the memory of the stream replica.
#pragma once

#include "protocol/cluster.hpp"
#include "protocol/stream/siblings.hpp"
#include "protocol/stream/staging.hpp"

#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

struct stream_key {
  enum class bytes : std::uint8_t {
    unread,  ///< not asked for
    loading, ///< the store is reading them
    here,
  };

  std::string key; ///< as stored
  shard_id shard;
  stream_lane lane = stream_lane::ordered;
  const data_type* type = nullptr;

  bytes record = bytes::unread;
  std::uint64_t hash =
      0;                ///< of the record as it was handed to the store last, see hash_of(); 0 = none, or unreadable
  bool damaged = false; ///< what is in the store is not whole: nothing is answered from it
  std::size_t copying = 0; ///< pages that hold a copy of it, and wait for its record
  bool withdrawn = false;  ///< from the node's table, while its lane was closed

  /// The state as it is shown: folded and visible updates. Valid when `record` is here.
  sibling_set visible;
  /// Folded only; none = the same as visible.
  std::optional<sibling_set> base;
  /// Visible, and this node's own that are not; none = the same as visible.
  std::optional<sibling_set> latest;
  std::size_t own_hidden = 0; ///< own updates of the running life that are not visible
  bool changed = false;       ///< stands in the list of those to be published
  bool folding = false;       ///< likewise, of those that are being folded

  std::vector<staged_update*> unfolded; ///< in the order of their arrival
  std::deque<std::uint64_t> waiting;    ///< operations that wait for the record

  /// Writes of its record that are on their way to the disk: until they are there a load might find an older one.
  std::size_t unsynced = 0;

  std::size_t counted_bytes = 0;                        ///< what the cache counts for it
  std::optional<std::list<stream_key*>::iterator> idle; ///< its place among those that may be dropped

  /// What an operation of this node sees first: for counters, which continue their own sum, and for single values.
  const sibling_set& newest() const { return latest ? *latest : visible; }
  bool pinned() const {
    return record == bytes::loading || !unfolded.empty() || !waiting.empty() || unsynced > 0 || copying > 0;
  }
};

} // namespace troupe
