// Anti-entropy: what replicas differ in though nothing is on its way between them. All shards in turn; first the
// records here are read, then their hashes are compared with those of one other replica, and only what differs
// travels.
//
// The hash tree is written together with the records. Where they do not fit each other, this node's disk has lost
// something: the records that others have otherwise are damaged, and are mended as such. Where both fit and differ
// from another replica's, nobody knows who is wrong: they are united. Nothing that any of them still has is lost by
// that, though what one had replaced may come back beside it.
#include "protocol/stream/stream_replica_impl.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr unsigned looks_max = 10; ///< until both have what the other had at the first one

v1::Leaf to_wire(std::uint64_t life, const hash_tree::leaf& l) {
  v1::Leaf out;
  out.set_life(life);
  out.set_writes(l.writes);
  out.set_hash(l.hash);
  return out;
}

} // namespace

/// What was written to records is on the disk: a page that is read now has it.
bool stream_replica::impl::records_are_stored() const {
  return std::ranges::none_of(persists,
                              [](const auto& p) { return std::holds_alternative<records_durable>(p.then); });
}

v1::Leaf stream_replica::impl::leaf_now(stream_lane l, shard_id shard, std::size_t which) const {
  return to_wire(life, tree_of(l).at(shard, which));
}

// --- whose turn it is ---

void stream_replica::impl::tick_comparing(instant now, effects& out) {
  if (options.compare_every <= nanoseconds{0} || options.stored.empty() || life == 0) return;
  auto& c = compares;
  const auto step = options.compare_every / static_cast<std::int64_t>(options.stored.size());
  if (c.next == never) c.next = now + step;
  if (c.with) {
    auto& w = *c.with;
    const bool waits = w.open.number() != 0 || w.page.is_open();
    const auto since = w.page.is_open() ? w.page.asked : w.asked;
    if (waits && now >= since + 2 * options.compare_settle) return end_comparison("no answer", now, out);
    if (!waits && !w.told && now >= w.again) look(now, out);
  } else if (c.scrubbing) {
    scrub_on(now, out);
  } else if (!c.due.empty()) {
    const auto [l, shard] = c.due.front();
    c.due.pop_front();
    begin_comparison(l, shard, now, out);
  } else if (now >= c.next) {
    c.next = now + step;
    c.scrubbing.emplace().shard =
        std::next(options.stored.begin(), static_cast<std::ptrdiff_t>(c.turn++ % options.stored.size()))->first;
    scrub_on(now, out);
  }
}

instant stream_replica::impl::comparing_wakes_at() const {
  if (options.compare_every <= nanoseconds{0} || options.stored.empty() || life == 0) return never;
  const auto& c = compares;
  if (c.next == never) return instant::min();
  if (c.with) {
    const auto& w = *c.with;
    if (w.told) return never; // until records are read
    if (w.page.is_open()) return w.page.asked + 2 * options.compare_settle;
    return w.open.number() != 0 ? w.asked + 2 * options.compare_settle : w.again;
  }
  if (c.scrubbing) return c.scrubbing->cookie != 0 ? never : c.scrubbing->again;
  return c.due.empty() ? c.next : instant::min();
}

// --- the records here ---

void stream_replica::impl::scrub_on(instant now, effects& out) {
  auto& s = *compares.scrubbing;
  if (s.cookie != 0 || now < s.again) return;
  if (!s.begun && !records_are_stored()) {
    s.again = now + load_within; // what is on its way would be missed
    return;
  }
  s.begun = true;
  s.cookie = ++copies.last_cookie;
  out.push_back(read_copy{s.cookie, s.shard, s.after, {}});
}

void stream_replica::impl::scrubbed(const records_page& page, instant now, effects& out) {
  auto& s = *compares.scrubbing;
  s.cookie = 0;
  if (!page.whole) {
    out.push_back(note{"stream.scrub_failed", "shard=" + std::to_string(s.shard.value)});
    compares.scrubbing.reset();
    return;
  }
  for (const auto& entry : page.records) {
    const auto* type = type_of(entry.key);
    if (type == nullptr) continue;
    const auto l = lane_of(*type);
    const auto leaf = tree_of(l).leaf_of(entry.key);
    const auto* record = std::get_if<v1::WeakRecord>(&entry.what);
    const auto state = record == nullptr ? std::nullopt : from_wire(*record);
    if (state) {
      s.found[{l, leaf}] ^= hash_of(entry.key, *state);
      if (const auto doubted = compares.doubted.find({l, s.shard, leaf}); doubted != compares.doubted.end())
        doubted->second.insert(entry.key);
    } else if (!std::holds_alternative<std::monostate>(entry.what)) {
      s.unreadable.emplace(l, leaf);
      write_again(entry.key, l, *type, out);
    }
  }
  s.after = page.next;
  s.again = now + options.compare_page_every;
  if (!s.after.empty()) return;
  if (judge_leaves(out) && !s.again_for_keys) {
    const auto shard = s.shard;
    s = {};
    s.shard = shard;
    s.again_for_keys = true;
    s.again = now + options.compare_page_every;
    return;
  }
  for (const auto l : {stream_lane::ordered, stream_lane::free})
    compares.due.emplace_back(l, s.shard);
  compares.scrubbing.reset();
}

/// Whether the disk has what was written to it; nothing is said of leaves that were written meanwhile.
/// @return whether it lacks something.
bool stream_replica::impl::judge_leaves(effects& out) {
  const auto& s = *compares.scrubbing;
  bool lacks = false;
  for (const auto l : {stream_lane::ordered, stream_lane::free}) {
    auto& tree = tree_of(l);
    for (std::size_t i = 0; i < tree.leaves(); ++i) {
      const auto read = s.found.find({l, i});
      const auto hash = read == s.found.end() ? 0 : read->second;
      if (s.written.contains({l, i})) continue;
      const leaf_place place{l, s.shard, i};
      if (tree.at(s.shard, i).hash == hash) {
        compares.doubted.erase(place);
        compares.mended.erase(place);
      } else if (compares.mended.erase(place) > 0 || s.unreadable.contains({l, i})) {
        tree.set(s.shard, i, hash); // what is damaged is not part of it, and enters it again when it is mended
        leaves_changed.insert(place);
      } else {
        lacks = true;
        if (!compares.doubted.try_emplace(place).second) continue;
        ++counts.leaves_doubted;
        out.push_back(note{"stream.hashes_do_not_fit",
                           "shard=" + std::to_string(s.shard.value) + " lane=" + std::string{name_of(l)}});
      }
    }
  }
  if (!leaves_changed.empty()) store({}, std::monostate{}, out);
  return lacks;
}

// --- what others are told ---

void stream_replica::tree_asked(node_id from, const v1::TreeAsked& question, effects& out) {
  auto& i = *impl_;
  const shard_id shard{question.shard()};
  if (!i.both_store(from, shard) || question.number() == 0 || !v1::Lane_IsValid(question.lane())) {
    ++i.counts.refused;
    out.push_back(note{"stream.tree_question_refused", "from=" + to_string(from)});
    return;
  }
  const auto l = static_cast<stream_lane>(question.lane());
  if (!i.is_ready || i.failed || !i.is_comparable(l)) return;
  const auto& tree = i.tree_of(l);
  tell_tree told{from, {}};
  auto& m = told.what;
  *m.mutable_question() = question;
  to_wire(i.of(l).staged.folded(), *m.mutable_folded());
  m.set_life(i.life);
  m.set_same(tree.root(shard) == question.root());
  if (!m.same())
    for (std::size_t n = 0; n < tree.leaves(); ++n) {
      m.add_hashes(tree.at(shard, n).hash);
      m.add_writes(tree.at(shard, n).writes);
      if (i.compares.doubted.contains({l, shard, n})) m.add_doubted(static_cast<std::uint32_t>(n));
    }
  out.push_back(std::move(told));
}

/// The records of the lane are the state as of what is folded.
bool stream_replica::impl::is_comparable(stream_lane l) const {
  return life != 0 && of(l).is_exact() && !(copies.run && copies.run->lane == l);
}

// --- with one other replica ---

void stream_replica::impl::begin_comparison(stream_lane l, shard_id shard, instant now, effects& out) {
  const auto& nodes = options.stored.at(shard);
  auto turn = (compares.turn / options.stored.size() + shard.value) % nodes.size(); // another one in the next pass
  auto to = next_to_ask(shard, turn);
  turn = 0;
  if (!to) to = next_to_ask(shard, turn);
  if (!to || !is_comparable(l)) return;
  auto& w = compares.with.emplace();
  w.with = *to;
  w.lane = l;
  w.shard = shard;
  look(now, out);
}

void stream_replica::impl::look(instant now, effects& out) {
  auto& w = *compares.with;
  w.open.set_number(++compares.last_number);
  w.open.set_lane(static_cast<v1::Lane>(w.lane));
  w.open.set_shard(w.shard.value);
  const auto doubted = compares.doubted.lower_bound({w.lane, w.shard, 0});
  const bool doubts = doubted != compares.doubted.end() && std::get<0>(doubted->first) == w.lane
                      && std::get<1>(doubted->first) == w.shard;
  w.open.set_root(w.looks == 0 && !doubts ? tree_of(w.lane).root(w.shard) : 0);
  w.asked = now;
  w.again = never;
  out.push_back(ask_tree{w.with, w.open});
}

void stream_replica::impl::end_comparison(std::string_view why, instant now, effects& out) {
  if (auto& page = compares.with->told)
    for (const auto& entry : page->records())
      if (const auto k = keys.find(entry.key()); k != keys.end()) {
        --k->second->copying;
        touched(*k->second);
      }
  if (why.empty()) {
    ++counts.compared;
  } else {
    ++counts.compared_in_vain;
    out.push_back(note{"stream.not_compared", "with=" + to_string(compares.with->with)
                                                  + " shard=" + std::to_string(compares.with->shard.value) + ": "
                                                  + std::string{why}});
  }
  compares.with.reset();
  tick_comparing(now, out);
}

void stream_replica::impl::tree_told(node_id from, const v1::TreeTold& told, instant now, effects& out) {
  if (!compares.with) return;
  auto& w = *compares.with;
  if (w.with != from || w.open.number() == 0 || told.question().SerializeAsString() != w.open.SerializeAsString())
    return; // late
  w.open.Clear();
  const auto& tree = tree_of(w.lane);
  const auto leaves = static_cast<int>(tree.leaves());
  if (!is_vector(told.folded()) || told.life() == 0
      || (!told.same() && (told.hashes_size() != leaves || told.writes_size() != leaves))) {
    ++counts.refused;
    out.push_back(note{"stream.tree_refused", "from=" + to_string(from)});
    return end_comparison("refused", now, out);
  }
  if (!is_comparable(w.lane)) return end_comparison("copying", now, out);
  if (++w.looks > 1) return second_look(told, now, out);
  if (!told.same())
    for (std::size_t i = 0; i < tree.leaves(); ++i) {
      const hash_tree::leaf theirs{told.hashes(static_cast<int>(i)), told.writes(static_cast<int>(i))};
      const auto mine = tree.at(w.shard, i);
      const bool doubted_there = std::ranges::find(told.doubted(), i) != told.doubted().end();
      const bool doubted = compares.doubted.contains({w.lane, w.shard, i});
      if (!doubted_there && (doubted || theirs.hash != mine.hash)) w.suspects.push_back({i, mine, theirs});
    }
  if (w.suspects.empty()) return end_comparison({}, now, out);
  w.mine = of(w.lane).staged.folded();
  w.theirs = from_wire(told.folded());
  w.their_life = told.life();
  w.again = now + options.compare_settle;
  if (mutated(mutation::compared_at_a_glance)) ask_leaf(now, out);
}

void stream_replica::impl::second_look(const v1::TreeTold& told, instant now, effects& out) {
  auto& w = *compares.with;
  if (told.life() != w.their_life) return end_comparison("it has started anew", now, out);
  const auto& tree = tree_of(w.lane);
  std::erase_if(w.suspects, [&](const comparison::suspect& s) {
    const auto i = static_cast<int>(s.leaf);
    const hash_tree::leaf theirs = told.same() ? hash_tree::leaf{} : hash_tree::leaf{told.hashes(i), told.writes(i)};
    return theirs != s.theirs || tree.at(w.shard, s.leaf) != s.mine;
  });
  if (w.suspects.empty()) return end_comparison({}, now, out);
  if (!from_wire(told.folded()).contains(w.mine) || !of(w.lane).staged.folded().contains(w.theirs)) {
    if (w.looks >= looks_max) return end_comparison("one of both lags", now, out);
    w.again = now + options.compare_settle;
    return;
  }
  ask_leaf(now, out);
}

/// The next page of the first leaf that differs.
void stream_replica::impl::ask_leaf(instant now, effects& out) {
  auto& w = *compares.with;
  if (w.suspects.empty()) return end_comparison({}, now, out);
  w.page = question(w.lane, w.shard, {});
  w.page.what.set_leaf(static_cast<std::uint32_t>(w.suspects.front().leaf) + 1);
  w.page.what.set_after(w.after);
  w.page.asked = now;
  w.again = never;
  out.push_back(ask_copy{w.with, w.page.what});
}

void stream_replica::impl::leaf_told(v1::CopyTold told, instant now, effects& out) {
  auto& w = *compares.with;
  w.page = {};
  if (!is_page(told)) {
    refuse_copy(w.with, out);
    return end_comparison("refused", now, out);
  }
  wait_for_records(told, w.lane, out);
  w.told = std::move(told);
  join_leaf(now, out);
}

/// Once the records here that it concerns were read.
void stream_replica::impl::join_leaf(instant now, effects& out) {
  if (!compares.with || !compares.with->told || failed || !are_here(*compares.with->told)) return;
  auto& w = *compares.with;
  const auto page = std::move(*w.told);
  w.told.reset();
  auto& s = w.suspects.front();
  const bool glance = mutated(mutation::compared_at_a_glance);
  const bool as_it_was = page.leaf().SerializeAsString() == to_wire(w.their_life, s.theirs).SerializeAsString()
                         && tree_of(w.lane).at(w.shard, s.leaf) == s.mine && is_comparable(w.lane);
  const leaf_place place{w.lane, w.shard, s.leaf};
  const auto doubted = compares.doubted.find(place);
  std::vector<stream_write> writes;
  std::vector<stream_key*> written;
  for (const auto& entry : page.records()) {
    if (type_of(entry.key()) == nullptr) continue;
    auto& k = *keys.at(entry.key());
    --k.copying;
    const bool counts_for_both = (as_it_was || glance) && !entry.damaged() && !k.damaged;
    const bool is_doubted = doubted != compares.doubted.end();
    if (counts_for_both && hold_against(k, *from_wire(entry.record()), is_doubted, writes, out)) {
      ++k.unsynced;
      write_record(k, folded_state(k), writes);
      written.push_back(&k);
    }
    w.seen.insert(entry.key());
    touched(k);
  }
  if (as_it_was && page.next().empty() && doubted != compares.doubted.end()) {
    for (const auto& key : doubted->second)
      if (!w.seen.contains(key)) doubt(key_of(key, w.lane, *type_of(key), out), writes, out);
    compares.doubted.erase(doubted);
    compares.mended.insert(place);
  }
  if (!writes.empty()) store(std::move(writes), records_durable{.keys = std::move(written), .lane = w.lane}, out);
  s.mine = tree_of(w.lane).at(w.shard, s.leaf);
  w.after = page.next();
  if (!as_it_was || w.after.empty()) {
    w.suspects.pop_front();
    w.after.clear();
    w.seen.clear();
  }
  ask_leaf(now, out);
}

/// @param doubted  the disk here has lost something of the leaf. @return whether the record here is to be written.
bool stream_replica::impl::hold_against(stream_key& k, const sibling_set& copy, bool doubted,
                                        std::vector<stream_write>& writes, effects& out) {
  if (!doubted) {
    if (!unite(k, copy, out)) return false;
    ++counts.differed;
    out.push_back(note{"stream.replicas_differ", "key=" + k.key + " with=" + to_string(compares.with->with)});
    return true;
  }
  if (hash_of(k.key, folded_state(k)) == hash_of(k.key, copy)) return true; // it may stand in the memory only
  doubt(k, writes, out);
  return false;
}

/// What stands in the store is not what was written there.
void stream_replica::impl::doubt(stream_key& k, std::vector<stream_write>& writes, effects& out) {
  if (k.damaged) return;
  writes.emplace_back(mark_write{stream_marks::damaged(k.key), "1"});
  mark_damaged(k, of(k.lane).staged.folded(), out);
  note_change(k);
}

/// What both have of updates that are folded here. @return whether the copy had anything that is not here.
bool stream_replica::impl::unite(stream_key& k, const sibling_set& copy, effects& out) {
  const auto& folded = of(k.lane).staged.folded();
  auto base = folded_state(k);
  base.join(copy.only([&](const sibling& s) { return folded.covers(s.at); }), {.own = nothing, .others = nothing});
  if (hash_of(k.key, base) == k.hash) return false;
  watch_tombstones(k, base);
  rebase(k, std::move(base), out);
  return true;
}

// --- the interface ---

void stream_replica::tree_told(node_id from, const v1::TreeTold& told, instant now, effects& out) {
  if (!impl_->is_ready || impl_->failed) return;
  impl_->tree_told(from, told, now, out);
  impl_->publish_changes(out);
}

} // namespace troupe
