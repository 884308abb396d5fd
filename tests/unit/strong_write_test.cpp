// How a home decides writes: conditions, doubt, retries, bounds (PROTOCOLS §3.4, §3.5).
#include "tests/support/strong_home_script.hpp"

using namespace troupe;
using namespace troupe::script;

namespace {

const std::string accepts_1 = "n1: accept t:k 1/n1/1.1 in 1/n1/1 | n2: accept t:k 1/n1/1.1 in 1/n1/1 | "
                              "n3: accept t:k 1/n1/1.1 in 1/n1/1";

/// A home that leads and has touched "t:k", which was never written.
struct ready_home : scripted_home {
  explicit ready_home(home_options o = three_replicas()) : scripted_home{o} {
    lead();
    receive(client, get(1000));
    touch_empty();
  }
  /// Commits what is proposed; returns the answers.
  std::string commit() {
    CHECK(accept(n1) == "");
    return accept(n2);
  }
  /// Keeps the lease while time passes.
  std::string later(nanoseconds much) {
    std::string all;
    for (auto end = now + much; now < end;) {
      const auto text = tick(std::min<nanoseconds>(end - now, 50ms));
      if (text.find("n9") != std::string::npos) all += text.substr(text.find("n9"));
      renew_all();
    }
    return all;
  }
};

} // namespace

TEST_CASE("write: it is answered when a majority has stored it, and until then everybody sees the old value") {
  ready_home h;
  CHECK(h.receive(client, put(1, "a")) == accepts_1);
  CHECK(h.accept(n3) == "");
  CHECK(h.accept(n3) == ""); // one replica counts once
  CHECK(h.receive(client, get(2)) == "n9: answer 5#2 applied");
  CHECK(h.accept(n2) == "n9: answer 5#1 applied");
  CHECK(h.receive(client, get(3)) == "n9: answer 5#3 applied value=a");
}

TEST_CASE("write: conditions that do not hold are refused without a round trip") {
  ready_home h;
  CHECK(h.receive(client, cas(1, "x", "y")) == "n9: answer 5#1 refused");
  CHECK(h.receive(client, add(2, -1, 0)) == "n9: answer 5#2 refused");
  CHECK_FALSE(h.answer.settled()); // no record remembers it
}

TEST_CASE("write: waiting writes of a hot key take effect in order, as one version, and each is answered") {
  ready_home h;
  h.receive(client, add(1, 5, 0));
  h.receive(client, add(2, -3, 0));
  h.receive(client, add(3, -3, 0));
  h.receive(client, add(4, 1, 0));
  CHECK(
      h.commit()
      == "n9: answer 5#1 applied number=5 | n1: accept t:k 1/n1/1.2 in 1/n1/1 | n2: accept t:k 1/n1/1.2 in 1/n1/1 | "
         "n3: accept t:k 1/n1/1.2 in 1/n1/1");
  CHECK(h.proposed().value() == "3");
  CHECK(h.commit()
        == "n9: answer 5#2 applied number=2 | n9: answer 5#3 refused number=2 | n9: answer 5#4 applied number=3");
}

TEST_CASE("write: an unanswered Accept is sent again under a new number, to those that have not answered") {
  ready_home h;
  h.receive(client, put(1, "a"));
  const auto number = h.accepts[n2].number();
  h.accept(n1);
  CHECK(h.tick(100ms).find("n2: accept t:k 1/n1/1.1 in 1/n1/1 | n3: accept t:k 1/n1/1.1 in 1/n1/1")
        != std::string::npos);
  CHECK(h.accepts[n2].number() > number);
}

TEST_CASE("doubt: at the deadline an undecided write is unknown, and the home goes on with it") {
  ready_home h;
  h.receive(client, put(1, "a", 150ms));
  h.receive(client, put(2, "b", 2s));
  CHECK(h.later(200ms).starts_with("n9: answer 5#1 timeout"));
  CHECK(h.receive(client, get(3)) == "n9: answer 5#3 applied"); // not before it is decided
  CHECK(h.commit().starts_with("n1: accept t:k 1/n1/1.2"));     // now the write behind it
  CHECK(h.proposed().value() == "b");
  CHECK(h.receive(client, retry(put(1, "a"))) == "");
  CHECK(h.commit().find("answer 5#1 applied") != std::string::npos); // the retry finds what it did
}

TEST_CASE("doubt: rollback commits the previous value, and only then says rolled back") {
  ready_home h;
  h.receive(client, put(1, "old"));
  h.commit();
  auto w = put(2, "new", 150ms);
  w.set_roll_back(true);
  h.receive(client, w);
  const auto undone = h.accepts;
  CHECK(h.later(200ms) == "");
  CHECK(from_wire(h.accepts[n2].version()) == version{{1, n1, {1}}, 3});
  CHECK(h.proposed().value() == "old");
  std::swap(h.accepts[n1], const_cast<v1::Accept&>(undone.at(n1)));
  CHECK(h.accept(n1) == ""); // a late acceptance of what is being undone counts for nothing
  std::swap(h.accepts[n1], const_cast<v1::Accept&>(undone.at(n1)));
  CHECK(h.commit() == "n9: answer 5#2 rolled_back");
  CHECK(h.answer.settled());
  CHECK(h.receive(client, retry(w)) == "n9: answer 5#2 rolled_back");
  CHECK(h.receive(client, get(3)) == "n9: answer 5#3 applied value=old");
}

TEST_CASE("doubt: undoing the first write of a key leaves it absent") {
  ready_home h;
  auto w = put(1, "new", 150ms);
  w.set_roll_back(true);
  h.receive(client, w);
  h.later(200ms);
  CHECK(h.commit() == "n9: answer 5#1 rolled_back");
  CHECK(h.receive(client, get(2)) == "n9: answer 5#2 applied");
}

TEST_CASE("deadline: what only waited was not done, but of a retry nobody can say so") {
  ready_home h;
  h.receive(client, put(1, "a", 3s));
  h.receive(client, put(2, "b", 100ms));
  h.receive(client, retry(put(3, "c", 100ms)));
  CHECK(h.later(150ms).starts_with("n9: answer 5#2 expired | n9: answer 5#3 timeout"));
}

TEST_CASE("retry: one that meets the running attempt takes its place, and is executed once") {
  ready_home h;
  h.receive(client, add(1, 1, 0));
  CHECK(h.receive(client, retry(add(1, 1, 0))) == "");
  CHECK(h.commit() == "n9: answer 5#1 applied number=1");
  CHECK(h.answer.attempt() == 2);
  CHECK(h.receive(client, retry(add(1, 1, 0))) == "n9: answer 5#1 applied number=1");
}

TEST_CASE("retry: after a fail-over the record tells what the first attempt did") {
  scripted_home h;
  h.lead();
  h.receive(client, retry(add(1, 5, 0)));
  v1::Record r;
  r.set_value("5");
  auto& s = *r.add_settled();
  s.mutable_id()->set_session(5);
  s.mutable_id()->set_number(1);
  s.mutable_result()->set_applied(true);
  s.mutable_result()->set_number(5);
  const version v{{1, n2, {1}}, 4};
  h.latest(n1, v.era, v, r);
  h.latest(n2, v.era, v, r);
  CHECK(h.latest(n3, v.era, v, r) == "n9: answer 5#1 applied number=5");
}

TEST_CASE("retry: its refusal is committed, so that no earlier attempt can still be executed") {
  ready_home h;
  CHECK(h.receive(client, retry(cas(1, "x", "y"))) == accepts_1);
  CHECK(h.commit() == "n9: answer 5#1 refused");
  CHECK(h.answer.settled());
  CHECK(h.receive(client, get(2)) == "n9: answer 5#2 applied"); // a refusal does not make the key exist
  h.receive(client, put(3, "x"));
  h.commit();
  CHECK(h.receive(client, cas(1, "x", "y")) == "n9: answer 5#1 refused"); // the earlier attempt, late
}

TEST_CASE("retry: a refused remove of an absent key leaves it absent, and an add after it counts from 0") {
  ready_home h;
  auto remove = operation(1);
  remove.mutable_remove();
  h.receive(client, retry(remove));
  h.commit();
  h.receive(client, add(2, 7, 0));
  CHECK(h.commit() == "n9: answer 5#2 applied number=7");
}

TEST_CASE("retry: what the record may have forgotten is never executed") {
  ready_home h; // it remembers two outcomes
  for (std::uint64_t n = 1; n <= 4; ++n) {
    auto w = put(n, "a");
    to_wire(version{{1, n1, {1}}, n - 1}, *w.mutable_base());
    h.receive(client, w);
    h.commit();
  }
  CHECK(h.receive(client, retry(put(1, "a"))) == "n9: answer 5#1 forgotten");
  CHECK(h.receive(client, put(9, "b")) == "n9: not_home 5#9 stale_base hint=n1"); // a first attempt begins again
  auto fresh = put(9, "b");
  to_wire(version{{1, n1, {1}}, 4}, *fresh.mutable_base());
  CHECK(h.receive(client, fresh).starts_with("n1: accept t:k 1/n1/1.5"));
}

TEST_CASE("damage: a replica that abstains from an Accept is sent one that quotes the abstention") {
  ready_home h;
  h.receive(client, put(1, "a"));
  const auto number = h.accepts[n2].number();
  CHECK(h.abstain(n2, number) == "n2: accept t:k 1/n1/1.1 in 1/n1/1 repairs");
  CHECK(h.accepts[n2].repairs() == number);
  CHECK(h.commit() == "n9: answer 5#1 applied");
}

TEST_CASE("bounds: a full queue of a key is overload, and a retry is sent away without a lie") {
  ready_home h; // four may wait for a key
  for (std::uint64_t n = 1; n <= 5; ++n)
    h.receive(client, put(n, "a"));
  CHECK(h.core.queued() == 4);
  CHECK(h.receive(client, put(6, "a")) == "n9: answer 5#6 overloaded");
  CHECK(h.receive(client, retry(put(7, "a"))) == "n9: not_home 5#7 no_home hint=n1");
  CHECK(h.receive(client, get(8)) == "n9: answer 5#8 applied"); // it need not wait
}

TEST_CASE("bounds: keys under way are bounded, also those in doubt that nobody waits for") {
  ready_home h; // eight
  for (std::uint64_t n = 1; n <= 50; ++n) {
    const auto key = "t:" + std::to_string(n);
    h.receive(client, put(n, "a", 20ms, key));
    for (auto r : {n1, n2, n3})
      if (h.questions[r].key() == key) h.latest(r); // touched; but no Accept is ever answered
    h.later(30ms);
  }
  CHECK(h.core.undecided() == 8);
  CHECK(h.core.keys() <= 9);
  CHECK(h.receive(client, put(99, "a", 1s, "t:another")) == "n9: answer 5#99 overloaded");
  CHECK(h.receive(client, get(100)) == "n9: answer 5#100 applied"); // what is known is served
}

TEST_CASE("bounds: an operation that is refused for overload leaves nothing behind") {
  home_options o = three_replicas();
  o.shard_queue_max = 1;
  ready_home h{o};
  h.receive(client, put(1, "a", 1s, "t:other"));
  const auto keys = h.core.keys();
  CHECK(h.receive(client, put(2, "a", 1s, "t:third")) == "n9: answer 5#2 overloaded");
  CHECK(h.core.keys() == keys);
}

TEST_CASE("bounds, X1: what is undecided counts by what it holds, until it has committed") {
  home_options o = three_replicas();
  o.shard_queue_bytes_max = 60'000;
  ready_home h{o};
  const std::string large(40'000, 'v');
  h.receive(client, put(1, large));
  CHECK(h.receive(client, put(2, large, 1s, "t:other")) == "n9: answer 5#2 overloaded");
  CHECK(h.receive(client, put(3, "a", 1s, "t:other")).starts_with("n1: read t:other"));
  CHECK(h.later(100ms) == "");
  CHECK(h.receive(client, put(4, large, 1s, "t:third")) == "n9: answer 5#4 overloaded");
  CHECK(h.commit().starts_with("n9: answer 5#1 applied"));
  CHECK(h.receive(client, put(5, large, 1s, "t:third")).starts_with("n1: read t:third"));
}

TEST_CASE("bounds, X1: a write in doubt counts though its caller is gone, and so does what undoes it") {
  home_options o = three_replicas();
  o.shard_queue_bytes_max = 60'000;
  for (const bool roll_back : {false, true}) {
    ready_home h{o};
    h.receive(client, put(1, std::string(40'000, 'u')));
    h.commit();
    auto w = put(2, std::string(40'000, 'v'), 50ms);
    w.set_roll_back(roll_back);
    h.receive(client, w);
    h.later(100ms);
    CHECK(h.core.in_doubt() == (roll_back ? 0 : 1));
    CHECK(h.receive(client, put(3, std::string(40'000, 'w'))) == "n9: answer 5#3 overloaded");
    h.commit();
    CHECK(h.receive(client, put(4, std::string(40'000, 'w'))).starts_with("n1: accept"));
  }
}

TEST_CASE("bounds, X1: one operation always may, however large") {
  home_options o = three_replicas();
  o.shard_queue_bytes_max = 100;
  ready_home h{o};
  for (std::uint64_t n = 1; n <= 3; ++n) {
    CHECK(h.receive(client, put(n, std::string(1'000, 'v'))).starts_with("n1: accept"));
    h.commit();
  }
}

TEST_CASE("bounds, X1: who comes while the home claims is bounded by bytes, too") {
  home_options o = three_replicas();
  o.shard_queue_bytes_max = 100'000;
  scripted_home h{o};
  CHECK(h.receive(client, put(1, std::string(60'000, 'v'))) == "");
  CHECK(h.receive(client, put(2, std::string(60'000, 'v'))) == "n9: not_home 5#2 no_home");
  h.tick(200ms); // nobody grants: those who waited are turned away
  h.now = h.core.wake_at();
  h.tick();
  CHECK(h.receive(client, put(3, std::string(60'000, 'v'))) == "");
  h.lead();
  CHECK(h.receive(client, put(4, std::string(60'000, 'v'))) == "n9: answer 5#4 overloaded");
}

TEST_CASE("bounds, X1: a record weighs what it holds, the values that its refusals quote included") {
  home_options o = three_replicas();
  o.bytes_max = 5'000;
  o.settled_kept = 8;
  ready_home h{o};
  h.receive(client, put(1, std::string(1'000, 'v')));
  h.commit();
  for (std::uint64_t n = 2; n <= 9; ++n) {
    h.receive(client, retry(cas(n, "x", "y")));
    CHECK(h.commit().find("refused") != std::string::npos);
    if (h.core.keys() == 0) break; // forgotten
  }
  CHECK(h.core.keys() == 0);
}

TEST_CASE("bounds: a touch that no majority answers is given up when nobody waits for it any more") {
  scripted_home h;
  h.lead();
  h.receive(client, put(1, "a", 50ms));
  CHECK(h.core.keys() == 1);
  for (int i = 0; i < 12; ++i) {
    h.tick(50ms);
    h.renew_all();
  }
  CHECK(h.core.keys() == 0);
  CHECK(h.core.undecided() == 0);
}

TEST_CASE("bounds: X1: the answers of one step carry no more values than allowed; who is left is answered next") {
  auto o = three_replicas();
  o.answers_bytes_max = 150;
  o.shard_queue_max = o.key_queue_max = 16;
  scripted_home h{o};
  h.lead();
  const std::string value(100, 'v');
  v1::Record found;
  found.set_value(value);
  const version first{.era = {1, n1, {1}}, .counter = 1};
  auto answers = [](const std::string& text) {
    std::size_t n = 0;
    for (auto at = text.find("n9: answer"); at != std::string::npos; at = text.find("n9: answer", at + 1))
      ++n;
    return n;
  };
  auto touch = [&] {
    h.latest(n1, h.core.era(), first, found);
    h.latest(n2, h.core.era(), first, found);
    return h.latest(n3, h.core.era(), first, found);
  };
  SUBCASE("reads, and a write that waits with them is decided after the last") {
    for (std::uint64_t n = 1; n <= 5; ++n)
      h.receive(client, get(n));
    h.receive(client, put(6, "b"));
    CHECK(answers(touch()) == 2);
    CHECK(h.core.wake_at() == h.now + 1ms);
    CHECK(answers(h.receive(client, get(7))) == 1); // a step of its own
    const auto more = h.tick(1ms);
    CHECK(answers(more) == 2);
    CHECK(more.find("accept") == std::string::npos);
    const auto last = h.tick(1ms);
    CHECK(answers(last) == 1);
    CHECK(last.find("n1: accept t:k 1/n1/1.1") != std::string::npos);
  }
  SUBCASE("refused compare_and_sets, which quote the value") {
    for (std::uint64_t n = 1; n <= 5; ++n)
      h.receive(client, cas(n, "another", "b"));
    CHECK(answers(touch()) == 2);
    CHECK(answers(h.tick(1ms)) == 2);
    CHECK(answers(h.tick(1ms)) == 1);
    CHECK(h.core.queued() == 0);
  }
  SUBCASE("requests for read locks, whose grants carry a copy") {
    v1::LockRequest r;
    r.set_shard(shard.value);
    r.set_generation(1);
    r.set_key("t:k");
    r.set_budget_us(1'000'000);
    for (std::uint64_t n = 1; n <= 3; ++n) {
      r.set_number(n);
      h.receive({8}, r);
    }
    CHECK(touch().ends_with("n8: lock_granted #3 t:k 1/n1/1.1 '" + value + "'"));
    CHECK(h.tick(1ms) == "n8: lock_granted #4 t:k 1/n1/1.1 '" + value + "'");
  }
}

TEST_CASE("time: whatever is under way, the next tick is later than now") {
  ready_home h;
  auto w = put(1, "a", 120ms);
  w.set_roll_back(true);
  h.receive(client, w);
  h.receive(client, put(2, "b", 170ms));
  h.receive(client, retry(w));
  h.receive(client, put(3, "c", 1s, "t:other"));
  h.latest(n1);
  h.latest(n2);
  int rings = 0;
  for (int i = 0; i < 200 && h.core.state() == home::role::leading; ++i) {
    if (h.core.wake_at() > h.now) {
      h.now = h.core.wake_at();
      rings = 0;
    }
    REQUIRE(++rings <= 2);
    h.tick();
    if (i < 100) h.renew_all();
  }
  CHECK(h.core.state() != home::role::leading);
}
