/// The client's side of a named lock, message by message.
#include "protocol/cluster.hpp"
#include "protocol/strong/lock_acquisition.hpp"
#include "protocol/strong/named_lock.hpp"
#include "protocol/wire.hpp"

#include <doctest/doctest.h>

#include <optional>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t shards = 16;
constexpr version token{{.round = 4, .node = {1}, .life = {2}}, 9};

instant at(nanoseconds t) { return instant{1h + t}; }

struct script {
  lock_acquisition::wish wish{.lock = "checkout:order-1",
                              .owner = "web/1",
                              .duration = 3s,
                              .protects = {},
                              .shards = shards,
                              .drift_ppm = 10'000};
  std::optional<lock_acquisition> core;
  std::vector<lock_acquisition::ask> asked;
  std::vector<v1::Operation> given_back;
  std::optional<lock_acquisition::held> held;
  std::optional<lock_acquisition::taken> taken;
  std::optional<lock_acquisition::failed> failed;

  void take(lock_acquisition::effects effects) {
    for (auto& e : effects) {
      if (auto* ask = std::get_if<lock_acquisition::ask>(&e)) asked.push_back(std::move(*ask));
      if (auto* back = std::get_if<lock_acquisition::give_back>(&e)) given_back.push_back(std::move(back->operation));
      if (auto* h = std::get_if<lock_acquisition::held>(&e)) held = *h;
      if (auto* t = std::get_if<lock_acquisition::taken>(&e)) taken = *t;
      if (auto* f = std::get_if<lock_acquisition::failed>(&e)) failed = *f;
    }
  }
  void start() {
    core.emplace(wish);
    lock_acquisition::effects out;
    core->start(at(0s), out);
    take(std::move(out));
  }
  void answer(std::size_t which, const v1::Result& result, nanoseconds when) {
    lock_acquisition::effects out;
    core->answered(asked.at(which).number, result, at(when), out);
    take(std::move(out));
  }
  bool ended() const { return held || taken || failed; }
};

v1::Result granted(const std::vector<std::string>& protects = {}) {
  v1::Result r;
  r.set_applied(true);
  to_wire(token, *r.mutable_version());
  r.mutable_protects()->Assign(protects.begin(), protects.end());
  return r;
}

v1::Result failure(errc code) {
  v1::Result r;
  r.set_error(static_cast<std::uint32_t>(code));
  return r;
}

v1::Result done() {
  v1::Result r;
  r.set_applied(true);
  return r;
}

} // namespace

TEST_CASE("lock acquisition S5: the owner counts from its request, less what clocks may drift") {
  script s;
  s.start();
  REQUIRE(s.asked.size() == 1);
  const auto& asked = s.asked[0].operation;
  CHECK(asked.key() == "checkout:order-1");
  CHECK(asked.shard() == shard_of("checkout:order-1", shards).value);
  CHECK(asked.acquire_lock().duration_ms() == 3000);
  CHECK(asked.acquire_lock().wait());
  s.answer(0, granted(), 900ms);
  REQUIRE(s.held);
  CHECK(s.held->token == token);
  CHECK(s.held->until == at(2970ms));
}

TEST_CASE("lock acquisition S5: what had to be waited for is renewed, and counted from the renewal") {
  script s;
  s.start();
  s.answer(0, granted(), 10s);
  CHECK_FALSE(s.ended());
  REQUIRE(s.asked.size() == 2);
  REQUIRE(s.asked[1].operation.has_renew_lock());
  CHECK(from_wire(s.asked[1].operation.renew_lock().token()) == token);
  SUBCASE("it holds") {
    s.answer(1, done(), 10s + 5ms);
    REQUIRE(s.held);
    CHECK(s.held->until == at(10s + 2970ms));
  }
  SUBCASE("its time was over") {
    s.answer(1, failure(errc::lock_lost), 10s + 5ms);
    REQUIRE(s.failed);
    CHECK(s.failed->why == errc::lock_lost);
    REQUIRE(s.given_back.size() == 1);
    CHECK(from_wire(s.given_back[0].release_lock().token()) == token);
  }
}

TEST_CASE(
    "lock acquisition S4: it is held when every shard of a protected key, former ones too, has raised its floor") {
  script s;
  std::vector<std::string> own, former;
  for (int i = 0; i < 6; ++i) {
    own.push_back("inventory:own-" + std::to_string(i));
    former.push_back("inventory:former-" + std::to_string(i));
  }
  s.wish.protects = own;
  s.start();
  CHECK(s.asked[0].operation.acquire_lock().protects_size() == 6);
  auto all = own;
  all.insert(all.end(), former.begin(), former.end());
  s.answer(0, granted(all), 1ms);
  CHECK_FALSE(s.ended());
  std::set<std::string> written, drained;
  std::set<std::uint32_t> places;
  for (std::size_t i = 1; i < s.asked.size(); ++i) {
    const auto& operation = s.asked[i].operation;
    REQUIRE(operation.has_raise_fence());
    CHECK(operation.key() == floor_key("checkout:order-1", {operation.shard()}));
    CHECK(lock_flaw_of(operation) == errc::none);
    CHECK(from_wire(operation.raise_fence().token()) == token);
    CHECK(places.insert(operation.shard()).second);
    for (const auto& key : operation.raise_fence().keys()) {
      CHECK(shard_of(key, shards).value == operation.shard());
      written.insert(key);
    }
    for (const auto& key : operation.raise_fence().formerly()) {
      CHECK(shard_of(key, shards).value == operation.shard());
      drained.insert(key);
    }
  }
  CHECK(written == std::set<std::string>(own.begin(), own.end()));
  CHECK(drained == std::set<std::string>(former.begin(), former.end()));
  const auto last = s.asked.size() - 1;
  for (std::size_t i = 1; i < last; ++i)
    s.answer(i, done(), 2ms);
  CHECK_FALSE(s.ended());
  SUBCASE("all did") {
    s.answer(last, done(), 3ms);
    CHECK(s.held);
  }
  SUBCASE("one did not: the lock is given back") {
    s.answer(last, failure(errc::unavailable), 3ms);
    REQUIRE(s.failed);
    CHECK(s.failed->why == errc::unavailable);
    REQUIRE(s.given_back.size() == 1);
    CHECK_FALSE(s.given_back[0].release_lock().fenced());
  }
}

TEST_CASE("lock acquisition: without waiting it says who has the lock, and nothing is given back") {
  script s;
  s.wish.wait = false;
  s.start();
  v1::Result refused;
  refused.set_lock_owner("web/2");
  refused.set_lock_remaining_ms(700);
  s.answer(0, refused, 1ms);
  REQUIRE(s.taken);
  CHECK(s.taken->owner == "web/2");
  CHECK(s.taken->remaining == 700ms);
  CHECK(s.given_back.empty());
}

TEST_CASE("lock acquisition: what may have been granted is given back, unless its name may have an older grant") {
  script s;
  SUBCASE("not done") {
    s.start();
    s.answer(0, failure(errc::expired), 1s);
    CHECK(s.given_back.empty());
  }
  SUBCASE("unknown") {
    s.start();
    s.answer(0, failure(errc::timeout), 1s);
    REQUIRE(s.given_back.size() == 1);
    CHECK_FALSE(s.given_back[0].release_lock().has_token());
  }
  SUBCASE("unknown, of an owner that asks more than once") {
    s.wish.unique_owner = false;
    s.start();
    s.answer(0, failure(errc::timeout), 1s);
    CHECK(s.given_back.empty());
  }
  CHECK(s.failed);
}

TEST_CASE("lock acquisition: an answer counts once, and none after the end") {
  script s;
  s.start();
  s.answer(0, granted(), 1ms);
  REQUIRE(s.held);
  s.held.reset();
  s.answer(0, granted(), 1ms);
  CHECK_FALSE(s.ended());
}
