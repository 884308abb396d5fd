/// Hashes of a lane's records: per shard a row of leaves, and a root over them. Two replicas whose records are the
/// state of the same updates have the same ones. Part of the stream replica.
#pragma once

#include "protocol/cluster.hpp"
#include "protocol/digest.hpp"
#include "protocol/ids.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <vector>

namespace troupe {

class hash_tree {
public:
  struct leaf {
    std::uint64_t hash = 0;   ///< xor of those of its records
    std::uint64_t writes = 0; ///< since the start: equal numbers, and nothing has changed in between
    friend bool operator==(const leaf&, const leaf&) = default;
  };

  /// The same everywhere: it depends on the cluster's shape alone. All shards together have about 65,536 leaves.
  explicit hash_tree(std::uint32_t shards)
      : leaves_{std::clamp<std::size_t>(std::size_t{65'536} / std::max(shards, 1U), 1, 1'024)} {}

  std::size_t leaves() const { return leaves_; }
  std::size_t leaf_of(std::string_view key) const {
    digest d;
    d << key;
    return d.value() % leaves_;
  }
  leaf at(shard_id shard, std::size_t which) const {
    const auto row = rows_.find(shard);
    return row == rows_.end() ? leaf{} : row->second[which];
  }
  /// All leaves of a shard; none = they are all 0.
  std::span<const leaf> row(shard_id shard) const {
    const auto found = rows_.find(shard);
    return found == rows_.end() ? std::span<const leaf>{} : std::span<const leaf>{found->second};
  }
  /// Never 0.
  std::uint64_t root(shard_id shard) const {
    digest d;
    for (const auto& l : row(shard))
      d << l.hash;
    return std::max<std::uint64_t>(rows_.contains(shard) ? d.value() : digest{}.value(), 1);
  }
  /// A record with that hash has another one now; 0 = there is none.
  void change(shard_id shard, std::size_t which, std::uint64_t before, std::uint64_t now) {
    auto& l = of(shard)[which];
    l.hash ^= before ^ now;
    ++l.writes;
  }
  void set(shard_id shard, std::size_t which, std::uint64_t hash) {
    auto& l = of(shard)[which];
    l.hash = hash;
    ++l.writes;
  }

private:
  std::vector<leaf>& of(shard_id shard) {
    auto& row = rows_[shard];
    if (row.empty()) row.resize(leaves_);
    return row;
  }

  std::size_t leaves_;
  std::map<shard_id, std::vector<leaf>> rows_;
};

} // namespace troupe
