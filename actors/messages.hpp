/// The messages that never leave a node: between its actors, and what they answer to whoever asks for their status.
///
/// Shape of a comment: from whom to whom, and what it says; in some, what makes it safe to repeat. The interfaces
/// that they belong to: interfaces.hpp.
#pragma once

#include "actors/layers/store.hpp"
#include "protocol/check/audit.hpp"
#include "protocol/ids.hpp"
#include "protocol/monitor/violations.hpp"
#include "protocol/session/session_vector.hpp"
#include "protocol/stream/stream_replica.hpp"
#include "protocol/strong/named_lock.hpp"
#include "protocol/view.hpp"
#include "protocol/wire/frame.pb.h"
#include "protocol/wire/membership.pb.h"
#include "protocol/wire/stream.pb.h"
#include "protocol/wire/strong.pb.h"

#include <troupe/level.hpp>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// LINK -> MEMBERSHIP -> everybody who waits for peers: a peer can, or can no longer, be talked to.
struct peer_change {
  node_id peer;
  incarnation life; ///< of the connection that came up; 0 when unknown
  bool up = false;
};

/// REPLICA -> LOCK MANAGER: who holds this shard's lease here. era.round 0 = nobody, the lease ended.
struct home_seen {
  shard_id shard;
  epoch era;
  node_id leaver; ///< gave the lease back and will claim no more; value 0 = none did
};

/// LOCK MANAGER -> MEMBERSHIP: include this epoch in renewals from now on, or no more.
struct lead_change {
  shard_id shard;
  epoch era;
  bool leading = false;
};

/// MEMBERSHIP -> LOCK MANAGER: a replica answered a renewal that was sent at `sent_at`.
struct lease_renewed {
  shard_id shard;
  epoch era;
  node_id replica;
  instant sent_at;
  epoch superseded_by; ///< round 0 = renewed; else the higher epoch that the replica has promised
};

/// STORE DRIVER -> REPLICA: the writes up to and including number `upto` are durable, or never will be.
struct persisted {
  std::uint64_t upto = 0;
  errc error = errc::none;
};

/// STORE DRIVER -> REPLICA: what a batch of loads found.
struct loaded {
  std::vector<load_request> keys;
  std::vector<load_result> results; ///< one per key
};

/// SWITCHBOARD -> LOCK MANAGER: the part of a LeaseRenew that concerns its shard.
struct held_renewal {
  node_id from;
  std::uint64_t number = 0; ///< of the LeaseRenew
  v1::HeldLease lease;
};

/// API -> SESSION: nobody waits any more for the call with this ticket. It is answered at once, as cancelled or
/// abandoned; does nothing when it has been answered.
struct call_cancelled {
  std::uint64_t ticket = 0;
};

/// SESSION -> MEMORY LAYER -> STRONG MANAGER: the same for an operation that was sent on; each answers it if it is
/// the one who has it.
struct operation_cancelled {
  request_id id;
};

/// API, FACES -> SESSION: one operation. `done` runs on an actor's thread, exactly once; it must not block or throw.
struct session_call {
  v1::Operation operation; ///< key, what, roll_back; the session fills in id
  std::string type;        ///< data type
  instant deadline;        ///< on this node's clock
  std::function<void(const v1::Result&)> done;
  /// Instead of `done`, when it is set: the whole answer. Of a strong type: its result, with level = strong.
  std::function<void(const v1::WeakAnswer&)> weak_done;
  /// A weaker level than the type's, for a read. A write is ordered and replicated as its type says, and a strong
  /// type is always read strongly: stronger than asked, as the answer's `level` tells. Stronger than the type:
  /// refused.
  std::optional<level> at;
  /// Of a weaker type: context, depends and explicit_depends, staleness_us, cut; all else in it is ignored.
  v1::WeakOperation extra;
  /// Bits of `guarantee`. A causal read or write has all of them, an eventual one none.
  std::uint32_t guarantees = guarantee::all;
  bool missed = false;      ///< a read that the memory table had no answer to a moment ago
  std::uint64_t ticket = 0; ///< unique in the session, for a call that may be cancelled; 0 = it will not be
};

/// LINK -> whoever asked: how one link is doing.
struct link_status {
  node_id peer;
  std::string name;
  bool up = false;
  std::uint64_t round_trip_us = 0;     ///< last measured, injected delay included; 0 = not yet
  std::uint64_t round_trip_us_max = 0; ///< since the connection began
  std::uint64_t queued_messages = 0;
  std::uint64_t queued_bytes = 0;
  std::uint64_t frames_sent = 0;
  std::uint64_t frames_received = 0;
  std::uint64_t frames_refused = 0;
  std::uint64_t connections = 0; ///< since the start of the node
  std::uint64_t dropped_messages = 0;
  std::uint64_t refusals = 0; ///< hellos that the peer, or we, refused
  std::string last_refusal;   ///< why; empty = none since the connection was last up
};

/// DOOR -> whoever asked. The last three grow only.
struct door_status {
  std::uint64_t clients = 0; ///< connected client nodes
  std::uint64_t admitted = 0;
  std::uint64_t refused = 0; ///< hellos
  std::uint64_t dropped = 0; ///< anything that was no hello, and messages to clients that are gone
  std::string last_refusal;  ///< of a hello that belongs to no link: strangers, client nodes; empty = never
};

/// LOCK MANAGER -> whoever asked. Named locks: the first hundred by key that are held or waited for.
struct home_status {
  shard_id shard;
  epoch era;    ///< the epoch this node leads, claims, or last led
  node_id home; ///< who leads, as far as this node knows; value 0 = not known
  bool leading = false;
  bool claiming = false;
  instant lease_until;
  std::uint64_t keys = 0;
  std::uint64_t queued = 0;
  std::uint64_t undecided = 0;
  std::uint64_t in_doubt = 0;
  std::uint64_t committed = 0;
  std::uint64_t collected = 0; ///< tombstones
  std::uint64_t dropped = 0;   ///< messages about read locks that were malformed
  std::uint64_t holders = 0;   ///< nodes whose lease runs
  std::uint64_t read_locks = 0;
  std::uint64_t read_lock_bytes = 0; ///< what they take here
  std::uint64_t recalls = 0;         ///< writes under way of keys that somebody holds
  std::vector<lock_view> locks;
};

/// STORE DRIVER -> REPLICA: which tombstones it has found among the records of a shard.
struct scanned {
  shard_id shard;
  scan_result found;
};

/// REPLICA -> whoever asked.
struct replica_status {
  std::uint64_t tombstones = 0; ///< that it knows of
  std::uint64_t collected = 0;  ///< since the start of the node
};

/// MEMORY LAYER -> whoever asked. Counts of this start of the node.
struct memory_status {
  std::uint64_t hits = 0;   ///< reads that were answered from memory
  std::uint64_t misses = 0; ///< looks that found nothing to answer with
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  std::uint64_t bytes_max = 0;
  std::uint64_t evictions = 0; ///< for want of room
  std::uint64_t leases = 0;    ///< that run now: one per shard of which keys are held
  std::uint64_t waiting = 0;   ///< reads that wait for a read lock
  std::uint64_t dropped = 0;   ///< messages about read locks that were malformed
};

/// WHOEVER RESOLVES -> MONITOR: concurrent values of one type met, as many as `count`.
struct conflict_event {
  std::string type;
  std::uint64_t count = 1;
};

/// WHOEVER REPAIRS -> MONITOR: that many records were damaged or missing here, and are whole again.
struct repair_event {
  std::string type; ///< empty = of none, or of many
  std::uint64_t count = 1;
};

/// MONITOR -> whoever asked. Counts of this start of the node.
struct monitor_status {
  std::vector<std::pair<violation_ledger::series, std::uint64_t>> found; ///< by kind, end, type, level
  std::vector<std::pair<std::string, std::uint64_t>> conflicts;          ///< by type
  std::vector<std::pair<std::string, std::uint64_t>> repairs;            ///< by type
  std::uint64_t alerts_active = 0;
  std::uint64_t notices = 0;   ///< told to the log and to whoever has subscribed
  std::uint64_t listeners = 0; ///< actors that have subscribed
};

/// API -> AUDITOR: an operation of a sampled key or session is about to be sent, or has ended. Duplicates, and an end
/// without a beginning, do no harm.
struct audit_begun {
  std::uint64_t ticket = 0; ///< unique among the calls that are open
  check::audited call;
};
struct audit_ended {
  std::uint64_t ticket = 0;
  check::audited call;
};

/// VIEW KEEPER -> whoever listens: a later view than any before, or that this start has its life.
struct view_changed {
  view now;
  std::uint64_t life =
      0; ///< of this start of this node; 0 = it has none yet: it may accept no update of a weaker level
};

/// STREAM REPLICA -> UPDATE STREAMS: own updates are on disk, and everything of this life and lane up to `upto`.
struct own_statement {
  stream_lane lane = stream_lane::ordered;
  std::uint64_t life = 0;
  std::vector<std::shared_ptr<const v1::Update>> updates;
  std::uint64_t upto = 0;
  std::uint64_t clock = 0; ///< whatever comes later has a stamp above it
};

/// STREAM REPLICA, UPDATE STREAM -> FRONTIER: an origin has stated that its updates above `upto` have stamps above
/// `clock`.
struct origin_clock {
  stream_lane lane = stream_lane::ordered;
  origin from;
  std::uint64_t upto = 0;
  std::uint64_t clock = 0;
};

/// UPDATE STREAM -> STREAM REPLICA: what a peer has sent, in order, each update once.
struct incoming_updates {
  stream_replica::incoming what;
};

/// STREAM REPLICA -> FRONTIER, and the UPDATE STREAM of the origin's node: everything of the origin up to here is on
/// disk (free lane: and merged).
struct received_durable {
  origin from;
  stream_lane lane = stream_lane::ordered;
  std::uint64_t upto = 0;
  std::uint64_t clock = 0; ///< stated with it; 0 = none
  bool again = false;      ///< the origin is to be told, news or not
};

/// UPDATE STREAM -> STREAM REPLICA: the peer has on disk what is meant for it, up to here.
struct stored_at_peer {
  node_id peer;
  origin own;
  stream_lane lane = stream_lane::ordered;
  std::uint64_t upto = 0;
};

/// STREAM REPLICA -> FRONTIER, UPDATE STREAMS: an earlier life of this node, and the last of it that survived.
struct own_life_ended {
  std::uint64_t life = 0;
  stream_lane lane = stream_lane::ordered;
  std::uint64_t last = 0;
};

/// FRONTIER -> STREAM REPLICA: an earlier life of any node, and the last of its ordered updates that survived.
struct origin_ended {
  origin from;
  std::uint64_t last = 0;
};

/// FRONTIER -> STREAM REPLICA: this may be shown.
struct region_advanced {
  version_vector applied;
};

/// FRONTIER -> STREAM REPLICA: every member has this; and no update with a stamp up to `clock` is still to come.
struct everywhere_advanced {
  stream_lane lane = stream_lane::ordered;
  version_vector stable;
  std::uint64_t clock = 0;
};

/// STREAM REPLICA -> FRONTIER: what a token states about this region's frontier.
struct region_facts {
  version_vector region;
};

/// STREAM REPLICA -> FRONTIER: tell when `wanted` may be shown (region_advanced comes first), or why it may not.
struct dependency_wait {
  std::uint64_t cookie = 0;
  version_vector wanted;
  instant deadline;
};
/// The same: nobody waits for this one any more.
struct dependency_forgotten {
  std::uint64_t cookie = 0;
};
/// FRONTIER -> STREAM REPLICA: the wait is over.
struct dependency_met {
  std::uint64_t cookie = 0;
};
struct dependency_missed {
  std::uint64_t cookie = 0;
  errc error = errc::dependency_timeout;
  dot missing;
  node_id who;  ///< everybody waits for it
  dot survived; ///< lost_update: the last of that origin that is left
};

/// STORE DRIVER -> STREAM REPLICA, UPDATE STREAM: a page of a log.
struct log_page {
  updates_request request;
  updates_page page;
};
/// STORE DRIVER -> STREAM REPLICA: what a batch of loads found.
struct weak_loaded {
  std::vector<load_request> keys;
  std::vector<weak_result> results; ///< one per key
};

/// STORE DRIVER -> STREAM REPLICA: records that another node has asked for.
struct copy_page {
  std::uint64_t cookie = 0;
  weak_page page;
};

/// UPDATE STREAM -> whoever asked.
struct update_stream_status {
  node_id peer;
  bool up = false;
  std::uint64_t sent = 0;      ///< updates, repetitions included
  std::uint64_t repeated = 0;  ///< times that something was sent again
  std::uint64_t log_reads = 0; ///< for a peer that lags
  std::uint64_t received = 0;  ///< updates
  std::uint64_t gaps = 0;
  std::uint64_t refused = 0;                        ///< malformed
  std::array<std::uint64_t, stream_lanes> behind{}; ///< numbers that the peer has not acknowledged
  std::uint64_t queued_bytes = 0;
  bool cut = false; ///< the log does not reach back to what the peer has
};

/// FRONTIER -> whoever asked. Vectors as text.
struct frontier_status {
  bool ready = false;
  std::string received, received_free, region, applied, stable;
  std::uint64_t waits = 0, timeouts = 0, lost = 0, refused = 0;
  node_id held_up_by; ///< value 0 = nobody
  std::uint64_t behind = 0;
};

/// Whoever follows the view -> VIEW KEEPER: `tell` is called with what is known now, and with all that follows, in
/// order, on the keeper's thread; it must not block or throw.
struct view_listener {
  std::function<void(const view_changed&)> tell;
};

/// FRONTIER -> VIEW KEEPER: whether this node has received everything that the members counted in view `as_of` have
/// stated of their regions' frontiers. Repeated whenever it changes, and for every later view while this node is out.
struct caught_up {
  std::uint64_t as_of = 0;
  bool reached = false;
};

/// Any actor of this node -> VIEW KEEPER: a message of another node carried this view number.
struct view_number_seen {
  std::uint64_t number = 0;
};

/// SESSION of the VIEW KEEPER -> VIEW KEEPER: what became of a request about the record.
struct register_answered {
  std::uint64_t number = 0;
  v1::Result result;
};

/// VIEW KEEPER -> whoever asked.
struct view_status {
  view now;               ///< number 0 = none is known yet
  std::uint64_t life = 0; ///< of this start; 0 = none yet
};

/// ADMIN -> EXPLAINER: what does everybody have of this key?
struct explain_request {
  shard_id shard;
  std::string key; ///< as stored
  instant until;   ///< whoever has not answered by then is said not to have
};

/// ADMIN -> STREAM REPLICA: values that this node accepted and that lost against concurrent ones.
struct conflicts_question {
  std::string prefix;  ///< of the stored key
  std::size_t max = 0; ///< so many, the newest
  conflict_id only;    ///< seq 0 = all, else this one
};
struct conflict_list {
  std::vector<conflict> conflicts;
  std::size_t kept = 0;      ///< in the ledger, asked for or not
  std::uint64_t evicted = 0; ///< from it, for want of room, since the node's start
};

/// ADMIN -> STREAM REPLICA: somebody has dealt with it. Answered by whether it was there.
struct conflict_settled {
  conflict_id which;
};

/// EXPLAINER -> LOCK MANAGER of the shard, or STREAM REPLICA, of its node. Answered at once; changes nothing.
struct key_question {
  std::string key;
};

/// STORE DRIVER -> EXPLAINER.
struct key_found {
  std::uint64_t question = 0; ///< the explainer's own
  v1::ExplainTold view;
};

/// EXPLAINER -> whoever asked: one entry per member, in the order of the list.
struct explanation {
  struct node {
    node_id who;
    bool answered = false;
    std::vector<v1::KeyView> views;
  };
  std::vector<node> nodes;
};

/// MANAGERS of the weaker levels -> SESSION: the outcome of an operation, exactly once.
struct weak_settled {
  request_id id;         ///< as it was submitted
  v1::WeakAnswer answer; ///< with that id, too
  /// Of a write whose outcome is *unknown*: what to submit, as it is, to learn the outcome later. executor 0 =
  /// nothing.
  v1::WeakOperation unsettled;
};

/// API -> SESSION: what has the session seen? Answered after all that was asked before it was taken in, not settled.
struct session_token_request {};

/// API -> SESSION: a token was presented; whatever is called after it has seen this, too. Repeated: changes nothing.
struct session_token_join {
  v1::SessionVector token;
};

/// LINK -> STRONG MANAGER: this attempt was not sent, and the peer will never see it.
struct unsent {
  node_id peer;
  v1::Operation operation;
  errc why = errc::none; ///< why no attempt can ever be sent to it; none = another one may
};

/// LINK -> MANAGER of the operation's level: this attempt was not sent, and the peer will never see it.
struct weak_unsent {
  node_id peer;
  v1::WeakOperation operation;
  errc why = errc::none; ///< why no attempt can ever be sent to it; none = another one may
};

/// VIEW KEEPER -> MANAGERS of the weaker levels: the view has changed. Replaces what an earlier one said.
struct lives_changed {
  std::map<node_id, std::uint64_t> lives; ///< of the members that have one; the newest
  std::set<node_id> out;                  ///< those that the view does not count
};

/// MANAGER of a weaker level -> whoever asked. Counts of this start of the node.
struct weak_manager_status {
  level which = level::eventual;
  std::uint64_t open = 0;
  std::uint64_t done = 0;
  std::uint64_t not_done = 0;
  std::uint64_t unknown = 0;
  std::uint64_t retries = 0;   ///< attempts after the first, to the same node
  std::uint64_t forwards = 0;  ///< reads that went to another replica, too
  std::uint64_t restarts = 0;  ///< writes that began again elsewhere, since nothing had happened
  std::uint64_t waits = 0;     ///< operations that waited for what they depend on
  std::uint64_t waited_us = 0; ///< all of them together
};

} // namespace troupe
