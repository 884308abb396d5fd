#include "tests/support/stream_shipper.hpp"

#include <algorithm>

namespace troupe::shipping {

namespace {

constexpr stream_lane lanes[] = {stream_lane::ordered, stream_lane::free};
constexpr int settle_ms_max = 60'000;
constexpr std::size_t log_kept = 6;

} // namespace

stream_options stream_options::from_seed(std::uint64_t seed) {
  std::mt19937_64 random{seed * 7'919 + 1};
  stream_options o;
  o.seed = seed;
  o.nodes = 3 + static_cast<std::uint32_t>(random() % 3);
  o.shards = 3 + static_cast<std::uint32_t>(random() % 6);
  o.write_every_ms = 1 + static_cast<int>(random() % 8);
  o.fault_every_ms = 30 + static_cast<int>(random() % 100);
  o.latency_max_ms = 1 + static_cast<int>(random() % 12);
  o.loses = random() % 3 == 0;
  o.trims = random() % 3 == 0;
  o.window = 600 + random() % 3'000;
  o.queue = 1'000 + random() % 6'000;
  o.read = 300 + random() % 1'500;
  o.message = 300 + random() % 1'500;
  o.unsynced = o.window / 2 + random() % 4'000;
  return o;
}

std::string stream_options::describe() const {
  return "seed=" + std::to_string(seed) + " nodes=" + std::to_string(nodes) + " shards=" + std::to_string(shards)
         + " write_every=" + std::to_string(write_every_ms) + " fault_every=" + std::to_string(fault_every_ms)
         + " latency_max=" + std::to_string(latency_max_ms) + " loses=" + std::to_string(static_cast<int>(loses))
         + " trims=" + std::to_string(static_cast<int>(trims)) + " window=" + std::to_string(window)
         + " queue=" + std::to_string(queue) + " unsynced=" + std::to_string(unsynced);
}

stream_run::stream_run(stream_options o) : options_{o}, random_{o.seed} {
  for (std::uint32_t n = 1; n <= o.nodes; ++n) {
    auto& m = machines_[{n}];
    m.id = {n};
    m.region = n % 2 == 0 ? "west" : "east";
    m.stored.resize(o.shards);
    for (std::size_t s = 0; s < m.stored.size(); ++s)
      m.stored[s] = chance(60);
    m.stored[below(o.shards)] = true;
    view_.nodes[m.id];
  }
  for (auto& [a, ma] : machines_)
    for (auto& [b, mb] : machines_)
      if (a < b) connections_[{a, b}];
  for (auto& [id, m] : machines_)
    start(m);
}

// -- processes and connections
// ----------------------------------------------------------------------------------------

void stream_run::start(machine& m) {
  m.up = true;
  m.disk_ms = 1 + static_cast<int>(below(6));
  m.life += 1;
  view_.number += 1;
  view_.nodes[m.id].life = m.life;
  m.known = {};
  m.hears_view_at = ms_ + static_cast<int>(below(30));
  m.taken = m.has;
  m.written.clear();
  frontier_options f;
  f.self = m.id;
  f.life = {m.life};
  f.waits_max = 20;
  for (const auto& [id, other] : machines_)
    f.regions[id] = other.region;
  m.front = std::make_unique<frontier>(f);
  if (chance(50)) m.front->restored(m.applied_once);
  for (const auto& [s, upto] : m.has) {
    m.front->received(s.lane, s.from, upto);
    if (s.from.node == m.id && s.lane == stream_lane::ordered) m.front->earlier_life(s.from.life, upto);
  }
  for (std::uint64_t life = 1; life < m.life; ++life)
    if (!m.has.contains({stream_lane::ordered, {m.id, life}})) m.front->earlier_life(life, 0);
  for (const auto& [id, other] : machines_) {
    if (id == m.id) continue;
    outbound_options out;
    out.self = m.id;
    out.peer = id;
    out.stored = other.stored;
    out.window_bytes = options_.window;
    out.queue_bytes = options_.queue;
    out.read_bytes = options_.read;
    out.message_bytes = options_.message;
    out.message_updates = 5;
    inbound_options in;
    in.self = m.id;
    in.peer = id;
    in.stored = m.stored;
    in.unsynced_bytes = options_.unsynced;
    auto& sending = m.outs.try_emplace(id, out).first->second;
    auto& receiving = m.ins.try_emplace(id, in).first->second;
    outbound::effects none;
    for (const auto& [s, upto] : m.has) {
      if (s.from.node == m.id) sending.earlier_life(s.lane, s.from.life, upto, none);
      if (s.from.node == id) receiving.restored(s.lane, s.from.life, upto);
    }
  }
}

void stream_run::crash(machine& m) {
  ++outcome_.crashes;
  for (auto& [id, other] : machines_)
    if (id != m.id) cut(m.id, id);
  for (const auto& [peer, o] : m.outs) {
    outcome_.reads += o.counted().reads;
    outcome_.repeated += o.counted().repeated;
  }
  for (const auto& [peer, i] : m.ins) {
    outcome_.gaps += i.counted().gaps;
    outcome_.full += i.counted().full;
    outcome_.duplicates += i.counted().duplicates;
    outcome_.refused += i.counted().refusals();
  }
  dead_.insert({m.id, m.life});
  m.applied_once = m.front->applied();
  m.up = false;
  m.up_again = ms_ + 20 + static_cast<int>(below(400));
  m.outs.clear();
  m.ins.clear();
  m.front.reset();
  m.waits.clear();
  m.waiting.clear();
  m.reads.clear();
  m.readers.clear();
}

void stream_run::connect(node_id a, node_id b) {
  auto& c = between(a, b);
  if (c.up || !at(a).up || !at(b).up) return;
  c.up = true;
  ++outcome_.connections;
  for (auto [self, peer] : {std::pair{a, b}, std::pair{b, a}}) {
    auto& m = at(self);
    m.outs.at(peer).connected(now());
    inbound::effects out;
    m.ins.at(peer).connected(now(), out);
    m.front->peer(peer, true, now());
    perform(m, peer, out);
  }
}

void stream_run::cut(node_id a, node_id b) {
  auto& c = between(a, b);
  if (!c.up) return;
  c = {};
  for (auto [self, peer] : {std::pair{a, b}, std::pair{b, a}}) {
    auto& m = at(self);
    m.outs.at(peer).disconnected();
    m.ins.at(peer).disconnected();
    m.front->peer(peer, false, now());
  }
}

void stream_run::post(machine& from, node_id to, message what) {
  auto& c = between(from.id, to);
  if (!c.up) return;
  auto& queue = c.to[to];
  const auto due = ms_ + 1 + static_cast<int>(below(static_cast<std::uint64_t>(options_.latency_max_ms)));
  queue.push_back({queue.empty() ? due : std::max(due, queue.back().due), std::move(what)});
  if (!options_.loses) return;
  const auto* updates = std::get_if<v1::Updates>(&queue.back().what);
  const auto* acks = std::get_if<v1::UpdatesAcknowledged>(&queue.back().what);
  // What asks to go back is true only in its place; and without its first statement no connection comes to anything.
  const bool asks =
      acks != nullptr && std::ranges::any_of(acks->positions(), [](const auto& p) { return p.again(); });
  if (!asks && chance(3)) c.said.emplace_back(to, queue.back().what);
  if (!asks && chance(2) && !c.said.empty()) {
    const auto& [who, again] = c.said[below(c.said.size())];
    c.to[who].push_back({c.to[who].empty() ? due : std::max(due, c.to[who].back().due), again});
  }
  if (updates != nullptr && chance(3)) c.to[to].pop_back();
}

void stream_run::deliver(machine& to, node_id from, const message& what) {
  if (const auto* u = std::get_if<v1::Updates>(&what)) {
    inbound::effects out;
    to.ins.at(from).receive(*u, now(), out);
    perform(to, from, out);
  } else if (const auto* a = std::get_if<v1::UpdatesAcknowledged>(&what)) {
    outbound::effects out;
    to.outs.at(from).receive(*a, now(), out);
    if (options_.loses && chance(5)) { // nobody lies, but should somebody:
      auto lie = *a;
      for (auto& p : *lie.mutable_positions())
        chance(50) ? p.set_durable(p.durable() + 1'000'000) : p.set_life(p.life() + 1'000);
      to.outs.at(from).receive(lie, now(), out);
    }
    perform(to, from, out);
  } else if (const auto* f = std::get_if<v1::FrontierFacts>(&what)) {
    frontier::effects out;
    to.front->receive(from, *f, now(), out);
    perform(to, out);
  }
}

// -- the replica and the disk
// -----------------------------------------------------------------------------------------

void stream_run::write(machine& m) {
  const sequence s{lanes[below(2)], {m.id, m.life}};
  auto& last = m.written[s];
  unsynced u{ms_ + m.disk_ms, s, {}, 0, 0};
  for (auto n = 1 + below(3); n > 0; --n) {
    v1::Update update;
    update.set_seq(++last);
    m.clock += 1 + below(5);
    if (chance(5)) m.clock = std::max(m.clock, static_cast<std::uint64_t>(ms_) * 20); // what it has seen of others
    update.set_clock(m.clock);
    do
      update.set_shard(static_cast<std::uint32_t>(below(options_.shards)));
    while (!m.stored[update.shard()]);
    update.set_key("t:k");
    update.set_value(std::string(chance(3) ? 2'000 : below(200), 'v'));
    u.updates.push_back(std::make_shared<const v1::Update>(std::move(update)));
    ++outcome_.written;
    must(m.clock > clock_promised_[static_cast<std::size_t>(s.lane)],
         "E3: " + text(s) + ":" + std::to_string(last) + " has a stamp that was said to be past");
  }
  u.upto = last;
  u.clock = m.clock;
  m.waiting.push_back(std::move(u));
}

void stream_run::sync(machine& m, bool all) {
  bool stable = false;
  while (m.up && !m.waiting.empty() && (all || m.waiting.front().due <= ms_)) {
    auto u = std::move(m.waiting.front());
    m.waiting.pop_front();
    stable = true;
    m.has[u.of] = std::max(m.has[u.of], u.upto);
    if (u.of.from.node == m.id) {
      auto& log = truth_[u.of];
      log.insert(log.end(), u.updates.begin(), u.updates.end());
      for (auto& [peer, o] : m.outs) {
        outbound::effects out;
        o.durable({u.of.lane, u.of.from.life, u.updates, u.upto, u.clock}, now(), out);
        perform(m, peer, out);
      }
      m.front->stated({u.of.lane, u.of.from, u.upto, u.clock});
    } else {
      for (const auto& update : u.updates)
        m.accepted[u.of].push_back(update->seq());
      m.ins.at(u.of.from.node).durable(u.of.lane, u.of.from.life, u.upto);
    }
    m.front->received(u.of.lane, u.of.from, u.upto);
  }
  if (!stable || !options_.trims) return;
  for (auto& [s, log] : truth_)
    if (s.from.node == m.id && log.size() > log_kept && chance(20)) m.log_begins[s] = log.size() - log_kept;
}

void stream_run::log_reads(machine& m) {
  while (m.up && !m.reads.empty() && m.reads.front().first <= ms_) {
    const auto what = m.reads.front().second;
    const auto peer = m.readers.front();
    m.reads.pop_front();
    m.readers.pop_front();
    const sequence s{what.lane, {m.id, what.life}};
    outbound::effects out;
    auto& o = m.outs.at(peer);
    if (chance(5)) {
      o.log_busy(what, now(), out);
    } else if (what.after < m.log_begins[s]) {
      o.log_gone(what, m.log_begins[s] + 1, now(), out);
    } else {
      outbound::log_part part{what.lane, what.life, what.after, {}, what.after};
      std::size_t bytes = 0;
      const auto& log = truth_.at(s);
      for (; part.upto < log.size(); ++part.upto) {
        bytes += weight_of(*log[part.upto]);
        if (bytes > what.bytes_max && part.upto > what.after) break;
        part.updates.push_back(log[part.upto]);
      }
      o.log_read(std::move(part), now(), out);
    }
    perform(m, peer, out);
  }
}

/// What streams cannot bring any more is copied from disk to disk.
void stream_run::catch_up(machine& from, machine& to, const sequence& s) {
  sync(to, true);
  const auto upto = from.has[s];
  if (to.has[s] >= upto) return;
  ++outcome_.cuts;
  for (auto seq = to.has[s] + 1; seq <= upto; ++seq)
    if (to.stored[truth_.at(s)[seq - 1]->shard()]) to.accepted[s].push_back(seq);
  to.has[s] = to.taken[s] = upto;
  to.ins.at(from.id).durable(s.lane, s.from.life, upto);
  to.front->received(s.lane, s.from, upto);
}

// -- what the cores want done
// ------------------------------------------------------------------------------------------

void stream_run::perform(machine& m, node_id peer, outbound::effects& out) {
  for (auto& e : out) {
    if (auto* u = std::get_if<outbound::send_updates>(&e)) {
      const sequence s{u->message.lane() == v1::ORDERED ? stream_lane::ordered : stream_lane::free,
                       {m.id, u->message.life()}};
      must(u->message.upto() <= m.has[s],
           text(s) + " states " + std::to_string(u->message.upto()) + ", durable is " + std::to_string(m.has[s]));
      must(u->message.updates_size() <= 5, "X1: a message of too many updates");
      post(m, peer, std::move(u->message));
    } else if (const auto* r = std::get_if<outbound::read_log>(&e)) {
      m.reads.emplace_back(ms_ + 1, *r);
      m.readers.push_back(peer);
    } else if (const auto* d = std::get_if<outbound::peer_durable>(&e)) {
      must(at(peer).has[{d->lane, {m.id, d->life}}] >= d->upto,
           "E2: " + to_string(m.id) + " believes that " + to_string(peer) + " has " + text({d->lane, {m.id, d->life}})
               + " up to " + std::to_string(d->upto) + " on disk");
    } else if (const auto* c = std::get_if<outbound::cut>(&e)) {
      must(options_.trims, "a cut, and no log was trimmed");
      copies_.push_back({ms_ + 5 + static_cast<int>(below(50)), m.id, peer, {c->lane, {m.id, c->life}}});
    }
  }
  out.clear();
}

void stream_run::perform(machine& m, node_id peer, inbound::effects& out) {
  for (auto& e : out) {
    if (auto* a = std::get_if<inbound::send_acknowledged>(&e)) {
      post(m, peer, std::move(a->message));
    } else if (auto* x = std::get_if<inbound::accept>(&e)) {
      judge_accept(m, *x);
      outcome_.accepted += x->updates.size();
      m.front->stated({x->lane, x->from, x->upto, x->clock});
      const auto due = std::max(ms_ + m.disk_ms, m.waiting.empty() ? 0 : m.waiting.back().due);
      m.waiting.push_back({due, {x->lane, x->from}, std::move(x->updates), x->upto, 0});
    }
  }
  out.clear();
}

void stream_run::perform(machine& m, frontier::effects& out) {
  for (auto& e : out) {
    if (auto* f = std::get_if<frontier::send_facts>(&e)) {
      post(m, f->to, std::move(f->message));
    } else if (const auto* r = std::get_if<frontier::reached>(&e)) {
      const auto w = m.waits.find(r->cookie);
      must(w != m.waits.end(), "a wait is answered twice");
      must(m.front->applied().contains(w->second.vector), "T2: a wait is over, and what it was for is not there");
      must(m.front->applied().contains(w->second.stable), "T2: what was stable when a wait began is not there");
      ++outcome_.reached;
      m.waits.erase(w);
    } else if (const auto* x = std::get_if<frontier::failed>(&e)) {
      const auto w = m.waits.find(x->cookie);
      must(w != m.waits.end(), "a wait is answered twice");
      if (x->code == errc::dependency_timeout) {
        must(w->second.deadline <= ms_, "a wait ended before its deadline");
        ++outcome_.timeouts;
      } else if (x->code == errc::lost_update) {
        const auto log = truth_.find({stream_lane::ordered, x->missing.from});
        must(dead_.contains(x->missing.from) && (log == truth_.end() || log->second.size() < x->missing.seq),
             to_string(x->missing) + " is said to be lost");
        ++outcome_.lost;
      }
      m.waits.erase(w);
    }
  }
  out.clear();
}

void stream_run::run_cores(machine& m) {
  for (auto& [peer, o] : m.outs) {
    outbound::effects out;
    now() >= o.wake_at() ? o.tick(now(), out) : o.flush(now(), out);
    perform(m, peer, out);
  }
  for (auto& [peer, i] : m.ins) {
    inbound::effects out;
    now() >= i.wake_at() ? i.tick(now(), out) : i.flush(now(), out);
    perform(m, peer, out);
  }
  frontier::effects out;
  now() >= m.front->wake_at() ? m.front->tick(now(), out) : m.front->flush(now(), out);
  judge_frontier(m);
  perform(m, out);
  if (m.front->ready())
    for (const auto& [cookie, w] : m.waits)
      must(!m.front->applied().contains(w.vector), "a wait sleeps, and what it is for is there");
  judge_bounds(m);
}

// -- what goes wrong, and what is asked
// -------------------------------------------------------------------------------

void stream_run::change_view(machine& about) {
  auto& standing = view_.nodes.at(about.id);
  ++view_.number;
  standing.out = !standing.out;
  about.out_since = standing.out ? view_.number : 0;
  outcome_.outs += standing.out ? 1 : 0;
}

void stream_run::learn_views() {
  for (auto& [id, m] : machines_) {
    if (!m.up || m.known.number == view_.number || ms_ < m.hears_view_at) continue;
    m.known = view_;
    m.hears_view_at = ms_ + 5 + static_cast<int>(below(60));
    frontier::effects out;
    m.front->view_changed(view_, now(), out);
    perform(m, out);
  }
}

void stream_run::fault() {
  auto a = machines_.begin();
  std::advance(a, below(machines_.size()));
  auto& m = a->second;
  switch (below(5)) {
  case 0:
    if (m.up) crash(m);
    break;
  case 1:
    m.disk_ms = chance(30) ? 300 : 1 + static_cast<int>(below(20));
    break;
  case 2:
    if (view_.nodes.at(m.id).out == false && (!m.up || chance(30))) change_view(m);
    break;
  default:
    for (auto& [id, other] : machines_)
      if (id != m.id && chance(50)) cut(m.id, id);
  }
}

void stream_run::wait_somewhere() {
  auto a = machines_.begin(), b = machines_.begin();
  std::advance(a, below(machines_.size()));
  std::advance(b, below(machines_.size()));
  auto& m = a->second;
  if (!m.up || !b->second.up) return;
  frontier::wait_for w;
  w.cookie = ++cookies_;
  w.vector = chance(70) ? b->second.front->received() : b->second.front->applied();
  // A token that knows more than survives: what was accepted with durability async.
  if (const auto last = b->second.written.find({stream_lane::ordered, {b->first, b->second.life}});
      chance(20) && last != b->second.written.end())
    w.vector.raise(last->first.from, last->second);
  if (chance(50)) w.vector.forget(b->second.front->stable(stream_lane::ordered)); // as tokens do
  if (chance(30)) m.front->facts(b->second.region == m.region ? b->second.front->region() : version_vector{});
  const auto deadline = chance(50) ? 60'000'000 : ms_ + static_cast<int>(below(100));
  w.deadline = instant{std::chrono::hours{1} + milliseconds{deadline}};
  m.waits[w.cookie] = {w.vector, stable_anywhere_, deadline};
  frontier::effects out;
  m.front->wait(std::move(w), now(), out);
  perform(m, out);
}

void stream_run::step(bool chaos) {
  ++ms_;
  if (chaos && below(static_cast<std::uint64_t>(options_.fault_every_ms)) == 0) fault();
  for (auto& [id, m] : machines_) {
    if (!m.up && ms_ >= m.up_again) start(m);
    if (!m.up) continue;
    if (chaos && m.known.number > 0 && below(static_cast<std::uint64_t>(options_.write_every_ms)) == 0) write(m);
    if (ms_ % 50 == 0) // an idle origin's clock goes on: no later stamp is at or below this one
      for (auto lane : lanes) {
        const sequence s{lane, {id, m.life}};
        if (std::ranges::any_of(m.waiting, [&](const unsynced& u) { return u.of == s; })) continue;
        m.clock += 20;
        m.front->stated({lane, s.from, m.has[s], m.clock});
        for (auto& [peer, o] : m.outs) {
          outbound::effects out;
          o.durable({lane, m.life, {}, m.has[s], m.clock}, now(), out);
          perform(m, peer, out);
        }
      }
    if (m.out_since != 0 && m.known.number >= m.out_since && m.front->caught_up(m.out_since)
        && (!chaos || chance(20)))
      change_view(m);
  }
  for (auto& [pair, c] : connections_) {
    if (!c.up && chance(chaos ? 3 : 20)) connect(pair.first, pair.second);
    for (auto& [to, queue] : c.to) {
      const auto from = to == pair.first ? pair.second : pair.first;
      for (; c.up && !queue.empty() && queue.front().due <= ms_;) {
        const auto what = std::move(queue.front().what);
        queue.pop_front();
        deliver(at(to), from, what);
      }
    }
  }
  learn_views();
  for (auto& [id, m] : machines_) {
    sync(m, false);
    log_reads(m);
    if (m.up) run_cores(m);
  }
  for (auto& c : std::exchange(copies_, {})) {
    auto &from = at(c.from), &to = at(c.to);
    if (ms_ < c.due)
      copies_.push_back(c);
    else if (from.up && to.up && between(c.from, c.to).up)
      catch_up(from, to, c.what);
  }
  if (chaos && chance(10)) wait_somewhere();
}

bool stream_run::settled() {
  for (auto& [id, m] : machines_) {
    if (!m.up || m.out_since != 0 || !m.waiting.empty() || m.known.number != view_.number) return false;
    for (const auto& [s, log] : truth_) {
      if (m.has[s] != log.size()) return false;
      if (s.lane == stream_lane::ordered && m.front->applied().at(s.from) != log.size()) return false;
      if (m.front->stable(s.lane).at(s.from) != log.size()) return false;
    }
    for (const auto& [cookie, w] : m.waits)
      if (!std::ranges::any_of(w.vector.entries(),
                               [&](const auto& e) { return m.front->applied().at(e.from) < e.seq; }))
        return false;
    for (auto lane : lanes)
      if (m.front->stable_clock(lane) == 0) return false;
  }
  return true;
}

stream_outcome stream_run::run() {
  try {
    while (ms_ < options_.chaos_ms)
      step(true);
    for (auto& [id, m] : machines_) {
      m.disk_ms = 2;
      m.up_again = std::min(m.up_again, ms_ + 20);
    }
    const auto healed = ms_;
    do {
      step(false);
      if (ms_ - healed > settle_ms_max) broken("liveness: not settled");
    } while (!settled());
    outcome_.settled_after_ms = static_cast<std::uint64_t>(ms_ - healed);
    judge_end();
    for (auto& [id, m] : machines_)
      crash(m); // for its counters
    outcome_.crashes -= machines_.size();
  } catch (const violation& v) {
    outcome_.violation = v.what() + (" " + options_.describe());
  }
  return outcome_;
}

} // namespace troupe::shipping
