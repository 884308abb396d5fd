// Records from other nodes: of what no log holds any more, and of keys whose own record is damaged.
//
// Copying goes in pages. What a page says is joined into the records here and is on the disk before the next one is
// asked for. Only when all pages are there is what they contain in common counted as folded, and so as received:
// then the streams go on from there. From the first page until everything that any page may contain is folded, the
// ordered lane is closed, on the disk too: a restart in between does not show what is not whole.
#include "protocol/stream/stream_replica_impl.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr std::chrono::seconds answer_within{3};
constexpr unsigned times_max = 10; ///< that a page is asked for; then the source has to offer again
constexpr unsigned rounds_max = 5;
constexpr std::chrono::seconds mend_every{1};
constexpr milliseconds load_within{20};
constexpr std::chrono::seconds distrust_for{60};
/// What stays closed so long after all was copied, copies again.
constexpr std::chrono::seconds closed_max{10};
/// Of the records of one answer; one always may.
constexpr std::size_t page_bytes_max = std::size_t{1} << 20;
/// What a message holds beside its one record.
constexpr std::size_t message_overhead = std::size_t{16} << 10;

bool is_vector(const v1::Vector& v) {
  return static_cast<std::size_t>(v.entries_size()) <= limits::stream_vector_entries_max
         && std::ranges::all_of(v.entries(), [](const auto& e) { return e.node() != 0 && e.life() != 0; });
}

/// Answers a question for one key.
bool is_of_one(const v1::CopyTold& told) {
  if (!is_vector(told.folded()) || !is_vector(told.reached()) || !told.next().empty()) return false;
  if (told.records_size() == 0) return true;
  const auto& r = told.records(0);
  return told.records_size() == 1 && r.key() == told.question().key() && (r.damaged() || from_wire(r.record()));
}
bool is_damaged(const v1::CopyTold& told) { return told.records_size() > 0 && told.records(0).damaged(); }

} // namespace

// --- what others are told ---

void stream_replica::copy_asked(node_id from, const v1::CopyAsked& question, effects& out) {
  auto& i = *impl_;
  const shard_id shard{question.shard()};
  const auto stored = i.options.stored.find(shard);
  const bool both =
      stored != i.options.stored.end() && std::ranges::find(stored->second, from) != stored->second.end();
  if (!both || from == i.options.self || question.number() == 0 || !v1::Lane_IsValid(question.lane())
      || question.after().size() > limits::key_bytes_max || question.key().size() > limits::key_bytes_max) {
    ++i.counts.refused;
    out.push_back(note{"stream.copy_question_refused", "from=" + to_string(from)});
    return;
  }
  if (!i.is_ready || i.failed) return;
  auto& reading = i.copies.readings[{from, !question.key().empty()}];
  if (reading.question.SerializeAsString() == question.SerializeAsString()) return; // it is being read
  const auto lane = static_cast<stream_lane>(question.lane());
  reading = {++i.copies.last_cookie, question, i.of(lane).folded_durable};
  out.push_back(read_copy{reading.cookie, shard, question.after(), question.key()});
}

void stream_replica::copy_read(std::uint64_t cookie, records_page page, effects& out) {
  auto& i = *impl_;
  const auto wanted =
      std::ranges::find_if(i.copies.readings, [&](const auto& r) { return r.second.cookie == cookie; });
  if (wanted == i.copies.readings.end()) return;
  const auto to = wanted->first.first;
  const auto reading = std::move(wanted->second);
  i.copies.readings.erase(wanted);
  if (i.failed || (!page.whole && !mutated(mutation::failed_scan_is_the_end))) {
    out.push_back(
        note{"stream.copy_not_read", "for=" + to_string(to) + " shard=" + std::to_string(reading.question.shard())});
    return; // it is asked for again
  }
  const auto l = static_cast<stream_lane>(reading.question.lane());
  const auto& lane = i.of(l);
  tell_copy told{to, {}};
  auto& m = told.what;
  *m.mutable_question() = reading.question;
  to_wire(reading.folded, *m.mutable_folded());
  auto reached = lane.staged.folded();
  reached.join(lane.closed_until); // what was copied here may be in the records as well
  to_wire(mutated(mutation::copy_may_contain_no_more) ? reading.folded : reached, *m.mutable_reached());
  m.set_next(page.next);
  std::size_t bytes = 0;
  for (auto& entry : page.records) {
    const auto* type = i.type_of(entry.key);
    if (type == nullptr || impl::lane_of(*type) != l || std::holds_alternative<std::monostate>(entry.what)) continue;
    auto* record = std::get_if<v1::WeakRecord>(&entry.what);
    const auto weighs = record == nullptr ? 0 : record->ByteSizeLong();
    if (m.records_size() > 0 && bytes + weighs > page_bytes_max) {
      m.set_next(m.records().rbegin()->key());
      break;
    }
    bytes += weighs;
    auto& r = *m.add_records();
    r.set_key(entry.key);
    const bool too_large = m.ByteSizeLong() + weighs + message_overhead > limits::message_bytes_max;
    if (record == nullptr || too_large || i.damaged_keys.contains(entry.key)) {
      r.set_damaged(true);
      if (record == nullptr) i.write_again(entry.key, l, *type, out);
      if (too_large) out.push_back(note{"stream.record_too_large", "key=" + entry.key});
    } else {
      *r.mutable_record() = std::move(*record);
    }
  }
  out.push_back(std::move(told));
}

/// The store cannot read the record. It may be in memory still; else it is found to be damaged now.
void stream_replica::impl::write_again(const std::string& key, stream_lane l, const data_type& type, effects& out) {
  auto& k = key_of(key, l, type, out);
  if (k.record != stream_key::bytes::here || k.damaged) return;
  ++k.unsynced;
  touched(k);
  ++counts.repaired;
  out.push_back(note{"stream.record_mended", "key=" + key});
  store({record_of(k, k.base ? *k.base : k.visible)}, records_durable{.keys = {&k}, .lane = l}, out);
}

// --- all records of a lane ---

void stream_replica::copy_offered(node_id from, const v1::CopyOffered& offer, instant now, effects& out) {
  auto& i = *impl_;
  if (!i.peers.contains(from) || offer.life() == 0 || offer.upto() == 0 || !v1::Lane_IsValid(offer.lane())) {
    ++i.counts.refused;
    out.push_back(note{"stream.copy_offer_refused", "from=" + to_string(from)});
    return;
  }
  constexpr std::size_t offers_max = 65'536;
  const std::tuple which{from, static_cast<stream_lane>(offer.lane()), offer.life()};
  const origin of_it{from, offer.life()};
  if (const auto have = i.of(std::get<1>(which)).received.at(of_it); have >= offer.upto() && i.is_ready) {
    out.push_back(received{of_it, std::get<1>(which), have, 0, true});
    return;
  }
  if (i.failed || (i.copies.offers.size() >= offers_max && !i.copies.offers.contains(which))) return;
  i.copies.offers[which] = offer.upto();
  i.copy_next(now, out);
}

/// Begins the next copy that is still wanted.
void stream_replica::impl::copy_next(instant now, effects& out) {
  if (!is_ready || failed) return;
  for (auto o = copies.offers.begin(); o != copies.offers.end() && !copies.run;) {
    const auto [from, l, of_life] = o->first;
    if (of(l).taken.at({from, of_life}) >= o->second) {
      o = copies.offers.erase(o); // it was copied meanwhile, or it came by the stream
      continue;
    }
    const auto distrusted = copies.not_from.find(from);
    if (distrusted != copies.not_from.end() && now < distrusted->second) {
      ++o;
      continue;
    }
    copies.offers.erase(o);
    return begin_copy(from, l, now, out);
  }
}

void stream_replica::impl::begin_copy(node_id from, stream_lane l, instant now, effects& out) {
  auto& r = copies.run.emplace();
  r.from = from;
  r.lane = l;
  for (const auto& [shard, nodes] : options.stored)
    if (std::ranges::find(nodes, from) != nodes.end()) r.shards.push_back(shard);
  r.all_shards = r.shards.size() == options.stored.size();
  out.push_back(note{"stream.copy_begun", "from=" + to_string(from) + " lane=" + std::string{name_of(l)}});
  ask_page(now, out);
}

/// A copy may contain updates whose origin went away before this node had them: only a later copy brings them.
void stream_replica::impl::copy_while_closed(instant now, effects& out) {
  if (copies.run || !of(stream_lane::ordered).closed()) {
    copies.still_closed = never;
    return;
  }
  if (copies.still_closed == never) copies.still_closed = now + closed_max;
  if (now < copies.still_closed) return;
  copies.still_closed = now + closed_max;
  for (std::size_t tried = 0; tried < peers.size(); ++tried) {
    const auto from = *std::next(peers.begin(), static_cast<std::ptrdiff_t>(copies.turn++ % peers.size()));
    const bool all = std::ranges::all_of(options.stored, [from](const auto& entry) {
      return std::ranges::find(entry.second, from) != entry.second.end();
    });
    if (all) return begin_copy(from, stream_lane::ordered, now, out);
  }
}

void stream_replica::impl::ask_page(instant now, effects& out) {
  auto& r = *copies.run;
  if (!r.open.is_open()) {
    r.open = {};
    r.open.what.set_number(++copies.last_number);
    r.open.what.set_lane(static_cast<v1::Lane>(r.lane));
    r.open.what.set_shard(r.shards[r.at_shard].value);
    r.open.what.set_after(r.after);
    r.asking = r.from;
  }
  r.open.asked = now;
  ++r.open.times;
  out.push_back(ask_copy{r.asking, r.open.what});
}

/// All pages are here: asks for what could not be read at the source. True: nothing is to be waited for.
bool stream_replica::impl::nothing_is_lacking(instant now, effects& out) {
  auto& r = *copies.run;
  while ((!r.lacking.empty() || !r.unfound.empty()) && r.rounds < rounds_max) {
    if (now < r.again) return false;
    if (r.lacking.empty()) {
      std::swap(r.lacking, r.unfound);
      ++r.rounds;
      r.again = now + mend_every;
      continue;
    }
    const auto shard = shard_of(r.lacking.front(), options.shards);
    const auto& nodes = options.stored.at(shard);
    while (r.turn < nodes.size() && nodes[r.turn] == options.self)
      ++r.turn;
    if (r.turn >= nodes.size()) {
      r.turn = 0;
      r.unfound.push_back(std::move(r.lacking.front()));
      r.lacking.pop_front();
      continue;
    }
    r.asking = nodes[r.turn++];
    r.open = {};
    r.open.what.set_number(++copies.last_number);
    r.open.what.set_lane(static_cast<v1::Lane>(r.lane));
    r.open.what.set_shard(shard.value);
    r.open.what.set_key(r.lacking.front());
    r.open.asked = now;
    out.push_back(ask_copy{r.asking, r.open.what});
    return false;
  }
  return true;
}

/// What the records here contain once all pages are there. What is of other shards than those that both store, only
/// an origin's own records are sure to cover.
version_vector stream_replica::impl::copied_upto(const copy_run& r) const {
  version_vector target;
  for (const auto& e : r.folded->entries())
    if ((r.all_shards || e.from.node == r.from) && e.from != self_origin()) target.raise(e.from, e.seq);
  return target;
}

bool stream_replica::impl::well_formed(const v1::CopyTold& told, const copy_run& r) const {
  if (!is_vector(told.folded()) || !is_vector(told.reached())) return false;
  std::string_view last = r.after;
  for (const auto& entry : told.records()) {
    if (entry.key() <= last || entry.key().size() > limits::key_bytes_max) return false;
    last = entry.key();
    const auto* type = type_of(entry.key()); // one of an unknown type is left out
    if (type != nullptr && lane_of(*type) != r.lane) return false;
    if (shard_of(entry.key(), options.shards) != r.shards[r.at_shard]) return false;
    if (!entry.damaged() && !from_wire(entry.record())) return false;
  }
  return told.next().empty()
         || (told.next() >= last && told.next() > r.after && told.next().size() <= limits::key_bytes_max);
}

void stream_replica::impl::copy_told(node_id from, v1::CopyTold told, instant now, effects& out) {
  auto& mending = copies.mending;
  if (mending.from == from && mending.open.is_answered_by(told)) return mended(told, out);
  auto& run = copies.run;
  if (!run || run->asking != from || !run->open.is_answered_by(told)) return; // late
  const bool of_one = !told.question().key().empty();
  if (of_one && is_of_one(told) && (is_damaged(told) || !from_wire(told.folded()).contains(copied_upto(*run)))) {
    run->open = {};
    return absorb_copies(now, out); // somebody else is asked
  }
  if (of_one ? !is_of_one(told) : !well_formed(told, *run)) {
    ++counts.refused;
    out.push_back(note{"stream.copy_refused", "from=" + to_string(from)});
    copies.not_from[from] = now + distrust_for;
    run.reset();
    return copy_next(now, out);
  }
  run->open = {};
  run->page = std::move(told);
  for (const auto& entry : run->page->records()) {
    const auto* type = type_of(entry.key());
    if (type == nullptr) continue;
    auto& k = key_of(entry.key(), run->lane, *type, out);
    ++k.copying;
    touched(k);
  }
  join_page(now, out);
}

/// Once the records here that it concerns were read.
void stream_replica::impl::join_page(instant now, effects& out) {
  auto& run = copies.run;
  if (!run || !run->page || failed) return;
  for (const auto& entry : run->page->records())
    if (const auto k = keys.find(entry.key()); k != keys.end() && k->second->record != stream_key::bytes::here)
      return;
  const auto page = std::move(*run->page);
  run->page.reset();
  const auto contains = from_wire(page.folded());
  run->reached.join(from_wire(page.reached()));
  if (run->folded) {
    run->folded->meet(contains);
  } else {
    run->folded = contains;
  }
  std::vector<stream_write> writes;
  std::vector<stream_key*> written;
  close(run->lane, run->reached, writes); // with the page, not after it
  for (const auto& entry : page.records()) {
    if (type_of(entry.key()) == nullptr) continue;
    auto& k = *keys.at(entry.key());
    --k.copying;
    if (entry.damaged()) {
      run->lacking.push_back(entry.key());
    } else if (join_record(k, page, *from_wire(entry.record()), out)) {
      write_copied(k, writes);
      written.push_back(&k);
    }
    touched(k);
  }
  if (run->complete) {
    run->lacking.pop_front();
    run->turn = 0;
  } else {
    run->after = page.next();
    if (run->after.empty()) ++run->at_shard;
  }
  run->storing = true;
  if (writes.empty()) return page_stored(now, out);
  store(std::move(writes), records_durable{.keys = std::move(written), .lane = run->lane, .copied_page = true}, out);
}

/// @return whether the record here has changed.
bool stream_replica::impl::join_record(stream_key& k, const v1::CopyTold& told, const sibling_set& copy,
                                       effects& out) {
  const auto contains = from_wire(told.folded());
  const auto& folded = of(k.lane).staged.folded();
  auto base = k.base ? *k.base : k.visible;
  for (const auto& s : copy.entries())
    clock.saw(s.when);
  if (k.damaged) {
    auto& known = damaged_keys.at(k.key);
    const auto reached = from_wire(told.reached());
    if (known.mended) {
      known.mended->join(reached); // whole, but for what it may contain
    } else {
      const bool mistaken = mutated(mutation::damaged_taken_for_empty);
      // What one lacks, another may have: together they contain what each of them does. What the earlier ones
      // contained stands in the excess, which has to stay until all of it is here.
      base.join(copy, {.own = mistaken ? folded : nothing, .others = contains});
      known.contains.join(contains);
      known.reached.join(reached);
      if (mistaken || known.contains.contains(known.as_of)) {
        base.prune(folded);
        known.mended = known.reached;
      }
      rebase(k, std::move(base), out);
      return true;
    }
  }
  std::vector<loser> lost;
  sibling_set::loser_list losers{.origin = options.self, .lost = lost};
  const bool has_losers =
      k.type->resolver == resolver_kind::last_writer_wins || k.type->resolver == resolver_kind::map;
  const bool news = base.join(copy, {.own = folded, .others = contains, .losers = has_losers ? &losers : nullptr});
  if (!news) return false;
  for (auto& l : lost)
    this->lost(k, std::move(l), out);
  watch_tombstones(k, base);
  rebase(k, std::move(base), out);
  return true;
}

/// What is not whole yet is known to be so after a restart, too.
void stream_replica::impl::write_copied(stream_key& k, std::vector<stream_write>& writes) {
  ++counts.copied;
  ++k.unsynced;
  writes.push_back(record_of(k, k.base ? *k.base : k.visible));
  if (k.damaged) writes.emplace_back(mark_write{stream_marks::damaged(k.key), "1"});
}

void stream_replica::impl::close(stream_lane l, const version_vector& until, std::vector<stream_write>& writes) {
  auto& lane = of(l);
  if (l != stream_lane::ordered || mutated(mutation::cut_shown_early) || !lane.closed_until.join(until)) return;
  v1::Vector v;
  to_wire(lane.closed_until, v);
  writes.emplace_back(mark_write{stream_marks::closed_until, v.SerializeAsString()});
}

void stream_replica::impl::page_stored(instant now, effects& out) {
  auto& run = copies.run;
  if (!run || !run->storing) return;
  run->storing = false;
  if (run->at_shard < run->shards.size()) return ask_page(now, out);
  run->complete = true;
  absorb_copies(now, out);
}

/// What all pages contain is part of the records here: counts as folded and received. Once the records are read of
/// what is staged up to there.
void stream_replica::impl::absorb_copies(instant now, effects& out) {
  auto& run = copies.run;
  if (!run || !run->complete || failed || run->storing || run->page || run->open.is_open()) return;
  if (!nothing_is_lacking(now, out)) return;
  const auto l = run->lane;
  auto& lane = of(l);
  const auto target = copied_upto(*run);
  if (!lane.staged.all_upto(target, [](const auto& u) { return u.key->record == stream_key::bytes::here; })) {
    run->again = now + load_within;
    return;
  }

  const auto before = lane.staged.folded();
  std::vector<staged_update*> visible;
  const auto absorbed = lane.staged.absorb(target, now, visible);
  for (const auto& u : absorbed)
    if (u->own && !u->visible) --u->key->own_hidden;
  std::vector<stream_write> writes;
  auto written = fold_into_records(l, absorbed, before, writes);
  for (auto* k : written) {
    auto base = std::move(*k->base);
    rebase(*k, std::move(base), out);
    touched(*k);
  }
  for (auto* u : visible)
    shown(*u, now, out);
  std::vector<received> positions;
  for (const auto& e : target.entries()) {
    const auto taken = lane.taken.at(e.from);
    if (!lane.taken.raise(e.from, e.seq)) continue; // what was taken before says so itself, when it is durable
    if (l == stream_lane::ordered) arrived({e.from, e.seq}, taken, now, out);
    positions.push_back({.from = e.from, .lane = l, .upto = e.seq});
    writes.emplace_back(mark_write{stream_marks::received(e.from, l), stream_marks::numbers(e.seq, 0)});
  }
  for (auto& [key, known] : damaged_keys)
    if (const auto* type = type_of(key); type != nullptr && lane_of(*type) == l && !known.mended)
      known.as_of.join(target);
  run->lacking.insert(run->lacking.end(), run->unfound.begin(), run->unfound.end());
  for (const auto& key : run->lacking) {
    // What nobody could give, this node lacks from here on; it goes on to ask for it.
    writes.emplace_back(mark_write{stream_marks::damaged(key), "1"});
    if (const auto known = damaged_keys.find(key); known != damaged_keys.end() && !known->second.mended) continue;
    damaged_keys.erase(key);
    auto& k = key_of(key, l, *type_of(key), out);
    mark_damaged(k, lane.staged.folded(), out);
    note_change(k);
  }
  state_folded(l, writes);
  lane.more_shown = true;
  out.push_back(note{"stream.copied", "from=" + to_string(run->from) + " lane=" + std::string{name_of(l)}
                                          + " upto=" + to_string(target)});
  run.reset();
  store(std::move(writes),
        records_durable{
            .keys = std::move(written), .lane = l, .folded = lane.staged.folded(), .positions = std::move(positions)},
        out);
  publish_changes(out);
  if (l == stream_lane::ordered) out.push_back(applied{lane.staged.shown(), ++applied_number});
  copy_next(now, out);
}

void stream_replica::impl::reopen(effects& out) {
  // What is folded and changed no record is not written by itself.
  if (persists.empty())
    for (auto& lane : lanes)
      lane.folded_durable = lane.staged.folded();
  std::vector<stream_write> writes;
  auto& ordered = of(stream_lane::ordered);
  if (ordered.closed() && ordered.folded_durable.contains(ordered.closed_until)
      && ordered.received.contains(ordered.closed_until)) {
    ordered.closed_until = {};
    writes.emplace_back(mark_write{stream_marks::closed_until, {}});
    out.push_back(note{"stream.open_again", "folded=" + to_string(ordered.staged.folded())});
  }
  for (auto i = damaged_keys.begin(); i != damaged_keys.end();) {
    const auto* type = type_of(i->first);
    if (!i->second.mended || type == nullptr || !of(lane_of(*type)).folded_durable.contains(*i->second.mended)) {
      ++i;
      continue;
    }
    writes.emplace_back(mark_write{stream_marks::damaged(i->first), {}});
    ++counts.repaired;
    out.push_back(note{"stream.record_mended", "key=" + i->first});
    if (const auto k = keys.find(i->first); k != keys.end()) {
      k->second->damaged = false;
      note_change(*k->second);
    }
    i = damaged_keys.erase(i);
  }
  if (!writes.empty()) store(std::move(writes), std::monostate{}, out);
}

// --- one damaged record ---

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
  const auto shard = shard_of(key, options.shards);
  const auto stored = options.stored.find(shard);
  if (type == nullptr || stored == options.stored.end()) return false;
  const auto& nodes = stored->second;
  while (m.turn < nodes.size() && nodes[m.turn] == options.self)
    ++m.turn;
  if (m.turn >= nodes.size()) return false;
  if (key_of(key, lane_of(*type), *type, out).record != stream_key::bytes::here) {
    m.again = now + load_within; // what is merged into it has to be here first
    return true;
  }
  m.from = nodes[m.turn++];
  m.open.what.set_number(++copies.last_number);
  m.open.what.set_lane(static_cast<v1::Lane>(lane_of(*type)));
  m.open.what.set_shard(shard.value);
  m.open.what.set_key(key);
  m.open.asked = now;
  out.push_back(ask_copy{m.from, m.open.what});
  return true;
}

void stream_replica::impl::mended(const v1::CopyTold& told, effects& out) {
  auto& m = copies.mending;
  m.open = {};
  if (!is_of_one(told)) {
    ++counts.refused;
    out.push_back(note{"stream.copy_refused", "from=" + to_string(m.from)});
    return;
  }
  const auto k = keys.find(m.key);
  if (is_damaged(told) || k == keys.end() || !k->second->damaged || k->second->record != stream_key::bytes::here)
    return;
  const auto copy = told.records_size() == 0 ? sibling_set{} : from_wire(told.records(0).record());
  if (!copy || !join_record(*k->second, told, *copy, out)) return;
  auto& key = *k->second;
  std::vector<stream_write> writes;
  write_copied(key, writes);
  store(std::move(writes), records_durable{.keys = {&key}, .lane = key.lane}, out);
  touched(key);
}

// --- time ---

void stream_replica::impl::tick_copies(instant now, effects& out) {
  if (auto& run = copies.run; run && run->open.is_open() && now >= run->open.asked + answer_within) {
    if (run->complete) {
      run->open = {}; // the next one is asked
    } else if (run->open.times < times_max) {
      ask_page(now, out);
    } else {
      out.push_back(note{"stream.copy_given_up", "from=" + to_string(run->from)});
      run.reset(); // it offers again
    }
  }
  absorb_copies(now, out);
  copy_next(now, out);
  copy_while_closed(now, out);
  if (now >= copies.mending.again && !damaged_keys.empty()) mend_next(now, out);
  reopen(out);
}

instant stream_replica::impl::copies_wake_at() const {
  auto at = never;
  if (const auto& run = copies.run; run && run->open.is_open()) {
    at = run->open.asked + answer_within;
  } else if (run && run->complete && !run->storing && !run->page) {
    at = run->again;
  }
  if (!copies.run && of(stream_lane::ordered).closed()) {
    at = std::min(at, copies.still_closed == never ? instant::min() : copies.still_closed);
  }
  if (std::ranges::any_of(damaged_keys, [](const auto& known) { return !known.second.mended; })) {
    const auto& m = copies.mending;
    at = std::min(at, m.open.is_open() ? std::max(m.again, m.open.asked + answer_within) : m.again);
  }
  for (const auto& distrusted : copies.not_from)
    if (std::ranges::any_of(copies.offers, [&](const auto& o) { return std::get<0>(o.first) == distrusted.first; }))
      at = std::min(at, distrusted.second);
  return at;
}

// --- the interface ---

void stream_replica::copy_told(node_id from, v1::CopyTold told, const times& at, effects& out) {
  if (!impl_->is_ready || impl_->failed) return;
  impl_->wall_ms_last = at.wall_ms;
  impl_->copy_told(from, std::move(told), at.now, out);
  impl_->publish_changes(out);
}

} // namespace troupe
