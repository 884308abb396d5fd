#include "actors/layers/rocksdb_streams.hpp"

#include "protocol/stream/conflict_marks.hpp"
#include "protocol/wire.hpp"

#include <algorithm>
#include <optional>

namespace troupe::rocksdb_streams {

namespace {

using namespace rocksdb_image;

constexpr std::size_t checksum_bytes = sizeof(std::uint64_t);
/// Of one page of a scan.
constexpr std::size_t scan_records_max = 256;
constexpr std::size_t scan_bytes_max = std::size_t{256} << 10;
/// Of one page of a log, whatever its reader asks for.
constexpr std::size_t log_page_bytes_max = std::size_t{8} << 20;
constexpr std::size_t log_page_updates_max = 8'192;
/// More entries than this are erased as a range: a range costs every later read a little, an entry only its own.
constexpr std::uint64_t single_erases_max = 4'096;

std::string log_key(const origin& from, stream_lane lane) {
  std::string out{update_prefix};
  out.push_back(static_cast<char>(lane));
  append_big_endian(out, from.node.value);
  append_big_endian(out, from.life);
  return out;
}
constexpr std::size_t log_key_bytes = 1 + 1 + sizeof(std::uint32_t) + sizeof(std::uint64_t);

/// What stands behind the checksum; nothing when it does not match.
std::optional<std::string_view> opened(std::string_view key, std::string_view value) {
  if (value.size() < checksum_bytes) return std::nullopt;
  const auto bytes = value.substr(checksum_bytes);
  if (read_big_endian<std::uint64_t>(value.substr(0, checksum_bytes)) != checksum_of(key, bytes)) return std::nullopt;
  return bytes;
}

template <class Message> bool parse(std::string_view key, const rocksdb::Slice& value, Message& out) {
  const auto bytes = opened(key, value.ToStringView());
  return bytes && out.ParseFromArray(bytes->data(), static_cast<int>(bytes->size()));
}

weak_result judge(shard_id shard, std::string_view key, const rocksdb::Slice& value) {
  v1::WeakRecord record;
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return damaged{"the record cannot be parsed"};
  }
  if (record.checksum() != checksum_of(shard, key, record)) return damaged{"the record's checksum does not match"};
  return record;
}

struct log_name {
  stream_lane lane = stream_lane::ordered;
  origin from;
};

std::optional<log_name> log_of(std::string_view key) {
  if (key.size() < log_key_bytes || static_cast<std::uint8_t>(key[1]) >= stream_lanes) return std::nullopt;
  const auto node = read_big_endian<std::uint32_t>(key.substr(2, sizeof(std::uint32_t)));
  const auto life = read_big_endian<std::uint64_t>(key.substr(2 + sizeof(std::uint32_t), sizeof(std::uint64_t)));
  return log_name{static_cast<stream_lane>(key[1]), {{*node}, *life}};
}

} // namespace

std::string mark_key(std::string_view name) { return std::string{mark_prefix}.append(name); }

std::string update_key(const origin& from, stream_lane lane, std::uint64_t seq) {
  auto out = log_key(from, lane);
  append_big_endian(out, seq);
  return out;
}

std::string weak_key(shard_id shard, std::string_view key) {
  std::string out;
  out.reserve(1 + sizeof shard.value + key.size());
  out.push_back(weak_prefix);
  append_big_endian(out, shard.value);
  return out.append(key);
}

std::string sealed(std::string_view key, std::string_view bytes) {
  std::string out;
  out.reserve(checksum_bytes + bytes.size());
  append_big_endian(out, checksum_of(key, bytes));
  return out.append(bytes);
}

void put(const update_write& write, rocksdb::WriteBatch& batch, std::string& scratch) {
  write.update.SerializeToString(&scratch);
  const auto key = update_key(write.from, write.lane, write.update.seq());
  batch.Put(key, sealed(key, scratch));
}

void put(const weak_write& write, rocksdb::WriteBatch& batch, std::string& scratch) {
  write.record.SerializeToString(&scratch);
  batch.Put(weak_key(write.shard, write.key), scratch);
}

void put(const mark_write& write, rocksdb::WriteBatch& batch) {
  const auto key = mark_key(write.name);
  if (write.value.empty()) {
    batch.Delete(key);
  } else {
    batch.Put(key, sealed(key, write.value));
  }
}

log_starts::log_starts(const stream_image& image) {
  for (const auto& log : image.logs)
    firsts_[{log.lane, log.from}] = log.first;
}

void log_starts::erase(const updates_erase& erase, rocksdb::WriteBatch& batch) {
  auto& first = firsts_.try_emplace({erase.lane, erase.from}, 1).first->second;
  if (erase.upto < first) return;
  if (erase.upto - first < single_erases_max) {
    for (auto seq = first; seq <= erase.upto; ++seq)
      batch.Delete(update_key(erase.from, erase.lane, seq));
  } else {
    batch.DeleteRange(update_key(erase.from, erase.lane, first), update_key(erase.from, erase.lane, erase.upto + 1));
  }
  first = erase.upto + 1;
}

std::vector<weak_result> load(rocksdb::DB& db, const std::vector<load_request>& keys) {
  std::vector<std::string> names;
  names.reserve(keys.size());
  for (const auto& request : keys)
    names.push_back(weak_key(request.shard, request.key));
  const std::vector<rocksdb::Slice> slices{names.begin(), names.end()};
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  db.MultiGet(rocksdb::ReadOptions{}, db.DefaultColumnFamily(), keys.size(), slices.data(), values.data(),
              statuses.data());
  std::vector<weak_result> results;
  results.reserve(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (statuses[i].IsNotFound()) {
      results.emplace_back(std::monostate{});
    } else if (!statuses[i].ok()) {
      results.emplace_back(damaged{statuses[i].ToString()});
    } else {
      results.push_back(judge(keys[i].shard, keys[i].key, values[i]));
    }
  }
  return results;
}

weak_page scan(rocksdb::DB& db, shard_id shard, const std::string& after) {
  weak_page found;
  const shard_id behind{shard.value + 1};
  const auto end = behind.value != 0 ? weak_key(behind, {}) : std::string(1, weak_prefix + 1);
  const auto prefix = weak_key(shard, {}).size();
  const rocksdb::Slice upper_bound{end};
  rocksdb::ReadOptions reading;
  reading.iterate_upper_bound = &upper_bound;
  reading.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> at{db.NewIterator(reading)};
  auto from = weak_key(shard, after);
  if (!after.empty()) from.push_back('\0');
  std::size_t bytes = 0;
  for (at->Seek(from); at->Valid(); at->Next()) {
    const auto name = at->key().ToStringView();
    const auto key = name.substr(prefix);
    found.records.push_back({std::string{key}, judge(shard, key, at->value())});
    bytes += at->value().size();
    if (found.records.size() < scan_records_max && bytes < scan_bytes_max) continue;
    found.next = found.records.back().key;
    break;
  }
  found.whole = at->status().ok();
  return found;
}

updates_page read(rocksdb::DB& db, const updates_request& request) {
  updates_page page;
  const auto log = log_key(request.from, request.lane);
  const auto end = update_key({request.from.node, request.from.life + 1}, request.lane, 0);
  const rocksdb::Slice upper_bound{end};
  rocksdb::ReadOptions reading;
  reading.iterate_upper_bound = &upper_bound;
  reading.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> at{db.NewIterator(reading)};
  const auto bytes_max = std::min(request.bytes_max, log_page_bytes_max);
  std::size_t bytes = 0;
  for (at->Seek(update_key(request.from, request.lane, request.after + 1)); at->Valid(); at->Next()) {
    const auto name = at->key().ToStringView();
    const auto seq = read_big_endian<std::uint64_t>(name.substr(log.size()));
    bytes += at->value().size();
    if (!page.updates.empty() && (bytes > bytes_max || page.updates.size() >= log_page_updates_max)) {
      page.more = true;
      break;
    }
    v1::Update update;
    if (!seq || !parse(name, at->value(), update) || update.seq() != *seq) {
      page.damaged = seq.value_or(request.after + 1);
      page.more = true;
      break;
    }
    page.updates.push_back(std::move(update));
  }
  if (!at->status().ok() && page.damaged == 0) {
    page.damaged = (page.updates.empty() ? request.after : page.updates.back().seq()) + 1;
    page.more = true;
  }
  return page;
}

tl::expected<stream_image, store_error> read_image(const rocksdb_options& options, rocksdb::DB& db) {
  stream_image image;
  const std::unique_ptr<rocksdb::Iterator> at{db.NewIterator(rocksdb::ReadOptions{})};
  for (at->Seek(std::string(1, mark_prefix)); at->Valid() && at->key()[0] == mark_prefix; at->Next()) {
    const auto bytes = opened(at->key().ToStringView(), at->value().ToStringView());
    if (!bytes && at->key().ToStringView().substr(1).starts_with(conflict_marks)) {
      // Kept for people: not worth a node that does not start.
      if (options.log) options.log->error("store.damaged_conflict mark={:?}", at->key().ToString().substr(1));
      continue;
    }
    if (!bytes) {
      return tl::unexpected{damage(options, "the mark '" + at->key().ToString().substr(1)
                                                + "' cannot be trusted; it says how far this node's streams are")};
    }
    image.marks.emplace(at->key().ToString().substr(1), *bytes);
  }
  if (!at->status().ok()) return tl::unexpected{refusal(options, at->status())};

  // From log to log: the ends of each, not what is between them.
  at->Seek(std::string(1, update_prefix));
  while (at->Valid() && at->key()[0] == update_prefix) {
    const auto key = at->key().ToString();
    const auto name = log_of(key);
    const auto first =
        name ? read_big_endian<std::uint64_t>(std::string_view{key}.substr(log_key_bytes)) : std::nullopt;
    if (!first) return tl::unexpected{damage(options, "an update stands under a key that is not a number")};
    const auto behind = update_key({name->from.node, name->from.life + 1}, name->lane, 0);
    at->SeekForPrev(update_key(name->from, name->lane, UINT64_MAX));
    if (!at->Valid()) break;
    const auto last = read_big_endian<std::uint64_t>(at->key().ToStringView().substr(log_key_bytes));
    if (!last) return tl::unexpected{damage(options, "an update stands under a key that is not a number")};
    image.logs.push_back({.from = name->from, .lane = name->lane, .first = *first, .last = *last});
    at->Seek(behind);
  }
  if (!at->status().ok()) return tl::unexpected{refusal(options, at->status())};
  std::sort(image.logs.begin(), image.logs.end(), [](const auto& a, const auto& b) {
    return std::pair{a.from, a.lane} < std::pair{b.from, b.lane};
  });
  return image;
}

} // namespace troupe::rocksdb_streams
