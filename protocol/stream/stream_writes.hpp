/// What the update streams keep in a node's store, beside what the strong types keep there.
///
/// A log per (origin, lane) that holds every update, the node's own and received ones, until it is part of a record
/// and nobody needs it for somebody else; a record per key; and marks: small named values, what is known beside them.
#pragma once

#include "protocol/version_vector.hpp"
#include "protocol/wire/stream.pb.h"
#include "protocol/wire/weak_record.pb.h"

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace troupe {

/// One more entry of a log, under the update's own seq.
struct update_write {
  origin from;
  stream_lane lane = stream_lane::ordered;
  v1::Update update;
};

/// All entries of a log up to here to be removed.
struct updates_erase {
  origin from;
  stream_lane lane = stream_lane::ordered;
  std::uint64_t upto = 0;
};

/// A record to be stored over whatever stands under its key. The checksum is set by who makes the write; updates and
/// marks get theirs from the store.
struct weak_write {
  shard_id shard;
  std::string key;
  v1::WeakRecord record;
};

struct weak_erase {
  shard_id shard;
  std::string key;
};

/// A small value under a name; an empty one removes it.
struct mark_write {
  std::string name;
  std::string value;
};

using stream_write = std::variant<update_write, updates_erase, weak_write, weak_erase, mark_write>;

/// What a store held when it was opened, as far as it fits in memory: the logs are replayed in pages.
struct stream_image {
  /// One log that has entries.
  struct extent {
    origin from;
    stream_lane lane = stream_lane::ordered;
    std::uint64_t first = 0; ///< of the entries that are there; 1 and up
    std::uint64_t last = 0;
  };
  std::map<std::string, std::string> marks;
  std::vector<extent> logs; ///< sorted by (origin, lane)
};

/// Where a replay, or a stream that catches up, goes on to read a log.
struct updates_request {
  origin from;
  stream_lane lane = stream_lane::ordered;
  std::uint64_t after = 0;   ///< entries above it
  std::size_t bytes_max = 0; ///< at least one entry is returned, if there is one
};

struct updates_page {
  std::vector<v1::Update> updates; ///< by seq
  bool more = false;               ///< there are entries above the last one here
  std::uint64_t damaged = 0; ///< seq of an entry that cannot be read: whoever goes on does so above it; 0 = none
};

} // namespace troupe
