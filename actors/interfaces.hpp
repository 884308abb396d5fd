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
#include "protocol/strong/named_lock.hpp"
#include "protocol/wire/frame.pb.h"
#include "protocol/wire/membership.pb.h"
#include "protocol/wire/strong.pb.h"

#include <caf/actor.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/type_id.hpp>
#include <caf/typed_actor.hpp>

#include <functional>
#include <memory>
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

/// One per open session. Numbers the session's operations, keeps their order, records them.
using session_actor = caf::typed_actor<caf::reacts_to<session_call>, caf::reacts_to<call_cancelled>,
                                       /// STRONG MANAGER: the outcome, exactly once per operation.
                                       caf::reacts_to<v1::OperationAnswer>,
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
    caf::reacts_to<violation>,
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
TROUPE_LOCAL_MESSAGE(troupe::violation)
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
CAF_ADD_TYPE_ID(troupe, (troupe::violation))
CAF_ADD_TYPE_ID(troupe, (troupe::operation_tally))
CAF_ADD_TYPE_ID(troupe, (troupe::alert_notice))
CAF_ADD_TYPE_ID(troupe, (troupe::conflict_event))
CAF_ADD_TYPE_ID(troupe, (troupe::repair_event))
CAF_ADD_TYPE_ID(troupe, (troupe::monitor_status))
CAF_ADD_TYPE_ID(troupe, (troupe::audit_begun))
CAF_ADD_TYPE_ID(troupe, (troupe::audit_ended))
CAF_ADD_TYPE_ID(troupe, (troupe::alert_listener_actor))
CAF_END_TYPE_ID_BLOCK(troupe)
