#include "protocol/strong/acceptor.hpp"
#include "tests/support/strong_script.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr instant start{1h};
constexpr shard_id shard{7};
constexpr node_id n1{1}, n2{2}, n3{3};

epoch era(std::uint64_t round, std::uint32_t node, std::uint64_t life = 1) { return {round, {node}, {life}}; }

v1::Claim claim(const epoch& e, std::uint64_t lease_ms = 400) {
  static std::uint64_t number = 0;
  v1::Claim c;
  c.set_shard(shard.value);
  c.set_number(++number);
  to_wire(e, *c.mutable_epoch());
  c.set_lease_ms(lease_ms);
  return c;
}

v1::Accept accept(const epoch& e, const version& v, std::uint64_t number, std::uint64_t repairs = 0,
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

v1::Accept tombstone(const epoch& e, const version& v, std::uint64_t number, const std::string& key = "t:k") {
  auto a = accept(e, v, number, 0, key);
  a.set_tombstone(true);
  return a;
}

v1::Collect collect(const epoch& e, const ballot& b, const version& v, const std::string& key = "t:k") {
  v1::Collect c;
  c.set_shard(shard.value);
  c.set_number(77);
  to_wire(e, *c.mutable_epoch());
  c.set_key(key);
  to_wire(b, *c.mutable_ballot());
  to_wire(v, *c.mutable_version());
  return c;
}

v1::ListTombstones listing(const epoch& e, const std::string& after = {}) {
  v1::ListTombstones l;
  l.set_shard(shard.value);
  l.set_number(78);
  to_wire(e, *l.mutable_epoch());
  l.set_after(after);
  return l;
}

v1::ReadLatest question(const epoch& e, std::uint64_t number) {
  v1::ReadLatest q;
  q.set_shard(shard.value);
  q.set_number(number);
  to_wire(e, *q.mutable_epoch());
  q.set_key("t:k");
  return q;
}

v1::RenewLeases renewal(const epoch& e, std::uint64_t lease_ms = 400) {
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
    script::lines all;
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
        all.push_back((a->urgent ? "!" : "") + script::render(send{a->to, a->envelope}));
        if (a->envelope.has_leases_renewed()) renewed = a->envelope.leases_renewed();
      } else if (const auto* c = std::get_if<acceptor::lessee_changed>(&e)) {
        all.push_back("lessee " + (c->era ? to_string(c->era) : std::string{"none"})
                      + (c->leaver.value != 0 ? ", " + to_string(c->leaver) + " leaves" : ""));
      } else if (const auto* n = std::get_if<note>(&e); n != nullptr && n->name == "replica.dropped") {
        all.push_back("dropped " + n->fields.substr(7, n->fields.find(' ') - 7));
      }
    }
    return script::joined(all);
  }

  acceptor core;
  std::uint64_t writes = 0;
  v1::StoredPromise promise;
  v1::LeasesRenewed renewed;
};

} // namespace

TEST_CASE("replica: a claim is granted behind the promise that it makes, and renewed without another one") {
  replica r;
  CHECK(r.receive(n1, claim(era(1, 1))) == "promise 1/n1/1 lease=400 | lessee 1/n1/1 | n1: granted 1/n1/1");
  CHECK(r.receive(n1, claim(era(1, 1)), start + 100ms) == "n1: granted 1/n1/1");
  CHECK(r.receive(n1, claim(era(1, 1), 800), start + 200ms) == "promise 1/n1/1 lease=800 | n1: granted 1/n1/1");
}

TEST_CASE("replica: while a lease runs nobody else is granted one, and the refusal says how long and whose it is") {
  replica r;
  r.receive(n1, claim(era(1, 1)));
  CHECK(r.receive(n3, claim(era(2, 3)), start + 399ms) == "n3: refused leased home=1 left_ms=1");
  CHECK(r.core.promised(shard) == era(1, 1)); // a refusal changes nothing
  CHECK(r.receive(n3, claim(era(2, 3)), start + 400ms)
        == "promise 2/n3/1 lease=400 | lessee 2/n3/1 | n3: granted 2/n3/1");
  CHECK(r.receive(n1, claim(era(1, 1)), start + 900ms) == "n1: refused promised=2/n3/1");
}

TEST_CASE("replica: a node that restarted is somebody else, and must wait for its own former lease") {
  replica r;
  r.receive(n1, claim(era(1, 1, 1)));
  CHECK(r.receive(n1, claim(era(1, 1, 2)), start + 10ms) == "n1: refused leased home=1 left_ms=390");
}

TEST_CASE("replica: a release ends only the lease of its own epoch, and keeps the promise") {
  replica r;
  r.receive(n1, claim(era(2, 1)));
  v1::ReleaseHome release;
  release.set_shard(shard.value);
  to_wire(era(1, 1), *release.mutable_epoch());
  CHECK(r.receive(n1, release, start + 1ms) == "");
  to_wire(era(2, 1), *release.mutable_epoch());
  CHECK(r.receive(n1, release, start + 1ms) == "lessee none");
  CHECK(r.receive(n3, claim(era(1, 3)), start + 2ms) == "n3: refused promised=2/n1/1");
  CHECK(r.receive(n3, claim(era(2, 3)), start + 2ms).ends_with("n3: granted 2/n3/1"));
}

TEST_CASE("replica: a renewal that a release has overtaken starts no lease") {
  replica r;
  r.receive(n1, claim(era(2, 1)));
  r.core.persisted(r.writes);
  v1::ReleaseHome release;
  release.set_shard(shard.value);
  release.set_leaving(true);
  to_wire(era(2, 1), *release.mutable_epoch());
  CHECK(r.receive(n1, release, start + 1ms) == "lessee none, n1 leaves");
  r.receive(n1, renewal(era(2, 1)), start + 2ms);
  CHECK(r.renewed.pending_size() == 1);
  CHECK(r.receive(n3, claim(era(2, 3)), start + 3ms).ends_with("n3: granted 2/n3/1"));
}

TEST_CASE(
    "replica: one that restarts honours the longest lease that it ever granted, in full, before it grants again") {
  replica before;
  before.receive(n1, claim(era(1, 1), 800));
  before.receive(n1, claim(era(1, 1), 400), start + 100ms);
  const auto restart = start + 101ms;
  replica r{{{shard, before.promise}}, restart};
  CHECK(r.receive(n3, claim(era(2, 3)), restart + 799ms) == "n3: refused leased home=0 left_ms=1");
  CHECK(r.receive(n3, claim(era(2, 3)), restart + 800ms).ends_with("granted 2/n3/1"));
}

TEST_CASE("replica: a renewal overtakes the disk, so it confirms only what the disk holds") {
  replica r;
  r.receive(n1, claim(era(1, 1)));
  CHECK(r.receive(n1, renewal(era(1, 1))) == "!n1: leases_renewed");
  CHECK(r.renewed.pending_size() == 1); // the promise is not durable yet
  r.core.persisted(r.writes);
  r.receive(n1, renewal(era(1, 1)), start + 100ms);
  CHECK(r.renewed.pending_size() == 0);
  CHECK(r.receive(n3, claim(era(2, 3)), start + 499ms) == "n3: refused leased home=1 left_ms=1");
  r.receive(n1, renewal(era(1, 1), 800), start + 100ms);
  CHECK(r.renewed.pending_size() == 1); // longer than what would be honoured after a restart
  r.receive(n1, claim(era(2, 1)), start + 600ms);
  r.receive(n1, renewal(era(1, 1)), start + 601ms);
  REQUIRE(r.renewed.superseded_size() == 1);
  CHECK(from_wire(r.renewed.superseded(0).epoch()) == era(2, 1));
}

TEST_CASE("replica: a lease that ends is reported once, at its end") {
  replica r;
  r.receive(n1, claim(era(1, 1)));
  CHECK(r.core.wake_at() == start + 400ms);
  CHECK(r.tick(start + 399ms) == "");
  CHECK(r.tick(start + 400ms) == "lessee none");
  CHECK(r.core.wake_at() == never);
}

TEST_CASE("replica: an accept is judged by what is stored, and answered behind its write") {
  replica r;
  const auto e = era(2, 1);
  CHECK(r.receive(n1, accept(e, {e, 5}, 1)) == "promise 2/n1/1 lease=0 | load");
  CHECK(r.loaded(std::monostate{}) == "store 2/n1/1.5 | n1: accepted t:k 2/n1/1.5");
  CHECK(r.receive(n1, accept(e, {e, 5}, 2)) == "n1: accepted t:k 2/n1/1.5"); // equal: again, not stored again
  CHECK(r.receive(n1, accept(e, {e, 4}, 3)) == "n1: superseded t:k promised=2/n1/1 stored=2/n1/1.5");
  CHECK(r.receive(n3, accept(era(1, 3), {e, 9}, 1)) == "n3: superseded t:k promised=2/n1/1 stored=0/n0/0.0");
  // A higher ballot wins over a higher version.
  CHECK(r.receive(n3, accept(era(3, 3), {era(1, 1), 1}, 2))
        == "promise 3/n3/1 lease=0 | store 1/n1/1.1 | n3: accepted t:k 1/n1/1.1");
}

TEST_CASE("replica: a question is answered from what is not durable yet, and starts no lease") {
  replica r;
  const auto e = era(2, 1);
  r.receive(n1, accept(e, {e, 5}, 1));
  r.loaded(std::monostate{});
  CHECK(r.receive(n3, question(era(3, 3), 1)) == "promise 3/n3/1 lease=0 | n3: latest t:k 2/n1/1.5");
  CHECK(r.receive(n1, claim(era(4, 1))).ends_with("granted 4/n1/1"));
  CHECK(r.receive(n3, question(era(3, 3), 2)) == "n3: superseded t:k promised=4/n1/1 stored=0/n0/0.0");
}

TEST_CASE("replica: messages that wait for one load are answered in their order") {
  replica r;
  const auto e = era(1, 1);
  CHECK(r.receive(n1, question(e, 1)) == "promise 1/n1/1 lease=0 | load");
  CHECK(r.receive(n1, accept(e, {e, 1}, 2)) == "");
  CHECK(r.receive(n1, question(e, 3)) == "");
  CHECK(r.loaded(std::monostate{})
        == "n1: latest t:k 0/n0/0.0 | store 1/n1/1.1 | n1: accepted t:k 1/n1/1.1 | n1: latest t:k 1/n1/1.1");
}

TEST_CASE("replica: a promise that rises while a message waits for the disk is respected") {
  replica r;
  r.receive(n1, accept(era(1, 1), {era(1, 1), 1}, 1));
  r.receive(n3, claim(era(2, 3)));
  CHECK(r.loaded(std::monostate{}) == "n1: superseded t:k promised=2/n3/1 stored=0/n0/0.0");
}

TEST_CASE("replica: a damaged copy has no vote until an Accept that quotes its abstention repairs it") {
  replica r;
  const auto e = era(2, 1);
  r.receive(n1, question(e, 10));
  CHECK(r.loaded(acceptor::damage{}) == "n1: abstain t:k");
  CHECK(r.receive(n1, accept(e, {e, 1}, 11)) == "n1: abstain t:k");
  CHECK(r.receive(n1, accept(e, {e, 1}, 12, 9)) == "n1: abstain t:k"); // quotes what was said before the damage
  CHECK(r.receive(n3, accept(era(3, 3), {e, 1}, 20, 10))
        == "promise 3/n3/1 lease=0 | n3: abstain t:k"); // not its own
  CHECK(r.receive(n3, accept(era(3, 3), {e, 1}, 21, 20)) == "store 2/n1/1.1 | n3: accepted t:k 2/n1/1.1");
  CHECK(r.receive(n3, question(era(3, 3), 22)) == "n3: latest t:k 2/n1/1.1");
}

TEST_CASE("replica: abstentions to two transmissions do not chase each other") {
  replica r;
  const auto e = era(1, 1);
  r.receive(n1, accept(e, {e, 1}, 1));
  CHECK(r.loaded(acceptor::damage{}) == "n1: abstain t:k");
  CHECK(r.receive(n1, accept(e, {e, 1}, 2)) == "n1: abstain t:k"); // sent before the first answer came
  CHECK(r.receive(n1, accept(e, {e, 1}, 3, 1)).ends_with("accepted t:k 1/n1/1.1")); // quotes the first answer
  CHECK(r.receive(n1, accept(e, {e, 1}, 4, 2)) == "n1: accepted t:k 1/n1/1.1");
}

TEST_CASE("replica: no more keys wait for the disk than the bound says") {
  replica r;
  const auto e = era(1, 1);
  for (int k = 0; k < 4; ++k)
    CHECK(r.receive(n1, accept(e, {e, 1}, 1, 0, "t:" + std::to_string(k))).ends_with("load"));
  CHECK(r.receive(n1, accept(e, {e, 1}, 1, 0, "t:4")) == "dropped loads_max"); // its home sends it again
  r.loaded(std::monostate{}, "t:0");
  CHECK(r.receive(n1, accept(e, {e, 1}, 2, 0, "t:4")) == "load");
}

TEST_CASE("replica, X1: what a peer says about shards that the cluster does not have leaves nothing behind") {
  replica r;
  const auto e = era(1, 1);
  auto elsewhere = [](auto message) {
    message.set_shard(8); // 0 to 7 exist
    return message;
  };
  CHECK(r.receive(n1, elsewhere(claim(e))) == "dropped shard");
  CHECK(r.receive(n1, elsewhere(question(e, 1))) == "dropped shard");
  CHECK(r.receive(n1, elsewhere(accept(e, {e, 1}, 1))) == "dropped shard");
  v1::ReleaseHome release;
  release.set_shard(8);
  CHECK(r.receive(n1, release) == "dropped shard");
  auto renew = renewal(e);
  renew.mutable_leases(0)->set_shard(8);
  CHECK(r.receive(n1, renew).starts_with("dropped shard"));
  CHECK(r.renewed.pending_size() + r.renewed.superseded_size() == 0);
  CHECK(r.writes == 0);
}

TEST_CASE("replica, X1: what waits for a slow disk is bounded in number, and claims find room beyond it") {
  replica r;
  r.core = {{.self = n2, .shards = 8, .index_max = 100, .loads_max = 4, .pending_max = 8}, {}, start};
  const auto e = era(1, 1);
  r.receive(n1, accept(e, {e, 1}, 1));
  r.loaded(std::monostate{});
  for (std::uint64_t n = 2; n <= 100; ++n) // nothing becomes durable
    r.receive(n1, accept(e, {e, n}, n));
  CHECK(r.core.pending() <= 9); // a write and its answer are two
  const auto writes = r.writes;
  CHECK(r.receive(n1, accept(e, {e, 101}, 101)) == "dropped pending");
  CHECK(r.receive(n1, question(e, 102)) == "dropped pending");
  CHECK(r.receive(n1, accept(era(1, 1), {e, 1}, 103)) == "dropped pending"); // nor are answers held without a bound
  CHECK(r.writes == writes);
  CHECK(r.receive(n3, claim(era(2, 3))).ends_with("granted 2/n3/1"));
  for (std::uint64_t round = 3; round <= 20; ++round)
    r.receive(n3, claim(era(round, 3)), start + round * 400ms);
  CHECK(r.core.pending() <= 18);
  CHECK(r.receive(n3, claim(era(30, 3)), start + 1h) == "dropped pending");
  CHECK(r.receive(n3, renewal(era(30, 3)), start + 1h).starts_with("!n3")); // renewals do not wait for the disk
  r.core.persisted(r.writes);
  CHECK(r.core.pending() == 0);
  CHECK(r.core.pending_bytes() == 0);
  CHECK(r.receive(n3, claim(era(30, 3)), start + 1h).ends_with("granted 30/n3/1"));
  CHECK(r.receive(n3, accept(era(30, 3), {e, 101}, 101)).ends_with("accepted t:k 1/n1/1.101"));
}

TEST_CASE("replica, X1: what waits for a slow disk is bounded in bytes, also what waits for it to be read") {
  replica r;
  r.core = {{.self = n2, .shards = 8, .index_max = 100, .loads_max = 4, .pending_bytes_max = 100'000}, {}, start};
  const auto e = era(1, 1);
  auto large = [&](std::uint64_t n, const std::string& key) {
    auto a = accept(e, {e, n}, n, 0, key);
    a.set_record(std::string(30'000, 'r'));
    return a;
  };
  for (std::uint64_t n = 1; n <= 20; ++n)
    r.receive(n1, large(n, "t:k")); // the load hangs
  CHECK(r.core.pending_bytes() >= 100'000);
  CHECK(r.core.pending_bytes() < 132'000);
  CHECK(r.receive(n1, large(21, "t:k")) == "dropped pending");
  CHECK(r.loaded(std::monostate{})
        == "store 1/n1/1.1 | n1: accepted t:k 1/n1/1.1 | store 1/n1/1.2 | n1: accepted t:k 1/n1/1.2 | "
           "dropped pending | dropped pending");
  r.core.persisted(r.writes);
  CHECK(r.core.pending_bytes() == 0);
  // One always finds room, however large.
  auto huge = large(30, "t:k");
  huge.set_record(std::string(1'000'000, 'r'));
  CHECK(r.receive(n1, huge).starts_with("store"));
  CHECK(r.receive(n1, large(31, "t:k")) == "dropped pending");
  // Questions are answered with records: they count, too.
  r.core.persisted(r.writes);
  r.receive(n1, large(32, "t:k"));
  int answered = 0;
  while (r.receive(n1, question(e, 40)).find("latest") != std::string::npos)
    REQUIRE(++answered < 10);
  CHECK(answered == 2);
}

TEST_CASE("replica: every lease that ends is reported at its end, with renewals, releases and claims at random") {
  std::mt19937_64 dice{1};
  auto below = [&](std::uint64_t n) { return dice() % n; };
  constexpr std::uint32_t shards = 5;
  replica r;
  std::map<std::uint32_t, std::pair<epoch, instant>> twin; ///< by shard: whose lease runs, and until when
  std::map<std::uint32_t, std::uint64_t> rounds;
  std::size_t ended = 0;
  auto now = start;
  for (int step = 0; step < 20'000; ++step) {
    const auto next = now + std::chrono::milliseconds{below(40)};
    while (r.core.wake_at() <= next) { // the timer rings
      now = std::max(now, r.core.wake_at());
      script::lines expected;
      std::multimap<instant, std::uint32_t> due;
      for (const auto& [s, lease] : twin)
        if (lease.second <= now) due.emplace(lease.second, s);
      for (const auto& [at, s] : due) {
        CHECK(at == now);
        twin.erase(s);
        expected.push_back("lessee none");
        ++ended;
      }
      REQUIRE(r.tick(now) == script::joined(expected));
    }
    now = next;
    const auto s = static_cast<std::uint32_t>(below(shards));
    const auto lease_ms = 50 + below(100);
    auto running = twin.find(s);
    switch (below(4)) {
    case 0: {
      auto c = claim(running == twin.end() ? era(++rounds[s], 1) : running->second.first, lease_ms);
      c.set_shard(s);
      r.receive(n1, c, now);
      twin[s] = {from_wire(c.epoch()), now + std::chrono::milliseconds{lease_ms}};
      break;
    }
    case 1: {
      if (running == twin.end() || below(4) != 0) break;
      v1::ReleaseHome release;
      release.set_shard(s);
      to_wire(running->second.first, *release.mutable_epoch());
      CHECK(r.receive(n1, release, now) == "lessee none");
      twin.erase(running);
      break;
    }
    default: {
      if (running == twin.end()) break;
      auto renew = renewal(running->second.first, 50);
      renew.mutable_leases(0)->set_shard(s);
      r.receive(n1, renew, now);
      running->second.second = now + 50ms;
    }
    }
    r.core.persisted(r.writes);
  }
  CHECK(ended > 1'000);
}

TEST_CASE("replica: an index that is too small forgets ranks and never mixes them up") {
  replica r{{}, start, 2}; // two generations of two keys
  const auto e = era(1, 1);
  auto key = [](std::uint64_t k) { return "t:a key that no small buffer holds " + std::to_string(k); };
  for (std::uint64_t k = 1; k <= 4; ++k) {
    CHECK(r.receive(n1, accept(e, {e, k}, k, 0, key(k))).ends_with("load"));
    CHECK(r.loaded(std::monostate{}, key(k)).starts_with("store 1/n1/1." + std::to_string(k)));
    r.core.persisted(r.writes);
  }
  // Both generations are full. The first key is in the older one, which is dropped while its rank moves to the
  // younger.
  CHECK(r.receive(n1, accept(e, {e, 0}, 9, 0, key(1)))
        == "n1: superseded " + key(1) + " promised=1/n1/1 stored=1/n1/1.1");
  CHECK(r.receive(n1, accept(e, {e, 0}, 9, 0, key(4)))
        == "n1: superseded " + key(4) + " promised=1/n1/1 stored=1/n1/1.4");
  CHECK(r.receive(n1, accept(e, {e, 9}, 9, 0, key(2))) == "load"); // forgotten, so it is read again
}

namespace {

const epoch older = era(1, 1), newer = era(2, 3);
const version removed{older, 5};

/// A replica that has stored a tombstone, of version `removed`, durably.
struct keeper : replica {
  explicit keeper(std::size_t index_max = 100) : replica{{}, start, index_max} {
    receive(n1, tombstone(older, removed, 1));
    loaded(std::monostate{});
    core.persisted(writes);
  }
  v1::StoredRecord stored() const {
    v1::StoredRecord r;
    to_wire(older, *r.mutable_ballot());
    to_wire(removed, *r.mutable_version());
    r.set_tombstone(true);
    return r;
  }
};

} // namespace

TEST_CASE("replica: a tombstone that is collected is erased together with the floor that it leaves, and every answer "
          "about what is gone quotes that") {
  keeper r;
  CHECK(r.core.tombstones() == 1);
  r.receive(n3, question(newer, 1));
  r.loaded(r.stored());
  CHECK(r.receive(n3, collect(newer, older, removed)) == "erase t:k evicted=1/n1/1.5");
  CHECK(from_wire(r.promise.promised()) == newer); // both in one
  CHECK(r.promise.checksum() == checksum_of(shard, r.promise));
  CHECK(r.core.tombstones() == 0);
  CHECK(r.core.collected() == 1);
  // Not durable yet: what the store still shows is not what will be.
  CHECK(r.receive(n3, question(newer, 2)) == "n3: latest t:k 0/n0/0.0 evicted=1/n1/1.5");
  r.core.persisted(r.writes);
  CHECK(r.core.undurable() == 0);
  CHECK(r.core.pending() == 0);
  CHECK(r.receive(n3, question(newer, 3)) == "load");
  CHECK(r.loaded(std::monostate{}) == "n3: latest t:k 0/n0/0.0 evicted=1/n1/1.5");
  const auto restart = start + 1s;
  replica again{{{shard, r.promise}}, restart};
  again.receive(n3, question(newer, 1), restart);
  CHECK(again.loaded(std::monostate{}) == "n3: latest t:k 0/n0/0.0 evicted=1/n1/1.5");
}

TEST_CASE("replica: a Collect erases exactly the record that it names, and repeated it finds nothing to do") {
  keeper r;
  const auto writes = r.writes;
  CHECK(r.receive(n3, collect(newer, older, {older, 4})) == "promise 2/n3/1 lease=0 | dropped not_collectable");
  CHECK(r.receive(n3, collect(newer, era(1, 2), removed)) == "dropped not_collectable");
  CHECK(r.receive(n3, collect(newer, {}, {})) == "dropped not_collectable");
  CHECK(r.writes == writes + 1); // the promise
  CHECK(r.receive(n3, collect(newer, older, removed)).starts_with("erase"));
  CHECK(r.receive(n3, collect(newer, older, removed)) == "dropped not_collectable"); // the disk is not done with it
  r.core.persisted(r.writes);
  CHECK(r.receive(n3, collect(newer, older, removed)) == "load");
  CHECK(r.loaded(std::monostate{}) == "dropped not_collectable");
  CHECK(r.core.collected() == 1);
}

TEST_CASE("replica, S1: an Accept of the same home may follow its Collect at once, and overtake it") {
  keeper r, overtaken;
  r.receive(n3, collect(newer, older, removed));
  CHECK(r.receive(n3, accept(newer, {newer, 1}, 2)) == "store 2/n3/1.1 | n3: accepted t:k 2/n3/1.1");
  CHECK(r.receive(n3, question(newer, 3)) == "n3: latest t:k 2/n3/1.1");
  r.core.persisted(r.writes);
  CHECK(r.core.undurable() == 0);
  overtaken.receive(n3, accept(newer, {newer, 1}, 2));
  CHECK(overtaken.receive(n3, collect(newer, older, removed)) == "dropped not_collectable");
  overtaken.core.persisted(overtaken.writes);
  CHECK(overtaken.receive(n3, collect(newer, older, removed)) == "dropped not_collectable");
  CHECK(overtaken.core.collected() == 0);
}

TEST_CASE("replica, S1: a Collect of an epoch that it has promised away changes nothing") {
  keeper r;
  r.receive(n1, question(era(3, 1), 1));
  r.loaded(r.stored());
  const auto writes = r.writes;
  CHECK(r.receive(n3, collect(newer, older, removed)) == "n3: superseded t:k promised=3/n1/1 stored=0/n0/0.0");
  CHECK(r.writes == writes);
}

TEST_CASE("replica: what is damaged, or not durable, is not collected") {
  replica r;
  r.receive(n1, tombstone(older, removed, 1));
  r.loaded(std::monostate{});
  CHECK(r.receive(n1, collect(older, older, removed)) == "dropped not_collectable"); // no home does that
  r.core.persisted(r.writes);
  replica damaged;
  damaged.receive(n3, question(newer, 1));
  damaged.loaded(acceptor::damage{});
  CHECK(damaged.receive(n3, collect(newer, older, removed)) == "dropped not_collectable");
}

TEST_CASE("replica: a Collect of a record that is not in the index waits for the disk, in turn") {
  keeper r{1};
  for (const auto* other : {"t:a", "t:b", "t:c", "t:d"}) { // the index forgets
    r.receive(n1, accept(older, {older, 6}, 2, 0, other));
    r.loaded(std::monostate{}, other);
  }
  r.core.persisted(r.writes);
  CHECK(r.receive(n3, collect(newer, older, removed)) == "promise 2/n3/1 lease=0 | load");
  CHECK(r.receive(n3, accept(newer, {newer, 1}, 2)) == "");
  CHECK(r.receive(n3, question(newer, 3)) == "");
  CHECK(r.loaded(r.stored())
        == "erase t:k evicted=1/n1/1.5 | store 2/n3/1.1 | n3: accepted t:k 2/n3/1.1 | n3: latest t:k 2/n3/1.1");
}

TEST_CASE("replica: homes are told of tombstones below their epoch, as they are stored, read, and found by a scan") {
  replica r;
  CHECK(r.receive(n3, listing(newer)) == "!n3: tombstones unripe=0 | scan after ''");
  CHECK(r.receive(n3, listing(newer)) == "!n3: tombstones unripe=0"); // one scan at a time
  r.core.scanned(shard, {{"t:old", older}}, "t:p");
  CHECK(r.receive(n3, listing(newer)) == "!n3: tombstones t:old unripe=0 | scan after 't:p'");
  r.core.scanned(shard, {}, "");
  r.receive(n1, tombstone(older, removed, 1));
  r.loaded(std::monostate{});
  CHECK(r.receive(n3, listing(newer)) == "!n3: tombstones t:k t:old unripe=0");
  CHECK(r.receive(n3, listing(newer, "t:k")) == "!n3: tombstones t:old unripe=0");
  r.receive(n1, accept(older, {older, 6}, 2)); // has a value again
  r.receive(n3, tombstone(newer, {newer, 1}, 2, "t:new"));
  r.loaded(std::monostate{}, "t:new");
  CHECK(r.receive(n3, listing(newer)) == "!n3: tombstones t:old unripe=1");
  r.receive(n3, question(newer, 3));
  r.receive(n3, listing(newer));
  CHECK(r.core.tombstones() == 2);
}

TEST_CASE("replica: what a scan found and a write has changed since is not taken up") {
  replica r;
  r.receive(n3, listing(newer));
  r.receive(n3, accept(newer, {newer, 1}, 2));
  r.loaded(std::monostate{});
  r.core.scanned(shard, {{"t:k", older}}, "");
  CHECK(r.core.tombstones() == 0);
}
