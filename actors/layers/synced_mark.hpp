/// How far a store's writes had been synced, kept beside RocksDB, so that a log that lost its end cannot pass for one
/// that never had it.
///
/// RocksDB takes a damaged end of its write-ahead log for a write that a crash cut off, and drops it: right for a
/// write that was never acknowledged, and silent loss for one that was. The mark holds the number of the newest write
/// whose sync has returned; whoever opens the store refuses it when it ends before its mark.
///
/// It is written after every sync but synced itself only every `lag_max`. So it is exact after the death of the
/// process and after a clean close; after a loss of power it may miss the writes of the last `lag_max`, and is never
/// ahead.
#pragma once

#include <tl/expected.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

namespace troupe {

/// Why a store cannot be made or opened: one sentence for the operator, with the path and both values where there are
/// two.
struct store_error {
  std::string what;
};

class synced_mark {
public:
  static constexpr auto lag_max = std::chrono::milliseconds{100};

  /// Makes the mark of a new store, at write `count`, and syncs it. Holds the store's lock like open().
  static tl::expected<synced_mark, store_error> create(const std::filesystem::path& file, std::uint64_t disk,
                                                       std::uint64_t count);

  /// Opens the mark and takes the store's lock, which is held as long as this object lives.
  /// @errors  in use by another process (or another object of this one); unreadable; damaged.
  static tl::expected<synced_mark, store_error> open(const std::filesystem::path& file);

  synced_mark(synced_mark&& other) noexcept;
  synced_mark& operator=(synced_mark&& other) = delete;
  ~synced_mark();

  std::uint64_t disk() const { return disk_; }
  std::uint64_t count() const { return count_; }

  /// Raises the mark without a sync. False: it cannot be written, and the store must not acknowledge anything more.
  bool raise(std::uint64_t count);
  /// Brings the mark to disk; false as for raise().
  bool sync();
  /// raise() was called since the last sync().
  bool lags() const { return lags_; }

private:
  explicit synced_mark(int file) : file_{file} {}
  bool write() const;

  int file_; ///< open and locked; -1 = moved from
  std::uint64_t disk_ = 0;
  std::uint64_t count_ = 0;
  bool lags_ = false;
};

} // namespace troupe
