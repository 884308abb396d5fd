/// What the tests of a durable store share: directories that vanish, records with checksums, calls that are waited
/// for.
#pragma once

#include "actors/layers/rocksdb_store.hpp"
#include "protocol/wire.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace troupe::testing {

/// A directory of this test alone, removed with everything in it.
class temporary_directory {
public:
  temporary_directory() {
    static std::atomic<unsigned> made = 0;
    path_ = std::filesystem::temp_directory_path()
            / ("troupe-store-" + std::to_string(::getpid()) + "-" + std::to_string(++made));
    std::filesystem::create_directories(path_);
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  ~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path operator/(const char* name) const { return path_ / name; }

private:
  std::filesystem::path path_;
};

inline rocksdb_options options_for(std::filesystem::path directory) {
  rocksdb_options options;
  options.directory = std::move(directory);
  options.cluster = "shop";
  options.node = {1};
  return options;
}

inline std::unique_ptr<store_driver> must_open(const rocksdb_options& options) {
  auto store = open_store(options);
  REQUIRE_MESSAGE(store.has_value(), (store ? "" : store.error().what));
  return std::move(*store);
}

inline v1::StoreIdentity must_create(const rocksdb_options& options) {
  auto identity = create_store(options);
  REQUIRE_MESSAGE(identity.has_value(), (identity ? "" : identity.error().what));
  return *identity;
}

inline doctest::String refusal_of(const rocksdb_options& options) {
  const auto store = open_store(options);
  REQUIRE_MESSAGE(!store.has_value(), "the store was opened");
  return store.error().what.c_str();
}

inline record_write a_record(std::uint32_t shard, std::string key, std::string bytes, std::uint64_t counter = 1) {
  const epoch era{.round = 3, .node = {1}, .life = {2}};
  record_write write{.shard = {shard}, .key = std::move(key), .record = {}};
  to_wire(era, *write.record.mutable_ballot());
  to_wire(version{.era = era, .counter = counter}, *write.record.mutable_version());
  write.record.set_record(std::move(bytes));
  write.record.set_checksum(checksum_of(record_view{.shard = write.shard,
                                                    .key = write.key,
                                                    .accepted_in = era,
                                                    .number = {.era = era, .counter = counter},
                                                    .bytes = write.record.record()}));
  return write;
}

inline record_write a_tombstone(std::uint32_t shard, std::string key, std::uint64_t counter = 1) {
  auto write = a_record(shard, std::move(key), "removed", counter);
  write.record.set_tombstone(true);
  const auto number = from_wire(write.record.version());
  write.record.set_checksum(checksum_of(
      record_view{write.shard, write.key, from_wire(write.record.ballot()), number, write.record.record(), true}));
  return write;
}

inline promise_write a_promise(std::uint32_t shard, std::uint64_t round, std::uint64_t lease_ms = 400) {
  promise_write write{.shard = {shard}, .promise = {}};
  to_wire(epoch{.round = round, .node = {2}, .life = {1}}, *write.promise.mutable_promised());
  write.promise.set_lease_ms_max(lease_ms);
  write.promise.set_checksum(checksum_of(write.shard, write.promise));
  return write;
}

inline weak_write a_weak_record(std::uint32_t shard, std::string key, std::string value, std::uint64_t seq = 1) {
  weak_write write{.shard = {shard}, .key = std::move(key), .record = {}};
  auto& s = *write.record.add_siblings();
  s.set_node(2);
  s.set_life(1);
  s.set_seq(seq);
  s.set_clock(seq << 16);
  s.set_value(std::move(value));
  write.record.set_checksum(checksum_of(write.shard, write.key, write.record));
  return write;
}

inline update_write an_update(std::uint32_t node, std::uint64_t seq, std::string value,
                              stream_lane lane = stream_lane::ordered) {
  update_write write{.from = {{node}, 1}, .lane = lane, .update = {}};
  write.update.set_seq(seq);
  write.update.set_clock(seq << 16);
  write.update.set_key("type:key");
  write.update.set_value(std::move(value));
  return write;
}

inline constexpr std::chrono::seconds patience{20};

/// Waits for what a callback delivers.
template <class T> T must_get(std::future<T> future) {
  REQUIRE(future.wait_for(patience) == std::future_status::ready);
  return future.get();
}

inline std::future<errc> persist_later(store_driver& store, std::vector<store_write> writes) {
  auto done = std::make_shared<std::promise<errc>>();
  store.persist(std::move(writes), [done](errc code) { done->set_value(code); });
  return done->get_future();
}

inline errc persist(store_driver& store, std::vector<store_write> writes) {
  return must_get(persist_later(store, std::move(writes)));
}

inline std::vector<load_result> load(store_driver& store, std::vector<load_request> keys) {
  auto done = std::make_shared<std::promise<std::vector<load_result>>>();
  store.load(std::move(keys), [done](std::vector<load_result> results) { done->set_value(std::move(results)); });
  return must_get(done->get_future());
}

inline load_result load_one(store_driver& store, std::uint32_t shard, std::string key) {
  auto results = load(store, {{.shard = {shard}, .key = std::move(key)}});
  REQUIRE(results.size() == 1);
  return std::move(results.front());
}

inline scan_result scan(store_driver& store, std::uint32_t shard, std::string after = {}) {
  std::promise<scan_result> done;
  store.scan({shard}, std::move(after), [&done](scan_result found) { done.set_value(std::move(found)); });
  return must_get(done.get_future());
}

inline weak_result load_weak(store_driver& store, std::uint32_t shard, std::string key) {
  std::promise<std::vector<weak_result>> done;
  store.load_weak({{.shard = {shard}, .key = std::move(key)}},
                  [&done](std::vector<weak_result> results) { done.set_value(std::move(results)); });
  auto results = must_get(done.get_future());
  REQUIRE(results.size() == 1);
  return std::move(results.front());
}

inline weak_page scan_weak(store_driver& store, std::uint32_t shard, std::string after = {}) {
  std::promise<weak_page> done;
  store.scan_weak({shard}, std::move(after), [&done](weak_page page) { done.set_value(std::move(page)); });
  return must_get(done.get_future());
}

inline updates_page read_updates(store_driver& store, const updates_request& from) {
  std::promise<updates_page> done;
  store.read_updates(from, [&done](updates_page page) { done.set_value(std::move(page)); });
  return must_get(done.get_future());
}

/// The value of the only sibling; fails the test when there is none.
inline std::string value_of(const weak_result& result) {
  REQUIRE(std::holds_alternative<v1::WeakRecord>(result));
  REQUIRE(std::get<v1::WeakRecord>(result).siblings_size() == 1);
  return std::get<v1::WeakRecord>(result).siblings(0).value();
}

/// The bytes of the record that was found; fails the test when there is none.
inline std::string bytes_of(const load_result& result) {
  REQUIRE(std::holds_alternative<v1::StoredRecord>(result));
  return std::get<v1::StoredRecord>(result).record();
}

inline std::string read_file(const std::filesystem::path& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, std::istreambuf_iterator<char>{}};
}

inline void write_file(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream{file, std::ios::binary | std::ios::trunc} << bytes;
}

inline void flip_bit(const std::filesystem::path& file, std::size_t at) {
  auto bytes = read_file(file);
  REQUIRE(at < bytes.size());
  bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
  write_file(file, bytes);
}

/// RocksDB's files whose names end in `suffix`, oldest first (their names are numbers of fixed width).
inline std::vector<std::filesystem::path> database_files(const rocksdb_options& options, const std::string& suffix) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator{options.directory / "rocksdb"}) {
    const auto name = entry.path().filename().string();
    if (name.size() >= suffix.size() && name.ends_with(suffix)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// The log that was being written when the store was closed. Older ones may linger, empty.
inline std::filesystem::path newest_log(const rocksdb_options& options) {
  const auto logs = database_files(options, ".log");
  REQUIRE_FALSE(logs.empty());
  return logs.back();
}

} // namespace troupe::testing
