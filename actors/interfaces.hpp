/// Every typed actor interface of a node, on one page. What they tell each other: messages.hpp.
///
/// Shape of a line: what arrives; in the comment: from whom, when, what it does, what makes it safe to repeat.
/// (node_id from, message) = a message between nodes, or from this node to itself; `from` is the sending node.
/// INTERNAL = the actor or its driver sends it to the actor itself. Nothing here blocks or answers late: every
/// question that may travel is a pair of one-way messages.
#pragma once

#include "actors/caf_protobuf.hpp"
#include "actors/messages.hpp"
#include "protocol/ids.hpp"
#include "protocol/stream/stream_replica.hpp"
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
    /// STATUS, EXPLAINER.
    caf::replies_to<caf::atom_constant<caf::atom("status")>>::with<home_status>,
    caf::replies_to<key_question>::with<v1::ExplainTold>>;

/// LOCK MANAGER -> TIMEKEEPER: a tick when `at` has come, or some milliseconds later.
struct wake_request {
  instant at; ///< on this node's clock
  lock_manager_actor who;
};

/// One per node with shards: the timers of their actors.
using timekeeper_actor = caf::typed_actor<caf::reacts_to<wake_request>,
                                          /// INTERNAL.
                                          caf::reacts_to<caf::atom_constant<caf::atom("tick")>>>;

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
    /// STREAM REPLICAS of the other members. Safe to lose, repeat and reorder.
    caf::reacts_to<node_id, v1::FreshnessAsked>, caf::reacts_to<node_id, v1::FreshnessTold>,
    /// And of those that store the same shards. A repeated or late one changes nothing.
    caf::reacts_to<node_id, v1::CopyAsked>, caf::reacts_to<node_id, v1::CopyTold>,
    caf::reacts_to<node_id, v1::TreeAsked>, caf::reacts_to<node_id, v1::TreeTold>,
    /// UPDATE STREAMS of those, whose logs do not reach this node. Repeated.
    caf::reacts_to<node_id, v1::CopyOffered>,
    /// UPDATE STREAMS.
    caf::reacts_to<incoming_updates>, caf::reacts_to<stored_at_peer>,
    /// FRONTIER.
    caf::reacts_to<region_advanced>, caf::reacts_to<origin_ended>, caf::reacts_to<everywhere_advanced>,
    caf::reacts_to<dependency_met>, caf::reacts_to<dependency_missed>,
    /// LINKS, VIEW KEEPER.
    caf::reacts_to<peer_change>, caf::reacts_to<view_changed>,
    /// STORE DRIVER.
    caf::reacts_to<persisted>, caf::reacts_to<weak_loaded>, caf::reacts_to<log_page>, caf::reacts_to<copy_page>,
    /// NODE: every actor is there, begin.
    caf::reacts_to<caf::atom_constant<caf::atom("start")>>,
    /// INTERNAL: hand what was gathered to the store; time.
    caf::reacts_to<caf::atom_constant<caf::atom("flush")>>, caf::reacts_to<caf::atom_constant<caf::atom("tick")>>,
    /// STATUS, EXPLAINER.
    caf::replies_to<caf::atom_constant<caf::atom("status")>>::with<stream_replica::status>,
    caf::replies_to<key_question>::with<v1::ExplainTold>,
    /// ADMIN.
    caf::replies_to<conflicts_question>::with<conflict_list>, caf::replies_to<conflict_settled>::with<bool>>;

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

/// One per node: what every layer of every member has of a key, for people.
using explainer_actor = caf::typed_actor<
    /// ADMIN.
    caf::replies_to<explain_request>::with<explanation>,
    /// EXPLAINERS of other nodes. Safe to lose, repeat and reorder.
    caf::reacts_to<node_id, v1::ExplainAsked>, caf::reacts_to<node_id, v1::ExplainTold>,
    /// STORE DRIVER.
    caf::reacts_to<key_found>,
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
TROUPE_LOCAL_MESSAGE(troupe::copy_page)
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
TROUPE_LOCAL_MESSAGE(troupe::explain_request)
TROUPE_LOCAL_MESSAGE(troupe::key_question)
TROUPE_LOCAL_MESSAGE(troupe::key_found)
TROUPE_LOCAL_MESSAGE(troupe::explanation)
TROUPE_LOCAL_MESSAGE(troupe::conflicts_question)
TROUPE_LOCAL_MESSAGE(troupe::conflict_list)
TROUPE_LOCAL_MESSAGE(troupe::conflict_settled)
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
CAF_ADD_TYPE_ID(troupe, (troupe::v1::FreshnessAsked))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::FreshnessTold))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::CopyOffered))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::CopyAsked))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::CopyTold))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::TreeAsked))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::TreeTold))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::ExplainAsked))
CAF_ADD_TYPE_ID(troupe, (troupe::v1::ExplainTold))
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
CAF_ADD_TYPE_ID(troupe, (troupe::copy_page))
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
CAF_ADD_TYPE_ID(troupe, (troupe::explain_request))
CAF_ADD_TYPE_ID(troupe, (troupe::conflicts_question))
CAF_ADD_TYPE_ID(troupe, (troupe::conflict_list))
CAF_ADD_TYPE_ID(troupe, (troupe::conflict_settled))
CAF_ADD_TYPE_ID(troupe, (troupe::key_question))
CAF_ADD_TYPE_ID(troupe, (troupe::key_found))
CAF_ADD_TYPE_ID(troupe, (troupe::explanation))
CAF_ADD_TYPE_ID(troupe, (troupe::audit_begun))
CAF_ADD_TYPE_ID(troupe, (troupe::audit_ended))
CAF_ADD_TYPE_ID(troupe, (troupe::alert_listener_actor))
CAF_END_TYPE_ID_BLOCK(troupe)
