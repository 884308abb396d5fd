// The conflict ledger of a stream replica: nothing that was accepted is silently destroyed (PROTOCOLS §5).
#include "tests/support/stream_replica_script.hpp"

#include <doctest/doctest.h>

using namespace troupe;
using namespace std::chrono;

namespace {

using replica_base = testing::stream_replica_script;

constexpr origin two{{2}, 5};
constexpr auto free_lane = stream_lane::free;

struct replica : replica_base {
  replica() { start(); }
  /// A value of this node loses against one of another that has a later stamp.
  conflict_id lose(const std::string& key, const std::string& value) {
    const auto mine = ask(put(key, value));
    accept(free_lane, {{.at = {two, ++theirs}, .key = key, .value = "theirs", .clock = mine.session().clock() + 1}});
    return {free_lane, from_wire(mine.written())};
  }
  std::string kept(std::string_view prefix = {}) const {
    std::string values;
    for (const auto* c : core->conflicts().list(prefix, 100))
      values += (values.empty() ? "" : " ") + c->value;
    return values;
  }
  bool forget(const conflict_id& id) {
    const bool was_there = core->forget_conflict(id, out);
    run();
    return was_there;
  }
  std::uint64_t theirs = 0;
};

} // namespace

TEST_CASE(
    "stream replica: a value of this node that loses against a concurrent one is kept in the ledger, and told") {
  replica r;
  const auto id = r.lose("view:a", "mine");
  const auto told = r.take<stream_replica::conflict_found>();
  REQUIRE(told.size() == 1);
  CHECK(told[0].lost.value == "mine");
  const auto* entry = r.core->conflicts().find(id);
  REQUIRE(entry != nullptr);
  CHECK(entry->key == "view:a");
  CHECK(entry->winner == dot{two, 1});
  CHECK(entry->seen_at_ms == r.wall);
  r.lose("view:b", "another");
  CHECK(r.kept() == "another mine");
  CHECK(r.kept("view:a") == "mine");
  CHECK(r.core->report().conflicts_kept == 2);
  // What is replaced knowingly is no conflict, and neither is what another node had accepted.
  r.ask(r.put("view:b", "third"));
  CHECK(r.core->report().conflicts_kept == 2);
}

TEST_CASE(
    "D1: stream replica: a value that has lost is in the ledger on the disk before its record has forgotten it") {
  for (const std::size_t surviving : {0U, 1U, 2U, 3U, 4U, 5U}) {
    CAPTURE(surviving);
    replica r;
    r.ask(r.put("view:a", "mine"));
    r.holds_syncs = true;
    const replica::written theirs{
        .at = {two, 1}, .key = "view:a", .value = "theirs", .clock = (r.wall + 1'000) << 16U};
    r.accept(free_lane, {theirs});
    r.pass(seconds{1}); // it is folded, and nothing of it synced yet
    r.crash(surviving);
    r.holds_syncs = false;
    r.start();
    const auto shown = r.value_of(r.ask(r.get("view:a")));
    CHECK((r.kept() == "mine" || shown == "mine"));
    r.accept(free_lane, {theirs}); // repeated by its stream, if it was not received
    CHECK(r.kept() == "mine");
  }
}

TEST_CASE("stream replica: the ledger is there after a start, without what somebody has dealt with") {
  replica r;
  const auto first = r.lose("view:a", "one");
  r.lose("view:b", "two");
  r.pass(seconds{1});
  CHECK(r.forget(first));
  CHECK_FALSE(r.forget(first));
  r.crash();
  r.start();
  CHECK(r.kept() == "two");
  CHECK(r.core->conflicts().find(first) == nullptr);
  r.lose("view:c", "three");
  CHECK(r.kept() == "three two"); // newest first, after a start too
}

TEST_CASE("stream replica: an entry of the ledger that cannot be read is counted, and left out") {
  testing::stream_replica_script r;
  r.disk.write(1, {mark_write{"c.1", "no entry"}});
  r.disk.sync(1);
  r.start();
  CHECK(r.core->conflicts().size() == 0);
  CHECK(r.core->report().damaged == 1);
  CHECK(r.error_of(r.ask(r.put("view:a", "1"))) == errc::none);
}

TEST_CASE("X1: stream replica: a ledger that is full puts out its oldest, counts them, and they stay out") {
  replica r;
  const std::string large(limits::conflicts_bytes_max / 4, 'v');
  r.lose("view:a", "a" + large);
  r.lose("view:b", "b" + large);
  r.lose("view:c", "c" + large);
  CHECK(r.core->report().conflicts_evicted == 0);
  r.lose("view:d", "d" + large);
  CHECK(r.core->report().conflicts_evicted == 1);
  CHECK(r.core->report().conflicts_bytes <= limits::conflicts_bytes_max);
  CHECK(r.core->conflicts().list("view:a", 9).empty());
  r.pass(seconds{1});
  r.crash();
  r.start();
  CHECK(r.core->report().conflicts_kept == 3);
  CHECK(r.core->conflicts().list("view:a", 9).empty());
}
