/// The copies and read locks of the L1 memory layer: written by one actor, read from any thread (ARCHITECTURE, "L1 is
/// written by one actor and read from any thread").
///
/// The writer is one thread at a time, the memory layer's actor: it applies grants, recalls, commits and leases in
/// the order of their sequence (PROTOCOLS §3.3). Readers send no message, take no lock, and allocate nothing but the
/// value's copy; with a shared view not even that. On a hit they write into no cache line that another reader
/// touches, except the bit of an entry that had not been read for long and, for a shared view, its count of
/// references.
///
/// A hit is right because of three things.
/// - The reader's clock was sampled before anything was looked up, and the lease of the entry's own generation runs
///   beyond it (see lease_term). A write that waits for the lease to run out is decided later than that sample.
/// - An entry is unpublished before its recall is answered. A reader that began earlier may still return it; the
/// write
///   is then decided while that read is under way.
/// - What was taken out is freed only after every reader that might look at it has left (see read_epochs.hpp).
///
/// A miss promises nothing: it may also be an entry that was just being replaced, or moved into a larger index.
#pragma once

#include "actors/layers/table_entry.hpp"
#include "actors/layers/table_index.hpp"
#include "actors/node_clock.hpp"
#include "protocol/ids.hpp"

#include <array>
#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// A committed record that was granted, or the record of a write that is being decided.
struct table_record {
  std::string_view key;        ///< as stored: see stored_key()
  shard_id home;               ///< the home of this shard sent it,
  lease_generation generation; ///< under this generation of its lease
  version at;
  content what = content::value;
  std::string_view
      value; ///< not shown to readers unless `what` is value; may hold a number of the owner's, see read()
};

enum class published : std::uint8_t {
  done,
  not_leased, ///< its generation is not the running one: the entry would never be readable
  older,      ///< a higher version of the key, readable or pending, is here under the same generation (invariant K1)
  no_room,    ///< larger than the table, or readers have not left enough of what was taken out
};

class memory_table {
public:
  struct options {
    /// Of keys, values, entries, index, and what readers still hold back, as the heap counts them (see heap_bytes);
    /// not of entries that only shared records keep. A sixteenth is set aside for what readers hold back.
    std::size_t bytes_max = std::size_t{256} << 20;
    /// Told, inside of the writer's calls, of each key that is put out for want of room, unless its lease has ended.
    /// Must not call back; may be empty.
    std::function<void(std::string_view key)> evicted{};
  };
  static constexpr std::size_t bytes_max_least = 4096;

  /// @param chosen  bytes_max: bytes_max_least and up (asserted; the configuration refuses less).
  explicit memory_table(const options& chosen);
  /// No reader may be inside; shared records may outlive it.
  ~memory_table();
  memory_table(const memory_table&) = delete;
  memory_table& operator=(const memory_table&) = delete;

  /// What a hit says besides the value.
  struct hit {
    version at;
    bool exists = false; ///< false: the key is known not to exist
  };

  // Any thread.

  /// Finds the record of `key` that may answer a strong read, and copies its value.
  ///
  /// @param now    this node's clock, sampled after the read began and *before* this call.
  /// @param value  assigned on a hit: reusing it saves the allocation. Untouched on a miss.
  /// @return nothing on a miss: unknown, recalled, or not under a lease that runs at `now`.
  std::optional<hit> read(std::string_view key, instant now, std::string& value) const;

  /// The same for values that begin with a number of their owner's, as it stands in memory, which is not
  /// copied.
  ///
  /// @param number  what the value began with; 0 when it was shorter.
  std::optional<hit> read(std::string_view key, instant now, std::uint64_t& number, std::string& value) const;
  /// The same at the clock's time, sampled before the look-up, while what that will load is on its way.
  std::optional<hit> read(std::string_view key, const node_clock& clock, std::string& value) const;

  /// The same without the copy: empty on a miss.
  /// @cost  readers of one hot key take turns at its count of references.
  shared_record share(std::string_view key, instant now) const;

  struct counters {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t entries = 0;   ///< readable or not
    std::uint64_t bytes = 0;     ///< at most bytes_max
    std::uint64_t evictions = 0; ///< for want of room
  };
  counters count() const;

  // The writer's.

  /// Starts or prolongs the lease with `home`: entries of `generation` answer reads sampled before `until`. Another
  /// generation ends the running one first, whose entries are then unreadable, all at once.
  /// @return false, and nothing has changed: `generation` has ended before, or is older than one that was seen.
  bool set_lease(shard_id home, const lease_generation& generation, instant until);

  /// Ends the running generation, if there is one: from the return on none of its entries answers a read that begins.
  /// @cost  O(1) however many they are; the later calls of the writer reclaim them piece by piece.
  void end_lease(shard_id home);

  /// Makes `record` the readable entry of its key, in the place of any other.
  /// @cost  a copy of key and value; evicts for room, and moves a few entries while the index grows.
  published publish(const table_record& record);

  /// Recalls: from the return on, no read that begins returns what was published for `pending.key`. Where there was
  /// something, `pending` is kept for commit_pending, the same recall once more included.
  /// @return whether a pending record of this version is kept. Without one the writer of the recall need not be told
  ///         that this node holds the key.
  bool unpublish(const table_record& pending);

  /// Makes the pending record of `key` readable if it is of exactly this version. A withheld one is dropped: publish
  /// it when its value has come.
  /// @return whether the key is now readable at `committed` (also when it was already).
  bool commit_pending(std::string_view key, const version& committed);

  /// Drops the key, readable or pending. False: there was nothing.
  bool erase(std::string_view key);

  /// Frees what readers have left, and looks at up to `places` of the index for entries of ended generations. Every
  /// call of the writer does a little of it; an idle writer calls this from its timer.
  /// @return whether there is more to do.
  bool reclaim(std::size_t places);

private:
  struct home_lease {
    lease_generation newest;          ///< the highest generation ever set; runs while `term` is there
    std::unique_ptr<lease_term> term; ///< nullptr = ended
  };

  /// How an entry begins.
  struct standing {
    bool readable = false;
    bool referenced = false; ///< inherited from the entry whose place it takes: a key stays hot when it is written
  };

  /// What was taken out and may still be looked at.
  struct retired {
    table_entry* entries = nullptr; ///< chained by next_retired: taking out allocates nothing
    std::vector<std::unique_ptr<table_index>> indexes;
    std::vector<std::unique_ptr<lease_term>> terms;
    std::size_t bytes = 0;   ///< of entries and indexes
    std::uint64_t epoch = 0; ///< the last in which a reader may have seen it; 0 = not closed yet

    void free();
  };

  /// Counts of the readers of one thread, or of all whose number is too high for one of their own.
  struct alignas(64) reader_counts {
    std::atomic<std::uint64_t> hits{0};
    std::atomic<std::uint64_t> misses{0};
  };
  static constexpr std::size_t own_counts = 63;

  /// A number that the writer changes and any thread may look at.
  class writer_count {
  public:
    std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }
    void add(std::uint64_t n) { value_.store(value() + n, std::memory_order_relaxed); }
    void subtract(std::uint64_t n) { value_.store(value() - n, std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_{0};
  };

  template <class Sample, class Take>
  bool look_up(std::string_view key, const Sample& sample, const Take& take) const;
  void count_read(std::size_t thread, bool found) const;
  table_entry* find(std::string_view key, std::uint64_t hash) const;

  lease_term* running_term(shard_id home, const lease_generation& generation);
  bool insert(const table_record& record, std::uint64_t hash, standing stands, lease_term& term);
  void take_out(table_entry& entry);
  bool make_room(std::size_t bytes);
  void make_index_room();
  void evict_one();
  void move_to_new_index(std::size_t places);
  void drop_ended(std::size_t places);
  void end(home_lease& lease);
  void free_retired();
  void tidy();

  const std::size_t bytes_max_;
  const std::size_t live_bytes_max_;
  const std::function<void(std::string_view)> evicted_;

  // What every read loads has a line of its own, which the writer's bookkeeping does not disturb.
  alignas(64) std::atomic<table_index*> index_;  ///< where entries are inserted; owned
  std::atomic<table_index*> old_index_{nullptr}; ///< its smaller predecessor while entries are moved out of it; owned
  alignas(64) std::size_t moved_places_ = 0;     ///< of the old index
  std::size_t hand_ = 0;                         ///< the next place of the index that eviction looks at
  std::size_t ended_hand_ = 0;                   ///< the next place where an entry of an ended term may be
  std::size_t ended_entries_ = 0;                ///< of ended terms, still in the index

  std::map<shard_id, home_lease> leases_; ///< one entry per home that ever gave this node a lease
  retired closed_;                        ///< freed once the readers of its epoch have left; epoch 0 = there is none
  retired retired_;                       ///< since then
  std::size_t retired_since_look_ = 0;    ///< entries that were taken out since readers were last looked at

  writer_count live_bytes_;    ///< entries in the index, and the index
  writer_count retired_bytes_; ///< in `closed_` and `retired_`
  writer_count entries_;
  writer_count evictions_;
  mutable std::array<reader_counts, own_counts + 1> read_counts_;
};

} // namespace troupe
