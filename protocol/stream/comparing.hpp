/// What a stream replica compares with its like (anti-entropy): whether their records agree, shard after shard. Part
/// of the stream replica; what follows from it is decided in stream_replica_comparing.cpp.
///
/// Two replicas hardly ever hold the state of the same updates at the same moment, so that their hashes differ says
/// little. But be a leaf unchanged at the one from `mine` to `mine'`, at the other from `theirs` to `theirs'`, and
/// let `mine'` contain `theirs` and `theirs'` contain `mine`. Then both have shown in it, unchanged, the state as of
/// the join of `mine` and `theirs`, which is one: and when their hashes differ, one of both has lost something.
#pragma once

#include "protocol/effects.hpp"
#include "protocol/ids.hpp"
#include "protocol/stream/copying.hpp"
#include "protocol/stream/hash_tree.hpp"
#include "protocol/version_vector.hpp"
#include "protocol/wire/copy.pb.h"

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

namespace troupe {

using leaf_place = std::tuple<stream_lane, shard_id, std::size_t>;

/// Reading all records of a shard, of both lanes: which of them cannot be read, and whether they are what the hash
/// tree says was written. What does not fit is read a second time, for its keys.
struct scrub {
  shard_id shard;
  std::uint64_t cookie = 0; ///< of the page that is being read; 0 = none is
  std::string after;
  bool begun = false, again_for_keys = false;
  std::map<std::pair<stream_lane, std::size_t>, std::uint64_t> found; ///< hashes of leaves, as they were read
  std::set<std::pair<stream_lane, std::size_t>> written;              ///< since it began: nothing is said of these
  std::set<std::pair<stream_lane, std::size_t>> unreadable;           ///< have damaged records
  instant again = instant::min();                                     ///< the next page not before
};

/// One lane of one shard, with one other replica.
struct comparison {
  node_id with;
  stream_lane lane = stream_lane::ordered;
  shard_id shard;
  v1::TreeAsked open;           ///< number 0 = no question is
  instant asked, again = never; ///< the next look not before
  unsigned looks = 0;           ///< that were answered
  version_vector mine, theirs;  ///< folded, at the first look
  std::uint64_t their_life = 0;
  struct suspect {
    std::size_t leaf = 0;
    hash_tree::leaf mine, theirs;
  };
  std::deque<suspect> suspects; ///< leaves that differ; after the second look: for certain

  /// Of the first of them.
  copy_question page;
  std::string after;                ///< key
  std::set<std::string> seen;       ///< there
  std::optional<v1::CopyTold> told; ///< the records here that it concerns are being read
};

struct comparing {
  std::optional<scrub> scrubbing;
  std::optional<comparison> with;
  std::deque<std::pair<stream_lane, shard_id>> due; ///< scrubbed, to be compared
  /// Leaves that are not what was written to them, with the keys that are in them: others have it right.
  std::map<leaf_place, std::set<std::string>> doubted;
  std::set<leaf_place> mended; ///< and then what the next scrub finds in them is
  instant next = never;        ///< when the next shard's turn is
  std::size_t turn = 0;        ///< which one's
  std::uint64_t last_number = 0;
};

} // namespace troupe
