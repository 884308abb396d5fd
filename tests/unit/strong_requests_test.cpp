#include "protocol/strong/requests.hpp"
#include "tests/support/strong_script.hpp"

#include <doctest/doctest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr instant start{1h};
constexpr node_id n1{1}, n2{2}, n3{3}, self{8};

v1::Operation put(std::uint64_t number) {
  v1::Operation o;
  o.mutable_id()->set_session(5);
  o.mutable_id()->set_number(number);
  o.set_key("t:k");
  o.mutable_put()->set_value("a");
  return o;
}

/// A strong manager on a node without replicas; all effects as text.
struct manager {
  explicit manager(std::size_t operations_max = 8)
      : core{{.self = self, .replica_sets = {{n1, n2, n3}}, .operations_max = operations_max}} {
    for (auto n : {n1, n2, n3})
      does([&](auto& out) { core.peer(n, true, now, out); });
  }
  template <class F> std::string does(F f) {
    requests::effects out;
    f(out);
    script::lines all;
    for (const auto& e : out) {
      if (const auto* s = std::get_if<send>(&e)) {
        all.push_back(script::render(*s));
        last = s->envelope.operation();
      } else if (const auto* done = std::get_if<requests::settled>(&e)) {
        all.push_back("settled " + to_string(done->id) + " " + script::render(done->result));
      }
    }
    return script::joined(all);
  }
  std::string submit(std::uint64_t number, nanoseconds budget = 1s) {
    return does([&](auto& out) { core.submit(put(number), now + budget, now, out); });
  }
  std::string answer(node_id from, std::uint32_t attempt, errc code, bool applied = true, bool settled = true) {
    v1::OperationAnswer a;
    *a.mutable_id() = last.id();
    a.set_attempt(attempt);
    a.mutable_result()->set_error(static_cast<std::uint32_t>(code));
    a.mutable_result()->set_applied(applied);
    a.set_settled(settled);
    to_wire(version{{1, n1, {1}}, 7}, *a.mutable_newest());
    return does([&](auto& out) { core.receive(from, a, now, out); });
  }
  std::string not_home(node_id from, std::uint32_t attempt, v1::NotHome::Reason reason, node_id hint = {}) {
    v1::NotHome n;
    *n.mutable_id() = last.id();
    n.set_attempt(attempt);
    n.set_reason(reason);
    n.set_hint(hint.value);
    to_wire(version{{1, n1, {1}}, 9}, *n.mutable_newest());
    return does([&](auto& out) { core.receive(from, n, now, out); });
  }
  std::string unsent(node_id to, errc why = errc::none) {
    return does([&](auto& out) { core.unsent(to, last, why, now, out); });
  }
  std::string down(node_id who) {
    return does([&](auto& out) { core.peer(who, false, now, out); });
  }
  std::string tick(nanoseconds later) {
    now += later;
    return does([&](auto& out) { core.tick(now, out); });
  }

  requests core;
  instant now = start;
  v1::Operation last;
};

} // namespace

TEST_CASE("requests: who waits for a lock leaves the home time to refuse it for certain") {
  manager m;
  auto acquire = put(1);
  acquire.mutable_acquire_lock()->set_owner("A");
  auto budget_of = [&](bool waits, nanoseconds deadline) {
    acquire.mutable_id()->set_number(acquire.id().number() + 1);
    acquire.mutable_acquire_lock()->set_wait(waits);
    m.does([&](auto& out) { m.core.submit(acquire, m.now + deadline, m.now, out); });
    return std::chrono::microseconds{m.last.budget_us()};
  };
  CHECK(budget_of(true, 10s) == 9'750ms);
  CHECK(budget_of(true, 500ms) == 400ms);
  CHECK(budget_of(false, 10s) == 10s);
}

TEST_CASE("requests: an answer settles the operation once, and tells where the home is") {
  manager m;
  CHECK(m.submit(1) == "n1: operation 5#1 attempt=1");
  CHECK(m.answer(n2, 1, errc::none) == "settled 5#1 applied");
  CHECK(m.answer(n2, 1, errc::none) == "");
  CHECK(m.submit(2) == "n2: operation 5#2 attempt=1");
  CHECK(from_wire(m.last.base()) == version{{1, n1, {1}}, 7});
}

TEST_CASE("requests: a home that is silent for a while is no longer taken for the home, though it is connected") {
  manager m;
  m.submit(1);
  m.answer(n1, 1, errc::none);
  CHECK(m.submit(2) == "n1: operation 5#2 attempt=1");
  CHECK(m.tick(250ms) == "n2: operation 5#2 attempt=2 unsettled");
  CHECK(m.core.home_hint({0}) == node_id{});
  CHECK(m.not_home(n2, 2, v1::NotHome::NO_HOME, n3) == "n3: operation 5#2 attempt=3 unsettled");
  m.down(n2);
  m.down(n3);
  CHECK(m.tick(10ms) == "n1: operation 5#2 attempt=4 unsettled"); // nobody else is left
  CHECK(m.tick(250ms) == "n1: operation 5#2 attempt=5 unsettled");
}

TEST_CASE("requests: a redirect is followed at once, with nothing unsettled") {
  manager m;
  m.submit(1);
  CHECK(m.not_home(n1, 1, v1::NotHome::NO_HOME, n3) == "n3: operation 5#1 attempt=2");
}

TEST_CASE("requests: two nodes that take each other for the home are not asked without end at one moment") {
  manager m;
  m.submit(1);
  std::size_t followed = 0;
  for (std::uint32_t attempt = 1; attempt < 100; ++attempt) {
    const auto at = attempt % 2 == 1 ? n1 : n2;
    if (m.not_home(at, attempt, v1::NotHome::NO_HOME, at == n1 ? n2 : n1).empty()) break;
    ++followed;
  }
  CHECK(followed < 10);
  CHECK(m.tick(10ms) != "");
}

TEST_CASE("requests: when nobody is home it pauses and asks the others in turn, and in the end nothing was done") {
  manager m;
  m.submit(1, 35ms);
  CHECK(m.not_home(n1, 1, v1::NotHome::NO_HOME) == "");
  CHECK(m.tick(10ms) == "n2: operation 5#1 attempt=2");
  CHECK(m.not_home(n2, 2, v1::NotHome::NO_HOME) == "");
  CHECK(m.tick(10ms) == "n3: operation 5#1 attempt=3");
  CHECK(m.not_home(n3, 3, v1::NotHome::NO_HOME) == "");
  CHECK(m.tick(15ms) == "settled 5#1 unavailable");
}

TEST_CASE("requests: an attempt that was sent and not answered makes the outcome unknown") {
  manager m;
  m.submit(1, 400ms);
  CHECK(m.tick(250ms) == "n2: operation 5#1 attempt=2 unsettled");
  CHECK(m.not_home(n2, 2, v1::NotHome::NO_HOME) == "");
  CHECK(m.tick(10ms) == "n3: operation 5#1 attempt=3 unsettled");
  CHECK(m.not_home(n3, 3, v1::NotHome::NO_HOME) == "");
  CHECK(m.tick(140ms) == "settled 5#1 timeout"); // the first attempt may yet be executed
}

TEST_CASE("requests: an interrupted attempt stays open") {
  manager m;
  m.submit(1, 100ms);
  m.not_home(n1, 1, v1::NotHome::INTERRUPTED);
  CHECK(m.tick(10ms) == "n2: operation 5#1 attempt=2 unsettled");
  m.not_home(n2, 2, v1::NotHome::NO_HOME);
  CHECK(m.tick(90ms) == "settled 5#1 timeout");
}

TEST_CASE("requests: an attempt that never left the node is not open") {
  manager m;
  m.submit(1, 15ms);
  CHECK(m.unsent(n1) == "");
  CHECK(m.tick(10ms) == "n2: operation 5#1 attempt=2");
  m.unsent(n2);
  CHECK(m.tick(5ms) == "settled 5#1 unavailable");
}

TEST_CASE("requests: an operation that no link will ever carry is settled at once, as not done") {
  manager m;
  m.submit(1);
  CHECK(m.unsent(n1, errc::value_too_large) == "settled 5#1 value_too_large");
  CHECK(m.core.open() == 0);
  CHECK(m.core.wake_at() == never);
}

TEST_CASE(
    "requests: one that no link will ever carry, but the own home may have executed, waits for that and no more") {
  for (const bool answered : {true, false}) {
    manager m;
    m.submit(1);
    CHECK(m.tick(250ms) == "n2: operation 5#1 attempt=2 unsettled");
    CHECK(m.unsent(n2, errc::value_too_large) == "");
    CHECK(m.tick(500ms) == ""); // it is not sent again
    if (answered)
      CHECK(m.answer(n1, 1, errc::none) == "settled 5#1 applied");
    else
      CHECK(m.tick(250ms) == "settled 5#1 timeout");
  }
}

TEST_CASE("requests: when the peer goes down its operations go elsewhere, still unsettled") {
  manager m;
  m.submit(1);
  CHECK(m.down(n1) == "");
  CHECK(m.tick(10ms) == "n2: operation 5#1 attempt=2 unsettled");
}

TEST_CASE("requests: with nobody connected it waits without spinning, and then nothing was done") {
  manager m;
  for (auto n : {n1, n2, n3})
    m.down(n);
  CHECK(m.submit(1, 50ms) == "");
  int ticks = 0;
  std::string said;
  while (m.core.open() > 0 && ++ticks < 20) {
    REQUIRE(m.core.wake_at() > m.now);
    said = m.tick(m.core.wake_at() - m.now);
  }
  CHECK(said == "settled 5#1 unavailable");
  CHECK(ticks == 5);
}

TEST_CASE("requests: a refusal that no record remembers is final only when no other attempt is open") {
  manager m;
  m.submit(1);
  m.tick(250ms);                                          // attempt 2
  CHECK(m.answer(n1, 1, errc::none, false, false) == ""); // the second may yet find that the condition holds
  CHECK(m.answer(n2, 2, errc::none, true, true) == "settled 5#1 applied");
  m.submit(2);
  CHECK(m.answer(n2, 1, errc::none, false, false) == "settled 5#2 refused");
}

TEST_CASE("requests: a committed refusal settles the operation although an attempt is open") {
  manager m;
  m.submit(1);
  m.tick(250ms);
  CHECK(m.answer(n2, 2, errc::not_a_number, false, true) == "settled 5#1 not_a_number");
}

TEST_CASE("requests: a home that does not know yet may still tell a later attempt") {
  manager m;
  m.submit(1);
  CHECK(m.answer(n1, 1, errc::timeout, false, false) == "");
  CHECK(m.tick(250ms) == "n2: operation 5#1 attempt=2 unsettled");
  CHECK(m.answer(n2, 2, errc::forgotten, false, false) == "settled 5#1 forgotten");
}

TEST_CASE("requests: a stale base is replaced at once when no attempt is open, and never when one is") {
  manager m;
  m.submit(1);
  CHECK(m.not_home(n1, 1, v1::NotHome::STALE_BASE).ends_with("operation 5#1 attempt=2"));
  CHECK(from_wire(m.last.base()) == version{{1, n1, {1}}, 9});
  manager other;
  other.submit(1);
  other.tick(250ms);
  CHECK(other.not_home(n2, 2, v1::NotHome::STALE_BASE).ends_with("unsettled"));
  CHECK(from_wire(other.last.base()) == version{});
}

TEST_CASE("requests: what undoes itself leaves the home three fifths of the time") {
  manager m;
  auto o = put(1);
  o.set_roll_back(true);
  m.does([&](auto& out) { m.core.submit(o, m.now + 1s, m.now, out); });
  CHECK(m.last.budget_us() == 600'000);
  CHECK(m.answer(n1, 1, errc::rolled_back, false, true) == "settled 5#1 rolled_back");
}

TEST_CASE("requests: operations are bounded, and what is malformed or too late is refused at once") {
  manager m{2};
  m.submit(1);
  m.submit(2);
  CHECK(m.submit(3) == "settled 5#3 overloaded");
  CHECK(m.core.open() == 2);
  manager other;
  CHECK(other.submit(1, 0ns) == "settled 5#1 expired");
  auto o = put(2);
  o.set_shard(1);
  CHECK(other.does([&](auto& out) { other.core.submit(o, other.now + 1s, other.now, out); })
        == "settled 5#2 invalid_argument");
}

TEST_CASE("X1: operations that would carry more bytes than the bound are overloaded, and room comes back") {
  requests core{{.self = self, .replica_sets = {{n1, n2, n3}}, .operations_max = 8, .operations_bytes_max = 1000}};
  auto put = [](std::uint64_t number, std::size_t bytes) {
    v1::Operation op;
    to_wire(request_id{{7}, number}, *op.mutable_id());
    op.set_key("t:k" + std::to_string(number));
    op.mutable_put()->set_value(std::string(bytes, 'v'));
    return op;
  };
  const instant start{std::chrono::seconds{1}};
  const auto deadline = start + std::chrono::seconds{1};
  requests::effects out;
  core.submit(put(1, 2000), deadline, start, out); // one always may, or a large value could never be written
  CHECK(core.open() == 1);
  core.submit(put(2, 10), deadline, start, out);
  CHECK(core.open() == 1);
  REQUIRE(std::holds_alternative<requests::settled>(out.back()));
  CHECK(std::get<requests::settled>(out.back()).result.error() == static_cast<std::uint32_t>(errc::overloaded));
  core.tick(deadline, out); // the first ends
  CHECK(core.open() == 0);
  core.submit(put(3, 10), deadline + std::chrono::seconds{1}, deadline, out);
  CHECK(core.open() == 1);
}

TEST_CASE("a cancelled operation is settled once, as not done only if no attempt of it is open") {
  manager m;
  const request_id id{{5}, 1};
  auto cancel = [&] { return m.does([&](auto& out) { m.core.cancel(id, out); }); };

  SUBCASE("an open attempt may be executed: unknown, and a late answer is told to nobody") {
    m.submit(1);
    CHECK(cancel() == "settled 5#1 abandoned");
    CHECK(m.answer(n1, 1, errc::none).empty());
    CHECK(cancel().empty());
  }
  SUBCASE("its home said that it executed nothing: not done") {
    m.submit(1);
    m.not_home(n1, 1, v1::NotHome::NO_HOME);
    for (auto n : {n1, n2, n3})
      m.down(n);
    CHECK(m.core.open() == 1);
    CHECK(cancel() == "settled 5#1 cancelled");
  }
  SUBCASE("nobody to send it to: not done") {
    for (auto n : {n1, n2, n3})
      m.down(n);
    m.submit(1);
    CHECK(cancel() == "settled 5#1 cancelled");
  }
  SUBCASE("a read changes nothing, wherever it is: not done") {
    auto read = put(1);
    read.mutable_get();
    m.does([&](auto& out) { m.core.submit(read, m.now + 1s, m.now, out); });
    CHECK(cancel() == "settled 5#1 cancelled");
  }
  SUBCASE("what is not under way is left alone") { CHECK(cancel().empty()); }
  CHECK(m.core.open() == 0);
  CHECK(m.core.wake_at() == never);
}
