/// Random managers, replicas, connections and restarts around `weak_requests`; the judge keeps its own record of what
/// was executed, and where.
#include "protocol/mutation.hpp"
#include "protocol/session/session_vector.hpp"
#include "protocol/stream/weak_requests.hpp"
#include "protocol/version_vector.hpp"
#include "tests/support/seeds.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr node_id here{1};
constexpr std::uint32_t nodes = 4;

/// One replica, and the connection to it. What it has executed is on its disk.
struct replica {
  std::uint64_t life = 1;
  bool connected = false;
  std::deque<v1::WeakOperation> in; ///< on their way; when the connection breaks, the last of them had not left
  std::deque<v1::WeakAnswer> back;
  std::set<request_id> executed;
  std::vector<v1::WeakAnswer> delayed; ///< executed, not yet answered
};

struct asked {
  instant deadline;
  bool sent = false;
  bool resumed = false;
  bool writes = false;
  int outcomes = 0;
  int executions = 0;
  bool not_done = false;
  bool done = false;
};

class world {
public:
  explicit world(std::uint64_t seed)
      : random_{seed},
        core_{{.self = here,
               .near = {here, {2}},
               .replica_sets = {{{1}, {2}, {3}}, {{3}, {4}, {2}}},
               .restarts = {9'999},
               .operations_max = 16}} {}

  /// Empty = all is well.
  std::string run() {
    replicas_[1].connected = true;
    for (int i = 0; i < 600 && wrong_.empty(); ++i)
      step(true);
    // No more is asked: what is under way comes to its end.
    for (int i = 0; i < 4'000 && wrong_.empty() && core_.open() > 0; ++i)
      step(false);
    for (int i = 0; i < 400 && wrong_.empty(); ++i)
      deliver_something();
    for (const auto& [number, a] : asked_) {
      if (a.outcomes != (a.resumed ? 2 : 1)) fail(number, "settled " + std::to_string(a.outcomes) + " times");
      if (a.not_done && a.executions > 0) fail(number, "not done, but executed");
      if (a.done && a.writes && a.executions != 1)
        fail(number, "done, executed " + std::to_string(a.executions) + " times");
      if (a.executions > 1) fail(number, "executed " + std::to_string(a.executions) + " times");
    }
    return wrong_;
  }

private:
  std::uint64_t pick(std::uint64_t n) { return random_() % n; }
  bool chance(std::uint64_t percent) { return pick(100) < percent; }
  void fail(std::uint64_t number, const std::string& why) {
    if (wrong_.empty()) wrong_ = "operation " + std::to_string(number) + ": " + why;
  }
  template <class F> void does(F f) {
    weak_requests::effects out;
    f(out);
    for (auto& e : out)
      if (auto* s = std::get_if<send>(&e))
        take(s->to, std::move(*s->envelope.mutable_weak_operation()));
      else if (auto* done = std::get_if<weak_requests::settled>(&e))
        settle(*done);
  }

  void take(node_id to, v1::WeakOperation o) {
    auto& a = asked_.at(number_of(o));
    auto& r = replicas_[to.value];
    if (!r.connected) {
      handed_back_.emplace_back(to, std::move(o));
      return;
    }
    a.sent = true;
    r.in.push_back(std::move(o));
  }

  static std::uint64_t number_of(const v1::WeakOperation& o) { return o.staleness_us(); } // whatever its id is

  void settle(weak_requests::settled& s) {
    const auto number = by_id_.at(s.id);
    auto& a = asked_.at(number);
    ++a.outcomes;
    if (now_ > a.deadline) fail(number, "settled after its deadline");
    const auto code = static_cast<errc>(s.answer.result().error());
    if (code == errc::none) {
      a.done = true;
    } else if (outcome_of(code) == outcome::not_done) {
      a.not_done = true;
    } else if (!a.sent) {
      fail(number, "unknown, but never sent");
    }
    if (s.unsettled.executor() != 0 && !a.resumed && chance(50)) again_.push_back(std::move(s.unsettled));
  }

  void submit() {
    v1::WeakOperation o;
    const auto number = ++numbers_;
    o.mutable_id()->set_session(5);
    o.mutable_id()->set_number(number);
    o.set_key("t:k");
    o.set_shard(static_cast<std::uint32_t>(pick(2)));
    o.set_staleness_us(number);
    if (chance(40))
      o.mutable_get();
    else
      o.mutable_add()->set_delta(1);
    const auto deadline = now_ + milliseconds{pick(2'000)};
    asked_[number].deadline = deadline;
    asked_[number].writes = is_write(o);
    by_id_[{{5}, number}] = number;
    does([&](auto& out) { core_.submit(std::move(o), deadline, now_, out); });
  }

  void submit_again() {
    auto o = std::move(again_.front());
    again_.pop_front();
    auto& a = asked_.at(number_of(o));
    a.resumed = true;
    const auto deadline = a.deadline = now_ + milliseconds{pick(2'000)};
    by_id_[from_wire(o.id())] = number_of(o);
    does([&](auto& out) { core_.submit(std::move(o), deadline, now_, out); });
  }

  void deliver_something() {
    const node_id at{1 + static_cast<std::uint32_t>(pick(nodes))};
    auto& r = replicas_[at.value];
    if (!r.in.empty()) {
      auto o = std::move(r.in.front());
      r.in.pop_front();
      execute(at, r, o);
    }
    if (!r.delayed.empty() && chance(50)) {
      r.back.push_back(r.delayed.back());
      r.delayed.pop_back();
    }
    if (!r.back.empty() && chance(70)) {
      const auto a = r.back.front();
      if (!chance(10)) r.back.pop_front(); // else it comes twice
      does([&](auto& out) { core_.receive(at, a, now_, out); });
    }
  }

  void execute(node_id at, replica& r, const v1::WeakOperation& o) {
    v1::WeakAnswer a;
    *a.mutable_id() = o.id();
    a.set_attempt(o.attempt());
    a.set_life(r.life);
    auto answer = [&](errc code) {
      a.mutable_result()->set_error(static_cast<std::uint32_t>(code));
      if (chance(10)) return; // it is lost
      if (chance(70))
        r.back.push_back(a);
      else
        r.delayed.push_back(a);
    };
    if (!is_write(o))
      return answer(chance(70) ? errc::none : chance(50) ? errc::dependency_timeout : errc::not_joined);
    const auto id = from_wire(o.id());
    if (chance(6)) return answer(chance(50) ? errc::not_joined : errc::overloaded); // without a look for the id
    if (o.executor() != at.value) return fail(number_of(o), "sent to a node that it does not name");
    if (r.executed.contains(id)) return answer(chance(20) ? errc::timeout : errc::none);
    a.set_settled(true); // it has looked
    if (chance(10)) return answer(chance(50) ? errc::overloaded : errc::clock_ahead);
    if (o.executor_life() != 0 && o.executor_life() != r.life) {
      a.set_executed_elsewhere(true);
      return answer(errc::unavailable);
    }
    r.executed.insert(id);
    auto& record = asked_.at(number_of(o));
    ++record.executions;
    if (executor_of_.emplace(id, at).first->second != at) fail(number_of(o), "one id was executed by two nodes");
    answer(chance(10) ? errc::timeout : errc::none);
  }

  void break_or_connect() {
    const node_id who{2 + static_cast<std::uint32_t>(pick(nodes - 1))};
    auto& r = replicas_[who.value];
    if (!r.connected) {
      r.connected = true;
      return does([&](auto& out) { core_.peer(who, true, now_, out); });
    }
    r.connected = false;
    const auto left = pick(r.in.size() + 1);
    for (auto i = left; i < r.in.size(); ++i)
      handed_back_.emplace_back(who, std::move(r.in[i]));
    r.in.clear();
    r.back.clear();
    r.delayed.clear();
    if (chance(40)) ++r.life;
    does([&](auto& out) { core_.peer(who, false, now_, out); });
    if (chance(70)) tell_view();
  }

  void tell_view() {
    std::map<node_id, std::uint64_t> lives;
    std::set<node_id> outs;
    for (std::uint32_t n = 1; n <= nodes; ++n) {
      if (chance(90)) lives[{n}] = replicas_[n].life;
      if (chance(10)) outs.insert({n});
    }
    does([&](auto& out) { core_.lives(std::move(lives), std::move(outs), now_, out); });
  }

  void step(bool more) {
    const auto what = pick(100);
    if (!handed_back_.empty() && what < 50) {
      auto [to, o] = std::move(handed_back_.front());
      handed_back_.pop_front();
      return does([&, to = to](auto& out) { core_.unsent(to, o, errc::none, now_, out); });
    }
    if (what < 15 && more) return submit();
    if (what < 25 && more && !again_.empty()) return submit_again();
    if (what < 70) return deliver_something();
    if (what < 80) return break_or_connect();
    if (what < 83) return tell_view();
    if (what < 85 && numbers_ > 0) return does([&](auto& out) { core_.cancel({{5}, 1 + pick(numbers_)}, out); });
    // Time goes on to the next thing that is due, or a little.
    const auto due = core_.wake_at();
    now_ = due == never || chance(50) ? std::min(due, now_ + milliseconds{pick(30)}) : std::max(now_, due);
    does([&](auto& out) { core_.tick(now_, out); });
  }

  std::mt19937_64 random_;
  weak_requests core_;
  instant now_{1h};
  std::map<std::uint32_t, replica> replicas_;
  std::map<std::uint64_t, asked> asked_;
  std::map<request_id, std::uint64_t> by_id_;
  std::map<request_id, node_id> executor_of_;
  std::deque<std::pair<node_id, v1::WeakOperation>> handed_back_;
  std::deque<v1::WeakOperation> again_;
  std::uint64_t numbers_ = 0;
  std::string wrong_;
};

} // namespace

TEST_CASE(
    "weak requests: at random, no write has two executors, and each operation is settled once, in time, truly") {
  for (std::uint64_t seed = 1; seed <= test::seeds(300); ++seed) {
    CAPTURE(seed);
    REQUIRE(world{seed}.run() == "");
  }
}

TEST_CASE("weak requests: the judge notices a write that is asked of a second executor") {
  plant(mutation::second_executor);
  std::uint64_t seed = 1;
  while (seed <= 500 && world{seed}.run().empty())
    ++seed;
  plant(mutation::none);
  CAPTURE(seed);
  CHECK(seed <= 500);
}
