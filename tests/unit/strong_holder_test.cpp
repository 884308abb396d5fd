// A memory layer's read locks: generations, the lease on this node's clock, recalls (PROTOCOLS §3.3; S1, K1, X1).
#include "tests/support/strong_holder_script.hpp"

using namespace troupe;
using namespace troupe::script;

// -- leases
// -----------------------------------------------------------------------------------------------------------

TEST_CASE("holder: S1: a lease counts from when it was asked for, shortened by the drift") {
  scripted_holder h;
  CHECK(h.ask("k") == "n1: lock_request k in 3.1");
  h.now += 30ms;
  CHECK(h.receive(n1, h.lease_granted(true, 200ms)) == "lease 1/n1/1/3.1 until 198000 us");
  CHECK(h.core.lease_until(shard) == start + 198ms);
}

TEST_CASE("holder: S1: no home can grant more than leases are long here") {
  scripted_holder h;
  h.ask("k");
  CHECK(h.receive(n1, h.lease_granted(true, 3'600'000ms)) == "lease 1/n1/1/3.1 until 396000 us");
}

TEST_CASE("holder: leases are renewed every quarter, with one message to each home's node") {
  scripted_holder h;
  h.hold("k");
  CHECK(h.core.wake_at() <= start + 100ms);
  CHECK(h.tick(100ms) == "n1: lease_renew 7:1/n1/1/3.1#2");
  h.asked = h.asked + 1; // the renewal's number follows the request's
  h.now += 50ms;
  CHECK(h.receive(n1, h.lease_granted(false)) == "lease 1/n1/1/3.1 until 496000 us");
}

TEST_CASE("holder: S1: an answer to a renewal that is long forgotten extends nothing") {
  scripted_holder h;
  h.hold("k");
  h.asked = 12345;
  CHECK(h.receive(n1, h.lease_granted(false)) == "");
  CHECK(h.core.lease_until(shard) == start + 396ms);
}

TEST_CASE(
    "holder: S1: a lease that has lapsed is ended before anything else is done under it, and never runs again") {
  scripted_holder h;
  h.hold("k");
  h.now = start + 396ms;
  CHECK(h.receive(n1, h.lease_granted(false)) == "ended");
  CHECK(h.core.leases() == 0);
  CHECK(h.ask("k") == "n1: lock_request k in 3.2");
  CHECK(h.receive(n1, h.lease_granted(true)) == ""); // of the generation that is over
  h.generation = first_generation + 1;
  CHECK(h.receive(n1, h.lease_granted(true)) == "lease 1/n1/1/3.2 until 792000 us");
}

TEST_CASE("holder: generations of a new incarnation are above all earlier ones") {
  auto o = incarnation_3();
  o.life = {4};
  scripted_holder h{o};
  CHECK(h.ask("k") == "n1: lock_request k in 4.1");
}

TEST_CASE("holder: a generation whose beginning came too late, or not at all, is given up for the next one") {
  scripted_holder h;
  SUBCASE("too late: nobody knows any more when it was asked for") {
    h.ask("k");
    h.tick(250ms);
    CHECK(h.receive(n1, h.lease_granted(true)) == "");
    CHECK(h.ask("k") == "n1: lock_request k in 3.2");
  }
  SUBCASE("lost: what follows it shows that") {
    h.ask("k");
    static_cast<void>(h.lease_granted(true));
    CHECK(h.receive(n1, h.lock_granted("k", scripted_holder::copy(1, "a"))) == "obtained 1/n1/1.1 'a'");
    CHECK(h.ask("k") == "n1: lock_request k in 3.2");
  }
  SUBCASE("lost, and over at the home by now") {
    h.ask("k");
    v1::LockRefused r;
    r.set_shard(shard.value);
    r.set_number(h.asked);
    *r.mutable_copy() = scripted_holder::copy(1, "a");
    r.set_over(first_generation);
    CHECK(h.receive(n1, r) == "obtained 1/n1/1.1 'a'");
    CHECK(h.ask("k") == "n1: lock_request k in 3.2");
  }
}

TEST_CASE("holder: a refusal that says that a running generation is over ends nothing: its own messages will") {
  scripted_holder h;
  h.hold("k");
  v1::LockRefused r;
  r.set_shard(shard.value);
  r.set_number(h.asked);
  r.set_over(first_generation);
  CHECK(h.receive(n1, r) == "");
  CHECK(h.core.leases() == 1);
}

TEST_CASE("holder: S1: a later home's lease ends the earlier home's, and nothing goes back to that") {
  scripted_holder h;
  h.hold("k");
  const auto late = h.lock_granted("j", scripted_holder::copy(2, "old"));
  const auto later = h.lease_granted(false);
  h.ask("k", n2);
  h.era = era2;
  CHECK(h.receive(n2, h.lease_granted(true)) == "ended | lease 2/n2/1/3.1 until 396000 us");
  CHECK(h.receive(n1, late) == "");
  CHECK(h.receive(n1, later) == "");
  h.era = era1;
  CHECK(h.receive(n1, h.lease_granted(true)) == ""); // its beginning once more
  CHECK(h.core.lease_until(shard) == start + 396ms);
}

// -- the sequence
// -----------------------------------------------------------------------------------------------------

TEST_CASE("holder: S1: a gap in the sequence ends the generation, and the home is told") {
  scripted_holder h;
  h.hold("k");
  static_cast<void>(h.recall("k", scripted_holder::copy(2, "b"))); // lost
  CHECK(h.receive(n1, h.lock_granted("j", scripted_holder::copy(1, "c")))
        == "ended | n1: lock_release all of 1/n1/1/3.1 after #2");
  CHECK(h.ask("k") == "n1: lock_request k in 3.2");
}

TEST_CASE("holder: S1: a grant that comes again after the recall of its key publishes nothing") {
  scripted_holder h;
  h.ask("k");
  h.receive(n1, h.lease_granted(true));
  const auto grant = h.lock_granted("k", scripted_holder::copy(1, "a"));
  h.receive(n1, grant);
  CHECK(h.receive(n1, h.recall("k", scripted_holder::copy(2, "b")))
        == "unpublish k 1/n1/1.2 'b' | n1: recalled #3 k kept");
  CHECK(h.receive(n1, grant) == "");
}

TEST_CASE("holder: S1: a grant of a forgotten generation that its home began anew is not part of the new one") {
  scripted_holder h;
  h.ask("k");
  static_cast<void>(h.lease_granted(true)); // these two come late, or never
  const auto late = h.lock_granted("k", scripted_holder::copy(1, "a"));
  // The home has made room in the meantime, and knows nothing of the generation when it is asked again.
  auto again = h.lease_granted(true);
  again.set_sequence(h.sequence = 3);
  CHECK(h.receive(n1, again) == "lease 1/n1/1/3.1 until 396000 us");
  CHECK(h.receive(n1, late) == "obtained 1/n1/1.1 'a'"); // its read had asked; nothing is published
  CHECK(h.receive(n1, h.lock_granted("k", scripted_holder::copy(2, "b"))) == "publish k 1/n1/1.2 'b'");
}

TEST_CASE("holder: a new connection to the home ends the generation; the end of a connection does not") {
  scripted_holder h;
  h.hold("k");
  CHECK(h.peer(n1, false) == "");
  CHECK(h.core.leases() == 1);
  CHECK(h.peer(n2, true) == "");
  CHECK(h.peer(n1, true) == "ended | n1: lock_release all of 1/n1/1/3.1 after #2");
}

// -- recalls
// -----------------------------------------------------------------------------------------------------------

TEST_CASE(
    "holder: S1: a recalled copy is gone before the recall is answered, and comes back with exactly its commit") {
  scripted_holder h;
  h.hold("k");
  CHECK(h.receive(n1, h.recall("k", scripted_holder::copy(2, "b")))
        == "unpublish k 1/n1/1.2 'b' | n1: recalled #3 k kept");
  CHECK(h.receive(n1, h.committed("k", 3)) == ""); // another version
  CHECK(h.receive(n1, h.committed("k", 2)) == "commit k 1/n1/1.2");
  CHECK(h.receive(n1, h.committed("k", 2)) == ""); // once
}

TEST_CASE("holder: a recall that is sent anew is answered anew; one that comes twice is not") {
  scripted_holder h;
  h.hold("k");
  const auto recall = h.recall("k", scripted_holder::copy(2, "b"));
  h.receive(n1, recall);
  CHECK(h.receive(n1, recall) == "");
  CHECK(h.receive(n1, h.recall("k", scripted_holder::copy(2, "b")))
        == "unpublish k 1/n1/1.2 'b' | n1: recalled #4 k kept");
}

TEST_CASE("holder: the recall of a rollback takes the place of the recall of what it undoes") {
  scripted_holder h;
  h.hold("k");
  h.receive(n1, h.recall("k", scripted_holder::copy(2, "b")));
  h.receive(n1, h.recall("k", scripted_holder::copy(3, "a")));
  CHECK(h.receive(n1, h.committed("k", 2)) == "");
  CHECK(h.receive(n1, h.committed("k", 3)) == "commit k 1/n1/1.3");
}

TEST_CASE("holder: a recall of a generation that is over is answered, since nothing of it will be read") {
  scripted_holder h;
  h.hold("k");
  const auto recall = h.recall("k", scripted_holder::copy(2, "b"));
  SUBCASE("it lapsed") {
    h.now = start + 400ms;
    CHECK(h.receive(n1, recall) == "ended | n1: recalled #3 k");
  }
  SUBCASE("of an earlier incarnation") {
    scripted_holder restarted{[] {
      auto o = incarnation_3();
      o.life = {4};
      return o;
    }()};
    CHECK(restarted.receive(n1, recall) == "n1: recalled #3 k");
  }
  SUBCASE("its beginning was never seen: it will not begin any more") {
    scripted_holder other;
    other.ask("k");
    CHECK(other.receive(n1, recall) == "n1: recalled #3 k");
    other.sequence = 0;
    CHECK(other.receive(n1, other.lease_granted(true)) == "");
    CHECK(other.ask("k") == "n1: lock_request k in 3.2");
  }
}

TEST_CASE("holder: a recall of everything ends the generation; one of an earlier home's does not end this one") {
  scripted_holder h;
  h.hold("k");
  const auto all = h.recall_all();
  SUBCASE("of this one") { CHECK(h.receive(n1, all) == "ended | n1: recalled #3 all"); }
  SUBCASE("of an earlier one with the same number") {
    h.ask("k", n2);
    h.era = era2;
    h.receive(n2, h.lease_granted(true));
    CHECK(h.receive(n1, all) == "n1: recalled #3 all");
    CHECK(h.core.leases() == 1);
  }
}

TEST_CASE("holder: X1: what is recalled beyond the bound, or is too large, is dropped and asked for anew") {
  auto o = incarnation_3();
  o.pending_max = 1;
  scripted_holder h{o};
  h.hold("k");
  h.receive(n1, h.lock_granted("j", scripted_holder::copy(1, "c")));
  v1::Copy large = scripted_holder::copy(2, "");
  large.set_withheld(true);
  CHECK(h.receive(n1, h.recall("k", large)) == "erase k | n1: recalled #4 k");
  CHECK(h.receive(n1, h.recall("k", scripted_holder::copy(2, "b")))
        == "unpublish k 1/n1/1.2 'b' | n1: recalled #5 k kept");
  CHECK(h.receive(n1, h.recall("j", scripted_holder::copy(3, "d"))) == "erase j | n1: recalled #6 j");
}

TEST_CASE("holder: what the table has no room for is given back, and its commit publishes nothing") {
  scripted_holder h;
  h.hold("k");
  h.receive(n1, h.recall("k", scripted_holder::copy(2, "b")));
  CHECK(h.evicted("k") == "n1: lock_release k of 1/n1/1/3.1 after #3");
  CHECK(h.receive(n1, h.committed("k", 2)) == "");
}

// -- large values
// -----------------------------------------------------------------------------------------------------

TEST_CASE("holder: S1: a write gives the node's copy back: it is dropped before the write is sent, under a running "
          "lease only") {
  scripted_holder h;
  v1::Operation write;
  write.set_shard(shard.value);
  write.set_key("k");
  auto begin = [&] { return h.does([&](auto& out) { h.core.give_back(write, h.now, out); }); };
  CHECK(begin() == "");
  CHECK_FALSE(write.has_given_back());
  h.hold("k");
  CHECK(begin() == "erase k");
  REQUIRE(write.has_given_back());
  CHECK(from_wire(write.given_back().generation()) == lease_generation{.era = era1, .n = first_generation});
  CHECK(write.given_back().applied() == h.sequence);
  SUBCASE("what was recalled before does not become readable") {
    h.receive(n1, h.lock_granted("k", h.copy(1, "a")));
    h.receive(n1, h.recall("k", h.copy(2, "b")));
    begin();
    CHECK(h.receive(n1, h.committed("k", 2)) == "");
  }
  SUBCASE("after the lease nothing is said") {
    write.clear_given_back();
    h.now += 400ms;
    CHECK(begin() == "ended");
    CHECK_FALSE(write.has_given_back());
  }
}

TEST_CASE("holder: K1: a large value is published if its key was not recalled before it came") {
  scripted_holder h;
  h.hold("k");
  h.ask("large");
  v1::Copy withheld = scripted_holder::copy(4, "");
  withheld.set_withheld(true);
  CHECK(h.receive(n1, h.lock_granted("large", withheld)) == "");
  v1::LargeCopy large;
  large.set_shard(shard.value);
  to_wire(lease_generation{.era = era1, .n = first_generation}, *large.mutable_generation());
  large.set_number(h.asked);
  large.set_key("large");
  *large.mutable_copy() = scripted_holder::copy(4, "x");
  SUBCASE("nothing happened") {
    CHECK(h.receive(n1, large) == "publish large 1/n1/1.4 'x' | obtained 1/n1/1.4 'x'");
    CHECK(h.receive(n1, large) == ""); // again
  }
  SUBCASE("recalled") {
    h.receive(n1, h.recall("large", scripted_holder::copy(5, "y")));
    CHECK(h.receive(n1, large) == "obtained 1/n1/1.4 'x'");
  }
  SUBCASE("dropped by the table") {
    h.evicted("large");
    CHECK(h.receive(n1, large) == "obtained 1/n1/1.4 'x'");
  }
  SUBCASE("the generation ended") {
    h.peer(n1, true);
    CHECK(h.receive(n1, large) == ""); // and the read has failed
  }
}

// -- reads that missed
// ------------------------------------------------------------------------------------------------

TEST_CASE("holder: a read that missed is answered or fails exactly once, within its patience") {
  scripted_holder h;
  SUBCASE("refused") {
    h.ask("k");
    v1::LockRefused r;
    r.set_shard(shard.value);
    r.set_number(h.asked);
    r.set_error(static_cast<std::uint32_t>(errc::unavailable));
    r.set_hint(2);
    CHECK(h.receive(n1, r) == "failed unavailable hint=n2");
    CHECK(h.receive(n1, r) == "");
    CHECK(h.core.requests() == 0);
  }
  SUBCASE("not answered") {
    h.ask("k");
    CHECK(h.core.wake_at() == start + 250ms);
    CHECK(h.tick(250ms - 1ns) == "");
    CHECK(h.tick(1ns) == "failed timeout");
    CHECK(h.core.wake_at() == never);
  }
  SUBCASE("the connection broke") {
    h.ask("k");
    CHECK(h.peer(n1, false) == "failed unavailable");
    CHECK(h.receive(n1, h.lock_granted("k", scripted_holder::copy(1, "a"))) == "");
  }
}

TEST_CASE("holder: X1: reads beyond the bound are refused, and say so") {
  auto o = incarnation_3();
  o.requests_max = 1;
  scripted_holder h{o};
  h.ask("k");
  CHECK(h.ask("j") == "failed overloaded hint=n1");
  CHECK(h.core.requests() == 1);
}

TEST_CASE("holder: a node that stops gives all leases back, and takes no more") {
  scripted_holder h;
  h.hold("k");
  h.ask("j");
  CHECK(h.does([&](auto& out) { h.core.release(out); }) == "ended | n1: lock_release all of 1/n1/1/3.1 after #2");
  CHECK(h.receive(n1, h.lock_granted("j", scripted_holder::copy(1, "a"))) == "obtained 1/n1/1.1 'a'");
  CHECK(h.ask("k") == "failed unavailable hint=n1");
}

// -- bad messages
// -----------------------------------------------------------------------------------------------------

TEST_CASE("holder: a message that cannot be is dropped, named, and breaks the sequence that it stood in") {
  scripted_holder h;
  h.hold("k");
  SUBCASE("of an epoch of somebody else") {
    CHECK(h.receive(n2, h.recall("k", scripted_holder::copy(2, "b"))) == "");
    CHECK(h.noted == "holder.dropped reason=not_of_its_sender shard=7 node=n2");
  }
  SUBCASE("without a version") {
    CHECK(h.receive(n1, h.recall("k", {})) == "");
    CHECK(h.noted == "holder.dropped reason=no_version shard=7 node=n1");
  }
  SUBCASE("without a key") {
    CHECK(h.receive(n1, h.lock_granted("", scripted_holder::copy(2, "b"))) == "");
    CHECK(h.noted == "holder.dropped reason=no_key shard=7 node=n1");
  }
  SUBCASE("with a value of a key that does not exist") {
    auto nothing = scripted_holder::copy(2, "b");
    nothing.set_exists(false);
    CHECK(h.receive(n1, h.lock_granted("j", nothing)) == "");
    CHECK(h.noted == "holder.dropped reason=value_of_nothing shard=7 node=n1");
  }
  CHECK(h.receive(n1, h.committed("k", 2)) == "ended | n1: lock_release all of 1/n1/1/3.1 after #2");
}
