/// What a stream replica copies from its like, and what it has been asked for. Part of the stream replica; what
/// becomes of the records is decided in stream_replica_copies.cpp.
///
/// A page of records says two vectors: what they contain for certain, and what they may contain. They are read from
/// the source's disk while it goes on, so the two differ. What lies between them comes by the streams as well, and is
/// told apart there: until all of it is folded here too, a copied record may show what never was a state of the
/// source.
#pragma once

#include "protocol/effects.hpp"
#include "protocol/ids.hpp"
#include "protocol/version_vector.hpp"
#include "protocol/wire/copy.pb.h"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace troupe {

/// A question that is under way; it keeps its number until it is answered or given up.
struct copy_question {
  v1::CopyAsked what; ///< number 0 = none is
  instant asked;
  unsigned times = 0;
  bool is_open() const { return what.number() != 0; }
  bool is_answered_by(const v1::CopyTold& told) const {
    return is_open() && told.question().SerializeAsString() == what.SerializeAsString();
  }
};

/// All records of a lane that this node and one other store, shard by shard.
struct copy_run {
  node_id from;
  stream_lane lane = stream_lane::ordered;
  std::vector<shard_id> shards; ///< that both store
  bool all_shards = false;      ///< of this node
  version_vector offered;       ///< of the source's lives: what no log holds

  std::size_t at_shard = 0;
  std::string after; ///< key; of that shard
  node_id asking;    ///< who has the open question: the source, or who else may have what it has not
  copy_question open;
  instant asked = instant::min();   ///< the last page
  std::optional<v1::CopyTold> page; ///< came; the records here that it concerns are being read
  bool storing = false;             ///< it is on its way to the disk
  bool complete = false;            ///< all pages are on the disk

  std::optional<version_vector> folded; ///< in every page
  version_vector reached;               ///< in any page

  /// Stored keys that cannot be read at the source: everybody is asked for them, a few times.
  std::deque<std::string> lacking;
  std::deque<std::string> unfound; ///< those whose turn has passed in vain
  std::size_t turn = 0;            ///< whom to ask for the first of them
  unsigned rounds = 0;
  instant again = instant::min(); ///< not before
};

/// Reading again, from somebody who has it, the record of a key that is damaged here. One at a time.
struct copy_mending {
  std::string key;      ///< stored key; empty = the first one is next
  std::size_t turn = 0; ///< whom to ask next for it, of those who store it
  node_id from;         ///< who is being asked
  copy_question open;
  instant again = instant::min(); ///< not before
};

struct copying {
  /// By (source, lane, life): the last of that life's updates that no log holds.
  std::map<std::tuple<node_id, stream_lane, std::uint64_t>, std::uint64_t> offers;
  std::optional<copy_run> run; ///< one at a time
  /// Broken off: the source went away, or does not answer. What they have copied counts when they go on.
  std::map<std::pair<node_id, stream_lane>, copy_run> parked;
  copy_mending mending;
  std::uint64_t last_number = 0;

  std::set<node_id> away; ///< not connected
  struct back_off {
    nanoseconds wait{0};
    instant until = instant::min();
  };
  /// Nothing is copied from them for a while: they do not answer, or not so that it helps or can be understood.
  std::map<node_id, back_off> avoided;
  struct {
    nanoseconds wait{0};
    instant at = never;
  } while_closed;       ///< the lane was not opened by what was copied: somebody else is asked then
  std::size_t turn = 0; ///< who

  /// A question of another node: the answer to its read of this node's store. The newest of each kind.
  struct reading {
    std::uint64_t cookie = 0;
    v1::CopyAsked question;
    version_vector folded;                      ///< on disk when the read was asked for
    v1::Leaf leaf;                              ///< then, if it is about one
    std::optional<version_vector> partial = {}; ///< then, of one key that is not whole: what its record contains
  };
  enum class kind : std::uint8_t { page, key, leaf };
  std::map<std::pair<node_id, kind>, reading> readings; ///< by (who asked, what)
  std::uint64_t last_cookie = 0;
  /// Nodes that copy from this one go on by the stream from there: the log is kept for them, for a while.
  struct keeping {
    version_vector from;
    instant until = instant::min();
  };
  std::map<std::pair<node_id, stream_lane>, keeping> kept_for;
};

} // namespace troupe
