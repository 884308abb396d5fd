/// How a store of the RocksDB driver comes to be, and what must hold before one is opened.
#include "actors/layers/rocksdb_image.hpp"
#include "protocol/wire.hpp"

#include <rocksdb/write_batch.h>

#include <fcntl.h>
#include <unistd.h>

#include <random>
#include <system_error>

namespace troupe {

namespace {

using namespace rocksdb_image;

/// Syncs a directory, so that the names in it are on disk.
tl::expected<void, store_error> sync_directory(const std::filesystem::path& directory) {
  const int file = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool done = file >= 0 && ::fsync(file) == 0;
  if (file >= 0) ::close(file);
  if (!done) return tl::unexpected{store_error{directory.string() + " cannot be synced"}};
  return {};
}

std::uint64_t random_disk_id() {
  std::random_device device;
  std::uint64_t id = 0;
  while (id == 0)
    id = (std::uint64_t{device()} << 32) | device();
  return id;
}

} // namespace

namespace rocksdb_image {

rocksdb::WriteOptions synced() {
  rocksdb::WriteOptions writing;
  writing.sync = true;
  return writing;
}

std::string sealed(v1::StoreIdentity& identity) {
  identity.set_checksum(checksum_of(identity));
  return identity.SerializeAsString();
}

tl::expected<std::unique_ptr<rocksdb::DB>, store_error> open_database(const rocksdb_options& options, bool create) {
  auto settings = tuned(options);
  settings.create_if_missing = create;
  settings.error_if_exists = create;
  rocksdb::DB* raw = nullptr;
  const auto opened = rocksdb::DB::Open(settings, database(options).string(), &raw);
  if (!opened.ok()) return tl::unexpected{refusal(options, opened)};
  return std::unique_ptr<rocksdb::DB>{raw};
}

tl::expected<void, store_error> recognise(const rocksdb_options& options) {
  const auto path = options.directory.string();
  std::error_code failed;
  if (!std::filesystem::exists(options.directory, failed)) {
    return tl::unexpected{store_error{"store " + path + " does not exist; `troupe init` makes one"}};
  }
  if (!std::filesystem::is_directory(options.directory, failed)) {
    return tl::unexpected{store_error{"store " + path + " is not a directory"}};
  }
  std::filesystem::directory_iterator entries{options.directory, failed};
  if (failed) return tl::unexpected{store_error{"store " + path + " cannot be read: " + failed.message()}};
  if (entries == std::filesystem::directory_iterator{}) {
    return tl::unexpected{store_error{"store " + path
                                      + " is empty; `troupe init` makes a new one, which joins as a new "
                                        "disk: what an older one promised is not remembered"}};
  }
  const bool marked = std::filesystem::exists(mark_file(options), failed);
  const bool filled = std::filesystem::exists(database(options), failed);
  if (marked && filled) return {};
  const auto found = entries->path().filename().string();
  if (!marked && !filled) {
    return tl::unexpected{store_error{path + " is not a store of Troupe: it holds '" + found + "'"}};
  }
  return tl::unexpected{store_error{"store " + path + " is incomplete: '" + (marked ? "rocksdb" : "synced")
                                    + "' is missing; it is damaged, or its `troupe init` did not finish"}};
}

} // namespace rocksdb_image

tl::expected<void, store_error> rocksdb_options::validate() const {
  if (directory.empty()) return tl::unexpected{store_error{"the store's directory is not set"}};
  if (cluster.empty()) return tl::unexpected{store_error{"the cluster's name is empty"}};
  if (node.value == 0 || is_client(node)) {
    return tl::unexpected{store_error{"node " + std::to_string(node.value) + " cannot have a store"}};
  }
  if (cache_bytes < (std::size_t{1} << 20)) return tl::unexpected{store_error{"the store's cache is under 1 MiB"}};
  if (readers < 1 || readers > 16) return tl::unexpected{store_error{"the store's readers are not within 1..16"}};
  return {};
}

tl::expected<v1::StoreIdentity, store_error> create_store(const rocksdb_options& options) {
  if (auto valid = options.validate(); !valid) return tl::unexpected{valid.error()};
  const auto path = options.directory.string();
  std::error_code failed;
  std::filesystem::create_directories(options.directory, failed);
  if (failed) return tl::unexpected{store_error{"store " + path + " cannot be made: " + failed.message()}};
  const std::filesystem::directory_iterator entries{options.directory, failed};
  if (failed) return tl::unexpected{store_error{"store " + path + " cannot be read: " + failed.message()}};
  if (entries != std::filesystem::directory_iterator{}) {
    const bool store = std::filesystem::exists(mark_file(options), failed);
    return tl::unexpected{
        store_error{path
                    + (store ? " already holds a store; it is not made again"
                             : " is not empty: it holds '" + entries->path().filename().string() + "'")}};
  }

  v1::StoreIdentity identity;
  identity.set_format(format);
  identity.set_cluster(options.cluster);
  identity.set_node(options.node.value);
  identity.set_disk(random_disk_id());
  {
    const auto db = open_database(options, true);
    if (!db) return tl::unexpected{db.error()};
    rocksdb::WriteBatch batch;
    batch.Put(count_key, count_value(1));
    batch.Put(identity_key, sealed(identity));
    auto status = (*db)->Write(synced(), &batch);
    // Into a table: inspect() reads whose the store is without its log.
    if (status.ok()) status = (*db)->Flush(rocksdb::FlushOptions{});
    if (status.ok()) status = (*db)->Close();
    if (!status.ok()) return tl::unexpected{refusal(options, status)};
  }
  // The mark is made last: a store without one is a `troupe init` that did not finish.
  if (const auto mark = synced_mark::create(mark_file(options), identity.disk(), 1); !mark) {
    return tl::unexpected{mark.error()};
  }
  auto absolute = std::filesystem::absolute(options.directory, failed).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path(); // "store/"
  if (auto done = sync_directory(absolute); !done) return tl::unexpected{done.error()};
  if (auto done = sync_directory(absolute.parent_path()); !done) return tl::unexpected{done.error()};
  if (options.log) options.log->info("store.created path={:?} disk={:016x}", path, identity.disk());
  return identity;
}

} // namespace troupe
