/// Finds the entries of the memory table by key: a hash table that one writer changes while readers search it.
///
/// A bucket is one cache line: seven entries, a byte of hash for each, and how many entries went on to a later bucket
/// because this one was full. A search reads one line, and an entry only when its byte agrees; it goes on only while
/// something did. Entries never move, so what is not being removed is found.
#pragma once

#include "actors/layers/table_entry.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace troupe {

class table_index {
public:
  static constexpr std::size_t bucket_entries = 7;

  /// `buckets`: a power of two.
  explicit table_index(std::size_t buckets) : buckets_(buckets) {}

  /// Any thread, inside a read section; or the writer. nullptr = not here.
  table_entry* find(std::string_view key, std::uint64_t hash) const;

  /// Asks for the memory that find() will most likely look at, and says nothing about what it will find. Any thread,
  /// inside a read section.
  void prefetch(std::uint64_t hash) const;

  /// The writer's. A key is inserted once, and only while has_room().
  void insert(table_entry& entry);
  /// Readers that begin after the return do not find it. False: it is not here.
  bool remove(const table_entry& entry);
  /// The entry in a place, 0 .. places() - 1, or nullptr: for those who pass over all entries.
  table_entry* in_place(std::size_t place) const;

  std::size_t buckets() const { return buckets_.size(); }
  std::size_t places() const { return buckets_.size() * bucket_entries; }
  /// Above three quarters, searches begin to cross buckets.
  bool has_room() const { return entries_ < places() / 4 * 3; }
  std::size_t entries() const { return entries_; }
  std::size_t bytes() const { return bytes_for(buckets_.size()); }
  static constexpr std::size_t bytes_for(std::size_t buckets) { return sizeof(table_index) + (buckets + 1) * 64; }

private:
  /// `word`: bytes 0..6 the tags of the places, 0 = empty; byte 7 how many entries went past, 255 = that or more, for
  /// ever. A tag is set after its place and cleared before it.
  struct alignas(64) bucket {
    std::atomic<std::uint64_t> word{0};
    std::array<std::atomic<table_entry*>, bucket_entries> place{};
  };

  std::size_t home_of(std::uint64_t hash) const { return hash & (buckets_.size() - 1); }
  std::size_t after(std::size_t n) const { return (n + 1) & (buckets_.size() - 1); }
  void count_past(bucket& b, int by);

  std::vector<bucket> buckets_;
  std::size_t entries_ = 0;
};

} // namespace troupe
