/// Seam 3 of 3: the durable store of one node (L4). Real: RocksDB. Simulated: memory with crash, loss and slowness.
#pragma once

#include "protocol/error.hpp"
#include "protocol/ids.hpp"
#include "protocol/stream/stream_writes.hpp"
#include "protocol/wire/record.pb.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace troupe {

/// A record to be stored over whatever stands under its key. The checksum is set by who makes the write.
struct record_write {
  shard_id shard;
  std::string key;
  v1::StoredRecord record;
};

/// A shard's promise to be stored.
struct promise_write {
  shard_id shard;
  v1::StoredPromise promise;
};

/// The record under a key to be removed, if there is one.
struct record_erase {
  shard_id shard;
  std::string key;
};

/// What is written for the strong types, and (stream_writes.hpp) for the others.
using store_write = std::variant<record_write, promise_write, record_erase, update_write, updates_erase, weak_write,
                                 weak_erase, mark_write>;

/// What a read found: nothing, a record whose checksum was verified, or damage.
struct damaged {
  std::string what; ///< for the log; never the bytes
};
using load_result = std::variant<std::monostate, v1::StoredRecord, damaged>;

using weak_result = std::variant<std::monostate, v1::WeakRecord, damaged>;

struct load_request {
  shard_id shard;
  std::string key;
};

/// A page of a shard's records: which of them are tombstones, and where the next page begins.
struct scan_result {
  struct tombstone {
    std::string key;
    ballot accepted_in;
  };
  std::vector<tombstone> tombstones; ///< by key; those whose bytes cannot be read are left out
  std::string next;                  ///< the next page has the keys above it; empty = there are no more
};

/// A page of a shard's records of the weaker types, for whoever compares, collects or copies them.
struct weak_page {
  struct entry {
    std::string key;
    weak_result found; ///< a verified record, or damage
  };
  std::vector<entry> records; ///< by key
  std::string next;           ///< the next page has the keys above it; empty = there are no more
  bool whole = true;          ///< false: the store failed while it was read; nothing follows from what is not there
};

/// Asynchronous: no call blocks, callbacks run on a thread of the driver's (or inside the simulation's event), must
/// not block and must not throw. Writes are applied in the order of the calls; those handed over while a sync is
/// under way are written together and synced once. Safe from any thread.
class store_driver {
public:
  virtual ~store_driver() = default;

  /// Stores all `writes` atomically; `done(errc::none)` once they are on disk. `done(errc::storage_failed)`: that is
  /// not known, and they may still be found by the next start, like any write that was never answered; after that the
  /// store refuses everything. Callbacks come in the order of the calls.
  virtual void persist(std::vector<store_write> writes, std::function<void(errc)> done) = 0;

  /// Reads records as of now or later: what was acknowledged before the call is seen. `done` gets one result per
  /// request, in their order; calls may overtake each other. A store that has failed answers `damaged` to everything.
  virtual void load(std::vector<load_request> keys, std::function<void(std::vector<load_result>)> done) = 0;

  /// Looks through some hundred records of the shard, those whose keys are above `after`, or a quarter of a MiB of
  /// them. Comes after whatever loads wait. `done` as for load. A store that has failed finds nothing.
  virtual void scan(shard_id shard, std::string after, std::function<void(scan_result)> done) = 0;

  /// As load and scan, of the weaker types' records. A checksum that does not match is `damaged`.
  virtual void load_weak(std::vector<load_request> keys, std::function<void(std::vector<weak_result>)> done) = 0;
  virtual void scan_weak(shard_id shard, std::string after, std::function<void(weak_page)> done) = 0;

  /// Reads a log, as of now or later. For whoever replays it at the start, and for a stream whose peer lags.
  virtual void read_updates(updates_request from, std::function<void(updates_page)> done) = 0;

  /// What the streams left here, as it was when the store was opened; the logs are read with read_updates.
  virtual const stream_image& streams() const = 0;

  /// What was restored when the store was opened: one entry per shard with a promise, verified.
  virtual const std::map<shard_id, v1::StoredPromise>& promises() const = 0;

  /// Who this store belongs to, with the incarnation of this start.
  virtual v1::StoreIdentity identity() const = 0;

  /// Remembers a peer's disk id, durably; `done` as for persist.
  virtual void remember_disk(node_id peer, std::uint64_t disk, std::function<void(errc)> done) = 0;

  /// Counters for /metrics and the bench: monotonic since open.
  struct counters {
    std::uint64_t syncs = 0;           ///< batches written; far fewer than persists under load
    std::uint64_t records_written = 0; ///< records and promises, acknowledged
    std::uint64_t records_erased = 0;  ///< likewise
    std::uint64_t bytes_written = 0;   ///< of those, as handed to the disk's log
    std::uint64_t loads = 0;           ///< keys read
    std::uint64_t damaged_found = 0;   ///< loads answered `damaged`
    std::uint64_t queue_depth = 0;     ///< calls not answered yet; the one gauge among counters
  };
  virtual counters count() const = 0;
};

} // namespace troupe
