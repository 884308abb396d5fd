#include "actors/layers/rocksdb_image.hpp"

#include "actors/layers/preallocated_log.hpp"
#include "protocol/wire.hpp"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/wal_filter.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <optional>

namespace troupe::rocksdb_image {

namespace {

/// RocksDB's own log, into ours: no LOG files, and nothing below a warning.
class log_bridge final : public rocksdb::Logger {
public:
  explicit log_bridge(std::shared_ptr<spdlog::logger> log)
      : rocksdb::Logger{rocksdb::InfoLogLevel::WARN_LEVEL}, log_{std::move(log)} {}
  ~log_bridge() override { static_cast<void>(Close()); }

  using rocksdb::Logger::Logv;
  void Logv(const char* format, std::va_list arguments) override { write(spdlog::level::warn, format, arguments); }
  void Logv(rocksdb::InfoLogLevel level, const char* format, std::va_list arguments) override {
    if (level < rocksdb::InfoLogLevel::WARN_LEVEL || level == rocksdb::InfoLogLevel::HEADER_LEVEL) return;
    write(level == rocksdb::InfoLogLevel::WARN_LEVEL ? spdlog::level::warn : spdlog::level::err, format, arguments);
  }
  void LogHeader(const char*, std::va_list) override {}

private:
  void write(spdlog::level::level_enum level, const char* format, std::va_list arguments) const {
    if (!log_) return;
    std::array<char, 1024> line{};
    std::vsnprintf(line.data(), line.size(), format, arguments);
    log_->log(level, "store.rocksdb text={:?}", std::string_view{line.data()});
  }

  std::shared_ptr<spdlog::logger> log_;
};

/// The number of a batch: its first entry. 0 = not a batch of ours.
std::uint64_t number_of(const rocksdb::WriteBatch& batch) {
  class first_entry final : public rocksdb::WriteBatch::Handler {
  public:
    rocksdb::Status PutCF(std::uint32_t, const rocksdb::Slice& key, const rocksdb::Slice& value) override {
      if (key == rocksdb::Slice{count_key}) number = read_big_endian<std::uint64_t>(value.ToStringView()).value_or(0);
      seen_ = true;
      return rocksdb::Status::OK();
    }
    bool Continue() override { return !seen_; }
    std::uint64_t number = 0;

  private:
    bool seen_ = false;
  };
  first_entry first;
  return batch.Iterate(&first).ok() ? first.number : 0;
}

/// Goes through the log without applying it: which batches can be read, and whether any is missing between them.
class log_census final : public rocksdb::WalFilter {
public:
  const char* Name() const override { return "troupe.census"; }
  WalProcessingOption LogRecordFound(unsigned long long, const std::string& file, const rocksdb::WriteBatch& batch,
                                     rocksdb::WriteBatch*, bool*) override {
    // RocksDB's own: it writes an empty one behind a torn end that it has dropped.
    if (batch.Count() == 0) return WalProcessingOption::kIgnoreCurrentRecord;
    const auto number = number_of(batch);
    if (first == 0) first = number;
    if (gap.empty() && number == 0) gap = file + " holds a write without a number";
    if (gap.empty() && last != 0 && number != last + 1) {
      gap = file + ": write " + std::to_string(number) + " follows write " + std::to_string(last);
    }
    last = number;
    return WalProcessingOption::kIgnoreCurrentRecord;
  }

  std::uint64_t first = 0; ///< 0 = the log is empty
  std::uint64_t last = 0;
  std::string gap; ///< the first one; empty = none
};

tl::expected<std::unique_ptr<rocksdb::DB>, store_error> look_into(const rocksdb_options& options,
                                                                  log_census& census) {
  auto settings = tuned(options);
  // The census must see what stands behind a broken record, where every other mode stops.
  settings.wal_recovery_mode = rocksdb::WALRecoveryMode::kSkipAnyCorruptedRecords;
  settings.wal_filter = &census;
  const std::vector<rocksdb::ColumnFamilyDescriptor> families{{rocksdb::kDefaultColumnFamilyName, settings}};
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* raw = nullptr;
  const auto opened = rocksdb::DB::OpenForReadOnly(settings, database(options).string(), families, &handles, &raw);
  if (!opened.ok()) return tl::unexpected{refusal(options, opened)};
  std::unique_ptr<rocksdb::DB> db{raw};
  for (auto* handle : handles)
    db->DestroyColumnFamilyHandle(handle);
  return db;
}

} // namespace

std::string promise_key(shard_id shard) {
  std::string out{promise_prefix};
  append_big_endian(out, shard.value);
  return out;
}

std::string record_key(shard_id shard, std::string_view key) {
  std::string out;
  out.reserve(1 + sizeof shard.value + key.size());
  out.push_back(record_prefix);
  append_big_endian(out, shard.value);
  return out.append(key);
}

std::string records_end(shard_id shard) {
  const shard_id next{shard.value + 1};
  return next.value != 0 ? record_key(next, {}) : std::string(1, record_prefix + 1);
}

std::string count_value(std::uint64_t count) {
  std::string out;
  append_big_endian(out, count);
  return out;
}

std::filesystem::path mark_file(const rocksdb_options& options) { return options.directory / "synced"; }
std::filesystem::path database(const rocksdb_options& options) { return options.directory / "rocksdb"; }

rocksdb::Options tuned(const rocksdb_options& options) {
  rocksdb::Options out;
  out.paranoid_checks = true;
  // Replays up to a batch that a crash cut off. What it would drop silently was refused before, by inspect().
  out.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  out.use_fsync = false;
  // RocksDB 7.8 recycles logs in no recovery mode that keeps a promise.
  out.recycle_log_file_num = 0;
  out.env = preallocated_log_env();

  // The log is replayed at a start: three small memtables keep that to a fraction of a second.
  out.write_buffer_size = std::size_t{32} << 20;
  out.max_write_buffer_number = 3;
  out.memtable_whole_key_filtering = true;
  out.memtable_prefix_bloom_size_ratio = 0.02;
  out.target_file_size_base = std::uint64_t{32} << 20;
  out.max_bytes_for_level_base = std::uint64_t{128} << 20;
  out.level_compaction_dynamic_level_bytes = true;
  out.max_background_jobs = 2;
  out.max_subcompactions = 1;
  out.bytes_per_sync =
      std::uint64_t{1} << 20; // so that a flush does not hold up the log's sync with one large write-back
  // After a failed write nothing is retried behind our back: the store has failed.
  out.max_bgerror_resume_count = 0;

  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.cache_bytes);
  table.cache_index_and_filter_blocks = true; // inside cache_bytes, ahead of records
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(
      rocksdb::NewBloomFilterPolicy(10)); // most keys that replicas are asked for first do not exist
  table.format_version = 5;
  out.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  const auto compressions = rocksdb::GetSupportedCompressions();
  out.compression = rocksdb::kNoCompression;
  if (std::find(compressions.begin(), compressions.end(), rocksdb::kLZ4Compression) != compressions.end()) {
    out.bottommost_compression = rocksdb::kLZ4Compression; // once per record, where it lies for long
  }

  out.info_log = std::make_shared<log_bridge>(options.log);
  out.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  out.stats_dump_period_sec = 0;
  out.stats_persist_period_sec = 0;
  return out;
}

store_error damage(const rocksdb_options& options, const std::string& what) {
  return {"store " + options.directory.string() + " is damaged: " + what};
}

store_error refusal(const rocksdb_options& options, const rocksdb::Status& status) {
  if (status.IsCorruption()) return damage(options, status.ToString());
  return {"store " + options.directory.string() + " cannot be used: " + status.ToString()};
}

tl::expected<std::uint64_t, store_error> read_count(const rocksdb_options& options, rocksdb::DB& db) {
  std::string value;
  const auto status = db.Get(rocksdb::ReadOptions{}, count_key, &value);
  if (status.IsNotFound()) return 0;
  if (!status.ok()) return tl::unexpected{refusal(options, status)};
  if (const auto count = read_big_endian<std::uint64_t>(value)) return *count;
  return tl::unexpected{damage(options, "its count of writes is not a number")};
}

tl::expected<v1::StoreIdentity, store_error> read_identity(const rocksdb_options& options, rocksdb::DB& db) {
  const auto path = "store " + options.directory.string();
  std::string value;
  const auto status = db.Get(rocksdb::ReadOptions{}, identity_key, &value);
  if (status.IsNotFound()) return tl::unexpected{damage(options, "it has no identity")};
  if (!status.ok()) return tl::unexpected{refusal(options, status)};
  v1::StoreIdentity identity;
  if (!identity.ParseFromString(value)) return tl::unexpected{damage(options, "its identity cannot be read")};
  // The format first: a newer one may mean anything by the other fields, the checksum included.
  if (identity.format() < format_min || identity.format() > format) {
    return tl::unexpected{store_error{path + " has format version " + std::to_string(identity.format())
                                      + "; this build knows version " + std::to_string(format)
                                      + " and those before it"}};
  }
  if (identity.checksum() != checksum_of(identity)) {
    return tl::unexpected{damage(options, "the checksum of its identity does not match")};
  }
  if (identity.cluster() != options.cluster) {
    return tl::unexpected{store_error{path + " belongs to cluster '" + identity.cluster()
                                      + "'; this node is configured for cluster '" + options.cluster + "'"}};
  }
  if (identity.node() != options.node.value) {
    return tl::unexpected{store_error{path + " belongs to node " + std::to_string(identity.node())
                                      + "; this node is configured as node " + std::to_string(options.node.value)}};
  }
  return identity;
}

tl::expected<std::map<shard_id, v1::StoredPromise>, store_error> read_promises(const rocksdb_options& options,
                                                                               rocksdb::DB& db) {
  std::map<shard_id, v1::StoredPromise> promises;
  const std::string first(1, promise_prefix);
  const std::string end(1, promise_prefix + 1);
  const rocksdb::Slice upper_bound{end};
  rocksdb::ReadOptions reading;
  reading.iterate_upper_bound = &upper_bound;
  const std::unique_ptr<rocksdb::Iterator> at{db.NewIterator(reading)};
  for (at->Seek(first); at->Valid(); at->Next()) {
    const auto shard = read_big_endian<std::uint32_t>(at->key().ToStringView().substr(1));
    if (!shard) return tl::unexpected{damage(options, "a promise stands under a key that is not a shard")};
    v1::StoredPromise promise;
    const auto bytes = at->value();
    if (!promise.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))
        || promise.checksum() != checksum_of(shard_id{*shard}, promise)) {
      return tl::unexpected{damage(options, "the promise of shard " + std::to_string(*shard)
                                                + " cannot be trusted; this node must not vote with it")};
    }
    promises.emplace(shard_id{*shard}, std::move(promise));
  }
  if (!at->status().ok()) return tl::unexpected{refusal(options, at->status())};
  return promises;
}

tl::expected<std::uint64_t, store_error> inspect(const rocksdb_options& options, const synced_mark& mark) {
  log_census census;
  const auto db = look_into(options, census);
  if (!db) return tl::unexpected{db.error()};
  const auto identity = read_identity(options, **db);
  if (!identity) return tl::unexpected{identity.error()};
  if (identity->disk() != mark.disk()) {
    return tl::unexpected{damage(options, "its mark was made for another disk than its records")};
  }
  const auto applied = read_count(options, **db);
  if (!applied) return tl::unexpected{applied.error()};

  if (!census.gap.empty()) return tl::unexpected{damage(options, census.gap)};
  if (census.first > *applied + 1) {
    return tl::unexpected{damage(options, "its tables end with write " + std::to_string(*applied)
                                              + " and its log begins with write " + std::to_string(census.first))};
  }
  const auto newest = std::max(*applied, census.last);
  if (newest < mark.count()) {
    return tl::unexpected{damage(options, "it ends with write " + std::to_string(newest) + " but write "
                                              + std::to_string(mark.count()) + " was synced")};
  }
  return newest;
}

} // namespace troupe::rocksdb_image
