// MEMORY LAYER between homes and readers, with a session in front of it: what is answered from memory, and when that
// ends. One thread runs all actors, and time stands still unless a test moves it.
#include "actors/memory_layer.hpp"

#include "actors/session.hpp"
#include "protocol/cluster.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <doctest/doctest.h>

#include <deque>
#include <optional>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr node_id self{1};
constexpr incarnation life{7};
constexpr shard_id shard{0};
constexpr std::uint64_t first_generation = (life.value << 32) + 1;
const epoch era{1, self, life};

class still_clock final : public node_clock {
public:
  instant now() const noexcept override { return time; }
  nanoseconds until(instant at) const noexcept override { return std::max(nanoseconds{0}, at - time); }
  std::uint64_t wall_ms() const noexcept override { return 0; }
  instant time{1h};
};

/// What came to an actor, one kind of message each; the oldest is taken first.
template <class Message> class inbox {
public:
  void put(Message m) { all_.push_back(std::move(m)); }
  Message take() {
    REQUIRE_FALSE(all_.empty());
    auto first = std::move(all_.front());
    all_.pop_front();
    return first;
  }
  bool empty() const { return all_.empty(); }

private:
  std::deque<Message> all_;
};

/// The layer and a session are real; the home, and the strong manager, are the test. Its one shard is led by the node
/// itself.
struct scripted_layer {
  explicit scripted_layer(std::size_t bytes_max = std::size_t{1} << 20) : system{settings()} {
    auto home = system.spawn([this](caf::event_based_actor* actor) -> caf::behavior {
      actor->set_default_handler(caf::drop);
      return {
          [this](node_id, v1::LockRequest& m) { requests.put(std::move(m)); },
          [this](node_id, v1::LockRelease& m) { releases.put(std::move(m)); },
          [this](node_id, v1::Recalled& m) {
            readable_when_recalled = readable(m.key());
            recalled.put(std::move(m));
          },
          [this](const held_renewal& m) { renewals.put(m); },
      };
    });
    auto manager = system.spawn([this](caf::event_based_actor* actor) -> caf::behavior {
      actor->set_default_handler(caf::drop);
      return {
          [this](submission& s) { operations.put(std::move(s)); },
          [this](const operation_cancelled& c) { cancelled.put(c); },
      };
    });
    board->self = self;
    board->lock_managers = {caf::actor_cast<lock_manager_actor>(home)};
    board->strong_manager = caf::actor_cast<strong_manager_actor>(manager);
    auto evicted = std::make_shared<eviction_list>();
    memory_table::options options{.bytes_max = bytes_max};
    options.evicted = [evicted](std::string_view key) { evicted->keys.emplace_back(key); };
    table = std::make_shared<memory_table>(options);
    memory_layer_config config;
    config.context = context();
    config.table = table;
    config.bytes_max = bytes_max;
    config.evicted = evicted;
    config.options.self = self;
    config.options.life = life;
    config.replica_sets = {{self}};
    board->memory_layer = spawn_memory_layer(system, std::move(config));
    cluster shape;
    shape.shards = 1;
    shape.types["data"] = {level::strong, on_timeout::unknown};
    session =
        spawn_session(system, {.context = context(), .id = {5}, .shape = shape, .memory = table, .open_max = 64});
    run();
  }
  ~scripted_layer() {
    caf::anon_send_exit(session, caf::exit_reason::kill);
    caf::anon_send_exit(board->memory_layer, caf::exit_reason::kill);
    caf::anon_send_exit(board->strong_manager, caf::exit_reason::kill);
    caf::anon_send_exit(board->lock_managers[0], caf::exit_reason::kill);
    scheduler().clock().cancel_all();
    run();
    *board = switchboard{};
  }

  static caf::actor_system_config& settings() {
    static caf::actor_system_config config;
    config.set("scheduler.policy", caf::atom("testing"));
    register_types(config);
    return config;
  }
  actor_context context() { return {&clock, board, nullptr, {}}; }
  caf::scheduler::test_coordinator& scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  }
  void run() { scheduler().run(10'000); }
  /// The node's clock goes on, and whatever timer there is rings.
  void pass(nanoseconds time) {
    clock.time += time;
    while (scheduler().trigger_timeout() && rings++ < 10'000)
      run();
  }

  bool readable(const std::string& key) {
    std::string value;
    return table->read(key, clock.time, value).has_value();
  }

  void operate(v1::Operation operation, const std::string& key, nanoseconds deadline = 1s, std::uint64_t ticket = 0) {
    session_call call;
    call.operation = std::move(operation);
    call.operation.set_key(stored_key("data", key));
    call.type = "data";
    call.deadline = clock.time + deadline;
    call.ticket = ticket;
    call.done = [this](const v1::Result& r) { results.put(r); };
    caf::anon_send(session, std::move(call));
    run();
  }
  void get(const std::string& key, nanoseconds deadline = 1s, std::uint64_t ticket = 0) {
    v1::Operation operation;
    operation.mutable_get();
    operate(std::move(operation), key, deadline, ticket);
  }
  void put(const std::string& key, const std::string& value, std::uint64_t ticket) {
    v1::Operation operation;
    operation.mutable_put()->set_value(value);
    operate(std::move(operation), key, 1s, ticket);
  }
  void cancel(std::uint64_t ticket) {
    caf::anon_send(session, call_cancelled{ticket});
    run();
  }

  lease_generation generation() const { return {era, generation_number}; }
  void begin_lease(std::uint64_t number, std::chrono::microseconds length = 400ms) {
    v1::LeaseGranted granted;
    granted.set_shard(shard.value);
    to_wire(generation(), *granted.mutable_generation());
    granted.set_sequence(++sequence);
    granted.set_number(number);
    granted.set_lease_us(static_cast<std::uint64_t>(length.count()));
    granted.set_begins(sequence == 1);
    tell(granted);
  }
  v1::Copy copy(std::uint64_t counter, const std::string& value) const {
    v1::Copy c;
    to_wire(version{era, counter}, *c.mutable_version());
    c.set_exists(true);
    c.set_value(value);
    return c;
  }
  void grant(const v1::LockRequest& request, std::uint64_t counter, const std::string& value) {
    v1::LockGranted granted;
    granted.set_shard(shard.value);
    to_wire(generation(), *granted.mutable_generation());
    granted.set_sequence(++sequence);
    granted.set_number(request.number());
    granted.set_key(request.key());
    *granted.mutable_copy() = copy(counter, value);
    tell(granted);
  }
  void recall(const std::string& key, std::uint64_t counter, const std::string& value) {
    v1::Recall recall;
    recall.set_shard(shard.value);
    to_wire(generation(), *recall.mutable_generation());
    recall.set_sequence(++sequence);
    recall.set_key(stored_key("data", key));
    *recall.mutable_copy() = copy(counter, value);
    tell(recall);
  }
  void commit(const std::string& key, std::uint64_t counter) {
    v1::Committed committed;
    committed.set_shard(shard.value);
    to_wire(generation(), *committed.mutable_generation());
    committed.set_sequence(++sequence);
    committed.set_key(stored_key("data", key));
    to_wire(version{era, counter}, *committed.mutable_version());
    tell(committed);
  }
  template <class Message> void tell(const Message& m) {
    caf::anon_send(board->memory_layer, self, m);
    run();
  }
  /// Reads `key` until it is in memory.
  void hold(const std::string& key, std::uint64_t counter, const std::string& value) {
    get(key);
    const auto request = requests.take();
    if (sequence == 0) begin_lease(request.number());
    grant(request, counter, value);
    CHECK(results.take().value() == value);
  }

  still_clock clock;
  inbox<v1::LockRequest> requests;
  inbox<v1::LockRelease> releases;
  inbox<v1::Recalled> recalled;
  inbox<held_renewal> renewals;
  inbox<submission> operations;
  inbox<operation_cancelled> cancelled; ///< that came to the strong manager
  inbox<v1::Result> results;
  bool readable_when_recalled = true;
  std::uint64_t generation_number = first_generation;
  std::uint64_t sequence = 0;
  int rings = 0;
  caf::actor_system system;
  std::shared_ptr<switchboard> board = std::make_shared<switchboard>();
  std::shared_ptr<memory_table> table;
  session_actor session;
};

} // namespace

TEST_CASE("memory layer: the first read of a key takes a read lock, and the next are answered from memory") {
  scripted_layer l;
  l.get("k");
  const auto request = l.requests.take();
  CHECK(request.key() == "data:k");
  CHECK(request.generation() == first_generation);
  CHECK(l.results.empty());
  l.begin_lease(request.number());
  l.grant(request, 3, "three");
  const auto first = l.results.take();
  CHECK(first.value() == "three");
  CHECK(from_wire(first.version()) == version{era, 3});
  l.get("k");
  CHECK(l.requests.empty());
  const auto second = l.results.take();
  CHECK(second.SerializeAsString() == first.SerializeAsString());
  CHECK(l.table->count().hits == 1);
}

TEST_CASE("S1: a recalled key is unreadable before its recall is answered, and readable again once committed") {
  scripted_layer l;
  l.hold("k", 3, "three");
  CHECK(l.readable("data:k"));
  l.recall("k", 4, "four");
  const auto answer = l.recalled.take();
  CHECK(answer.kept());
  CHECK_FALSE(l.readable_when_recalled);
  CHECK_FALSE(l.readable("data:k"));
  l.get("k"); // asks the home: the write is being decided
  CHECK_FALSE(l.requests.empty());
  CHECK(l.results.empty());
  l.commit("k", 4);
  CHECK(l.readable("data:k"));
  std::string value;
  CHECK(l.table->read("data:k", l.clock.time, value)->at == version{era, 4});
  CHECK(value == "four");
}

TEST_CASE("S1: a lease that lapses takes what it held along, without a message") {
  scripted_layer l;
  l.hold("k", 3, "three");
  l.clock.time += 395ms; // of 400, counted with drift from when the request was sent
  CHECK(l.readable("data:k"));
  l.clock.time += 1ms;
  CHECK_FALSE(l.readable("data:k"));
  l.get("k");
  CHECK(l.results.empty());
  const auto request = l.requests.take();
  CHECK(request.generation() == first_generation + 1); // the old one is over for good
}

TEST_CASE("memory layer: a lease is renewed by one message, which each of its homes answers") {
  scripted_layer l;
  l.hold("k", 3, "three");
  l.pass(100ms);
  const auto renewal = l.renewals.take();
  CHECK(renewal.from == self);
  CHECK(renewal.lease.shard() == shard.value);
  l.begin_lease(renewal.number);
  l.clock.time += 350ms;
  CHECK(l.readable("data:k"));
}

TEST_CASE("memory layer: what is put out for want of room is given back, and what has no room is not held") {
  scripted_layer l{16'384};
  const std::string value(1'000, 'v');
  std::uint64_t held = 0;
  while (l.releases.empty() && held < 100)
    l.hold("k" + std::to_string(held++), 3, value);
  REQUIRE(held < 100);
  const auto release = l.releases.take();
  CHECK_FALSE(l.readable(release.key()));
  CHECK(release.applied() == l.sequence);
  CHECK(l.table->count().evictions > 0);
  const std::string huge(20'000, 'v');
  l.hold("huge", 3, huge); // answered all the same
  CHECK_FALSE(l.readable("data:huge"));
  bool given_back = false;
  while (!l.releases.empty())
    given_back = l.releases.take().key() == "data:huge" || given_back;
  CHECK(given_back);
}

TEST_CASE("memory layer: a recalled key that is not here any more is given back when its recall is answered") {
  scripted_layer l;
  l.hold("k", 3, "three");
  l.table->erase("data:k");
  l.recall("k", 4, "four");
  l.recalled.take();
  CHECK(l.releases.take().key() == "data:k");
  l.commit("k", 4);
  CHECK_FALSE(l.readable("data:k"));
}

TEST_CASE("memory layer: a read that no home answers goes on as an operation, with half of its time left") {
  scripted_layer l;
  SUBCASE("because it is refused, with a hint") {
    l.get("k");
    v1::LockRefused refused;
    refused.set_shard(shard.value);
    refused.set_number(l.requests.take().number());
    refused.set_error(static_cast<std::uint32_t>(errc::unavailable));
    refused.set_hint(3);
    l.tell(refused);
    const auto s = l.operations.take();
    CHECK(s.operation.key() == "data:k");
    CHECK(s.hint == node_id{3});
  }
  SUBCASE("because nobody answers in time") {
    l.get("k", 100ms);
    l.pass(50ms);
    const auto s = l.operations.take();
    CHECK(s.deadline - l.clock.time == 50ms);
    CHECK(l.results.empty());
  }
  SUBCASE("because the node is about to stop") {
    l.hold("k", 3, "three");
    caf::anon_send(l.board->memory_layer, release_atom::value);
    l.run();
    CHECK(l.releases.take().key().empty()); // all of it
    CHECK_FALSE(l.readable("data:k"));
    l.get("k");
    CHECK(l.operations.take().operation.key() == "data:k");
  }
}

TEST_CASE("T1: a session reads nothing from memory that it has an open write on, and what waited behind it then") {
  scripted_layer l;
  l.hold("k", 3, "three");
  v1::Operation put;
  put.mutable_put()->set_value("four");
  l.operate(std::move(put), "k");
  l.get("k");
  l.get("k");
  CHECK(l.results.empty());
  const auto write = l.operations.take();
  CHECK(l.operations.empty());
  // Before the write leaves the node, nobody reads there what it replaces.
  CHECK_FALSE(l.readable("data:k"));
  CHECK(write.operation.given_back().applied() == l.sequence);
  CHECK(from_wire(write.operation.given_back().generation()) == l.generation());
  v1::LockRequest nobody_asked;
  nobody_asked.set_key("data:k");
  l.grant(nobody_asked, 4, "four");
  v1::OperationAnswer answer;
  *answer.mutable_id() = write.operation.id();
  answer.mutable_result()->set_applied(true);
  caf::anon_send(l.session, std::move(answer));
  l.run();
  CHECK_FALSE(l.results.take().has_version());
  CHECK(l.results.take().value() == "four");
  CHECK(l.results.take().value() == "four");
  CHECK(l.requests.empty());
}

TEST_CASE("S1: a new connection to the home ends what was held over the old one") {
  scripted_layer l;
  l.hold("k", 3, "three");
  caf::anon_send(l.board->memory_layer, peer_change{self, life, true});
  l.run();
  CHECK_FALSE(l.readable("data:k"));
  l.get("k");
  CHECK(l.requests.take().generation() == first_generation + 1);
}

TEST_CASE(
    "memory layer: a read that is cancelled while it waits for a lock is not done, and the lock serves the next") {
  scripted_layer node;
  node.get("k", 1s, 7);
  const auto request = node.requests.take();
  node.cancel(7);
  CHECK(node.results.take().error() == static_cast<std::uint32_t>(errc::cancelled));
  node.begin_lease(request.number());
  node.grant(request, 1, "one");
  CHECK(node.results.empty());
  CHECK(node.readable("data:k"));
  node.pass(1s); // nothing of it went on as an operation
  CHECK(node.operations.empty());
}

TEST_CASE(
    "session: what is cancelled while it waits behind its key is not done; what was sent on is cancelled there") {
  scripted_layer node;
  node.put("k", "one", 1);
  node.put("k", "two", 2);
  const auto sent = node.operations.take();
  node.cancel(2);
  CHECK(node.results.take().error() == static_cast<std::uint32_t>(errc::cancelled));
  node.cancel(2); // once is enough
  CHECK(node.results.empty());
  node.cancel(1);
  CHECK(node.results.empty()); // it is for who has it to say
  CHECK(node.cancelled.take().id == from_wire(sent.operation.id()));
  node.put("k", "three", 3);
  CHECK(node.operations.empty());
  v1::OperationAnswer answer;
  *answer.mutable_id() = sent.operation.id();
  answer.mutable_result()->set_error(static_cast<std::uint32_t>(errc::abandoned));
  caf::anon_send(node.session, answer);
  node.run();
  CHECK(node.results.take().error() == static_cast<std::uint32_t>(errc::abandoned));
  CHECK(node.operations.take().operation.put().value() == "three");
}

TEST_CASE("memory layer: what goes on because of overload says nothing of who is home; a home that was named is "
          "passed on") {
  scripted_layer l;
  auto refuse = [&](errc why) {
    l.get("k");
    v1::LockRefused refused;
    refused.set_shard(shard.value);
    refused.set_number(l.requests.take().number());
    refused.set_error(static_cast<std::uint32_t>(why));
    refused.set_hint(3);
    l.tell(refused);
    const auto went_on = l.operations.take();
    v1::OperationAnswer answer;
    *answer.mutable_id() = went_on.operation.id();
    caf::anon_send(l.session, std::move(answer));
    l.run();
    return went_on.hint;
  };
  CHECK(refuse(errc::overloaded) == node_id{});
  CHECK(refuse(errc::unavailable) == node_id{3});
}

TEST_CASE(
    "session: when the node's actors have died, every open call is answered, and so is every later one at once") {
  scripted_layer l;
  l.get("k"); // at the memory layer
  l.put("j", "one", 1);
  l.put("j", "two", 2); // behind it
  REQUIRE(l.results.empty());
  caf::anon_send_exit(l.board->memory_layer, caf::exit_reason::kill);
  caf::anon_send_exit(l.board->strong_manager, caf::exit_reason::kill);
  l.run();
  CHECK(l.results.take().error() == static_cast<std::uint32_t>(errc::timeout));
  CHECK(l.results.take().error() == static_cast<std::uint32_t>(errc::unavailable)); // it was not sent on
  CHECK(l.results.take().error() == static_cast<std::uint32_t>(errc::timeout));
  l.get("k");
  CHECK(l.results.take().error() == static_cast<std::uint32_t>(errc::unavailable));
}

TEST_CASE("memory layer: an answer of the home counts when the read has gone on as an operation, and the first one "
          "settles it") {
  scripted_layer l;
  l.get("k", 200ms);
  const auto request = l.requests.take();
  l.pass(100ms);
  const auto went_on = l.operations.take();
  CHECK(l.results.empty());
  l.begin_lease(request.number());
  l.pass(0ns);
  std::string first = "by the operation";
  SUBCASE("the home's answer comes first") {
    v1::LockRefused refused;
    refused.set_shard(shard.value);
    refused.set_number(request.number());
    *refused.mutable_copy() = l.copy(1, "one");
    l.tell(refused);
    first = "one";
  }
  SUBCASE("the operation's answer comes first") {}
  v1::OperationAnswer answer;
  *answer.mutable_id() = went_on.operation.id();
  answer.mutable_result()->set_exists(true);
  answer.mutable_result()->set_value("by the operation");
  caf::anon_send(l.session, std::move(answer));
  l.run();
  CHECK(l.results.take().value() == first);
  CHECK(l.results.empty());
}
