/// Files for RocksDB whose write-ahead log is filled with zeros ahead of what is written.
///
/// Why: syncing an append also writes the file's new length, one more trip to the disk, and the syncs of several
/// nodes on one disk wait for each other's. A log that is overwritten in place keeps its length from one
/// `log_step_bytes` to the next. RocksDB takes zeros behind the last record for the end of the log, and cuts them off
/// when it closes the file.
#pragma once

#include <rocksdb/env.h>

#include <cstddef>

namespace troupe {

/// How far the log is filled ahead, at most.
constexpr std::size_t log_step_bytes = std::size_t{256} << 10;

/// The default environment with such logs; lives as long as the process.
rocksdb::Env* preallocated_log_env();

} // namespace troupe
