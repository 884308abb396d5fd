/// Internal to the stream replica's core: its state, and which part of it is decided in which file.
#pragma once

#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"
#include "protocol/stream/comparing.hpp"
#include "protocol/stream/copying.hpp"
#include "protocol/stream/freshness.hpp"
#include "protocol/stream/own_log.hpp"
#include "protocol/stream/request_table.hpp"
#include "protocol/stream/resolver.hpp"
#include "protocol/stream/staging.hpp"
#include "protocol/stream/stream_key.hpp"
#include "protocol/stream/stream_replica.hpp"
#include "protocol/wire.hpp"

#include <array>
#include <deque>
#include <list>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace troupe {

struct stream_replica::impl {
  impl(stream_replica_options o, stream_image i, instant now);

  // --- state ---

  /// An operation that has to wait. A read, or a write that is not numbered yet.
  struct operation {
    node_id from;
    v1::WeakOperation what;
    const data_type* type = nullptr;
    instant arrived, deadline;
    bool awaiting = false; ///< the frontier answers for its deadline
    bool waited = false;   ///< for what its session had seen
    dot expects;           ///< its place in `expecting`; seq 0 = none
    node_id stale_of;      ///< waits for what this member has accepted; value 0 = does not
    std::size_t bytes = 0;
  };
  /// Which attempt an answer is to.
  struct attempt {
    v1::RequestId id;
    std::uint32_t number = 0;
    std::uint32_t level = 0; ///< names the manager that asks
  };
  /// Somebody who wants to know what became of a write.
  struct asker {
    node_id to;
    attempt what;
    instant deadline;
  };
  /// An own write that is not durable here, or not yet where its type's `ack` wants it.
  struct own_write {
    request_id id;
    write_outcome outcome;
    write_ack ack = write_ack::local;
    shard_id shard;
    shared_update update;
    version_vector seen; ///< for the answer, see named_by()
    std::vector<asker> askers;
  };
  /// What persisted() brings about.
  struct own_durable {
    stream_lane lane;
    std::uint64_t upto = 0;
  };
  struct position_durable {
    received what;
  };
  struct ceiling_durable {
    std::uint64_t clock = 0;
  };
  struct records_durable {
    std::vector<stream_key*> keys = {};
    stream_lane lane = stream_lane::ordered;
    version_vector folded = {};           ///< that they contain; empty = as before
    std::vector<received> positions = {}; ///< that were copied
    bool copied_page = false;
  };
  struct pending_persist {
    std::uint64_t number = 0;
    std::variant<std::monostate, own_durable, position_durable, ceiling_durable, records_durable> then;
  };

  struct lane_state {
    lane_state(stream_lane l, version_vector folded)
        : is_ordered{l == stream_lane::ordered}, staged{folded}, folded_durable{std::move(folded)} {}
    /// The records are the state as of what is folded, and not ahead of it.
    bool is_exact() const { return copied_until.empty(); }
    /// Nothing is answered.
    bool is_closed() const { return is_ordered && !is_exact(); }
    bool is_ordered;
    staging staged;
    version_vector folded_durable; ///< what the records on the disk contain
    version_vector copied_until;   ///< records that were copied may contain this much; empty = it is all folded
    version_vector taken;          ///< accepted, durable or not; own ones too
    version_vector received;       ///< durable
    version_vector stable;
    std::uint64_t seq = 0;                             ///< of the newest own update of the running life
    std::deque<own_write> undurable;                   ///< by seq, without gaps, up to `seq`
    std::map<std::uint64_t, own_write> unacknowledged; ///< durable, by seq
    std::map<std::uint64_t, own_log> logs;             ///< by life; the running one and earlier ones
    std::deque<incoming> held;                         ///< while the lane is overfull
    std::uint64_t durable_upto = 0;                    ///< own, running life
    std::uint64_t stated_clock = 0;                    ///< with it
    std::set<std::uint64_t> stale;                     ///< reads that wait for something fresher, by cookie
    bool more_shown = false;                           ///< since that was looked at last
    bool shortened_due = false;                        ///< a peer has acknowledged something
  };

  stream_replica_options options;
  stream_image image; ///< marks and extents; emptied once it was read
  std::uint64_t life = 0;
  std::uint64_t life_before = 0; ///< the highest that left something here
  bool is_ready = false, failed = false;
  std::size_t replaying = 0; ///< the log in `image.logs` that is being read

  stamp_clock clock;
  std::array<lane_state, stream_lanes> lanes;
  request_table requests;
  refusal_table refusals{limits::stream_refusals_max};
  std::set<node_id> peers;   ///< all that store some shard with this node
  freshness fresh;           ///< of them, and of this node
  std::set<node_id> counted; ///< in the view

  std::unordered_map<std::string, std::unique_ptr<stream_key>> keys; ///< looked up only, never walked through
  std::list<stream_key*> idle; ///< may be dropped; the one used last is in front
  /// A record that is not whole. What is merged into it since keeps all of its context as excess.
  struct damage_known {
    version_vector as_of;                       ///< copies have to contain this
    version_vector contains = {}, reached = {}; ///< those that were joined here, together; and may contain
    std::optional<version_vector> mended = {};  ///< by them; whole when this is folded
  };
  std::map<std::string, damage_known, std::less<>> damaged_keys; ///< as many as the store has of them
  copying copies;
  std::array<hash_tree, stream_lanes> trees; ///< of the records as they were handed to the store last
  std::set<leaf_place> leaves_changed;       ///< go to the store with the next batch
  comparing compares;
  std::size_t cached_bytes = 0;
  std::vector<stream_key*> changed;                                   ///< to be published
  std::multimap<std::uint64_t, std::string> tombstones[stream_lanes]; ///< by clock: what may be collected one day
  conflict_ledger ledger{{.entries_max = limits::conflicts_max, .bytes_max = limits::conflicts_bytes_max}};

  std::map<std::uint64_t, operation> operations; ///< by cookie
  std::uint64_t last_cookie = 0;
  std::size_t waiting_bytes = 0;
  std::set<std::pair<instant, std::uint64_t>> operation_deadlines;
  std::set<std::tuple<instant, stream_lane, std::uint64_t>> write_deadlines;
  std::deque<std::uint64_t> unstamped;                 ///< writes that wait for a ceiling of the clock
  std::map<dot, std::vector<std::uint64_t>> expecting; ///< ordered lane: reads that wait for an own write's arrival

  std::uint64_t persist_number = 0;
  std::deque<pending_persist> persists;
  std::uint64_t applied_number = 0;
  instant statement_at = never;   ///< when idle lanes state their clocks again
  std::uint64_t wall_ms_last = 0; ///< as of the last step that brought it; for people
  status counts;

  // --- stream_replica.cpp: life, replay, persistence, time ---

  lane_state& of(stream_lane l) { return lanes[static_cast<std::size_t>(l)]; }
  const lane_state& of(stream_lane l) const { return lanes[static_cast<std::size_t>(l)]; }
  origin self_origin() const { return {options.self, life}; }
  std::size_t log_part_bytes() const {
    constexpr std::size_t part_bytes_max = std::size_t{64} << 10;
    return std::min(part_bytes_max, options.own_log_bytes_max / 8);
  }
  void read_marks();
  void read_on(std::size_t log, std::uint64_t after, effects& out);
  void log_read(const updates_request& request, updates_page page, instant now, effects& out);
  void replayed(instant now, effects& out);
  void begin(std::uint64_t new_life, effects& out);
  void store(std::vector<stream_write> writes, decltype(pending_persist::then) then, effects& out);
  void persisted(std::uint64_t number, instant now, std::uint64_t wall_ms, effects& out);
  void own_up_to(stream_lane l, std::uint64_t upto, instant now, effects& out);
  void tick(instant now, std::uint64_t wall_ms, effects& out);
  void state_clocks(std::uint64_t wall_ms, effects& out);
  instant wake_at() const;

  // --- stream_replica_streams.cpp: what peers and the frontier say ---

  void accept(incoming what, instant now, effects& out);
  void take(incoming what, instant now, effects& out);
  void arrived(const dot& upto, std::uint64_t before, instant now, effects& out);
  bool acceptable(const v1::Update& u, stream_lane l) const;
  void stage(const origin& from, stream_lane l, shared_update u, instant now, effects& out);
  void show(stream_lane l, const version_vector& upto, instant now, effects& out);
  void shown(staged_update& u, instant now, effects& out);
  void fold(stream_lane l, instant now, effects& out);
  void shorten(stream_lane l, instant now, std::vector<stream_write>& writes, effects& out);
  /// Makes updates that have left the staging part of records; `before`: what these contained. The keys, once each.
  std::vector<stream_key*> fold_into_records(stream_lane l,
                                             const std::vector<std::unique_ptr<staged_update>>& updates,
                                             const version_vector& before, std::vector<stream_write>& writes);
  void state_folded(stream_lane l, std::vector<stream_write>& writes) const;
  void collect(stream_lane l, std::uint64_t upto, effects& out);

  // --- stream_replica_copies.cpp: records from other nodes ---

  bool serves_part(const copying::reading& reading) const;
  void add_marked(const v1::CopyAsked& question, records_page& page) const;
  void keep_log_for(node_id copier, stream_lane l, const version_vector& folded, instant now);
  /// Entries of the log from here on are not erased because there are too many.
  std::uint64_t log_kept_from(stream_lane l, std::uint64_t of_life, const own_log& log, instant now) const;
  void copy_next(instant now, effects& out);
  bool may_copy_from(node_id from, instant now);
  void avoid(node_id from, nanoseconds at_least, instant now);
  void begin_copy(node_id from, stream_lane l, instant now, effects& out);
  void copy_while_closed(instant now, effects& out);
  void ask_page(instant now, effects& out);
  void park(instant now, effects& out);
  void copy_told(node_id from, v1::CopyTold told, instant now, effects& out);
  void refuse_copy(node_id from, effects& out);
  bool both_store(node_id who, shard_id shard) const;
  static bool is_vector(const v1::Vector& v);
  static bool has_vectors(const v1::CopyTold& told) { return is_vector(told.folded()) && is_vector(told.reached()); }
  bool is_page(const v1::CopyTold& told) const;
  void wait_for_records(const v1::CopyTold& page, stream_lane l, effects& out);
  bool are_here(const v1::CopyTold& page) const;
  bool nothing_is_lacking(instant now, effects& out);
  version_vector copied_upto(const copy_run& r) const;
  void join_page(instant now, effects& out);
  bool join_record(stream_key& k, const v1::CopyTold& told, const sibling_set& copy, effects& out);
  void write_copied(stream_key& k, std::vector<stream_write>& writes);
  void close(stream_lane l, const version_vector& until, std::vector<stream_write>& writes);
  void page_stored(instant now, effects& out);
  void absorb_copies(instant now, effects& out);
  /// After more was folded, or received durably.
  void reopen(effects& out);
  /// `base` from now on, and what is unfolded over it.
  void rebase(stream_key& k, sibling_set base, effects& out);
  /// What counts as merged when an update of the key is. Of a damaged one nothing: all of the context is kept, so
  /// that a copy from elsewhere does not bring back what it replaces.
  const version_vector& merged_before(const stream_key& k, const version_vector& folded) const {
    return k.damaged ? nothing : folded;
  }
  const version_vector nothing;
  void tick_copies(instant now, effects& out);
  instant copies_wake_at() const;
  void copy_peer(node_id who, bool connected, instant now, effects& out);

  // --- stream_replica_mending.cpp: records that cannot be read ---

  static constexpr std::chrono::seconds answer_within{3}; ///< to a question for records
  static constexpr std::chrono::seconds mend_every{1};
  static constexpr milliseconds load_within{20}; ///< a record, before it is looked at again
  std::optional<node_id> next_to_ask(shard_id shard, std::size_t& turn) const;
  copy_question question(stream_lane l, shard_id shard, std::string key);
  bool is_whole(node_id from, const v1::CopyTold& told, effects& out);
  void write_again(const std::string& key, stream_lane l, const data_type& type, effects& out);
  void mend_next(instant now, effects& out);
  bool ask_to_mend(const std::string& key, instant now, effects& out);
  void mended(const v1::CopyTold& told, effects& out);
  // --- stream_replica_comparing.cpp: what replicas differ in though nothing is on its way ---

  hash_tree& tree_of(stream_lane l) { return trees[static_cast<std::size_t>(l)]; }
  const hash_tree& tree_of(stream_lane l) const { return trees[static_cast<std::size_t>(l)]; }
  bool records_are_stored() const;
  bool is_comparable(stream_lane l) const;
  v1::Leaf leaf_now(stream_lane l, shard_id shard, std::size_t which) const;
  void tick_comparing(instant now, effects& out);
  instant comparing_wakes_at() const;
  void scrub_on(instant now, effects& out);
  void scrubbed(const records_page& page, instant now, effects& out);
  bool judge_leaves(effects& out);
  void begin_comparison(stream_lane l, shard_id shard, instant now, effects& out);
  void look(instant now, effects& out);
  void tree_told(node_id from, const v1::TreeTold& told, instant now, effects& out);
  void second_look(const v1::TreeTold& told, instant now, effects& out);
  void ask_leaf(instant now, effects& out);
  void leaf_told(v1::CopyTold told, instant now, effects& out);
  void join_leaf(instant now, effects& out);
  bool unite(stream_key& k, const sibling_set& copy, effects& out);
  bool hold_against(stream_key& k, const sibling_set& copy, bool doubted, std::vector<stream_write>& writes,
                    effects& out);
  void doubt(stream_key& k, std::vector<stream_write>& writes, effects& out);
  void end_comparison(std::string_view why, instant now, effects& out);

  bool join_damaged(const stream_key& k, sibling_set& base, const v1::CopyTold& told, const sibling_set& copy);
  void whole_again(effects& out);

  // --- stream_replica_freshness.cpp: bounds of staleness ---

  /// Asks for what is not fresh enough; true: it all is.
  bool fresh_enough(std::uint64_t cookie, operation& o, instant now, effects& out);
  /// What is shown of the shard is no older than this, by a clock as slow as can be.
  std::optional<nanoseconds> age_of(shard_id shard, stream_lane l, instant now) const;
  void freshness_asked(node_id from, const v1::FreshnessAsked& question, effects& out);
  void ask(freshness::questions questions, instant now, effects& out);
  void resume_stale(stream_lane l, instant now, effects& out);
  /// After more may have been shown.
  void show_fresher(instant now, effects& out);
  freshness::is_shown shows(stream_lane l) const;
  version_vector accepted(stream_lane l) const;

  // --- stream_replica_conflicts.cpp: values that lost ---

  void restore_conflicts();
  void lost(const stream_key& k, loser&& value, effects& out);
  void forget(const std::vector<std::uint64_t>& numbers, std::vector<stream_write>& writes) const;

  // --- stream_replica_keys.cpp: records in memory ---

  stream_key& key_of(std::string_view key, stream_lane l, const data_type& type, effects& out);
  void loaded(const std::string& key, found what, effects& out);
  void merge(stream_key& k, const staged_update& u, effects& out);
  void note_change(stream_key& k);
  void publish_changes(effects& out);
  void touched(stream_key& k); ///< after anything: what it weighs, whether it may be dropped
  void trim();
  const data_type* type_of(std::string_view key) const;
  static stream_lane lane_of(const data_type& type) {
    return type.consistency == level::eventual ? stream_lane::free : stream_lane::ordered;
  }
  void watch_tombstones(const stream_key& k, const sibling_set& folded);
  void mark_damaged(stream_key& k, const version_vector& as_of, effects& out);
  /// The record from now on, or none when it is empty; and the hash tree with it.
  void write_record(stream_key& k, const sibling_set& state, std::vector<stream_write>& writes);
  static const sibling_set& folded_state(const stream_key& k) { return k.base ? *k.base : k.visible; }

  // --- stream_replica_writes.cpp, stream_replica_reads.cpp: operations ---

  void execute(node_id from, v1::WeakOperation&& what, instant now, std::uint64_t wall_ms, effects& out);
  errc defect_of(const v1::WeakOperation& what, const data_type*& type) const;
  /// Goes on as far as it can; true: it was answered, or has become an own write.
  bool proceed(std::uint64_t cookie, operation& o, instant now, std::uint64_t wall_ms, effects& out);
  bool write(std::uint64_t cookie, operation& o, instant now, std::uint64_t wall_ms, effects& out);
  bool known(operation& o, effects& out);
  /// A counter's write that was found in the log after a start, whose sum only the record can say; true: it waits.
  bool waits_for_sum(std::uint64_t cookie, const operation& o, effects& out);
  bool read(std::uint64_t cookie, operation& o, instant now, effects& out);
  bool read_record(operation& o, stream_key& k, instant now, effects& out);
  /// The key as of a frontier, or as the session sees it: over what is shown, its own writes.
  sibling_set state_at(const stream_key& k, const version_vector& cut, const std::vector<dot>& own) const;
  void resume(std::uint64_t cookie, instant now, std::uint64_t wall_ms, effects& out);
  void drop(std::uint64_t cookie);
  bool has_room() const;
  void join(own_write& w, asker a);
  void settle(own_write& w, stream_lane l, effects& out); ///< all its askers are told that it is done
  bool acknowledged(const own_write& w, stream_lane l) const;
  own_write* under_way(const write_outcome& o);
  void check_acknowledged(stream_lane l, std::uint64_t upto, effects& out);
  void expire(instant now, effects& out);

  void fail(const operation& o, errc error, effects& out);
  v1::WeakAnswer failure(const operation& o, errc error);
  v1::WeakAnswer too_late(const operation& o);
  void refuse_for_good(const operation& o);
  void answer_forgotten(const operation& o, effects& out);
  static attempt attempt_of(const v1::WeakOperation& o) { return {o.id(), o.attempt(), o.level()}; }
  v1::WeakAnswer answer_to(const attempt& a) const;
  v1::WeakAnswer done(const write_outcome& w, const attempt& a) const;
  /// To a retry of what was executed before.
  v1::WeakAnswer answer_again(const operation& o, const write_outcome& w, errc error) const;
  void raise_session(v1::WeakAnswer& a, const version_vector& seen, std::uint64_t stamp) const;
  void check_answer(const operation& o, const v1::WeakAnswer& a, const sibling_set& state);
  void prevented(violation v) { ++counts.violations.prevented[static_cast<std::size_t>(v)]; }
  void served(violation v) { ++counts.violations.served[static_cast<std::size_t>(v)]; }
};

/// Names of marks: one kind of them per first letter.
namespace stream_marks {

inline constexpr char ceiling[] = "ceiling";                ///< of the stamps
std::string received(const origin& from, stream_lane lane); ///< "r.ordered.2.7" -> "upto clock"
std::string erased(std::uint64_t life, stream_lane lane);   ///< of every own life: "e.free.7" -> "upto clock"
std::string folded(stream_lane lane);                       ///< "f.ordered" -> a serialized Vector
std::string
copied_until(stream_lane lane); ///< "u.ordered", likewise: what copied records may contain, until it is folded
std::string leaf(stream_lane lane, shard_id shard, std::size_t which); ///< "t.free.7.255" -> hash, in decimal digits
inline constexpr char shown[] = "s.ordered"; ///< likewise: what was shown when records were last taken from it
std::string damaged(std::string_view key);   ///< "d." + stored key: its record is not whole
std::string conflict(std::uint64_t number);  ///< "c.17" -> a serialized Conflict
stream_write of(std::string name, const version_vector& v);
std::string numbers(std::uint64_t a, std::uint64_t b);
std::optional<std::pair<std::uint64_t, std::uint64_t>> numbers_in(std::string_view text);

} // namespace stream_marks

} // namespace troupe
