#include "tests/support/replica_script.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace troupe;
using namespace troupe::script;
using namespace std::chrono_literals;

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
