#include "tests/support/replica_cluster.hpp"

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

// --- disk ---

void toy_disk::sync(std::uint64_t number) {
  for (; !tail_.empty() && tail_.front().number <= number; tail_.pop_front())
    for (const auto& w : tail_.front().writes)
      apply(w);
}

void toy_disk::crash(std::size_t surviving) {
  if (surviving > 0 && !tail_.empty()) sync(tail_[std::min(surviving, tail_.size()) - 1].number);
  tail_.clear();
}

void toy_disk::apply(const stream_write& w) {
  if (const auto* u = std::get_if<update_write>(&w)) {
    logs_[{u->from, u->lane}][u->update.seq()] = u->update;
  } else if (const auto* e = std::get_if<updates_erase>(&w)) {
    auto& log = logs_[{e->from, e->lane}];
    log.erase(log.begin(), log.upper_bound(e->upto));
  } else if (const auto* r = std::get_if<weak_write>(&w)) {
    records_[r->key] = r->record;
  } else if (const auto* gone = std::get_if<weak_erase>(&w)) {
    records_.erase(gone->key);
  } else {
    const auto& m = std::get<mark_write>(w);
    marks_[m.name] = m.value;
    if (m.value.empty()) marks_.erase(m.name);
  }
}

stream_replica::found toy_disk::read(const std::string& key) const {
  const auto i = records_.find(key);
  if (i == records_.end()) return std::monostate{};
  const bool sound = i->second.checksum() == checksum_of(shard_of(key, shards_), key, i->second);
  return sound ? stream_replica::found{i->second} : stream_replica::damage{};
}

updates_page toy_disk::read(const updates_request& request) const {
  updates_page page;
  const auto log = logs_.find({request.from, request.lane});
  if (log == logs_.end()) return page;
  for (auto i = log->second.upper_bound(request.after); i != log->second.end(); ++i) {
    if ((page.more = page.updates.size() >= 7)) break;
    page.updates.push_back(i->second);
  }
  return page;
}

stream_replica::records_page toy_disk::scan(const stream_replica::read_copy& what, bool fails) const {
  constexpr std::size_t page_records = 6;
  stream_replica::records_page page;
  page.whole = !fails;
  if (fails) return page;
  if (!what.key.empty()) {
    page.records.push_back({what.key, read(what.key)});
    return page;
  }
  for (auto i = records_.upper_bound(what.after); i != records_.end(); ++i) {
    if (shard_of(i->first, shards_) != what.shard) continue;
    page.records.push_back({i->first, read(i->first)});
    if (page.records.size() < page_records) continue;
    page.next = i->first;
    break;
  }
  return page;
}

std::string toy_disk::damage(std::uint64_t which) {
  if (records_.empty()) return {};
  auto& [key, record] = *std::next(records_.begin(), static_cast<std::ptrdiff_t>(which % records_.size()));
  record.set_checksum(record.checksum() + 1);
  return key;
}

stream_image toy_disk::image() const {
  stream_image out;
  out.marks = marks_;
  for (const auto& [name, log] : logs_)
    if (!log.empty()) out.logs.push_back({name.first, name.second, log.begin()->first, log.rbegin()->first});
  return out;
}

// --- cluster ---

struct cluster_run::node {
  explicit node(std::uint32_t shards) : disk{shards} {}
  node_id id;
  bool up = false;
  std::uint64_t start = 0; ///< callbacks of an earlier one are dropped
  std::uint64_t life = 0;
  instant silent_since;
  toy_disk disk;
  std::unique_ptr<stream_replica> core;
  bool ready = false, syncing = false, ticking = false;
  instant ticks_at = never;

  std::map<node_id, version_vector> reports; ///< ordered lane: what the others have said to have
  version_vector region;                     ///< what is known of the region's frontier
  bool told = true;                          ///< nothing to tell the others
  std::map<std::uint64_t, std::pair<version_vector, instant>> waits;
  std::map<stream_lane, std::map<origin, std::uint64_t>> clocks;  ///< of its own streams
  std::map<std::pair<stream_lane, origin>, std::uint64_t> stated; ///< upto, with `clocks`
  std::uint64_t confirmed[stream_lanes] = {0, 0};                 ///< clock that everybody has reached
};

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

void cluster_run::deliver(node& from, node& to, std::function<void(node&)> what) {
  ++outcome_.messages;
  const bool far = region_of(from.id) != region_of(to.id);
  const auto delay = far ? 10 * ms + up_to(5'000 * us) : 100 * us + up_to(400 * us);
  if (from.id == to.id) {
    at(now_ + up_to(30 * us), [&to, life = to.start, what = std::move(what)] {
      if (to.start == life && to.up) what(to);
    });
    return;
  }
  auto& l = between(from.id, to.id);
  if (!l.up) return;
  auto& last = l.last[to.id > from.id];
  last = std::max(last + nanoseconds{1}, now_ + delay);
  at(last, [&to, &l, generation = l.generation, life = to.start, what = std::move(what)] {
    if (to.up && to.start == life && l.generation == generation) what(to);
  });
}

/// Each says what it has of the other's updates, and gets what follows.
void cluster_run::connect(node& a, node& b) {
  auto& l = between(a.id, b.id);
  l.up = true;
  ++l.generation;
  l.placed[0] = l.placed[1] = false;
  for (auto* receiver : {&a, &b}) {
    auto& sender = receiver == &a ? b : a;
    version_vector positions[stream_lanes];
    for (const auto lane : {stream_lane::ordered, stream_lane::free})
      positions[static_cast<std::size_t>(lane)] = receiver->core->received_vector(lane);
    deliver(*receiver, sender, [this, receiver, p0 = positions[0], p1 = positions[1]](node& s) {
      const version_vector p[stream_lanes] = {p0, p1};
      stream_from(s, *receiver, p);
    });
    receiver->told = false;
  }
}

void cluster_run::stream_from(node& sender, node& receiver, const version_vector (&positions)[stream_lanes]) {
  auto& l = between(sender.id, receiver.id);
  l.placed[receiver.id > sender.id] = true;
  for (const auto lane : {stream_lane::ordered, stream_lane::free}) {
    const auto& have = positions[static_cast<std::size_t>(lane)];
    const auto lives = sender.core->received_vector(lane);
    for (const auto& e : lives.entries()) {
      if (e.from.node != sender.id) continue;
      l.gone.erase({lane, e.from});
      stream_replica::effects out;
      sender.core->peer_durable(receiver.id, e.from, {lane, have.at(e.from)}, out);
      perform(sender, std::move(out));
      stream_life(sender, receiver, lane, {e.from, have.at(e.from)});
    }
  }
}

/// What follows `have` of that life of the sender, from its log.
void cluster_run::stream_life(node& sender, node& receiver, stream_lane lane, const dot& have) {
  const auto upto = sender.core->received_vector(lane).at(have.from);
  stream_replica::incoming what{.from = have.from, .lane = lane, .updates = {}, .upto = upto, .clock = 0};
  for (auto after = have.seq; after < upto;) {
    const auto page = sender.disk.read({have.from, lane, after, 1});
    const auto first = page.updates.empty() ? upto + 1 : page.updates.front().seq();
    if (first > after + 1) {
      between(sender.id, receiver.id).gone[{lane, have.from}] = first - 1;
      ++outcome_.cuts;
      return offer(sender, receiver, lane, have.from);
    }
    for (const auto& u : page.updates) {
      after = u.seq();
      if (u.seq() > upto) break;
      const auto set = replicas_of(u.key());
      if (std::find(set.begin(), set.end(), receiver.id) != set.end())
        what.updates.push_back(std::make_shared<const v1::Update>(u));
    }
  }
  deliver(sender, receiver, [this, what](node& r) {
    stream_replica::effects taken;
    r.core->accept(what, now_, taken);
    perform(r, std::move(taken));
  });
}

/// Again and again, until the receiver has said to have it.
void cluster_run::offer(node& sender, node& receiver, stream_lane lane, const origin& of) {
  auto& l = between(sender.id, receiver.id);
  const auto gone = l.gone.find({lane, of});
  if (gone == l.gone.end()) return;
  v1::CopyOffered m;
  m.set_life(of.life);
  m.set_lane(static_cast<v1::Lane>(lane));
  m.set_upto(gone->second);
  deliver(sender, receiver, [this, from = sender.id, m](node& r) {
    stream_replica::effects out;
    r.core->copy_offered(from, m, now_, out);
    perform(r, std::move(out));
  });
  at(now_ + 100 * ms, [this, &sender, &receiver, lane, of, generation = l.generation] {
    const auto& now = between(sender.id, receiver.id);
    if (now.up && now.generation == generation) offer(sender, receiver, lane, of);
  });
}

void cluster_run::perform(node& n, stream_replica::effects effects) {
  for (auto& e : effects) {
    if (auto* p = std::get_if<stream_replica::persist>(&e)) {
      n.disk.write(p->number, std::move(p->writes));
      if (!n.syncing) {
        // What is handed over in one step is synced together.
        at(now_ + 5 * us, [this, &n, life = n.start] {
          if (n.start == life) sync(n);
        });
      }
    } else if (auto* l = std::get_if<stream_replica::load>(&e)) {
      at(now_ + up_to(200 * us), [this, &n, life = n.start, key = l->key] {
        if (n.start != life) return;
        stream_replica::effects out;
        n.core->loaded(key, n.disk.read(key), {now_, wall()}, out);
        perform(n, std::move(out));
      });
    } else if (auto* r = std::get_if<stream_replica::read_log>(&e)) {
      at(now_ + up_to(200 * us), [this, &n, life = n.start, from = r->from] {
        if (n.start != life) return;
        stream_replica::effects out;
        n.core->log_read(from, n.disk.read(from), now_, out);
        perform(n, std::move(out));
      });
    } else if (std::holds_alternative<stream_replica::ready>(e)) {
      n.ready = true;
      stream_replica::effects out;
      n.core->begin(n.life, out);
      n.core->counted(counted_, out);
      perform(n, std::move(out));
      for (auto& other : nodes_)
        if (other->id != n.id && other->ready && other->up) connect(n, *other);
    } else if (auto* d = std::get_if<stream_replica::durable_updates>(&e)) {
      const origin own{n.id, mutated(mutation::incarnation_reused) ? n.core->report().life : n.life};
      n.clocks[d->lane][own] = d->clock;
      n.stated[{d->lane, own}] = d->upto;
      for (auto& other : nodes_) {
        if (other->id == n.id) continue;
        const auto& to = between(n.id, other->id);
        if (!to.placed[other->id > n.id] || to.gone.contains({d->lane, own})) continue;
        stream_replica::incoming what{
            .from = own, .lane = d->lane, .updates = {}, .upto = d->upto, .clock = d->clock};
        for (const auto& u : d->updates) {
          const auto set = replicas_of(u->key());
          if (std::find(set.begin(), set.end(), other->id) != set.end()) what.updates.push_back(u);
        }
        deliver(n, *other, [this, what](node& receiver) {
          stream_replica::effects out;
          receiver.core->accept(what, now_, out);
          perform(receiver, std::move(out));
        });
      }
    } else if (auto* got = std::get_if<stream_replica::received>(&e)) {
      n.told = false;
      if (got->from.node == n.id) {
        if (got->from.life == n.life) conclude(n);
        continue;
      }
      deliver(n, get(got->from.node), [this, from = n.id, g = *got](node& origin_node) {
        stream_replica::effects out;
        origin_node.core->peer_durable(from, g.from, {g.lane, g.upto}, out);
        perform(origin_node, std::move(out));
        auto& lacking = between(from, g.from.node).gone;
        const auto gone = lacking.find({g.lane, g.from});
        if (gone == lacking.end() || gone->second > g.upto) return;
        lacking.erase(gone);
        stream_life(origin_node, get(from), g.lane, {g.from, g.upto});
      });
    } else if (auto* ended = std::get_if<stream_replica::own_ended>(&e)) {
      if (ended->lane != stream_lane::ordered) continue;
      const origin life{n.id, ended->life};
      ended_[life] = ended->last;
      for (auto& other : nodes_) {
        if (!other->up || other->id == n.id) continue;
        stream_replica::effects out;
        other->core->ended(life, ended->last, now_, out);
        perform(*other, std::move(out));
        conclude(*other);
      }
      for (auto& other : nodes_)
        if (other->up && other->core->received_vector(stream_lane::ordered).at(life) > ended->last)
          violate("D1: an update of " + to_string(life) + " is at " + to_string(other->id)
                  + " and not at its origin");
    } else if (auto* a = std::get_if<stream_replica::answer>(&e)) {
      if (a->what.id().session() == 1) {
        peeked_[a->what.id().number()] = a->what;
        continue;
      }
      deliver(n, get(a->to), [this, what = a->what](node&) { answered(what); });
    } else if (auto* w = std::get_if<stream_replica::await>(&e)) {
      n.waits[w->cookie] = {w->wanted, w->deadline};
      ++outcome_.waited;
      at(now_, [this, &n, life = n.start] {
        if (n.start == life) conclude(n);
      });
      at(w->deadline, [this, &n, life = n.start, cookie = w->cookie] {
        if (n.start != life || n.waits.erase(cookie) == 0) return;
        stream_replica::effects out;
        n.core->unmet(cookie, {.error = errc::dependency_timeout, .missing = {}, .node = {}}, out);
        perform(n, std::move(out));
      });
    } else if (std::holds_alternative<stream_replica::conflict_found>(e)) {
      ++outcome_.conflicts;
    } else if (auto* shortened = std::get_if<stream_replica::log_cut>(&e)) {
      if (options_.log_bytes == 0) violate("a log was cut, to " + std::to_string(shortened->upto));
    } else if (auto* ask = std::get_if<stream_replica::ask_copy>(&e)) {
      deliver(n, get(ask->to), [this, from = n.id, q = ask->what](node& asked) {
        stream_replica::effects out;
        asked.core->copy_asked(from, q, out);
        perform(asked, std::move(out));
      });
    } else if (auto* tell = std::get_if<stream_replica::tell_copy>(&e)) {
      deliver(n, get(tell->to), [this, from = n.id, m = tell->what](node& asker) {
        stream_replica::effects out;
        asker.core->copy_told(from, m, {now_, wall()}, out);
        outcome_.closed += asker.core->report().closed ? 1 : 0;
        perform(asker, std::move(out));
      });
    } else if (auto* scan = std::get_if<stream_replica::read_copy>(&e)) {
      at(now_ + (chance(10) ? up_to(60 * ms) : up_to(300 * us)), [this, &n, life = n.start, what = *scan] {
        if (n.start != life) return;
        stream_replica::effects out;
        n.core->copy_read(what.cookie, n.disk.scan(what, random(200) == 0), out);
        perform(n, std::move(out));
      });
    } else if (auto* said = std::get_if<note>(&e)) {
      if (said->name == "stream.record_mended" && n.id == damaged_at_) damaged_.clear();
      const bool usual = said->name == "stream.life_begun" || said->name.starts_with("stream.cop")
                         || said->name == "stream.open_again" || said->name == "stream.record_mended";
      if (!usual || said->name.ends_with("refused")) violate("note: " + said->name + " " + said->fields);
    }
  }
  if (n.up) tick(n);
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
