#include "protocol/stream/weak_requests.hpp"

#include "protocol/session/session_vector.hpp"
#include "protocol/version_vector.hpp"

#include <doctest/doctest.h>
#include <troupe/level.hpp>

#include <algorithm>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr instant start{1h};
constexpr node_id n1{1}, n2{2}, n3{3}, elsewhere{8};

v1::WeakOperation operation(std::uint64_t number) {
  v1::WeakOperation o;
  o.mutable_id()->set_session(5);
  o.mutable_id()->set_number(number);
  o.set_key("t:k");
  o.set_level(static_cast<std::uint32_t>(level::causal));
  return o;
}
v1::WeakOperation put(std::uint64_t number) {
  auto o = operation(number);
  o.mutable_put()->set_value("a");
  return o;
}
v1::WeakOperation get(std::uint64_t number) {
  auto o = operation(number);
  o.mutable_get();
  return o;
}

struct reply {
  errc code = errc::none;
  std::uint64_t life = 0;
  bool elsewhere = false;
  bool settled = false;
  dot written = {};
};

/// A manager of node `self`, in one region with n2; all effects as text.
struct manager {
  explicit manager(node_id self = n1, std::size_t operations_max = 8, session_id restarts = {99})
      : core{{.self = self,
              .near = {n1, n2},
              .replica_sets = {{n3, n2, n1}},
              .restarts = restarts,
              .operations_max = operations_max}} {
    for (auto n : {n1, n2, n3})
      if (n != self) up(n);
    view({{n1, 1}, {n2, 1}, {n3, 1}});
  }
  template <class F> std::string does(F f) {
    weak_requests::effects out;
    f(out);
    std::string text;
    for (const auto& e : out) {
      std::string line;
      if (const auto* s = std::get_if<send>(&e)) {
        last = s->envelope.weak_operation();
        line =
            to_string(s->to) + ": " + to_string(from_wire(last.id())) + " attempt=" + std::to_string(last.attempt());
        if (last.executor() != 0) line += " by " + to_string(origin{{last.executor()}, last.executor_life()});
      } else if (const auto* done = std::get_if<weak_requests::settled>(&e)) {
        line = "settled " + to_string(done->id) + " "
               + std::string{name_of(static_cast<errc>(done->answer.result().error()))};
        if (done->unsettled.executor() != 0) line += " unsettled";
        unsettled = done->unsettled;
        answer_of_last = done->answer;
      } else {
        continue;
      }
      text += (text.empty() ? "" : "; ") + line;
    }
    return text;
  }
  std::string submit(const v1::WeakOperation& o, nanoseconds budget = 1s) {
    return does([&](auto& out) { core.submit(o, now + budget, now, out); });
  }
  v1::WeakAnswer answer_to(const v1::WeakOperation& asked, reply r = {}) const {
    v1::WeakAnswer a;
    *a.mutable_id() = asked.id();
    a.set_attempt(asked.attempt());
    a.set_level(asked.level());
    a.mutable_result()->set_error(static_cast<std::uint32_t>(r.code));
    a.set_life(r.life);
    a.set_executed_elsewhere(r.elsewhere);
    a.set_settled(r.settled);
    if (r.written) to_wire(r.written, *a.mutable_written());
    return a;
  }
  std::string answer(node_id from, reply r = {}) { return answer(from, last, r); }
  std::string answer(node_id from, const v1::WeakOperation& asked, reply r = {}) {
    return does([&](auto& out) { core.receive(from, answer_to(asked, r), now, out); });
  }
  std::string unsent(node_id to, errc why = errc::none) {
    return does([&](auto& out) { core.unsent(to, last, why, now, out); });
  }
  std::string up(node_id who) {
    return does([&](auto& out) { core.peer(who, true, now, out); });
  }
  std::string down(node_id who) {
    return does([&](auto& out) { core.peer(who, false, now, out); });
  }
  std::string view(std::map<node_id, std::uint64_t> lives, std::set<node_id> outs = {}) {
    return does([&](auto& out) { core.lives(std::move(lives), std::move(outs), now, out); });
  }
  std::string cancel(std::uint64_t number) {
    return does([&](auto& out) { core.cancel({{5}, number}, out); });
  }
  std::string tick(nanoseconds later) {
    now += later;
    return does([&](auto& out) { core.tick(now, out); });
  }

  weak_requests core;
  instant now = start;
  v1::WeakOperation last;      ///< sent
  v1::WeakOperation unsettled; ///< of the last one that was settled
  v1::WeakAnswer answer_of_last;
};

} // namespace

TEST_CASE("weak requests: this node executes what it stores, else one of its region, else the first that is there") {
  manager m;
  CHECK(m.submit(put(1)) == "n1: 5#1 attempt=1 by n1.1");
  manager far{elsewhere};
  CHECK(far.submit(put(1)) == "n2: 5#1 attempt=1 by n2.1");
  far.down(n2);
  CHECK(far.submit(put(2)) == "n1: 5#2 attempt=1 by n1.1");
  far.up(n2);
  far.view({{n1, 1}, {n2, 1}, {n3, 1}}, {n1, n2}); // whom the view does not count
  CHECK(far.submit(get(3)) == "n3: 5#3 attempt=1");
  far.view({{n1, 4}});
  CHECK(far.submit(put(4)) == "n1: 5#4 attempt=1 by n1.4");
}

TEST_CASE("weak requests: a node that has no life in the view yet is not asked while others are") {
  manager m;
  m.view({{n3, 1}});
  CHECK(m.submit(put(1)) == "n3: 5#1 attempt=1 by n3.1");
  m.down(n2);
  m.down(n3);
  CHECK(m.submit(put(2)) == "");
  CHECK(m.view({{n1, 2}}) == "n1: 5#2 attempt=1 by n1.2");
}

TEST_CASE("weak requests: a node without the view learns lives from answers, and goes on asking all the same") {
  weak_requests core{{.self = elsewhere, .near = {n2}, .replica_sets = {{n1, n2}}}};
  manager m{elsewhere};
  m.core = std::move(core);
  m.up(n1);
  CHECK(m.submit(put(1)) == "n1: 5#1 attempt=1 by n1.0");
  m.answer(n1, {.life = 7});
  CHECK(m.submit(put(2)) == "n1: 5#2 attempt=1 by n1.7");
  m.up(n2);
  CHECK(m.submit(put(3)) == "n2: 5#3 attempt=1 by n2.0");
}

TEST_CASE("weak requests: a write is repeated to its executor only, under the same id, and settled once") {
  manager m{elsewhere};
  CHECK(m.submit(put(1)) == "n2: 5#1 attempt=1 by n2.1");
  CHECK(m.tick(250ms) == "n2: 5#1 attempt=2 by n2.1");
  CHECK(m.down(n2) == "");
  CHECK(m.tick(500ms) == "");
  m.view({{n1, 1}, {n2, 2}, {n3, 1}}); // it has another life now
  CHECK(m.up(n2) == "n2: 5#1 attempt=3 by n2.1");
  CHECK(m.answer(n2) == "settled 5#1 none");
  CHECK(m.answer(n2) == "");
  CHECK(m.core.open() == 0);
  CHECK(m.core.counted().retries == 2);
}

TEST_CASE("weak requests: what was never sent is not done at its deadline, what was sent is unknown") {
  manager m{elsewhere};
  for (auto n : {n1, n2, n3})
    m.down(n);
  CHECK(m.submit(put(1)) == "");
  CHECK(m.tick(1s) == "settled 5#1 unavailable");
  m.up(n2);
  CHECK(m.submit(put(2)) == "n2: 5#2 attempt=1 by n2.1");
  m.down(n2);
  CHECK(m.tick(1s) == "settled 5#2 timeout unsettled");
  CHECK(m.unsettled.executor() == n2.value);
  CHECK(m.submit(put(3), 0s) == "settled 5#3 expired");
}

TEST_CASE(
    "weak requests: a life that is over has not executed it: it begins again elsewhere under an id of this node") {
  manager m{elsewhere};
  m.submit(put(1));
  const auto first = m.last;
  CHECK(m.answer(n2, {.life = 2, .elsewhere = true}) == "n1: 99#1 attempt=1 by n1.1");
  CHECK(m.answer(n2, first) == ""); // under the former id, a late one
  CHECK(m.answer(n2) == "");        // of a node that was not asked to
  CHECK(m.answer(n1) == "settled 5#1 none");
  CHECK(from_wire(m.answer_of_last.id()) == request_id{{5}, 1});
  CHECK(m.core.counted().restarts == 1);
}

TEST_CASE("weak requests: without ids of its own a write that was not executed does not begin again") {
  manager m{elsewhere, 8, {}};
  m.submit(put(1));
  CHECK(m.answer(n2, {.elsewhere = true}) == "settled 5#1 unavailable");
  m.submit(put(2));
  CHECK(m.unsent(n2) == "");
  CHECK(m.tick(10ms) == "n2: 5#2 attempt=2 by n2.1");
}

TEST_CASE("weak requests: a replica that accepts nothing now is left for another, with a pause when all were asked") {
  manager m{elsewhere};
  m.submit(put(1));
  CHECK(m.answer(n2, {.code = errc::not_joined}) == "n1: 99#1 attempt=1 by n1.1");
  CHECK(m.answer(n1, {.code = errc::clock_ahead}) == "n3: 99#2 attempt=1 by n3.1");
  CHECK(m.answer(n3, {.code = errc::shutting_down}) == "");
  CHECK(m.tick(10ms) == "n2: 99#3 attempt=1 by n2.1");
}

TEST_CASE(
    "weak requests: a refusal speaks for its attempt; for earlier ones only when its node has looked for them") {
  manager m{elsewhere};
  m.submit(put(1));
  const auto first = m.last;
  m.tick(250ms);
  CHECK(m.answer(n2, first, {.code = errc::overloaded, .settled = true}) == ""); // the second may be executed
  CHECK(m.answer(n2, {.code = errc::overloaded}) == "settled 5#1 overloaded");
  m.submit(put(2));
  m.tick(250ms);
  CHECK(m.answer(n2, {.code = errc::overloaded, .settled = true}) == "settled 5#2 overloaded");
  m.submit(put(3));
  m.tick(250ms);
  CHECK(m.answer(n2, {.code = errc::overloaded}) == ""); // the first may have been
  CHECK(m.tick(750ms) == "settled 5#3 timeout unsettled");
}

TEST_CASE(
    "weak requests: an executor that waits for others in vain is asked on; at the deadline its answer is told") {
  manager m{elsewhere};
  m.submit(put(1));
  CHECK(m.answer(n2, {.code = errc::timeout, .life = 1}) == "");
  CHECK(m.tick(250ms) == "n2: 5#1 attempt=2 by n2.1");
  CHECK(m.answer(n2, {.code = errc::timeout, .written = {{n2, 1}, 4}}) == "");
  m.tick(500ms);
  CHECK(m.tick(250ms) == "settled 5#1 timeout"); // what it has become is known: nothing to ask for
  CHECK(from_wire(m.answer_of_last.written()) == dot{{n2, 1}, 4});
  m.submit(put(2));
  CHECK(m.answer(n2, {.code = errc::forgotten}) == "settled 5#2 forgotten unsettled");
}

TEST_CASE(
    "weak requests: an unsettled write is asked for again at its executor, and stays unknown until that answers") {
  manager m{elsewhere};
  m.submit(put(1));
  CHECK(m.tick(1s) == "settled 5#1 timeout unsettled");
  const auto kept = m.unsettled;
  CHECK(m.submit(kept) == "n2: 5#1 attempt=2 by n2.1");
  CHECK(m.answer(n2, {.code = errc::not_joined}) == "");
  CHECK(m.tick(1s) == "settled 5#1 timeout unsettled");
  m.down(n2);
  CHECK(m.submit(kept) == "");
  CHECK(m.tick(1s) == "settled 5#1 timeout unsettled");
  CHECK(m.submit(kept, 0s) == "settled 5#1 timeout unsettled");
  m.up(n2);
  CHECK(m.submit(kept) == "n2: 5#1 attempt=2 by n2.1");
  CHECK(m.answer(n2, {.elsewhere = true}) == "settled 5#1 unavailable"); // its caller is gone: not begun again
  CHECK(m.submit(kept) == "n2: 5#1 attempt=2 by n2.1");
  CHECK(m.answer(n2, {.code = errc::too_many_siblings, .settled = true}) == "settled 5#1 too_many_siblings");
}

TEST_CASE("weak requests: of a write that was resumed, the attempt before that stands for all earlier ones, whatever "
          "comes of it") {
  manager m{elsewhere};
  m.submit(put(1));
  m.tick(250ms);
  const auto second = m.last;
  CHECK(m.tick(750ms) == "settled 5#1 timeout unsettled");
  m.submit(m.unsettled);
  const auto third = m.last;
  const auto unsent = [&](const v1::WeakOperation& o) {
    return m.does([&](auto& out) { m.core.unsent(n2, o, errc::none, m.now, out); });
  };
  CHECK(unsent(second) == ""); // late: it was sent to the connection of before
  CHECK(m.answer(n2, second, {.code = errc::overloaded}) == "");
  CHECK(unsent(third) == "");
  CHECK(m.tick(1s) == "settled 5#1 timeout unsettled"); // the first may have been executed
}

TEST_CASE(
    "weak requests: a read goes to another replica when the first is silent, and the first good answer counts") {
  manager m;
  CHECK(m.submit(get(1)) == "n1: 5#1 attempt=1");
  const auto first = m.last;
  CHECK(m.tick(100ms) == "n2: 5#1 attempt=2");
  CHECK(m.tick(200ms) == "n3: 5#1 attempt=3");
  CHECK(m.answer(n1, first) == "settled 5#1 none");
  CHECK(m.answer(n3) == "");
  CHECK(m.core.counted().forwards == 2);
  m.submit(get(2));
  CHECK(m.answer(n3) == ""); // it was not asked
}

TEST_CASE("weak requests: a read that cannot be answered here is forwarded at once; in the end its reason is told") {
  manager m;
  m.submit(get(1));
  CHECK(m.answer(n1, {.code = errc::dependency_timeout}) == "n2: 5#1 attempt=2");
  CHECK(m.answer(n2, {.code = errc::overloaded}) == "n3: 5#1 attempt=3");
  CHECK(m.answer(n3, {.code = errc::corrupt}) == "settled 5#1 dependency_timeout");
  m.submit(get(2));
  CHECK(m.answer(n1, {.code = errc::unsupported_operation}) == "settled 5#2 unsupported_operation");
  m.submit(get(3));
  m.answer(n1, {.code = errc::not_joined});
  m.answer(n2, {.code = errc::not_joined});
  CHECK(m.answer(n3, {.code = errc::not_joined}) == ""); // a moment later they may have joined
  CHECK(m.tick(80ms) == "n1: 5#3 attempt=4");
  CHECK(m.tick(1s) == "settled 5#3 not_joined");
}

TEST_CASE("weak requests: a read whose replica is gone is asked of another at once") {
  manager m{elsewhere};
  CHECK(m.submit(get(1)) == "n2: 5#1 attempt=1");
  CHECK(m.down(n2) == "n1: 5#1 attempt=2");
  CHECK(m.unsent(n1) == "");
  CHECK(m.tick(10ms) == "n3: 5#1 attempt=3");
  m.down(n1);
  CHECK(m.down(n3) == "");
  CHECK(m.tick(1s) == "settled 5#1 unavailable");
}

TEST_CASE("weak requests: a replica has time to say whom everybody waits for before the deadline") {
  manager m;
  m.submit(get(1), 10s);
  CHECK(std::chrono::microseconds{m.last.budget_us()} == 9'750ms);
  m.submit(get(2), 500ms);
  CHECK(std::chrono::microseconds{m.last.budget_us()} == 400ms);
}

TEST_CASE("weak requests: what the link did not take has not happened, and begins again") {
  manager m{elsewhere};
  m.submit(put(1));
  CHECK(m.unsent(n2) == "n1: 99#1 attempt=1 by n1.1");
  CHECK(m.unsent(n1, errc::value_too_large) == "settled 5#1 value_too_large");
  m.submit(put(2));
  m.tick(250ms);
  CHECK(m.unsent(n2) == ""); // the second; the first is on its way
  CHECK(m.tick(10ms) == "n2: 5#2 attempt=3 by n2.1");
}

TEST_CASE("weak requests: whoever stops waiting is told at once whether anything may happen") {
  manager m{elsewhere};
  m.submit(put(1));
  CHECK(m.cancel(1) == "settled 5#1 abandoned unsettled");
  m.submit(get(2));
  CHECK(m.cancel(2) == "settled 5#2 cancelled");
  m.submit(put(3));
  m.answer(n2, {.code = errc::not_joined});
  m.answer(n1, {.code = errc::not_joined});
  m.answer(n3, {.code = errc::not_joined});
  CHECK(m.cancel(3) == "settled 5#3 cancelled");
  CHECK(m.cancel(3) == "");
}

TEST_CASE("weak requests: answers that make no sense change nothing") {
  manager m{elsewhere};
  m.submit(put(1));
  auto wrong = m.last;
  wrong.set_attempt(2); // never made
  CHECK(m.answer(n2, wrong) == "");
  wrong.set_attempt(0);
  CHECK(m.answer(n2, wrong) == "");
  CHECK(m.answer(n3) == "");
  wrong.mutable_id()->set_number(77);
  CHECK(m.answer(n2, wrong) == "");
  auto newer = m.answer_to(m.last);
  newer.mutable_result()->set_error(256); // no error of this version: unknown
  CHECK(m.does([&](auto& out) { m.core.receive(n2, newer, m.now, out); }) != "");
  CHECK(m.core.counted().done == 0);
  CHECK(m.core.counted().unknown == 1);
}

TEST_CASE("weak requests: X1: what is under way is bounded by number and by weight") {
  manager m{elsewhere, 2};
  m.submit(put(1));
  m.submit(put(2));
  CHECK(m.submit(put(3)) == "settled 5#3 overloaded");
  CHECK(m.submit(put(2)) == "settled 5#2 invalid_argument");
  manager heavy{elsewhere};
  heavy.core = weak_requests{{.self = elsewhere, .replica_sets = {{n1}}, .operations_bytes_max = 64}};
  auto large = put(1);
  large.mutable_put()->set_value(std::string(100, 'v'));
  CHECK(heavy.submit(large) == ""); // one always may
  large.mutable_id()->set_number(2);
  CHECK(heavy.submit(large) == "settled 5#2 overloaded");
  CHECK(heavy.tick(1s) == "settled 5#1 unavailable");
  large.mutable_id()->set_number(3);
  CHECK(heavy.submit(large) == "");
  auto nowhere = put(4);
  nowhere.set_shard(7);
  CHECK(m.submit(nowhere) == "settled 5#4 invalid_argument");
}
