#include "tests/layers/store_fixture.hpp"

#include "actors/layers/rocksdb_image.hpp"
#include "actors/layers/rocksdb_streams.hpp"

#include <rocksdb/db.h>

#include <map>

using namespace troupe;
using namespace troupe::testing;
using doctest::Contains;

namespace {

/// Writes straight into RocksDB, behind the driver's back but as its next batch, and syncs.
void plant(const rocksdb_options& options, const std::string& key, const std::string& value) {
  auto mark = synced_mark::open(rocksdb_image::mark_file(options));
  REQUIRE(mark.has_value());
  rocksdb::DB* raw = nullptr;
  REQUIRE(rocksdb::DB::Open(rocksdb_image::tuned(options), rocksdb_image::database(options).string(), &raw).ok());
  const std::unique_ptr<rocksdb::DB> db{raw};
  rocksdb::WriteBatch batch;
  batch.Put(rocksdb_image::count_key, rocksdb_image::count_value(mark->count() + 1));
  batch.Put(key, value);
  REQUIRE(db->Write(rocksdb::WriteOptions{}, &batch).ok());
  REQUIRE(db->Flush(rocksdb::FlushOptions{}).ok());
  REQUIRE(mark->raise(mark->count() + 1));
}

void plant_identity(const rocksdb_options& options, v1::StoreIdentity identity, bool seal) {
  if (seal) identity.set_checksum(checksum_of(identity));
  plant(options, rocksdb_image::identity_key, identity.SerializeAsString());
}

/// A store with a table, a log with several batches in it, and promises in both.
struct filled_store {
  temporary_directory home;
  rocksdb_options options = options_for(home / "store");
  std::map<std::string, std::string> records;
  std::map<std::uint32_t, std::uint64_t> rounds; ///< promised, by shard

  filled_store() {
    must_create(options);
    for (int start = 0; start < 2; ++start) { // what the first start wrote is in a table once the second has begun
      const auto store = must_open(options);
      for (int i = 0; i < 40; ++i) {
        const auto key = std::to_string(start) + "/" + std::to_string(i);
        const auto shard = static_cast<std::uint32_t>(i);
        records[key] = std::string(100, static_cast<char>('a' + i % 26)) + key;
        rounds[shard] = static_cast<std::uint64_t>(10 * start + 1);
        const auto seq = static_cast<std::uint64_t>(40 * start + i + 1);
        REQUIRE(persist(*store, {a_record(1, key, records[key]), a_promise(shard, rounds[shard]),
                                 a_weak_record(2, key, records[key]), an_update(2, seq, records[key]),
                                 mark_write{"position", std::to_string(seq)}})
                == errc::none);
      }
    }
  }

  /// Opens a copy of the store that `damage` was done to. True: it was refused. Otherwise every promise must be
  /// there, and every record either as it was written or `damaged`; `lost` counts the latter.
  template <class Damage> bool refuses(Damage damage, int& lost) const {
    const temporary_directory other;
    auto copied = options;
    copied.directory = other / "copy";
    std::filesystem::copy(options.directory, copied.directory, std::filesystem::copy_options::recursive);
    damage(copied);
    const auto store = open_store(copied);
    if (!store) {
      CHECK(store.error().what.find(copied.directory.string()) != std::string::npos);
      return true;
    }
    CHECK((*store)->promises().size() == rounds.size());
    for (const auto& [shard, promise] : (*store)->promises())
      CHECK(promise.promised().round() == rounds.at(shard.value));
    for (const auto& [key, bytes] : records) {
      const auto found = load_one(**store, 1, key);
      if (std::holds_alternative<damaged>(found)) {
        ++lost;
      } else {
        CHECK(bytes_of(found) == bytes);
      }
      const auto weak = load_weak(**store, 2, key);
      if (std::holds_alternative<damaged>(weak)) {
        ++lost;
      } else {
        CHECK(testing::value_of(weak) == bytes);
      }
    }
    CHECK((*store)->streams().marks.at("position") == "80");
    updates_request from{{{2}, 1}, stream_lane::ordered, 0, 1'000'000};
    for (;;) {
      const auto page = read_updates(**store, from);
      for (const auto& u : page.updates) {
        CHECK(u.seq() == from.after + 1);
        from.after = u.seq();
      }
      if (page.damaged != 0) {
        ++lost;
        from.after = page.damaged;
      }
      if (!page.more) break;
    }
    CHECK(from.after >= 80);
    return false;
  }
};

} // namespace

TEST_CASE("store refused: the directory is missing") {
  const temporary_directory home;
  const auto options = options_for(home / "absent");
  const auto what = refusal_of(options);
  CHECK(what == Contains("does not exist"));
  CHECK(what == Contains("troupe init"));
  CHECK(what == Contains(options.directory.c_str()));
  CHECK_FALSE(std::filesystem::exists(options.directory)); // an open never makes a store
}

TEST_CASE("store refused: the directory is empty") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  std::filesystem::create_directories(options.directory);
  CHECK(refusal_of(options) == Contains("is empty"));
  CHECK(std::filesystem::is_empty(options.directory));
}

TEST_CASE("store refused: the directory holds something else") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  std::filesystem::create_directories(options.directory);
  write_file(options.directory / "photo.jpg", "not a store");
  const auto what = refusal_of(options);
  CHECK(what == Contains("is not a store"));
  CHECK(what == Contains("photo.jpg"));
}

TEST_CASE("store refused: the path is a file") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  write_file(options.directory, "a file");
  CHECK(refusal_of(options) == Contains("is not a directory"));
  CHECK_FALSE(create_store(options).has_value());
  CHECK(read_file(options.directory) == "a file");
}

TEST_CASE("store refused: its init did not finish, or a part was removed") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  SUBCASE("no mark") {
    std::filesystem::remove(options.directory / "synced");
    CHECK(refusal_of(options) == Contains("'synced' is missing"));
  }
  SUBCASE("no database") {
    std::filesystem::remove_all(options.directory / "rocksdb");
    CHECK(refusal_of(options) == Contains("'rocksdb' is missing"));
  }
  SUBCASE("an empty database") {
    std::filesystem::remove_all(options.directory / "rocksdb");
    std::filesystem::create_directory(options.directory / "rocksdb");
    CHECK_FALSE(open_store(options).has_value());
    CHECK(std::filesystem::is_empty(options.directory / "rocksdb"));
  }
}

TEST_CASE("store refused: init does not touch a directory that is not empty") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  SUBCASE("foreign") {
    std::filesystem::create_directories(options.directory);
    write_file(options.directory / "photo.jpg", "not a store");
    const auto made = create_store(options);
    REQUIRE_FALSE(made.has_value());
    CHECK(doctest::String{made.error().what.c_str()} == Contains("photo.jpg"));
    CHECK(read_file(options.directory / "photo.jpg") == "not a store");
  }
  SUBCASE("a store") {
    const auto disk = must_create(options).disk();
    const auto again = create_store(options);
    REQUIRE_FALSE(again.has_value());
    CHECK(doctest::String{again.error().what.c_str()} == Contains("already holds a store"));
    CHECK(must_open(options)->identity().disk() == disk);
  }
}

TEST_CASE("store refused: it belongs to another cluster") {
  const temporary_directory home;
  auto options = options_for(home / "store");
  must_create(options);
  options.cluster = "warehouse";
  const auto what = refusal_of(options);
  CHECK(what == Contains("'shop'"));
  CHECK(what == Contains("'warehouse'"));
  options.cluster = "shop";
  CHECK(must_open(options)->identity().incarnation() == 1); // the refused attempt was no start
}

TEST_CASE("store refused: it belongs to another node") {
  const temporary_directory home;
  auto options = options_for(home / "store");
  must_create(options);
  options.node = {2};
  const auto what = refusal_of(options);
  CHECK(what == Contains("node 1"));
  CHECK(what == Contains("node 2"));
}

TEST_CASE("store refused: its format is of another version") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  auto identity = must_create(options);
  identity.set_format(7);
  plant_identity(options, identity, false);
  const auto what = refusal_of(options);
  CHECK(what == Contains("version 7"));
  CHECK(what == Contains("version 3"));
}

TEST_CASE("store: one of an earlier format is opened, and is of the new one from then on") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  auto identity = must_create(options);
  CHECK(identity.format() == rocksdb_image::format);
  SUBCASE("before tombstones were known") { identity.set_format(1); }
  SUBCASE("before there were streams") { identity.set_format(2); }
  plant_identity(options, identity, true);
  {
    const auto store = must_open(options);
    CHECK(store->identity().format() == rocksdb_image::format);
  }
  CHECK(must_open(options)->identity().format() == rocksdb_image::format);
}

TEST_CASE("store refused: its identity is damaged") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  auto identity = must_create(options);
  SUBCASE("a field") {
    identity.set_disk(identity.disk() ^ 1);
    plant_identity(options, identity, false);
    CHECK(refusal_of(options) == Contains("identity does not match"));
  }
  SUBCASE("unreadable") {
    plant(options, rocksdb_image::identity_key, "\xff\xff\xff");
    CHECK(refusal_of(options) == Contains("identity cannot be read"));
  }
  SUBCASE("of another disk than the mark") {
    identity.set_disk(identity.disk() ^ 1);
    plant_identity(options, identity, true);
    CHECK(refusal_of(options) == Contains("another disk"));
  }
}

TEST_CASE("store refused: a promise is damaged") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  auto promise = a_promise(17, 5).promise;
  SUBCASE("a lower round") { promise.mutable_promised()->set_round(4); }
  SUBCASE("a shorter lease") { promise.set_lease_ms_max(1); }
  SUBCASE("no checksum") { promise.clear_checksum(); }
  SUBCASE("another shard's") { promise = a_promise(18, 5).promise; }
  plant(options, rocksdb_image::promise_key({17}), promise.SerializeAsString());
  CHECK(refusal_of(options) == Contains("promise of shard 17"));
}

TEST_CASE("store refused: a mark of the streams is damaged") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  const auto key = rocksdb_streams::mark_key("r.ordered.2.1");
  auto value = rocksdb_streams::sealed(key, "17 4");
  SUBCASE("its bytes") { value.back() = '5'; }
  SUBCASE("its checksum") { value.front() = static_cast<char>(value.front() ^ 1); }
  SUBCASE("cut short") { value.resize(4); }
  SUBCASE("another one's") { value = rocksdb_streams::sealed(rocksdb_streams::mark_key("r.ordered.3.1"), "17 4"); }
  plant(options, key, value);
  CHECK(refusal_of(options) == Contains("the mark 'r.ordered.2.1'"));
}

TEST_CASE("store: a damaged entry of the conflict ledger is left out, and no reason not to start") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  const auto sound = rocksdb_streams::mark_key("c.1"), bad = rocksdb_streams::mark_key("c.2");
  plant(options, sound, rocksdb_streams::sealed(sound, "one"));
  plant(options, bad, rocksdb_streams::sealed(bad, "two").append("!"));
  const auto store = must_open(options);
  CHECK(store->streams().marks == std::map<std::string, std::string>{{"c.1", "one"}});
}

TEST_CASE("store: damage among what the streams keep is found where it is read, and nothing else suffers (D2)") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  {
    const auto store = must_open(options);
    CHECK(persist(*store, {a_weak_record(1, "a", "1"), a_weak_record(1, "b", "2"), a_weak_record(1, "c", "3"),
                           an_update(2, 1, "x"), an_update(2, 2, "y"), an_update(2, 3, "z")})
          == errc::none);
  }
  auto damaged_record = a_weak_record(1, "b", "2").record;
  damaged_record.mutable_siblings(0)->set_value("3");
  plant(options, rocksdb_streams::weak_key({1}, "b"), damaged_record.SerializeAsString());
  const auto entry = rocksdb_streams::update_key({{2}, 1}, stream_lane::ordered, 2);
  plant(options, entry, rocksdb_streams::sealed(entry, an_update(2, 2, "y").update.SerializeAsString()).append("!"));
  const auto store = must_open(options);
  CHECK(std::holds_alternative<damaged>(load_weak(*store, 1, "b")));
  CHECK(testing::value_of(load_weak(*store, 1, "a")) == "1");
  const auto page = scan_weak(*store, 1);
  REQUIRE(page.records.size() == 3);
  CHECK(std::holds_alternative<damaged>(page.records[1].found));
  CHECK(testing::value_of(page.records[2].found) == "3");
  const auto first = read_updates(*store, {{{2}, 1}, stream_lane::ordered, 0, 1'000'000});
  CHECK(first.updates.size() == 1);
  CHECK(first.damaged == 2);
  CHECK(first.more);
  const auto rest = read_updates(*store, {{{2}, 1}, stream_lane::ordered, 2, 1'000'000});
  REQUIRE(rest.updates.size() == 1);
  CHECK(rest.updates[0].value() == "z");
  CHECK_FALSE(rest.more);
  CHECK(store->count().damaged_found == 3);
}

TEST_CASE("store refused: it is open elsewhere") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  auto first = must_open(options);
  CHECK(refusal_of(options) == Contains("in use"));
  CHECK(persist(*first, {a_record(1, "k", "v")}) == errc::none); // the first is none the worse
  first.reset();
  CHECK(must_open(options)->identity().incarnation() == 2);
}

TEST_CASE("store refused: its mark is damaged") {
  const filled_store whole;
  int lost = 0;
  for (std::size_t at = 0; at < 32; ++at) {
    CHECK(whole.refuses([&](const rocksdb_options& copy) { flip_bit(copy.directory / "synced", at); }, lost));
  }
  CHECK(whole.refuses(
      [](const rocksdb_options& copy) { std::filesystem::resize_file(copy.directory / "synced", 16); }, lost));
}

TEST_CASE("store: a copy without damage opens with everything in it") { // the negative control of those below
  const filled_store whole;
  int lost = 0;
  CHECK_FALSE(whole.refuses([](const rocksdb_options&) {}, lost));
  CHECK(lost == 0);
}

TEST_CASE("store refused: a bit is flipped anywhere in its log") {
  const filled_store whole;
  const auto size = std::filesystem::file_size(newest_log(whole.options));
  REQUIRE(size > 5'000);
  int lost = 0;
  for (std::size_t at = 3; at < size; at += 211) {
    CAPTURE(at);
    CHECK(whole.refuses([&](const rocksdb_options& copy) { flip_bit(newest_log(copy), at); }, lost));
  }
}

TEST_CASE("store refused: its log was cut anywhere before the end of what was synced") {
  const filled_store whole;
  const auto size = std::filesystem::file_size(newest_log(whole.options));
  int lost = 0;
  for (std::size_t length = 0; length < size; length += 307) {
    CAPTURE(length);
    CHECK(whole.refuses([&](const rocksdb_options& copy) { std::filesystem::resize_file(newest_log(copy), length); },
                        lost));
  }
  CHECK(whole.refuses([](const rocksdb_options& copy) { std::filesystem::remove(newest_log(copy)); }, lost));
}

TEST_CASE("store refused: a stretch of zeros stands in its log") { // RocksDB 7.8 skips it without a word
  const filled_store whole;
  const auto bytes = read_file(newest_log(whole.options));
  int lost = 0;
  for (std::size_t at = 0; at + 512 < bytes.size(); at += 512) {
    CAPTURE(at);
    CHECK(whole.refuses(
        [&](const rocksdb_options& copy) {
          auto holed = bytes;
          std::fill_n(holed.begin() + static_cast<std::ptrdiff_t>(at), 512, '\0');
          write_file(newest_log(copy), holed);
        },
        lost));
  }
}

TEST_CASE("store refused: a log that is broken in its middle, even when the mark is from before it") {
  // After a loss of power the mark may be older than the log. What stands behind the break was written only after the
  // sync of what the break destroyed.
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  std::string old_mark;
  {
    const auto store = must_open(options);
    old_mark = read_file(options.directory / "synced");
    for (int i = 0; i < 300; ++i) {
      CHECK(persist(*store, {a_record(1, std::to_string(i), std::string(500, 'v'))}) == errc::none);
    }
  }
  write_file(options.directory / "synced", old_mark);
  const auto log = newest_log(options);
  const auto size = std::filesystem::file_size(log);
  REQUIRE(size > 150'000);
  SUBCASE("by a flipped bit") {
    flip_bit(log, size / 4);
    CHECK(refusal_of(options) == Contains("follows write"));
  }
  SUBCASE("by zeros") {
    auto bytes = read_file(log);
    std::fill_n(bytes.begin() + 65'536, 32'768, '\0');
    write_file(log, bytes);
    CHECK(refusal_of(options) == Contains("follows write"));
  }
  SUBCASE("not at all") { // the control: an old mark alone is no damage
    CHECK(bytes_of(load_one(*must_open(options), 1, "299")) == std::string(500, 'v'));
  }
}

TEST_CASE("store refused: a table was cut or removed") {
  const filled_store whole;
  const auto tables = database_files(whole.options, ".sst");
  REQUIRE_FALSE(tables.empty());
  int lost = 0;
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const auto half = std::filesystem::file_size(tables[i]) / 2;
    CHECK(whole.refuses(
        [&](const rocksdb_options& copy) { std::filesystem::resize_file(database_files(copy, ".sst")[i], half); },
        lost));
    CHECK(whole.refuses(
        [&](const rocksdb_options& copy) { std::filesystem::remove(database_files(copy, ".sst")[i]); }, lost));
  }
}

TEST_CASE("store: whichever byte of its files is damaged, it is refused or nothing wrong is served") {
  const filled_store whole;
  int refused = 0;
  int opened = 0;
  int lost = 0;
  for (const auto& entry : std::filesystem::directory_iterator{whole.options.directory / "rocksdb"}) {
    const auto name = entry.path().filename();
    const auto size = entry.file_size();
    const auto stride = std::max<std::size_t>(1, size / 40);
    for (std::size_t at = 0; at < size; at += stride) {
      CAPTURE(name.string());
      CAPTURE(at);
      const auto flip = [&](const rocksdb_options& copy) { flip_bit(copy.directory / "rocksdb" / name, at); };
      ++(whole.refuses(flip, lost) ? refused : opened);
      const auto cut = [&](const rocksdb_options& copy) {
        std::filesystem::resize_file(copy.directory / "rocksdb" / name, at);
      };
      ++(whole.refuses(cut, lost) ? refused : opened);
    }
  }
  CHECK(refused > 50);
  MESSAGE("refused " << refused << ", opened unharmed " << opened << ", records found damaged " << lost);
}

TEST_CASE("store: a batch that a crash cut off is dropped, and the store goes on") {
  filled_store whole;
  const auto log = newest_log(whole.options);
  const auto bytes = read_file(log);
  int lost = 0;
  const auto ends_with = [&](const std::string& tail) {
    return whole.refuses([&](const rocksdb_options& copy) { write_file(newest_log(copy), bytes + tail); }, lost);
  };
  CHECK_FALSE(ends_with(std::string(3, '\x17')));  // a part of a header
  CHECK_FALSE(ends_with(bytes.substr(0, 60)));     // a header and a part of a body
  CHECK_FALSE(ends_with(std::string(4096, '\0'))); // space that was preallocated
  CHECK_FALSE(ends_with("\x12\x34\x56\x78\x20" + std::string(1, '\0') + "\x01"
                        + std::string(300, 'z'))); // blocks in any order
  CHECK(lost == 0);
}

TEST_CASE("store: a start that dropped a torn end may be killed as well, and the next one goes on") {
  const filled_store whole;
  int lost = 0;
  const auto torn_and_killed = [](const rocksdb_options& copy) {
    const auto log = newest_log(copy);
    write_file(log, read_file(log) + std::string(777, 'Z'));
    const temporary_directory other;
    {
      const auto running = must_open(copy);
      std::filesystem::copy(copy.directory, other / "killed", std::filesystem::copy_options::recursive);
    }
    std::filesystem::remove_all(copy.directory);
    std::filesystem::copy(other / "killed", copy.directory, std::filesystem::copy_options::recursive);
  };
  CHECK_FALSE(whole.refuses(torn_and_killed, lost));
  CHECK(lost == 0);
}

TEST_CASE("store: a flipped bit in a record is found when it is read, and only that record is lost") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  CHECK(persist(*must_open(options), {a_record(1, "good", "v"), a_record(1, "other", "w")}) == errc::none);
  auto record = a_record(1, "bad", "value").record;
  SUBCASE("in its bytes") { record.set_record("valuf"); }
  SUBCASE("in its version") { record.mutable_version()->set_counter(2); }
  SUBCASE("in its ballot") { record.mutable_ballot()->set_round(4); }
  SUBCASE("it stands under another key") { record = a_record(1, "other", "value").record; }
  SUBCASE("it stands in another shard") { record = a_record(2, "bad", "value").record; }
  plant(options, rocksdb_image::record_key({1}, "bad"), record.SerializeAsString());

  const auto store = must_open(options);
  const auto found = load(*store, {{{1}, "good"}, {{1}, "bad"}, {{1}, "other"}});
  CHECK(bytes_of(found[0]) == "v");
  CHECK(std::holds_alternative<damaged>(found[1]));
  CHECK(bytes_of(found[2]) == "w");
  CHECK(store->count().damaged_found == 1);
  CHECK(persist(*store, {a_record(1, "bad", "repaired", 9)}) == errc::none);
  CHECK(bytes_of(load_one(*store, 1, "bad")) == "repaired");
}

TEST_CASE("store: a record that cannot even be parsed is damaged, not absent") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  plant(options, rocksdb_image::record_key({1}, "bad"), "\xff\xff\xff\xff");
  CHECK(std::holds_alternative<damaged>(load_one(*must_open(options), 1, "bad")));
}

TEST_CASE("store: a flipped bit in a table's records costs those of its block and no others") {
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  std::vector<store_write> writes;
  for (int i = 0; i < 1'000; ++i)
    writes.emplace_back(a_record(1, std::to_string(i), std::string(500, 'v')));
  CHECK(persist(*must_open(options), std::move(writes)) == errc::none);
  must_open(options).reset(); // puts the log into a table
  auto tables = database_files(options, ".sst");
  std::sort(tables.begin(), tables.end(), [](const auto& a, const auto& b) {
    return std::filesystem::file_size(a) > std::filesystem::file_size(b);
  });
  flip_bit(tables.front(), std::filesystem::file_size(tables.front()) / 2);

  const auto store = must_open(options);
  std::vector<load_request> keys;
  for (int i = 0; i < 1'000; ++i)
    keys.push_back({{1}, std::to_string(i)});
  int lost = 0;
  for (const auto& found : load(*store, std::move(keys))) {
    REQUIRE_FALSE(std::holds_alternative<std::monostate>(found));
    lost += std::holds_alternative<damaged>(found) ? 1 : 0;
  }
  CHECK(lost > 0);
  CHECK(lost < 50);
  CHECK(store->count().damaged_found == static_cast<std::uint64_t>(lost));
}
