#include "tests/support/replica_script.hpp"

#include <doctest/doctest.h>

using namespace troupe;
using namespace troupe::script;
using namespace std::chrono_literals;

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
