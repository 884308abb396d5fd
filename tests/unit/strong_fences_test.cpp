// What a named lock fences: floors, and the writes that they let pass (PROTOCOLS §3.3, S4).
#include "tests/support/named_lock_script.hpp"

using namespace troupe;
using namespace troupe::script;

namespace {

/// A home where the floor of the lock was touched, and stands at token 5, for "t:a".
struct fenced_home : lock_home {
  explicit fenced_home(home_options o = three_replicas()) : lock_home{o} {
    receive(client, raise(900, token(5), {"t:a"}));
    touch(floor_of_lock);
    commit();
    touch("t:a");
  }
};

v1::Record valued(const std::string& value) {
  v1::Record r;
  r.set_value(value);
  return r;
}

v1::Record floor_at(const version& t, const std::vector<std::string>& keys) {
  v1::Record r;
  to_wire(t, *r.mutable_floor()->mutable_token());
  for (const auto& each : keys)
    r.mutable_floor()->add_keys(each);
  return r;
}

} // namespace

TEST_CASE("S4: a fence is answered when its floor is committed and every key was touched") {
  lock_home h;
  h.receive(client, raise(1, token(5), {"t:a"}, {"t:b"}));
  CHECK(h.touch(floor_of_lock).starts_with("n1: accept " + floor_of_lock + " 1/n1/1.1"));
  CHECK(h.commit().starts_with("n1: read t:a in 1/n1/1"));
  CHECK(h.touch("t:a") == "");
  CHECK(h.touch("t:b") == "n9: answer 5#1 applied");
  CHECK(h.answer.settled());
  CHECK(h.core.queued() == 0);
  CHECK(h.core.undecided() == 0); // nothing is looked after any more
  CHECK(h.receive(client, raise(2, token(5), {"t:a"})) == "n9: answer 5#2 applied"); // it stands there: nothing to do
  CHECK(h.receive(client, raise(3, token(4), {"t:a"})) == "n9: answer 5#3 lock_lost");
}

TEST_CASE("S4: the floor lets its own token pass, on its own keys alone") {
  fenced_home h;
  CHECK(h.receive(client, under(token(4), put(1, "old", 1s, "t:a"))) == "n9: answer 5#1 fenced");
  CHECK(h.receive(client, under(token(6), put(2, "new", 1s, "t:a"))) == "n9: answer 5#2 not_protected");
  h.receive(client, under(token(5), put(3, "x", 1s, "t:b")));
  CHECK(h.touch("t:b") == "n9: answer 5#3 not_protected");
  CHECK(h.done(under(token(5), put(4, "mine", 1s, "t:a"))) == "n9: answer 5#4 applied");
  CHECK(h.receive(client, get(6, "t:a")) == "n9: answer 5#6 applied value=mine");
}

TEST_CASE("S4: no token at all is let pass by a floor that was never raised") {
  lock_home h;
  CHECK(h.receive(client, under(token(5), put(1, "x", 1s, "t:a"))).starts_with("n1: read " + floor_of_lock));
  CHECK(h.touch(floor_of_lock).starts_with("n1: read t:a"));
  CHECK(h.touch("t:a") == "n9: answer 5#1 not_protected");
}

TEST_CASE("S4: nobody writes under a shared grant, and those who share do not fence each other") {
  lock_home h;
  h.receive(client, raise(1, token(5), {"t:a"}, {}, true));
  h.touch(floor_of_lock);
  h.commit();
  CHECK(h.touch("t:a") == "n9: answer 5#1 applied");
  CHECK(h.receive(client, under(token(5), put(2, "x", 1s, "t:a"))) == "n9: answer 5#2 fenced");
  CHECK(h.receive(client, raise(3, token(4), {"t:a"}, {}, true)) == "n9: answer 5#3 applied");
  CHECK(h.receive(client, raise(4, token(4), {"t:a"}, {}, false)) == "n9: answer 5#4 lock_lost");
  CHECK(h.done(raise(5, token(6), {"t:a"})) == "n9: answer 5#5 applied");
  CHECK(h.receive(client, raise(6, token(5), {"t:a"}, {}, true)) == "n9: answer 5#6 lock_lost");
}

TEST_CASE("S4: a fence waits for the older write that was undecided when its floor was committed") {
  fenced_home h;
  h.receive(client, under(token(5), put(1, "old", 1s, "t:a")));
  const auto write = h.accepts;
  h.receive(client, raise(2, token(6), {"t:a"}));
  CHECK(h.commit() == "");
  CHECK(h.receive(client, under(token(5), put(3, "too late", 1s, "t:a"))) == ""); // queued behind the first
  h.accepts = write;
  CHECK(h.commit() == "n9: answer 5#1 applied | n9: answer 5#2 applied | n9: answer 5#3 fenced");
}

TEST_CASE("S4: a fence waits until the older write is undone, not only given up") {
  fenced_home h;
  auto w = under(token(5), put(1, "old", 150ms, "t:a"));
  w.set_roll_back(true);
  h.receive(client, w);
  h.receive(client, raise(2, token(6), {"t:a"}));
  h.commit();
  CHECK(h.later(200ms) == "");
  CHECK(h.accepts[n2].key() == "t:a"); // the previous value, under a higher version
  CHECK(h.commit() == "n9: answer 5#1 rolled_back | n9: answer 5#2 applied");
}

TEST_CASE("S4: a write that waited for its turn is judged by the floor of that moment") {
  fenced_home h;
  h.receive(client, put(1, "first", 1s, "t:a"));
  const auto write = h.accepts;
  h.receive(client, under(token(5), put(2, "old", 1s, "t:a")));
  h.receive(client, raise(3, token(6), {"t:a"}));
  h.commit();
  h.accepts = write;
  CHECK(h.commit() == "n9: answer 5#1 applied | n9: answer 5#3 applied | n9: answer 5#2 fenced");
}

TEST_CASE("S4: after a fail-over a settled fence is answered only when its keys were touched there, too") {
  lock_home h;
  const version before{{1, n1, {0}}, 3};
  auto record = floor_at(token(5), {"t:a"});
  auto& s = *record.add_settled();
  s.mutable_id()->set_session(5);
  s.mutable_id()->set_number(1);
  s.mutable_result()->set_applied(true);
  to_wire(before, *s.mutable_version());
  h.receive(client, retry(raise(1, token(5), {"t:a"})));
  CHECK(h.touch(floor_of_lock, before, record).starts_with("n1: read t:a"));
  // The half-finished write of the dead home is finished, and then the fence is answered.
  const version half{{1, n1, {0}}, 9};
  h.latest_of("t:a", n1);
  h.latest_of("t:a", n2, {half.era}, half, valued("half"));
  CHECK(h.latest_of("t:a", n3).starts_with("n1: accept t:a"));
  CHECK(h.commit() == "n9: answer 5#1 applied");
  CHECK(h.answer.settled());
  CHECK(h.receive(client, get(2, "t:a")) == "n9: answer 5#2 applied value=half");
}

TEST_CASE("S4: a fence whose raising was undone leaves the floor as it was") {
  fenced_home h;
  auto o = raise(1, token(6), {"t:a"});
  o.set_roll_back(true);
  o.set_budget_us(100'000);
  h.receive(client, o);
  h.later(150ms);
  CHECK(from_wire(h.proposed().floor().token()) == token(5));
  CHECK(h.commit() == "n9: answer 5#1 rolled_back");
  CHECK(h.done(under(token(5), put(2, "mine", 1s, "t:a"))) == "n9: answer 5#2 applied");
}

TEST_CASE("S4: a write under a lock waits for the touch of its floor, in its deadline") {
  lock_home h;
  h.receive(client, under(token(5), put(1, "a", 100ms, "t:a")));
  h.receive(client, retry(under(token(5), put(2, "b", 100ms, "t:a"))));
  h.receive(client, retry(under(token(5), put(2, "b", 100ms, "t:a")))); // takes its place
  CHECK(h.core.queued() == 2);
  CHECK(h.later(150ms) == "n9: answer 5#1 expired | n9: answer 5#2 timeout");
  CHECK(h.core.queued() == 0);
}

TEST_CASE("S4: a refusal that is committed for a retry is found by the attempt that it repeats") {
  fenced_home h;
  CHECK(h.done(retry(under(token(4), put(1, "old", 1s, "t:a")))) == "n9: answer 5#1 fenced");
  CHECK(h.answer.settled());
  CHECK(h.receive(client, under(token(5), put(1, "old", 1s, "t:a"))) == "n9: answer 5#1 fenced");
}

TEST_CASE("retry: a fence that meets its own, waiting for its keys, takes its place") {
  lock_home h;
  h.receive(client, raise(1, token(5), {"t:a"}));
  h.touch(floor_of_lock);
  h.commit();
  h.receive(client, retry(raise(1, token(5), {"t:a"})));
  CHECK(h.core.queued() == 1);
  CHECK(h.touch("t:a") == "n9: answer 5#1 applied");
  CHECK(h.answer.attempt() == 2);
}

TEST_CASE("deadline: of a fence whose keys cannot be touched nobody can say anything") {
  lock_home h;
  auto o = raise(1, token(5), {"t:a"});
  o.set_budget_us(500'000);
  h.receive(client, o);
  h.touch(floor_of_lock);
  h.commit();
  CHECK(h.later(600ms) == "n9: answer 5#1 timeout");
  CHECK(h.core.queued() == 0);
  CHECK(h.later(1s) == "");
  CHECK(h.core.undecided() == 0);
}

TEST_CASE("touch: a fence asks again for a key whose touch came to nothing") {
  lock_home h;
  h.receive(client, raise(1, token(5), {"t:a"}));
  h.touch(floor_of_lock);
  h.commit();
  h.later(500ms); // more than a lease
  CHECK(h.core.undecided() == 1);
  CHECK(h.touch("t:a") == "n9: answer 5#1 applied");
}

TEST_CASE("home: fences that wait for their keys are interrupted when it stops leading") {
  lock_home h;
  h.receive(client, raise(1, token(5), {"t:a"}));
  h.touch(floor_of_lock);
  h.commit();
  const auto text = h.does([&](auto& out) { h.core.release(h.now, out); });
  CHECK(lock_home::answers_in(text) == "n9: not_home 5#1 interrupted");
}

TEST_CASE("memory: a home that keeps nothing admits a write under a lock all the same") {
  auto o = three_replicas();
  o.bytes_max = 0;
  lock_home h{o};
  h.receive(client, under(token(5), put(1, "a", 1s, "t:a")));
  const version before{{1, n1, {0}}, 3};
  h.touch(floor_of_lock, before, floor_at(token(5), {"t:a"}));
  h.later(50ms);
  CHECK(h.core.keys() == 2); // the floor stays for the write
  h.touch("t:a");
  CHECK(h.commit() == "n9: answer 5#1 applied");
  h.later(50ms);
  CHECK(h.core.keys() == 0);
}

TEST_CASE("X1: a fence of many keys touches as many at once as there is room for") {
  lock_home h; // eight of the shard
  std::vector<std::string> keys;
  for (int k = 0; k < 20; ++k)
    keys.push_back("t:" + std::string(1, static_cast<char>('a' + k)));
  h.receive(client, raise(1, token(5), keys));
  h.touch(floor_of_lock);
  h.commit();
  CHECK(h.core.undecided() <= 9);
  std::string answered;
  for (int round = 0; round < 5 && answered.empty(); ++round) {
    for (const auto& each : keys)
      answered += h.touch(each);
    answered += h.later(200ms);
  }
  CHECK(answered == "n9: answer 5#1 applied");
}
