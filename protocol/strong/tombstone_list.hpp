/// Which records of a replica are tombstones, as far as it knows: what the home on its node may want to collect.
///
/// Hints, and no more: one that is wrong costs a touch. Learnt from what is stored and read, and by looking through
/// the store, page by page, as the homes ask: once, and again after something had to be forgotten for want of room.
#pragma once

#include "protocol/ids.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

class tombstone_list {
public:
  struct entry {
    std::string key;
    ballot accepted_in;
  };
  struct page {
    std::vector<std::string> keys; ///< ascending
    std::string next;              ///< go on after this one; empty = there are no more
    std::uint64_t unripe = 0;      ///< of the whole shard, accepted in the asker's epoch or above
  };

  explicit tombstone_list(std::size_t bytes_max) : bytes_max_{bytes_max} {}

  /// Forgotten when there is no room.
  void add(shard_id shard, const entry& tombstone);
  void remove(shard_id shard, const std::string& key);

  /// Up to `keys_max` tombstones of the shard above `after` that were accepted below `era`.
  /// @cost  looks at no more than a few times `keys_max`: a page may be empty and not the last one.
  page list(shard_id shard, const epoch& era, const std::string& after, std::size_t keys_max) const;

  /// After which key to look through the store for more; nothing = not now. Ended by end_scan().
  std::optional<std::string> begin_scan(shard_id shard);
  /// `next` empty = the shard was looked through.
  void end_scan(shard_id shard, const std::string& next);

  std::size_t size() const { return size_; }

private:
  struct known {
    std::map<std::string, ballot> keys;
    std::map<ballot, std::uint64_t> by_ballot; ///< how many of them; none has 0
    enum class scan : std::uint8_t { due, running, done } scanned = scan::due;
    std::string scan_after; ///< due: where to go on
    bool forgot = false;    ///< one that there was no room for, since the scan began
  };
  void uncount(known& shard, std::map<std::string, ballot>::iterator i);

  std::size_t bytes_max_;
  std::size_t bytes_ = 0, size_ = 0;
  std::map<shard_id, known> shards_;
};

} // namespace troupe
