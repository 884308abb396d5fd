#include "tests/support/replica_node.hpp"

#include "protocol/cluster.hpp"
#include "protocol/mutation.hpp"
#include "protocol/wire.hpp"

#include <algorithm>

namespace troupe::replicas {

namespace {

std::string described(const sibling_set& state) {
  std::string out = " (";
  for (const auto& s : state.entries())
    out += (out.size() > 2 ? ", " : "") + to_string(s.at);
  return out + ")";
}

} // namespace

cluster_run::cluster_run(run_options options)
    : options_{options}, random_{options.seed * 0x9E3779B97F4A7C15ULL + 11} {
  const auto type = [](level l, resolver_kind r, write_ack a, write_durability d) {
    data_type t;
    t.consistency = l;
    t.resolver = r;
    t.ack = a;
    t.durability = d;
    return t;
  };
  using enum resolver_kind;
  types_ = {{"qa", type(level::causal, last_writer_wins, write_ack::local, write_durability::sync)},
            {"grow", type(level::session, last_writer_wins, write_ack::local, write_durability::sync)},
            {"pair", type(level::session, last_writer_wins, write_ack::majority, write_durability::sync)},
            {"count", type(level::eventual, counter, write_ack::local, write_durability::sync)},
            {"hot", type(level::causal, counter, write_ack::one_remote, write_durability::sync)},
            {"once", type(level::eventual, last_writer_wins, write_ack::local, write_durability::sync)},
            {"mix", type(level::eventual, last_writer_wins, write_ack::local, write_durability::async)},
            {"tags", type(level::eventual, set, write_ack::local, write_durability::sync)},
            {"many", type(level::causal, siblings, write_ack::local, write_durability::sync)}};
  for (std::uint32_t i = 1; i <= options_.nodes; ++i) {
    nodes_.push_back(std::make_unique<node>(options_.shards));
    nodes_.back()->id = {i};
    counted_.insert({i});
  }
}
cluster_run::~cluster_run() = default;

cluster_run::node& cluster_run::get(node_id id) { return *nodes_.at(id.value - 1); }
const cluster_run::node& cluster_run::get(node_id id) const { return *nodes_.at(id.value - 1); }
bool cluster_run::is_up(node_id id) const { return get(id).up; }
std::uint64_t cluster_run::life_of(node_id id) const { return get(id).life; }
std::uint64_t cluster_run::wall() const {
  return 1'700'000'000'000ULL
         + static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(now_.time_since_epoch()).count());
}

std::vector<node_id> cluster_run::replicas_of(const std::string& key) const {
  std::vector<node_id> out;
  const auto shard = shard_of(key, options_.shards).value;
  for (std::uint32_t i = 0; i < options_.replicas; ++i) {
    // Half of them in each region, as placement has it.
    const auto half = options_.nodes / 2;
    const auto n = i % 2 == 0 ? (shard + i / 2) % half : half + (shard + i / 2) % (options_.nodes - half);
    out.push_back({n + 1});
  }
  std::sort(out.begin(), out.end());
  return out;
}

void cluster_run::violate(const std::string& what) {
  if (outcome_.violations.size() < 20) outcome_.violations.push_back(what);
}

void cluster_run::at(instant when, std::function<void()> what) {
  events_.emplace(std::pair{std::max(when, now_), ++event_number_}, std::move(what));
}

void cluster_run::start(node& n) {
  n.up = true;
  ++n.start;
  n.ready = n.syncing = false;
  n.ticks_at = never;
  n.reports.clear();
  n.region = {};
  n.told = false;
  n.waits.clear();
  ++n.life; // as the view gives them out: never twice
  stream_replica_options o;
  o.self = n.id;
  o.shards = options_.shards;
  o.types = types_;
  for (std::uint32_t s = 0; s < options_.shards; ++s) {
    std::vector<node_id> set;
    for (std::uint32_t i = 0; i < options_.replicas; ++i) {
      const auto half = options_.nodes / 2;
      const auto at = i % 2 == 0 ? (s + i / 2) % half : half + (s + i / 2) % (options_.nodes - half);
      set.push_back({at + 1});
    }
    std::sort(set.begin(), set.end());
    if (std::find(set.begin(), set.end(), n.id) != set.end()) o.stored.emplace(shard_id{s}, set);
  }
  o.snapshot_window = options_.snapshot_window;
  if (options_.lost_disk) o.fold_every = options_.snapshot_window;
  o.cache_bytes = options_.cache_bytes;
  if (options_.log_bytes != 0) o.own_log_bytes_max = options_.log_bytes;
  o.compare_every = options_.compare_every;
  o.compare_settle = 60 * ms;
  o.compare_page_every = ms;
  n.core = std::make_unique<stream_replica>(o, n.disk.image(), now_);
  stream_replica::effects out;
  n.core->start(now_, out);
  for (const auto& [from, last] : ended_)
    n.core->ended(from, last, now_, out);
  perform(n, std::move(out));
}

void cluster_run::count(const stream_replica::status& s) {
  outcome_.folded += s.folded;
  outcome_.collected += s.collected;
  outcome_.copied += s.copied;
  outcome_.repaired += s.repaired;
  outcome_.compared += s.compared;
  outcome_.differed += s.differed;
}

void cluster_run::crash(node& n) {
  ++outcome_.crashes;
  n.up = false;
  ++n.start;
  const auto s = n.core->report();
  count(s);
  n.core.reset();
  n.disk.crash(random(n.disk.unsynced() + 1));
  n.silent_since = now_;
  for (auto& other : nodes_) {
    if (other->id == n.id) continue;
    auto& l = between(n.id, other->id);
    ++l.generation;
    l.up = false;
  }
}

void cluster_run::sync(node& n) {
  if (n.syncing || n.disk.newest() == 0) return;
  n.syncing = true;
  const auto number = n.disk.newest();
  const auto takes = 50 * us + up_to(450 * us) + (chance(3) ? up_to(20 * ms) : nanoseconds{0});
  at(now_ + takes, [this, &n, number, life = n.start] {
    if (n.start != life) return;
    n.syncing = false;
    n.disk.sync(number);
    stream_replica::effects out;
    n.core->persisted(number, {now_, wall()}, out);
    perform(n, std::move(out));
    if (n.start == life) sync(n);
  });
}

void cluster_run::tick(node& n) {
  const auto wake = std::max(n.core->wake_at(), now_);
  if (n.core->wake_at() == never || wake >= n.ticks_at) return;
  n.ticks_at = wake;
  at(wake, [this, &n, wake, life = n.start] {
    if (n.start != life || n.ticks_at != wake) return;
    n.ticks_at = never;
    stream_replica::effects out;
    n.core->tick({now_, wall()}, out);
    perform(n, std::move(out));
  });
}

void cluster_run::facts(node& n) {
  if (!n.ready || n.told) return;
  n.told = true;
  for (auto& other : nodes_) {
    if (other->id == n.id || region_of(other->id) != region_of(n.id)) continue;
    deliver(n, *other, [this, from = n.id, v = n.core->received_vector(stream_lane::ordered)](node& r) {
      r.reports[from] = v;
      conclude(r);
    });
  }
}

/// The region's frontier as this node knows it, and the waits that it ends.
void cluster_run::conclude(node& n) {
  if (!n.up || !n.ready) return;
  auto f = n.core->received_vector(stream_lane::ordered);
  bool all = true, first = !counted_.contains(n.id);
  for (const auto id : counted_) {
    if (id == n.id || region_of(id) != region_of(n.id)) continue;
    const auto r = n.reports.find(id);
    if (r == n.reports.end()) {
      all = false;
      break;
    }
    if (first) {
      f = r->second;
      first = false;
    } else {
      f.meet(r->second);
    }
  }
  if (all && !first) n.region.join(f);
  auto g = n.region;
  if (!mutated(mutation::received_counted_as_merged)) g.meet(n.core->received_vector(stream_lane::ordered));
  stream_replica::effects out;
  if (!n.core->applied_vector(stream_lane::ordered).contains(g)) n.core->advanced(n.region, now_, out);
  perform(n, std::move(out));
  const auto& shown = n.core->applied_vector(stream_lane::ordered);
  std::vector<std::pair<std::uint64_t, dot>> over; // seq 0 = met
  for (const auto& [cookie, wait] : n.waits) {
    if (shown.contains(wait.first)) over.push_back({cookie, {}});
    for (const auto& e : wait.first.entries())
      if (const auto end = ended_.find(e.from); end != ended_.end() && end->second < e.seq) {
        over.push_back({cookie, {e.from, e.seq}});
        break;
      }
  }
  for (const auto& [cookie, missing] : over) {
    if (n.waits.erase(cookie) == 0) continue;
    stream_replica::effects then;
    if (missing) {
      n.core->unmet(cookie,
                    {.error = errc::lost_update,
                     .missing = missing,
                     .node = missing.from.node,
                     .survived = {missing.from, ended_.at(missing.from)}},
                    then);
    } else {
      n.core->met(cookie, {now_, wall()}, then);
    }
    perform(n, std::move(then));
  }
}

/// Out a while after it fell silent; back in when it has what its region shows, and what is stable.
void cluster_run::views() {
  auto before = counted_;
  for (auto& n : nodes_) {
    if (!n->up && counted_.contains(n->id) && now_ - n->silent_since > 50 * ms) counted_.erase(n->id);
    if (!n->up || !n->ready || counted_.contains(n->id)) continue;
    bool caught_up = true;
    for (auto& other : nodes_) {
      if (!other->up || !other->ready) continue;
      if (region_of(other->id) != region_of(n->id)) continue;
      caught_up = caught_up && n->core->received_vector(stream_lane::ordered).contains(other->region);
    }
    if (caught_up) counted_.insert(n->id);
  }
  if (before == counted_) return;
  for (auto& n : nodes_) {
    if (!n->up || !n->ready) continue;
    stream_replica::effects out;
    n->core->counted(counted_, out);
    perform(*n, std::move(out));
    conclude(*n);
  }
}

void cluster_run::stability() {
  for (auto& n : nodes_)
    if (!n->up || !n->ready) return;
  for (const auto lane : {stream_lane::ordered, stream_lane::free}) {
    auto s = nodes_.front()->core->received_vector(lane);
    for (auto& n : nodes_)
      s.meet(n->core->received_vector(lane));
    auto clock = UINT64_MAX;
    for (auto& n : nodes_) {
      const origin own{n->id, n->life};
      auto& confirmed = n->confirmed[static_cast<std::size_t>(lane)];
      const auto stated = n->clocks[lane].find(own);
      if (stated != n->clocks[lane].end() && s.at(own) >= n->stated[{lane, own}]) confirmed = stated->second;
      clock = std::min(clock, confirmed);
      for (const auto& e : n->core->received_vector(lane).entries()) // of earlier lives too
        if (e.from.node == n->id && e.from.life != n->life && !s.covers({e.from, e.seq})) clock = 0;
    }
    for (auto& n : nodes_) {
      if (!trusted(n->id)) continue;
      stream_replica::effects out;
      n->core->stable(lane, s, clock, out);
      perform(*n, std::move(out));
    }
  }
}

void cluster_run::cut(node& a, node& b, nanoseconds lasts) {
  auto& l = between(a.id, b.id);
  if (a.id == b.id || !l.up || !a.up || !b.up) return;
  ++l.generation;
  l.up = false;
  at(now_ + lasts, [this, &a, &b, &l] {
    if (!l.up && a.up && b.up && a.ready && b.ready) connect(a, b);
  });
}

void cluster_run::faults() {
  if (calm_) return;
  if (options_.breaks && chance(30)) {
    auto& a = *nodes_[random(nodes_.size())];
    auto& b = *nodes_[random(nodes_.size())];
    cut(a, b, up_to(150 * ms));
  }
  // One that nobody reaches, and that reaches nobody.
  if (options_.breaks && chance(4)) {
    auto& alone = *nodes_[random(nodes_.size())];
    const auto lasts = up_to(300 * ms);
    for (auto& other : nodes_)
      cut(alone, *other, lasts);
  }
  if (options_.crashes && chance(8)) {
    auto& n = *nodes_[random(nodes_.size())];
    const auto down = std::count_if(nodes_.begin(), nodes_.end(), [](const auto& x) { return !x->up; });
    if (n.up && n.ready && (down == 0 || chance(30))) {
      crash(n);
      at(now_ + up_to(200 * ms), [this, &n] { start(n); });
    }
  }
  at(now_ + up_to(40 * ms), [this] { faults(); });
}

/// One record of one node, once the last one is whole again.
void cluster_run::damage() {
  if (calm_) return;
  auto& n = *nodes_[random(nodes_.size())];
  const bool mended =
      damaged_.empty() || !std::holds_alternative<stream_replica::damage>(get(damaged_at_).disk.read(damaged_));
  // What only this node has may be in its records alone, and gone with them.
  bool alone = !n.up || !n.ready;
  for (auto& other : nodes_)
    for (const auto lane : {stream_lane::ordered, stream_lane::free})
      for (const auto& e : n.up ? n.core->received_vector(lane).entries() : std::vector<version_vector::entry>{})
        if (e.from.node == n.id && !other->up)
          alone = true;
        else if (e.from.node == n.id && !other->core->received_vector(lane).covers({e.from, e.seq}))
          alone = true;
  if (mended && !alone) {
    damaged_ = n.disk.damage(random(1'000'000));
    damaged_at_ = n.id;
  }
  at(now_ + up_to(5 * ms), [this] { damage(); });
}

void cluster_run::lose() {
  auto& n = *nodes_[random(nodes_.size())];
  lost_at_ = n.id;
  crash(n);
  for (int i = 0; i < 5; ++i)
    if (!n.disk.lose(random(1'000'000)).empty()) ++outcome_.lost;
  start(n);
  at(now_ + 100 * ms, [this, &n] {
    for (auto& other : nodes_)
      if (other->id != n.id && !between(n.id, other->id).up && n.ready) connect(n, *other);
  });
}

v1::WeakAnswer cluster_run::peek(node_id id, const std::string& key) {
  v1::WeakOperation o;
  o.mutable_id()->set_session(1);
  o.mutable_id()->set_number(++peeks_);
  o.set_attempt(1);
  o.set_key(key);
  o.set_shard(shard_of(key, options_.shards).value);
  o.set_level(static_cast<std::uint32_t>(level::eventual));
  o.set_budget_us(1'000'000);
  o.mutable_get();
  auto& n = get(id);
  stream_replica::effects out;
  n.core->execute(id, o, {now_, wall()}, out);
  perform(n, std::move(out));
  while (!peeked_.contains(peeks_) && !events_.empty()) {
    auto next = events_.extract(events_.begin());
    now_ = next.key().first;
    next.mapped()();
  }
  auto answer = peeked_.extract(peeks_).mapped();
  // What was damaged and never read is found only now, and mended.
  const bool damaged = answer.result().error() == static_cast<std::uint32_t>(errc::corrupt);
  if (!damaged || now_ >= patient_until_) return answer;
  const auto later = now_ + 20 * ms;
  while (!events_.empty() && now_ < later) {
    auto next = events_.extract(events_.begin());
    now_ = next.key().first;
    next.mapped()();
  }
  return peek(id, key);
}

void cluster_run::ask(node_id from, node_id to, const v1::WeakOperation& what) {
  auto& sender = get(from);
  if (!sender.up) return;
  deliver(sender, get(to), [this, from, what](node& n) {
    if (!n.ready) return;
    // A statement about this region's frontier that came with the session.
    if (what.session().has_region()) {
      n.region.join(from_wire(what.session().region()));
      conclude(n);
    }
    stream_replica::effects out;
    n.core->execute(from, what, {now_, wall()}, out);
    perform(n, std::move(out));
  });
}

bool cluster_run::converged() {
  for (auto& n : nodes_) {
    if (!n->up || !n->ready || !counted_.contains(n->id)) return false;
    const auto s = n->core->report();
    if (s.staged > 0 || s.waiting > 0 || s.unfolded_bytes[0] > 0 || s.unfolded_bytes[1] > 0) return false;
    if (n->disk.unsynced() > 0 || s.closed || s.copying_from.value != 0 || s.damaged_keys > 0) return false;
    for (const auto lane : {stream_lane::ordered, stream_lane::free})
      if (n->core->received_vector(lane) != nodes_.front()->core->received_vector(lane)) return false;
  }
  return true;
}

run_outcome cluster_run::run() {
  sessions work{*this};
  for (auto& n : nodes_)
    start(*n);
  std::function<void()> every_2ms = [&] {
    for (auto& n : nodes_)
      if (n->up) facts(*n);
    views();
    at(now_ + 2 * ms, every_2ms);
  };
  at(now_, every_2ms);
  std::function<void()> every_50ms = [&] {
    stability();
    at(now_ + 50 * ms, every_50ms);
  };
  at(now_, every_50ms);
  at(now_ + 20 * ms, [this] { faults(); });
  if (options_.damages) at(now_ + 20 * ms, [this] { damage(); });
  const auto calm_at = now_ + options_.faults_for;
  bool lost = !options_.lost_disk;
  at(calm_at, [this] {
    calm_ = true;
    for (auto& n : nodes_)
      if (!n->up) {
        at(now_ + 250 * ms, [this, m = n.get()] {
          if (!m->up) start(*m);
        });
      }
    at(now_ + 300 * ms, [this] {
      for (auto& a : nodes_)
        for (auto& b : nodes_)
          if (a->id < b->id && !between(a->id, b->id).up && a->ready && b->ready) connect(*a, *b);
    });
  });
  const auto limit = calm_at + std::chrono::seconds{30};
  instant until = instant::min();
  while (now_ < limit && !events_.empty()) {
    auto next = events_.extract(events_.begin());
    now_ = next.key().first;
    next.mapped()();
    if (outcome_.violations.size() >= 20) break;
    if (!calm_ || now_ < calm_at + 600 * ms || !work.idle()) continue;
    if (!lost) {
      // Everybody has what this one has ever answered; its disk goes, and sessions go on for a while.
      bool everywhere = true;
      for (auto& n : nodes_)
        for (const auto lane : {stream_lane::ordered, stream_lane::free})
          everywhere = everywhere && n->up && n->ready
                       && n->core->received_vector(lane) == nodes_.front()->core->received_vector(lane);
      if (!everywhere) continue;
      lost = true;
      auto& n = *nodes_.back();
      crash(n);
      n.disk.wipe();
      wiped_.insert(n.id);
      start(n);
      calm_ = false;
      at(now_ + 300 * ms, [this] { calm_ = true; });
      continue;
    }
    if (options_.loses && lost_at_.value == 0) {
      if (!converged()) continue;
      lose();
      until = now_ + 40 * options_.compare_every;
    }
    if (now_ < until) continue;
    if (options_.lost_disk ? now_ > calm_at + std::chrono::seconds{4} : converged()) {
      outcome_.settled = true;
      break;
    }
  }
  if (!outcome_.violations.empty()) return outcome_;
  if (!outcome_.settled) {
    std::string why;
    for (auto& n : nodes_) {
      if (!n->core) continue;
      const auto s = n->core->report();
      why += " " + to_string(n->id) + (s.closed ? " closed" : "") + (s.copying_from.value != 0 ? " copying" : "")
             + (s.damaged_keys > 0 ? " damaged" : "") + ":" + std::to_string(s.staged) + "/"
             + std::to_string(s.waiting) + "/" + std::to_string(s.unfolded_bytes[0]) + "/"
             + std::to_string(s.unfolded_bytes[1]) + "[" + to_string(n->core->received_vector(stream_lane::ordered))
             + "][" + to_string(n->core->applied_vector(stream_lane::ordered)) + "]";
    }
    violate("E1: it does not come to rest" + std::string{work.idle() ? "" : ", sessions wait"} + why);
    return outcome_;
  }
  patient_until_ = now_ + std::chrono::seconds{30};
  judge_end();
  std::vector<node_id> ids;
  for (auto& n : nodes_)
    ids.push_back(n->id);
  work.judge_end(ids);
  for (auto& n : nodes_) {
    const auto s = n->core->report();
    count(s);
    for (const auto served : s.violations.served)
      if (served > 0) violate("a violation was served by " + to_string(n->id));
  }
  return outcome_;
}

/// All records are equal, but for what some have collected already, and for the excess.
void cluster_run::judge_end() {
  std::map<std::string, std::pair<node_id, sibling_set>> seen;
  const auto without_tombstones = [](const v1::WeakRecord& r) {
    const auto state = from_wire(r);
    return state ? state->only([](const sibling& s) { return s.kind != sibling_kind::tombstone; }) : sibling_set{};
  };
  for (auto& n : nodes_) {
    if (!trusted(n->id)) continue;
    for (const auto& [key, record] : n->disk.records()) {
      const auto state = without_tombstones(record);
      const auto [first, is_new] = seen.try_emplace(key, n->id, state);
      if (!is_new && first->second.second.entries() != state.entries())
        violate("E1: " + key + " differs between " + to_string(first->second.first) + described(first->second.second)
                + " and " + to_string(n->id) + described(state));
    }
  }
  for (const auto& [key, first] : seen) {
    if (first.second.entries().empty()) continue;
    for (const auto id : replicas_of(key))
      if (trusted(id) && !get(id).disk.records().contains(key))
        violate("E1: " + key + described(first.second) + " is not at " + to_string(id));
  }
}

} // namespace troupe::replicas
