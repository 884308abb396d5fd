// How a home grants named locks and takes them back (PROTOCOLS §3.3, S5). What they fence is in
// strong_fences_test.cpp.
#include "protocol/limits.hpp"
#include "tests/support/named_lock_script.hpp"

using namespace troupe;
using namespace troupe::script;

namespace {

/// The record of a lock as another home left it.
v1::Record left_behind(const std::string& owner, const version& grant, std::uint64_t duration_ms) {
  v1::Record r;
  auto& o = *r.mutable_lock()->add_owners();
  o.set_owner(owner);
  to_wire(grant, *o.mutable_token());
  o.set_duration_ms(duration_ms);
  o.add_protects("t:a");
  return r;
}

struct touched_lock : lock_home {
  explicit touched_lock(home_options o = with_memory()) : lock_home{o} {
    receive(client, get(1000, lock_key));
    touch(lock_key);
  }
};

} // namespace

TEST_CASE("named lock: a free one is granted by a write, whose version is the token") {
  touched_lock h;
  CHECK(h.receive(client, acquire(1, {.owner = "A"})).starts_with("n1: accept t:lock 1/n1/1.1"));
  CHECK(h.receive(client, get(2, lock_key)) == "n9: answer 5#2 applied"); // a lock has no value
  CHECK(h.commit() == "n9: answer 5#1 applied");
  CHECK(h.granted() == token(1));
  CHECK(h.answer.settled());
  REQUIRE(h.answer.result().protects_size() == 1);
  CHECK(h.answer.result().protects(0) == "t:a");
  CHECK(h.proposed().lock().owners(0).owner() == "A");
  CHECK(h.proposed().settled(0).result().protects_size() == 0); // the record says it elsewhere
  CHECK(h.receive(client, retry(acquire(1, {.owner = "A"}))) == "n9: answer 5#1 applied");
  CHECK(h.answer.result().protects_size() == 1);
}

TEST_CASE("named lock: one that is taken is refused at once to whoever does not wait, with its owner and the rest") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A", .duration_ms = 300}));
  h.later(100ms);
  CHECK(h.receive(client, acquire(2, {.owner = "B", .wait = false})) == "n9: answer 5#2 refused");
  CHECK(h.answer.result().lock_owner() == "A");
  CHECK(h.answer.result().lock_remaining_ms() == 200);
  CHECK_FALSE(h.answer.settled());
  CHECK(h.core.queued() == 0);
}

TEST_CASE("named lock: those who wait are served first come first served, when it is released") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A"}));
  CHECK(h.receive(client, acquire(2, {.owner = "B"})) == "");
  CHECK(h.receive(client, acquire(3, {.owner = "C"})) == "");
  CHECK(h.core.queued() == 2);
  h.receive(client, release(4, "A", token(1)));
  CHECK(h.commit().starts_with("n9: answer 5#4 applied | n1: accept t:lock 1/n1/1.3"));
  CHECK(h.commit() == "n9: answer 5#2 applied");
  CHECK(h.granted() == token(3));
  h.receive(client, release(5, "B", token(3)));
  CHECK(h.commit().starts_with("n9: answer 5#5 applied | n1: accept"));
  CHECK(h.commit() == "n9: answer 5#3 applied");
  CHECK(h.core.queued() == 0);
}

TEST_CASE("S5: one whose time is over on the home's clock goes to who waits, and not before") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A", .duration_ms = 300}));
  h.receive(client, acquire(2, {.owner = "B"}));
  CHECK(h.later(299ms) == "");
  CHECK(h.core.undecided() == 1); // it is looked after while somebody waits
  CHECK(h.core.wake_at() <= start + 300ms + 1ms);
  h.later(1ms);
  CHECK(h.commit() == "n9: answer 5#2 applied");
  CHECK(h.proposed().lock().owners_size() == 1);
  CHECK(h.proposed().lock().owners(0).owner() == "B");
  CHECK(h.proposed().lock().fence_also(0) == "t:a"); // A may still be writing there
}

TEST_CASE("named lock: nobody who waits is overtaken, neither by those who share nor by those who come later") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A", .shared = true}));
  h.done(acquire(2, {.owner = "B", .shared = true})); // shared at once
  CHECK(h.proposed().lock().owners_size() == 2);
  CHECK(h.receive(client, acquire(3, {.owner = "W"})) == "");
  CHECK(h.receive(client, acquire(4, {.owner = "C", .shared = true})) == "");
  CHECK(h.receive(client, acquire(5, {.owner = "D", .shared = true, .wait = false})) == "n9: answer 5#5 refused");
  CHECK(h.done(release(6, "A", token(1))) == "n9: answer 5#6 applied"); // B still has it
  h.receive(client, release(7, "B", token(2)));
  CHECK(h.commit().starts_with("n9: answer 5#7 applied | n1: accept"));
  CHECK(h.commit() == "n9: answer 5#3 applied");
  h.receive(client, acquire(8, {.owner = "E", .shared = true}));
  h.receive(client, release(9, "W"));
  h.commit();
  CHECK(h.commit().starts_with("n9: answer 5#4 applied | n1: accept")); // both of them now, each with its token
  CHECK(h.commit() == "n9: answer 5#8 applied");
  CHECK(h.proposed().lock().owners_size() == 2);
}

TEST_CASE("named lock: two acquires that come together are decided one by one, so that no two tokens are equal") {
  touched_lock h;
  h.receive(client, put(50, "x", 1s, "t:other"));
  h.touch("t:other");
  h.receive(client, acquire(1, {.owner = "A", .shared = true}));
  h.receive(client, acquire(2, {.owner = "B", .shared = true}));
  CHECK(h.commit().starts_with("n9: answer 5#1 applied | n1: accept"));
  const auto first = h.granted();
  CHECK(h.commit() == "n9: answer 5#2 applied");
  CHECK(first < h.granted());
}

TEST_CASE("named lock: the owner that has it is granted it again, before those who wait, with a newer token") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A", .protects = {"t:a"}}));
  h.receive(client, acquire(2, {.owner = "B"}));
  CHECK(h.done(acquire(3, {.owner = "A", .protects = {"t:b"}})) == "n9: answer 5#3 applied");
  CHECK(h.granted() == token(2));
  CHECK(h.answer.result().protects_size() == 2); // what the first of its grants may have written, too
  CHECK(h.receive(client, renew(4, "A", token(1))) == "n9: answer 5#4 lock_lost");
  CHECK(h.receive(client, release(5, "A", token(1))) == "n9: answer 5#5 lock_lost");
  CHECK(h.core.queued() == 1);
}

TEST_CASE("named lock: a renewal restarts the time, needs the unexpired owner and its token, and writes nothing") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A", .duration_ms = 300}));
  h.receive(client, acquire(2, {.owner = "B"}));
  h.later(200ms);
  CHECK(h.receive(client, renew(3, "B", token(1))) == "n9: answer 5#3 lock_lost");
  CHECK(h.receive(client, renew(4, "A", token(9))) == "n9: answer 5#4 lock_lost");
  CHECK(h.receive(client, renew(5, "A", token(1))) == "n9: answer 5#5 applied");
  CHECK(h.granted() == token(1)); // it keeps the token
  CHECK(h.later(299ms) == "");
  h.now += 1ms;
  CHECK(h.receive(client, renew(6, "A", token(1))) == "n9: answer 5#6 lock_lost"); // one instant too late
  h.later(0ms);
  h.tick();
  CHECK(h.commit() == "n9: answer 5#2 applied");
}

TEST_CASE("S5: no renewal while a write is under way that takes the lock away") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A", .duration_ms = 300}));
  h.receive(client, release(2, "A", token(1)));
  CHECK(h.receive(client, renew(3, "A", token(1))) == "n9: answer 5#3 lock_lost");
  h.commit();
  h.done(acquire(4, {.owner = "A", .shared = true, .duration_ms = 300}));
  h.receive(client, acquire(5, {.owner = "B", .shared = true}));
  CHECK(h.receive(client, renew(6, "A", token(3))) == "n9: answer 5#6 applied"); // who shares stays
}

TEST_CASE("S5: a new home counts the whole time of a lock that it finds, from its first touch") {
  lock_home h;
  h.receive(client, acquire(1, {.owner = "B"}));
  const version grant{{1, n1, {0}}, 7}; // of an earlier epoch
  CHECK(h.touch(lock_key, grant, left_behind("A", grant, 400)) == "");
  CHECK(h.later(399ms) == "");
  CHECK(h.receive(client, acquire(2, {.owner = "C", .wait = false})) == "n9: answer 5#2 refused");
  CHECK(h.answer.result().lock_owner() == "A");
  h.later(1ms);
  CHECK(h.commit() == "n9: answer 5#1 applied");
  CHECK(grant < h.granted());
}

TEST_CASE("S5: a new home counts the whole time also when it had to accept the lock again") {
  lock_home h;
  h.receive(client, acquire(1, {.owner = "B"}));
  const version grant{{1, n1, {0}}, 7};
  h.latest_of(lock_key, n1);
  h.latest_of(lock_key, n2, {grant.era}, grant, left_behind("A", grant, 400));
  h.latest_of(lock_key, n3, {grant.era}, grant, left_behind("A", grant, 400));
  h.now += 100ms;
  h.renew_all();
  CHECK(h.commit() == ""); // A has it, and B waits
  CHECK(h.later(399ms) == "");
  h.later(1ms);
  CHECK(h.commit() == "n9: answer 5#1 applied");
}

TEST_CASE("S5: a lock that was forgotten for want of memory is counted anew") {
  auto o = with_memory();
  o.bytes_max = 0;
  lock_home h{o};
  h.receive(client, acquire(1, {.owner = "A", .duration_ms = 300}));
  h.touch(lock_key);
  h.commit();
  CHECK(h.core.keys() == 0);
  const auto record = h.proposed();
  h.later(200ms);
  h.receive(client, acquire(2, {.owner = "B"}));
  h.touch(lock_key, token(1), record);
  CHECK(h.core.keys() == 1); // it stays while somebody waits
  CHECK(h.later(299ms) == "");
  h.later(1ms);
  CHECK(h.commit() == "n9: answer 5#2 applied");
}

TEST_CASE("named lock: a release without a token gives back what the owner has, and what it waits for") {
  touched_lock h;
  CHECK(h.receive(client, release(1, "A")) == "n9: answer 5#1 refused"); // nothing
  h.done(acquire(2, {.owner = "A"}));
  h.receive(client, acquire(3, {.owner = "B"}));
  h.receive(client, retry(acquire(4, {.owner = "B"})));
  h.receive(client, acquire(5, {.owner = "C"}));
  CHECK(
      h.receive(client, release(6, "B")).starts_with("n9: answer 5#6 refused | n9: answer 5#3 lock_lost | n1: acc"));
  CHECK(h.commit() == "n9: answer 5#4 lock_lost"); // of a retry nothing is said before it is committed
  CHECK(h.answer.settled());
  h.receive(client, release(7, "A"));
  h.commit();
  CHECK(h.commit() == "n9: answer 5#5 applied");
}

TEST_CASE("S4: keys of former grants are fenced by every later one, until one has done so") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A", .protects = {"t:a"}}));
  h.done(release(2, "A", token(1)));
  CHECK(h.proposed().tombstone());
  h.done(acquire(3, {.owner = "B", .protects = {"t:b"}}));
  CHECK(h.answer.result().protects_size() == 2); // t:a, where A may still write, and t:b
  h.done(release(4, "B", token(3)));             // it fenced nothing
  h.done(acquire(5, {.owner = "C", .protects = {}}));
  CHECK(h.answer.result().protects_size() == 2);
  h.done(release(6, "C", token(5), true));
  h.done(acquire(7, {.owner = "D", .protects = {"t:d"}}));
  REQUIRE(h.answer.result().protects_size() == 1);
  CHECK(h.answer.result().protects(0) == "t:d");
}

TEST_CASE("S5: an undone grant leaves the lock as it was") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A", .duration_ms = 300}));
  h.later(300ms);
  auto o = acquire(2, {.owner = "B", .budget = 150ms});
  o.set_roll_back(true);
  CHECK(h.receive(client, o) != "");
  CHECK(h.later(200ms) == "");
  REQUIRE(h.proposed().lock().owners_size() == 1);
  CHECK(h.proposed().lock().owners(0).owner() == "A");
  CHECK(h.proposed().lock().fence_also_size() == 0);
  CHECK(h.commit() == "n9: answer 5#2 rolled_back");
  CHECK(h.done(acquire(3, {.owner = "C", .wait = false})) == "n9: answer 5#3 applied"); // A's time is over
}

TEST_CASE("S5: an undone release leaves the lock as it was, and the time of its owner") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A", .duration_ms = 400}));
  auto o = release(2, "A", token(1));
  o.set_roll_back(true);
  o.set_budget_us(100'000);
  h.receive(client, o);
  h.later(150ms);
  CHECK(h.commit() == "n9: answer 5#2 rolled_back");
  CHECK(h.receive(client, acquire(3, {.owner = "B", .wait = false})) == "n9: answer 5#3 refused");
  CHECK(h.answer.result().lock_remaining_ms() == 250);
  CHECK(h.receive(client, renew(4, "A", token(1))) == "n9: answer 5#4 applied");
}

TEST_CASE("S5: the first grant of all, undone, leaves a free lock") {
  touched_lock h;
  auto o = acquire(1, {.owner = "A", .budget = 100ms});
  o.set_roll_back(true);
  h.receive(client, o);
  h.later(150ms);
  CHECK(h.commit() == "n9: answer 5#1 rolled_back");
  CHECK(h.done(put(2, "a value", 1s, lock_key)) == "n9: answer 5#2 applied"); // nor has it become a lock
}

TEST_CASE(
    "deadline: an acquire that only waited was not done; of a repeated one that is certain once it is committed") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A", .duration_ms = 5000}));
  h.receive(client, acquire(2, {.owner = "B", .budget = 100ms}));
  h.receive(client, retry(acquire(3, {.owner = "C", .budget = 100ms})));
  CHECK(h.later(150ms) == "n9: answer 5#2 expired");
  CHECK(h.core.queued() == 0);
  SUBCASE("a majority takes it") {
    CHECK(h.commit() == "n9: answer 5#3 expired");
    CHECK(h.answer.settled());
    CHECK(h.receive(client, acquire(3, {.owner = "C"}))
          == "n9: answer 5#3 expired"); // an attempt that was on its way
  }
  SUBCASE("or none does") { CHECK(h.later(450ms) == "n9: answer 5#3 timeout"); }
}

TEST_CASE("retry: an acquire that meets its own, waiting, takes its place") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A"}));
  h.receive(client, acquire(2, {.owner = "B"}));
  h.receive(client, acquire(3, {.owner = "C"}));
  CHECK(h.receive(client, retry(acquire(2, {.owner = "B"}))) == "");
  CHECK(h.core.queued() == 2);
  h.done(release(4, "A"));
  CHECK(h.commit().starts_with("n9: answer 5#2 applied"));
  CHECK(h.answer.attempt() == 2);
}

TEST_CASE("retry: who waits long is granted the lock, though the record has forgotten all that came before") {
  touched_lock h{three_replicas()}; // the record keeps two outcomes
  h.done(acquire(1, {.owner = "A"}));
  auto patient = acquire(2, {.owner = "B"});
  to_wire(token(1), *patient.mutable_base());
  h.receive(client, patient);
  auto at = token(1);
  for (std::uint64_t n = 10; n < 16; ++n) {
    h.done(acquire(n, {.owner = "A"}));
    at = h.granted();
  }
  h.receive(client, retry(patient));
  auto given = release(20, "A", at);
  to_wire(at, *given.mutable_base());
  h.done(given);
  CHECK(h.commit() == "n9: answer 5#2 applied");
}

TEST_CASE("S1: a lock has no value, and a value is no lock") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A"}));
  for (int round = 0; round < 2; ++round) {
    CHECK(h.receive(client, put(2, "x", 1s, lock_key)) == "n9: answer 5#2 wrong_kind");
    auto o = operation(3, 1s, lock_key);
    o.mutable_add()->set_delta(1);
    CHECK(h.receive(client, o) == "n9: answer 5#3 wrong_kind");
    o = operation(4, 1s, lock_key);
    o.mutable_compare_and_set()->set_expect_absent(true);
    CHECK(h.receive(client, o) == "n9: answer 5#4 wrong_kind");
    o = operation(5, 1s, lock_key);
    o.mutable_remove();
    CHECK(h.receive(client, o) == "n9: answer 5#5 applied"); // there was nothing
    CHECK(h.receive(client, get(6, lock_key)) == "n9: answer 5#6 applied");
    h.done(release(static_cast<std::uint64_t>(10 + round), "A")); // a free lock is still one
  }
  CHECK(h.done(retry(put(20, "x", 1s, lock_key))) == "n9: answer 5#20 wrong_kind");
  CHECK(h.answer.settled());
  CHECK(h.proposed().has_lock());

  h.receive(client, put(30, "a value", 1s, "t:a"));
  h.touch("t:a");
  h.commit();
  CHECK(h.receive(client, acquire(31, {.owner = "A"}, "t:a")) == "n9: answer 5#31 wrong_kind");
}

TEST_CASE("S1: a refusal that is committed for a retry leaves a lock that is held alone") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A"}));
  h.done(retry(acquire(2, {.owner = "B", .wait = false})));
  CHECK(h.answer.result().lock_owner() == "A");
  CHECK(h.answer.settled());
  CHECK_FALSE(h.proposed().tombstone());
  CHECK(h.receive(client, renew(3, "A", token(1))) == "n9: answer 5#3 applied");
}

TEST_CASE("home: those who wait for a lock are turned away when it stops leading, for the next home") {
  touched_lock h;
  h.done(acquire(1, {.owner = "A"}));
  h.receive(client, acquire(2, {.owner = "B"}));
  const auto text = h.does([&](auto& out) { h.core.release(h.now, out); });
  CHECK(lock_home::answers_in(text) == "n9: not_home 5#2 no_home");
  CHECK(h.core.queued() == 0);
}

TEST_CASE("X1: who waits for locks leaves half of the queues to others, and nobody is in the way of a release") {
  auto o = with_memory(); // four of a key
  o.shard_queue_max = 6;
  touched_lock h{o};
  h.done(acquire(1, {.owner = "A"}));
  for (std::uint64_t n = 2; n <= 4; ++n)
    CHECK(h.receive(client, acquire(n, {.owner = "B" + std::to_string(n)})) == "");
  CHECK(h.receive(client, acquire(5, {.owner = "B5"})) == "n9: answer 5#5 overloaded");
  CHECK(h.receive(client, retry(acquire(6, {.owner = "B6"}))).starts_with("n9: not_home 5#6 no_home"));
  CHECK(h.receive(client, renew(7, "A", token(1))) == "n9: answer 5#7 applied");
  h.receive(client, release(8, "A", token(1)));
  CHECK(h.commit().starts_with("n9: answer 5#8 applied"));
  CHECK(h.commit().starts_with("n9: answer 5#2 applied"));
}

TEST_CASE("X1: of one lock no more wait than of one key") {
  auto o = with_memory();
  o.shard_queue_max = 100;
  touched_lock h{o};
  h.done(acquire(1, {.owner = "A"}));
  for (std::uint64_t n = 2; n <= 5; ++n)
    CHECK(h.receive(client, acquire(n, {.owner = "B" + std::to_string(n)})) == "");
  CHECK(h.receive(client, acquire(6, {.owner = "B6"})) == "n9: answer 5#6 overloaded");
}

TEST_CASE("X1: lock operations out of bounds are refused before anything is done") {
  touched_lock h;
  std::uint64_t n = 1;
  auto refused = [&](const v1::Operation& o, errc why = errc::invalid_argument) {
    const auto text = h.receive(client, o);
    return text == "n9: answer " + to_string(from_wire(o.id())) + " " + std::string{name_of(why)};
  };
  CHECK(refused(acquire(++n, {.owner = ""})));
  CHECK(refused(acquire(++n, {.owner = std::string(limits::lock_owner_bytes_max + 1, 'o')})));
  CHECK(refused(acquire(++n, {.owner = "A", .duration_ms = 0})));
  CHECK(refused(acquire(++n, {.owner = "A", .duration_ms = limits::lock_duration_max_ms + 1})));
  CHECK(refused(acquire(++n, {.owner = "A", .protects = {""}})));
  CHECK(refused(acquire(++n, {.owner = "A", .protects = std::vector<std::string>(65, "t:a")})));
  CHECK(refused(acquire(++n, {.owner = "A"}, "t:" + std::string(limits::lock_name_bytes_max - 1, 'k'))));
  CHECK(refused(release(++n, "")));
  CHECK(refused(renew(++n, "A", {})));
  CHECK(refused(raise(++n, {}, {"t:a"})));
  auto elsewhere = raise(++n, token(1), {"t:a"});
  elsewhere.set_key("t:a");
  CHECK(refused(elsewhere));
  CHECK(refused(under(token(1), get(++n))));
  CHECK(refused(under({}, put(++n, "x"))));
  CHECK(refused(put(++n, "x", 1s, floor_of_lock), errc::wrong_kind));
  CHECK(refused(acquire(++n, {.owner = "A"}, floor_of_lock), errc::wrong_kind));
  CHECK(h.core.keys() == 1);
}

TEST_CASE("X1: a lock has so many keys to fence, and so many owners, and no more") {
  v1::Record record;
  lock_terms terms;
  std::uint64_t n = 0;
  auto grant = [&](const std::string& owner, bool shared, std::size_t keys) {
    v1::AcquireLock w;
    w.set_owner(owner);
    w.set_shared(shared);
    w.set_duration_ms(1000);
    for (std::size_t k = 0; k < keys; ++k)
      w.add_protects("t:" + owner + "." + std::to_string(k));
    const auto step = acquire_lock(w, record, false, token(++n), false, terms, start);
    if (step.changed) terms.follow(record.lock(), false, start);
    return static_cast<errc>(step.result.error());
  };
  for (std::size_t i = 0; i < limits::lock_fenced_keys_max / limits::lock_protects_max; ++i) {
    const auto owner = "o" + std::to_string(i);
    REQUIRE(grant(owner, false, limits::lock_protects_max) == errc::none);
    v1::ReleaseLock given;
    given.set_owner(owner); // and fences nothing
    REQUIRE(release_lock(given, record).changed);
  }
  CHECK(grant("late", false, 1) == errc::overloaded);
  REQUIRE(grant("cleaner", false, 0) == errc::none);
  v1::ReleaseLock given;
  given.set_owner("cleaner");
  given.set_fenced(true);
  release_lock(given, record);
  CHECK(record.lock().fence_also_size() == 0);
  for (std::size_t i = 0; i < limits::lock_owners_max; ++i)
    REQUIRE(grant("s" + std::to_string(i), true, 0) == errc::none);
  CHECK(grant("one more", true, 0) == errc::overloaded);
}

TEST_CASE("named lock: the status shows what is held and waited for") {
  touched_lock h;
  CHECK(h.core.locks(h.now, 100).empty());
  h.done(acquire(1, {.owner = "A", .shared = true, .duration_ms = 300}));
  h.receive(client, acquire(2, {.owner = "W"}));
  h.later(100ms);
  const auto locks = h.core.locks(h.now, 100);
  REQUIRE(locks.size() == 1);
  CHECK(locks[0].key == lock_key);
  CHECK(locks[0].waiting == 1);
  REQUIRE(locks[0].owners.size() == 1);
  CHECK(locks[0].owners[0].owner == "A");
  CHECK(locks[0].owners[0].shared);
  CHECK(locks[0].owners[0].remaining == 200ms);
  CHECK(h.core.locks(h.now, 0).empty());
}
