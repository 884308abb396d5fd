#include "actors/layers/preallocated_log.hpp"
#include "tests/layers/store_fixture.hpp"
#include "tests/support/rocksdb_log.hpp"

#include <mutex>
#include <thread>

using namespace troupe;
using namespace troupe::testing;

TEST_CASE("store: what was persisted is loaded, in the order asked for, and what never was is absent") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  const auto store = must_open(options);
  CHECK(persist(*store, {a_record(7, "cart/1", "apples"), a_record(7, "cart/2", std::string("\0\xff", 2))})
        == errc::none);

  const auto found = load(*store, {{{7}, "cart/2"}, {{7}, "cart/3"}, {{8}, "cart/1"}, {{7}, "cart/1"}});
  REQUIRE(found.size() == 4);
  CHECK(bytes_of(found[0]) == std::string("\0\xff", 2));
  CHECK(std::holds_alternative<std::monostate>(found[1]));
  CHECK(std::holds_alternative<std::monostate>(found[2])); // the same key in another shard
  CHECK(bytes_of(found[3]) == "apples");
  CHECK(load(*store, {}).empty());
}

TEST_CASE("store: the largest record there may be survives a reopen") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  const std::string large(std::size_t{8} << 20, 'x');
  CHECK(persist(*must_open(options), {a_record(1, std::string(1024, 'k'), large)}) == errc::none);
  CHECK(bytes_of(load_one(*must_open(options), 1, std::string(1024, 'k'))) == large);
}

TEST_CASE(
    "store: while it is open its log is filled ahead, keeps its length over many writes, and is cut off at the end") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  std::size_t end = 0;
  {
    const auto store = must_open(options);
    CHECK(persist(*store, {a_record(1, "first", "x")}) == errc::none);
    const auto length = std::filesystem::file_size(newest_log(options));
    end = test::end_of_log(newest_log(options), 0);
    CHECK(end > 0);
    CHECK(length >= end + log_step_bytes / 2);
    for (int i = 0; i < 100; ++i)
      CHECK(persist(*store, {a_record(1, std::to_string(i), "x")}) == errc::none);
    CHECK(std::filesystem::file_size(newest_log(options)) == length);
    end = test::end_of_log(newest_log(options), end);
  }
  CHECK(std::filesystem::file_size(newest_log(options)) == end);
}

TEST_CASE("store: later writes replace earlier ones, also within one call") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  const auto store = must_open(options);
  auto first = persist_later(*store, {a_record(1, "k", "one", 1), a_record(1, "k", "two", 2)});
  auto second = persist_later(*store, {a_record(1, "k", "three", 3)});
  CHECK(must_get(std::move(first)) == errc::none);
  CHECK(must_get(std::move(second)) == errc::none);
  CHECK(bytes_of(load_one(*store, 1, "k")) == "three");
}

TEST_CASE("store: callbacks come in the order of the calls, calls without a write included") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  std::vector<int> order; // written by the store's writer only, read once it has gone
  {
    const auto store = must_open(options);
    for (int i = 0; i < 500; ++i) {
      std::vector<store_write> writes;
      if (i % 3 != 0) writes.emplace_back(a_record(1, std::to_string(i), "x"));
      if (i % 7 == 0) {
        store->remember_disk({static_cast<std::uint32_t>(i + 2)}, 5, [&order, i](errc) { order.push_back(i); });
      } else {
        store->persist(std::move(writes), [&order, i](errc) { order.push_back(i); });
      }
    }
  } // the destructor finishes what was handed over
  REQUIRE(order.size() == 500);
  CHECK(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("store: writes handed over during a sync share the next one") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  const auto store = must_open(options);
  constexpr int threads = 4;
  constexpr int calls_each = 500;
  std::vector<std::thread> writers;
  std::atomic<int> stored = 0;
  for (int t = 0; t < threads; ++t) {
    writers.emplace_back([&, t] {
      std::vector<std::future<errc>> under_way;
      for (int i = 0; i < calls_each; ++i) {
        const auto key = std::to_string(t) + "/" + std::to_string(i);
        under_way.push_back(persist_later(*store, {a_record(1, key, "x")}));
      }
      for (auto& done : under_way)
        stored += done.get() == errc::none ? 1 : 0;
    });
  }
  for (auto& writer : writers)
    writer.join();
  CHECK(stored == threads * calls_each);
  const auto counted = store->count();
  CHECK(counted.records_written == threads * calls_each);
  CHECK(counted.syncs >= 1);
  CHECK(counted.syncs < threads * calls_each / 4);
  CHECK(counted.queue_depth == 0);
  CHECK(counted.damaged_found == 0);
}

TEST_CASE("store: one write at a time costs one sync each") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  const auto store = must_open(options);
  for (int i = 0; i < 20; ++i)
    CHECK(persist(*store, {a_record(1, std::to_string(i), "x")}) == errc::none);
  CHECK(persist(*store, {}) == errc::none); // nothing to write, nothing to sync
  CHECK(store->count().syncs == 20);
}

TEST_CASE(
    "store: promises, identity and remembered disks are there at the next start, and the incarnation has grown") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  const auto made = must_create(options);
  CHECK(made.disk() != 0);
  CHECK(made.incarnation() == 0);
  {
    const auto store = must_open(options);
    CHECK(store->identity().incarnation() == 1);
    CHECK(store->promises().empty());
    CHECK(persist(*store, {a_promise(3, 9), a_promise(255, 4, 1000), a_record(3, "k", "v")}) == errc::none);
    CHECK(persist(*store, {a_promise(3, 10)}) == errc::none);
    for (const auto& [peer, disk] : {std::pair{5U, 50U}, {2U, 20U}, {9U, 90U}, {2U, 21U}}) {
      std::promise<errc> done;
      store->remember_disk({peer}, disk, [&](errc code) { done.set_value(code); });
      CHECK(must_get(done.get_future()) == errc::none);
    }
    CHECK(store->identity().peers_size() == 3);
  }
  for (std::uint64_t start = 2; start < 5; ++start) {
    const auto store = must_open(options);
    const auto identity = store->identity();
    CHECK(identity.incarnation() == start);
    CHECK(identity.disk() == made.disk());
    CHECK(identity.cluster() == "shop");
    CHECK(identity.node() == 1);
    REQUIRE(identity.peers_size() == 3);
    CHECK(identity.peers(0).node() == 2);
    CHECK(identity.peers(0).disk() == 21);
    CHECK(identity.peers(1).node() == 5);
    CHECK(identity.peers(2).node() == 9);
    REQUIRE(store->promises().size() == 2);
    CHECK(store->promises().at({3}).promised().round() == 10);
    CHECK(store->promises().at({255}).lease_ms_max() == 1000);
    CHECK(bytes_of(load_one(*store, 3, "k")) == "v");
  }
}

TEST_CASE("store: records moved from the log into tables and through many starts stay as they were") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  constexpr int keys = 400;
  for (int start = 0; start < 6; ++start) {
    const auto store = must_open(options);
    std::vector<store_write> writes;
    for (int key = start; key < keys; key += 3) {
      writes.emplace_back(a_record(1, std::to_string(key), std::string(40'000, static_cast<char>('a' + start))));
    }
    CHECK(persist(*store, std::move(writes)) == errc::none);
  }
  const auto store = must_open(options);
  for (int key = 0; key < keys; ++key) {
    int newest = key % 3;
    if (key >= newest + 3) newest += 3;
    CHECK(bytes_of(load_one(*store, 1, std::to_string(key))) == std::string(40'000, static_cast<char>('a' + newest)));
  }
}

TEST_CASE("store: what one thread has had acknowledged, loads of any other see") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  const auto store = must_open(options);
  std::atomic<std::uint64_t> acknowledged = 0;
  std::atomic<bool> behind = false;
  std::thread reader{[&] {
    while (acknowledged < 300) {
      const auto least = acknowledged.load();
      if (least == 0) continue;
      std::promise<std::vector<load_result>> done;
      store->load({{{1}, "k"}}, [&](std::vector<load_result> results) { done.set_value(std::move(results)); });
      const auto results = done.get_future().get();
      const auto* record = std::get_if<v1::StoredRecord>(&results.front());
      if (record == nullptr || record->version().counter() < least) behind = true;
    }
  }};
  for (std::uint64_t i = 1; i <= 300; ++i) {
    std::promise<void> done;
    store->persist({a_record(1, "k", "v", i)}, [&, i](errc) {
      acknowledged = i;
      done.set_value();
    });
    done.get_future().wait();
  }
  reader.join();
  CHECK_FALSE(behind);
}

TEST_CASE("store: an erased record is gone at once and after every start, with what was stored in the same call") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  {
    const auto store = must_open(options);
    CHECK(persist(*store, {a_tombstone(3, "k"), a_record(3, "l", "stays"), a_record(4, "k", "elsewhere")})
          == errc::none);
    auto promise = a_promise(3, 9);
    to_wire(version{{3, {1}, {2}}, 1}, *promise.promise.mutable_evicted());
    promise.promise.set_checksum(checksum_of(promise.shard, promise.promise));
    CHECK(persist(*store, {record_erase{{3}, "k"}, promise}) == errc::none);
    CHECK(persist(*store, {record_erase{{3}, "never there"}}) == errc::none);
    CHECK(std::holds_alternative<std::monostate>(load_one(*store, 3, "k")));
    CHECK(store->count().records_erased == 2);
    CHECK(store->count().records_written == 4);
  }
  for (int start = 0; start < 3; ++start) {
    const auto store = must_open(options);
    CHECK(std::holds_alternative<std::monostate>(load_one(*store, 3, "k")));
    CHECK(bytes_of(load_one(*store, 3, "l")) == "stays");
    CHECK(bytes_of(load_one(*store, 4, "k")) == "elsewhere");
    CHECK(from_wire(store->promises().at({3}).evicted()).counter == 1);
    if (start == 1) CHECK(persist(*store, {a_record(3, "k", "again"), record_erase{{3}, "k"}}) == errc::none);
  }
  const auto store = must_open(options);
  CHECK(persist(*store, {a_record(3, "k", "again")}) == errc::none);
  CHECK(bytes_of(load_one(*store, 3, "k")) == "again");
}

TEST_CASE("store: a scan goes through one shard page by page, and finds its tombstones") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  constexpr std::uint32_t last = 0xFFFF'FFFF;
  {
    const auto store = must_open(options);
    std::vector<store_write> writes;
    for (int key = 0; key < 1'000; ++key) {
      const auto name = std::to_string(1'000 + key);
      if (key % 10 == 0)
        writes.emplace_back(a_tombstone(5, name));
      else
        writes.emplace_back(a_record(5, name, "value"));
    }
    writes.emplace_back(a_tombstone(6, "next"));
    writes.emplace_back(a_tombstone(last, "last"));
    writes.emplace_back(a_record(7, "large", std::string(500'000, 'x')));
    writes.emplace_back(a_tombstone(7, "small"));
    CHECK(persist(*store, std::move(writes)) == errc::none);
    CHECK(persist(*store, {record_erase{{5}, "1000"}, a_promise(5, 9)}) == errc::none);
  }
  const auto store = must_open(options);
  std::vector<std::string> keys;
  std::string after;
  int pages = 0;
  do {
    auto page = scan(*store, 5, after);
    for (auto& t : page.tombstones) {
      CHECK(t.accepted_in == epoch{3, {1}, {2}});
      keys.push_back(std::move(t.key));
    }
    after = page.next;
    ++pages;
  } while (!after.empty() && pages < 100);
  CHECK(pages > 2);
  CHECK(keys.size() == 99);
  CHECK(keys.front() == "1010");
  CHECK(std::is_sorted(keys.begin(), keys.end()));
  CHECK(scan(*store, 6).tombstones.size() == 1);
  CHECK(scan(*store, last).tombstones.size() == 1);
  CHECK(scan(*store, 8).tombstones.empty());
  CHECK(scan(*store, 7).next == "large"); // by its size
  CHECK(scan(*store, 7, "large").tombstones.size() == 1);
  CHECK(store->count().queue_depth == 0);
}

TEST_CASE("store: options that cannot be meant are refused before anything is touched") {
  const temporary_directory home;
  const auto sound = options_for(home / "store");
  CHECK(sound.validate().has_value());
  auto options = sound;
  SUBCASE("no cluster") { options.cluster.clear(); }
  SUBCASE("no node") { options.node = {}; }
  SUBCASE("a client node") { options.node = {client_node_bit | 4}; }
  SUBCASE("no reader") { options.readers = 0; }
  SUBCASE("hardly a cache") { options.cache_bytes = 1000; }
  CHECK_FALSE(create_store(options).has_value());
  CHECK_FALSE(open_store(options).has_value());
  CHECK_FALSE(std::filesystem::exists(options.directory));
}

TEST_CASE("store: what the streams keep is read as it was written, replaced, erased and opened again") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  {
    const auto store = must_open(options);
    CHECK(store->streams().logs.empty());
    CHECK(store->streams().marks.empty());
    CHECK(persist(*store, {a_weak_record(1, "a", "1"), a_weak_record(1, "b", "2"), a_weak_record(2, "a", "3"),
                           mark_write{"one", "1"}, mark_write{"two", "2"}})
          == errc::none);
    std::vector<store_write> writes;
    for (std::uint64_t seq = 1; seq <= 9'000; ++seq)
      writes.emplace_back(an_update(2, seq, std::to_string(seq)));
    for (std::uint64_t seq = 1; seq <= 5; ++seq)
      writes.emplace_back(an_update(2, seq, "free" + std::to_string(seq), stream_lane::free));
    writes.emplace_back(an_update(3, 70, "seventy"));
    CHECK(persist(*store, std::move(writes)) == errc::none);
    CHECK(persist(*store,
                  {weak_erase{{1}, "b"}, a_weak_record(2, "a", "4", 2), mark_write{"one", ""},
                   mark_write{"two", "22"}, updates_erase{{{2}, 1}, stream_lane::ordered, 10},
                   updates_erase{{{2}, 1}, stream_lane::free, 3}, updates_erase{{{9}, 1}, stream_lane::free, 3}})
          == errc::none);
    CHECK(std::holds_alternative<std::monostate>(load_weak(*store, 1, "b")));
    CHECK(testing::value_of(load_weak(*store, 2, "a")) == "4");
    CHECK(store->streams().logs.empty()); // as it was when it was opened
  }
  const auto store = must_open(options);
  const auto& image = store->streams();
  CHECK(image.marks == std::map<std::string, std::string>{{"two", "22"}});
  REQUIRE(image.logs.size() == 3);
  CHECK(image.logs[0].from == origin{{2}, 1});
  CHECK(image.logs[0].lane == stream_lane::ordered);
  CHECK(image.logs[0].first == 11);
  CHECK(image.logs[0].last == 9'000);
  CHECK(image.logs[1].lane == stream_lane::free);
  CHECK(image.logs[1].first == 4);
  CHECK(image.logs[1].last == 5);
  CHECK(image.logs[2].from == origin{{3}, 1});
  CHECK(image.logs[2].first == 70);

  updates_request from{{{2}, 1}, stream_lane::ordered, 0, 10'000};
  std::uint64_t next = 11, pages = 0;
  for (bool more = true; more; ++pages) {
    const auto page = read_updates(*store, from);
    REQUIRE(!page.updates.empty());
    for (const auto& u : page.updates) {
      CHECK(u.seq() == next);
      CHECK(u.value() == std::to_string(next));
      from.after = next++;
    }
    more = page.more;
  }
  CHECK(next == 9'001);
  CHECK(pages > 10);
  from.bytes_max = 0;
  from.after = 8'000;
  CHECK(read_updates(*store, from).updates.size() == 1); // one at least
  // Many at once, and then those behind them.
  CHECK(persist(*store, {updates_erase{{{2}, 1}, stream_lane::ordered, 8'990}}) == errc::none);
  CHECK(persist(*store, {updates_erase{{{2}, 1}, stream_lane::ordered, 8'995}}) == errc::none);
  from = {{{2}, 1}, stream_lane::ordered, 0, 1'000'000};
  const auto rest = read_updates(*store, from);
  REQUIRE(rest.updates.size() == 5);
  CHECK(rest.updates[0].seq() == 8'996);
  CHECK_FALSE(rest.more);

  std::vector<store_write> writes;
  for (int i = 0; i < 600; ++i)
    writes.emplace_back(a_weak_record(3, std::to_string(1'000 + i), std::to_string(i)));
  CHECK(persist(*store, std::move(writes)) == errc::none);
  std::string after;
  int found = 0;
  do {
    const auto page = scan_weak(*store, 3, after);
    for (const auto& entry : page.records)
      CHECK(testing::value_of(entry.found) == std::to_string(found++));
    after = page.next;
  } while (!after.empty());
  CHECK(found == 600);
}
