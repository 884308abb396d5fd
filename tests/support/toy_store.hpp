/// A disk for simulated replicas: what is synced survives a crash, of the rest only a prefix may; records can be
/// damaged.
#pragma once

#include "protocol/strong/acceptor.hpp"

#include <deque>
#include <map>

namespace troupe::lossy {

class toy_store {
public:
  struct place {
    shard_id shard;
    std::string key;
    friend auto operator<=>(const place&, const place&) = default;
  };
  struct slot {
    v1::StoredRecord record;
    bool damaged = false;
  };

  void write(acceptor::persist_record w) { tail_.push_back({w.write, std::move(w)}); }
  void write(acceptor::persist_promise w) { tail_.push_back({w.write, std::move(w)}); }
  void write(acceptor::persist_collection w) { tail_.push_back({w.write, std::move(w)}); }

  bool dirty() const { return !tail_.empty(); }
  std::uint64_t newest() const { return tail_.empty() ? 0 : tail_.back().number; }

  /// Makes every write up to `number` durable.
  void sync(std::uint64_t number) {
    while (!tail_.empty() && tail_.front().number <= number)
      apply();
  }
  /// Power is lost: the first `surviving` unsynced writes happened to reach the disk, the rest never will.
  void crash(std::size_t surviving) {
    for (; surviving > 0 && !tail_.empty(); --surviving)
      apply();
    tail_.clear();
  }
  std::size_t unsynced() const { return tail_.size(); }

  acceptor::found read(shard_id shard, const std::string& key) const {
    auto i = records_.find({shard, key});
    if (i == records_.end()) return std::monostate{};
    if (i->second.damaged) return acceptor::damage{};
    return i->second.record;
  }
  const slot* find(shard_id shard, const std::string& key) const {
    auto i = records_.find({shard, key});
    return i == records_.end() ? nullptr : &i->second;
  }
  /// The first tombstone of the shard above `after`, if there is one.
  std::vector<tombstone_list::entry> scan(shard_id shard, const std::string& after) const {
    for (auto i = records_.upper_bound({shard, after}); i != records_.end() && i->first.shard == shard; ++i)
      if (const auto& r = i->second.record; r.tombstone()) return {{i->first.key, from_wire(r.ballot())}};
    return {};
  }
  /// Damages the durable record; false when there is none.
  bool damage(shard_id shard, const std::string& key) {
    auto i = records_.find({shard, key});
    if (i == records_.end()) return false;
    return i->second.damaged = true;
  }
  const std::map<shard_id, v1::StoredPromise>& promises() const { return promises_; }

private:
  struct unsynced_write {
    std::uint64_t number;
    std::variant<acceptor::persist_record, acceptor::persist_promise, acceptor::persist_collection> what;
  };
  void apply() {
    auto& w = tail_.front().what;
    if (auto* r = std::get_if<acceptor::persist_record>(&w))
      records_.insert_or_assign({r->shard, r->key}, slot{std::move(r->record), false});
    else if (auto* p = std::get_if<acceptor::persist_promise>(&w))
      promises_.insert_or_assign(p->shard, std::move(p->promise));
    else if (auto* c = std::get_if<acceptor::persist_collection>(&w)) {
      records_.erase({c->shard, c->key});
      promises_.insert_or_assign(c->shard, std::move(c->promise));
    }
    tail_.pop_front();
  }

  std::map<place, slot> records_;
  std::map<shard_id, v1::StoredPromise> promises_;
  std::deque<unsynced_write> tail_;
};

} // namespace troupe::lossy
