/// STREAM REPLICA's core: the records of all weaker types that one node stores (PROTOCOLS §4-7).
///
/// What managers send:    WeakOperation (execute).           What it answers: WeakAnswer.
/// From the streams:      updates of other origins (accept), what a peer has on disk (peer_durable).
/// From the frontier:     what may be shown (advanced), what is stable (stable), the end of a wait (met, unmet).
/// From its like:         what they have accepted, for reads with a bound of staleness (FreshnessAsked,
/// FreshnessTold); records that no log holds any more, and such that are damaged here (CopyAsked, CopyTold); hashes
/// of records, to find what differs though nothing is on its way (TreeAsked, TreeTold).
///
/// What the environment must provide: effects performed in order; `persisted()` after each `persist`, whose numbers
/// are consecutive, in their order; one `loaded()` for each `load`, one `log_read()` for each `read_log` and one
/// `copy_read()` for each `read_copy`; exactly one `met()` or `unmet()` for each `await`; `tick()` no later than
/// wake_at().
///
/// How a record is kept. An update goes through these states, in one direction:
///
///     accepted   numbered and stamped here, or taken from a peer; handed to the store, not durable yet
///     durable    in the log; counts in `received`; own ones may leave the node
///     visible    ordered lane: its dot and its dependencies are in G. free lane: at once (own synced ones: durable)
///     folded     part of the key's record in the store; the log of another origin forgets it
///
/// Folded is everything up to one vector per lane, whole prefixes of origins, closed under dependencies. So the
/// records in the store are the state as of that vector, exactly; a snapshot at or above it can be put together from
/// records and unfolded updates; and a replay after a start knows which entries are in the records.
///
/// A node that the logs do not reach any more copies records. While it does, and until it has folded all that any
/// copied record may contain, its records are ahead of that vector: in the ordered lane it answers nothing meanwhile,
/// over restarts, and others are asked instead.
///
/// Who reads with a session: a session leaves its own writes that no answer's vector has covered yet out of `seen`
/// when it reads, and names those of the key in `own`; a write carries all of them in `seen`. So nobody waits for his
/// own write: it is joined over the state at G, for its own session, wherever in the region it has arrived.
///
/// A retry carries what the first attempt carried, `session.clock` above all: what was executed then has a stamp
/// above it, which is how a request that is found nowhere is told from one that was forgotten.
///
/// Its weak spot: an update whose dependencies do not come (their origin is lost) stays unfolded, and with it all
/// later ones of its origin, until the origin is closed; they are bounded by `unfolded_bytes_max`, past which their
/// lane takes no more.
#pragma once

#include "protocol/cluster.hpp"
#include "protocol/effects.hpp"
#include "protocol/error.hpp"
#include "protocol/limits.hpp"
#include "protocol/stamp.hpp"
#include "protocol/stream/conflicts.hpp"
#include "protocol/stream/siblings.hpp"
#include "protocol/stream/stream_violations.hpp"
#include "protocol/stream/stream_writes.hpp"
#include "protocol/stream/weight.hpp"
#include "protocol/version_vector.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace troupe {

struct stream_replica_options {
  node_id self;
  std::uint32_t shards = 0;               ///< of the cluster
  std::map<std::string, data_type> types; ///< those of weaker levels, by name
  /// Who stores what: one entry per shard that this node stores, with all nodes that store it, this one included.
  std::map<shard_id, std::vector<node_id>> stored;
  std::uint64_t max_clock_ahead_ms = 10'000;
  std::uint32_t drift_ppm = 10'000; ///< between the clocks of two machines, at most

  nanoseconds compare_every{
      0}; ///< all records are read, and compared with another replica's, once in this; 0 = never
  nanoseconds compare_settle{std::chrono::seconds{2}};           ///< what differs is looked at again after it
  nanoseconds compare_page_every{std::chrono::milliseconds{50}}; ///< bounds what is read for it
  nanoseconds snapshot_window{std::chrono::seconds{1}};  ///< how long an overwritten version can still be read
  nanoseconds fold_every{std::chrono::milliseconds{50}}; ///< the free lane's records go to the store this often
  std::size_t fold_updates_max = 4'096;                  ///< in one batch for the store
  std::size_t cache_bytes = limits::stream_cache_bytes;  ///< for records that have nothing unfolded
  std::size_t unfolded_bytes_max = limits::stream_unfolded_bytes_max; ///< per lane
  std::size_t own_log_bytes_max = limits::stream_own_log_bytes_max;   ///< kept for peers that lag, per lane
  std::size_t requests_max = limits::stream_requests_max;             ///< outcomes of own writes that are remembered
  std::size_t requests_bytes_max = limits::stream_requests_bytes_max;
  std::size_t waiting_max = limits::stream_waiting_max; ///< operations that wait for whatever
  std::size_t waiting_bytes_max = limits::stream_waiting_bytes_max;
};

class stream_replica {
public:
  // --- effects ---

  /// Store all `writes` atomically, then persisted(number).
  struct persist {
    std::uint64_t number = 0; ///< 1 and up, consecutive
    std::vector<stream_write> writes;
  };
  /// Read the record of the key, then loaded().
  struct load {
    shard_id shard;
    std::string key;
  };
  /// Read a page of a log, then log_read(). At the start only.
  struct read_log {
    updates_request from;
  };
  /// An answer to a manager, of this node or another one.
  struct answer {
    node_id to;
    v1::WeakAnswer what;
  };
  /// For the streams: these own updates are on disk, and everything of this life and lane up to `upto`; whatever
  /// comes later has a stamp above `clock`. Also without updates, when only the statement is new.
  struct durable_updates {
    stream_lane lane = stream_lane::ordered;
    std::vector<shared_update> updates;
    std::uint64_t upto = 0;
    std::uint64_t clock = 0;
  };
  /// For inbound and frontier: everything of `from` up to here is on disk here. Own updates too, those of earlier
  /// lives at the start.
  struct received {
    origin from;
    stream_lane lane = stream_lane::ordered;
    std::uint64_t upto = 0;
    std::uint64_t clock = 0; ///< the highest that the origin has stated with it; 0 = none
    bool again = false;      ///< the origin does not know: it is to be told, news or not
  };
  /// For the frontier: an earlier life of this node, and the last of its updates that survived; waits for more of it
  /// are in vain.
  struct own_ended {
    std::uint64_t life = 0;
    stream_lane lane = stream_lane::ordered;
    std::uint64_t last = 0;
  };
  /// For the node's table: what anybody may read without asking. Single-value views only (last writer wins,
  /// counters).
  struct publish {
    shard_id shard;
    std::string key;
    bool exists = false;
    std::string value;       ///< counters: the decimal sum
    dot written;             ///< the version's; of a counter: the newest of its parts
    std::uint64_t clock = 0; ///< of the stamp; likewise
    stream_lane lane = stream_lane::free;
  };
  /// For the node's table: nothing is known of the key without asking.
  struct withdraw {
    shard_id shard;
    std::string key;
  };
  /// For frontier and table: everything up to here was published; reads of the table are as of it. `number` grows.
  struct applied {
    version_vector at;
    std::uint64_t number = 0;
  };
  /// For the frontier: tell when this node shows all of `wanted` (advanced() comes first), or why not.
  struct await {
    std::uint64_t cookie = 0;
    version_vector wanted;
    instant deadline;
  };
  /// No more met() or unmet() for this one; one that is on its way is ignored.
  struct forget {
    std::uint64_t cookie = 0;
  };
  /// For monitor and log: a value that this node accepted lost against a concurrent one, and is in the ledger. A
  /// start may repeat some.
  struct conflict_found {
    stream_lane lane = stream_lane::ordered;
    std::string key;
    loser lost;
  };
  /// The record here cannot be read. Operations on the key are refused until a copy of it, which others are asked
  /// for, has mended it.
  struct damaged_record {
    shard_id shard;
    std::string key;
  };
  /// For the streams: own entries up to `upto` are gone, though not every peer has them; who still lacks them needs a
  /// cut.
  struct log_cut {
    std::uint64_t life = 0;
    stream_lane lane = stream_lane::ordered;
    std::uint64_t upto = 0;
  };
  /// For the stream replica of a member: what has it accepted so far? Then freshness_told(), or nothing.
  struct ask_freshness {
    node_id to;
    v1::FreshnessAsked what;
  };
  struct tell_freshness {
    node_id to;
    v1::FreshnessTold what;
  };
  /// For the stream replica of a member: a page of its records, please. Then copy_told(), or nothing.
  struct ask_copy {
    node_id to;
    v1::CopyAsked what;
  };
  struct tell_copy {
    node_id to;
    v1::CopyTold what;
  };
  /// For the stream replica of a member: the hashes of its records, please. Then tree_told(), or nothing.
  struct ask_tree {
    node_id to;
    v1::TreeAsked what;
  };
  struct tell_tree {
    node_id to;
    v1::TreeTold what;
  };
  /// Read a page of the shard's records from the store, whatever their lane, those above `after`; or that of `key`
  /// only, unless it is empty. Then copy_read().
  struct read_copy {
    std::uint64_t cookie = 0;
    shard_id shard;
    std::string after;
    std::string key;
  };
  /// Everything that survived was read: from here on reads are answered. Comes once.
  struct ready {};

  using effect =
      std::variant<persist, load, read_log, answer, durable_updates, received, own_ended, publish, withdraw, applied,
                   await, forget, conflict_found, damaged_record, log_cut, ask_freshness, tell_freshness, ask_copy,
                   tell_copy, ask_tree, tell_tree, read_copy, ready, note>;
  using effects = std::vector<effect>;

  /// What a load found: nothing, a verified record, or damage.
  struct damage {};
  using found = std::variant<std::monostate, v1::WeakRecord, damage>;

  /// A page of the records of a shard.
  struct records_page {
    struct entry {
      std::string key;
      found what;
    };
    std::vector<entry> records; ///< by key
    std::string next;           ///< the next page has the keys above it; empty = there are no more
    bool whole = true;          ///< false: the store could not read all of it; nothing follows from what is not there
  };

  /// What came of one statement of a peer's stream.
  struct incoming {
    origin from;
    stream_lane lane = stream_lane::ordered;
    shared_updates updates;  ///< by seq; those that are here already are passed over
    std::uint64_t upto = 0;  ///< everything of `from` up to here that is meant for this node is here with them
    std::uint64_t clock = 0; ///< every later update of it has a stamp above
  };

  /// The two clocks: of deadlines and windows, and what goes into stamps only.
  struct times {
    instant now;
    std::uint64_t wall_ms = 0; ///< since 1970, as far as the machine knows
  };

  // --- life ---

  stream_replica(stream_replica_options options, stream_image image, instant now);
  ~stream_replica();

  /// Begins to read what survived. Called once, before everything else.
  void start(instant now, effects& out);
  void log_read(const updates_request& request, updates_page page, instant now, effects& out);
  /// The view has given this node a life, above all earlier ones; writes are refused with not_joined before.
  void begin(std::uint64_t life, effects& out);
  /// Who counts as a replica for `ack`: the nodes that are in the view and not out. All members until it is called.
  void counted(const std::set<node_id>& nodes, effects& out);

  // --- operations ---

  /// Executes, or joins the running attempt of the same request. Every call is answered once, by its deadline; an
  /// answer to a write may come before what it says is on disk only for types with `durability: async`.
  ///
  /// @param from  the manager's node, where the answer goes.
  /// @errors  invalid_argument, unknown_type, key_too_long, value_too_large, unsupported_operation: not done.
  ///          unavailable: this node does not store the shard, is not the executor, or (executed_elsewhere) the life
  ///          that was to execute it is over and its log does not hold it.
  ///          not_joined, clock_ahead, overloaded, too_many_siblings, not_a_number, out_of_range: not done.
  ///          forgotten: the request is older than what is remembered. timeout: durable here, `ack` not reached.
  ///          dependency_timeout, lost_update: the session's past did not come; says whom everybody waits for.
  ///          corrupt, too_stale, old_cut: reads.
  /// @cost  O(siblings of the key); O(log) of the tables that it enters.
  void execute(node_id from, v1::WeakOperation operation, const times& at, effects& out);
  void met(std::uint64_t cookie, const times& at, effects& out);
  /// What did not come, and who everybody waits for; for the answer.
  struct missing_cause {
    errc error = errc::dependency_timeout; ///< or lost_update, overloaded
    dot missing;
    node_id node;
    dot survived = {}; ///< lost_update: the last of that origin that is left
  };
  void unmet(std::uint64_t cookie, const missing_cause& cause, effects& out);

  // --- streams and frontier ---

  /// Takes what continues what is here, and makes it durable: `received` says so. While the lane is overfull it is
  /// only held, so that its sender, which counts what is not durable yet, stops by itself.
  void accept(incoming what, instant now, effects& out);
  /// `peer` has everything of that life of this node up to here on its disk.
  struct own_position {
    stream_lane lane = stream_lane::ordered;
    std::uint64_t upto = 0;
  };
  void peer_durable(node_id peer, const origin& own, const own_position& at, effects& out);
  /// What may be shown: contained in what was received here; never goes back. Ends with `applied`.
  void advanced(const version_vector& g, instant now, effects& out);
  /// That life of its node is over, and `last` the last of its updates that survived: who depends on a later one
  /// waits for it no more. One that is repeated changes nothing.
  void ended(const origin& from, std::uint64_t last, instant now, effects& out);
  /// Every replica has it: what the frontier says of the lane. `clock`: no update with a stamp up to it is still to
  /// come from anybody.
  void stable(stream_lane lane, const version_vector& s, std::uint64_t clock, effects& out);
  /// A member wants to know what this node has accepted. Not answered before everything that survived was read.
  void freshness_asked(node_id from, const v1::FreshnessAsked& question, effects& out);
  /// @errors  one that is malformed or late changes nothing.
  void freshness_told(node_id from, const v1::FreshnessTold& told, const times& at, effects& out);
  /// Of what this node lacks of that life of `from`, no log holds everything.
  void copy_offered(node_id from, const v1::CopyOffered& offer, instant now, effects& out);
  /// Answered with tell_copy once the page was read; not at all while this node cannot.
  /// @errors  a question about what one of both does not store is refused with a note.
  void copy_asked(node_id from, const v1::CopyAsked& question, effects& out);
  void copy_read(std::uint64_t cookie, records_page page, instant now, effects& out);
  /// @errors  one that is late changes nothing. After a malformed page nothing is copied from its sender for a
  ///          minute; a malformed answer for one key is as good as a damaged record.
  void copy_told(node_id from, v1::CopyTold told, const times& at, effects& out);
  /// Answered with tell_tree, unless the records here are not the state of one vector now.
  /// @errors  one about what one of both does not store is refused with a note.
  void tree_asked(node_id from, const v1::TreeAsked& question, effects& out);
  /// @errors  one that is late changes nothing; one that is malformed ends the comparison.
  void tree_told(node_id from, const v1::TreeTold& told, instant now, effects& out);
  /// A connection to a member has begun or ended. In order with what it brings.
  void peer(node_id who, bool connected, instant now, effects& out);

  // --- store and time ---

  void persisted(std::uint64_t number, const times& at, effects& out);
  void loaded(const std::string& key, found what, const times& at, effects& out);
  /// The store refuses everything from now on: so does this.
  void store_failed(effects& out);
  void tick(const times& at, effects& out);
  /// The next moment at which tick() has something to do; `never` when there is none.
  instant wake_at() const;

  // --- for status, metrics, explain ---

  struct status {
    std::uint64_t life = 0; ///< 0 = none yet
    bool ready = false;
    std::uint64_t reads = 0, writes = 0, waited = 0, duplicates = 0, refused = 0;
    std::uint64_t cache_hits = 0, cache_misses = 0;
    std::uint64_t conflicts = 0, damaged = 0, folded = 0, collected = 0;
    std::uint64_t copied = 0;           ///< records that were taken from other nodes
    std::uint64_t repaired = 0;         ///< of those, damaged ones
    std::size_t damaged_keys = 0;       ///< whose records are damaged now
    std::uint64_t compared = 0;         ///< shards and lanes, with another replica
    std::uint64_t compared_in_vain = 0; ///< not to the end: no answer, or one of both lags
    std::uint64_t differed = 0;         ///< records that lacked what another replica had, and nothing was on its way
    std::uint64_t leaves_doubted = 0;   ///< hashes of what was written that did not fit what was read again
    node_id copying_from;               ///< value 0 = from nobody
    bool closed = false;                ///< the ordered lane, until what was copied is whole
    std::size_t conflicts_kept = 0, conflicts_bytes = 0;    ///< in the ledger
    std::uint64_t conflicts_evicted = 0;                    ///< from it, for want of room, since the start
    std::size_t keys = 0;                                   ///< in memory
    std::size_t cached_bytes = 0;                           ///< what they hold
    std::size_t staged = 0;                                 ///< here, not visible
    std::size_t blocked = 0;                                ///< of those: in G, but their dependencies are not
    std::array<std::size_t, stream_lanes> unfolded_bytes{}; ///< per lane
    std::array<std::size_t, stream_lanes> own_log_bytes{};
    std::size_t requests = 0, waiting = 0, loading = 0;
    nanoseconds visible_delay_max{0}; ///< of an update, from its arrival here; since the last status
    violation_counts violations;
  };
  status report();
  const violation_counts& violations() const;

  /// Durable here, per lane, own updates included; what is shown (ordered), and merged (free).
  const version_vector& received_vector(stream_lane lane) const;
  const version_vector& applied_vector(stream_lane lane) const;

  /// For people: what is shown of a key here, what is here and hidden, and what that waits for. Nothing = the key is
  /// not in memory, where everything is that is not in the store.
  std::optional<v1::KeyView> explain(const std::string& key, instant now) const;

  // --- the conflict ledger: on disk no later than the record that has forgotten the value ---

  /// What this node keeps of values that it accepted and that lost.
  const conflict_ledger& conflicts() const;
  /// Somebody has dealt with it. @return whether it was there.
  bool forget_conflict(const conflict_id& id, effects& out);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace troupe
