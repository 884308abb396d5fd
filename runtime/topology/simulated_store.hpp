/// A disk and the store on it, in memory: what was synced survives a crash, what was not may or may not.
#pragma once

#include "actors/layers/store.hpp"
#include "runtime/topology/simulated_world.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace troupe::simulated {

struct disk_options {
  nanoseconds sync_min{std::chrono::microseconds{50}};
  nanoseconds sync_max{std::chrono::microseconds{500}};
  double slow = 0; ///< chance that one sync takes up to slow_max
  nanoseconds slow_max{0};
  double failing = 0; ///< chance that one sync fails: the store then refuses everything
  double rotting = 0; ///< chance that a record goes bad after it was read: it is found when it is read again
};

/// What survives a crash.
class disk {
public:
  disk(world& w, node_id node, disk_options options);

  /// Opens the store: raises the incarnation, restores the promises.
  std::unique_ptr<store_driver> open();
  /// The node is gone: what is not synced is lost, a sync under way may have come through.
  void crash();
  /// Damages one stored record, if there is any; it is found when it is read.
  void damage_one();
  void calm() { options_.slow = options_.failing = options_.rotting = 0; }

  const v1::StoreIdentity& identity() const { return identity_; }

  /// Called when a sync has put a record over a sound one that was accepted later: no replica may ever do that.
  std::function<void(const std::string& key)> went_back;
  /// Called when a sync has put a record on the disk.
  std::function<void(shard_id shard, const ballot& accepted_in, const version& number)> stored;

private:
  class store;
  friend class store;
  struct batch {
    std::vector<store_write> writes;
    std::vector<std::function<void(errc)>> done;
  };
  struct weak_slot {
    v1::WeakRecord record;
    bool damaged = false;
  };
  using log_name = std::pair<origin, stream_lane>;
  void sync_next();
  void apply(const batch& b);
  void apply(const update_write& write);
  void apply(const updates_erase& erase);
  stream_image streams() const;
  static void damage(v1::StoredRecord& record) { record.set_checksum(record.checksum() + 1); }

  world& world_;
  disk_options options_;
  v1::StoreIdentity identity_;
  std::map<std::pair<shard_id, std::string>, v1::StoredRecord> records_;
  std::map<shard_id, v1::StoredPromise> promises_;
  std::map<std::pair<shard_id, std::string>, weak_slot> weak_records_;
  std::map<log_name, std::map<std::uint64_t, v1::Update>> logs_; ///< no log is empty
  std::map<std::string, std::string> marks_;
  batch syncing_; ///< under way
  batch waiting_; ///< for the next sync
  bool busy_ = false;
  bool broken_ = false;
  std::uint64_t life_ = 0; ///< opens so far; callbacks of an earlier life are dropped
  std::uint64_t syncs_ = 0, loads_ = 0, damaged_ = 0, written_ = 0;
};

} // namespace troupe::simulated
