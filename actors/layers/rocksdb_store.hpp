/// The durable store of a node (seam 3, store.hpp) in RocksDB: one directory per node, one sync per batch of writes.
///
/// What an open of the store vouches for: every acknowledged write and promise is there, or the store is refused with
/// a sentence that says why. A record whose bytes were damaged where it lies is found when it is read (`damaged`); it
/// is never served and never taken for absent.
///
///     directory/synced     how far the writes were synced (synced_mark.hpp); its lock is the store's
///     directory/rocksdb/   RocksDB's files
///
/// Every batch carries the next number of one sequence, and none is written before the one ahead of it was synced. So
/// a crash can cut off only the newest batch. A gap in the numbers, anything readable behind a broken batch, or an
/// end before the mark is damage, which RocksDB 7.8 by itself would not notice: it replays a log up to the first
/// broken record, skips zeros, drops the rest and reports success.
///
/// What nothing on this disk can tell: a whole directory put back from an older copy; and after a loss of power,
/// whether the last writes of all, those of the `synced_mark::lag_max` before it, were cut off by it or lost by the
/// disk later.
#pragma once

#include "actors/layers/store.hpp"
#include "actors/layers/synced_mark.hpp"

#include <spdlog/logger.h>
#include <tl/expected.hpp>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

namespace troupe {

struct rocksdb_options {
  std::filesystem::path directory;
  std::string cluster; ///< the store is refused when it belongs to another; not empty
  node_id node;        ///< likewise; not 0 and not a client's

  std::size_t cache_bytes = std::size_t{64} << 20; ///< for blocks, indexes and filters of tables; 1 MiB and up
  unsigned readers = 2;                            ///< threads that read; 1..16
  std::shared_ptr<spdlog::logger> log;             ///< null = silent

  tl::expected<void, store_error> validate() const;
};

/// `troupe init`: makes an empty store with a new random disk id and incarnation 0, and syncs it.
///
/// @errors  the directory exists and is not empty (nothing in it is touched); it cannot be written.
tl::expected<v1::StoreIdentity, store_error> create_store(const rocksdb_options& options);

/// Opens the store for this start of the node: verifies it, raises its incarnation and syncs that before it returns.
/// Nothing may be handed to the store once its destruction has begun; what was handed over before is finished by it.
///
/// @errors  missing, empty, foreign; in use; of another format, cluster or node; damaged or cut short.
/// @cost    reads the write-ahead log twice (at most what three memtables of 32 MiB hold), tables not at all but for
///          their indexes and promises.
tl::expected<std::unique_ptr<store_driver>, store_error> open_store(const rocksdb_options& options);

} // namespace troupe
