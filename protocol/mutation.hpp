/// Planted mistakes, for tests only: the tests must catch each of them by the invariant that it breaks.
///
/// In every build but the tests' `mutated()` is a constant false, and the compiler drops the branch.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace troupe {

enum class mutation : std::uint8_t {
  none,
  promise_not_persisted,    ///< a replica forgets its promises and leases when it restarts
  lease_from_answer,        ///< a home counts its lease from the answer's arrival, not from the request's departure
  first_touch_skipped,      ///< a home serves its own replica's copy without asking a majority
  write_back_skipped,       ///< a touched record that only a majority holds is served without being accepted again
  epoch_not_checked,        ///< a replica accepts from an epoch below its promise
  epoch_used_twice,         ///< a home that lapsed goes on in the same epoch
  lower_version_accepted,   ///< a replica stores a lower (ballot, version) over a higher one
  restarted_home_same,      ///< a replica takes a restarted node for the lessee that it was
  deduplication_off,        ///< a home executes a retry whose request id stands in the record
  acknowledged_before_sync, ///< a replica answers Accepted before the record is on disk
  recall_not_sent,          ///< a home commits without a word to the holders of the key
  recall_not_awaited,       ///< a home commits before the holders of the key have answered
  drain_not_awaited,        ///< a home lets its shard go while nodes still hold leases of it
  holder_outlives_home,     ///< a home grants a whole lease, whatever remains of its own
  held_from_grant,          ///< a holder counts its lease from the grant's arrival, not from the request's departure
  generation_not_checked,   ///< a holder applies what was sent in another generation
  old_connection_accepted,  ///< a holder goes on over a new connection, and takes what the old one brings late
  late_return_accepted,     ///< a home takes a lock back that it granted after the write that gives it back was sent
  duplicate_committed,      ///< a holder takes a repeated Committed for that of what is pending by then
  token_not_checked,        ///< a home lets a write pass under whatever grant of its lock
  tombstone_collected_too_early, ///< a home collects a tombstone that only a majority is known to hold
  floor_raised_without_draining, ///< a fence is answered while an older write of its keys is undecided
  lock_expiry_not_restarted,     ///< a new home takes the lock that it finds for one whose time is over
  renewal_after_expiry,          ///< a home renews a grant whose time is over
  cut_shown_early,               ///< a node answers from copied records before they are whole
  copy_may_contain_no_more,  ///< a page of copies says that it contains only what was folded when it was asked for
  failed_scan_is_the_end,    ///< a scan that fails is taken for the end of the shard
  damaged_taken_for_empty,   ///< a copy is joined into a damaged record as if that were empty
  compared_at_a_glance,      ///< hashes that differ once are taken for records that differ
  table_lease_not_checked,   ///< a reader of the memory table does not look at the lease
  table_generation_reused,   ///< entries of the former generation of a lease live on in the next one
  table_pending_not_checked, ///< a commit of another version makes the pending record readable
  winner_by_wall_clock,      ///< of two values the one with the later millisecond wins, the counter is not compared
  excess_forgotten,          ///< what a context replaces and has not arrived is taken for new when it does
  counter_adds_twice,        ///< an update of a counter that comes again is added again
  tombstone_collected_early_weak, ///< a tombstone is collected while values with lower stamps may still arrive
  dependency_vector_ignored,      ///< a staged update is shown without what it depends on
  token_not_raised_on_errors,     ///< an answer that is an error tells the session nothing
  incarnation_reused,             ///< a node lives on in a life that it counts itself, from what its disk remembers
  received_counted_as_merged,     ///< a region's frontier is shown by a node that has not received all of it
  retry_executed_twice,           ///< a write is executed again for its retry
  sent_before_sync,               ///< an own update leaves the node before it is on its disk
  refusal_forgotten,              ///< a write that was refused is executed when a copy of the request comes late
  own_write_hidden,               ///< a session does not see its own write before everybody does
  prefix_stated_before_durable,   ///< an idle stream states one number more than is on disk
  update_acknowledged_before_durable, ///< a receiver acknowledges what it has only handed on
  gap_not_checked,                    ///< a receiver takes what does not continue what it has
  update_taken_twice,                 ///< a receiver takes again what a new connection repeats
  frontier_ignores_a_node,            ///< the region's frontier is that of all but its slowest node
  view_taken_unconfirmed,             ///< a view is believed when its compare-and-set may not have happened
  life_recognised_by_number,          ///< a start takes the life that it asked for as its own, whoever has it
  second_executor,                    ///< a manager asks another replica to execute a write that the first may have
  fresh_from_answer,                  ///< what a member has accepted counts as of when its answer came
  fresh_before_shown,                 ///< and before it is shown
  unknown_write_not_settled,          ///< a session goes on with the next write while an earlier one may yet happen
  token_not_verified,                 ///< a token is opened without a look at its seal
  collapse_forgets,                   ///< a token that names too many lives drops the earlier ones
  half_picture_read,                  ///< a session reads a copy of a publication that is not all there
  alert_not_folded,                   ///< every event of an alert is told of
  rate_without_minimum,               ///< one failure of one operation misses a target
};

/// Those of the cores.
inline constexpr mutation all_mutations[] = {
    mutation::promise_not_persisted,
    mutation::lease_from_answer,
    mutation::first_touch_skipped,
    mutation::write_back_skipped,
    mutation::epoch_not_checked,
    mutation::epoch_used_twice,
    mutation::lower_version_accepted,
    mutation::restarted_home_same,
    mutation::deduplication_off,
    mutation::acknowledged_before_sync,
    mutation::tombstone_collected_too_early,
};

/// Those of the cores for read locks.
inline constexpr mutation lock_mutations[] = {
    mutation::recall_not_sent,         mutation::recall_not_awaited,  mutation::drain_not_awaited,
    mutation::holder_outlives_home,    mutation::held_from_grant,     mutation::generation_not_checked,
    mutation::old_connection_accepted, mutation::duplicate_committed, mutation::late_return_accepted,
};

/// Those of the cores for named locks.
inline constexpr mutation named_lock_mutations[] = {
    mutation::token_not_checked,
    mutation::floor_raised_without_draining,
    mutation::lock_expiry_not_restarted,
    mutation::renewal_after_expiry,
};

/// Those of the memory table, which simulation cannot interleave: its stress test must catch them.
inline constexpr mutation table_mutations[] = {
    mutation::table_lease_not_checked,
    mutation::table_generation_reused,
    mutation::table_pending_not_checked,
};

/// Those of the records of weaker levels.
inline constexpr mutation record_mutations[] = {
    mutation::winner_by_wall_clock,
    mutation::excess_forgotten,
    mutation::counter_adds_twice,
    mutation::tombstone_collected_early_weak,
};

/// Those of the stream replica.
inline constexpr mutation replica_mutations[] = {
    mutation::dependency_vector_ignored,  mutation::token_not_raised_on_errors, mutation::incarnation_reused,
    mutation::received_counted_as_merged, mutation::retry_executed_twice,       mutation::sent_before_sync,
    mutation::own_write_hidden,           mutation::refusal_forgotten,
};

/// Those of copies from other nodes.
inline constexpr mutation copy_mutations[] = {
    mutation::cut_shown_early,         mutation::copy_may_contain_no_more, mutation::failed_scan_is_the_end,
    mutation::damaged_taken_for_empty, mutation::compared_at_a_glance,
};

/// Those of bounds of staleness.
inline constexpr mutation freshness_mutations[] = {
    mutation::fresh_from_answer,
    mutation::fresh_before_shown,
};

/// Those of the update streams' cores.
inline constexpr mutation stream_mutations[] = {
    mutation::prefix_stated_before_durable,
    mutation::update_acknowledged_before_durable,
    mutation::gap_not_checked,
    mutation::update_taken_twice,
    mutation::frontier_ignores_a_node,
};

/// Those of the view keeper.
inline constexpr mutation view_mutations[] = {
    mutation::view_taken_unconfirmed,
    mutation::life_recognised_by_number,
};

/// Those of the way of a weak operation to its replica.
inline constexpr mutation weak_mutations[] = {
    mutation::second_executor,    mutation::token_not_raised_on_errors, mutation::unknown_write_not_settled,
    mutation::token_not_verified, mutation::collapse_forgets,           mutation::half_picture_read,
};

/// Those of the monitor.
inline constexpr mutation monitor_mutations[] = {
    mutation::alert_not_folded,
    mutation::rate_without_minimum,
};

std::string_view name_of(mutation m);
std::optional<mutation> mutation_named(std::string_view name);

#ifdef TROUPE_MUTATIONS
/// For the calling thread, before it runs a simulation or uses the table.
void plant(mutation m);
bool mutated(mutation m);
#else
constexpr bool mutated(mutation) { return false; }
#endif

} // namespace troupe
