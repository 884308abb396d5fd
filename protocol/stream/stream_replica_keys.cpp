// Records in memory: read when they are needed, published when they change, dropped when there are too many.
#include "protocol/stream/stream_replica_impl.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr std::size_t key_bytes = 512; ///< of a key in memory, whatever it holds

bool is_published(resolver_kind r) { return r == resolver_kind::last_writer_wins || is_counter(r); }

} // namespace

const data_type* stream_replica::impl::type_of(std::string_view key) const {
  const auto colon = key.find(':');
  if (colon == std::string_view::npos) return nullptr;
  const auto i = options.types.find(std::string{key.substr(0, colon)});
  return i == options.types.end() || i->second.consistency == level::strong ? nullptr : &i->second;
}

stream_key& stream_replica::impl::key_of(std::string_view key, stream_lane l, const data_type& type, effects& out) {
  auto& slot = keys[std::string{key}];
  if (slot) return *slot;
  slot = std::make_unique<stream_key>();
  slot->key = key;
  slot->shard = shard_of(key, options.shards);
  slot->lane = l;
  slot->type = &type;
  slot->record = stream_key::bytes::loading;
  ++counts.cache_misses;
  ++counts.loading;
  out.push_back(load{slot->shard, slot->key});
  touched(*slot);
  return *slot;
}

void stream_replica::impl::loaded(const std::string& key, found what, effects& out) {
  auto& k = *keys.at(key);
  k.record = stream_key::bytes::here;
  --counts.loading;
  k.damaged = damaged_keys.contains(key);
  if (auto* record = std::get_if<v1::WeakRecord>(&what)) {
    const bool sound = record->checksum() == checksum_of(k.shard, k.key, *record);
    auto state = sound ? from_wire(*record) : std::nullopt;
    if (state) {
      k.visible = std::move(*state);
    } else {
      what = damage{};
    }
  }
  if (std::holds_alternative<damage>(what)) damaged_keys.erase(key); // a second time, or not mended by what it was
  const auto known = damaged_keys.find(key);
  if (std::holds_alternative<damage>(what) || (known != damaged_keys.end() && !known->second.mended))
    mark_damaged(k, of(k.lane).staged.folded(), out);
  k.hash = hash_of(k.key, k.visible);
  watch_tombstones(k, k.visible);
  auto state = std::move(k.visible);
  rebase(k, std::move(state), out);
  touched(k);
}

void stream_replica::impl::mark_damaged(stream_key& k, const version_vector& as_of, effects& out) {
  k.damaged = true;
  damaged_keys.try_emplace(k.key, damage_known{.as_of = as_of});
  compares.mended.emplace(k.lane, k.shard, tree_of(k.lane).leaf_of(k.key)); // its former hash is not known
  ++counts.damaged;
  prevented(violation::checksum);
  out.push_back(damaged_record{k.shard, k.key});
}

void stream_replica::impl::rebase(stream_key& k, sibling_set base, effects& out) {
  const auto& lane = of(k.lane);
  k.base.reset();
  k.latest.reset();
  k.visible = std::move(base);
  for (const auto* u : k.unfolded)
    if (u->visible) merge(k, *u, out);
  if (k.own_hidden > 0) {
    k.latest = k.visible;
    for (const auto* u : k.unfolded)
      if (u->own && !u->visible)
        k.latest->merge(u->at.from, *u->what, {.received = merged_before(k, lane.staged.folded())});
  }
  note_change(k);
}

void stream_replica::impl::write_record(stream_key& k, const sibling_set& state, std::vector<stream_write>& writes) {
  auto& tree = tree_of(k.lane);
  const auto leaf = tree.leaf_of(k.key);
  const auto before = std::exchange(k.hash, hash_of(k.key, state));
  tree.change(k.shard, leaf, before, k.hash);
  leaves_changed.emplace(k.lane, k.shard, leaf);
  if (compares.scrubbing && compares.scrubbing->shard == k.shard) compares.scrubbing->written.emplace(k.lane, leaf);
  if (state.empty()) {
    writes.emplace_back(weak_erase{k.shard, k.key});
    return;
  }
  weak_write write{k.shard, k.key, {}};
  to_wire(state, write.record);
  write.record.set_checksum(checksum_of(k.shard, k.key, write.record));
  writes.emplace_back(std::move(write));
}

void stream_replica::impl::merge(stream_key& k, const staged_update& u, effects& out) {
  if (k.record != stream_key::bytes::here) return;
  const auto& before = merged_before(k, of(k.lane).staged.folded());
  if (!k.base) k.base = k.visible;
  std::vector<loser> lost;
  sibling_set::loser_list losers{.origin = options.self, .lost = lost};
  k.visible.merge(u.at.from, *u.what,
                  {.received = before, .losers = has_losers(k.type->resolver) ? &losers : nullptr});
  if (k.latest) k.latest->merge(u.at.from, *u.what, {.received = before});
  for (auto& l : lost)
    this->lost(k, std::move(l), out);
}

void stream_replica::impl::note_change(stream_key& k) {
  if (k.changed || !is_published(k.type->resolver)) return;
  k.changed = true;
  changed.push_back(&k);
}

void stream_replica::impl::publish_changes(effects& out) {
  for (auto* k : changed) {
    k->changed = false;
    k->withdrawn = of(k->lane).is_closed();
    if (k->record != stream_key::bytes::here || k->damaged || k->withdrawn) {
      out.push_back(withdraw{k->shard, k->key});
      continue;
    }
    publish p;
    p.shard = k->shard;
    p.key = k->key;
    p.lane = k->lane;
    if (is_counter(k->type->resolver)) {
      auto seen = resolve(k->type->resolver, k->visible);
      p.exists = seen.exists;
      p.value = std::move(seen.value);
      p.written = seen.winner;
      p.clock = seen.when.clock;
    } else if (const auto* last = last_writer(k->visible)) {
      p.exists = last->kind == sibling_kind::value;
      if (p.exists) p.value = last->value;
      p.written = last->at;
      p.clock = last->when.clock;
    }
    out.push_back(std::move(p));
  }
  changed.clear();
}

void stream_replica::impl::touched(stream_key& k) {
  const auto weighs = key_bytes + k.key.size() + k.visible.bytes() + (k.base ? k.base->bytes() : 0)
                      + (k.latest ? k.latest->bytes() : 0);
  cached_bytes += weighs - k.counted_bytes;
  k.counted_bytes = weighs;
  if (k.idle) idle.erase(*k.idle);
  k.idle.reset();
  if (k.pinned()) return;
  idle.push_front(&k);
  k.idle = idle.begin();
}

void stream_replica::impl::trim() {
  // What the node's table has of a key that is dropped here stays true: the next update of it is told as before.
  while (cached_bytes > options.cache_bytes && !idle.empty()) {
    auto* k = idle.back();
    if (k->changed) break;
    idle.pop_back();
    cached_bytes -= k->counted_bytes;
    const auto name = k->key;
    keys.erase(name);
  }
}

} // namespace troupe
