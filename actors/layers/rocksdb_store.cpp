#include "actors/layers/rocksdb_store.hpp"

#include "actors/layers/rocksdb_image.hpp"
#include "actors/layers/rocksdb_streams.hpp"
#include "protocol/limits.hpp"
#include "protocol/wire.hpp"

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace troupe {

namespace {

using namespace rocksdb_image;

/// A batch is closed when it holds this much; what is left waits for the next sync. One call is never split.
constexpr std::size_t batch_bytes_max = std::size_t{16} << 20;
/// Keys that one reader takes at a time: enough to share work, few enough that the other reader gets some too.
constexpr std::size_t load_keys_max = 64;
/// Of one page of a scan.
constexpr std::size_t scan_records_max = 256;
constexpr std::size_t scan_bytes_max = std::size_t{256} << 10;

template <class... Ts> struct overloaded : Ts... { using Ts::operator()...; };
template <class... Ts> overloaded(Ts...) -> overloaded<Ts...>;

class rocksdb_store final : public store_driver {
public:
  /// What open_store() found and verified.
  struct opened {
    std::unique_ptr<rocksdb::DB> db;
    synced_mark mark;
    v1::StoreIdentity identity;
    std::map<shard_id, v1::StoredPromise> promises;
    stream_image streams;
    std::uint64_t count = 0; ///< of the newest batch
  };

  rocksdb_store(opened store, const rocksdb_options& options);
  ~rocksdb_store() override;

  void persist(std::vector<store_write> writes, std::function<void(errc)> done) override;
  void load(std::vector<load_request> keys, std::function<void(std::vector<load_result>)> done) override;
  const std::map<shard_id, v1::StoredPromise>& promises() const override { return promises_; }
  v1::StoreIdentity identity() const override;
  void scan(shard_id shard, std::string after, std::function<void(scan_result)> done) override;
  void load_weak(std::vector<load_request> keys, std::function<void(std::vector<weak_result>)> done) override;
  void scan_weak(shard_id shard, std::string after, std::function<void(weak_page)> done) override;
  void read_updates(updates_request from, std::function<void(updates_page)> done) override;
  const stream_image& streams() const override { return streams_; }
  void remember_disk(node_id peer, std::uint64_t disk, std::function<void(errc)> done) override;
  counters count() const override;

private:
  struct disk_write {
    node_id peer;
    std::uint64_t disk = 0;
  };
  struct write_call {
    std::variant<std::vector<store_write>, disk_write> what;
    std::function<void(errc)> done;
  };
  struct load_call {
    std::vector<load_request> keys;
    std::function<void(std::vector<load_result>)> done;
  };
  struct weak_load_call {
    std::vector<load_request> keys;
    std::function<void(std::vector<weak_result>)> done;
  };
  /// Comes after whatever loads wait: a page of anything.
  using page_call = std::function<void()>;

  void hand_over(write_call call);
  void write_loop();
  /// Writes the calls in as few batches as fit, one sync each, and answers them in order.
  void commit(std::deque<write_call>& calls);
  /// True once the batch is on disk and the mark says so; false: the store has failed.
  bool write(rocksdb::WriteBatch& batch);
  void append(const write_call& call, rocksdb::WriteBatch& batch);
  void fail(std::string_view what);

  void read_loop();
  void answer(std::vector<load_call>& calls);
  void queue_page(page_call call);
  scan_result find_tombstones(shard_id shard, const std::string& after);
  void answer(weak_load_call call);
  void found_damaged(const load_request& request, const damaged& bad);
  load_result judge(const load_request& request, const rocksdb::Status& status, const rocksdb::Slice& bytes);

  const std::unique_ptr<rocksdb::DB> db_;
  const std::map<shard_id, v1::StoredPromise> promises_;
  const stream_image streams_;
  const std::filesystem::path directory_; ///< for the log
  const std::shared_ptr<spdlog::logger> log_;

  // The writer's own.
  synced_mark mark_;
  rocksdb_streams::log_starts log_starts_;
  std::uint64_t written_;    ///< number of the newest batch
  std::string scratch_;      ///< a serialized message
  std::size_t appended_ = 0; ///< records and promises in the open batch
  std::size_t erased_ = 0;   ///< and records that it erases

  mutable std::mutex identity_mutex_;
  v1::StoreIdentity identity_; ///< written by the writer only

  std::mutex write_mutex_;
  std::condition_variable write_wanted_;
  std::deque<write_call> writes_; ///< bounded by the callers
  bool stopping_writes_ = false;

  std::mutex load_mutex_;
  std::condition_variable load_wanted_;
  std::deque<load_call> loads_; ///< bounded by the callers
  std::deque<weak_load_call> weak_loads_;
  std::deque<page_call> pages_; ///< likewise
  bool stopping_loads_ = false;

  std::atomic<bool> failed_ = false; ///< set once, by the writer; never reset
  std::atomic<std::uint64_t> syncs_ = 0;
  std::atomic<std::uint64_t> records_written_ = 0;
  std::atomic<std::uint64_t> records_erased_ = 0;
  std::atomic<std::uint64_t> bytes_written_ = 0;
  std::atomic<std::uint64_t> keys_loaded_ = 0;
  std::atomic<std::uint64_t> damaged_found_ = 0;
  std::atomic<std::uint64_t> unanswered_ = 0;

  std::thread writer_;
  std::vector<std::thread> readers_;
};

rocksdb_store::rocksdb_store(opened store, const rocksdb_options& options)
    : db_{std::move(store.db)},
      promises_{std::move(store.promises)},
      streams_{std::move(store.streams)},
      directory_{options.directory},
      log_{options.log},
      mark_{std::move(store.mark)},
      log_starts_{streams_},
      written_{store.count},
      identity_{std::move(store.identity)} {
  writer_ = std::thread{[this] { write_loop(); }};
  for (unsigned i = 0; i < options.readers; ++i)
    readers_.emplace_back([this] { read_loop(); });
}

rocksdb_store::~rocksdb_store() {
  {
    const std::lock_guard lock{load_mutex_};
    stopping_loads_ = true;
  }
  load_wanted_.notify_all();
  for (auto& reader : readers_)
    reader.join();
  {
    const std::lock_guard lock{write_mutex_};
    stopping_writes_ = true;
  }
  write_wanted_.notify_all();
  writer_.join();
  const auto closed = db_->Close();
  if (!closed.ok() && log_)
    log_->warn("store.close_failed path={:?} why={:?}", directory_.string(), closed.ToString());
}

// --- writing ---

void rocksdb_store::persist(std::vector<store_write> writes, std::function<void(errc)> done) {
  hand_over({std::move(writes), std::move(done)});
}

void rocksdb_store::remember_disk(node_id peer, std::uint64_t disk, std::function<void(errc)> done) {
  hand_over({disk_write{peer, disk}, std::move(done)});
}

void rocksdb_store::hand_over(write_call call) {
  ++unanswered_;
  {
    const std::lock_guard lock{write_mutex_};
    writes_.push_back(std::move(call));
  }
  write_wanted_.notify_one();
}

void rocksdb_store::write_loop() {
  const auto wanted = [this] { return stopping_writes_ || !writes_.empty(); };
  std::deque<write_call> taken;
  auto mark_synced = std::chrono::steady_clock::now();
  std::unique_lock lock{write_mutex_};
  for (;;) {
    if (mark_.lags()) {
      write_wanted_.wait_until(lock, mark_synced + synced_mark::lag_max, wanted);
    } else {
      write_wanted_.wait(lock, wanted);
    }
    taken.swap(writes_);
    const bool last_round = stopping_writes_ && taken.empty();
    lock.unlock();
    commit(taken);
    taken.clear();
    const auto now = std::chrono::steady_clock::now();
    if (mark_.lags() && (last_round || now >= mark_synced + synced_mark::lag_max)) {
      if (!mark_.sync()) fail("the mark cannot be synced");
      mark_synced = now;
    }
    if (last_round) return;
    lock.lock();
  }
}

void rocksdb_store::commit(std::deque<write_call>& calls) {
  auto next = calls.begin();
  while (next != calls.end()) {
    const auto first = next;
    rocksdb::WriteBatch batch;
    appended_ = erased_ = 0;
    batch.Put(count_key, count_value(written_ + 1));
    for (; next != calls.end() && batch.GetDataSize() < batch_bytes_max; ++next)
      append(*next, batch);
    // Calls without a write need no sync of their own, only their turn.
    const bool done = batch.Count() == 1 ? !failed_ : write(batch);
    for (auto call = first; call != next; ++call) {
      --unanswered_;
      call->done(done ? errc::none : errc::storage_failed);
    }
  }
}

void rocksdb_store::append(const write_call& call, rocksdb::WriteBatch& batch) {
  const auto put = overloaded{
      [&](const record_write& write) {
        write.record.SerializeToString(&scratch_);
        batch.Put(record_key(write.shard, write.key), scratch_);
        ++appended_;
      },
      [&](const promise_write& write) {
        write.promise.SerializeToString(&scratch_);
        batch.Put(promise_key(write.shard), scratch_);
        ++appended_;
      },
      [&](const record_erase& erase) {
        batch.Delete(record_key(erase.shard, erase.key));
        ++erased_;
      },
      [&](const update_write& write) {
        rocksdb_streams::put(write, batch, scratch_);
        ++appended_;
      },
      [&](const updates_erase& erase) { log_starts_.erase(erase, batch); },
      [&](const weak_write& write) {
        rocksdb_streams::put(write, batch, scratch_);
        ++appended_;
      },
      [&](const weak_erase& erase) {
        batch.Delete(rocksdb_streams::weak_key(erase.shard, erase.key));
        ++erased_;
      },
      [&](const mark_write& write) { rocksdb_streams::put(write, batch); },
  };
  if (const auto* writes = std::get_if<std::vector<store_write>>(&call.what)) {
    for (const auto& write : *writes)
      std::visit(put, write);
    return;
  }
  const auto& remembered = std::get<disk_write>(call.what);
  const std::lock_guard lock{identity_mutex_};
  auto& peers = *identity_.mutable_peers();
  auto peer =
      std::find_if(peers.begin(), peers.end(), [&](const auto& p) { return p.node() >= remembered.peer.value; });
  if (peer == peers.end() || peer->node() != remembered.peer.value) {
    const auto place = peer - peers.begin();
    peers.Add()->set_node(remembered.peer.value);
    peer = peers.begin() + place;
    std::rotate(peer, peers.end() - 1, peers.end());
  }
  peer->set_disk(remembered.disk);
  batch.Put(identity_key, sealed(identity_));
}

bool rocksdb_store::write(rocksdb::WriteBatch& batch) {
  if (failed_) return false;
  const auto written = db_->Write(synced(), &batch);
  if (!written.ok()) {
    fail(written.ToString());
    return false;
  }
  if (!mark_.raise(++written_)) {
    fail("the mark cannot be written");
    return false;
  }
  ++syncs_;
  records_written_ += appended_;
  records_erased_ += erased_;
  bytes_written_ += batch.GetDataSize();
  return true;
}

void rocksdb_store::fail(std::string_view what) {
  failed_ = true;
  if (log_) log_->error("store.failed path={:?} why={:?}", directory_.string(), what);
}

// --- reading ---

void rocksdb_store::load(std::vector<load_request> keys, std::function<void(std::vector<load_result>)> done) {
  ++unanswered_;
  {
    const std::lock_guard lock{load_mutex_};
    loads_.push_back({std::move(keys), std::move(done)});
  }
  load_wanted_.notify_one();
}

void rocksdb_store::read_loop() {
  std::vector<load_call> taken;
  std::unique_lock lock{load_mutex_};
  for (;;) {
    load_wanted_.wait(
        lock, [this] { return stopping_loads_ || !loads_.empty() || !weak_loads_.empty() || !pages_.empty(); });
    if (!weak_loads_.empty()) {
      auto call = std::move(weak_loads_.front());
      weak_loads_.pop_front();
      lock.unlock();
      answer(std::move(call));
      lock.lock();
    }
    if (loads_.empty()) {
      if (!weak_loads_.empty()) continue;
      if (pages_.empty()) {
        if (stopping_loads_) return;
        continue;
      }
      const auto call = std::move(pages_.front());
      pages_.pop_front();
      lock.unlock();
      call();
      lock.lock();
      continue;
    }
    std::size_t keys = 0;
    while (!loads_.empty() && keys < load_keys_max) {
      keys += loads_.front().keys.size();
      taken.push_back(std::move(loads_.front()));
      loads_.pop_front();
    }
    lock.unlock();
    answer(taken);
    taken.clear();
    lock.lock();
  }
}

void rocksdb_store::queue_page(page_call call) {
  ++unanswered_;
  {
    const std::lock_guard lock{load_mutex_};
    pages_.push_back(std::move(call));
  }
  load_wanted_.notify_one();
}

void rocksdb_store::scan(shard_id shard, std::string after, std::function<void(scan_result)> done) {
  queue_page([this, shard, after = std::move(after), done = std::move(done)] {
    auto found = find_tombstones(shard, after);
    --unanswered_;
    done(std::move(found));
  });
}

scan_result rocksdb_store::find_tombstones(shard_id shard, const std::string& after) {
  scan_result found;
  if (failed_) return found;
  const auto end = records_end(shard);
  const auto prefix = record_key(shard, {}).size();
  const rocksdb::Slice upper_bound{end};
  rocksdb::ReadOptions reading;
  reading.iterate_upper_bound = &upper_bound;
  reading.fill_cache = false; // nobody has asked for these records
  const std::unique_ptr<rocksdb::Iterator> at{db_->NewIterator(reading)};
  at->Seek(record_key(shard, after).append(1, '\0')); // the least key above it
  std::size_t records = 0, bytes = 0;
  for (; at->Valid(); at->Next()) {
    auto key = at->key().ToString().substr(prefix);
    v1::StoredRecord record;
    if (record.ParseFromArray(at->value().data(), static_cast<int>(at->value().size())) && record.tombstone())
      found.tombstones.push_back({key, from_wire(record.ballot())});
    bytes += at->value().size();
    if (++records < scan_records_max && bytes < scan_bytes_max) continue;
    found.next = std::move(key);
    break;
  }
  if (!at->status().ok() && log_)
    log_->warn("store.scan_failed shard={} why={:?}", shard.value, at->status().ToString());
  return found;
}

void rocksdb_store::answer(std::vector<load_call>& calls) {
  std::vector<std::string> keys;
  for (const auto& call : calls) {
    for (const auto& request : call.keys)
      keys.push_back(record_key(request.shard, request.key));
  }
  const std::vector<rocksdb::Slice> slices{keys.begin(), keys.end()};
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  db_->MultiGet(rocksdb::ReadOptions{}, db_->DefaultColumnFamily(), keys.size(), slices.data(), values.data(),
                statuses.data());
  keys_loaded_ += keys.size();

  std::size_t i = 0;
  for (auto& call : calls) {
    std::vector<load_result> results;
    results.reserve(call.keys.size());
    for (const auto& request : call.keys) {
      results.push_back(judge(request, statuses[i], values[i]));
      ++i;
    }
    --unanswered_;
    call.done(std::move(results));
  }
}

load_result rocksdb_store::judge(const load_request& request, const rocksdb::Status& status,
                                 const rocksdb::Slice& bytes) {
  const auto bad = [&](std::string what) -> load_result {
    ++damaged_found_;
    if (log_) log_->error("store.damaged shard={} key={:?} why={:?}", request.shard.value, request.key, what);
    return damaged{std::move(what)};
  };
  if (failed_) return damaged{"the store has failed"};
  if (status.IsNotFound()) return std::monostate{};
  if (!status.ok()) return bad(status.ToString());
  v1::StoredRecord record;
  if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return bad("the record cannot be parsed");
  const auto expected = checksum_of(record_view{.shard = request.shard,
                                                .key = request.key,
                                                .accepted_in = from_wire(record.ballot()),
                                                .number = from_wire(record.version()),
                                                .bytes = record.record(),
                                                .tombstone = record.tombstone()});
  if (record.checksum() != expected) return bad("the record's checksum does not match");
  return record;
}

// --- reading what the streams keep ---

void rocksdb_store::load_weak(std::vector<load_request> keys, std::function<void(std::vector<weak_result>)> done) {
  // Among the loads, not behind them: operations wait for it.
  ++unanswered_;
  {
    const std::lock_guard lock{load_mutex_};
    weak_loads_.push_back({std::move(keys), std::move(done)});
  }
  load_wanted_.notify_one();
}

void rocksdb_store::answer(weak_load_call call) {
  keys_loaded_ += call.keys.size();
  auto results = failed_ ? std::vector<weak_result>(call.keys.size(), damaged{"the store has failed"})
                         : rocksdb_streams::load(*db_, call.keys);
  for (std::size_t i = 0; i < results.size(); ++i)
    if (const auto* bad = std::get_if<damaged>(&results[i])) found_damaged(call.keys[i], *bad);
  --unanswered_;
  call.done(std::move(results));
}

void rocksdb_store::scan_weak(shard_id shard, std::string after, std::function<void(weak_page)> done) {
  queue_page([this, shard, after = std::move(after), done = std::move(done)] {
    auto found =
        failed_ ? weak_page{.records = {}, .next = {}, .whole = false} : rocksdb_streams::scan(*db_, shard, after);
    if (!found.whole && log_) log_->error("store.scan_failed shard={} after={:?}", shard.value, after);
    for (const auto& entry : found.records)
      if (const auto* bad = std::get_if<damaged>(&entry.found)) found_damaged({shard, entry.key}, *bad);
    --unanswered_;
    done(std::move(found));
  });
}

void rocksdb_store::read_updates(updates_request from, std::function<void(updates_page)> done) {
  queue_page([this, from, done = std::move(done)] {
    auto found = failed_ ? updates_page{} : rocksdb_streams::read(*db_, from);
    if (found.damaged != 0) {
      ++damaged_found_;
      if (log_)
        log_->error("store.damaged_update node={} life={} lane={} seq={}", from.from.node.value, from.from.life,
                    static_cast<int>(from.lane), found.damaged);
    }
    --unanswered_;
    done(std::move(found));
  });
}

void rocksdb_store::found_damaged(const load_request& request, const damaged& bad) {
  if (failed_) return;
  ++damaged_found_;
  if (log_) log_->error("store.damaged shard={} key={:?} why={:?}", request.shard.value, request.key, bad.what);
}

// --- the rest ---

v1::StoreIdentity rocksdb_store::identity() const {
  const std::lock_guard lock{identity_mutex_};
  return identity_;
}

store_driver::counters rocksdb_store::count() const {
  return {.syncs = syncs_,
          .records_written = records_written_,
          .records_erased = records_erased_,
          .bytes_written = bytes_written_,
          .loads = keys_loaded_,
          .damaged_found = damaged_found_,
          .queue_depth = unanswered_};
}

} // namespace

tl::expected<std::unique_ptr<store_driver>, store_error> open_store(const rocksdb_options& options) {
  if (auto valid = options.validate(); !valid) return tl::unexpected{valid.error()};
  if (auto known = recognise(options); !known) return tl::unexpected{known.error()};
  auto mark = synced_mark::open(mark_file(options));
  if (!mark) return tl::unexpected{mark.error()};
  const auto newest = inspect(options, *mark);
  if (!newest) return tl::unexpected{newest.error()};

  auto db = open_database(options, false);
  if (!db) return tl::unexpected{db.error()};
  const auto count = read_count(options, **db);
  if (!count) return tl::unexpected{count.error()};
  if (*count != *newest) {
    return tl::unexpected{damage(options, "its log was replayed to write " + std::to_string(*count) + " of "
                                              + std::to_string(*newest))};
  }
  auto identity = read_identity(options, **db);
  if (!identity) return tl::unexpected{identity.error()};
  auto promises = read_promises(options, **db);
  if (!promises) return tl::unexpected{promises.error()};
  auto streams = rocksdb_streams::read_image(options, **db);
  if (!streams) return tl::unexpected{streams.error()};

  identity->set_incarnation(identity->incarnation() + 1);
  identity->set_format(format);
  rocksdb::WriteBatch batch;
  batch.Put(count_key, count_value(*newest + 1));
  batch.Put(identity_key, sealed(*identity));
  if (const auto raised = (*db)->Write(synced(), &batch); !raised.ok())
    return tl::unexpected{refusal(options, raised)};
  if (!mark->raise(*newest + 1) || !mark->sync()) {
    return tl::unexpected{store_error{mark_file(options).string() + " cannot be written"}};
  }
  if (options.log) {
    options.log->info("store.opened path={:?} disk={:016x} incarnation={} promises={} writes={}",
                      options.directory.string(), identity->disk(), identity->incarnation(), promises->size(),
                      *newest + 1);
  }
  return std::make_unique<rocksdb_store>(rocksdb_store::opened{.db = std::move(*db),
                                                               .mark = std::move(*mark),
                                                               .identity = std::move(*identity),
                                                               .promises = std::move(*promises),
                                                               .streams = std::move(*streams),
                                                               .count = *newest + 1},
                                         options);
}

} // namespace troupe
