#include "actors/layers/memory_table.hpp"

#include "actors/layers/read_epochs.hpp"
#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace troupe {
namespace {

constexpr std::size_t first_buckets = 8;
/// What each call of the writer looks at on the side: an index is emptied long before its successor is full.
constexpr std::size_t places_per_call = 4 * table_index::bucket_entries;
/// Looking for readers costs a cache line per thread; it pays for this many at once.
constexpr std::size_t retired_per_look = 64;

std::uint64_t hash_of(std::string_view key) { return XXH3_64bits(key.data(), key.size()); }

auto copy_to(std::optional<memory_table::hit>& found, std::string& value) {
  return [&](const table_entry& entry) {
    if (value.capacity() < entry.value().size())
      value = std::string{entry.value()}; // costs half of what it takes to let it grow
    else
      value.assign(entry.value());
    found = memory_table::hit{.at = entry.at(), .exists = entry.what() == content::value};
  };
}

} // namespace

memory_table::memory_table(const options& chosen)
    : bytes_max_{chosen.bytes_max},
      live_bytes_max_{chosen.bytes_max - chosen.bytes_max / 16},
      evicted_{chosen.evicted} {
  TROUPE_ASSERT(chosen.bytes_max >= bytes_max_least);
  auto index = std::make_unique<table_index>(first_buckets);
  live_bytes_.add(index->bytes());
  index_.store(index.release());
}

memory_table::~memory_table() {
  for (auto& [home, lease] : leases_)
    end(lease);
  while (old_index_.load() != nullptr)
    move_to_new_index(places_per_call);
  while (ended_entries_ > 0)
    drop_ended(places_per_call);
  TROUPE_ASSERT(entries_.value() == 0);
  delete index_.load();
  closed_.free();
  retired_.free();
}

// Readers.

template <class Sample, class Take>
bool memory_table::look_up(std::string_view key, const Sample& sample, const Take& take) const {
  const auto hash = hash_of(key);
  const read_section reading;
  const instant now = sample(hash);
  const auto* entry = find(key, hash);
  const bool readable = entry != nullptr && entry->readable()
                        && (now < entry->term().until() || mutated(mutation::table_lease_not_checked));
  if (readable) {
    entry->set_referenced(true);
    take(*entry);
  }
  count_read(reading.thread_number(), readable);
  return readable;
}

std::optional<memory_table::hit> memory_table::read(std::string_view key, instant now, std::string& value) const {
  std::optional<hit> found;
  look_up(
      key, [now](std::uint64_t) { return now; }, copy_to(found, value));
  return found;
}

std::optional<memory_table::hit> memory_table::read(std::string_view key, const node_clock& clock,
                                                    std::string& value) const {
  std::optional<hit> found;
  look_up(
      key,
      [&](std::uint64_t hash) {
        index_.load()->prefetch(hash);
        return clock.now();
      },
      copy_to(found, value));
  return found;
}

std::optional<memory_table::hit> memory_table::read(std::string_view key, instant now, std::uint64_t& number,
                                                    std::string& value) const {
  std::optional<hit> found;
  look_up(
      key, [now](std::uint64_t) { return now; },
      [&](const table_entry& entry) {
        const auto whole = entry.value();
        number = 0;
        if (whole.size() < sizeof number) {
          value.clear();
        } else {
          std::memcpy(&number, whole.data(), sizeof number);
          value.assign(whole.substr(sizeof number));
        }
        found = hit{.at = entry.at(), .exists = entry.what() == content::value};
      });
  return found;
}

shared_record memory_table::share(std::string_view key, instant now) const {
  shared_record found;
  look_up(
      key, [now](std::uint64_t) { return now; }, [&](const table_entry& entry) { found = shared_record{&entry}; });
  return found;
}

void memory_table::count_read(std::size_t thread, bool found) const {
  auto& counts = read_counts_[std::min(thread, own_counts)];
  auto& count = found ? counts.hits : counts.misses;
  if (thread < own_counts)
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); // nobody else writes it
  else
    count.fetch_add(1, std::memory_order_relaxed);
}

memory_table::counters memory_table::count() const {
  counters all;
  for (const auto& counts : read_counts_) {
    all.hits += counts.hits.load(std::memory_order_relaxed);
    all.misses += counts.misses.load(std::memory_order_relaxed);
  }
  all.entries = entries_.value();
  all.bytes = live_bytes_.value() + retired_bytes_.value();
  all.evictions = evictions_.value();
  return all;
}

table_entry* memory_table::find(std::string_view key, std::uint64_t hash) const {
  // In this order: what is moved meanwhile is in the new one before it has left the old one.
  if (const auto* old = old_index_.load(); old != nullptr)
    if (auto* entry = old->find(key, hash); entry != nullptr) return entry;
  return index_.load()->find(key, hash);
}

// Leases.

bool memory_table::set_lease(shard_id home, const lease_generation& generation, instant until) {
  auto& lease = leases_[home];
  const bool renewal = lease.term != nullptr && generation == lease.newest;
  if (renewal || (lease.term != nullptr && mutated(mutation::table_generation_reused))) {
    lease.newest = generation;
    lease.term->run_until(until);
    return true;
  }
  if (generation <= lease.newest) return false;
  end(lease);
  lease.newest = generation;
  lease.term = std::make_unique<lease_term>(until);
  tidy();
  return true;
}

void memory_table::end_lease(shard_id home) {
  if (const auto found = leases_.find(home); found != leases_.end()) end(found->second);
  tidy();
}

void memory_table::end(home_lease& lease) {
  if (lease.term == nullptr) return;
  lease.term->end();
  ended_entries_ += lease.term->entries;
  if (lease.term->entries == 0)
    retired_.terms.push_back(std::move(lease.term));
  else
    static_cast<void>(lease.term.release()); // its last entry takes it along: see take_out()
}

lease_term* memory_table::running_term(shard_id home, const lease_generation& generation) {
  const auto found = leases_.find(home);
  return found != leases_.end() && found->second.newest == generation ? found->second.term.get() : nullptr;
}

// Entries.

published memory_table::publish(const table_record& record) {
  TROUPE_ASSERT(record.what != content::withheld);
  tidy();
  auto* term = running_term(record.home, record.generation);
  if (term == nullptr) return published::not_leased;
  const auto hash = hash_of(record.key);
  standing stands{.readable = true};
  if (auto* entry = find(record.key, hash); entry != nullptr) {
    if (&entry->term() == term && entry->at() > record.at) return published::older;
    stands.referenced = entry->referenced();
    take_out(*entry);
  }
  return insert(record, hash, stands, *term) ? published::done : published::no_room;
}

bool memory_table::unpublish(const table_record& pending) {
  tidy();
  const auto hash = hash_of(pending.key);
  auto* entry = find(pending.key, hash);
  if (entry == nullptr) return false;
  auto* term = running_term(pending.home, pending.generation);
  const bool same_term = &entry->term() == term;
  if (same_term && !entry->readable() && entry->at() >= pending.at) {
    // A recall once more, or one that a later recall has overtaken: nothing here is readable.
    if (entry->at() == pending.at && (entry->what() != content::withheld || pending.what == content::withheld))
      return true;
    if (entry->at() > pending.at) return false;
  }
  const bool overtaken = same_term && entry->readable() && entry->at() >= pending.at;
  const standing stands{.readable = false, .referenced = entry->referenced()};
  take_out(*entry);
  return term != nullptr && !overtaken && insert(pending, hash, stands, *term);
}

bool memory_table::commit_pending(std::string_view key, const version& committed) {
  tidy();
  auto* entry = find(key, hash_of(key));
  if (entry == nullptr || entry->term().ended()) return false;
  if (entry->at() != committed && !mutated(mutation::table_pending_not_checked)) return false;
  if (entry->what() == content::withheld) {
    take_out(*entry);
    return false;
  }
  if (!entry->readable()) entry->make_readable();
  return true;
}

bool memory_table::erase(std::string_view key) {
  tidy();
  auto* entry = find(key, hash_of(key));
  if (entry == nullptr) return false;
  take_out(*entry);
  return true;
}

bool memory_table::insert(const table_record& record, std::uint64_t hash, standing stands, lease_term& term) {
  const auto bytes = table_entry::bytes_for(record.key.size(), record.value.size());
  make_index_room();
  if (!make_room(bytes)) return false;
  auto* entry = table_entry::create({.key = record.key,
                                     .value = record.value,
                                     .hash = hash,
                                     .at = record.at,
                                     .what = record.what,
                                     .readable = stands.readable},
                                    term);
  entry->set_referenced(stands.referenced);
  index_.load(std::memory_order_relaxed)->insert(*entry);
  ++term.entries;
  live_bytes_.add(bytes);
  entries_.add(1);
  return true;
}

void memory_table::take_out(table_entry& entry) {
  const bool removed = index_.load(std::memory_order_relaxed)->remove(entry)
                       || old_index_.load(std::memory_order_relaxed)->remove(entry);
  TROUPE_ASSERT(removed);
  live_bytes_.subtract(entry.bytes());
  entries_.subtract(1);
  auto& term = entry.term();
  --term.entries;
  entry.next_retired = std::exchange(retired_.entries, &entry);
  retired_bytes_.add(entry.bytes());
  retired_.bytes += entry.bytes();
  ++retired_since_look_;
  if (!term.ended()) return;
  --ended_entries_;
  if (term.entries == 0) retired_.terms.emplace_back(&term);
}

// Room.

bool memory_table::make_room(std::size_t bytes) {
  const auto* old = old_index_.load(std::memory_order_relaxed);
  const auto indexes = index_.load(std::memory_order_relaxed)->bytes() + (old == nullptr ? 0 : old->bytes());
  if (indexes + bytes > live_bytes_max_) return false;
  while (live_bytes_.value() + bytes > live_bytes_max_)
    evict_one();
  const auto fits = [&] { return live_bytes_.value() + retired_bytes_.value() + bytes <= bytes_max_; };
  if (!fits()) free_retired();
  return fits();
}

void memory_table::make_index_room() {
  auto* index = index_.load(std::memory_order_relaxed);
  if (index->has_room()) return;
  const auto bytes = table_index::bytes_for(2 * index->buckets());
  if (old_index_.load(std::memory_order_relaxed) == nullptr && make_room(bytes)) {
    auto grown = std::make_unique<table_index>(2 * index->buckets());
    old_index_.store(index);
    index_.store(grown.release());
    live_bytes_.add(bytes);
    moved_places_ = 0;
    return;
  }
  while (!index->has_room())
    evict_one();
}

void memory_table::evict_one() {
  // Two rounds clear every bit; readers who set them as fast shall not keep the writer here.
  auto* index = index_.load(std::memory_order_relaxed);
  for (auto patience = 2 * index->places(); entries_.value() > 0; patience -= patience > 0 ? 1 : 0) {
    move_to_new_index(places_per_call);
    hand_ = hand_ + 1 < index->places() ? hand_ + 1 : 0;
    auto* entry = index->in_place(hand_);
    if (entry == nullptr) continue;
    const bool ended = entry->term().ended();
    if (!ended && entry->referenced() && patience > 0) {
      entry->set_referenced(false);
      continue;
    }
    if (!ended) {
      evictions_.add(1);
      if (evicted_) evicted_(entry->key());
    }
    return take_out(*entry);
  }
}

void memory_table::move_to_new_index(std::size_t places) {
  auto* old = old_index_.load(std::memory_order_relaxed);
  if (old == nullptr) return;
  const auto end = std::min(moved_places_ + places, old->places());
  for (; moved_places_ < end; ++moved_places_) {
    auto* entry = old->in_place(moved_places_);
    if (entry == nullptr) continue;
    if (entry->term().ended()) {
      take_out(*entry);
      continue;
    }
    index_.load(std::memory_order_relaxed)->insert(*entry);
    old->remove(*entry);
  }
  if (end < old->places()) return;
  old_index_.store(nullptr);
  live_bytes_.subtract(old->bytes());
  retired_bytes_.add(old->bytes());
  retired_.bytes += old->bytes();
  retired_.indexes.emplace_back(old);
}

void memory_table::drop_ended(std::size_t places) {
  const auto* index = index_.load(std::memory_order_relaxed);
  for (; places > 0 && ended_entries_ > 0; --places) {
    ended_hand_ = ended_hand_ + 1 < index->places() ? ended_hand_ + 1 : 0;
    if (auto* entry = index->in_place(ended_hand_); entry != nullptr && entry->term().ended()) take_out(*entry);
  }
}

// What readers may still look at.

void memory_table::free_retired() {
  retired_since_look_ = 0;
  // Once for what is closed already, once for what is closed only now.
  for (int round = 0; round < 2; ++round) {
    if (closed_.epoch != 0 && closed_.epoch >= oldest_read_epoch()) return;
    retired_bytes_.subtract(closed_.bytes);
    closed_.free();
    closed_ = std::exchange(retired_, {});
    closed_.epoch = close_read_epoch();
  }
}

void memory_table::retired::free() {
  while (entries != nullptr)
    std::exchange(entries, entries->next_retired)->drop_reference();
  indexes.clear();
  terms.clear();
}

void memory_table::tidy() {
  move_to_new_index(places_per_call);
  drop_ended(places_per_call);
  if (retired_since_look_ >= retired_per_look) free_retired();
}

bool memory_table::reclaim(std::size_t places) {
  move_to_new_index(places);
  drop_ended(places);
  free_retired();
  return old_index_.load(std::memory_order_relaxed) != nullptr || ended_entries_ > 0 || retired_bytes_.value() > 0;
}

} // namespace troupe
