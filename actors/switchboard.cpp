#include "actors/switchboard.hpp"

namespace troupe {

namespace {

/// What no manager is of, when a peer made the number up.
level level_of(const v1::WeakAnswer& answer) {
  return answer.level() < static_cast<std::uint32_t>(level::strong) ? static_cast<level>(answer.level())
                                                                    : level::strong;
}

template <class Handle, class Message> bool hand_over(const Handle& owner, node_id from, Message* message) {
  if (!owner) return false;
  caf::anon_send(owner, from, std::move(*message));
  return true;
}

template <class Message>
bool hand_to_shard(const std::vector<lock_manager_actor>& owners, node_id from, Message* message) {
  if (message->shard() >= owners.size()) return false;
  return hand_over(owners[message->shard()], from, message);
}

bool hand_to_stream(const std::map<node_id, update_stream_actor>& streams, node_id from, auto* message) {
  const auto i = streams.find(from);
  return i != streams.end() && hand_over(i->second, from, message);
}

/// False when any of the leases is of a shard that has no owner here.
bool split_by_shard(const std::vector<lock_manager_actor>& owners, node_id from, v1::LeaseRenew& renew) {
  bool all = true;
  for (auto& held : *renew.mutable_leases()) {
    const auto owner = held.shard() < owners.size() ? owners[held.shard()] : lock_manager_actor{};
    if (owner) caf::anon_send(owner, held_renewal{from, renew.number(), std::move(held)});
    all = all && owner;
  }
  return all;
}

} // namespace

const weak_manager_actor& switchboard::weak_manager(level which) const {
  static const weak_manager_actor nobody;
  switch (which) {
  case level::eventual:
    return eventual_manager;
  case level::session:
    return session_manager;
  case level::causal:
    return causal_manager;
  case level::strong:
    return nobody;
  }
  return nobody;
}

void switchboard::post(node_id to, v1::Envelope envelope) const {
  if (to == self) {
    deliver(self, envelope);
    return;
  }
  if (auto i = links.find(to); i != links.end()) {
    caf::anon_send(i->second, std::move(envelope));
    return;
  }
  if (door) caf::anon_send(door, to, std::move(envelope));
}

bool switchboard::deliver(node_id from, v1::Envelope& e) const {
  switch (e.body_case()) {
  case v1::Envelope::kClaim:
    return hand_over(replica, from, e.mutable_claim());
  case v1::Envelope::kGranted:
    return hand_to_shard(lock_managers, from, e.mutable_granted());
  case v1::Envelope::kRefused:
    return hand_to_shard(lock_managers, from, e.mutable_refused());
  case v1::Envelope::kReleaseHome:
    return hand_over(replica, from, e.mutable_release_home());
  case v1::Envelope::kRenewLeases:
    return hand_over(replica, from, e.mutable_renew_leases());
  case v1::Envelope::kLeasesRenewed:
    return hand_over(membership, from, e.mutable_leases_renewed());
  case v1::Envelope::kReadLatest:
    return hand_over(replica, from, e.mutable_read_latest());
  case v1::Envelope::kLatest:
    return hand_to_shard(lock_managers, from, e.mutable_latest());
  case v1::Envelope::kAbstain:
    return hand_to_shard(lock_managers, from, e.mutable_abstain());
  case v1::Envelope::kAccept:
    return hand_over(replica, from, e.mutable_accept());
  case v1::Envelope::kAccepted:
    return hand_to_shard(lock_managers, from, e.mutable_accepted());
  case v1::Envelope::kSuperseded:
    return hand_to_shard(lock_managers, from, e.mutable_superseded());
  case v1::Envelope::kOperation:
    return hand_to_shard(lock_managers, from, e.mutable_operation());
  case v1::Envelope::kOperationAnswer:
    return hand_over(strong_manager, from, e.mutable_operation_answer());
  case v1::Envelope::kNotHome:
    return hand_over(strong_manager, from, e.mutable_not_home());
  case v1::Envelope::kLockRequest:
    return hand_to_shard(lock_managers, from, e.mutable_lock_request());
  case v1::Envelope::kLockRelease:
    return hand_to_shard(lock_managers, from, e.mutable_lock_release());
  case v1::Envelope::kRecalled:
    return hand_to_shard(lock_managers, from, e.mutable_recalled());
  case v1::Envelope::kLeaseRenew:
    return split_by_shard(lock_managers, from, *e.mutable_lease_renew());
  case v1::Envelope::kLeaseGranted:
    return hand_over(memory_layer, from, e.mutable_lease_granted());
  case v1::Envelope::kLockGranted:
    return hand_over(memory_layer, from, e.mutable_lock_granted());
  case v1::Envelope::kLargeCopy:
    return hand_over(memory_layer, from, e.mutable_large_copy());
  case v1::Envelope::kLockRefused:
    return hand_over(memory_layer, from, e.mutable_lock_refused());
  case v1::Envelope::kRecall:
    return hand_over(memory_layer, from, e.mutable_recall());
  case v1::Envelope::kCommitted:
    return hand_over(memory_layer, from, e.mutable_committed());
  case v1::Envelope::kCollect:
    return hand_over(replica, from, e.mutable_collect());
  case v1::Envelope::kListTombstones:
    return hand_over(replica, from, e.mutable_list_tombstones());
  case v1::Envelope::kTombstones:
    return hand_to_shard(lock_managers, from, e.mutable_tombstones());
  case v1::Envelope::kWeakOperation:
    return hand_over(stream_replica, from, e.mutable_weak_operation());
  case v1::Envelope::kWeakAnswer:
    return hand_over(weak_manager(level_of(e.weak_answer())), from, e.mutable_weak_answer());
  case v1::Envelope::kUpdates:
    return hand_to_stream(update_streams, from, e.mutable_updates());
  case v1::Envelope::kUpdatesAcknowledged:
    return hand_to_stream(update_streams, from, e.mutable_updates_acknowledged());
  case v1::Envelope::kFrontierFacts:
    return hand_over(frontier, from, e.mutable_frontier_facts());
  case v1::Envelope::kFreshnessAsked:
    return hand_over(stream_replica, from, e.mutable_freshness_asked());
  case v1::Envelope::kFreshnessTold:
    return hand_over(stream_replica, from, e.mutable_freshness_told());
  case v1::Envelope::kCopyOffered:
    return hand_over(stream_replica, from, e.mutable_copy_offered());
  case v1::Envelope::kCopyAsked:
    return hand_over(stream_replica, from, e.mutable_copy_asked());
  case v1::Envelope::kCopyTold:
    return hand_over(stream_replica, from, e.mutable_copy_told());
  case v1::Envelope::kTreeAsked:
    return hand_over(stream_replica, from, e.mutable_tree_asked());
  case v1::Envelope::kTreeTold:
    return hand_over(stream_replica, from, e.mutable_tree_told());
  case v1::Envelope::kExplainAsked:
    return hand_over(explainer, from, e.mutable_explain_asked());
  case v1::Envelope::kExplainTold:
    return hand_over(explainer, from, e.mutable_explain_told());
  case v1::Envelope::kViewChanged:
    return hand_over(view_keeper, from, e.mutable_view_changed());
  case v1::Envelope::kViewHeartbeat:
    return hand_over(view_keeper, from, e.mutable_view_heartbeat());
  case v1::Envelope::BODY_NOT_SET:
    return false;
  }
  return false;
}

} // namespace troupe
