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

using std::chrono::seconds;

constexpr unsigned times_max = 10; ///< that a page is asked for; then the source has to offer again
constexpr unsigned rounds_max = 5;
/// Who gives no copy, or one that is not to be understood, is not asked so long; who gives one that does not reach
/// far enough, this long at first, and twice as long each time.
constexpr seconds avoid_max{60}, avoid_min{1};
/// What stays closed so long after all was copied, copies again; then after twice that, and so on.
constexpr seconds closed_min{10}, closed_max{320};
/// A source keeps its log so long after a question for whoever copies from it, who in turn goes on so long after that
/// with what he has.
constexpr seconds keep_for{120};
/// Of the records of one answer; one always may.
constexpr std::size_t page_bytes_max = std::size_t{1} << 20;
/// What a message holds beside its one record.
constexpr std::size_t message_overhead = std::size_t{16} << 10;

copying::kind kind_of(const v1::CopyAsked& question) {
  if (!question.key().empty()) return copying::kind::key;
  return question.leaf() != 0 ? copying::kind::leaf : copying::kind::page;
}

} // namespace

// --- what others are told ---

bool stream_replica::impl::both_store(node_id who, shard_id shard) const {
  const auto stored = options.stored.find(shard);
  return who != options.self && stored != options.stored.end()
         && std::ranges::find(stored->second, who) != stored->second.end();
}

void stream_replica::copy_asked(node_id from, const v1::CopyAsked& question, effects& out) {
  auto& i = *impl_;
  const shard_id shard{question.shard()};
  const bool valid =
      v1::Lane_IsValid(question.lane()) && question.number() != 0 && question.after().size() <= limits::key_bytes_max
      && question.key().size() <= limits::key_bytes_max && (question.leaf() == 0 || question.key().empty());
  if (!valid || !i.both_store(from, shard)
      || question.leaf() > i.tree_of(static_cast<stream_lane>(question.lane())).leaves()) {
    ++i.counts.refused;
    out.push_back(note{"stream.copy_question_refused", "from=" + to_string(from)});
    return;
  }
  if (!i.is_ready || i.failed) return;
  const auto lane = static_cast<stream_lane>(question.lane());
  v1::Leaf leaf;
  if (question.leaf() != 0) {
    if (!i.records_are_stored() || !i.is_comparable(lane)) return;
    leaf = i.leaf_now(lane, shard, question.leaf() - 1);
  }
  auto& reading = i.copies.readings[{from, kind_of(question)}];
  if (reading.question.SerializeAsString() == question.SerializeAsString()) return; // it is being read
  reading = {++i.copies.last_cookie, question, i.of(lane).folded_durable, std::move(leaf)};
  if (const auto known = i.damaged_keys.find(question.key()); known != i.damaged_keys.end() && i.records_are_stored())
    reading.partial = known->second.contains;
  out.push_back(read_copy{reading.cookie, shard, question.after(), question.key()});
}

void stream_replica::copy_read(std::uint64_t cookie, records_page page, instant now, effects& out) {
  auto& i = *impl_;
  if (i.compares.scrubbing && i.compares.scrubbing->cookie == cookie) {
    if (!i.failed) i.scrubbed(page, now, out);
    return;
  }
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
  const auto of_leaf = reading.question.leaf();
  if (kind_of(reading.question) == copying::kind::page) i.keep_log_for(to, l, reading.folded, now);
  if (of_leaf != 0
      && i.leaf_now(l, {reading.question.shard()}, of_leaf - 1).SerializeAsString()
             != reading.leaf.SerializeAsString())
    return; // it has changed while it was read
  tell_copy told{to, {}};
  auto& m = told.what;
  *m.mutable_question() = reading.question;
  to_wire(reading.folded, *m.mutable_folded());
  auto reached = lane.staged.folded();
  reached.join(lane.copied_until); // what was copied here may be in the records as well
  to_wire(mutated(mutation::copy_may_contain_no_more) ? reading.folded : reached, *m.mutable_reached());
  m.set_next(page.next);
  if (of_leaf != 0) *m.mutable_leaf() = reading.leaf;
  const bool serves_part = i.serves_part(reading);
  if (serves_part) {
    reached.join(i.damaged_keys.find(reading.question.key())->second.reached);
    to_wire(*reading.partial, *m.mutable_folded());
    to_wire(reached, *m.mutable_reached());
  }
  i.add_marked(reading.question, page);
  std::size_t bytes = 0;
  for (auto& entry : page.records) {
    const auto* type = i.type_of(entry.key);
    if (type == nullptr || impl::lane_of(*type) != l || std::holds_alternative<std::monostate>(entry.what)) continue;
    if (of_leaf != 0 && i.tree_of(l).leaf_of(entry.key) != of_leaf - 1) continue;
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
    if (record == nullptr || too_large || (i.damaged_keys.contains(entry.key) && !serves_part)) {
      r.set_damaged(true);
      if (record == nullptr) i.write_again(entry.key, l, *type, out);
      if (too_large) out.push_back(note{"stream.record_too_large", "key=" + entry.key});
    } else {
      *r.mutable_record() = std::move(*record);
    }
  }
  out.push_back(std::move(told));
}

/// What is known of a record that is not whole may be what another one lacks.
bool stream_replica::impl::serves_part(const copying::reading& reading) const {
  const auto known = damaged_keys.find(reading.question.key());
  return known != damaged_keys.end() && reading.partial && !reading.partial->empty()
         && known->second.contains.contains(*reading.partial);
}

/// Of a key that is not whole there may be nothing in the store: that does not mean that there is nothing of it.
void stream_replica::impl::add_marked(const v1::CopyAsked& question, records_page& page) const {
  if (!question.key().empty()) {
    for (auto& entry : page.records)
      if (std::holds_alternative<std::monostate>(entry.what) && damaged_keys.contains(entry.key))
        entry.what = damage{};
    return;
  }
  const auto there = page.records.size();
  for (auto k = damaged_keys.upper_bound(question.after()); k != damaged_keys.end(); ++k) {
    if (!page.next.empty() && k->first > page.next) break;
    const bool read = std::any_of(page.records.begin(), page.records.begin() + static_cast<std::ptrdiff_t>(there),
                                  [&](const auto& entry) { return entry.key == k->first; });
    if (!read && shard_of(k->first, options.shards).value == question.shard())
      page.records.push_back({k->first, damage{}});
  }
  std::ranges::sort(page.records, {}, &records_page::entry::key);
}

/// Whoever copies goes on by the stream from what the copy contains: this node's log has to reach there then.
void stream_replica::impl::keep_log_for(node_id copier, stream_lane l, const version_vector& folded, instant now) {
  auto& kept = copies.kept_for[{copier, l}];
  if (kept.until < now) kept.from = folded;
  kept.from.meet(folded);
  kept.until = now + keep_for;
}

std::uint64_t stream_replica::impl::log_kept_from(stream_lane l, std::uint64_t of_life, const own_log& log,
                                                  instant now) const {
  auto from = std::uint64_t{UINT64_MAX};
  for (const auto& [who, kept] : copies.kept_for)
    if (who.second == l && now <= kept.until)
      if (const auto contains = kept.from.at({options.self, of_life}); contains > 0)
        from = std::min(from, std::max(contains, log.acknowledged_by(who.first)));
  return from;
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
  if (!is_ready || failed || copies.run) return;
  for (auto o = copies.offers.begin(); o != copies.offers.end();) {
    const auto [from, l, of_life] = o->first;
    if (of(l).taken.at({from, of_life}) >= o->second) {
      o = copies.offers.erase(o); // it was copied meanwhile, or it came by the stream
    } else if (!may_copy_from(from, now)) {
      ++o;
    } else {
      return begin_copy(from, l, now, out);
    }
  }
}

bool stream_replica::impl::may_copy_from(node_id from, instant now) {
  const auto avoided = copies.avoided.find(from);
  return !copies.away.contains(from) && (avoided == copies.avoided.end() || now >= avoided->second.until);
}

void stream_replica::impl::avoid(node_id from, nanoseconds at_least, instant now) {
  auto& a = copies.avoided[from];
  a.wait = std::clamp<nanoseconds>(2 * a.wait, at_least, avoid_max);
  a.until = now + a.wait;
}

/// Goes on where an earlier copy was broken off, if that still leads to what is offered now.
void stream_replica::impl::begin_copy(node_id from, stream_lane l, instant now, effects& out) {
  version_vector offered;
  for (auto o = copies.offers.lower_bound({from, l, 0}); o != copies.offers.end(); ++o) {
    const auto& [who, lane, of_life] = o->first;
    if (who != from || lane != l) break;
    offered.raise({from, of_life}, o->second);
  }
  auto parked = copies.parked.extract({from, l});
  const bool resumed = !parked.empty() && now <= parked.mapped().asked + keep_for && parked.mapped().folded
                       && parked.mapped().folded->contains(offered);
  auto& r = copies.run.emplace(resumed ? std::move(parked.mapped()) : copy_run{});
  r.offered = std::move(offered);
  if (!resumed) {
    r.from = from;
    r.lane = l;
    for (const auto& [shard, nodes] : options.stored)
      if (std::ranges::find(nodes, from) != nodes.end()) r.shards.push_back(shard);
    r.all_shards = r.shards.size() == options.stored.size();
  }
  out.push_back(note{resumed ? "stream.copy_resumed" : "stream.copy_begun",
                     "from=" + to_string(from) + " lane=" + std::string{name_of(l)}});
  ask_page(now, out);
}

/// A copy may contain updates whose origin went away before this node had them: only a later copy brings them.
void stream_replica::impl::copy_while_closed(instant now, effects& out) {
  auto& again = copies.while_closed;
  if (!of(stream_lane::ordered).is_closed()) {
    again = {};
    return;
  }
  if (copies.run) {
    again.at = never;
    return;
  }
  if (again.at == never) again.at = now + std::clamp<nanoseconds>(again.wait, closed_min, closed_max);
  if (now < again.at) return;
  again.at = now + std::clamp<nanoseconds>(again.wait, closed_min, closed_max);
  for (std::size_t tried = 0; tried < peers.size(); ++tried) {
    const auto from = *std::next(peers.begin(), static_cast<std::ptrdiff_t>(copies.turn++ % peers.size()));
    const bool all = std::ranges::all_of(options.stored, [from](const auto& entry) {
      return std::ranges::find(entry.second, from) != entry.second.end();
    });
    if (!all || !may_copy_from(from, now)) continue;
    again.wait = std::clamp<nanoseconds>(2 * again.wait, closed_min, closed_max);
    return begin_copy(from, stream_lane::ordered, now, out);
  }
}

void stream_replica::impl::ask_page(instant now, effects& out) {
  auto& r = *copies.run;
  if (copies.away.contains(r.from)) return park(now, out);
  if (!r.open.is_open()) {
    r.open = question(r.lane, r.shards[r.at_shard], {});
    r.open.what.set_after(r.after);
    r.asking = r.from;
  }
  r.asked = r.open.asked = now;
  ++r.open.times;
  out.push_back(ask_copy{r.asking, r.open.what});
}

/// What was copied so far stays true: records only grow.
void stream_replica::impl::park(instant now, effects& out) {
  auto run = std::move(*copies.run);
  copies.run.reset();
  run.open = {};
  run.storing = false; // what is on its way to the disk is there before anything later
  out.push_back(
      note{"stream.copy_parked", "from=" + to_string(run.from) + " lane=" + std::string{name_of(run.lane)}});
  copies.parked.insert_or_assign({run.from, run.lane}, std::move(run));
  copy_next(now, out);
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
    if (const auto to = next_to_ask(shard, r.turn)) {
      r.asking = *to;
      r.open = question(r.lane, shard, r.lacking.front());
      r.open.asked = now;
      out.push_back(ask_copy{r.asking, r.open.what});
      return false;
    }
    r.turn = 0;
    r.unfound.push_back(std::move(r.lacking.front()));
    r.lacking.pop_front();
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

bool stream_replica::impl::is_vector(const v1::Vector& v) {
  return static_cast<std::size_t>(v.entries_size()) <= limits::stream_vector_entries_max
         && std::ranges::all_of(v.entries(), [](const auto& e) { return e.node() != 0 && e.life() != 0; });
}

/// Whether it can be an answer to the question for a page that it repeats.
bool stream_replica::impl::is_page(const v1::CopyTold& told) const {
  if (!has_vectors(told)) return false;
  const auto& q = told.question();
  std::string_view last = q.after();
  for (const auto& entry : told.records()) {
    if (entry.key() <= last || entry.key().size() > limits::key_bytes_max) return false;
    last = entry.key();
    const auto* type = type_of(entry.key()); // one of an unknown type is left out
    if (type != nullptr && static_cast<v1::Lane>(lane_of(*type)) != q.lane()) return false;
    if (shard_of(entry.key(), options.shards).value != q.shard()) return false;
    if (!entry.damaged() && !from_wire(entry.record())) return false;
  }
  return told.next().empty()
         || (told.next() >= last && told.next() > q.after() && told.next().size() <= limits::key_bytes_max);
}

/// Reads what is not in memory of the records here that it concerns, and keeps them there.
void stream_replica::impl::wait_for_records(const v1::CopyTold& page, stream_lane l, effects& out) {
  for (const auto& entry : page.records()) {
    const auto* type = type_of(entry.key());
    if (type == nullptr) continue;
    auto& k = key_of(entry.key(), l, *type, out);
    ++k.copying;
    touched(k);
  }
}

bool stream_replica::impl::are_here(const v1::CopyTold& page) const {
  return std::ranges::all_of(page.records(), [&](const auto& entry) {
    const auto k = keys.find(entry.key());
    return k == keys.end() || k->second->record == stream_key::bytes::here;
  });
}

void stream_replica::impl::copy_told(node_id from, v1::CopyTold told, instant now, effects& out) {
  auto& mending = copies.mending;
  if (mending.from == from && mending.open.is_answered_by(told)) return mended(told, out);
  if (compares.with && compares.with->with == from && compares.with->page.is_answered_by(told))
    return leaf_told(std::move(told), now, out);
  auto& run = copies.run;
  if (!run || run->asking != from || !run->open.is_answered_by(told)) return; // late
  if (told.question().key().empty()) {
    if (!is_page(told)) {
      refuse_copy(from, out);
      avoid(from, avoid_max, now);
      run.reset();
      return copy_next(now, out);
    }
  } else if (!is_whole(from, told, out) || !from_wire(told.folded()).contains(copied_upto(*run))) {
    run->open = {};
    return absorb_copies(now, out); // somebody else is asked
  }
  run->open = {};
  wait_for_records(told, run->lane, out);
  run->page = std::move(told);
  join_page(now, out);
}

void stream_replica::impl::refuse_copy(node_id from, effects& out) {
  ++counts.refused;
  out.push_back(note{"stream.copy_refused", "from=" + to_string(from)});
}

/// Once the records here that it concerns were read.
void stream_replica::impl::join_page(instant now, effects& out) {
  auto& run = copies.run;
  if (!run || !run->page || failed || !are_here(*run->page)) return;
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
  auto base = folded_state(k);
  for (const auto& s : copy.entries())
    clock.saw(s.when);
  if (k.damaged && join_damaged(k, base, told, copy)) {
    rebase(k, std::move(base), out);
    return true;
  }
  const auto contains = from_wire(told.folded());
  std::vector<loser> lost;
  sibling_set::loser_list losers{.origin = options.self, .lost = lost};
  const bool news = base.join(copy, {.own = of(k.lane).staged.folded(),
                                     .others = contains,
                                     .losers = has_losers(k.type->resolver) ? &losers : nullptr});
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
  write_record(k, folded_state(k), writes);
  if (k.damaged) writes.emplace_back(mark_write{stream_marks::damaged(k.key), "1"});
}

void stream_replica::impl::close(stream_lane l, const version_vector& until, std::vector<stream_write>& writes) {
  auto& lane = of(l);
  if (lane.is_ordered && mutated(mutation::cut_shown_early)) return;
  if (lane.copied_until.join(until))
    writes.push_back(stream_marks::of(stream_marks::copied_until(l), lane.copied_until));
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
  run->lacking.insert(run->lacking.end(), run->unfound.begin(), run->unfound.end());
  run->unfound.clear();
  auto target = copied_upto(*run);
  if (!run->lacking.empty()) {
    // What nobody could give may be in the source's log still: that goes on from where it has to.
    version_vector others;
    for (const auto& e : target.entries())
      others.raise(e.from, e.from.node == run->from ? std::min(e.seq, run->offered.at(e.from)) : e.seq);
    target = std::move(others);
  }
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
  for (const auto& key : run->lacking) {
    // What nobody could give, this node lacks from here on; it goes on to ask for it.
    writes.emplace_back(mark_write{stream_marks::damaged(key), "1"});
    if (const auto known = damaged_keys.find(key); known != damaged_keys.end() && !known->second.mended) continue;
    const auto former = damaged_keys.extract(key);
    auto& k = key_of(key, l, *type_of(key), out);
    mark_damaged(k, lane.staged.folded(), out);
    if (!former.empty()) damaged_keys.at(key).reached = *former.mapped().mended; // what it may contain, it still may
    note_change(k);
  }
  state_folded(l, writes);
  lane.more_shown = true;
  out.push_back(note{"stream.copied", "from=" + to_string(run->from) + " lane=" + std::string{name_of(l)}
                                          + " upto=" + to_string(target)});
  if (lane.taken.contains(run->offered)) {
    copies.avoided.erase(run->from);
  } else {
    avoid(run->from, avoid_min, now); // it contains less than what is offered
  }
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
  for (const auto l : {stream_lane::ordered, stream_lane::free}) {
    auto& lane = of(l);
    if (lane.is_exact() || !lane.staged.folded().contains(lane.copied_until)
        || !lane.received.contains(lane.copied_until))
      continue;
    lane.copied_until = {};
    std::vector<stream_write> writes{mark_write{stream_marks::copied_until(l), {}}};
    state_folded(l, writes); // what changed no record is not stated yet
    if (lane.is_ordered) out.push_back(note{"stream.open_again", "folded=" + to_string(lane.staged.folded())});
    store(std::move(writes), records_durable{.lane = l, .folded = lane.staged.folded()}, out);
  }
}

// --- time ---

void stream_replica::impl::tick_copies(instant now, effects& out) {
  if (auto& run = copies.run; run && run->open.is_open() && now >= run->open.asked + answer_within) {
    if (run->complete) {
      run->open = {}; // the next one is asked
    } else if (run->open.times < times_max) {
      ask_page(now, out);
    } else {
      avoid(run->from, avoid_max, now);
      park(now, out);
    }
  }
  absorb_copies(now, out);
  copy_next(now, out);
  copy_while_closed(now, out);
  if (now >= copies.mending.again && !damaged_keys.empty()) mend_next(now, out);
  reopen(out);
  whole_again(out);
}

instant stream_replica::impl::copies_wake_at() const {
  auto at = never;
  if (const auto& run = copies.run; run && run->open.is_open()) {
    at = run->open.asked + answer_within;
  } else if (run && run->complete && !run->storing && !run->page) {
    at = run->again;
  }
  if (std::ranges::any_of(damaged_keys, [](const auto& known) { return !known.second.mended; })) {
    const auto& m = copies.mending;
    at = std::min(at, m.open.is_open() ? std::max(m.again, m.open.asked + answer_within) : m.again);
  }
  if (copies.run) return at;
  if (of(stream_lane::ordered).is_closed())
    at = std::min(at, copies.while_closed.at == never ? instant::min() : copies.while_closed.at);
  for (const auto& offer : copies.offers) {
    const auto from = std::get<0>(offer.first);
    const auto avoided = copies.avoided.find(from);
    if (!copies.away.contains(from) && avoided != copies.avoided.end()) at = std::min(at, avoided->second.until);
  }
  return at;
}

void stream_replica::impl::copy_peer(node_id who, bool connected, instant now, effects& out) {
  auto& run = copies.run;
  if (!connected) {
    copies.away.insert(who);
    if (run && run->from == who && run->open.is_open() && !run->complete) park(now, out);
    return;
  }
  copies.away.erase(who);
  copies.avoided.erase(who); // it may be another build now
  copy_next(now, out);
}

// --- the interface ---

void stream_replica::copy_told(node_id from, v1::CopyTold told, const times& at, effects& out) {
  if (!impl_->is_ready || impl_->failed) return;
  impl_->wall_ms_last = at.wall_ms;
  impl_->copy_told(from, std::move(told), at.now, out);
  impl_->publish_changes(out);
}

} // namespace troupe
