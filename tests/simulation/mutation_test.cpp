#include "tests/simulation/planted.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr planted_search usual{simulated::options_for, 1000};

const expectation table[] = {
    // Two candidates get the promise of one replica: two homes lead at once, and what one commits the other
    // overwrites.
    {mutation::promise_not_persisted, {"S2", "S1", "D1"}},
    // The home goes on to read after its replicas have given the shard to somebody else.
    {mutation::lease_from_answer, {"S2"}},
    // Its own copy may lack what a majority without it has accepted: a read goes back, or a lock is granted that
    // somebody
    // has.
    {mutation::first_touch_skipped, {"S1", "S5"}},
    // What only one replica holds is read, and gone when the next home asks a majority without that one.
    {mutation::write_back_skipped, {"S1"}},
    // The promise of a replica goes back as well: an older home decides beside the newer one.
    {mutation::epoch_not_checked, {"S2"}},
    // An epoch leads again, and its counter assigns versions again.
    {mutation::epoch_used_twice, {"S2"}},
    // An Accept that was overtaken takes the place of the later one.
    {mutation::lower_version_accepted, {"D1"}},
    // A version of the new life counts as the equal one of the former life: it is acknowledged and not stored.
    {mutation::restarted_home_same, {"D1"}},
    // A retry is executed again: an addition counts twice.
    {mutation::deduplication_off, {"S1"}},
    // The write is answered while fewer disks than a majority hold it.
    {mutation::acknowledged_before_sync, {"D1"}},
    // A replica that was away when the key was removed still has the value, and nobody has the tombstone any more.
    {mutation::tombstone_collected_too_early, {"S1"}},
};

/// The same for read locks: each lets a node read from its memory what is over.
const expectation lock_table[] = {
    {mutation::recall_not_sent, {"S1"}},
    {mutation::recall_not_awaited, {"S1"}},
    // The successor writes while a node that has not heard of the hand-over still reads.
    {mutation::drain_not_awaited, {"S1"}},
    {mutation::holder_outlives_home, {"S1"}},
    {mutation::held_from_grant, {"S1"}},
    // A copy that was granted in a former generation comes late, and is taken for one of this.
    {mutation::generation_not_checked, {"S1"}},
    // A copy that was recalled since comes late, and is taken for a new one.
    {mutation::old_connection_accepted, {"S1"}},
    // The Committed of the last write makes the pending record of the next one readable.
    {mutation::duplicate_committed, {"S1"}},
    // The node has the key again, from its last write, before the home hears of its next one.
    {mutation::late_return_accepted, {"S1"}},
};

/// The same for named locks.
const expectation named_lock_table[] = {
    // A former owner's write is done when a newer grant of its lock is out.
    {mutation::token_not_checked, {"S4", "S1"}},
    // An older write was admitted already, and is done after the newer grant was answered: what was seen in between
    // cannot be explained by a write that was done before. Or the write and the floor are in each other's way, and no
    // locker is served any more.
    {mutation::floor_raised_without_draining, {"S4", "S1", "liveness"}},
    // The next home grants what its owner still has.
    {mutation::lock_expiry_not_restarted, {"S5"}},
    // What was renewed is somebody else's.
    {mutation::renewal_after_expiry, {"S5"}},
};

} // namespace

TEST_CASE("simulation: every mutation has its line in the table") {
  const auto has_line = [](const expectation& line, mutation m) { return line.planted == m && !line.breaks.empty(); };
  CHECK(std::equal(std::begin(table), std::end(table), std::begin(all_mutations), std::end(all_mutations), has_line));
  CHECK(std::equal(std::begin(lock_table), std::end(lock_table), std::begin(lock_mutations), std::end(lock_mutations),
                   has_line));
  CHECK(std::equal(std::begin(named_lock_table), std::end(named_lock_table), std::begin(named_lock_mutations),
                   std::end(named_lock_mutations), has_line));
}

TEST_CASE("simulation: every planted mistake is caught within 1,000 seeds by the invariant that it breaks, with no "
          "schedule made for it") {
  check_caught(table, usual);
}

TEST_CASE("simulation: every planted mistake about read locks is caught within 1,000 seeds by what is read") {
  check_caught(lock_table, usual);
}

TEST_CASE("simulation: every planted mistake about named locks is caught within 1,000 seeds by S4 or S5") {
  check_caught(named_lock_table, usual);
}
