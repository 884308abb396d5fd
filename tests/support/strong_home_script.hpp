/// A home on node 1 and a test that plays everybody else: it answers what was sent, by node, and reads the trace.
#pragma once

#include "protocol/strong/home.hpp"
#include "tests/support/strong_script.hpp"

#include <doctest/doctest.h>

#include <map>

namespace troupe::script {

using namespace std::chrono_literals;

inline constexpr instant start{std::chrono::hours{1}};
inline constexpr shard_id shard{7};
inline constexpr node_id n1{1}, n2{2}, n3{3}, client{9};

inline home_options three_replicas() {
  home_options o;
  o.self = n1;
  o.life = {1};
  o.shard = shard;
  o.replicas = {n1, n2, n3};
  o.bytes_max = 1'000'000;
  o.key_queue_max = 4;
  o.shard_queue_max = 8;
  o.combine_max = 8;
  o.settled_kept = 2;
  return o;
}

struct scripted_home {
  explicit scripted_home(home_options o = three_replicas()) : core{o} {
    home::effects out;
    core.start(now, out);
    core.peer(n2, true, now, out);
    core.peer(n3, true, now, out);
    take(out);
  }

  /// Calls `f(out)`, remembers what was sent, and returns it as text, oldest first.
  template <class F> std::string does(F f) {
    home::effects out;
    f(out);
    return take(out);
  }
  std::string take(const home::effects& out) {
    for (const auto& e : out) {
      const auto* s = std::get_if<send>(&e);
      if (s == nullptr) continue;
      if (s->envelope.has_claim()) claims[s->to] = s->envelope.claim();
      if (s->envelope.has_read_latest()) questions[s->to] = s->envelope.read_latest();
      if (s->envelope.has_accept()) accepts[s->to] = s->envelope.accept();
      if (s->envelope.has_list_tombstones()) listing = s->envelope.list_tombstones();
      if (s->envelope.has_operation_answer()) answer = s->envelope.operation_answer();
    }
    return joined(sends(out));
  }
  std::string tick(nanoseconds later = 0ns) {
    now += later;
    return does([&](auto& out) { core.tick(now, out); });
  }
  template <class Message> std::string receive(node_id from, const Message& m) {
    return does([&](auto& out) { core.receive(from, m, now, out); });
  }
  std::string grant(node_id from) {
    v1::Granted g;
    g.set_shard(shard.value);
    g.set_number(claims[from].number());
    *g.mutable_epoch() = claims[from].epoch();
    return receive(from, g);
  }
  std::string refuse(node_id from, v1::Refused::Reason reason, const epoch& promised, std::uint64_t left_ms = 0) {
    v1::Refused r;
    r.set_shard(shard.value);
    r.set_number(claims[from].number());
    r.set_reason(reason);
    to_wire(promised, *r.mutable_promised());
    r.set_remaining_ms(left_ms);
    return receive(from, r);
  }
  /// Answers the question that `from` was asked last.
  std::string latest(node_id from, const ballot& b = {}, const version& v = {}, const v1::Record& record = {}) {
    return latest_of(questions[from].key(), from, b, v, record);
  }
  /// The same for a key that is not the one that was asked for last.
  std::string latest_of(const std::string& key, node_id from, const ballot& b = {}, const version& v = {},
                        const v1::Record& record = {}) {
    v1::Latest l;
    l.set_shard(shard.value);
    l.set_number(questions[from].number());
    l.set_key(key);
    to_wire(b, *l.mutable_ballot());
    to_wire(v, *l.mutable_version());
    if (v) l.set_record(record.SerializeAsString());
    return receive(from, l);
  }
  /// `from` has nothing under the key, and has collected tombstones of the shard up to `evicted`.
  std::string nothing(node_id from, const version& evicted = {}) {
    v1::Latest l;
    l.set_shard(shard.value);
    l.set_number(questions[from].number());
    l.set_key(questions[from].key());
    if (evicted) to_wire(evicted, *l.mutable_evicted());
    return receive(from, l);
  }
  /// Answers the last question for tombstones.
  std::string tombstones(const std::vector<std::string>& keys, const std::string& next = {},
                         std::uint64_t unripe = 0) {
    v1::Tombstones t;
    t.set_shard(shard.value);
    t.set_number(listing.number());
    for (const auto& key : keys)
      t.add_keys(key);
    t.set_next(next);
    t.set_unripe(unripe);
    return receive(n1, t);
  }
  std::string abstain(node_id from, std::uint64_t number, const std::string& key = "t:k") {
    v1::Abstain a;
    a.set_shard(shard.value);
    a.set_number(number);
    a.set_key(key);
    return receive(from, a);
  }
  /// Acknowledges the Accept that `from` was sent last.
  std::string accept(node_id from) {
    v1::Accepted a;
    a.set_shard(shard.value);
    a.set_number(accepts[from].number());
    *a.mutable_epoch() = accepts[from].epoch();
    a.set_key(accepts[from].key());
    *a.mutable_version() = accepts[from].version();
    return receive(from, a);
  }
  std::string renewed(node_id replica, instant sent_at, const epoch& superseded_by = {}) {
    return does([&](auto& out) { core.renewed(replica, core.era(), sent_at, superseded_by, now, out); });
  }
  void renew_all() {
    for (auto r : {n1, n2, n3})
      renewed(r, now);
  }
  void lead() {
    tick();
    grant(n2);
    grant(n1);
    REQUIRE(core.state() == home::role::leading);
  }
  /// Every replica says that the key was never written.
  void touch_empty() {
    for (auto r : {n1, n2, n3})
      latest(r);
  }
  v1::Record proposed(node_id at = n2) const {
    v1::Record r;
    REQUIRE(r.ParseFromString(accepts.at(at).record()));
    return r;
  }

  home core;
  instant now = start;
  std::map<node_id, v1::Claim> claims;
  std::map<node_id, v1::ReadLatest> questions;
  std::map<node_id, v1::Accept> accepts;
  v1::ListTombstones listing;
  v1::OperationAnswer answer;
};

inline v1::Operation operation(std::uint64_t number, nanoseconds budget = 1s, const std::string& key = "t:k") {
  v1::Operation o;
  o.mutable_id()->set_session(5);
  o.mutable_id()->set_number(number);
  o.set_shard(shard.value);
  o.set_key(key);
  o.set_attempt(1);
  o.set_budget_us(static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(budget).count()));
  return o;
}
inline v1::Operation get(std::uint64_t number, const std::string& key = "t:k") {
  auto o = operation(number, 1s, key);
  o.mutable_get();
  return o;
}
inline v1::Operation put(std::uint64_t number, const std::string& value, nanoseconds budget = 1s,
                         const std::string& key = "t:k") {
  auto o = operation(number, budget, key);
  o.mutable_put()->set_value(value);
  return o;
}
inline v1::Operation add(std::uint64_t number, std::int64_t delta, std::int64_t floor) {
  auto o = operation(number);
  o.mutable_add()->set_delta(delta);
  o.mutable_add()->set_has_floor(true);
  o.mutable_add()->set_floor(floor);
  return o;
}
inline v1::Operation cas(std::uint64_t number, const std::string& expected, const std::string& value) {
  auto o = operation(number);
  o.mutable_compare_and_set()->set_expected(expected);
  o.mutable_compare_and_set()->set_value(value);
  return o;
}
inline v1::Operation retry(v1::Operation o) {
  o.set_attempt(o.attempt() + 1);
  o.set_unsettled(true);
  return o;
}

} // namespace troupe::script
