#include "actors/layers/table_index.hpp"

#include "protocol/assert.hpp"

#include <bit>

namespace troupe {
namespace {

constexpr std::uint64_t every_tag = 0x0001'0101'0101'0101;
constexpr std::uint64_t every_tag_high = every_tag << 7;
constexpr unsigned past_shift = 56;
constexpr std::uint64_t past_max = 255;

/// The byte of the hash that a bucket keeps; the low bits have chosen the bucket.
std::uint64_t tag_of(std::uint64_t hash) {
  const auto tag = hash >> 56;
  return tag == 0 ? 1 : tag;
}

/// The high bit of each tag that equals `tag`; now and then of another one above it too, which the key then refutes.
std::uint64_t places_tagged(std::uint64_t word, std::uint64_t tag) {
  const auto zero_where_equal = word ^ (tag * every_tag);
  return (zero_where_equal - every_tag) & ~zero_where_equal & every_tag_high;
}

std::size_t first_place(std::uint64_t tagged) { return static_cast<std::size_t>(std::countr_zero(tagged)) / 8; }

/// Asks for what a hit reads of an entry, unless it is large, before it is known whether it is one: the lines come
/// together instead of one after the other.
/// @param from  the first line that is asked for.
void prefetch_entry(const table_entry* entry, std::size_t from) {
  for (std::size_t line = from; line < 256; line += 64)
    __builtin_prefetch(reinterpret_cast<const char*>(entry) + line);
}

} // namespace

table_entry* table_index::find(std::string_view key, std::uint64_t hash) const {
  auto at = home_of(hash);
  for (auto left = buckets_.size(); left > 0; --left, at = after(at)) {
    const auto& b = buckets_[at];
    const auto word = b.word.load();
    for (auto tagged = places_tagged(word, tag_of(hash)); tagged != 0; tagged &= tagged - 1) {
      auto* entry = b.place[first_place(tagged)].load();
      if (entry == nullptr) continue;
      prefetch_entry(entry, 64);
      if (entry->hash() == hash && entry->key() == key) return entry;
    }
    if (word >> past_shift == 0) return nullptr;
  }
  return nullptr;
}

void table_index::prefetch(std::uint64_t hash) const {
  const auto& b = buckets_[home_of(hash)];
  const auto tagged = places_tagged(b.word.load(std::memory_order_relaxed), tag_of(hash));
  if (tagged != 0) prefetch_entry(b.place[first_place(tagged)].load(std::memory_order_relaxed), 0);
}

void table_index::insert(table_entry& entry) {
  TROUPE_ASSERT(has_room());
  const auto tag = tag_of(entry.hash());
  for (auto at = home_of(entry.hash());; at = after(at)) {
    auto& b = buckets_[at];
    const auto word = b.word.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < bucket_entries; ++i) {
      if ((word >> (8 * i) & 0xFF) != 0) continue;
      b.place[i].store(&entry);
      b.word.store(word | tag << (8 * i));
      ++entries_;
      return;
    }
    count_past(b, 1);
  }
}

bool table_index::remove(const table_entry& entry) {
  const auto home = home_of(entry.hash());
  auto at = home;
  for (auto left = buckets_.size(); left > 0; --left, at = after(at)) {
    auto& b = buckets_[at];
    const auto word = b.word.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < bucket_entries; ++i) {
      if (b.place[i].load(std::memory_order_relaxed) != &entry) continue;
      b.word.store(word & ~(std::uint64_t{0xFF} << (8 * i)));
      b.place[i].store(nullptr);
      --entries_;
      for (auto passed = home; passed != at; passed = after(passed))
        count_past(buckets_[passed], -1);
      return true;
    }
    if (word >> past_shift == 0) return false;
  }
  return false;
}

table_entry* table_index::in_place(std::size_t place) const {
  return buckets_[place / bucket_entries].place[place % bucket_entries].load(std::memory_order_relaxed);
}

void table_index::count_past(bucket& b, int by) {
  const auto word = b.word.load(std::memory_order_relaxed);
  if (word >> past_shift == past_max) return;
  b.word.store(by > 0 ? word + (std::uint64_t{1} << past_shift) : word - (std::uint64_t{1} << past_shift));
}

} // namespace troupe
