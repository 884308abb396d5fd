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
  explicit store(disk& d) : disk_{d}, life_{d.life_}, promises_{d.promises_}, identity_{d.identity_} {}

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
  disk& disk_;
  std::uint64_t life_; ///< the start of the node that opened it; calls of an earlier one do nothing
  std::map<shard_id, v1::StoredPromise> promises_;
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
    } else {
      promises_[std::get<promise_write>(w).shard] = std::get<promise_write>(w).promise;
    }
  }
  written_ += b.writes.size();
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
