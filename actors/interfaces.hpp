/// Every typed actor interface of a node, on one page.
///
/// Shape of a line: what arrives; in the comment: from whom, when, what it does, what makes it safe to repeat.
/// (node_id from, message) = a message between nodes, or from this node to itself; `from` is the sending node.
/// INTERNAL = the actor or its driver sends it to the actor itself. Nothing here blocks or answers late: every
/// question that may travel is a pair of one-way messages.
#pragma once

#include "actors/caf_protobuf.hpp"
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

#include <caf/actor.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/type_id.hpp>
#include <caf/typed_actor.hpp>
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

// -- messages that never leave a node
// ---------------------------------------------------------------------------------

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

// -- interfaces
// -------------------------------------------------------------------------------------------------------

/// One per peer. The only actor that knows remote handles. Frames out, frames in, credit, heartbeats, redial.
using link_actor = caf::typed_actor<
    /// Any actor of this node -> send to the peer. Queued for credit; dropped with a count, and an operation handed
    /// back to the strong manager, when the queue is full or the peer is down.
    caf::reacts_to<v1::Envelope>,
    /// DOOR: a peer has said hello and was admitted; `wire` is its connection, and replaces an older one.
    caf::reacts_to<v1::Hello, caf::strong_actor_ptr>,
    /// DOOR: a hello of the peer was refused; for status and log.
    caf::reacts_to<caf::atom_constant<caf::atom("turnedaway")>, v1::HelloRefused>,
    /// Over the wire: the peer's consent, its refusal, its frames.
    caf::reacts_to<v1::Hello>, caf::reacts_to<v1::HelloRefused>, caf::reacts_to<v1::Frame>,
    /// TRANSPORT: how a dial went.
    caf::reacts_to<caf::atom_constant<caf::atom("dialled")>, node_id, caf::strong_actor_ptr>,
    caf::reacts_to<caf::atom_constant<caf::atom("dialfail")>, node_id, std::string>,
    /// INTERNAL: flush what has gathered; heartbeat, deadlines, redial; deliver what an injected delay has held back.
    caf::reacts_to<caf::atom_constant<caf::atom("flush")>>, caf::reacts_to<caf::atom_constant<caf::atom("tick")>>,
    caf::reacts_to<caf::atom_constant<caf::atom("delayed")>>,
    /// STATUS.
    caf::replies_to<caf::atom_constant<caf::atom("status")>>::with<link_status>>;

/// One per node: sharded inside. Durable records and promises; the core is `acceptor`.
using replica_actor =
    caf::typed_actor<caf::reacts_to<node_id, v1::Claim>, caf::reacts_to<node_id, v1::ReleaseHome>,
                     caf::reacts_to<node_id, v1::RenewLeases>, caf::reacts_to<node_id, v1::ReadLatest>,
                     caf::reacts_to<node_id, v1::Accept>, caf::reacts_to<node_id, v1::Collect>,
                     /// LOCK MANAGERS of this node.
                     caf::reacts_to<node_id, v1::ListTombstones>,
                     /// STORE DRIVER.
                     caf::reacts_to<persisted>, caf::reacts_to<loaded>, caf::reacts_to<scanned>,
                     /// INTERNAL: a lease may have ended; hand the gathered writes to the store.
                     caf::reacts_to<caf::atom_constant<caf::atom("tick")>>,
                     caf::reacts_to<caf::atom_constant<caf::atom("flush")>>,
                     /// STATUS.
                     caf::replies_to<caf::atom_constant<caf::atom("status")>>::with<replica_status>>;

/// One per shard: the home of its keys when this node leads the shard, a candidate when nobody does. The core is
/// `home`.
using lock_manager_actor = caf::typed_actor<
    /// REPLICAS' answers.
    caf::reacts_to<node_id, v1::Granted>, caf::reacts_to<node_id, v1::Refused>, caf::reacts_to<node_id, v1::Latest>,
    caf::reacts_to<node_id, v1::Abstain>, caf::reacts_to<node_id, v1::Accepted>,
    caf::reacts_to<node_id, v1::Superseded>, caf::reacts_to<node_id, v1::Tombstones>,
    /// STRONG MANAGERS of any node.
    caf::reacts_to<node_id, v1::Operation>,
    /// MEMORY LAYERS of any node.
    caf::reacts_to<node_id, v1::LockRequest>, caf::reacts_to<node_id, v1::LockRelease>,
    caf::reacts_to<node_id, v1::Recalled>, caf::reacts_to<held_renewal>,
    /// MEMBERSHIP and REPLICA of this node.
    caf::reacts_to<lease_renewed>, caf::reacts_to<home_seen>, caf::reacts_to<peer_change>,
    /// NODE: every actor is there, begin.
    caf::reacts_to<caf::atom_constant<caf::atom("start")>>,
    /// NODE: hand the shard over and stop deciding, for good; answered when it has been released.
    caf::replies_to<caf::atom_constant<caf::atom("release")>>::with<bool>,
    /// INTERNAL.
    caf::reacts_to<caf::atom_constant<caf::atom("tick")>>,
    caf::replies_to<caf::atom_constant<caf::atom("status")>>::with<home_status>>;

/// LOCK MANAGER -> TIMEKEEPER: a tick when `at` has come, or some milliseconds later.
struct wake_request {
  instant at; ///< on this node's clock
  lock_manager_actor who;
};

/// One per node with shards: the timers of their actors.
using timekeeper_actor = caf::typed_actor<caf::reacts_to<wake_request>,
                                          /// INTERNAL.
                                          caf::reacts_to<caf::atom_constant<caf::atom("tick")>>>;

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

/// One per open session. Numbers the session's operations, keeps their order, records them, and knows what it has
/// seen.
using session_actor = caf::typed_actor<caf::reacts_to<session_call>, caf::reacts_to<call_cancelled>,
                                       /// STRONG MANAGER: the outcome, exactly once per operation.
                                       caf::reacts_to<v1::OperationAnswer>,
                                       /// Another MANAGER: likewise.
                                       caf::reacts_to<weak_settled>,
                                       /// API.
                                       caf::replies_to<session_token_request>::with<v1::SessionVector>,
                                       caf::reacts_to<session_token_join>,
                                       /// INTERNAL: the deadline of a write that waits for its turn.
                                       caf::reacts_to<caf::atom_constant<caf::atom("tick")>>,
                                       /// API: fail what is open as *unknown* and end.
                                       caf::reacts_to<caf::atom_constant<caf::atom("close")>>>;

/// What a session hands to a manager.
struct submission {
  v1::Operation operation; ///< id and shard set
  instant deadline;
  session_actor answer_to;
  node_id hint; ///< who seems to be home; value 0 = not known
};

/// LINK -> STRONG MANAGER: this attempt was not sent, and the peer will never see it.
struct unsent {
  node_id peer;
  v1::Operation operation;
  errc why = errc::none; ///< why no attempt can ever be sent to it; none = another one may
};

/// One per node. Keeps this node's strong operations until they are settled: redirect, retry, deadline. Core:
/// `requests`.
using strong_manager_actor =
    caf::typed_actor<caf::reacts_to<submission>, caf::reacts_to<operation_cancelled>,
                     caf::reacts_to<node_id, v1::OperationAnswer>, caf::reacts_to<node_id, v1::NotHome>,
                     /// LINK: this operation was not sent.
                     caf::reacts_to<unsent>, caf::reacts_to<peer_change>,
                     /// INTERNAL.
                     caf::reacts_to<caf::atom_constant<caf::atom("tick")>>>;

/// What a session hands to the manager of a weaker level.
struct weak_submission {
  v1::WeakOperation operation; ///< all set but attempt and executor; or what `weak_settled::unsettled` was
  instant deadline;
  session_actor answer_to;
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

/// One per node and weaker level. Keeps this node's operations of that level until they are settled: choice of the
/// replica, retry, forward, deadline. Core: `weak_requests`.
using weak_manager_actor = caf::typed_actor<
    /// SESSION.
    caf::reacts_to<weak_submission>, caf::reacts_to<operation_cancelled>,
    /// STREAM REPLICAS of any node.
    caf::reacts_to<node_id, v1::WeakAnswer>,
    /// LINK: this operation was not sent.
    caf::reacts_to<weak_unsent>,
    /// MEMBERSHIP, VIEW KEEPER.
    caf::reacts_to<peer_change>, caf::reacts_to<lives_changed>,
    /// INTERNAL.
    caf::reacts_to<caf::atom_constant<caf::atom("tick")>>,
    /// STATUS.
    caf::replies_to<caf::atom_constant<caf::atom("status")>>::with<weak_manager_status>>;

/// One per member: the records of the weaker types that it stores. Core: `stream_replica`.
using stream_replica_actor = caf::typed_actor<
    /// MANAGERS of the weaker levels, of any node. Answered by WeakAnswer; a repeated id is executed once.
    caf::reacts_to<node_id, v1::WeakOperation>,
    /// UPDATE STREAMS.
    caf::reacts_to<incoming_updates>, caf::reacts_to<stored_at_peer>,
    /// FRONTIER.
    caf::reacts_to<region_advanced>, caf::reacts_to<origin_ended>, caf::reacts_to<everywhere_advanced>,
    caf::reacts_to<dependency_met>, caf::reacts_to<dependency_missed>,
    /// VIEW KEEPER.
    caf::reacts_to<view_changed>,
    /// STORE DRIVER.
    caf::reacts_to<persisted>, caf::reacts_to<weak_loaded>, caf::reacts_to<log_page>,
    /// NODE: every actor is there, begin.
    caf::reacts_to<caf::atom_constant<caf::atom("start")>>,
    /// INTERNAL: hand what was gathered to the store; time.
    caf::reacts_to<caf::atom_constant<caf::atom("flush")>>, caf::reacts_to<caf::atom_constant<caf::atom("tick")>>,
    /// STATUS.
    caf::replies_to<caf::atom_constant<caf::atom("status")>>::with<stream_replica::status>>;

/// One per other member: sends it this node's updates, and takes in its own. Cores: `outbound`, `inbound`.
using update_stream_actor = caf::typed_actor<
    /// Its counterpart on that member. Taken once, in order; anything else is asked for again, or dropped.
    caf::reacts_to<node_id, v1::Updates>, caf::reacts_to<node_id, v1::UpdatesAcknowledged>,
    /// STREAM REPLICA.
    caf::reacts_to<own_statement>, caf::reacts_to<received_durable>, caf::reacts_to<own_life_ended>,
    /// MEMBERSHIP, VIEW KEEPER.
    caf::reacts_to<peer_change>, caf::reacts_to<view_changed>,
    /// STORE DRIVER.
    caf::reacts_to<log_page>,
    /// INTERNAL.
    caf::reacts_to<caf::atom_constant<caf::atom("flush")>>, caf::reacts_to<caf::atom_constant<caf::atom("tick")>>,
    /// STATUS.
    caf::replies_to<caf::atom_constant<caf::atom("status")>>::with<update_stream_status>>;

/// One per member: who has received what, what is visible in this region, and who waits for it. Core: `frontier`.
using frontier_actor = caf::typed_actor<
    /// FRONTIERS of the other members. A later one replaces the earlier ones; a stale one changes nothing.
    caf::reacts_to<node_id, v1::FrontierFacts>,
    /// STREAM REPLICA, UPDATE STREAMS.
    caf::reacts_to<received_durable>, caf::reacts_to<origin_clock>, caf::reacts_to<own_life_ended>,
    caf::reacts_to<region_facts>, caf::reacts_to<dependency_wait>, caf::reacts_to<dependency_forgotten>,
    /// MEMBERSHIP, VIEW KEEPER.
    caf::reacts_to<peer_change>, caf::reacts_to<view_changed>,
    /// INTERNAL.
    caf::reacts_to<caf::atom_constant<caf::atom("flush")>>, caf::reacts_to<caf::atom_constant<caf::atom("tick")>>,
    /// STATUS.
    caf::replies_to<caf::atom_constant<caf::atom("status")>>::with<frontier_status>>;

/// One per node with a memory table: the only writer of that table. Core: `holder`.
using memory_layer_actor = caf::typed_actor<
    /// LOCK MANAGERS of any node, as homes.
    caf::reacts_to<node_id, v1::LeaseGranted>, caf::reacts_to<node_id, v1::LockGranted>,
    caf::reacts_to<node_id, v1::LargeCopy>, caf::reacts_to<node_id, v1::LockRefused>,
    caf::reacts_to<node_id, v1::Recall>, caf::reacts_to<node_id, v1::Committed>,
    /// SESSION: a read that the table had no answer to, answered as the strong manager does, or handed to it; or a
    /// write, handed to it once the table has dropped the key. So is a cancellation that comes after it.
    caf::reacts_to<submission>, caf::reacts_to<operation_cancelled>,
    /// MEMBERSHIP.
    caf::reacts_to<peer_change>,
    /// NODE: give every lease back, and ask for none any more.
    caf::replies_to<caf::atom_constant<caf::atom("release")>>::with<bool>,
    /// INTERNAL.
    caf::reacts_to<caf::atom_constant<caf::atom("tick")>>,
    /// STATUS.
    caf::replies_to<caf::atom_constant<caf::atom("status")>>::with<memory_status>>;

/// One per node: who is there, who may speak, and the renewal of every lease of this node. Core: `membership`.
using membership_actor = caf::typed_actor<
    /// DOOR, LINK: may this peer speak? Answers with error 0 = admitted.
    caf::replies_to<v1::Hello>::with<v1::HelloRefused>, caf::reacts_to<peer_change>, caf::reacts_to<lead_change>,
    caf::reacts_to<node_id, v1::LeasesRenewed>,
    /// NODE: every actor is there, begin.
    caf::reacts_to<caf::atom_constant<caf::atom("start")>>,
    /// INTERNAL.
    caf::reacts_to<caf::atom_constant<caf::atom("tick")>>>;

/// Whoever wants to hear of alerts: raised, repeated, resolved.
using alert_listener_actor = caf::typed_actor<caf::reacts_to<alert_notice>>;

/// One per node. Everybody tells it, it asks nobody: counts, and alerts to the log and to whoever has subscribed.
/// Core: `violation_ledger`.
using monitor_actor = caf::typed_actor<
    /// ANY ACTOR of this node, when a check found something; equal ones may be counted together. A duplicate counts
    /// twice.
    caf::reacts_to<violation_event>,
    /// Operations that have ended since the last one.
    caf::reacts_to<operation_tally>, caf::reacts_to<conflict_event>, caf::reacts_to<repair_event>,
    /// From now on, until it ends, the listener is told; false = it cannot be: there are too many. Subscribing twice
    /// changes nothing.
    caf::replies_to<caf::atom_constant<caf::atom("subscribe")>, alert_listener_actor>::with<bool>,
    /// NODE: every actor is there, begin.
    caf::reacts_to<caf::atom_constant<caf::atom("start")>>,
    /// INTERNAL.
    caf::reacts_to<caf::atom_constant<caf::atom("tick")>>,
    /// STATUS.
    caf::replies_to<caf::atom_constant<caf::atom("status")>>::with<monitor_status>>;

/// One per node whose configuration asks for it, on a thread of its own: a search may take long. Core:
/// `check::audit`.
using auditor_actor = caf::typed_actor<caf::reacts_to<audit_begun>, caf::reacts_to<audit_ended>,
                                       /// API: judge what there is; answered when that is done.
                                       caf::replies_to<caf::atom_constant<caf::atom("judge")>>::with<bool>,
                                       /// INTERNAL.
                                       caf::reacts_to<caf::atom_constant<caf::atom("tick")>>>;

/// One per member of a cluster with types of weaker levels: the life of this start, and who is counted. Core:
/// `view_keeper`.
using view_keeper_actor = caf::typed_actor<
    /// VIEW KEEPERS of other members. Safe to lose, repeat and reorder.
    caf::reacts_to<node_id, v1::ViewChanged>, caf::reacts_to<node_id, v1::ViewHeartbeat>,
    /// MEMBERSHIP.
    caf::reacts_to<peer_change>,
    /// FRONTIER, and any actor that sees a view number.
    caf::reacts_to<caught_up>, caf::reacts_to<view_number_seen>,
    /// Any actor of this node. Refused, by silence and a line in the log, past `view_listeners_max`.
    caf::reacts_to<view_listener>,
    /// NODE: every actor is there, begin.
    caf::reacts_to<caf::atom_constant<caf::atom("start")>>,
    /// INTERNAL: by way of its session, the record's answer; a deadline.
    caf::reacts_to<register_answered>, caf::reacts_to<caf::atom_constant<caf::atom("tick")>>,
    /// STATUS.
    caf::replies_to<caf::atom_constant<caf::atom("status")>>::with<view_status>>;

/// What peers reach when they dial this node; also keeps the links of client nodes, which are not in the static list.
/// Untyped towards the network (a stranger may send anything; whatever is not a Hello is counted and dropped).
using door_actor = caf::actor;

using dialled_atom = caf::atom_constant<caf::atom("dialled")>;
using dial_failed_atom = caf::atom_constant<caf::atom("dialfail")>;
using turned_away_atom = caf::atom_constant<caf::atom("turnedaway")>;
using flush_atom = caf::atom_constant<caf::atom("flush")>;
using tick_atom = caf::atom_constant<caf::atom("tick")>;
using delayed_atom = caf::atom_constant<caf::atom("delayed")>;
using status_atom = caf::atom_constant<caf::atom("status")>;
using release_atom = caf::atom_constant<caf::atom("release")>;
using start_atom = caf::atom_constant<caf::atom("start")>;
using close_atom = caf::atom_constant<caf::atom("close")>;
using subscribe_atom = caf::atom_constant<caf::atom("subscribe")>;
using judge_atom = caf::atom_constant<caf::atom("judge")>;

/// Of errors of ours that travel as CAF's; their codes are those of errc, and their context is the detail.
constexpr caf::atom_value error_category = caf::atom("troupe");

/// Makes the message types of this page, and our errors, known to a system that is about to be made.
void register_types(caf::actor_system_config& config);

template <class Inspector, class Tag, class Rep>
typename Inspector::result_type inspect(Inspector& f, strong_id<Tag, Rep>& x) {
  return f(x.value);
}

} // namespace troupe

#define TROUPE_LOCAL_MESSAGE(type) CAF_ALLOW_UNSAFE_MESSAGE_TYPE(type)
TROUPE_LOCAL_MESSAGE(troupe::peer_change)
TROUPE_LOCAL_MESSAGE(troupe::home_seen)
TROUPE_LOCAL_MESSAGE(troupe::lead_change)
TROUPE_LOCAL_MESSAGE(troupe::lease_renewed)
TROUPE_LOCAL_MESSAGE(troupe::held_renewal)
TROUPE_LOCAL_MESSAGE(troupe::memory_status)
TROUPE_LOCAL_MESSAGE(troupe::persisted)
TROUPE_LOCAL_MESSAGE(troupe::loaded)
TROUPE_LOCAL_MESSAGE(troupe::scanned)
TROUPE_LOCAL_MESSAGE(troupe::replica_status)
TROUPE_LOCAL_MESSAGE(troupe::wake_request)
TROUPE_LOCAL_MESSAGE(troupe::session_call)
TROUPE_LOCAL_MESSAGE(troupe::call_cancelled)
TROUPE_LOCAL_MESSAGE(troupe::operation_cancelled)
TROUPE_LOCAL_MESSAGE(troupe::submission)
TROUPE_LOCAL_MESSAGE(troupe::unsent)
TROUPE_LOCAL_MESSAGE(troupe::link_status)
TROUPE_LOCAL_MESSAGE(troupe::door_status)
TROUPE_LOCAL_MESSAGE(troupe::home_status)
TROUPE_LOCAL_MESSAGE(troupe::weak_settled)
TROUPE_LOCAL_MESSAGE(troupe::session_token_request)
TROUPE_LOCAL_MESSAGE(troupe::session_token_join)
TROUPE_LOCAL_MESSAGE(troupe::weak_submission)
TROUPE_LOCAL_MESSAGE(troupe::weak_unsent)
TROUPE_LOCAL_MESSAGE(troupe::lives_changed)
TROUPE_LOCAL_MESSAGE(troupe::weak_manager_status)
TROUPE_LOCAL_MESSAGE(troupe::view_changed)
TROUPE_LOCAL_MESSAGE(troupe::view_listener)
TROUPE_LOCAL_MESSAGE(troupe::caught_up)
TROUPE_LOCAL_MESSAGE(troupe::view_number_seen)
TROUPE_LOCAL_MESSAGE(troupe::register_answered)
TROUPE_LOCAL_MESSAGE(troupe::view_status)
TROUPE_LOCAL_MESSAGE(troupe::own_statement)
TROUPE_LOCAL_MESSAGE(troupe::origin_clock)
TROUPE_LOCAL_MESSAGE(troupe::incoming_updates)
TROUPE_LOCAL_MESSAGE(troupe::received_durable)
TROUPE_LOCAL_MESSAGE(troupe::stored_at_peer)
TROUPE_LOCAL_MESSAGE(troupe::own_life_ended)
TROUPE_LOCAL_MESSAGE(troupe::origin_ended)
TROUPE_LOCAL_MESSAGE(troupe::region_advanced)
TROUPE_LOCAL_MESSAGE(troupe::everywhere_advanced)
TROUPE_LOCAL_MESSAGE(troupe::region_facts)
TROUPE_LOCAL_MESSAGE(troupe::dependency_wait)
TROUPE_LOCAL_MESSAGE(troupe::dependency_forgotten)
TROUPE_LOCAL_MESSAGE(troupe::dependency_met)
TROUPE_LOCAL_MESSAGE(troupe::dependency_missed)
TROUPE_LOCAL_MESSAGE(troupe::log_page)
TROUPE_LOCAL_MESSAGE(troupe::weak_loaded)
TROUPE_LOCAL_MESSAGE(troupe::update_stream_status)
TROUPE_LOCAL_MESSAGE(troupe::frontier_status)
TROUPE_LOCAL_MESSAGE(troupe::stream_replica::status)
TROUPE_LOCAL_MESSAGE(troupe::violation_event)
TROUPE_LOCAL_MESSAGE(troupe::operation_tally)
TROUPE_LOCAL_MESSAGE(troupe::alert_notice)
TROUPE_LOCAL_MESSAGE(troupe::conflict_event)
TROUPE_LOCAL_MESSAGE(troupe::repair_event)
TROUPE_LOCAL_MESSAGE(troupe::monitor_status)
TROUPE_LOCAL_MESSAGE(troupe::audit_begun)
TROUPE_LOCAL_MESSAGE(troupe::audit_ended)
#undef TROUPE_LOCAL_MESSAGE

// Far from CAF's first free number, where the block of a service begins that has actors of its own: two blocks must
// not overlap in one program. Between nodes names travel, not numbers.
CAF_BEGIN_TYPE_ID_BLOCK(troupe, 30'000)
CAF_ADD_TYPE_ID(troupe, (troupe::node_id))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Hello))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::HelloRefused))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Frame))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Envelope))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Claim))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Granted))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Refused))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::ReleaseHome))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::RenewLeases))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::LeasesRenewed))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::ReadLatest))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Latest))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Abstain))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Accept))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Accepted))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Superseded))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Operation))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::OperationAnswer))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::NotHome))
CAF_ADD_TYPE_ID(troupe, (troupe::peer_change))
CAF_ADD_TYPE_ID(troupe, (troupe::home_seen))
CAF_ADD_TYPE_ID(troupe, (troupe::lead_change))
CAF_ADD_TYPE_ID(troupe, (troupe::lease_renewed))
CAF_ADD_TYPE_ID(troupe, (troupe::persisted))
CAF_ADD_TYPE_ID(troupe, (troupe::loaded))
CAF_ADD_TYPE_ID(troupe, (troupe::wake_request))
CAF_ADD_TYPE_ID(troupe, (troupe::session_call))
CAF_ADD_TYPE_ID(troupe, (troupe::submission))
CAF_ADD_TYPE_ID(troupe, (troupe::unsent))
CAF_ADD_TYPE_ID(troupe, (troupe::link_status))
CAF_ADD_TYPE_ID(troupe, (troupe::door_status))
CAF_ADD_TYPE_ID(troupe, (troupe::home_status))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::LockRequest))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::LockGranted))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::LargeCopy))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::LockRefused))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::LockRelease))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::LeaseGranted))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Recall))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Recalled))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Committed))
CAF_ADD_TYPE_ID(troupe, (troupe::held_renewal))
CAF_ADD_TYPE_ID(troupe, (troupe::memory_status))
CAF_ADD_TYPE_ID(troupe, (troupe::call_cancelled))
CAF_ADD_TYPE_ID(troupe, (troupe::operation_cancelled))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Collect))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::ListTombstones))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Tombstones))
CAF_ADD_TYPE_ID(troupe, (troupe::scanned))
CAF_ADD_TYPE_ID(troupe, (troupe::replica_status))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::SessionVector))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::WeakOperation))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::WeakAnswer))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::Updates))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::UpdatesAcknowledged))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::FrontierFacts))
CAF_ADD_TYPE_ID(troupe, (troupe::weak_settled))
CAF_ADD_TYPE_ID(troupe, (troupe::session_token_request))
CAF_ADD_TYPE_ID(troupe, (troupe::session_token_join))
CAF_ADD_TYPE_ID(troupe, (troupe::weak_submission))
CAF_ADD_TYPE_ID(troupe, (troupe::weak_unsent))
CAF_ADD_TYPE_ID(troupe, (troupe::lives_changed))
CAF_ADD_TYPE_ID(troupe, (troupe::weak_manager_status))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::ViewChanged))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::ViewHeartbeat))
CAF_ADD_TYPE_ID(troupe, (troupe::view_changed))
CAF_ADD_TYPE_ID(troupe, (troupe::view_listener))
CAF_ADD_TYPE_ID(troupe, (troupe::caught_up))
CAF_ADD_TYPE_ID(troupe, (troupe::view_number_seen))
CAF_ADD_TYPE_ID(troupe, (troupe::register_answered))
CAF_ADD_TYPE_ID(troupe, (troupe::view_status))
CAF_ADD_TYPE_ID(troupe, (troupe::own_statement))
CAF_ADD_TYPE_ID(troupe, (troupe::origin_clock))
CAF_ADD_TYPE_ID(troupe, (troupe::incoming_updates))
CAF_ADD_TYPE_ID(troupe, (troupe::received_durable))
CAF_ADD_TYPE_ID(troupe, (troupe::stored_at_peer))
CAF_ADD_TYPE_ID(troupe, (troupe::own_life_ended))
CAF_ADD_TYPE_ID(troupe, (troupe::origin_ended))
CAF_ADD_TYPE_ID(troupe, (troupe::region_advanced))
CAF_ADD_TYPE_ID(troupe, (troupe::everywhere_advanced))
CAF_ADD_TYPE_ID(troupe, (troupe::region_facts))
CAF_ADD_TYPE_ID(troupe, (troupe::dependency_wait))
CAF_ADD_TYPE_ID(troupe, (troupe::dependency_forgotten))
CAF_ADD_TYPE_ID(troupe, (troupe::dependency_met))
CAF_ADD_TYPE_ID(troupe, (troupe::dependency_missed))
CAF_ADD_TYPE_ID(troupe, (troupe::log_page))
CAF_ADD_TYPE_ID(troupe, (troupe::weak_loaded))
CAF_ADD_TYPE_ID(troupe, (troupe::update_stream_status))
CAF_ADD_TYPE_ID(troupe, (troupe::frontier_status))
CAF_ADD_TYPE_ID(troupe, (troupe::stream_replica::status))
CAF_ADD_TYPE_ID(troupe, (troupe::violation_event))
CAF_ADD_TYPE_ID(troupe, (troupe::operation_tally))
CAF_ADD_TYPE_ID(troupe, (troupe::alert_notice))
CAF_ADD_TYPE_ID(troupe, (troupe::conflict_event))
CAF_ADD_TYPE_ID(troupe, (troupe::repair_event))
CAF_ADD_TYPE_ID(troupe, (troupe::monitor_status))
CAF_ADD_TYPE_ID(troupe, (troupe::audit_begun))
CAF_ADD_TYPE_ID(troupe, (troupe::audit_ended))
CAF_ADD_TYPE_ID(troupe, (troupe::alert_listener_actor))
CAF_END_TYPE_ID_BLOCK(troupe)
