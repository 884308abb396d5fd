#include "runtime/topology/simulated_store.hpp"

#include "protocol/wire.hpp"

#include <iterator>

namespace troupe::simulated {

namespace {

/// Few, so that a scan takes several pages.
constexpr std::size_t scan_records_max = 2;

bool sound(shard_id shard, const std::string& key, const v1::StoredRecord& r) {
  return r.checksum()
         == checksum_of(
             record_view{shard, key, from_wire(r.ballot()), from_wire(r.version()), r.record(), r.tombstone()});
}

std::pair<ballot, version> rank(const v1::StoredRecord& r) { return {from_wire(r.ballot()), from_wire(r.version())}; }

} // namespace

class disk::store final : public store_driver {
public:
  explicit store(disk& d)
      : disk_{d}, life_{d.life_}, promises_{d.promises_}, streams_{d.streams()}, identity_{d.identity_} {}

  void persist(std::vector<store_write> writes, std::function<void(errc)> done) override {
    if (disk_.life_ != life_) return; // the process is gone
    if (disk_.broken_) return done(errc::storage_failed);
    auto& next = disk_.waiting_;
    std::move(writes.begin(), writes.end(), std::back_inserter(next.writes));
    next.done.push_back(std::move(done));
    if (!disk_.busy_) disk_.sync_next();
  }

  void load(std::vector<load_request> keys, std::function<void(std::vector<load_result>)> done) override {
    auto& d = disk_;
    const auto life = life_;
    if (d.life_ != life) return;
    d.loads_ += keys.size();
    const auto delay = d.world_.random().between(std::chrono::microseconds{5}, std::chrono::microseconds{200});
    d.world_.after(delay, [&d, life, keys = std::move(keys), done = std::move(done)] {
      if (d.life_ != life) return;
      std::vector<load_result> results;
      for (const auto& key : keys) {
        auto i = d.records_.find({key.shard, key.key});
        if (i == d.records_.end()) {
          results.emplace_back(std::monostate{});
          continue;
        }
        auto& r = i->second;
        if (sound(key.shard, key.key, r)) {
          results.emplace_back(r);
          if (d.options_.rotting > 0 && d.world_.random().chance(d.options_.rotting)) damage(r);
        } else {
          ++d.damaged_;
          results.emplace_back(damaged{"checksum"});
        }
      }
      done(std::move(results));
    });
  }

  void scan(shard_id shard, std::string after, std::function<void(scan_result)> done) override {
    auto& d = disk_;
    const auto life = life_;
    if (d.life_ != life) return;
    const auto delay = d.world_.random().between(std::chrono::microseconds{5}, std::chrono::microseconds{200});
    d.world_.after(delay, [&d, life, shard, after = std::move(after), done = std::move(done)] {
      if (d.life_ != life) return;
      scan_result found;
      auto i = d.records_.upper_bound({shard, after});
      for (std::size_t n = 0; i != d.records_.end() && i->first.first == shard; ++i) {
        if (i->second.tombstone()) found.tombstones.push_back({i->first.second, from_wire(i->second.ballot())});
        if (++n < scan_records_max) continue;
        found.next = i->first.second;
        break;
      }
      done(std::move(found));
    });
  }

  void load_weak(std::vector<load_request> keys, std::function<void(std::vector<weak_result>)> done) override {
    disk_.loads_ += keys.size();
    later([this, keys = std::move(keys), done = std::move(done)] {
      std::vector<weak_result> results;
      for (const auto& key : keys)
        results.push_back(weak({key.shard, key.key}));
      done(std::move(results));
    });
  }

  void scan_weak(shard_id shard, std::string after, std::function<void(weak_page)> done) override {
    later([this, shard, after = std::move(after), done = std::move(done)] {
      weak_page found;
      auto& records = disk_.weak_records_;
      for (auto i = records.upper_bound({shard, after}); i != records.end() && i->first.first == shard; ++i) {
        found.records.push_back({i->first.second, weak(i->first)});
        if (found.records.size() < scan_records_max) continue;
        found.next = i->first.second;
        break;
      }
      done(std::move(found));
    });
  }

  void read_updates(updates_request from, std::function<void(updates_page)> done) override {
    later([this, from, done = std::move(done)] {
      updates_page page;
      const auto log = disk_.logs_.find({from.from, from.lane});
      if (log != disk_.logs_.end()) {
        std::size_t bytes = 0;
        for (auto i = log->second.upper_bound(from.after); i != log->second.end(); ++i) {
          bytes += i->second.ByteSizeLong();
          if ((page.more = !page.updates.empty() && bytes > from.bytes_max)) break;
          page.updates.push_back(i->second);
        }
      }
      done(std::move(page));
    });
  }

  const stream_image& streams() const override { return streams_; }
  const std::map<shard_id, v1::StoredPromise>& promises() const override { return promises_; }
  v1::StoreIdentity identity() const override { return identity_; }

  void remember_disk(node_id peer, std::uint64_t number, std::function<void(errc)> done) override {
    if (disk_.life_ != life_) return;
    auto& entry = *disk_.identity_.add_peers();
    entry.set_node(peer.value);
    entry.set_disk(number);
    done(errc::none);
  }

  counters count() const override {
    return {.syncs = disk_.syncs_,
            .records_written = disk_.written_,
            .loads = disk_.loads_,
            .damaged_found = disk_.damaged_,
            .queue_depth = disk_.waiting_.writes.size()};
  }

private:
  /// Calls back after a while, unless the process is gone by then, and this object with it.
  template <class Then> void later(Then then) {
    auto& d = disk_;
    if (d.life_ != life_) return;
    const auto delay = d.world_.random().between(std::chrono::microseconds{5}, std::chrono::microseconds{200});
    d.world_.after(delay, [&d, life = life_, then = std::move(then)] {
      if (d.life_ == life) then();
    });
  }

  weak_result weak(const std::pair<shard_id, std::string>& place) {
    auto& d = disk_;
    const auto i = d.weak_records_.find(place);
    if (i == d.weak_records_.end()) return std::monostate{};
    if (i->second.damaged) {
      ++d.damaged_;
      return damaged{"checksum"};
    }
    if (d.options_.rotting > 0 && d.world_.random().chance(d.options_.rotting)) i->second.damaged = true;
    return d.weak_records_.at(place).record;
  }

  disk& disk_;
  std::uint64_t life_; ///< the start of the node that opened it; calls of an earlier one do nothing
  std::map<shard_id, v1::StoredPromise> promises_;
  stream_image streams_;
  v1::StoreIdentity identity_;
};

disk::disk(world& w, node_id node, disk_options options) : world_{w}, options_{options} {
  identity_.set_format(1);
  identity_.set_node(node.value);
  identity_.set_disk(0xD15C0000 + node.value);
}

std::unique_ptr<store_driver> disk::open() {
  ++life_;
  broken_ = false;
  identity_.set_incarnation(identity_.incarnation() + 1);
  return std::make_unique<store>(*this);
}

void disk::apply(const batch& b) {
  for (const auto& w : b.writes) {
    if (const auto* record = std::get_if<record_write>(&w)) {
      auto& slot = records_[{record->shard, record->key}];
      const auto offered = rank(record->record);
      if (went_back && sound(record->shard, record->key, slot) && offered < rank(slot)) went_back(record->key);
      slot = record->record;
      if (stored) stored(record->shard, offered.first, offered.second);
    } else if (const auto* erase = std::get_if<record_erase>(&w)) {
      records_.erase({erase->shard, erase->key});
    } else if (const auto* promise = std::get_if<promise_write>(&w)) {
      promises_[promise->shard] = promise->promise;
    } else if (const auto* update = std::get_if<update_write>(&w)) {
      apply(*update);
    } else if (const auto* folded = std::get_if<updates_erase>(&w)) {
      apply(*folded);
    } else if (const auto* weak = std::get_if<weak_write>(&w)) {
      weak_records_[{weak->shard, weak->key}] = {weak->record, false};
    } else if (const auto* gone = std::get_if<weak_erase>(&w)) {
      weak_records_.erase({gone->shard, gone->key});
    } else {
      const auto& mark = std::get<mark_write>(w);
      if (mark.value.empty()) {
        marks_.erase(mark.name);
      } else {
        marks_[mark.name] = mark.value;
      }
    }
  }
  written_ += b.writes.size();
}

void disk::apply(const update_write& write) { logs_[{write.from, write.lane}][write.update.seq()] = write.update; }

void disk::apply(const updates_erase& erase) {
  const auto log = logs_.find({erase.from, erase.lane});
  if (log == logs_.end()) return;
  log->second.erase(log->second.begin(), log->second.upper_bound(erase.upto));
  if (log->second.empty()) logs_.erase(log);
}

stream_image disk::streams() const {
  stream_image image;
  image.marks = marks_;
  for (const auto& [name, updates] : logs_)
    image.logs.push_back({name.first, name.second, updates.begin()->first, updates.rbegin()->first});
  return image;
}

void disk::sync_next() {
  busy_ = true;
  syncing_ = std::exchange(waiting_, {});
  auto& random = world_.random();
  auto takes = random.between(options_.sync_min, options_.sync_max);
  if (random.chance(options_.slow)) takes += random.between(nanoseconds{0}, options_.slow_max);
  const bool fails = random.chance(options_.failing);
  world_.after(takes, [this, fails, life = life_] {
    if (life_ != life) return;
    busy_ = false;
    ++syncs_;
    auto finished = std::exchange(syncing_, {});
    if (fails) {
      broken_ = true;
      auto refused = std::exchange(waiting_, {});
      for (auto& done : finished.done)
        done(errc::storage_failed);
      for (auto& done : refused.done)
        done(errc::storage_failed);
      return;
    }
    apply(finished);
    for (auto& done : finished.done)
      done(errc::none);
    if (!waiting_.writes.empty() && !busy_) sync_next();
  });
}

void disk::crash() {
  ++life_;
  if (busy_ && world_.random().chance(0.5)) apply(syncing_);
  busy_ = false;
  syncing_ = waiting_ = {};
}

void disk::damage_one() {
  if (records_.empty()) return;
  auto i = std::next(records_.begin(), static_cast<std::ptrdiff_t>(world_.random().below(records_.size())));
  damage(i->second);
}

} // namespace troupe::simulated
