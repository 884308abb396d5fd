/// Named locks through the public API: three members in this process, and owners on different ones.
#include <troupe/runtime.hpp>

#include "actors/node_clock.hpp"
#include "tests/actors/three_nodes.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

struct shop {
  three_nodes cluster;
  std::vector<runtime> members = cluster.start_members();
  session a = members[0].open_session();
  session b = members[1].open_session();
  session c = members[2].open_session();
};

const std::vector<key_name> stock{{"inventory", "1"}, {"inventory", "2"}, {"inventory", "3"}};

} // namespace

TEST_CASE("named lock S5: one owner at a time, and who waits is next") {
  shop s;
  auto mine = value_of(s.a.lock("inventory", "order", {.ttl = 30s}));
  CHECK(mine.type() == "inventory");
  CHECK(mine.key() == "order");
  CHECK(mine.remaining() > 25s);
  CHECK(mine.remaining() < 30s);
  CHECK_FALSE(value_of(s.b.try_lock("inventory", "order", {.ttl = 30s})));
  CHECK_FALSE(s.c.lock("inventory", "order", {.ttl = 30s, .deadline = 100ms}));

  auto waiting = s.b.async().lock("inventory", "order", {.ttl = 30s, .deadline = 20s});
  CHECK(waiting.wait_for(300ms) == std::future_status::timeout);
  const auto first = mine.token();
  CHECK(mine.release());
  CHECK(mine.remaining() == 0ns);
  CHECK(error_of(mine.release().map([] { return true; })) == errc::lock_lost);
  CHECK(error_of(mine.renew()) == errc::lock_lost);
  auto theirs = value_of(waiting.get());
  CHECK(first < theirs.token());
  CHECK(theirs.owner() != mine.owner());
}

TEST_CASE("named lock: whoever waited in vain is told for certain that it was not granted, however often it was "
          "asked for") {
  shop s;
  const auto mine = value_of(s.a.lock("inventory", "order", {.ttl = 1h}));
  CHECK(error_of(s.b.lock("inventory", "order", {.deadline = 150ms})) == errc::expired);
  CHECK(error_of(s.c.lock("inventory", "order", {.deadline = 1'500ms})) == errc::expired); // several attempts
}

TEST_CASE("named lock: a token is spelled as HTTP spells it") {
  CHECK(to_string(key_version{7, 2, 1, 42}) == "7.2.1.42");
}

TEST_CASE("named lock: destroyed, it is given back") {
  shop s;
  std::optional<key_version> first;
  {
    const auto mine = value_of(s.a.lock("inventory", "order", {.ttl = 1h}));
    first = mine.token();
    auto moved_from = value_of(s.a.lock("inventory", "other", {.ttl = 1h}));
    auto moved_to = std::move(moved_from);
    moved_to = value_of(s.a.lock("inventory", "third", {.ttl = 1h}));
    CHECK(value_of(s.b.lock("inventory", "other")).remaining() > 0ns);
  }
  CHECK(*first < value_of(s.b.lock("inventory", "order")).token());
  CHECK(value_of(s.b.lock("inventory", "third")).remaining() > 0ns);
}

TEST_CASE("named lock S5: after its time it is somebody else's, and its owner is told before anything is sent") {
  shop s;
  auto slow = value_of(s.a.lock("inventory", "order", {.ttl = 300ms, .protects = stock}));
  REQUIRE(s.a.put("inventory", "1", "5", {.under = slow.fence()}));
  auto next = value_of(s.b.lock("inventory", "order", {.ttl = 30s, .deadline = 20s})); // waits until then
  CHECK(slow.remaining() == 0ns);
  CHECK(error_of(s.a.put("inventory", "1", "late", {.under = slow.fence()})) == errc::lock_lost);
  CHECK(error_of(s.a.add("inventory", "1", 1, {.under = slow.fence()})) == errc::lock_lost);
  CHECK(error_of(slow.renew()) == errc::lock_lost);
  CHECK(error_of(slow.release().map([] { return true; })) == errc::lock_lost);
  CHECK(next.remaining() > 0ns); // none of that was the next owner's
  CHECK(value_of(s.c.get("inventory", "1"))->value == "5");
}

TEST_CASE("named lock: a renewal restarts the time") {
  shop s;
  auto mine = value_of(s.a.lock("inventory", "order", {.ttl = 1s}));
  const auto token = mine.token();
  for (int i = 0; i < 6; ++i) {
    CHECK_FALSE(value_of(s.b.try_lock("inventory", "order")));
    auto waited = s.b.async().lock("inventory", "order", {.deadline = 400ms}); // what passes the time
    static_cast<void>(waited.get());
    CHECK(value_of(mine.renew()) > 500ms);
  }
  CHECK(mine.token() == token);
}

TEST_CASE("named lock S4: a write passes under the newest grant only, and to protected keys only") {
  shop s;
  auto old = value_of(s.a.lock("inventory", "order", {.ttl = 1h, .protects = stock, .owner = "batch"}));
  for (const auto& key : stock)
    REQUIRE(s.a.put(key.type, key.key, "old", {.under = old.fence()}));
  CHECK(error_of(s.a.put("inventory", "4", "x", {.under = old.fence()})) == errc::not_protected);
  // The same owner, started anew: its former grant is worth nothing from now on.
  auto fresh = value_of(s.b.lock("inventory", "order", {.ttl = 1h, .protects = {stock[0]}, .owner = "batch"}));
  CHECK(old.token() < fresh.token());
  for (const auto& key : stock)
    CHECK(error_of(s.a.put(key.type, key.key, "late", {.under = old.fence()})) == errc::fenced);
  CHECK(error_of(s.a.remove("inventory", "2", {.under = old.fence()})) == errc::fenced);
  CHECK(s.b.put("inventory", "1", "new", {.under = fresh.fence()}));
  CHECK(error_of(s.b.put("inventory", "2", "new", {.under = fresh.fence()})) == errc::not_protected);
  CHECK(value_of(s.c.get("inventory", "1"))->value == "new");
  CHECK(value_of(s.c.get("inventory", "2"))->value == "old");
  CHECK(s.c.put("inventory", "2", "anybody's")); // without a lock whoever wants to may write

  CHECK(fresh.release());
  auto reader = value_of(s.c.lock("inventory", "order", {.mode = lock_mode::shared, .protects = stock}));
  CHECK(error_of(s.c.put("inventory", "1", "x", {.under = reader.fence()})) == errc::fenced);
}

TEST_CASE("named lock: readers share it, and a writer who waits is not overtaken") {
  shop s;
  const lock_options shared{.ttl = 1h, .mode = lock_mode::shared, .deadline = 20s};
  auto one = value_of(s.a.lock("inventory", "page", shared));
  auto two = value_of(s.b.lock("inventory", "page", shared));
  auto writer = s.c.async().lock("inventory", "page", {.ttl = 1h, .deadline = 20s});
  CHECK(writer.wait_for(300ms) == std::future_status::timeout);
  auto late = s.a.async().lock("inventory", "page", shared);
  CHECK_FALSE(value_of(s.b.try_lock("inventory", "page", shared)));
  CHECK(one.release());
  CHECK(writer.wait_for(100ms) == std::future_status::timeout);
  CHECK(two.release());
  auto written = value_of(writer.get());
  CHECK(late.wait_for(100ms) == std::future_status::timeout);
  CHECK(written.release());
  CHECK(value_of(late.get()).remaining() > 0ns);
}

TEST_CASE("named lock: many at once, in one order, all or none") {
  shop s;
  const std::vector<key_name> forth{{"inventory", "x"}, {"inventory", "y"}, {"inventory", "z"}};
  const std::vector<key_name> back{forth[2], forth[1], forth[0]};
  std::atomic<int> inside{0}, most{0};
  auto work = [&](session& who, const std::vector<key_name>& names) {
    for (int i = 0; i < 20; ++i) {
      auto all = value_of(who.lock_many(names, {.ttl = 1h, .deadline = 30s}));
      CHECK(all.size() == 3);
      most = std::max(most.load(), ++inside);
      --inside;
    }
  };
  std::thread other{[&] { work(s.b, back); }};
  work(s.a, forth);
  other.join();
  CHECK(most == 1);

  auto blocked = value_of(s.c.lock("inventory", "y", {.ttl = 1h}));
  CHECK_FALSE(s.a.lock_many(forth, {.deadline = 200ms}));
  CHECK(value_of(s.b.lock("inventory", "x", {.deadline = 10s})).remaining() > 0ns); // given back
  CHECK(error_of(s.a.lock_many({})) == errc::invalid_argument);
  CHECK(error_of(s.a.lock_many({forth[0], forth[0]})) == errc::invalid_argument);
}

TEST_CASE("named lock: of many at once, none is nearly over when the last has been waited for, or there are none") {
  shop s;
  const std::vector<key_name> names{{"inventory", "x"}, {"inventory", "y"}, {"inventory", "z"}};
  const boot_clock clock;
  auto blocked = value_of(s.c.lock("inventory", "z", {.ttl = 1h}));
  auto patient = s.a.async().lock_many(names, {.ttl = 3s, .deadline = 30s});
  CHECK(patient.wait_for(1'200ms) == std::future_status::timeout);
  const auto released = clock.now();
  CHECK(blocked.release());
  auto all = value_of(patient.get());
  for (const auto& lock : all) {
    const auto left = lock.remaining();
    CHECK(left + (clock.now() - released) > 2'900ms);
  }
  all.clear();

  blocked = value_of(s.c.lock("inventory", "z", {.ttl = 1h, .deadline = 20s}));
  auto late = s.a.async().lock_many(names, {.ttl = 300ms, .deadline = 30s});
  CHECK(late.wait_for(600ms) == std::future_status::timeout);
  CHECK(blocked.release());
  CHECK(error_of(late.get()) == errc::lock_lost);
  for (const auto& name : names)
    CHECK(value_of(s.b.lock(name.type, name.key, {.deadline = 20s})).remaining() > 0ns);
}

TEST_CASE("named lock: a key is a lock or a value") {
  shop s;
  REQUIRE(s.a.put("inventory", "value", "5"));
  CHECK(error_of(s.a.lock("inventory", "value")) == errc::wrong_kind);
  static_cast<void>(value_of(s.a.lock("inventory", "order")));
  for (auto* who : {&s.a, &s.b}) {
    CHECK_FALSE(value_of(who->get("inventory", "order")));
    CHECK(error_of(who->put("inventory", "order", "5")) == errc::wrong_kind);
    CHECK(error_of(who->add("inventory", "order", 5)) == errc::wrong_kind);
    CHECK(error_of(who->compare_and_set("inventory", "order", {std::nullopt, "5"})) == errc::wrong_kind);
    CHECK_FALSE(value_of(who->remove("inventory", "order")).existed);
  }
  CHECK(value_of(s.b.lock("inventory", "order", {.deadline = 10s})).remaining() > 0ns);
}

TEST_CASE("named lock: what is asked for wrongly is refused by name") {
  shop s;
  CHECK(error_of(s.a.lock("inventory", "l", {.ttl = 0ms})) == errc::invalid_argument);
  CHECK(error_of(s.a.lock("inventory", "l", {.ttl = 2h})) == errc::invalid_argument);
  CHECK(error_of(s.a.lock("nothing", "l")) == errc::unknown_type);
  CHECK(error_of(s.a.lock("drafts", "l")) == errc::unsupported_operation);
  CHECK(error_of(s.a.lock("inventory", "")) == errc::key_too_long);
  CHECK(error_of(s.a.lock("inventory", std::string(1010, 'l'))) == errc::key_too_long); // its floors need five bytes
  CHECK(s.a.lock("inventory", std::string(1009, 'l')));
  CHECK(error_of(s.a.lock("inventory", "l", {.protects = {{"nothing", "x"}}})) == errc::unknown_type);
  CHECK(error_of(s.a.lock("inventory", "l", {.protects = {{"inventory", ""}}})) == errc::key_too_long);
  CHECK(error_of(s.a.lock("inventory", "l", {.protects = std::vector<key_name>(65, {"inventory", "x"})}))
        == errc::invalid_argument);
  CHECK(error_of(s.a.lock("inventory", "l", {.owner = std::string(257, 'o')})) == errc::invalid_argument);
  CHECK(error_of(named_lock{}.renew()) == errc::lock_lost);
  CHECK(named_lock{}.remaining() == 0ns);
}

TEST_CASE("named lock: who cancels does not get it, and leaves no owner behind") {
  shop s;
  auto mine = value_of(s.a.lock("inventory", "order", {.ttl = 1h}));
  std::stop_source stop;
  auto waiting = s.b.async().lock("inventory", "order", {.ttl = 1h, .deadline = 10min, .stop = stop.get_token()});
  CHECK(waiting.wait_for(300ms) == std::future_status::timeout);
  stop.request_stop();
  REQUIRE(waiting.wait_for(20s) == std::future_status::ready);
  CHECK(error_of(waiting.get()) == errc::abandoned);
  CHECK(mine.release());
  CHECK(value_of(s.c.lock("inventory", "order", {.deadline = 20s})).remaining() > 0ns);
}
