/// Internal to the RocksDB driver: what a store looks like on disk, and the inspection before it is opened for
/// writing.
#pragma once

#include "actors/layers/rocksdb_store.hpp"

#include <rocksdb/db.h>
#include <rocksdb/options.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::rocksdb_image {

/// 2: records say whether they are tombstones, promises what was collected. 3: what the update streams keep. A store
/// of an earlier format has none of it, is read like one of format 3, and is one from its first start on.
inline constexpr std::uint32_t format = 3;
inline constexpr std::uint32_t format_min = 1;

/// Keys, by first byte: one family, so that one log and one flush order cover everything. Numbers are big-endian.
inline constexpr char count_key[] = "c";    ///< number of the newest batch; first entry of every batch
inline constexpr char identity_key[] = "i"; ///< v1::StoreIdentity
inline constexpr char promise_prefix = 'p'; ///< + shard: v1::StoredPromise
inline constexpr char record_prefix = 'r';  ///< + shard + key: v1::StoredRecord
// Of the update streams; values of the first two begin with a checksum over their key and what follows:
inline constexpr char mark_prefix = 'm';   ///< + name: bytes
inline constexpr char update_prefix = 'u'; ///< + lane, node, life, seq: v1::Update
inline constexpr char weak_prefix = 'w';   ///< + shard + key: v1::WeakRecord

std::string promise_key(shard_id shard);
std::string record_key(shard_id shard, std::string_view key);
/// Above every record of the shard, and not above any of the next one.
std::string records_end(shard_id shard);
std::string count_value(std::uint64_t count);

template <class Integer> void append_big_endian(std::string& out, Integer number) {
  for (int shift = 8 * (static_cast<int>(sizeof number) - 1); shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(static_cast<unsigned char>(number >> shift)));
  }
}

/// Nothing when `bytes` is not exactly one `Integer`.
template <class Integer> std::optional<Integer> read_big_endian(std::string_view bytes) {
  if (bytes.size() != sizeof(Integer)) return std::nullopt;
  Integer number = 0;
  for (const char byte : bytes)
    number = static_cast<Integer>(number << 8) | static_cast<unsigned char>(byte);
  return number;
}

std::filesystem::path mark_file(const rocksdb_options& options);
std::filesystem::path database(const rocksdb_options& options);

/// RocksDB's options for small records and quick syncs; `log` (null = silent) gets its warnings and errors.
rocksdb::Options tuned(const rocksdb_options& options);

/// "store PATH is damaged: …" and its like, for a status that is not ok.
store_error refusal(const rocksdb_options& options, const rocksdb::Status& status);
store_error damage(const rocksdb_options& options, const std::string& what);

/// 0 = no batch was ever applied.
tl::expected<std::uint64_t, store_error> read_count(const rocksdb_options& options, rocksdb::DB& db);
tl::expected<v1::StoreIdentity, store_error> read_identity(const rocksdb_options& options, rocksdb::DB& db);
tl::expected<std::map<shard_id, v1::StoredPromise>, store_error> read_promises(const rocksdb_options& options,
                                                                               rocksdb::DB& db);

rocksdb::WriteOptions synced();
/// The identity with its checksum, as it is stored.
std::string sealed(v1::StoreIdentity& identity);
tl::expected<std::unique_ptr<rocksdb::DB>, store_error> open_database(const rocksdb_options& options, bool create);
/// The directory is there and has the two entries of a store; says what it is instead otherwise.
tl::expected<void, store_error> recognise(const rocksdb_options& options);

/// Looks at the store without changing a byte of it: whose it is, and whether its tables and its log hold every batch
/// up to the mark without a gap. Returns the number of the newest batch; opening it must arrive at that one.
tl::expected<std::uint64_t, store_error> inspect(const rocksdb_options& options, const synced_mark& mark);

} // namespace troupe::rocksdb_image
