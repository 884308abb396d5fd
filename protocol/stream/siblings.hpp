/// The replicated state of one key of a weaker level: the set of its versions of which none replaces another, and
/// what was replaced before it arrived (PROTOCOLS §5).
///
///     siblings state;
///     state.merge(from, update, {.received = merged});    // then raise `merged` by the update's dot
///     state.collect_tombstones({.stable = s, .clock = c});
///     to_wire(state, record);
///
/// Every update names the updates that it replaces by a vector, its context: those of the same key whose dots that
/// covers; with a field, only those of the same field. Clocks are server-wide: a node's vector of what it has merged
/// is the context of all its keys, so a key keeps none of its own. The price is `excess`: a context may cover updates
/// that have not arrived here. It remembers them, per field, until they have.
///
/// The state is a function of the *set* of updates that were merged, whatever their order and however often each
/// arrived: that is invariant E1. How a caller sees it, a resolver says.
#pragma once

#include "protocol/stamp.hpp"
#include "protocol/version_vector.hpp"
#include "protocol/wire/weak_record.pb.h"

#include <troupe/errc.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe {

enum class sibling_kind : std::uint8_t { value, tombstone, counter };

/// One version of a key, or of one of its fields.
struct sibling {
  dot at = {};     ///< the update that wrote it
  stamp when = {}; ///< when.origin is at.from.node
  sibling_kind kind = sibling_kind::value;
  std::string field = {};      ///< of a map, or element of a set; empty = the whole key
  std::string value = {};      ///< kind value
  std::int64_t number = 0;     ///< kind counter: what this node has added so far, over all its lives
  std::int64_t decrements = 0; ///< kind counter: what it has taken away so far, as a positive number
  friend bool operator==(const sibling&, const sibling&) = default;
};

/// The last writer: the higher stamp; a lost disk may have given one out twice, then the higher life.
bool beats(const sibling& a, const sibling& b);

/// A value that lost against a concurrent update: what the conflict ledger of its origin's node keeps.
struct loser {
  dot at;
  stamp when;
  std::string field;
  std::string value;
  dot winner;
};

class sibling_set {
public:
  /// What of one origin's node a merge reports as lost.
  struct loser_list {
    node_id origin;           ///< this node: everybody records its own, so each is recorded once
    std::vector<loser>& lost; ///< appended to; at most one per field that the update concerns
  };

  /// What is merged here, gapless per origin, *before* the update in question: an update at or below it is a
  /// duplicate and changes nothing. A vector that is lower than the truth costs memory (excess) and nothing else; one
  /// that covers an update that was not merged destroys it.
  struct merge_view {
    const version_vector& received;
    loser_list* losers = nullptr; ///< only for types where the last writer wins (last_writer_wins, map)
  };
  struct merge_result {
    bool added = false;   ///< the update is one of the siblings now, and was not before
    bool changed = false; ///< anything of the state: it has to be stored
  };

  /// Merges an update of this key. Idempotent and commutative in any order of arrival: one that a context replaces
  /// that is known here is not added, and its own context takes effect all the same. A counter's update replaces that
  /// node's older one, and needs no context.
  ///
  /// Never refused for its size: that is the accepting replica's duty, see room_for().
  /// Malformed (no origin, seq 0, clock 0): nothing happens.
  /// @cost  O(siblings of the field), O(all) without a field; plus moving what stands behind.
  merge_result merge(const origin& from, const v1::Update& update, const merge_view& view);

  struct join_view {
    const version_vector& own;    ///< what this state had merged
    const version_vector& others; ///< what the other state had merged: taken with it in one step, or before it
    loser_list* losers = nullptr;
  };

  /// Anti-entropy: afterwards this is the state of the updates of both. A sibling that one side lacks although its
  /// vector covers it was replaced there. What the other side has merged beyond `own` becomes excess: it will come by
  /// its stream, and be dropped, unless it is a sibling.
  ///
  /// A record that was damaged or lost is not an empty state: join another's copy with `own` = {} instead, or
  /// everything in it would be taken for replaced; the copy of one, or the copies of several, that have merged what
  /// was merged here, or what they lack is gone. Counters, which nothing replaces, are repaired in either case.
  /// @return whether anything changed.
  bool join(const sibling_set& other, const join_view& view);

  /// Forgets excess at or below `received`: it has arrived, and was dropped. Needed before two replicas' encodings
  /// are compared; merge() does it for the field that it concerns.
  /// @return whether anything changed.
  bool prune(const version_vector& received);

  /// What has to hold for a tombstone to be forgotten.
  struct stability {
    /// Merged here and at every replica that the view counts.
    const version_vector& stable;
    /// Every update of any origin with a clock at or below this is at or below `stable`; and no origin will accept
    /// another one. (Min over origins of what Updates::clock stated at or below `stable`.)
    std::uint64_t clock = 0;
    /// A tombstone hides values with lower stamps: last_writer_wins and map. Not so for siblings and sets, where it
    /// has done its work once it was merged.
    bool hides = true;
  };
  struct collection {
    std::size_t collected = 0;
    std::size_t hiding = 0; ///< ripe, and kept because a concurrent value with a lower stamp is still there
  };

  /// Forgets tombstones that nobody needs any more (E3). A tombstone t goes exactly when
  ///  1. t is stable. What its context replaces is dropped wherever it comes to be, by `received`, and until that
  ///     covers it by excess, which outlives the tombstone: this is for those who lack `received`, a damaged copy or
  ///     a replica that starts anew, which may learn of the key from anybody that the view counts. And
  ///  2. t's clock is at or below the stable clock: no update with a lower stamp can arrive any more anywhere. So
  ///     every replica has also what t replaced, tombstones above all: one that copies records, and does not find the
  ///     key, lacks nothing of it. And, where tombstones hide,
  ///  3. no value with a lower stamp is among the siblings that it concerns: it would come back.
  /// So the view of the state is the same before and after, then and later; and the set that is left does not depend
  /// on when it was done. What 3. keeps goes when somebody writes the key; a replica that wants the room back writes
  /// a Remove of all that is there, as any client might.
  collection collect_tombstones(const stability& s);

  /// What an accepting replica checks before it numbers an update: whether the key may grow by it.
  ///
  /// An update is never refused that replaces something and weighs no more than that.
  /// @return  nothing: there is room. too_many_siblings: it replaces nothing, and siblings_max versions of the key
  /// (or
  ///   field) are there. value_too_large: it replaces nothing, and fields_max siblings are there in all; or fields
  ///   and values would be above value_bytes_max together, a fixed sum for each aside.
  std::optional<errc> room_for(const v1::Update& update) const;

  /// A copy with those siblings that `keep` takes. No way to go back in time: what was replaced is gone.
  template <class Predicate> sibling_set only(Predicate keep) const {
    sibling_set out;
    out.excess_ = excess_;
    for (const auto& s : entries_)
      if (keep(s)) out.append(s);
    return out;
  }

  /// Sorted by field, then dot.
  const std::vector<sibling>& entries() const { return entries_; }
  /// Those of one field; of "" those without field.
  std::span<const sibling> of(std::string_view field) const;
  const sibling* find(std::string_view field, const dot& at) const;
  /// What a node has contributed to a counter; null = nothing yet.
  const sibling* counter_of(node_id node) const;

  /// Raises `context` by what is known to be replaced, although it has not arrived: belongs into the context of a
  /// write of this field ("" = of the whole key).
  void excess_into(std::string_view field, version_vector& context) const;
  bool has_excess() const { return !excess_.empty(); }

  /// Nothing to store: as if the key had never been written.
  bool empty() const { return entries_.empty() && excess_.empty(); }
  /// Of fields and values, with a fixed sum for each sibling.
  std::size_t bytes() const { return bytes_; }
  /// The highest clock of any sibling; 0 = none.
  std::uint64_t clock() const;

  friend bool operator==(const sibling_set&, const sibling_set&) = default;

  /// Nothing when it is not canonical: unsorted, repeated, out of range. The checksum is the caller's to compare.
  friend std::optional<sibling_set> from_wire(const v1::WeakRecord& record);
  friend void to_wire(const sibling_set& state, v1::WeakRecord& out);

private:
  struct replaced {
    std::string field;
    version_vector vector; ///< not empty
    friend bool operator==(const replaced&, const replaced&) = default;
  };

  struct range {
    std::size_t begin = 0, end = 0;
  };

  void append(const sibling& s);
  bool insert(sibling&& s);
  void erase(std::size_t i);
  range range_of(std::string_view field) const;
  const sibling* best_of(std::string_view field) const;
  merge_result merge_counter(sibling&& arrived);
  bool drop_replaced(const v1::Update& update, const dot& at);
  bool remember(const v1::Update& update, const dot& at, const version_vector& received);
  const version_vector* find_excess(std::string_view field) const;
  version_vector& excess_of(std::string_view field);
  bool forget_excess(std::string_view field, const version_vector& received);
  bool replaced_already(std::string_view field, const dot& at) const;
  void report_losers(const sibling& arrived, loser_list& out) const;
  void report_losers(const sibling_set& before, loser_list& out) const;
  void keep_one_counter_per_node();

  std::vector<sibling> entries_; ///< sorted by field, dot; no dot twice; of kind counter at most one per node
  std::vector<replaced> excess_; ///< sorted by field; usually none
  std::size_t bytes_ = 0;
};

std::optional<sibling_set> from_wire(const v1::WeakRecord& record);
/// Replaces what is there; the checksum is 0. Equal states give equal messages, and so equal bytes.
void to_wire(const sibling_set& state, v1::WeakRecord& out);

/// What hash trees are made of: of the values and counters alone. Without the excess, which says something of the
/// replica, and without tombstones, which replicas that have merged the same forget at different times. 0 when there
/// are none.
std::uint64_t hash_of(std::string_view key, const sibling_set& state);

} // namespace troupe
