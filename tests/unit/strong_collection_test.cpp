// Which tombstones a home collects, and what of them it still knows (PROTOCOLS §3.4). What replicas do about it is in
// strong_acceptor_collection_test.cpp.
#include "protocol/strong/tombstone_list.hpp"
#include "tests/support/named_lock_script.hpp"

using namespace troupe;
using namespace troupe::script;

namespace {

const epoch before{1, n1, {1}};
const version removed{before, 9}, earlier{before, 4};

/// Of a key that was removed by request 5#1.
v1::Record tombstone() {
  v1::Record r;
  r.set_tombstone(true);
  auto& settled = *r.add_settled();
  settled.mutable_id()->set_session(5);
  settled.mutable_id()->set_number(1);
  settled.mutable_result()->set_applied(true);
  to_wire(removed, *settled.mutable_version());
  return r;
}

v1::Record value() {
  v1::Record r;
  r.set_value("a");
  return r;
}

v1::Operation with_base(v1::Operation o, const version& base) {
  to_wire(base, *o.mutable_base());
  return o;
}

home_options soon() {
  auto o = three_replicas();
  o.life = {2};
  o.collection = {.every = 100ms, .after = 200ms, .unripe_max = 3, .round_min = 300ms};
  return o;
}

const std::string collects = "n1: collect t:k 1/n1/1.9 of 1/n1/1 in 1/n1/2 | n2: collect t:k 1/n1/1.9 of 1/n1/1 in "
                             "1/n1/2 | n3: collect t:k 1/n1/1.9 of 1/n1/1 in 1/n1/2";
const std::string asks = "n1: read t:k in 1/n1/2 | n2: read t:k in 1/n1/2 | n3: read t:k in 1/n1/2";

/// A home that leads after a former life of its node, and has just asked for tombstones.
struct collecting_home : scripted_home {
  explicit collecting_home(home_options o = soon()) : scripted_home{o} {
    lead();
    REQUIRE(core.era() > before);
    later(200ms);
  }
  std::string later(nanoseconds much) {
    std::string all;
    for (auto end = now + much; now < end;) {
      const auto text = tick(std::min<nanoseconds>(end - now, 20ms));
      all += all.empty() || text.empty() ? text : " | " + text;
      renew_all();
    }
    return all;
  }
  std::string found(node_id from) { return latest(from, before, removed, tombstone()); }
};

} // namespace

TEST_CASE("collection: a home collects what every replica answers it holds, one tombstone of an earlier epoch") {
  collecting_home h;
  CHECK(h.tombstones({"t:k"}) == asks);
  CHECK(h.found(n1) == "");
  CHECK(h.found(n2) == "");
  CHECK(h.found(n3) == collects);
  CHECK(h.core.collected() == 1);
  CHECK(h.core.keys() == 0);
  CHECK(h.core.undecided() == 0);
}

TEST_CASE("collection: none before the home has led for a while, and then now and then") {
  scripted_home h{soon()};
  h.lead();
  CHECK(h.core.wake_at() <= h.now + 200ms);
  h.renew_all();
  CHECK(h.tick(199ms).find("list_tombstones") == std::string::npos);
  h.renew_all();
  CHECK(h.tick(1ms) == "n1: list_tombstones after ''");
  CHECK(h.tombstones({}, "t:c") == "");
  h.renew_all();
  CHECK(h.tick(99ms) == ""); // a quarter of a lease would be less than the time between two passes
  CHECK(h.tick(1ms).find("list_tombstones after 't:c'") != std::string::npos);
}

TEST_CASE("collection, S1: not while one replica is silent, whatever the majority holds") {
  collecting_home h;
  h.tombstones({"t:k"});
  h.found(n1);
  CHECK(h.found(n2) == "");
  CHECK(h.later(400ms).find("collect") == std::string::npos);
  CHECK(h.core.keys() == 0); // and it is not written back for that
  CHECK(h.accepts.empty());
  CHECK(h.found(n3) == ""); // too late
}

TEST_CASE("collection: none is asked for while a replica is not connected, or the shard has much to do") {
  collecting_home h;
  h.does([&](auto& out) { h.core.peer(n3, false, h.now, out); });
  CHECK(h.later(400ms).find("list_tombstones") == std::string::npos);
}

TEST_CASE(
    "collection, S1: a replica that holds an older record is brought up to date first; the next home collects") {
  collecting_home h;
  h.tombstones({"t:k"});
  h.found(n1);
  h.found(n2);
  CHECK(h.latest(n3, before, earlier, value())
        == "n1: accept t:k 1/n1/1.9 in 1/n1/2 | n2: accept t:k 1/n1/1.9 in 1/n1/2 | n3: accept t:k 1/n1/1.9 in "
           "1/n1/2");
  CHECK(h.accepts[n3].tombstone());
  h.accept(n1);
  h.accept(n2);
  CHECK(h.core.collected() == 0);
  h.tombstones({"t:k"}); // the replica would not name it
  for (auto r : {n1, n2, n3})
    CHECK(h.latest(r, h.core.era(), removed, tombstone()) == "");
  CHECK(h.core.collected() == 0);
}

TEST_CASE("collection: a replica whose copy is damaged is not left out: it is repaired first") {
  collecting_home h;
  h.tombstones({"t:k"});
  h.found(n1);
  h.found(n2);
  CHECK(h.abstain(n3, h.questions[n3].number()).ends_with("n3: accept t:k 1/n1/1.9 in 1/n1/2 repairs"));
  CHECK(h.core.collected() == 0);
}

TEST_CASE(
    "collection: a tombstone that the others have collected is collected too, if all know its version as gone") {
  collecting_home h;
  h.tombstones({"t:k"});
  h.nothing(n1, removed);
  h.nothing(n2, {before, 12});
  CHECK(h.found(n3) == collects);

  collecting_home other;
  other.tombstones({"t:k"});
  other.nothing(n1, removed);
  other.nothing(n2, earlier); // it missed the removal: what it does not remember nobody must have executed
  CHECK(other.found(n3).starts_with("n1: accept t:k 1/n1/1.9 in 1/n1/2"));
}

TEST_CASE("collection: values, locks and floors are left alone") {
  auto lock = tombstone(), floor = tombstone();
  lock.mutable_lock();
  floor.mutable_floor();
  for (const auto& record : {value(), lock, floor}) {
    collecting_home h;
    h.tombstones({"t:k"});
    for (auto r : {n1, n2, n3})
      CHECK(h.latest(r, before, removed, record) == "");
    CHECK(h.core.collected() == 0);
    CHECK(h.core.keys() == 0);
  }
}

TEST_CASE("collection: whoever asks for a key that is being collected is served like always") {
  collecting_home h;
  h.tombstones({"t:k"});
  h.found(n1);
  h.found(n2); // and nothing of n3
  CHECK(h.receive(client, get(7)) == "");
  CHECK(h.core.wake_at() <= h.now);
  CHECK(h.tick().starts_with("n1: accept t:k 1/n1/1.9 in 1/n1/2")); // as every touch by a majority
  h.accept(n1);
  CHECK(h.accept(n2) == "n9: answer 5#7 applied");
  CHECK(h.core.collected() == 0);

  collecting_home first; // the majority is not there yet
  first.tombstones({"t:k"});
  first.found(n1);
  first.receive(client, get(7));
  first.found(n2);
  CHECK(first.found(n3) == "n9: answer 5#7 applied");
  CHECK(first.core.collected() == 0);
  CHECK(first.later(100ms).find("list_tombstones") != std::string::npos);
  CHECK(first.tombstones({"t:k"}) == asks); // known, but only a touch tells who holds it
  for (auto r : {n1, n2})
    first.found(r);
  CHECK(first.found(n3) == collects);
}

TEST_CASE("collection, S1: who holds a read lock on the key goes on to read that there is nothing, until a write") {
  collecting_home h;
  v1::LockRequest request;
  request.set_shard(shard.value);
  request.set_number(1);
  request.set_generation(std::uint64_t{1} << 32 | 1);
  request.set_key("t:k");
  request.set_budget_us(1'000'000);
  h.receive(client, request);
  h.found(n1);
  h.found(n2);
  CHECK(h.found(n3).find("lock_granted #2 t:k 1/n1/1.9 nothing") != std::string::npos);
  h.tombstones({"t:k"});
  h.found(n1);
  h.found(n2);
  CHECK(h.found(n3) == collects);
  CHECK(h.core.held().hold("t:k"));
  h.receive(client, with_base(put(2, "b"), removed));
  h.nothing(n1, removed);
  h.nothing(n2, removed);
  CHECK(h.nothing(n3, removed).ends_with("n9: recall #3 t:k 1/n1/2.1 'b'"));
  h.accept(n1);
  CHECK(h.accept(n2) == ""); // not before it was answered
}

TEST_CASE("collection: a key that is under way for somebody else is left to him") {
  collecting_home busy;
  busy.receive(client, put(2, "a"));
  CHECK(busy.tombstones({"t:k"}) == "");
}

TEST_CASE("collection, S1: a write right after it finds nothing anywhere, and needs nobody's consent") {
  collecting_home h;
  h.tombstones({"t:k"});
  for (auto r : {n1, n2, n3})
    h.found(r);
  REQUIRE(h.core.collected() == 1);
  CHECK(h.receive(client, with_base(put(2, "b"), removed)) == asks);
  h.nothing(n1, removed);
  h.nothing(n2, removed);
  CHECK(h.found(n3).starts_with("n1: accept t:k 1/n1/2.1 in 1/n1/2")); // there it was lost
  CHECK(h.proposed().value() == "b");
  h.accept(n1);
  CHECK(h.accept(n2) == "n9: answer 5#2 applied");
}

TEST_CASE("collection, S1: a late retry of a request that the tombstone remembered is not executed again") {
  for (const bool everybody : {true, false}) {
    CAPTURE(everybody);
    collecting_home h;
    h.receive(client, retry(with_base(put(1, "again"), earlier)));
    h.nothing(n1, removed);
    h.nothing(n2, earlier);
    if (everybody) {
      h.nothing(n3);
    } else { // what a majority does not hold is written first
      CHECK(h.tick(1ms).starts_with("n1: accept t:k 1/n1/2.1 in 1/n1/2"));
      CHECK(h.proposed().tombstone());
      CHECK(from_wire(h.proposed().evicted()) == removed);
      h.accept(n1);
      h.accept(n2);
    }
    CHECK(static_cast<errc>(h.answer.result().error()) == errc::forgotten);
    CHECK(from_wire(h.answer.newest()) >= removed);
  }
}

TEST_CASE("collection: a first attempt from before it begins again as of what is known now") {
  collecting_home h;
  h.receive(client, with_base(put(1, "a"), earlier));
  h.nothing(n1, removed);
  h.nothing(n2, removed);
  CHECK(h.nothing(n3, removed) == "n9: not_home 5#1 stale_base hint=n1");
  CHECK(h.receive(client, with_base(put(1, "a"), removed)).starts_with("n1: accept t:k 1/n1/2.1 in 1/n1/2"));
  CHECK(from_wire(h.proposed().evicted()) == removed);
}

TEST_CASE(
    "collection, K1: what is read of a collected key is absent as of a version that is not below its tombstone") {
  collecting_home h;
  h.receive(client, get(1));
  h.nothing(n1, removed);
  h.nothing(n2, removed);
  CHECK(h.nothing(n3, removed) == "n9: answer 5#1 applied");
  CHECK(from_wire(h.answer.result().version()) == removed);
  CHECK_FALSE(h.answer.result().exists());
}

TEST_CASE("collection: for many tombstones of its own epoch a home comes back in a higher round, not too often") {
  collecting_home h;
  CHECK(h.tombstones({}, "", 3) == ""); // it has led for 200 ms only
  h.later(100ms);
  CHECK(h.tombstones({}, "", 2) == "");
  h.later(100ms);
  CHECK(h.tombstones({"t:k"}, "", 3) == "n1: release 1/n1/2 | n2: release 1/n1/2 | n3: release 1/n1/2");
  CHECK(h.tick() == "n2: claim 2/n1/2 | n3: claim 2/n1/2");
}

TEST_CASE(
    "collection: a higher round waits for locks that somebody has: each would count their time anew, for ever") {
  collecting_home h;
  h.receive(client, acquire(1, {.owner = "A", .duration_ms = 400}));
  for (auto r : {n1, n2, n3})
    h.latest_of(lock_key, r);
  h.accept(n1);
  CHECK(h.accept(n2) == "n9: answer 5#1 applied");
  h.later(300ms);
  CHECK(h.tombstones({}, "", 3) == ""); // without the lock it would be time
  h.later(100ms);                       // it is over
  CHECK(h.tombstones({}, "", 3) == "n1: release 1/n1/2 | n2: release 1/n1/2 | n3: release 1/n1/2");
}

TEST_CASE("collection: an answer that belongs to another question is not acted upon") {
  collecting_home h;
  v1::Tombstones t;
  t.set_shard(shard.value);
  t.set_number(h.listing.number() + 1);
  t.add_keys("t:k");
  CHECK(h.receive(n1, t) == "");
  CHECK(h.tombstones({"t:k"}) == asks);
  CHECK(h.tombstones({"t:other"}) == ""); // it was answered
}

TEST_CASE("tombstones: they are listed page by page, those of the asker's epoch only counted") {
  tombstone_list list{1'000'000};
  const epoch other{2, n1, {1}};
  for (int k = 0; k < 100; ++k)
    list.add(shard, {"k" + std::to_string(100 + k), k % 2 == 0 ? before : other});
  list.add({3}, {"elsewhere", before});
  std::vector<std::string> all;
  std::string after;
  do {
    const auto page = list.list(shard, other, after, 7);
    CHECK(page.unripe == 50);
    CHECK(page.keys.size() <= 7);
    all.insert(all.end(), page.keys.begin(), page.keys.end());
    after = page.next;
  } while (!after.empty());
  CHECK(all.size() == 50);
  CHECK(std::is_sorted(all.begin(), all.end()));
  list.add(shard, {"k100", other}); // accepted again
  CHECK(list.list(shard, other, "", 7).unripe == 51);
  list.remove(shard, "k100");
  CHECK(list.size() == 100);
  CHECK(list.list({9}, other, "", 7).keys.empty());
}

TEST_CASE("tombstones, X1: what there is no room for is forgotten, and looked for again when there is") {
  tombstone_list list{1'000};
  CHECK(list.begin_scan(shard) == "");
  for (int k = 0; k < 100; ++k)
    list.add(shard, {"k" + std::to_string(k), before});
  list.end_scan(shard, "");
  CHECK(list.size() < 10);
  CHECK_FALSE(list.begin_scan(shard)); // no room
  for (int k = 0; k < 100; ++k)
    list.remove(shard, "k" + std::to_string(k));
  CHECK(list.size() == 0);
  CHECK(list.begin_scan(shard) == "");
  list.end_scan(shard, "k7");
  CHECK(list.begin_scan(shard) == "k7");
  list.end_scan(shard, "");
  CHECK_FALSE(list.begin_scan(shard)); // nothing was forgotten since
}
