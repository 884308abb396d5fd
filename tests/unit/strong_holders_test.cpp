// The home's table of who holds what: leases on its clock, locks, recalls (PROTOCOLS §3.3; S1, X1).
#include "protocol/strong/holders.hpp"
#include "tests/support/strong_script.hpp"

#include <doctest/doctest.h>

using namespace troupe;
using namespace troupe::script;
using namespace std::chrono_literals;

namespace {

constexpr instant start{std::chrono::hours{1}};
constexpr node_id a{8}, b{9};
constexpr epoch era{1, {1}, {1}};

v1::Copy copy(std::uint64_t counter, const std::string& value) {
  v1::Copy c;
  to_wire(version{.era = era, .counter = counter}, *c.mutable_version());
  c.set_exists(true);
  c.set_value(value);
  return c;
}

/// The table of a home that leads for ten seconds, and a test that plays the nodes.
struct table {
  explicit table(holders_options o = {}) : core{o} {
    core.reset(era);
    core.home_leads_until(start + 10s);
  }
  template <class F> std::string does(F f) {
    holders::effects out;
    f(out);
    for (const auto& e : out)
      if (const auto* n = std::get_if<note>(&e)) noted = n->name + " " + n->fields;
    return joined(sends(out));
  }
  std::string grant(node_id to, std::uint64_t generation, const std::string& key = "k", std::uint64_t counter = 1) {
    return does([&](auto& out) {
      granted =
          core.grant({.from = to, .number = ++numbers, .generation = generation}, key, copy(counter, "v"), now, out);
    });
  }
  std::string recall(const std::string& key, std::uint64_t counter) {
    return does([&](auto& out) { awaited = core.recall(key, copy(counter, "w"), now, out); });
  }
  std::string answer(node_id from, std::uint64_t sequence, std::uint64_t counter, bool kept = true,
                     const std::string& key = "k", std::uint64_t generation = 1) {
    v1::Recalled r;
    to_wire(lease_generation{.era = era, .n = generation}, *r.mutable_generation());
    r.set_sequence(sequence);
    r.set_key(key);
    to_wire(version{.era = era, .counter = counter}, *r.mutable_version());
    r.set_kept(kept);
    return does([&](auto& out) { core.recalled(from, r, now, out); });
  }
  std::string answer_all(node_id from, std::uint64_t sequence, std::uint64_t generation = 1) {
    return answer(from, sequence, 0, false, "", generation);
  }
  std::string committed(const std::string& key, std::uint64_t counter) {
    return does([&](auto& out) { core.committed(key, {.era = era, .counter = counter}, out); });
  }
  std::string release(node_id from, const std::string& key, std::uint64_t applied, std::uint64_t generation = 1) {
    v1::LockRelease r;
    to_wire(lease_generation{.era = era, .n = generation}, *r.mutable_generation());
    r.set_key(key);
    r.set_applied(applied);
    return does([&](auto& out) { core.released(from, r, out); });
  }
  std::string write(node_id from, const std::string& key, std::uint64_t applied, std::uint64_t generation = 1) {
    v1::GivenBack g;
    to_wire(lease_generation{.era = era, .n = generation}, *g.mutable_generation());
    g.set_applied(applied);
    return does([&](auto& out) { gave = core.given_back(from, key, g, out); });
  }
  std::string grant_anew(node_id to, std::uint64_t counter, const std::string& value = "w",
                         std::uint64_t generation = 1) {
    return does([&](auto& out) { core.grant_anew(to, generation, "k", copy(counter, value), now, out); });
  }
  std::string renew(node_id from, std::uint64_t applied, std::uint64_t generation = 1, const epoch& of = era) {
    v1::HeldLease held;
    to_wire(lease_generation{.era = of, .n = generation}, *held.mutable_generation());
    held.set_applied(applied);
    return does([&](auto& out) { core.renew(from, ++numbers, held, now, out); });
  }
  std::string tick(nanoseconds later) {
    now += later;
    return does([&](auto& out) { core.tick(now, out); });
  }
  std::string ended() { return joined(core.take_ended()); }

  holders core;
  instant now = start;
  std::uint64_t numbers = 0;
  bool granted = false, awaited = false, gave = false;
  std::string noted;
};

} // namespace

// -- leases
// -----------------------------------------------------------------------------------------------------------

TEST_CASE("holders: a first lock begins a lease; the next ones are granted under it, in one sequence") {
  table t;
  CHECK(t.grant(a, 1) == "n8: lease_granted #1 begins 1/n1/1/0.1 for 400 ms | n8: lock_granted #2 k 1/n1/1.1 'v'");
  CHECK(t.grant(a, 1, "j") == "n8: lock_granted #3 j 1/n1/1.1 'v'");
  CHECK(t.core.locks() == 2);
}

TEST_CASE("holders: S2: no lease outlives what remains of the home's own") {
  table t;
  t.core.home_leads_until(start + 150ms);
  CHECK(t.grant(a, 1) == "n8: lease_granted #1 begins 1/n1/1/0.1 for 150 ms | n8: lock_granted #2 k 1/n1/1.1 'v'");
  t.now += 150ms;
  CHECK(t.grant(b, 1) == "");
  CHECK_FALSE(t.granted);
}

TEST_CASE("holders: a lease that was renewed runs from the renewal, and never shorter than before") {
  table t;
  t.grant(a, 1);
  t.now += 100ms;
  CHECK(t.renew(a, 2) == "n8: lease_granted #3 of 1/n1/1/0.1 for 400 ms");
  t.core.home_leads_until(t.now + 50ms); // never said by a home, but the lease that was given stands
  t.renew(a, 2);
  t.recall("k", 2);
  t.tick(400ms - 1ns);
  CHECK(t.ended() == "");
  t.tick(1ns);
  CHECK(t.ended() == "k");
}

TEST_CASE("holders: a renewal of another generation, of another epoch, or of a lapsed lease is not answered") {
  table t;
  t.grant(a, 1);
  CHECK(t.renew(a, 2, 2) == "");
  CHECK(t.renew(a, 2, 1, {2, {1}, {1}}) == "");
  CHECK(t.noted == "");
  t.now += 400ms;
  CHECK(t.renew(a, 2) == "");
}

TEST_CASE("holders: a later generation begins with nothing held, and an earlier one gets nothing more") {
  table t;
  t.grant(a, 1);
  CHECK(t.grant(a, 2, "j")
        == "n8: lease_granted #1 begins 1/n1/1/0.2 for 400 ms | n8: lock_granted #2 j 1/n1/1.1 'v'");
  CHECK_FALSE(t.core.hold("k"));
  CHECK(t.grant(a, 1) == "");
  CHECK_FALSE(t.granted);
  CHECK(t.core.over({.from = a, .number = 1, .generation = 1}, t.now));
  CHECK_FALSE(t.core.over({.from = a, .number = 1, .generation = 2}, t.now));
}

TEST_CASE("holders: a generation that lapsed is over, and whoever asks under it is told") {
  table t;
  t.grant(a, 1);
  t.now += 400ms;
  CHECK(t.grant(a, 1) == "");
  CHECK(t.core.over({.from = a, .number = 1, .generation = 1}, t.now));
  CHECK_FALSE(t.core.over({.from = a, .number = 1, .generation = 2}, t.now));
  CHECK_FALSE(t.core.over({.from = b, .number = 1, .generation = 1}, t.now));
}

TEST_CASE("holders: S1: a generation that was forgotten and is asked for again repeats no sequence number") {
  holders_options o;
  o.nodes_max = 1;
  table t{o};
  t.grant(a, 1);
  t.now += 400ms;
  t.grant(b, 1); // in the place of the first
  t.now += 400ms;
  CHECK(t.grant(a, 1) == "n8: lease_granted #5 begins 1/n1/1/0.1 for 400 ms | n8: lock_granted #6 k 1/n1/1.1 'v'");
}

TEST_CASE("holders: X1: leases beyond the bound are refused until one has lapsed") {
  holders_options o;
  o.nodes_max = 1;
  table t{o};
  t.grant(a, 1);
  CHECK(t.grant(b, 1) == "");
  CHECK_FALSE(t.core.over({.from = b, .number = 1, .generation = 1}, t.now));
  t.now += 400ms;
  t.grant(b, 1);
  CHECK(t.granted);
  CHECK(t.core.leases() == 1);
}

// -- recalls
// -----------------------------------------------------------------------------------------------------------

TEST_CASE("holders: S1: a recall ends when every holder has answered") {
  table t;
  t.grant(a, 1);
  t.grant(b, 1);
  CHECK(t.recall("k", 2) == "n8: recall #3 k 1/n1/1.2 'w' | n9: recall #3 k 1/n1/1.2 'w'");
  CHECK(t.awaited);
  t.answer(a, 3, 2);
  CHECK(t.ended() == "");
  t.answer(a, 3, 2); // again
  CHECK(t.ended() == "");
  t.answer(b, 3, 2, false);
  CHECK(t.ended() == "k");
  CHECK(t.committed("k", 2) == "n8: committed #4 k 1/n1/1.2"); // only to the one that kept it
  CHECK(t.core.locks() == 1);
}

TEST_CASE("holders: a writer's node that gave its copy back is not asked for it, and has it again after the write") {
  table t;
  t.grant(a, 1);
  t.grant(b, 1);
  t.write(a, "k", 2);
  CHECK(t.gave);
  CHECK(t.recall("k", 2) == "n9: recall #3 k 1/n1/1.2 'w'");
  t.answer(b, 3, 2);
  CHECK(t.ended() == "k");
  CHECK(t.committed("k", 2) == "n9: committed #4 k 1/n1/1.2");
  CHECK(t.grant_anew(a, 2) == "n8: lock_granted #3 k 1/n1/1.2 'w'");
  CHECK(t.recall("k", 3) == "n9: recall #5 k 1/n1/1.3 'w' | n8: recall #4 k 1/n1/1.3 'w'");
}

TEST_CASE("holders: S1: a copy given back while its recall is under way ends the wait for its node") {
  table t;
  t.grant(a, 1);
  t.recall("k", 2);
  t.write(a, "k", 2);
  CHECK(t.gave);
  CHECK(t.ended() == "k");
  CHECK(t.answer(a, 3, 2) == "");
  CHECK(t.committed("k", 2) == "");
}

TEST_CASE("holders: S1: a write gives back nothing that was granted after it was sent, nor in another generation") {
  table t;
  t.grant(a, 1);
  t.write(a, "k", 1);
  CHECK_FALSE(t.gave);
  t.write(a, "k", 2, 2);
  CHECK_FALSE(t.gave);
  t.write(b, "k", 2);
  CHECK_FALSE(t.gave);
  t.write(a, "j", 2);
  CHECK_FALSE(t.gave);
  CHECK(t.recall("k", 2) == "n8: recall #3 k 1/n1/1.2 'w'");
  t.write(a, "k", 99); // more than was ever sent
  CHECK_FALSE(t.gave);
  CHECK(t.noted.starts_with("home.dropped reason=never_sent"));
}

TEST_CASE("holders: what was given back is not granted anew without its lease, nor when it is large") {
  table t;
  t.grant(a, 1);
  t.write(a, "k", 2);
  CHECK(t.grant_anew(a, 2, "w", 2) == ""); // of a generation that never was
  CHECK(t.grant_anew(b, 2) == "");
  CHECK(t.grant_anew(a, 2, std::string(limits::small_message_bytes + 1, 'x')) == "");
  SUBCASE("lapsed") { t.now += 400ms; }
  SUBCASE("taken back") {
    t.does([&](auto& out) { t.core.recall_all(t.now, out); });
  }
  SUBCASE("given up") { t.release(a, "", 2); }
  CHECK(t.grant_anew(a, 2) == "");
  CHECK(t.core.locks() == 0);
}

TEST_CASE("holders: S1: or when the silent ones have lapsed, by the home's clock") {
  table t;
  t.grant(a, 1);
  t.now += 50ms;
  t.grant(b, 1);
  t.recall("k", 2);
  t.answer(a, 3, 2);
  t.tick(400ms - 1ns);
  CHECK(t.ended() == "");
  CHECK(t.core.wake_at() <= t.now + 1ns);
  t.tick(1ns);
  CHECK(t.ended() == "k");
}

TEST_CASE("holders: a key that nobody holds is not waited for") {
  table t;
  t.grant(a, 1);
  CHECK(t.recall("j", 2) == "");
  CHECK_FALSE(t.awaited);
  t.now += 400ms;
  CHECK(t.recall("k", 2) == ""); // it has lapsed
  CHECK_FALSE(t.awaited);
}

TEST_CASE("holders: S1: an answer counts for the version that it names, and for its own generation") {
  table t;
  t.grant(a, 1);
  t.recall("k", 2);
  t.recall("k", 3); // of the rollback
  t.answer(a, 3, 2);
  CHECK(t.ended() == "");
  t.answer(a, 4, 3, true, "k", 2);
  CHECK(t.ended() == "");
  t.answer(a, 4, 3);
  CHECK(t.ended() == "k");
}

TEST_CASE("holders: S1: the end of a recall is forgotten when another takes its place") {
  table t;
  t.grant(a, 1);
  t.recall("k", 2);
  t.answer(a, 3, 2);
  t.recall("k", 3);
  CHECK(t.ended() == "");
  t.answer(a, 4, 3);
  CHECK(t.ended() == "k");
}

TEST_CASE("holders: unanswered recalls are sent again, as new messages") {
  table t;
  t.grant(a, 1);
  t.recall("k", 2);
  CHECK(t.tick(99ms) == "");
  CHECK(t.tick(1ms) == "n8: recall #4 k 1/n1/1.2 'w'");
  t.answer(a, 4, 2);
  CHECK(t.tick(100ms) == "");
}

TEST_CASE("holders: a lease with an unanswered recall is not renewed before it is answered") {
  table t;
  t.grant(a, 1);
  t.recall("k", 2);
  t.now += 10ms;
  CHECK(t.renew(a, 2) == "");
  CHECK(t.answer(a, 3, 2) == "n8: lease_granted #4 of 1/n1/1/0.1 for 400 ms");
}

TEST_CASE("holders: a node that asks for a later generation has given the earlier one up: nobody waits for it") {
  table t;
  t.grant(a, 1);
  t.recall("k", 2);
  t.grant(a, 2, "j");
  CHECK(t.ended() == "k");
}

TEST_CASE("holders: a large value is recalled without it, and granted outside of the sequence") {
  table t;
  const std::string large(limits::small_message_bytes + 1, 'x');
  CHECK(t.does([&](auto& out) {
           t.core.grant({.from = a, .number = 1, .generation = 1}, "k", copy(1, large), t.now, out);
         })
            .starts_with(
                "n8: lease_granted #1 begins 1/n1/1/0.1 for 400 ms | n8: lock_granted #2 k 1/n1/1.1 withheld | "
                "n8: large_copy"));
  CHECK(t.does([&](auto& out) { t.core.recall("k", copy(2, large), t.now, out); })
        == "n8: recall #3 k 1/n1/1.2 withheld");
}

// -- giving back
// ------------------------------------------------------------------------------------------------------

TEST_CASE("holders: a key that was given back is not waited for; one that was granted since is held") {
  table t;
  t.grant(a, 1);
  t.grant(a, 1); // #3
  t.release(a, "k", 2);
  CHECK(t.core.hold("k"));
  t.recall("k", 2);
  t.release(a, "k", 3);
  CHECK(t.ended() == "k");
  CHECK(t.core.locks() == 0);
  CHECK(t.core.bytes() == 0);
}

TEST_CASE("holders: a lease that was given back ends the recalls of all its keys, and begins no more") {
  table t;
  t.grant(a, 1);
  t.grant(a, 1, "j");
  t.recall("k", 2);
  t.recall("j", 3);
  t.release(a, "", 5);
  CHECK(t.ended() == "k | j");
  CHECK(t.core.empty());
  CHECK(t.core.nobody_left(t.now));
  CHECK(t.grant(a, 1) == "");
}

TEST_CASE("holders: S1: a home that is to let its shard go takes every lease back, and has to wait for each") {
  table t;
  t.grant(a, 1);
  t.now += 100ms;
  t.grant(b, 1);
  const auto recalled = t.does([&](auto& out) { t.core.recall_all(t.now, out); });
  CHECK(recalled == "n8: recall #3 all | n9: recall #3 all");
  CHECK(t.grant({7}, 1) == "");
  CHECK(t.renew(a, 3) == "");
  t.answer_all(b, 3);
  CHECK_FALSE(t.core.nobody_left(t.now));
  CHECK(t.tick(100ms) == "n8: recall #4 all");
  t.tick(200ms - 1ns);
  CHECK_FALSE(t.core.nobody_left(t.now));
  t.tick(1ns);
  CHECK(t.core.nobody_left(t.now));
}

// -- bounds
// -----------------------------------------------------------------------------------------------------------

TEST_CASE("holders: X1: locks are bounded by what they take, further holders of a held key included") {
  holders_options o;
  o.bytes_max = 400; // two
  table t{o};
  t.grant(a, 1, "k");
  t.grant(b, 1, "k");
  CHECK(t.core.bytes() <= 400);
  CHECK(t.grant({7}, 1, "k")
        == "n7: lease_granted #1 begins 1/n1/1/0.1 for 400 ms | n8: recall #3 all"); // whoever holds most
  CHECK_FALSE(t.granted);
  CHECK(t.core.locks() == 2);
  t.answer_all(a, 3);
  t.grant({7}, 1, "k");
  CHECK(t.granted);
}

TEST_CASE("holders: X1: a node that applies nothing gets no more, and its recall is not lost") {
  holders_options o;
  o.queue_max = 3;
  table t{o};
  t.grant(a, 1);
  t.grant(a, 1, "j"); // #3
  CHECK(t.grant(a, 1, "l") == "n8: recall #4 all");
  CHECK_FALSE(t.granted);
  CHECK(t.recall("k", 2) == "");
  CHECK(t.awaited);
  CHECK(t.tick(100ms) == "n8: recall #5 all");
  t.answer_all(a, 5);
  CHECK(t.ended() == "k");
}

TEST_CASE("holders: a node that says what it has applied gets more") {
  holders_options o;
  o.queue_max = 3;
  table t{o};
  t.grant(a, 1);
  t.grant(a, 1, "j"); // #3
  t.renew(a, 3);
  CHECK(t.grant(a, 1, "l") == "n8: lock_granted #5 l 1/n1/1.1 'v'");
}

TEST_CASE("holders: X1: a node that claims to have applied what was never sent is not believed") {
  table t;
  t.grant(a, 1);
  t.recall("k", 2);
  t.answer(a, 4, 2);
  CHECK(t.noted == "home.dropped reason=never_sent shard=0 node=n8");
  t.release(a, "", 4);
  CHECK(t.renew(a, 4) == "");
  CHECK(t.ended() == "");
  t.answer(a, 3, 2);
  CHECK(t.ended() == "k");
}

TEST_CASE("holders: in another epoch nobody holds anything") {
  table t;
  t.grant(a, 1);
  t.recall("k", 2);
  t.core.reset({2, {1}, {1}});
  CHECK(t.core.empty());
  CHECK(t.core.bytes() == 0);
  CHECK(t.core.recalls() == 0);
  CHECK(t.core.wake_at() == never);
  CHECK(t.ended() == "");
  t.answer(a, 3, 2); // of the former
  CHECK(t.ended() == "");
}
