#include "protocol/stream/frontier.hpp"

#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

constexpr stream_lane both_lanes[] = {stream_lane::ordered, stream_lane::free};
constexpr std::size_t clocks_max = 8; ///< statements of one origin's clock that wait for their number to be stable

std::uint64_t sum_of(const version_vector& v) {
  std::uint64_t sum = 0;
  for (const auto& e : v.entries())
    sum += e.seq;
  return sum;
}

} // namespace

frontier::frontier(frontier_options options) : options_{std::move(options)} {
  TROUPE_ASSERT(is_member(options_.self) && options_.life.value != 0);
  for (const auto& [node, region] : options_.regions)
    if (node != options_.self) {
      reports_[node];
      listeners_[node];
    }
}

bool frontier::is_near(node_id who) const {
  const auto found = options_.regions.find(who);
  return found != options_.regions.end() && found->second == options_.regions.at(options_.self);
}

/// A node of this region whose updates F waits for; this node itself is one whatever the view says of it.
bool frontier::counted_in_region(node_id who) const {
  if (who == options_.self) return true;
  const auto found = view_.nodes.find(who);
  return is_near(who) && found != view_.nodes.end() && !found->second.out;
}

// -- what is told
// -----------------------------------------------------------------------------------------------------

void frontier::changed() {
  unsettled_ = true;
  for (auto& [node, l] : listeners_)
    l.changed = true;
}

void frontier::earlier_life(std::uint64_t life, std::uint64_t last_seq) {
  ended_[{options_.self, life}] = last_seq;
  changed();
}

void frontier::view_changed(const view& v, instant, effects& out) {
  if (v.number <= view_.number) {
    if (v.number < view_.number)
      out.push_back(
          note{"frontier.old_view", "number=" + std::to_string(v.number) + " known=" + std::to_string(view_.number)});
    return;
  }
  for (const auto& [node, s] : v.nodes) {
    const auto former = view_.nodes.find(node);
    if (former == view_.nodes.end() || former->second.life != s.life) life_since_[node] = v.number;
    for (auto& clocks : clocks_)
      std::erase_if(
          clocks, [who = node, life = s.life](const auto& c) { return c.first.node == who && c.first.life < life; });
  }
  view_ = v;
  changed();
}

void frontier::received(stream_lane lane, const origin& from, std::uint64_t upto) {
  auto& vector = lane == stream_lane::ordered ? own_.received : own_.received_free;
  if (vector.raise(from, upto)) changed();
}

void frontier::stated(const statement& s) {
  const auto standing = view_.nodes.find(s.from.node);
  const auto life = standing != view_.nodes.end() ? standing->second.life : 0;
  if (!is_member(s.from.node) || s.from.life < life) return;
  auto& c = clocks_[static_cast<std::size_t>(s.lane)][s.from];
  if (s.clock <= c.confirmed || (!c.open.empty() && s.clock <= c.open.back().second)) return;
  while (!c.open.empty() && c.open.back().first >= s.upto)
    c.open.pop_back(); // a lower clock of no lower number
  if (c.open.size() >= clocks_max) c.open.pop_back();
  c.open.emplace_back(s.upto, s.clock);
  unsettled_ = true;
}

void frontier::facts(const version_vector& region) { state_region(region); }

/// A statement about F of this region that somebody made.
void frontier::state_region(const version_vector& region) {
  for (const auto& e : region.entries())
    if (is_member(e.from.node) && (region_.at(e.from) != 0 || region_.size() < options_.vector_entries_max))
      unsettled_ |= region_.raise(e.from, e.seq);
}

void frontier::peer(node_id who, bool connected, instant) {
  const auto found = listeners_.find(who);
  if (found == listeners_.end()) return;
  found->second = {.up = connected, .changed = true, .wanted = false, .ask = false, .told = instant::min()};
}

// -- facts of others
// --------------------------------------------------------------------------------------------------

bool frontier::malformed(const v1::Vector& v) const {
  return static_cast<std::size_t>(v.entries_size()) > options_.vector_entries_max
         || std::ranges::any_of(v.entries(), [&](const auto& e) { return e.life() == 0 || !is_member({e.node()}); });
}

/// Why it cannot be what it says; empty = it can.
std::string_view frontier::malformed(node_id from, const v1::FrontierFacts& m) const {
  if (m.incarnation() == 0 || m.number() == 0) return "no_number";
  if (malformed(m.received()) || malformed(m.received_free()) || malformed(m.region())) return "bad_vector";
  if (static_cast<std::size_t>(m.ended_size()) > options_.vector_entries_max) return "bad_vector";
  for (const auto& e : m.ended())
    if (e.node() != from.value || e.life() == 0) return "ended_of_another";
  return {};
}

void frontier::receive(node_id from, const v1::FrontierFacts& m, instant, effects& out) {
  const auto drop = [&](std::string_view why) {
    ++counters_.refused;
    out.push_back(note{"frontier.facts_refused", "from=" + to_string(from) + " why=" + std::string{why}
                                                     + " number=" + std::to_string(m.number())});
  };
  const auto found = reports_.find(from);
  if (found == reports_.end()) return drop("not_a_member");
  auto& r = found->second;
  if (const auto why = malformed(from, m); !why.empty()) return drop(why);
  if (m.incarnation() < r.incarnation || (m.incarnation() == r.incarnation && m.number() <= r.number))
    return drop("stale");
  ++counters_.received;
  r = {m.incarnation(),      m.number(), m.view(), from_wire(m.received()), from_wire(m.received_free()),
       from_wire(m.region())};
  unsettled_ = true;
  if (is_near(from)) state_region(r.region);
  if (m.wanted()) listeners_.at(from).wanted = true;
  bool ended = false;
  for (const auto& e : m.ended()) {
    const auto d = from_wire(e);
    const auto [known, added] = ended_.try_emplace(d.from, d.seq);
    ended |= added || known->second != d.seq;
    known->second = d.seq;
  }
  if (ended) fail_lost(out);
}

// -- waits
// ------------------------------------------------------------------------------------------------------------

/// Some of it is above what survived of its origin, and is not here.
bool frontier::lost(const version_vector& v, dot& which) const {
  for (const auto& e : v.entries()) {
    const auto end = ended_.find(e.from);
    if (end == ended_.end() || e.seq <= end->second || e.seq <= applied_.at(e.from)) continue;
    which = {e.from, e.seq};
    return true;
  }
  return false;
}

/// The node that everybody waits for: the one of this region that lacks most; when all lack it, the origin's own.
node_id frontier::held_up_by(const dot& missing) const {
  node_id slowest;
  std::uint64_t least = 0;
  bool all = true;
  for (const auto& [node, region] : options_.regions) {
    if (!counted_in_region(node)) continue;
    const auto& r = node == options_.self ? own_ : reports_.at(node);
    const bool silent = node != options_.self && r.incarnation == 0;
    const auto has = r.received.at(missing.from);
    const bool lacks = missing ? has < missing.seq : silent;
    all &= lacks;
    if (!lacks || (slowest.value != 0 && has >= least)) continue;
    slowest = node;
    least = has;
  }
  return missing && all ? missing.from.node : slowest;
}

void frontier::block(std::uint64_t cookie, waiter& w) {
  w.missing = first_missing(applied_, w.vector);
  blocked_.insert({w.missing.from, w.missing.seq, cookie});
}

void frontier::remove(waits_map::iterator w) {
  blocked_.erase({w->second.missing.from, w->second.missing.seq, w->first});
  deadlines_.erase({w->second.deadline, w->first});
  waits_.erase(w);
}

void frontier::wait(wait_for what, instant now, effects& out) {
  TROUPE_ASSERT(!waits_.contains(what.cookie));
  dot missing;
  if (ready_ && applied_.contains(what.vector)) {
    out.push_back(reached{what.cookie});
    return;
  }
  if (lost(what.vector, missing)) {
    ++counters_.lost;
    out.push_back(failed{what.cookie, errc::lost_update, missing, missing.from.node});
    return;
  }
  missing = first_missing(applied_, what.vector);
  if (what.deadline <= now) {
    ++counters_.timeouts;
    out.push_back(failed{what.cookie, errc::dependency_timeout, missing, held_up_by(missing)});
    return;
  }
  if (waits_.size() >= options_.waits_max) {
    ++counters_.overloads;
    out.push_back(failed{what.cookie, errc::overloaded, missing, {}});
    return;
  }
  ++counters_.waits;
  const auto w = waits_.emplace(what.cookie, waiter{std::move(what.vector), what.deadline, {}}).first;
  block(w->first, w->second);
  deadlines_.insert({w->second.deadline, w->first});
  for (auto& [node, l] : listeners_)
    if (counted_in_region(node)) l.ask = l.changed = true;
}

void frontier::cancel(std::uint64_t cookie) {
  if (const auto w = waits_.find(cookie); w != waits_.end()) remove(w);
}

void frontier::fail_lost(effects& out) {
  for (auto w = waits_.begin(); w != waits_.end();) {
    const auto here = w++;
    dot missing;
    if (!lost(here->second.vector, missing)) continue;
    ++counters_.lost;
    out.push_back(failed{here->first, errc::lost_update, missing, missing.from.node});
    remove(here);
  }
}

/// Looks at the waits whose first missing update is missing no more.
void frontier::wake(effects& out) {
  std::set<std::uint64_t> candidates; // in the order of their cookies
  const auto collect = [&](const origin& from, std::uint64_t upto) {
    for (auto b = blocked_.lower_bound({from, 0, 0});
         b != blocked_.end() && std::get<0>(*b) == from && std::get<1>(*b) <= upto; ++b)
      candidates.insert(std::get<2>(*b));
  };
  for (const auto& e : applied_.entries())
    collect(e.from, e.seq);
  if (ready_) collect({}, 0);
  for (const auto cookie : candidates) {
    const auto w = waits_.find(cookie);
    blocked_.erase({w->second.missing.from, w->second.missing.seq, cookie});
    block(cookie, w->second);
    if (w->second.missing || !ready_) continue;
    out.push_back(reached{cookie});
    remove(w);
  }
}

// -- what follows
// -----------------------------------------------------------------------------------------------------

void frontier::conclude_region() {
  if (view_.number == 0) return;
  auto all = own_.received;
  std::vector<const report*> counted;
  for (const auto& [node, r] : reports_) {
    if (!counted_in_region(node)) continue;
    if (r.incarnation == 0) return; // nobody knows what it has
    counted.push_back(&r);
  }
  ready_ = true;
  if (mutated(mutation::frontier_ignores_a_node) && !counted.empty())
    counted.erase(std::ranges::min_element(counted, {}, [](const report* r) { return sum_of(r->received); }));
  for (const auto* r : counted)
    all.meet(r->received);
  region_.join(all);
}

void frontier::conclude_stable(effects& out) {
  auto ordered = applied_, free = own_.received_free;
  for (const auto& [node, r] : reports_) {
    if (r.incarnation == 0) return;
    ordered.meet(r.region);
    free.meet(r.received_free);
  }
  for (auto lane : both_lanes) {
    auto& stable = stable_[static_cast<std::size_t>(lane)];
    if (stable.join(lane == stream_lane::ordered ? ordered : free)) out.push_back(stable_advanced{lane, stable});
    confirm_clocks(lane);
  }
}

void frontier::confirm_clocks(stream_lane lane) {
  const auto& stable = stable_[static_cast<std::size_t>(lane)];
  for (auto& [from, c] : clocks_[static_cast<std::size_t>(lane)])
    for (; !c.open.empty() && c.open.front().first <= stable.at(from); c.open.pop_front())
      c.confirmed = c.open.front().second;
}

void frontier::conclude(effects& out) {
  if (!std::exchange(unsettled_, false)) return;
  const bool was_ready = ready_;
  conclude_region();
  auto now_applied = region_;
  now_applied.meet(own_.received);
  if (now_applied != applied_) {
    applied_ = std::move(now_applied);
    for (auto& [node, l] : listeners_)
      l.changed = true;
    out.push_back(advanced{applied_});
    wake(out);
  } else if (ready_ && !was_ready) {
    wake(out);
  }
  conclude_stable(out);
}

std::uint64_t frontier::stable_clock(stream_lane lane) const {
  if (view_.number == 0) return 0;
  const auto& vector_of = lane == stream_lane::ordered ? &report::received : &report::received_free;
  const auto& stable = stable_[static_cast<std::size_t>(lane)];
  const auto& clocks = clocks_[static_cast<std::size_t>(lane)];
  // Of earlier lives, all that any member has must be stable; the member whose lives they are has told so since then.
  const auto settled = [&](const report& r) {
    return std::ranges::all_of((r.*vector_of).entries(), [&](const auto& e) {
      const auto node = view_.nodes.find(e.from.node);
      return (node != view_.nodes.end() && node->second.life == e.from.life) || stable.covers({e.from, e.seq});
    });
  };
  if (!settled(own_)) return 0;
  auto lowest = UINT64_MAX;
  for (const auto& [node, region] : options_.regions) {
    const auto standing = view_.nodes.find(node);
    if (standing == view_.nodes.end() || standing->second.life == 0) return 0;
    if (node != options_.self) {
      const auto& r = reports_.at(node);
      if (r.incarnation == 0 || r.view < life_since_.at(node) || !settled(r)) return 0;
    }
    const auto c = clocks.find({node, standing->second.life});
    lowest = std::min(lowest, c != clocks.end() ? c->second.confirmed : 0);
  }
  return lowest;
}

bool frontier::caught_up(std::uint64_t view_number) const {
  if (!ready_ || !own_.received.contains(stable(stream_lane::ordered))
      || !own_.received_free.contains(stable(stream_lane::free)))
    return false;
  return std::ranges::all_of(reports_, [&](const auto& entry) {
    const auto& [node, r] = entry;
    return !counted_in_region(node) || (r.view >= view_number && own_.received.contains(r.region));
  });
}

std::optional<frontier::holding_up> frontier::holdup() const {
  auto top = own_.received;
  for (const auto& [node, r] : reports_)
    top.join(r.received);
  std::optional<holding_up> worst;
  for (const auto& [node, region] : options_.regions) {
    if (!counted_in_region(node)) continue;
    const auto& r = node == options_.self ? own_ : reports_.at(node);
    for (const auto& e : top.entries())
      if (const auto behind = e.seq - r.received.at(e.from); behind > (worst ? worst->behind : 0))
        worst = {node, e.from, behind};
  }
  return worst;
}

// -- telling the others
// ----------------------------------------------------------------------------------------------

instant frontier::due(node_id who, const listener& l) const {
  if (!l.up) return never;
  const auto pace = is_near(who) ? options_.pace : options_.pace_far;
  if (l.wanted) return l.changed ? instant::min() : l.told + options_.pace;
  return l.told + (l.changed ? pace : options_.heartbeat);
}

void frontier::tell(node_id who, listener& l, instant now, effects& out) {
  send_facts e{who, {}};
  auto& m = e.message;
  m.set_view(view_.number);
  m.set_number(++number_);
  m.set_incarnation(options_.life.value);
  to_wire(own_.received, *m.mutable_received());
  to_wire(own_.received_free, *m.mutable_received_free());
  to_wire(applied_, *m.mutable_region());
  for (auto i = ended_.lower_bound({options_.self, 0}); i != ended_.end() && i->first.node == options_.self; ++i)
    to_wire(dot{i->first, i->second}, *m.add_ended());
  m.set_wanted(l.ask);
  l = {.up = true, .changed = false, .wanted = false, .ask = false, .told = now};
  ++counters_.sent;
  out.push_back(std::move(e));
}

void frontier::flush(instant now, effects& out) {
  conclude(out);
  for (auto& [node, l] : listeners_)
    if (now >= due(node, l)) tell(node, l, now, out);
}

void frontier::tick(instant now, effects& out) {
  conclude(out);
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const auto w = waits_.find(deadlines_.begin()->second);
    ++counters_.timeouts;
    out.push_back(failed{w->first, errc::dependency_timeout, w->second.missing, held_up_by(w->second.missing)});
    remove(w);
  }
  flush(now, out);
}

instant frontier::wake_at() const {
  auto when = deadlines_.empty() ? never : deadlines_.begin()->first;
  for (const auto& [node, l] : listeners_)
    when = std::min(when, due(node, l));
  return when;
}

} // namespace troupe
