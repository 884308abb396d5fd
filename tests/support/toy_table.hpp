/// The memory layer's table without threads and bytes: what was published is read while its generation's lease runs.
/// It remembers what it has acknowledged to be gone, and never asks a core.
#pragma once

#include "protocol/mutation.hpp"
#include "protocol/strong/holder.hpp"

#include <map>
#include <optional>
#include <string>
#include <utility>

namespace troupe::lossy {

class toy_table {
public:
  struct slot {
    holder::cached copy;
    bool readable = false;
  };

  void set(const holder::lease_set& l) { leases_[l.shard] = {l.generation, l.until}; }
  void end(shard_id shard) { leases_.erase(shard); }

  void publish(holder::cached copy) {
    auto key = copy.key;
    slots_.insert_or_assign(std::move(key), slot{std::move(copy), true});
  }
  /// Whether the pending copy is kept.
  bool unpublish(holder::cached pending) {
    floors_[pending.key] = {pending.generation, pending.at};
    const auto i = slots_.find(pending.key);
    if (i == slots_.end()) return false;
    i->second = {std::move(pending), false};
    return true;
  }
  void commit(const std::string& key, const version& at) {
    const auto i = slots_.find(key);
    if (i != slots_.end() && i->second.copy.at == at) i->second.readable = true;
  }
  void erase(const std::string& key) { slots_.erase(key); }

  /// `now`: sampled when the read began.
  const slot* read(const std::string& key, instant now) const {
    const auto i = slots_.find(key);
    if (i == slots_.end() || !i->second.readable) return nullptr;
    if (mutated(mutation::table_lease_not_checked)) return &i->second;
    const auto l = leases_.find(i->second.copy.shard);
    if (l == leases_.end() || l->second.generation != i->second.copy.generation || now >= l->second.until)
      return nullptr;
    return &i->second;
  }
  /// K1: the copy is below what was acknowledged to be on its way, under the same generation.
  bool below_floor(const holder::cached& copy) const {
    const auto f = floors_.find(copy.key);
    return f != floors_.end() && f->second.generation == copy.generation && copy.at < f->second.at;
  }

  const std::map<std::string, slot>& slots() const { return slots_; }

private:
  struct lease {
    lease_generation generation;
    instant until;
  };
  struct floor {
    lease_generation generation;
    version at;
  };
  std::map<shard_id, lease> leases_;
  std::map<std::string, slot> slots_;
  std::map<std::string, floor> floors_; ///< the newest recall of each key that was acknowledged
};

} // namespace troupe::lossy
