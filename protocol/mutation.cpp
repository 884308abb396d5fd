#include "protocol/mutation.hpp"

namespace troupe {

std::string_view name_of(mutation m) {
  switch (m) {
  case mutation::none:
    return "none";
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
  case mutation::tombstone_collected_too_early:
    return "tombstone_collected_too_early";
  case mutation::recall_not_sent:
    return "recall_not_sent";
  case mutation::drain_not_awaited:
    return "drain_not_awaited";
  case mutation::held_from_grant:
    return "held_from_grant";
  case mutation::recall_not_awaited:
    return "recall_not_awaited";
  case mutation::holder_outlives_home:
    return "holder_outlives_home";
  case mutation::generation_not_checked:
    return "generation_not_checked";
  case mutation::old_connection_accepted:
    return "old_connection_accepted";
  case mutation::duplicate_committed:
    return "duplicate_committed";
  case mutation::late_return_accepted:
    return "late_return_accepted";
  case mutation::token_not_checked:
    return "token_not_checked";
  case mutation::floor_raised_without_draining:
    return "floor_raised_without_draining";
  case mutation::lock_expiry_not_restarted:
    return "lock_expiry_not_restarted";
  case mutation::renewal_after_expiry:
    return "renewal_after_expiry";
  case mutation::table_lease_not_checked:
    return "table_lease_not_checked";
  case mutation::table_generation_reused:
    return "table_generation_reused";
  case mutation::table_pending_not_checked:
    return "table_pending_not_checked";
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
