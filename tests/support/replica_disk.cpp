// The disks of simulated replicas.
#include "protocol/cluster.hpp"
#include "protocol/wire.hpp"
#include "tests/support/replica_cluster.hpp"

#include <algorithm>

namespace troupe::replicas {

void toy_disk::sync(std::uint64_t number) {
  for (; !tail_.empty() && tail_.front().number <= number; tail_.pop_front())
    for (const auto& w : tail_.front().writes)
      apply(w);
}

void toy_disk::crash(std::size_t surviving) {
  if (surviving > 0 && !tail_.empty()) sync(tail_[std::min(surviving, tail_.size()) - 1].number);
  tail_.clear();
}

void toy_disk::apply(const stream_write& w) {
  if (const auto* u = std::get_if<update_write>(&w)) {
    logs_[{u->from, u->lane}][u->update.seq()] = u->update;
  } else if (const auto* e = std::get_if<updates_erase>(&w)) {
    auto& log = logs_[{e->from, e->lane}];
    log.erase(log.begin(), log.upper_bound(e->upto));
  } else if (const auto* r = std::get_if<weak_write>(&w)) {
    if (const auto before = records_.find(r->key); before != records_.end()) former_[r->key] = before->second;
    records_[r->key] = r->record;
  } else if (const auto* gone = std::get_if<weak_erase>(&w)) {
    records_.erase(gone->key);
  } else {
    const auto& m = std::get<mark_write>(w);
    marks_[m.name] = m.value;
    if (m.value.empty()) marks_.erase(m.name);
  }
}

stream_replica::found toy_disk::read(const std::string& key) const {
  const auto i = records_.find(key);
  if (i == records_.end()) return std::monostate{};
  const bool sound = i->second.checksum() == checksum_of(shard_of(key, shards_), key, i->second);
  return sound ? stream_replica::found{i->second} : stream_replica::damage{};
}

updates_page toy_disk::read(const updates_request& request) const {
  updates_page page;
  const auto log = logs_.find({request.from, request.lane});
  if (log == logs_.end()) return page;
  for (auto i = log->second.upper_bound(request.after); i != log->second.end(); ++i) {
    if ((page.more = page.updates.size() >= 7)) break;
    page.updates.push_back(i->second);
  }
  return page;
}

stream_replica::records_page toy_disk::scan(const stream_replica::read_copy& what, bool fails) const {
  constexpr std::size_t page_records = 6;
  stream_replica::records_page page;
  page.whole = !fails;
  if (fails) return page;
  if (!what.key.empty()) {
    page.records.push_back({what.key, read(what.key)});
    return page;
  }
  for (auto i = records_.upper_bound(what.after); i != records_.end(); ++i) {
    if (shard_of(i->first, shards_) != what.shard) continue;
    page.records.push_back({i->first, read(i->first)});
    if (page.records.size() < page_records) continue;
    page.next = i->first;
    break;
  }
  return page;
}

std::string toy_disk::damage(std::uint64_t which) {
  if (records_.empty()) return {};
  auto& [key, record] = *std::next(records_.begin(), static_cast<std::ptrdiff_t>(which % records_.size()));
  record.set_checksum(record.checksum() + 1);
  return key;
}

std::string toy_disk::lose(std::uint64_t which) {
  if (records_.empty()) return {};
  const auto record = std::next(records_.begin(), static_cast<std::ptrdiff_t>(which % records_.size()));
  auto key = record->first;
  if (const auto former = former_.find(key); former != former_.end() && which % 2 == 0) {
    record->second = former->second;
  } else {
    records_.erase(record);
  }
  return key;
}

stream_image toy_disk::image() const {
  stream_image out;
  out.marks = marks_;
  for (const auto& [name, log] : logs_)
    if (!log.empty()) out.logs.push_back({name.first, name.second, log.begin()->first, log.rbegin()->first});
  return out;
}

} // namespace troupe::replicas
