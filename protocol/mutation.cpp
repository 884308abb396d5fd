#include "protocol/mutation.hpp"

namespace troupe {

std::string_view name_of(mutation m) {
  switch (m) {
  case mutation::none:
    break;
  case mutation::promise_not_persisted:
    return "promise_not_persisted";
  case mutation::lease_from_answer:
    return "lease_from_answer";
  case mutation::first_touch_skipped:
    return "first_touch_skipped";
  case mutation::write_back_skipped:
    return "write_back_skipped";
  case mutation::epoch_not_checked:
    return "epoch_not_checked";
  case mutation::epoch_used_twice:
    return "epoch_used_twice";
  case mutation::lower_version_accepted:
    return "lower_version_accepted";
  case mutation::restarted_home_same:
    return "restarted_home_same";
  case mutation::deduplication_off:
    return "deduplication_off";
  case mutation::acknowledged_before_sync:
    return "acknowledged_before_sync";
  case mutation::recall_not_sent:
    return "recall_not_sent";
  case mutation::recall_not_awaited:
    return "recall_not_awaited";
  case mutation::drain_not_awaited:
    return "drain_not_awaited";
  case mutation::holder_outlives_home:
    return "holder_outlives_home";
  case mutation::held_from_grant:
    return "held_from_grant";
  case mutation::generation_not_checked:
    return "generation_not_checked";
  case mutation::old_connection_accepted:
    return "old_connection_accepted";
  case mutation::late_return_accepted:
    return "late_return_accepted";
  case mutation::duplicate_committed:
    return "duplicate_committed";
  case mutation::token_not_checked:
    return "token_not_checked";
  case mutation::tombstone_collected_too_early:
    return "tombstone_collected_too_early";
  case mutation::floor_raised_without_draining:
    return "floor_raised_without_draining";
  case mutation::lock_expiry_not_restarted:
    return "lock_expiry_not_restarted";
  case mutation::renewal_after_expiry:
    return "renewal_after_expiry";
  case mutation::cut_shown_early:
    return "cut_shown_early";
  case mutation::copy_may_contain_no_more:
    return "copy_may_contain_no_more";
  case mutation::failed_scan_is_the_end:
    return "failed_scan_is_the_end";
  case mutation::damaged_taken_for_empty:
    return "damaged_taken_for_empty";
  case mutation::compared_at_a_glance:
    return "compared_at_a_glance";
  case mutation::table_lease_not_checked:
    return "table_lease_not_checked";
  case mutation::table_generation_reused:
    return "table_generation_reused";
  case mutation::table_pending_not_checked:
    return "table_pending_not_checked";
  case mutation::winner_by_wall_clock:
    return "winner_by_wall_clock";
  case mutation::excess_forgotten:
    return "excess_forgotten";
  case mutation::counter_adds_twice:
    return "counter_adds_twice";
  case mutation::tombstone_collected_early_weak:
    return "tombstone_collected_early_weak";
  case mutation::dependency_vector_ignored:
    return "dependency_vector_ignored";
  case mutation::token_not_raised_on_errors:
    return "token_not_raised_on_errors";
  case mutation::incarnation_reused:
    return "incarnation_reused";
  case mutation::received_counted_as_merged:
    return "received_counted_as_merged";
  case mutation::retry_executed_twice:
    return "retry_executed_twice";
  case mutation::sent_before_sync:
    return "sent_before_sync";
  case mutation::refusal_forgotten:
    return "refusal_forgotten";
  case mutation::own_write_hidden:
    return "own_write_hidden";
  case mutation::prefix_stated_before_durable:
    return "prefix_stated_before_durable";
  case mutation::update_acknowledged_before_durable:
    return "update_acknowledged_before_durable";
  case mutation::gap_not_checked:
    return "gap_not_checked";
  case mutation::update_taken_twice:
    return "update_taken_twice";
  case mutation::frontier_ignores_a_node:
    return "frontier_ignores_a_node";
  case mutation::view_taken_unconfirmed:
    return "view_taken_unconfirmed";
  case mutation::life_recognised_by_number:
    return "life_recognised_by_number";
  case mutation::second_executor:
    return "second_executor";
  case mutation::fresh_from_answer:
    return "fresh_from_answer";
  case mutation::fresh_before_shown:
    return "fresh_before_shown";
  case mutation::unknown_write_not_settled:
    return "unknown_write_not_settled";
  case mutation::token_not_verified:
    return "token_not_verified";
  case mutation::collapse_forgets:
    return "collapse_forgets";
  case mutation::half_picture_read:
    return "half_picture_read";
  case mutation::alert_not_folded:
    return "alert_not_folded";
  case mutation::rate_without_minimum:
    return "rate_without_minimum";
  }
  return "none";
}

std::optional<mutation> mutation_named(std::string_view name) {
  for (auto m : all_mutations)
    if (name_of(m) == name) return m;
  return std::nullopt;
}

#ifdef TROUPE_MUTATIONS
namespace {
thread_local mutation planted = mutation::none;
}
void plant(mutation m) { planted = m; }
bool mutated(mutation m) { return planted == m; }
#endif

} // namespace troupe
