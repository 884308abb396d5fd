// REPLICA between its core and its store: what waits for a sync, and what a store that fails leaves of it. One thread
// runs all actors, and time stands still unless a test moves it.
#include "actors/replica.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <doctest/doctest.h>

#include <deque>
#include <optional>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr node_id self{1}, rival{2};
constexpr shard_id shard{0};

class still_clock final : public node_clock {
public:
  instant now() const noexcept override { return time; }
  nanoseconds until(instant at) const noexcept override { return std::max(nanoseconds{0}, at - time); }
  std::uint64_t wall_ms() const noexcept override { return 0; }
  instant time{1h};
};

/// A disk whose syncs take until the test says so.
class slow_store final : public store_driver {
public:
  void persist(std::vector<store_write> writes, std::function<void(errc)> done) override {
    calls.push_back(std::move(writes));
    syncs.push_back(std::move(done));
  }
  void load(std::vector<load_request> keys, std::function<void(std::vector<load_result>)> done) override {
    std::vector<load_result> results(keys.size());
    if (disk_damaged) results.assign(keys.size(), damaged{"planted"});
    done(std::move(results));
  }
  void scan(shard_id, std::string, std::function<void(scan_result)> done) override { done({}); }
  void load_weak(std::vector<load_request>, std::function<void(std::vector<weak_result>)> done) override { done({}); }
  void scan_weak(shard_id, std::string, std::function<void(weak_page)> done) override {
    done({.records = {}, .next = {}, .whole = false});
  }
  void read_updates(updates_request, std::function<void(updates_page)> done) override { done({}); }
  const stream_image& streams() const override { return streams_; }
  const std::map<shard_id, v1::StoredPromise>& promises() const override { return none_; }
  v1::StoreIdentity identity() const override { return {}; }
  void remember_disk(node_id, std::uint64_t, std::function<void(errc)> done) override { done(errc::none); }
  counters count() const override { return {}; }

  bool disk_damaged = false;
  std::deque<std::function<void(errc)>> syncs; ///< not answered yet, oldest first
  std::vector<std::vector<store_write>> calls; ///< all of them

private:
  const std::map<shard_id, v1::StoredPromise> none_;
  const stream_image streams_;
};

struct scripted_replica {
  scripted_replica() : system{settings()} {
    auto told = system.spawn([this](caf::event_based_actor* manager) -> caf::behavior {
      manager->set_default_handler(caf::drop);
      return {
          [this](const home_seen& h) { seen.push_back(h.era); },
          [this](node_id, const v1::Granted&) { ++grants; },
          [this](const violation_event& v) { violations.push_back(v); },
      };
    });
    board->self = self;
    board->lock_managers = {caf::actor_cast<lock_manager_actor>(told)};
    board->monitor = caf::actor_cast<monitor_actor>(told);
    board->replica = spawn_replica(system, {.context = {&clock, board, nullptr, {}},
                                            .store = &store,
                                            .options = {.self = self, .shards = 1, .index_max = 10, .loads_max = 10},
                                            .store_failed = [this] { ++failures; }});
    run();
  }
  ~scripted_replica() {
    caf::anon_send_exit(board->replica, caf::exit_reason::kill);
    caf::anon_send_exit(board->lock_managers[0], caf::exit_reason::kill);
    run();
    *board = switchboard{};
  }
  static caf::actor_system_config& settings() {
    static caf::actor_system_config config;
    config.set("scheduler.policy", caf::atom("testing"));
    register_types(config);
    return config;
  }
  caf::scheduler::test_coordinator& scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  }
  void run() { scheduler().run(1'000); }

  /// A claim of `node` in `round`, by way of this node: its answer comes back to the lock manager here.
  void claim(std::uint64_t round, node_id node) {
    v1::Claim c;
    c.set_number(round);
    to_wire(epoch{round, node, {1}}, *c.mutable_epoch());
    c.set_lease_ms(400);
    caf::anon_send(board->replica, self, std::move(c));
    run();
  }
  void release(std::uint64_t round, node_id node) {
    v1::ReleaseHome r;
    to_wire(epoch{round, node, {1}}, *r.mutable_epoch());
    caf::anon_send(board->replica, self, std::move(r));
    run();
  }
  void sync(errc error = errc::none) {
    REQUIRE_FALSE(store.syncs.empty());
    auto done = std::move(store.syncs.front());
    store.syncs.pop_front();
    done(error);
    run();
  }

  still_clock clock;
  slow_store store;
  std::vector<epoch> seen;                 ///< lessees that the lock manager was told of
  std::vector<violation_event> violations; ///< that the monitor was told of
  std::size_t grants = 0;
  std::size_t failures = 0;
  caf::actor_system system;
  std::shared_ptr<switchboard> board = std::make_shared<switchboard>();
};

} // namespace

TEST_CASE("replica: nobody is taken for a home's successor before the grant that made him one is durable") {
  scripted_replica r;
  r.claim(1, rival);
  CHECK(r.seen.empty());
  CHECK(r.grants == 0);
  r.sync();
  CHECK(r.seen == std::vector<epoch>{{1, rival, {1}}});
  CHECK(r.grants == 1);
  // In order, though a release itself waits for nothing.
  r.release(1, rival);
  r.claim(2, rival);
  r.release(2, rival);
  CHECK(r.seen.size() == 2);
  r.claim(3, self);
  r.sync();
  r.sync();
  CHECK(r.seen == std::vector<epoch>{{1, rival, {1}}, {}, {2, rival, {1}}, {}, {3, self, {1}}});
}

TEST_CASE("replica: a tombstone is erased in the very call of the store that keeps what it leaves") {
  scripted_replica r;
  const epoch older{1, rival, {1}};
  v1::Accept accept;
  accept.set_number(1);
  to_wire(older, *accept.mutable_epoch());
  accept.set_key("t:k");
  to_wire(version{older, 1}, *accept.mutable_version());
  accept.set_tombstone(true);
  caf::anon_send(r.board->replica, rival, std::move(accept));
  r.run();
  r.sync(); // the promise
  r.sync();
  v1::Collect collect;
  collect.set_number(2);
  to_wire(epoch{2, rival, {1}}, *collect.mutable_epoch());
  collect.set_key("t:k");
  to_wire(older, *collect.mutable_ballot());
  to_wire(version{older, 1}, *collect.mutable_version());
  caf::anon_send(r.board->replica, rival, std::move(collect));
  r.run();
  const auto& last = r.store.calls.back();
  REQUIRE(last.size() == 3); // the promise of the epoch is the first
  CHECK(std::get<record_erase>(last[1]).key == "t:k");
  CHECK(from_wire(std::get<promise_write>(last[2]).promise.evicted()) == version{older, 1});
  caf::scoped_actor probe{r.system};
  auto question = probe->request(r.board->replica, 1s, status_atom::value);
  r.run();
  question.receive(
      [](const replica_status& s) {
        CHECK(s.collected == 1);
        CHECK(s.tombstones == 0);
      },
      [](caf::error&) { FAIL("no answer"); });
}

TEST_CASE("replica: one whose store has failed promises and answers nothing more, and does not spin") {
  scripted_replica r;
  r.claim(1, rival);
  r.sync();
  r.clock.time += 1s; // its timer rings from here on
  r.claim(2, rival);
  r.sync(errc::storage_failed);
  CHECK(r.failures == 1);
  CHECK(r.grants == 1);
  r.claim(3, rival);
  CHECK(r.store.syncs.empty());
  int rings = 0;
  while (rings < 100 && r.scheduler().trigger_timeout()) {
    r.run();
    ++rings;
  }
  CHECK(rings < 10);
  CHECK_FALSE(r.scheduler().has_pending_timeout());
}

TEST_CASE("D2: replica: the monitor is told of damaged bytes, which are not served; not when the store has failed") {
  for (const bool failed : {false, true}) {
    CAPTURE(failed);
    scripted_replica r;
    r.claim(1, rival);
    r.sync(failed ? errc::storage_failed : errc::none);
    r.store.disk_damaged = true;
    v1::ReadLatest question;
    question.set_number(2);
    question.set_key("inventory:k");
    to_wire(epoch{1, rival, {1}}, *question.mutable_epoch());
    caf::anon_send(r.board->replica, self, std::move(question));
    r.run();
    if (failed) {
      CHECK(r.violations.empty());
      continue;
    }
    REQUIRE(r.violations.size() == 1);
    CHECK(r.violations[0].kind == violation_kind::checksum);
    CHECK(r.violations[0].end == violation_end::prevented);
    CHECK(r.violations[0].type == "inventory");
    CHECK(r.violations[0].key == "inventory:k");
  }
}
