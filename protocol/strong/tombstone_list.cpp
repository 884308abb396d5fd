#include "protocol/strong/tombstone_list.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// What a key costs beside its bytes.
constexpr std::size_t key_overhead = 150;
/// Entries that are looked at for each that may be listed.
constexpr std::size_t looks_per_key = 16;

} // namespace

void tombstone_list::uncount(known& shard, std::map<std::string, ballot>::iterator i) {
  const auto count = shard.by_ballot.find(i->second);
  if (--count->second == 0) shard.by_ballot.erase(count);
  bytes_ -= key_overhead + i->first.size();
  --size_;
}

void tombstone_list::add(shard_id shard, const entry& tombstone) {
  remove(shard, tombstone.key);
  auto& s = shards_[shard];
  const auto cost = key_overhead + tombstone.key.size();
  if (bytes_ + cost > bytes_max_) {
    s.forgot = true;
    return;
  }
  s.keys.emplace(tombstone.key, tombstone.accepted_in);
  ++s.by_ballot[tombstone.accepted_in];
  bytes_ += cost;
  ++size_;
}

void tombstone_list::remove(shard_id shard, const std::string& key) {
  const auto s = shards_.find(shard);
  if (s == shards_.end()) return;
  const auto i = s->second.keys.find(key);
  if (i == s->second.keys.end()) return;
  uncount(s->second, i);
  s->second.keys.erase(i);
}

tombstone_list::page tombstone_list::list(shard_id shard, const epoch& era, const std::string& after,
                                          std::size_t keys_max) const {
  page p;
  const auto s = shards_.find(shard);
  if (s == shards_.end()) return p;
  const auto& keys = s->second.keys;
  const auto& by_ballot = s->second.by_ballot;
  for (auto i = by_ballot.lower_bound(era); i != by_ballot.end(); ++i)
    p.unripe += i->second;
  std::size_t looks = looks_per_key * keys_max;
  for (auto i = keys.upper_bound(after); i != keys.end(); ++i) {
    if (i->second < era) p.keys.push_back(i->first);
    if (--looks > 0 && p.keys.size() < keys_max) continue;
    if (std::next(i) != keys.end()) p.next = i->first;
    break;
  }
  return p;
}

std::optional<std::string> tombstone_list::begin_scan(shard_id shard) {
  auto& s = shards_[shard];
  if (s.scanned == known::scan::done && s.forgot) {
    s.scanned = known::scan::due;
    s.scan_after.clear();
    s.forgot = false;
  }
  if (s.scanned != known::scan::due || bytes_ > bytes_max_ / 2) return std::nullopt;
  s.scanned = known::scan::running;
  return s.scan_after;
}

void tombstone_list::end_scan(shard_id shard, const std::string& next) {
  auto& s = shards_[shard];
  s.scanned = next.empty() ? known::scan::done : known::scan::due;
  s.scan_after = next;
}

} // namespace troupe
