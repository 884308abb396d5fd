// Records that cannot be read: whole again by what others have, each key by itself. And who is asked for one key.
#include "protocol/stream/stream_replica_impl.hpp"

#include <algorithm>

namespace troupe {

/// The next of those who store the shard and can be reached, from the `turn`-th on. Nothing: nobody is left.
std::optional<node_id> stream_replica::impl::next_to_ask(shard_id shard, std::size_t& turn) const {
  const auto stored = options.stored.find(shard);
  if (stored == options.stored.end()) return std::nullopt;
  while (turn < stored->second.size()) {
    const auto node = stored->second[turn++];
    if (node != options.self && !copies.away.contains(node)) return node;
  }
  return std::nullopt;
}

/// Under a number of its own. Without a key: for a page.
copy_question stream_replica::impl::question(stream_lane l, shard_id shard, std::string key) {
  copy_question q;
  q.what.set_number(++copies.last_number);
  q.what.set_lane(static_cast<v1::Lane>(l));
  q.what.set_shard(shard.value);
  q.what.set_key(std::move(key));
  return q;
}

/// @return whether it says something of the one key that was asked for. What is malformed is as good as damaged.
bool stream_replica::impl::is_whole(node_id from, const v1::CopyTold& told, effects& out) {
  const auto well_formed = [&] {
    if (!has_vectors(told) || !told.next().empty() || told.records_size() > 1) return false;
    if (told.records_size() == 0) return true;
    const auto& r = told.records(0);
    return r.key() == told.question().key() && (r.damaged() || from_wire(r.record()));
  };
  if (!well_formed()) {
    refuse_copy(from, out);
    return false;
  }
  return told.records_size() == 0 || !told.records(0).damaged();
}

/// The store cannot read the record. It may be in memory still; else it is found to be damaged now.
void stream_replica::impl::write_again(const std::string& key, stream_lane l, const data_type& type, effects& out) {
  auto& k = key_of(key, l, type, out);
  if (k.record != stream_key::bytes::here || k.damaged) return;
  ++k.unsynced;
  touched(k);
  ++counts.repaired;
  out.push_back(note{"stream.record_mended", "key=" + key});
  std::vector<stream_write> writes;
  write_record(k, folded_state(k), writes);
  store(std::move(writes), records_durable{.keys = {&k}, .lane = l}, out);
}

/// Asks the next of those who store it for the damaged key whose turn it is.
void stream_replica::impl::mend_next(instant now, effects& out) {
  auto& m = copies.mending;
  if (m.open.is_open() && now < m.open.asked + answer_within) return;
  m.open = {};
  for (auto known = damaged_keys.find(m.key);; m.turn = 0) {
    if (known != damaged_keys.end() && !known->second.mended && ask_to_mend(known->first, now, out)) return;
    known = damaged_keys.upper_bound(m.key);
    if (known == damaged_keys.end()) break;
    m.key = known->first;
  }
  m.key.clear(); // all have been tried, everywhere
  m.again = now + mend_every;
}

/// @return false: nobody is left to be asked for it.
bool stream_replica::impl::ask_to_mend(const std::string& key, instant now, effects& out) {
  auto& m = copies.mending;
  const auto* type = type_of(key);
  if (type == nullptr) return false;
  const auto l = lane_of(*type);
  if (key_of(key, l, *type, out).record != stream_key::bytes::here) {
    m.again = now + load_within; // what is merged into it has to be here first
    return true;
  }
  const auto shard = shard_of(key, options.shards);
  const auto to = next_to_ask(shard, m.turn);
  if (!to) return false;
  m.from = *to;
  m.open = question(l, shard, key);
  m.open.asked = now;
  out.push_back(ask_copy{m.from, m.open.what});
  return true;
}

void stream_replica::impl::mended(const v1::CopyTold& told, effects& out) {
  auto& m = copies.mending;
  m.open = {};
  if (!is_whole(m.from, told, out)) return;
  const auto found = keys.find(m.key);
  if (found == keys.end()) return;
  auto& k = *found->second;
  if (!k.damaged || k.record != stream_key::bytes::here) return;
  const auto copy = told.records_size() == 0 ? sibling_set{} : from_wire(told.records(0).record());
  if (!copy || !join_record(k, told, *copy, out)) return;
  std::vector<stream_write> writes;
  write_copied(k, writes);
  store(std::move(writes), records_durable{.keys = {&k}, .lane = k.lane}, out);
  touched(k);
}

/// @return false: the record is whole already, but for what it may contain, and is joined like any other.
bool stream_replica::impl::join_damaged(const stream_key& k, sibling_set& base, const v1::CopyTold& told,
                                        const sibling_set& copy) {
  auto& known = damaged_keys.at(k.key);
  const auto contains = from_wire(told.folded()), reached = from_wire(told.reached());
  if (known.mended) {
    known.mended->join(reached);
    return false;
  }
  const auto& folded = of(k.lane).staged.folded();
  const bool mistaken = mutated(mutation::damaged_taken_for_empty);
  // What one lacks, another may have: together they contain what each of them does. What the earlier ones contained
  // stands in the excess, which has to stay until all of it is here.
  base.join(copy, {.own = mistaken ? folded : nothing, .others = contains});
  known.contains.join(contains);
  known.reached.join(reached);
  if (mistaken || known.contains.contains(known.as_of)) {
    base.prune(folded);
    known.mended = known.reached;
  }
  return true;
}

/// After more was folded: what a mended record may contain is here.
void stream_replica::impl::whole_again(effects& out) {
  for (const auto l : {stream_lane::ordered, stream_lane::free}) {
    const auto& folded = of(l).staged.folded();
    std::vector<stream_write> writes;
    std::erase_if(damaged_keys, [&](const auto& entry) {
      const auto& [key, known] = entry;
      const auto* type = type_of(key);
      if (!known.mended || type == nullptr || lane_of(*type) != l || !folded.contains(*known.mended)) return false;
      writes.emplace_back(mark_write{stream_marks::damaged(key), {}});
      ++counts.repaired;
      out.push_back(note{"stream.record_mended", "key=" + key});
      if (const auto k = keys.find(key); k != keys.end()) {
        k->second->damaged = false;
        note_change(*k->second);
      }
      return true;
    });
    if (writes.empty()) continue;
    state_folded(l, writes); // what changed no record is not stated yet
    store(std::move(writes), records_durable{.lane = l, .folded = folded}, out);
  }
}

} // namespace troupe
