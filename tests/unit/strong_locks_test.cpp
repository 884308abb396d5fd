// A home and the read locks on its keys: when it grants, and what a write waits for (PROTOCOLS §3.3, §3.4).
#include "tests/support/strong_home_script.hpp"

using namespace troupe;
using namespace troupe::script;

namespace {

constexpr node_id cache{8};

v1::LockRequest request(const std::string& key = "t:k", std::uint64_t generation = 1) {
  v1::LockRequest r;
  r.set_shard(shard.value);
  r.set_number(5);
  r.set_generation(generation);
  r.set_key(key);
  r.set_budget_us(1'000'000);
  return r;
}
v1::Recalled recalled(const home& of, std::uint64_t sequence, const version& v, const std::string& key = "t:k") {
  v1::Recalled r;
  r.set_shard(shard.value);
  to_wire(lease_generation{.era = of.era(), .n = 1}, *r.mutable_generation());
  r.set_sequence(sequence);
  r.set_key(key);
  to_wire(v, *r.mutable_version());
  r.set_kept(!key.empty());
  return r;
}

/// A home whose key holds "a", granted to node 8.
struct granting_home : scripted_home {
  explicit granting_home(home_options o = three_replicas()) : scripted_home{o} {
    lead();
    receive(client, put(1, "a"));
    touch_empty();
    accept(n1);
    accept(n2);
    renew_all();
    REQUIRE(receive(cache, request())
            == "n8: lease_granted #1 begins 1/n1/1/0.1 for 396 ms | n8: lock_granted #2 t:k 1/n1/1.1 'a'");
  }
  version second() const { return {.era = core.era(), .counter = 2}; }
};

} // namespace

TEST_CASE("home: S1: a lock is granted on what a majority has, after the key was touched") {
  scripted_home h;
  h.lead();
  CHECK(h.receive(cache, request()) == "n1: read t:k in 1/n1/1 | n2: read t:k in 1/n1/1 | n3: read t:k in 1/n1/1");
  h.latest(n1);
  h.latest(n2);
  CHECK(h.latest(n3)
        == "n8: lease_granted #1 begins 1/n1/1/0.1 for 396 ms | n8: lock_granted #2 t:k 0/n0/0.0 nothing");
}

TEST_CASE("home: S1: a write is sent to replicas and holders at once, and committed when both have answered") {
  granting_home h;
  CHECK(h.receive(client, put(2, "b"))
        == "n1: accept t:k 1/n1/1.2 in 1/n1/1 | n2: accept t:k 1/n1/1.2 in 1/n1/1 | "
           "n3: accept t:k 1/n1/1.2 in 1/n1/1 | n8: recall #3 t:k 1/n1/1.2 'b'");
  SUBCASE("the holder last") {
    h.accept(n1);
    CHECK(h.accept(n2) == "");
    CHECK(h.receive(cache, recalled(h.core, 3, h.second()))
          == "n9: answer 5#2 applied | n8: committed #4 t:k 1/n1/1.2");
  }
  SUBCASE("the replicas last") {
    CHECK(h.receive(cache, recalled(h.core, 3, h.second())) == "");
    h.accept(n1);
    CHECK(h.accept(n2) == "n9: answer 5#2 applied | n8: committed #4 t:k 1/n1/1.2");
  }
}

TEST_CASE("home: a write that gives its node's copy back waits for nobody there, and the node has the key again") {
  granting_home h;
  auto write = [&](std::uint64_t number, const std::string& value, std::uint64_t applied) {
    auto w = put(number, value);
    to_wire(lease_generation{.era = h.core.era(), .n = 1}, *w.mutable_given_back()->mutable_generation());
    w.mutable_given_back()->set_applied(applied);
    return w;
  };
  const std::string accepts = "n1: accept t:k 1/n1/1.2 in 1/n1/1 | n2: accept t:k 1/n1/1.2 in 1/n1/1 | "
                              "n3: accept t:k 1/n1/1.2 in 1/n1/1";
  SUBCASE("when its write has committed") {
    CHECK(h.receive(cache, write(2, "b", 2)) == accepts);
    h.accept(n1);
    CHECK(h.accept(n2) == "n8: answer 5#2 applied | n8: lock_granted #3 t:k 1/n1/1.2 'b'");
    CHECK(h.core.held().locks() == 1);
  }
  SUBCASE("S1: but not while another write waits") {
    CHECK(h.receive(cache, write(2, "b", 2)) == accepts);
    h.receive(client, put(3, "c"));
    h.accept(n1);
    CHECK(h.accept(n2)
          == "n8: answer 5#2 applied | n1: accept t:k 1/n1/1.3 in 1/n1/1 | n2: accept t:k 1/n1/1.3 in 1/n1/1 | "
             "n3: accept t:k 1/n1/1.3 in 1/n1/1");
    h.accept(n1);
    CHECK(h.accept(n2) == "n9: answer 5#3 applied | n8: lock_granted #3 t:k 1/n1/1.3 'c'");
  }
  SUBCASE("S1: and a lock that was granted after the write was sent is recalled") {
    CHECK(h.receive(cache, write(2, "b", 1)) == accepts + " | n8: recall #3 t:k 1/n1/1.2 'b'");
    h.accept(n1);
    CHECK(h.accept(n2) == "");
    CHECK(h.receive(cache, recalled(h.core, 3, h.second()))
          == "n8: answer 5#2 applied | n8: committed #4 t:k 1/n1/1.2");
  }
  SUBCASE("a write that changes nothing gives it back as well") {
    auto refused = write(2, "b", 2);
    refused.clear_put();
    refused.mutable_compare_and_set()->set_expect_absent(true);
    CHECK(h.receive(cache, refused) == "n8: answer 5#2 refused value=a | n8: lock_granted #3 t:k 1/n1/1.1 'a'");
  }
  SUBCASE("another node's recall ends with it") {
    h.receive(client, put(2, "b"));
    h.accept(n1);
    h.accept(n2);
    auto late = write(3, "c", 2);
    CHECK(h.receive(cache, late)
          == "n9: answer 5#2 applied | n1: accept t:k 1/n1/1.3 in 1/n1/1 | n2: accept t:k 1/n1/1.3 in 1/n1/1 | "
             "n3: accept t:k 1/n1/1.3 in 1/n1/1");
  }
}

TEST_CASE("home: S1: a holder that does not answer costs the writer what remains of its lease, and no less") {
  granting_home h;
  h.now += 100ms;
  h.renew_all();
  h.receive(client, put(2, "b"));
  h.accept(n1);
  CHECK(h.accept(n2) == "");
  h.accept(n3);
  h.tick(100ms);
  h.renew_all();
  h.tick(196ms - 1ns);
  CHECK(h.core.undecided() == 1);
  CHECK(h.core.wake_at() <= h.now + 1ns);
  CHECK(h.tick(1ns) == "n9: answer 5#2 applied");
}

TEST_CASE("home: S1: from recall to commit it serves the old value, and grants no lock on the key") {
  granting_home h;
  h.receive(client, put(2, "b"));
  CHECK(h.receive(client, get(3)) == "n9: answer 5#3 applied value=a");
  CHECK(h.receive(n2, request()) == "n2: lock_refused 1/n1/1.1 'a'");
  h.accept(n1);
  h.accept(n2);
  h.receive(cache, recalled(h.core, 3, h.second()));
  CHECK(h.receive(n2, request())
        == "n2: lease_granted #1 begins 1/n1/1/0.1 for 396 ms | n2: lock_granted #2 t:k 1/n1/1.2 'b'");
}

TEST_CASE("home: S3: a rolled back write is recalled again, and the holder keeps what was before it") {
  granting_home h;
  auto w = put(2, "b", 50ms);
  w.set_roll_back(true);
  h.receive(client, w);
  h.receive(cache, recalled(h.core, 3, h.second()));
  CHECK(h.tick(50ms).find("n8: recall #4 t:k 1/n1/1.3 'a'") != std::string::npos);
  h.accept(n1);
  CHECK(h.accept(n2) == "");
  CHECK(h.receive(cache, recalled(h.core, 3, h.second())) == ""); // the first recall's answer once more
  CHECK(h.receive(cache, recalled(h.core, 4, {.era = h.core.era(), .counter = 3}))
        == "n9: answer 5#2 rolled_back | n8: committed #5 t:k 1/n1/1.3");
}

TEST_CASE("home: S1: a key that was forgotten here is still known to be held") {
  auto o = three_replicas();
  o.bytes_max = 900; // one key
  granting_home h{o};
  h.receive(client, get(9, "t:j"));
  for (auto r : {n1, n2, n3})
    h.latest_of("t:j", r);
  h.tick();
  REQUIRE(h.core.keys() == 1);
  h.receive(client, put(2, "b"));
  v1::Record a;
  a.set_value("a");
  const version first{.era = h.core.era(), .counter = 1};
  for (auto r : {n1, n2})
    h.latest(r, h.core.era(), first, a);
  CHECK(h.latest(n3, h.core.era(), first, a).find("n8: recall #3 t:k 1/n1/1.2 'b'") != std::string::npos);
}

TEST_CASE("home: S2: it lets its shard go only when nobody reads by its locks any more") {
  granting_home h;
  CHECK(h.does([&](auto& out) { h.core.release(h.now, out); }) == "n8: recall #3 all");
  CHECK(h.receive(cache, request("t:j")) == "n8: lock_refused unavailable hint=n1");
  SUBCASE("given back") {
    CHECK(h.receive(cache, recalled(h.core, 3, {}, ""))
          == "n1: release 1/n1/1 leaving | n2: release 1/n1/1 leaving | n3: release 1/n1/1 leaving");
  }
  SUBCASE("lapsed") {
    h.now += 200ms;
    h.renew_all();
    CHECK(h.tick(196ms - 1ns).find("release") == std::string::npos);
    CHECK(h.tick(1ns) == "n1: release 1/n1/1 leaving | n2: release 1/n1/1 leaving | n3: release 1/n1/1 leaving");
  }
}

TEST_CASE("home: S2: it takes all locks back before it raises its round") {
  granting_home h;
  CHECK(h.renewed(n3, h.now, {5, n3, {1}}) == "n8: recall #3 all");
  CHECK(h.receive(cache, recalled(h.core, 3, {}, ""))
        == "n1: release 1/n1/1 | n2: release 1/n1/1 | n3: release 1/n1/1");
}

TEST_CASE(
    "home: whoever asks under a generation that is over gets the record, and is told to ask under a later one") {
  granting_home h;
  h.now += 200ms;
  h.renew_all();
  h.now += 196ms;
  CHECK(h.receive(cache, request()) == "n8: lock_refused 1/n1/1.1 'a' over=0.1");
  CHECK(h.receive(cache, request("t:k", 2))
        == "n8: lease_granted #1 begins 1/n1/1/0.2 for 200 ms | n8: lock_granted #2 t:k 1/n1/1.1 'a'");
}

TEST_CASE("home: who does not lead grants nothing, and says who may") {
  scripted_home h;
  CHECK(h.receive(cache, request()) == "n8: lock_refused unavailable");
  granting_home g;
  g.now = g.core.lease_until();
  CHECK(g.receive(cache, request()).ends_with("n8: lock_refused unavailable"));
}

TEST_CASE("home: a bad message about read locks is refused, named, and changes nothing") {
  granting_home h;
  std::string noted;
  auto receive = [&](const auto& m) {
    home::effects out;
    h.core.receive(cache, m, h.now, out);
    for (const auto& e : out)
      if (const auto* n = std::get_if<note>(&e)) noted = n->name + " " + n->fields;
    return h.take(out);
  };
  CHECK(receive(request("")) == "n8: lock_refused invalid_argument");
  CHECK(noted == "home.dropped reason=no_key shard=7 node=n8");
  CHECK(receive(request(std::string(limits::key_bytes_max + 1, 'k'))) == "n8: lock_refused invalid_argument");
  CHECK(noted == "home.dropped reason=key_too_long shard=7 node=n8");
  CHECK(receive(request("t:k", 0)) == "n8: lock_refused invalid_argument");
  CHECK(noted == "home.dropped reason=no_generation shard=7 node=n8");
  CHECK(receive(recalled(h.core, 9, h.second())) == "");
  CHECK(noted == "home.dropped reason=never_sent shard=7 node=n8");
  CHECK(receive(v1::Recalled{}) == "");
  CHECK(noted == "home.dropped reason=no_generation shard=7 node=n8");
  CHECK(h.core.held().locks() == 1);
}
