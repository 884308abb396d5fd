/// Internal to the RocksDB driver: what the update streams keep (stream_writes.hpp), as keys and values.
///
/// Values of logs and marks begin with a checksum over their key and the rest of them, so that bytes that lie under a
/// wrong key are found too; records bring their own.
#pragma once

#include "actors/layers/rocksdb_image.hpp"
#include "actors/layers/store.hpp"

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::rocksdb_streams {

std::string mark_key(std::string_view name);
std::string update_key(const origin& from, stream_lane lane, std::uint64_t seq);
std::string weak_key(shard_id shard, std::string_view key);
/// What stands under `key` for these bytes.
std::string sealed(std::string_view key, std::string_view bytes);

/// `scratch` is overwritten.
void put(const update_write& write, rocksdb::WriteBatch& batch, std::string& scratch);
void put(const weak_write& write, rocksdb::WriteBatch& batch, std::string& scratch);
void put(const mark_write& write, rocksdb::WriteBatch& batch);

/// Where each log begins, so that erasing its oldest entries touches no others. The writer's own.
class log_starts {
public:
  explicit log_starts(const stream_image& image);
  void erase(const updates_erase& erase, rocksdb::WriteBatch& batch);

private:
  std::map<std::pair<stream_lane, origin>, std::uint64_t> firsts_; ///< one entry per log that ever had one; 1 and up
};

std::vector<weak_result> load(rocksdb::DB& db, const std::vector<load_request>& keys);
weak_page scan(rocksdb::DB& db, shard_id shard, const std::string& after);
updates_page read(rocksdb::DB& db, const updates_request& request);
/// @errors  a mark that cannot be trusted: it says how far the streams are, which nobody else knows.
tl::expected<stream_image, store_error> read_image(const rocksdb_options& options, rocksdb::DB& db);

} // namespace troupe::rocksdb_streams
