/// A replica of one shard under test: messages to it, and what it wants done, as text.
#pragma once

#include "protocol/strong/acceptor.hpp"
#include "tests/support/strong_script.hpp"

#include <map>
#include <string>
#include <variant>

namespace troupe::script {

using namespace std::chrono_literals;

inline constexpr instant start{1h};
inline constexpr shard_id shard{7};
inline constexpr node_id n1{1}, n2{2}, n3{3};

inline epoch era(std::uint64_t round, std::uint32_t node, std::uint64_t life = 1) { return {round, {node}, {life}}; }

inline v1::Claim claim(const epoch& e, std::uint64_t lease_ms = 400) {
  static std::uint64_t number = 0;
  v1::Claim c;
  c.set_shard(shard.value);
  c.set_number(++number);
  to_wire(e, *c.mutable_epoch());
  c.set_lease_ms(lease_ms);
  return c;
}

inline v1::Accept accept(const epoch& e, const version& v, std::uint64_t number, std::uint64_t repairs = 0,
                         const std::string& key = "t:k") {
  v1::Accept a;
  a.set_shard(shard.value);
  a.set_number(number);
  to_wire(e, *a.mutable_epoch());
  a.set_key(key);
  to_wire(v, *a.mutable_version());
  a.set_record("bytes of " + to_string(v));
  a.set_repairs(repairs);
  return a;
}

inline v1::Accept tombstone(const epoch& e, const version& v, std::uint64_t number, const std::string& key = "t:k") {
  auto a = accept(e, v, number, 0, key);
  a.set_tombstone(true);
  return a;
}

inline v1::Collect collect(const epoch& e, const ballot& b, const version& v, const std::string& key = "t:k") {
  v1::Collect c;
  c.set_shard(shard.value);
  c.set_number(77);
  to_wire(e, *c.mutable_epoch());
  c.set_key(key);
  to_wire(b, *c.mutable_ballot());
  to_wire(v, *c.mutable_version());
  return c;
}

inline v1::ListTombstones listing(const epoch& e, const std::string& after = {}) {
  v1::ListTombstones l;
  l.set_shard(shard.value);
  l.set_number(78);
  to_wire(e, *l.mutable_epoch());
  l.set_after(after);
  return l;
}

inline v1::ReadLatest question(const epoch& e, std::uint64_t number) {
  v1::ReadLatest q;
  q.set_shard(shard.value);
  q.set_number(number);
  to_wire(e, *q.mutable_epoch());
  q.set_key("t:k");
  return q;
}

inline v1::RenewLeases renewal(const epoch& e, std::uint64_t lease_ms = 400) {
  v1::RenewLeases r;
  r.set_number(1);
  r.set_lease_ms(lease_ms);
  auto& one = *r.add_leases();
  one.set_shard(shard.value);
  to_wire(e, *one.mutable_epoch());
  return r;
}

/// A replica, and what it wants done, as text: "persist", "load", an answer ("!" before it when it is urgent).
struct replica {
  explicit replica(std::map<shard_id, v1::StoredPromise> promises = {}, instant now = start,
                   std::size_t index_max = 100)
      : core{{.self = n2, .shards = 8, .index_max = index_max, .loads_max = 4}, promises, now} {}

  template <class Message> std::string receive(node_id from, const Message& m, instant now = start) {
    acceptor::effects out;
    core.receive(from, m, now, out);
    return text(out);
  }
  std::string loaded(const acceptor::found& what, const std::string& key = "t:k") {
    acceptor::effects out;
    core.loaded(shard, key, what, start, out);
    return text(out);
  }
  std::string tick(instant now) {
    acceptor::effects out;
    core.tick(now, out);
    return text(out);
  }
  std::string text(const acceptor::effects& out) {
    lines all;
    for (const auto& e : out) {
      if (const auto* p = std::get_if<acceptor::persist_promise>(&e)) {
        writes = p->write;
        promise = p->promise;
        all.push_back("promise " + to_string(from_wire(p->promise.promised()))
                      + " lease=" + std::to_string(p->promise.lease_ms_max()));
      } else if (const auto* r = std::get_if<acceptor::persist_record>(&e)) {
        writes = r->write;
        all.push_back("store " + to_string(from_wire(r->record.version())));
      } else if (const auto* g = std::get_if<acceptor::persist_collection>(&e)) {
        writes = g->write;
        promise = g->promise;
        all.push_back("erase " + g->key + " evicted=" + to_string(from_wire(g->promise.evicted())));
      } else if (std::get_if<acceptor::load>(&e) != nullptr) {
        all.push_back("load");
      } else if (const auto* s = std::get_if<acceptor::scan>(&e)) {
        all.push_back("scan after '" + s->after + "'");
      } else if (const auto* a = std::get_if<acceptor::answer>(&e)) {
        all.push_back((a->urgent ? "!" : "") + render(send{a->to, a->envelope}));
        if (a->envelope.has_leases_renewed()) renewed = a->envelope.leases_renewed();
      } else if (const auto* c = std::get_if<acceptor::lessee_changed>(&e)) {
        all.push_back("lessee " + (c->era ? to_string(c->era) : std::string{"none"})
                      + (c->leaver.value != 0 ? ", " + to_string(c->leaver) + " leaves" : ""));
      } else if (const auto* n = std::get_if<note>(&e); n != nullptr && n->name == "replica.dropped") {
        all.push_back("dropped " + n->fields.substr(7, n->fields.find(' ') - 7));
      }
    }
    return joined(all);
  }

  acceptor core;
  std::uint64_t writes = 0;
  v1::StoredPromise promise;
  v1::LeasesRenewed renewed;
};

} // namespace troupe::script
