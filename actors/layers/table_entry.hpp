/// One entry of the memory table: a record of one key, immutable but for who may see it; and the term of a lease,
/// which decides that for all entries of a home at once.
#pragma once

#include "protocol/ids.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace troupe {

/// One generation of the lease with one home, from its first grant to its end. Every entry points to its own, so that
/// "of the running generation" and "before the lease's end" are one load. An ended term never runs again: the next
/// generation is another term.
class lease_term {
public:
  explicit lease_term(instant until) : until_{until.time_since_epoch().count()} {}

  /// Entries of this term answer reads whose clock was sampled before this.
  instant until() const { return instant{nanoseconds{until_.load()}}; }

  /// The rest is the writer's.
  void run_until(instant until) { until_.store(until.time_since_epoch().count()); }
  bool ended() const { return ended_; }
  void end() {
    until_.store(nanoseconds::min().count());
    ended_ = true;
  }

private:
  alignas(64) std::atomic<nanoseconds::rep> until_; ///< all that readers look at; the writer's counting is elsewhere

public:
  alignas(64) std::size_t entries = 0; ///< of this term in the index, readable or not; the writer's

private:
  bool ended_ = false; ///< a running term may have any `until`, the least one included
};

/// What an allocation really takes: of glibc's heap or of jemalloc's, whichever is more, since the table does not
/// know which it stands on (the program brings jemalloc, a service its own).
///
/// glibc takes 8 bytes of its own, and whole blocks of 16. jemalloc has sizes of 16 up to 128, and then four to each
/// doubling; above 14 KiB the pages that are touched, which begin anywhere in the first.
constexpr std::size_t heap_bytes(std::size_t asked) {
  constexpr std::size_t page = 4096;
  if (asked > 7 * page / 2) return (asked + page - 1) / page * page + page;
  const auto blocks = (asked + 8 + 15) / 16 * 16;
  const auto step = asked <= 128 ? 16 : std::bit_floor(asked - 1) / 4;
  return std::max(blocks, (asked + step - 1) / step * step);
}

/// What an entry knows of its record.
enum class content : std::uint8_t {
  value,
  absent,   ///< the key does not exist: a tombstone, or never written
  withheld, ///< a pending record whose value was too large to travel with the recall
};

/// A single block of memory: this, the key's bytes, the value's bytes. The table holds one reference while it is
/// linked and until no reader can be looking at it; every shared view holds one.
class table_entry {
public:
  struct description {
    std::string_view key;
    std::string_view value;
    std::uint64_t hash = 0;
    version at;
    content what = content::value;
    bool readable = false;
  };
  static table_entry* create(const description& from, lease_term& term);
  void add_reference() const noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference() const noexcept;

  table_entry(const table_entry&) = delete;
  table_entry& operator=(const table_entry&) = delete;

  /// What the heap takes for an entry of this key and value.
  static constexpr std::size_t bytes_for(std::size_t key_bytes, std::size_t value_bytes);
  std::size_t bytes() const { return bytes_for(key_bytes_, value_bytes_); }

  std::string_view key() const { return {text(), key_bytes_}; }
  std::string_view value() const { return {text() + key_bytes_, value_bytes_}; }
  std::uint64_t hash() const { return hash_; }
  const version& at() const { return at_; }
  content what() const { return what_; }
  lease_term& term() const { return term_; }

  /// False: a pending record, which its commit makes readable.
  bool readable() const { return readable_.load(); }
  void make_readable() { readable_.store(true); }

  /// Read since the eviction's hand last passed. Stored only when it changes: a hot entry's line stays shared.
  bool referenced() const { return referenced_.load(std::memory_order_relaxed); }
  void set_referenced(bool read) const {
    if (referenced() != read) referenced_.store(read, std::memory_order_relaxed);
  }

  table_entry* next_retired = nullptr; ///< the writer's, once it has taken the entry out

private:
  table_entry(const description& from, lease_term& term);
  ~table_entry() = default;
  const char* text() const { return reinterpret_cast<const char*>(this + 1); }

  mutable std::atomic<std::uint32_t> references_{1};
  std::uint32_t value_bytes_;
  std::uint16_t key_bytes_;
  content what_;
  std::atomic<bool> readable_;
  mutable std::atomic<bool> referenced_{false};
  std::uint64_t hash_;
  lease_term& term_; ///< not to be touched through a shared view: the term may be gone
  version at_;
};

constexpr std::size_t table_entry::bytes_for(std::size_t key_bytes, std::size_t value_bytes) {
  return heap_bytes(sizeof(table_entry) + key_bytes + value_bytes);
}

/// A record that a hit shares with the table: immutable, valid for as long as this lives, whatever becomes of the
/// entry, of its lease, and of the table itself. Empty = a miss.
class shared_record {
public:
  shared_record() = default;
  shared_record(const shared_record& other) noexcept : shared_record{other.entry_} {}
  shared_record(shared_record&& other) noexcept : entry_{std::exchange(other.entry_, nullptr)} {}
  shared_record& operator=(shared_record other) noexcept {
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~shared_record() {
    if (entry_ != nullptr) entry_->drop_reference();
  }

  explicit operator bool() const { return entry_ != nullptr; }
  /// The rest only where this is not empty.
  const version& at() const { return entry_->at(); }
  bool exists() const { return entry_->what() == content::value; }
  std::string_view value() const { return entry_->value(); }

private:
  friend class memory_table;
  explicit shared_record(const table_entry* entry) noexcept : entry_{entry} {
    if (entry_ != nullptr) entry_->add_reference();
  }

  const table_entry* entry_ = nullptr;
};

} // namespace troupe
