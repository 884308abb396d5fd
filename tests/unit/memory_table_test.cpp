// The memory layer's table, one thread at a time: what a read may return, what the writer may do to it, and its
// bounds. What several threads do to it at once is memory_table_stress_test.cpp.
#include "actors/layers/memory_table.hpp"
#include "actors/layers/read_epochs.hpp"
#include "tests/support/seeds.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr shard_id home{1};
constexpr shard_id other_home{2};
constexpr epoch era{.round = 3, .node = {1}, .life = {7}};

constexpr instant at(milliseconds t) { return instant{t}; }
constexpr lease_generation generation(std::uint64_t n) { return {.era = era, .n = n}; }
constexpr version nth(std::uint64_t counter) { return {.era = era, .counter = counter}; }

table_record record(std::string_view key, std::uint64_t counter, std::string_view value) {
  return {.key = key, .home = home, .generation = generation(1), .at = nth(counter), .value = value};
}

/// A table under one lease that runs from 0 to 100 ms.
struct leased_table {
  explicit leased_table(std::size_t bytes_max = std::size_t{1} << 20) : table{{.bytes_max = bytes_max}} {
    REQUIRE(table.set_lease(home, generation(1), at(100ms)));
  }
  /// What a read at `now` returns; "-" = a miss, "absent" = known not to exist.
  std::string get(std::string_view key, instant now = at(50ms)) const {
    std::string value;
    const auto hit = table.read(key, now, value);
    const auto shared = table.share(key, now);
    REQUIRE(hit.has_value() == static_cast<bool>(shared));
    if (!hit) return "-";
    CHECK(shared.at() == hit->at);
    CHECK(shared.exists() == hit->exists);
    CHECK(shared.value() == value);
    return hit->exists ? value : "absent";
  }
  memory_table table;
};

/// A clock during whose look something else happens.
class acting_clock final : public node_clock {
public:
  instant now() const noexcept override {
    act();
    return time;
  }
  nanoseconds until(instant) const noexcept override { return nanoseconds{0}; }
  std::uint64_t wall_ms() const noexcept override { return 0; }

  instant time = at(50ms);
  std::function<void()> act = [] {};
};

} // namespace

TEST_CASE("memory table: what was published is read, with its version, until another version takes its place") {
  leased_table t;
  CHECK(t.get("cart:1") == "-");
  REQUIRE(t.table.publish(record("cart:1", 1, "one apple")) == published::done);
  REQUIRE(t.table.publish(record("cart:2", 2, "")) == published::done);
  CHECK(t.get("cart:1") == "one apple");
  CHECK(t.get("cart:2").empty());
  CHECK(t.get("cart:") == "-");

  REQUIRE(t.table.publish(record("cart:1", 3, "two apples")) == published::done);
  CHECK(t.get("cart:1") == "two apples");
  std::string value;
  CHECK(t.table.read("cart:1", at(0ms), value)->at == nth(3));
  CHECK(t.table.count().entries == 2);
}

TEST_CASE("memory table: a key that is known not to exist is a hit") {
  leased_table t;
  auto absent = record("cart:1", 4, "");
  absent.what = content::absent;
  REQUIRE(t.table.publish(absent) == published::done);
  CHECK(t.get("cart:1") == "absent");
}

TEST_CASE("memory table: a miss leaves the caller's value alone") {
  const leased_table t;
  std::string value = "mine";
  CHECK_FALSE(t.table.read("cart:1", at(0ms), value));
  CHECK(value == "mine");
}

TEST_CASE("memory table: a read whose clock was sampled at the lease's end or later misses; a renewal lets it hit") {
  leased_table t;
  REQUIRE(t.table.publish(record("cart:1", 1, "apple")) == published::done);
  CHECK(t.get("cart:1", at(100ms) - 1ns) == "apple");
  CHECK(t.get("cart:1", at(100ms)) == "-");
  CHECK(t.get("cart:1", never) == "-");
  REQUIRE(t.table.set_lease(home, generation(1), at(200ms)));
  CHECK(t.get("cart:1", at(100ms)) == "apple");
}

TEST_CASE("memory table: a read that is given a clock looks up what there is once it has sampled it") {
  leased_table t;
  REQUIRE(t.table.publish(record("cart:1", 1, "apple")) == published::done);
  acting_clock clock;
  std::string value;
  SUBCASE("nothing happens meanwhile") {
    const auto hit = t.table.read("cart:1", clock, value);
    REQUIRE(hit);
    CHECK(hit->at == nth(1));
    CHECK(value == "apple");
    CHECK_FALSE(t.table.read("cart:2", clock, value));
    clock.time = at(100ms);
    CHECK_FALSE(t.table.read("cart:1", clock, value));
    CHECK(t.table.count().hits == 1);
    CHECK(t.table.count().misses == 2);
  }
  SUBCASE("it is recalled while the clock is looked at") {
    clock.act = [&] { CHECK(t.table.unpublish(record("cart:1", 2, "pear"))); };
    CHECK_FALSE(t.table.read("cart:1", clock, value));
  }
  SUBCASE("its lease ends while the clock is looked at") {
    clock.act = [&] { t.table.end_lease(home); };
    CHECK_FALSE(t.table.read("cart:1", clock, value));
  }
  SUBCASE("another version takes its place while the clock is looked at") {
    clock.act = [&] { CHECK(t.table.publish(record("cart:1", 2, "pear")) == published::done); };
    REQUIRE(t.table.read("cart:1", clock, value));
    CHECK(value == "pear");
  }
}

TEST_CASE("memory table: a lease that never ran, or was shortened to nothing, is still one and ends as one") {
  leased_table t;
  REQUIRE(t.table.publish(record("cart:1", 1, "apple")) == published::done);
  REQUIRE(t.table.set_lease(home, generation(1), instant::min()));
  CHECK(t.get("cart:1", instant::min()) == "-");
  CHECK(t.table.erase("cart:1"));
  REQUIRE(t.table.publish(record("cart:2", 2, "pear")) == published::done);
  REQUIRE(t.table.set_lease(home, generation(1), at(100ms)));
  CHECK(t.get("cart:2") == "pear");
}

TEST_CASE("memory table: the end of a lease makes all its entries unreadable, and no other home's") {
  leased_table t;
  REQUIRE(t.table.set_lease(other_home, generation(1), at(100ms)));
  auto elsewhere = record("cart:9", 1, "pear");
  elsewhere.home = other_home;
  REQUIRE(t.table.publish(elsewhere) == published::done);
  for (const auto* key : {"cart:1", "cart:2", "cart:3"})
    REQUIRE(t.table.publish(record(key, 1, "apple")) == published::done);

  t.table.end_lease(home);
  for (const auto* key : {"cart:1", "cart:2", "cart:3"})
    CHECK(t.get(key) == "-");
  CHECK(t.get("cart:9") == "pear");
  t.table.end_lease(home);        // once more changes nothing
  t.table.end_lease(shard_id{3}); // nor does one that never was
}

TEST_CASE("memory table: a new generation starts with nothing, and an ended one never comes back") {
  leased_table t;
  REQUIRE(t.table.publish(record("cart:1", 1, "apple")) == published::done);
  REQUIRE(t.table.set_lease(home, generation(2), at(200ms)));
  CHECK(t.get("cart:1") == "-");

  CHECK_FALSE(t.table.set_lease(home, generation(1), at(300ms)));
  CHECK(t.get("cart:1") == "-");
  t.table.end_lease(home);
  CHECK_FALSE(t.table.set_lease(home, generation(2), at(300ms)));
  const epoch later{.round = 4, .node = {1}, .life = {7}};
  CHECK(t.table.set_lease(home, {.era = later, .n = 0}, at(300ms)));
  CHECK(t.get("cart:1") == "-");
}

TEST_CASE("memory table: a grant of another generation than the running one is refused") {
  leased_table t;
  auto granted = record("cart:1", 1, "apple");
  granted.generation = generation(2);
  CHECK(t.table.publish(granted) == published::not_leased);
  granted.home = other_home;
  CHECK(t.table.publish(granted) == published::not_leased);
  t.table.end_lease(home);
  CHECK(t.table.publish(record("cart:1", 1, "apple")) == published::not_leased);
  CHECK(t.table.count().entries == 0);
}

TEST_CASE("memory table K1: a lower version never takes the place of a higher one, readable or pending") {
  leased_table t;
  REQUIRE(t.table.publish(record("cart:1", 5, "five")) == published::done);
  CHECK(t.table.publish(record("cart:1", 4, "four")) == published::older);
  CHECK(t.table.publish(record("cart:1", 5, "five")) == published::done);
  CHECK(t.get("cart:1") == "five");
  REQUIRE(t.table.unpublish(record("cart:1", 6, "six")));
  CHECK(t.table.publish(record("cart:1", 5, "five")) == published::older);
  CHECK(t.get("cart:1") == "-");

  // Under another lease it may: the pending write was never decided, and its home is gone.
  REQUIRE(t.table.set_lease(home, generation(2), at(100ms)));
  auto again = record("cart:1", 5, "five");
  again.generation = generation(2);
  CHECK(t.table.publish(again) == published::done);
  CHECK(t.get("cart:1") == "five");
}

TEST_CASE("memory table: a recalled key is unreadable until exactly the pending version is committed") {
  leased_table t;
  REQUIRE(t.table.publish(record("cart:1", 1, "apple")) == published::done);
  CHECK(t.table.unpublish(record("cart:1", 2, "pear")));
  CHECK(t.get("cart:1") == "-");
  CHECK_FALSE(t.table.commit_pending("cart:1", nth(1)));
  CHECK_FALSE(t.table.commit_pending("cart:1", nth(3)));
  CHECK(t.get("cart:1") == "-");
  CHECK(t.table.commit_pending("cart:1", nth(2)));
  CHECK(t.get("cart:1") == "pear");
  CHECK(t.table.commit_pending("cart:1", nth(2))); // a duplicate changes nothing
  CHECK(t.get("cart:1") == "pear");
  CHECK_FALSE(t.table.commit_pending("cart:2", nth(2)));
}

TEST_CASE("memory table: a recall of a key that is not here keeps nothing") {
  leased_table t;
  CHECK_FALSE(t.table.unpublish(record("cart:1", 2, "pear")));
  CHECK_FALSE(t.table.commit_pending("cart:1", nth(2)));
  CHECK(t.table.count().entries == 0);
}

TEST_CASE("memory table: recalls that come twice, late, or one after another leave the newest pending") {
  leased_table t;
  REQUIRE(t.table.publish(record("cart:1", 1, "apple")) == published::done);
  CHECK(t.table.unpublish(record("cart:1", 2, "pear")));
  CHECK(t.table.unpublish(record("cart:1", 2, "pear")));
  CHECK(t.table.unpublish(record("cart:1", 3, "plum")));
  CHECK_FALSE(t.table.unpublish(record("cart:1", 2, "pear")));
  CHECK_FALSE(t.table.commit_pending("cart:1", nth(2)));
  CHECK(t.table.commit_pending("cart:1", nth(3)));
  CHECK(t.get("cart:1") == "plum");
  // Overtaken by its own commit: the safe answer is to know nothing.
  CHECK_FALSE(t.table.unpublish(record("cart:1", 2, "pear")));
  CHECK(t.get("cart:1") == "-");
}

TEST_CASE("memory table: a recall under another generation than the entry's takes the entry away") {
  leased_table t;
  REQUIRE(t.table.publish(record("cart:1", 1, "apple")) == published::done);
  auto recall = record("cart:1", 2, "pear");
  recall.generation = generation(9);
  CHECK_FALSE(t.table.unpublish(recall));
  CHECK(t.get("cart:1") == "-");
  CHECK_FALSE(t.table.commit_pending("cart:1", nth(2)));
}

TEST_CASE("memory table: a pending record ends with its lease") {
  leased_table t;
  REQUIRE(t.table.publish(record("cart:1", 1, "apple")) == published::done);
  REQUIRE(t.table.unpublish(record("cart:1", 2, "pear")));
  t.table.end_lease(home);
  CHECK_FALSE(t.table.commit_pending("cart:1", nth(2)));
  CHECK(t.get("cart:1") == "-");
}

TEST_CASE("memory table: a large value's recall holds its place, and the value is published when it has come") {
  leased_table t;
  REQUIRE(t.table.publish(record("cart:1", 1, "apple")) == published::done);
  auto recall = record("cart:1", 2, "");
  recall.what = content::withheld;
  CHECK(t.table.unpublish(recall));

  SUBCASE("before the commit: the recall once more, with the value") {
    CHECK(t.table.unpublish(record("cart:1", 2, "pear")));
    CHECK(t.table.unpublish(recall)); // which a repetition does not take away
    CHECK(t.table.commit_pending("cart:1", nth(2)));
  }
  SUBCASE("after it: as a grant") {
    CHECK_FALSE(t.table.commit_pending("cart:1", nth(2)));
    CHECK(t.get("cart:1") == "-");
    CHECK(t.table.publish(record("cart:1", 2, "pear")) == published::done);
  }
  CHECK(t.get("cart:1") == "pear");
}

TEST_CASE("memory table: an erased key is a miss") {
  leased_table t;
  REQUIRE(t.table.publish(record("cart:1", 1, "apple")) == published::done);
  CHECK(t.table.erase("cart:1"));
  CHECK_FALSE(t.table.erase("cart:1"));
  CHECK(t.get("cart:1") == "-");
}

TEST_CASE("memory table: a shared record outlives its entry, its lease and the table") {
  shared_record kept;
  shared_record copy;
  {
    leased_table t;
    REQUIRE(t.table.publish(record("cart:1", 1, "apple")) == published::done);
    kept = t.table.share("cart:1", at(0ms));
    copy = kept;
    t.table.erase("cart:1");
    t.table.end_lease(home);
    while (t.table.reclaim(1000))
      ;
  }
  kept = shared_record{};
  REQUIRE(copy);
  CHECK(copy.value() == "apple");
  CHECK(copy.at() == nth(1));
  CHECK_FALSE(kept);
}

TEST_CASE("memory table X1: the byte bound holds, unread entries go first, and every eviction is counted") {
  constexpr std::size_t bytes_max = 64 * 1024;
  leased_table t{bytes_max};
  const std::string value(100, 'v');
  REQUIRE(t.table.publish(record("hot", 1, value)) == published::done);
  std::size_t largest = 0;
  for (int i = 0; i < 5000; ++i) {
    REQUIRE(t.table.publish(record("cold:" + std::to_string(i), 1, value)) == published::done);
    CHECK(t.get("hot") == value);
    CHECK(t.get("cold:" + std::to_string(i)) == value);
    largest = std::max<std::size_t>(largest, t.table.count().bytes);
  }
  CHECK(largest <= bytes_max);
  CHECK(largest > bytes_max / 10 * 9);
  const auto counted = t.table.count();
  CHECK(counted.entries + counted.evictions == 5001);
  CHECK(counted.entries > bytes_max / 300);
  int missing = 0;
  for (int i = 0; i < 5000; ++i)
    missing += t.get("cold:" + std::to_string(i)) == "-" ? 1 : 0;
  CHECK(static_cast<std::uint64_t>(missing) == counted.evictions);
}

TEST_CASE("memory table: the keys that are put out are told, but not those whose lease has ended") {
  std::set<std::string, std::less<>> told;
  memory_table table{{.bytes_max = 16'384, .evicted = [&](std::string_view key) { told.emplace(key); }}};
  REQUIRE(table.set_lease(home, generation(1), at(100ms)));
  for (int i = 0; i < 500; ++i)
    REQUIRE(table.publish(record("key-" + std::to_string(i), 1, "some value")) == published::done);
  CHECK(told.size() == table.count().evictions);
  std::string value;
  for (const auto& key : told)
    CHECK_FALSE(table.read(key, at(50ms), value));
  told.clear();
  table.end_lease(home);
  REQUIRE(table.set_lease(home, generation(2), at(100ms)));
  const std::string large(2'000, 'v');
  auto next = record("key", 1, large);
  next.generation = generation(2);
  for (int i = 0; i < 4; ++i) {
    const auto key = "next-" + std::to_string(i);
    next.key = key;
    static_cast<void>(table.publish(next));
  }
  CHECK(told.empty());
}

TEST_CASE("memory table X1: what is larger than the table is refused and evicts nothing") {
  leased_table t{memory_table::bytes_max_least};
  REQUIRE(t.table.publish(record("cart:1", 1, "apple")) == published::done);
  CHECK(t.table.publish(record("cart:2", 1, std::string(4096, 'v'))) == published::no_room);
  CHECK(t.get("cart:1") == "apple");
  // Its place was the key's only one: a recall that does not fit leaves nothing.
  CHECK_FALSE(t.table.unpublish(record("cart:1", 2, std::string(4096, 'v'))));
  CHECK(t.get("cart:1") == "-");
  CHECK(t.table.count().evictions == 0);
}

TEST_CASE(
    "memory table X1: readers that do not leave make the table refuse, not grow; when they have left it goes on") {
  constexpr std::size_t bytes_max = 16 * 1024;
  leased_table t{bytes_max};
  const std::string value(100, 'v');
  std::optional<read_section> stalled{std::in_place};
  auto answer = published::done;
  int i = 0;
  for (; i < 1000 && answer == published::done; ++i) {
    answer = t.table.publish(record("key:" + std::to_string(i), 1, value));
    REQUIRE(t.table.count().bytes <= bytes_max);
  }
  CHECK(answer == published::no_room);
  // Recalls go on taking out, and still cost nothing.
  for (int k = 0; k < i; ++k) {
    t.table.unpublish(record("key:" + std::to_string(k), 2, value));
    REQUIRE(t.table.count().bytes <= bytes_max);
  }
  stalled.reset();
  CHECK(t.table.publish(record("key:0", 3, value)) == published::done);
}

TEST_CASE("memory table: entries of ended leases are reclaimed, by later calls or by an idle writer's timer") {
  leased_table t{std::size_t{4} << 20};
  const auto empty = t.table.count().bytes;
  for (int i = 0; i < 10'000; ++i)
    REQUIRE(t.table.publish(record("key:" + std::to_string(i), 1, "value")) == published::done);
  REQUIRE(t.table.set_lease(home, generation(2), at(200ms)));

  SUBCASE("the timer") {
    int rounds = 0;
    while (t.table.reclaim(1000))
      REQUIRE(++rounds < 100);
    CHECK(t.table.count().entries == 0);
    CHECK(t.table.count().bytes < empty + 10'000 * 24); // the index keeps its size
  }
  SUBCASE("later calls") {
    for (int i = 0; i < 1000; ++i)
      t.table.erase("nothing");
    CHECK(t.table.count().entries == 0);
  }
  CHECK(t.table.count().evictions == 0);
}

TEST_CASE("memory table: hits and misses are counted, of more threads than have counters of their own, too") {
  leased_table t;
  REQUIRE(t.table.publish(record("cart:1", 1, "apple")) == published::done);
  std::vector<std::thread> threads;
  threads.reserve(100);
  for (int i = 0; i < 100; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 10; ++n) {
        t.table.share("cart:1", at(0ms));
        t.table.share("cart:2", at(0ms));
      }
    });
  for (auto& thread : threads)
    thread.join();
  CHECK(t.table.count().hits == 1000);
  CHECK(t.table.count().misses == 1000);
}

TEST_CASE("read epochs: an epoch ends with its last reader, and threads that end pass on their slots") {
  const auto before = close_read_epoch();
  CHECK(oldest_read_epoch() > before);
  std::set<std::size_t> numbers;
  {
    const read_section reading;
    numbers.insert(reading.thread_number());
    const auto during = close_read_epoch();
    CHECK(oldest_read_epoch() <= during);
    CHECK(oldest_read_epoch() > before);
  }
  CHECK(oldest_read_epoch() > close_read_epoch());
  for (int i = 0; i < 300; ++i)
    std::thread{[&] { numbers.insert(read_section{}.thread_number()); }}.join();
  CHECK(numbers.size() == 2);
}

TEST_CASE("table index: entries whose hashes are all the same are found, removed and found again") {
  lease_term term{never};
  table_index index{64};
  std::vector<std::shared_ptr<table_entry>> entries;
  for (int i = 0; i < 300; ++i) {
    const auto key = "key:" + std::to_string(i);
    entries.emplace_back(table_entry::create({.key = key, .value = {}, .hash = 42, .at = {}}, term),
                         [](table_entry* entry) { entry->drop_reference(); });
    index.insert(*entries.back());
  }
  for (std::size_t i = 0; i < 300; i += 2)
    CHECK(index.remove(*entries[i]));
  for (std::size_t i = 0; i < 300; ++i)
    CHECK(index.find(entries[i]->key(), 42) == (i % 2 == 0 ? nullptr : entries[i].get()));
  for (std::size_t i = 0; i < 300; i += 2)
    index.insert(*entries[i]);
  for (const auto& entry : entries)
    CHECK(index.find(entry->key(), 42) == entry.get());
  CHECK(index.find("key:300", 42) == nullptr);
  for (const auto& entry : entries)
    CHECK(index.remove(*entry));
  CHECK_FALSE(index.remove(*entries[0]));
  CHECK(index.entries() == 0);
}

TEST_CASE("memory table: without want of room it answers as a map of records does") {
  struct twin_entry {
    shard_id home;
    std::uint64_t generation;
    std::uint64_t counter;
    bool readable;
    std::string value;
  };
  for (std::uint64_t seed = 1; seed <= test::seeds(20); ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    const auto draw = [&](std::uint64_t n) { return random() % n; };
    const auto keys = std::uint64_t{1} << (4 + draw(10));
    memory_table table{{.bytes_max = std::size_t{64} << 20}};
    std::map<std::string, twin_entry> twin;
    std::map<shard_id, std::uint64_t> newest;
    std::map<shard_id, std::uint64_t> running; // 0 = ended
    std::uint64_t counter = 0;

    for (int step = 0; step < 20'000; ++step) {
      const auto key = "type:" + std::to_string(draw(keys));
      const shard_id from{static_cast<std::uint32_t>(1 + draw(3))};
      const auto value = std::string(draw(40), static_cast<char>('a' + draw(26)));
      const table_record fresh{
          .key = key, .home = from, .generation = generation(running[from]), .at = nth(++counter), .value = value};
      const auto held = twin.find(key);
      const bool alive = held != twin.end() && held->second.generation == running[held->second.home];
      switch (draw(draw(100) == 0 ? 6 : 4)) {
      case 0:
      case 1: {
        const bool leased = running[from] != 0;
        REQUIRE(table.publish(fresh) == (leased ? published::done : published::not_leased));
        if (leased) twin[key] = {from, running[from], counter, true, value};
        break;
      }
      case 2: {
        const bool kept = table.unpublish(fresh);
        if (alive) REQUIRE(kept == (running[from] != 0));
        twin.erase(key);
        if (kept) twin[key] = {from, running[from], counter, false, value};
        break;
      }
      case 3:
        if (alive && draw(4) != 0) {
          REQUIRE(table.commit_pending(key, nth(held->second.counter)));
          held->second.readable = true;
        } else {
          REQUIRE_FALSE(table.commit_pending(key, nth(counter)));
        }
        break;
      case 4:
        running[from] = ++newest[from];
        REQUIRE(table.set_lease(from, generation(running[from]), never));
        break;
      default:
        running[from] = 0;
        table.end_lease(from);
      }
      const auto asked = "type:" + std::to_string(draw(keys));
      const auto expected = twin.find(asked);
      const auto found = table.share(asked, at(0ms));
      const bool readable = expected != twin.end() && expected->second.readable
                            && expected->second.generation == running[expected->second.home];
      REQUIRE(static_cast<bool>(found) == readable);
      if (readable) {
        REQUIRE(found.value() == expected->second.value);
        REQUIRE(found.at() == nth(expected->second.counter));
      }
    }
    CHECK(table.count().evictions == 0);
  }
}
