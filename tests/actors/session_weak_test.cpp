// SESSION and the operations of the weaker levels: which manager gets what, in which order, and with what the session
// has seen. The managers are the test. One thread runs all actors, and time stands still unless a test moves it.
#include "actors/causal_manager.hpp"
#include "actors/eventual_manager.hpp"
#include "actors/session.hpp"
#include "actors/session_manager.hpp"
#include "protocol/cluster.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <map>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr origin n1{{1}, 1}, n2{{2}, 1};

class still_clock final : public node_clock {
public:
  instant now() const noexcept override { return time; }
  nanoseconds until(instant at) const noexcept override { return std::max(nanoseconds{0}, at - time); }
  std::uint64_t wall_ms() const noexcept override { return 0; }
  instant time{1h};
};

struct reply {
  errc code = errc::none;
  dot written = {};
  version_vector seen = {};
  bool unsettled = false;
};

caf::actor_system_config& settings() {
  static caf::actor_system_config config;
  config.set("scheduler.policy", caf::atom("testing"));
  register_types(config);
  return config;
}

struct scripted_session {
  explicit scripted_session(std::size_t open_max = 64, bool managers = true) : system{settings()} {
    auto strong = system.spawn([this](caf::event_based_actor* actor) -> caf::behavior {
      actor->set_default_handler(caf::drop);
      return {[this](submission& s) { strong_asked.push_back(std::move(s)); }};
    });
    board->self = {1};
    board->strong_manager = caf::actor_cast<strong_manager_actor>(strong);
    if (managers) {
      board->eventual_manager = manager_of(level::eventual);
      board->session_manager = manager_of(level::session);
      board->causal_manager = manager_of(level::causal);
    }
    cluster shape;
    shape.shards = 4;
    shape.types["free"] = {.consistency = level::eventual};
    shape.types["cart"] = {.consistency = level::session};
    shape.types["review"] = {.consistency = level::causal};
    shape.types["stock"] = {.consistency = level::strong};
    session = spawn_session(system, {.context = {&clock, board, nullptr, {}},
                                     .id = {5},
                                     .shape = shape,
                                     .memory = nullptr,
                                     .open_max = open_max});
    run();
  }
  ~scripted_session() {
    caf::anon_send_exit(session, caf::exit_reason::kill);
    caf::anon_send_exit(board->strong_manager, caf::exit_reason::kill);
    for (const auto& m : {board->eventual_manager, board->session_manager, board->causal_manager})
      if (m) caf::anon_send_exit(m, caf::exit_reason::kill);
    scheduler().clock().cancel_all();
    run();
    *board = switchboard{};
  }

  weak_manager_actor manager_of(level at) {
    return caf::actor_cast<weak_manager_actor>(
        system.spawn([this, at](caf::event_based_actor* actor) -> caf::behavior {
          actor->set_default_handler(caf::drop);
          return {
              [this, at](weak_submission& s) {
                CHECK(s.operation.level() == static_cast<std::uint32_t>(at));
                asked.push_back(std::move(s));
              },
              [this](const operation_cancelled& c) { cancelled.push_back(c.id); },
          };
        }));
  }
  caf::scheduler::test_coordinator& scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  }
  void run() { scheduler().run(10'000); }
  void pass(nanoseconds time) {
    clock.time += time;
    for (int i = 0; i < 100 && scheduler().trigger_timeout(); ++i)
      run();
  }

  session_call call_of(const std::string& type, const std::string& key, bool writes) {
    session_call call;
    call.operation.set_key(stored_key(type, key));
    if (writes)
      call.operation.mutable_put()->set_value("v");
    else
      call.operation.mutable_get();
    call.type = type;
    call.deadline = clock.time + 1s;
    return call;
  }
  void send(session_call call) {
    const auto number = ++calls;
    if (!call.done && !call.weak_done)
      call.weak_done = [this, number](const v1::WeakAnswer& a) { answered[number] = a; };
    caf::anon_send(session, std::move(call));
    run();
  }
  /// Number of the call, counted from 1.
  int put(const std::string& type, const std::string& key, std::uint64_t ticket = 0) {
    auto call = call_of(type, key, true);
    call.ticket = ticket;
    send(std::move(call));
    return calls;
  }
  int get(const std::string& type, const std::string& key) {
    send(call_of(type, key, false));
    return calls;
  }
  weak_submission taken() {
    REQUIRE_FALSE(asked.empty());
    auto first = std::move(asked.front());
    asked.pop_front();
    return first;
  }
  void answer(const weak_submission& s, reply r = {}) {
    weak_settled out;
    out.id = from_wire(s.operation.id());
    *out.answer.mutable_id() = s.operation.id();
    out.answer.set_level(s.operation.level());
    out.answer.mutable_result()->set_error(static_cast<std::uint32_t>(r.code));
    to_wire(r.seen, *out.answer.mutable_session()->mutable_seen());
    if (r.written) to_wire(r.written, *out.answer.mutable_written());
    if (r.unsettled) {
      out.unsettled = s.operation;
      out.unsettled.set_executor(2);
      out.unsettled.set_attempt(1);
    }
    caf::anon_send(session, std::move(out));
    run();
  }
  errc error_of(int call) {
    REQUIRE(answered.contains(call));
    return static_cast<errc>(answered.at(call).result().error());
  }
  v1::SessionVector token() {
    v1::SessionVector out;
    caf::scoped_actor self{system};
    auto asked_for = self->request(session, caf::infinite, session_token_request{});
    run();
    asked_for.receive([&](v1::SessionVector& v) { out = std::move(v); }, [](caf::error&) { FAIL("no token"); });
    return out;
  }

  caf::actor_system system;
  still_clock clock;
  std::shared_ptr<switchboard> board = std::make_shared<switchboard>();
  session_actor session;
  int calls = 0;
  std::map<int, v1::WeakAnswer> answered; ///< by call
  std::deque<weak_submission> asked;
  std::deque<submission> strong_asked;
  std::deque<request_id> cancelled;
};

std::string key_of(const weak_submission& s) { return s.operation.key(); }
version_vector seen_by(const weak_submission& s) { return from_wire(s.operation.session().seen()); }

} // namespace

TEST_CASE("session: an operation goes to the manager of its level, with its shard, its id and its guarantees") {
  scripted_session s;
  s.get("free", "a");
  s.get("cart", "a");
  s.get("review", "a");
  REQUIRE(s.asked.size() == 3);
  const auto free = s.taken(), cart = s.taken(), review = s.taken();
  CHECK(free.operation.guarantees() == guarantee::none);
  CHECK(cart.operation.guarantees() == guarantee::all);
  CHECK(review.operation.guarantees() == guarantee::all);
  CHECK(cart.operation.shard() == shard_of("cart:a", 4).value);
  CHECK(from_wire(free.operation.id()) == request_id{{5}, 1});
  CHECK(from_wire(review.operation.id()) == request_id{{5}, 3});
  s.answer(cart, {.code = errc::too_stale});
  CHECK(s.error_of(2) == errc::too_stale);
  CHECK(s.answered.at(2).level() == static_cast<std::uint32_t>(level::session));
}

TEST_CASE("session: a read may ask for less than its type gives, a write is as its type says, and nobody gets more") {
  scripted_session s;
  auto relaxed = s.call_of("review", "a", false);
  relaxed.at = level::eventual;
  s.send(std::move(relaxed));
  CHECK(s.taken().operation.guarantees() == guarantee::none);
  auto write = s.call_of("review", "b", true);
  write.at = level::eventual;
  s.send(std::move(write));
  CHECK(s.taken().operation.level() == static_cast<std::uint32_t>(level::causal));
  auto more = s.call_of("cart", "a", false);
  more.at = level::causal;
  s.send(std::move(more));
  CHECK(s.error_of(3) == errc::unsupported_level);
  auto strong = s.call_of("stock", "a", false);
  strong.at = level::eventual;
  s.send(std::move(strong));
  REQUIRE(s.strong_asked.size() == 1);
  v1::OperationAnswer answer;
  *answer.mutable_id() = s.strong_asked.front().operation.id();
  answer.mutable_result()->set_value("v");
  caf::anon_send(s.session, std::move(answer));
  s.run();
  CHECK(s.answered.at(4).result().value() == "v");
  CHECK(s.answered.at(4).level() == static_cast<std::uint32_t>(level::strong)); // stronger than it asked for
}

TEST_CASE("session: what only strong types have, and what is malformed, never leaves the node") {
  scripted_session s;
  auto swap = s.call_of("cart", "a", true);
  swap.operation.mutable_compare_and_set();
  s.send(std::move(swap));
  CHECK(s.error_of(1) == errc::unsupported_operation);
  auto fenced = s.call_of("cart", "a", true);
  fenced.operation.mutable_fence();
  s.send(std::move(fenced));
  CHECK(s.error_of(2) == errc::unsupported_operation);
  s.get("cart", "");
  CHECK(s.error_of(3) == errc::key_too_long);
  auto unknown = s.call_of("nothing", "a", false);
  s.send(std::move(unknown));
  CHECK(s.error_of(4) == errc::unknown_type);
  CHECK(s.asked.empty());
  scripted_session nobody{64, false};
  nobody.get("cart", "a");
  CHECK(nobody.error_of(1) == errc::unsupported_level);
}

TEST_CASE("session: who asks with `done` gets the result of any level") {
  scripted_session s;
  errc got = errc::none;
  auto call = s.call_of("cart", "a", false);
  call.done = [&](const v1::Result& r) { got = static_cast<errc>(r.error()); };
  s.send(std::move(call));
  s.answer(s.taken(), {.code = errc::dependency_timeout});
  CHECK(got == errc::dependency_timeout);
}

TEST_CASE("session: the caller's context, cut, bound and dependencies travel with the operation") {
  scripted_session s;
  auto read = s.call_of("cart", "a", false);
  to_wire(version_vector{{n1, 4}}, *read.extra.mutable_cut());
  read.extra.set_staleness_us(7);
  read.extra.set_executor(3); // ignored
  read.guarantees = guarantee::monotonic_reads;
  s.send(std::move(read));
  auto first = s.taken();
  CHECK(from_wire(first.operation.cut()) == version_vector{{n1, 4}});
  CHECK(first.operation.staleness_us() == 7);
  CHECK(first.operation.executor() == 0);
  CHECK(first.operation.guarantees() == guarantee::monotonic_reads);
  auto write = s.call_of("review", "a", true);
  to_wire(version_vector{{n2, 3}}, *write.extra.mutable_context());
  to_wire(version_vector{{n2, 2}}, *write.extra.mutable_depends());
  write.extra.set_explicit_depends(true);
  s.send(std::move(write));
  auto second = s.taken();
  CHECK(from_wire(second.operation.context()) == version_vector{{n2, 3}});
  CHECK(from_wire(second.operation.depends()) == version_vector{{n2, 2}});
}

TEST_CASE("session: T1-T4: operations carry what the session has seen in answers, errors and tokens") {
  scripted_session s;
  s.put("cart", "a");
  s.answer(s.taken(), {.written = {n1, 3}});
  s.get("cart", "a");
  const auto own = s.taken();
  REQUIRE(own.operation.own_size() == 1);
  CHECK(from_wire(own.operation.own(0)) == dot{n1, 3});
  CHECK(seen_by(own) == version_vector{});
  s.answer(own, {.code = errc::dependency_timeout, .seen = {{n2, 8}}});
  s.put("review", "b");
  CHECK(seen_by(s.taken()) == version_vector{{n1, 3}, {n2, 8}});
  CHECK(from_wire(s.token().seen()) == version_vector{{n1, 3}, {n2, 8}});
  session_token_join join;
  to_wire(version_vector{{n2, 9}}, *join.token.mutable_seen());
  caf::anon_send(s.session, join);
  s.get("review", "c");
  CHECK(seen_by(s.taken()) == version_vector{{n2, 9}});
}

TEST_CASE("session: operations on one key stay in order, of whatever level") {
  scripted_session s;
  s.put("free", "a");
  s.get("free", "a");
  s.put("free", "b"); // eventual writes of different keys do not wait for each other
  REQUIRE(s.asked.size() == 2);
  CHECK(key_of(s.asked[1]) == "free:b");
  s.answer(s.taken());
  CHECK(key_of(s.asked[1]) == "free:a");
}

TEST_CASE(
    "session: T3: writes to causal and session types wait for the one before, whatever their keys; reads do not") {
  scripted_session s;
  s.put("cart", "a");
  s.put("review", "b");
  s.put("cart", "c");
  s.get("cart", "d");
  s.get("review", "b"); // behind the write of its key
  REQUIRE(s.asked.size() == 2);
  const auto a = s.taken();
  CHECK(key_of(a) == "cart:a");
  CHECK(key_of(s.taken()) == "cart:d");
  s.answer(a, {.written = {n1, 1}});
  REQUIRE(s.asked.size() == 1);
  const auto b = s.taken();
  CHECK(key_of(b) == "review:b");
  CHECK(seen_by(b) == version_vector{{n1, 1}});
  s.answer(b, {.written = {n2, 4}});
  REQUIRE(s.asked.size() == 2);
  CHECK(key_of(s.taken()) == "review:b");
  const auto c = s.taken();
  CHECK(key_of(c) == "cart:c");
  CHECK(seen_by(c) == version_vector{{n1, 1}, {n2, 4}});
}

TEST_CASE("session: T3: a write whose turn has come waits for the reads before it on its key, and others behind it") {
  scripted_session s;
  s.get("cart", "a");
  s.put("cart", "a");
  s.put("cart", "b");
  REQUIRE(s.asked.size() == 1);
  s.answer(s.taken());
  REQUIRE(s.asked.size() == 1);
  const auto a = s.taken();
  CHECK(key_of(a) == "cart:a");
  s.answer(a);
  CHECK(key_of(s.taken()) == "cart:b");
}

TEST_CASE("session: a session that wants no order of its writes gets none") {
  scripted_session s;
  for (const auto* key : {"a", "b"}) {
    auto call = s.call_of("cart", key, true);
    call.guarantees = guarantee::all & ~guarantee::monotonic_writes;
    s.send(std::move(call));
  }
  CHECK(s.asked.size() == 2);
}

TEST_CASE("session: T3: an unknown write is settled, under its own id, before the next one is sent") {
  scripted_session s;
  const auto first = s.put("cart", "a");
  const auto a = s.taken();
  s.answer(a, {.code = errc::timeout, .unsettled = true});
  CHECK(s.error_of(first) == errc::timeout);
  CHECK(s.asked.empty()); // nobody needs to know yet
  s.put("review", "b");
  REQUIRE(s.asked.size() == 1);
  const auto again = s.taken();
  CHECK(from_wire(again.operation.id()) == from_wire(a.operation.id()));
  CHECK(again.operation.executor() == 2);
  CHECK(again.deadline == s.clock.time + 1s);
  s.get("cart", "c"); // reads go on meanwhile
  s.taken();
  s.answer(again, {.written = {n2, 6}});
  REQUIRE(s.asked.size() == 1);
  CHECK(seen_by(s.taken()) == version_vector{{n2, 6}});
}

TEST_CASE("session: T3: while a write stays unknown, the next ones are not done; once it is settled, they are sent") {
  scripted_session s;
  s.put("cart", "a");
  s.answer(s.taken(), {.code = errc::abandoned, .unsettled = true});
  const auto second = s.put("cart", "b");
  const auto again = s.taken();
  s.answer(again, {.code = errc::timeout, .unsettled = true});
  CHECK(s.error_of(second) == errc::unavailable);
  CHECK(s.asked.empty());
  const auto third = s.put("cart", "b");
  s.answer(s.taken(), {.code = errc::unavailable}); // it was not executed
  const auto b = s.taken();
  CHECK(key_of(b) == "cart:b");
  CHECK(seen_by(b) == version_vector{});
  s.answer(b);
  CHECK(s.error_of(third) == errc::none);
}

TEST_CASE("session: a write that waits for its turn is told at its deadline that nothing was done") {
  scripted_session s;
  auto slow = s.call_of("cart", "a", true);
  slow.deadline = s.clock.time + 10s;
  s.send(std::move(slow));
  const auto second = s.put("cart", "b");
  const auto third = s.get("cart", "b");
  s.pass(1s);
  CHECK(s.error_of(second) == errc::expired);
  CHECK_FALSE(s.answered.contains(third)); // its manager says so
  REQUIRE(s.asked.size() == 2);
  const auto fourth = s.put("cart", "c");
  s.answer(s.taken());
  s.answer(s.taken());
  s.answer(s.taken());
  CHECK(s.error_of(fourth) == errc::none);
}

TEST_CASE("session: a call that waits is cancelled here, one that was sent on where it is") {
  scripted_session s;
  s.put("cart", "a", 1);
  const auto second = s.put("cart", "b", 2);
  const auto third = s.put("cart", "c");
  caf::anon_send(s.session, call_cancelled{2});
  s.run();
  CHECK(s.error_of(second) == errc::cancelled);
  caf::anon_send(s.session, call_cancelled{1});
  s.run();
  REQUIRE(s.cancelled.size() == 1);
  const auto a = s.taken();
  CHECK(s.cancelled.front() == from_wire(a.operation.id()));
  s.answer(a, {.code = errc::cancelled});
  s.answer(s.taken());
  CHECK(s.error_of(third) == errc::none);
}

TEST_CASE(
    "session: a write that is cancelled when its turn has come, and reads stand before it, gives its turn away") {
  scripted_session s;
  s.get("cart", "a");
  const auto second = s.put("cart", "a", 7);
  s.put("cart", "b");
  caf::anon_send(s.session, call_cancelled{7});
  s.run();
  CHECK(s.error_of(second) == errc::cancelled);
  REQUIRE(s.asked.size() == 2);
  CHECK(key_of(s.asked[1]) == "cart:b");
}

TEST_CASE("session: X1: writes that wait for their turn count among its open operations") {
  scripted_session s{2};
  s.put("cart", "a");
  s.put("cart", "b");
  const auto third = s.put("cart", "c");
  CHECK(s.error_of(third) == errc::overloaded);
}

TEST_CASE("session: when it is closed, what was sent on is unknown, and what waits is not done") {
  scripted_session s;
  const auto first = s.put("cart", "a");
  const auto second = s.put("cart", "b");
  caf::anon_send(s.session, close_atom::value);
  s.run();
  CHECK(s.error_of(first) == errc::timeout);
  CHECK(s.error_of(second) == errc::shutting_down);
}

TEST_CASE("weak managers: an operation goes to a replica and its outcome back to the session; status counts it") {
  scripted_session s;
  std::deque<v1::WeakOperation> executed;
  const auto replica = s.system.spawn([&](caf::event_based_actor* actor) -> caf::behavior {
    actor->set_default_handler(caf::drop);
    return {[&](node_id, v1::WeakOperation& o) { executed.push_back(std::move(o)); }};
  });
  s.board->stream_replica = caf::actor_cast<stream_replica_actor>(replica);
  weak_requests_options options{.self = {1}, .near = {{1}}, .replica_sets = {4, {node_id{1}}}, .restarts = {77}};
  const std::map<level, weak_manager_actor> real{
      {level::eventual, spawn_eventual_manager(s.system, {{&s.clock, s.board, nullptr, {}}, options})},
      {level::session, spawn_session_manager(s.system, {{&s.clock, s.board, nullptr, {}}, options})},
      {level::causal, spawn_causal_manager(s.system, {{&s.clock, s.board, nullptr, {}}, options})}};
  for (const auto& [at, manager] : real) {
    auto& seat = at == level::eventual  ? s.board->eventual_manager
                 : at == level::session ? s.board->session_manager
                                        : s.board->causal_manager;
    caf::anon_send_exit(seat, caf::exit_reason::kill);
    seat = manager;
    caf::anon_send(manager, lives_changed{{{{1}, 3}}, {}});
  }
  const auto write = s.put("review", "a");
  REQUIRE(executed.size() == 1);
  CHECK(executed.front().executor() == 1);
  CHECK(executed.front().executor_life() == 3);
  v1::Envelope e;
  auto& answer = *e.mutable_weak_answer();
  *answer.mutable_id() = executed.front().id();
  answer.set_attempt(1);
  answer.set_level(executed.front().level());
  answer.set_waited_us(12);
  to_wire(dot{n1, 1}, *answer.mutable_written());
  auto stray = e;
  stray.mutable_weak_answer()->set_level(9);
  CHECK_FALSE(s.board->deliver({1}, stray));
  CHECK(s.board->deliver({1}, e));
  s.run();
  CHECK(s.error_of(write) == errc::none);
  const auto read = s.get("cart", "b");
  s.pass(2s);
  CHECK(s.error_of(read) == errc::timeout);
  caf::scoped_actor self{s.system};
  auto status = self->request(real.at(level::causal), caf::infinite, status_atom::value);
  s.run();
  status.receive(
      [](const weak_manager_status& m) {
        CHECK(m.which == level::causal);
        CHECK(m.done == 1);
        CHECK(m.waits == 1);
        CHECK(m.waited_us == 12);
        CHECK(m.open == 0);
      },
      [](caf::error&) { FAIL("no status"); });
  caf::anon_send_exit(replica, caf::exit_reason::kill);
}
