// Time, life and faults. Messages and effects are in lossy_network.cpp, read locks in lossy_locks.cpp, named locks in
// lossy_named_locks.cpp, clients and the judge in lossy_judge.cpp.
#include "tests/support/lossy_cluster.hpp"

#include <algorithm>

namespace troupe::lossy {

namespace {

/// Ticks in a row at which a core may want another one at once; a core that wants more has forgotten to advance.
constexpr int spins_max = 20;

} // namespace

options options::from_seed(std::uint64_t seed) {
  std::mt19937_64 dice{seed * 0x9E3779B97F4A7C15ULL + 1};
  auto pick = [&](auto... values) {
    const std::common_type_t<decltype(values)...> all[] = {values...};
    return all[dice() % sizeof...(values)];
  };
  options o;
  o.seed = seed;
  o.nodes = pick(3U, 3U, 3U, 4U, 5U);
  o.replicas = o.nodes == 5 ? pick(3U, 5U) : 3U;
  o.shards = pick(1U, 2U, 3U);
  o.keys = pick(1U, 2U, 4U);
  o.clients = pick(1U, 2U, 3U);
  o.lease = milliseconds{pick(120, 200, 400)};
  o.latency_max = pick(moment{1}, moment{2}, moment{10}, moment{30}) * ms;
  o.latency_min = std::min(pick(moment{50} * us, moment{1} * ms, moment{8} * ms), o.latency_max / 2);
  o.sync_max = pick(moment{1}, moment{3}, moment{10}) * ms;
  o.think_max = pick(moment{5}, moment{20}, moment{60}) * ms;
  o.chaos = pick(moment{1'500}, moment{2'500}) * ms;
  o.fault_every = pick(moment{40}, moment{100}, moment{250}, moment{600}) * ms;
  o.settled_kept = pick(1U, 2U, 8U);
  o.combine_max = pick(1U, 3U, 16U);
  o.key_queue_max = pick(1U, 3U, 64U);
  o.bytes_max = pick(0U, 600U, 1'000'000U);
  o.index_max = pick(1U, 4U, 100U);
  o.pending_max = pick(2U, 10U, 1'000U, 1'000U);
  o.locks = pick(1, 1, 1, 0) != 0;
  o.holders_max = pick(1U, 2U, 100U, 100U);
  o.held_bytes_max = pick(200U, 700U, 100'000U, 100'000U); // one lock, four, all
  o.holder_queue_max = pick(3U, 20U, 1'000U, 1'000U);
  o.pending_copies_max = pick(1U, 100U);
  o.hot_reads = pick(0U, 40U, 80U, 93U);
  o.removes = pick(8U, 25U);
  o.collection.every = milliseconds{pick(5, 20, 100)};
  o.collection.after = milliseconds{pick(0, 50, 300)};
  o.collection.unripe_max = pick(1U, 2U, 1'000U);
  o.collection.round_min = milliseconds{pick(200, 500)};
  return o;
}

std::string options::describe() const {
  auto field = [](const char* name, auto value) { return std::string{name} + "=" + std::to_string(value) + " "; };
  return field("seed", seed) + field("nodes", nodes) + field("replicas", replicas) + field("shards", shards)
         + field("keys", keys) + field("clients", clients) + field("lease_ms", lease.count())
         + field("latency_max_us", latency_max / us) + field("sync_max_us", sync_max / us)
         + field("think_max_us", think_max / us) + field("chaos_ms", chaos / ms)
         + field("fault_every_ms", fault_every / ms) + field("hand_overs", hand_overs)
         + field("settled_kept", settled_kept) + field("combine_max", combine_max)
         + field("key_queue_max", key_queue_max) + field("bytes_max", bytes_max) + field("index_max", index_max)
         + field("pending_max", pending_max) + field("damage", damage) + field("locks", locks)
         + field("holders_max", holders_max) + field("held_bytes_max", held_bytes_max)
         + field("holder_queue_max", holder_queue_max) + field("pending_copies_max", pending_copies_max)
         + field("removes", removes) + field("collect_every_ms", collection.every.count())
         + field("collect_after_ms", collection.after.count()) + field("unripe_max", collection.unripe_max)
         + field("round_min_ms", collection.round_min.count()) + field("hot_reads", hot_reads)
         + field("lockers", lockers) + field("named", named) + field("held_max_ms", held_max.count())
         + field("reorder", reorder);
}

cluster_run::cluster_run(options o, bool keep_log) : options_{o}, keep_log_{keep_log}, dice_{o.seed} {
  shape_.name = "lossy";
  shape_.shards = options_.shards;
  shape_.replicas = options_.replicas;
  shape_.lease = options_.lease;
  shape_.drift_ppm = options_.drift_ppm;
  for (std::uint32_t n = 1; n <= options_.nodes; ++n)
    shape_.members.push_back({.id = {n}, .name = "n" + std::to_string(n), .region = "r", .host = {}, .port = 0});
  for (std::uint32_t s = 0; s < options_.shards; ++s)
    replicas_[{s}] = replica_set(shape_, {s});
  nodes_.resize(options_.nodes);
}

cluster_run::~cluster_run() = default;

// -- time
// -------------------------------------------------------------------------------------------------------------

moment cluster_run::random(moment below) {
  return below <= 0 ? 0 : static_cast<moment>(dice_() % static_cast<std::uint64_t>(below));
}

void cluster_run::at(moment when, std::function<void()> what) {
  events_.push({std::max(when, now_), ++order_, std::move(what)});
}

instant cluster_run::local(const node& n) const {
  return instant{nanoseconds{n.offset + now_ + now_ * n.rate_ppm / 1'000'000}};
}

/// The first moment at which the node's clock shows `t` or more.
moment cluster_run::global(const node& n, instant t) const {
  const auto passed = t.time_since_epoch().count() - n.offset;
  auto guess = static_cast<moment>(static_cast<double>(passed) / (1.0 + static_cast<double>(n.rate_ppm) / 1e6)) - 2;
  while (guess + guess * n.rate_ppm / 1'000'000 < passed)
    ++guess;
  return guess;
}

/// Runs `what` on the node now, or when its pause ends.
void cluster_run::on(node& n, std::function<void()> what) {
  if (!n.up) return;
  if (now_ < n.paused_until) {
    n.inbox.push_back(std::move(what));
    return;
  }
  what();
  after(n);
}

/// Does nothing if the node is another incarnation by then.
void cluster_run::on_at(node& n, moment when, std::function<void()> what) {
  at(when, [this, &n, life = n.life, what = std::move(what)]() mutable {
    if (n.up && n.life == life) on(n, std::move(what));
  });
}

void cluster_run::after(node& n) {
  if (!n.up) return;
  judge_homes(n);
  auto wake = std::min({n.replica->wake_at(), n.members->wake_at(), n.manager->wake_at(), n.memory->wake_at()});
  for (const auto& [shard, h] : n.homes)
    wake = std::min(wake, h->wake_at());
  if (wake == never) return;
  const auto when = std::max(now_, global(n, wake));
  if (n.armed != 0 && n.armed <= when) return;
  n.armed = when;
  const auto late = chance(10) ? random(8 * ms) : 0; // timers are never early
  at(when + late, [this, &n, life = n.life, when] {
    if (!n.up || n.life != life || n.armed != when) return;
    n.armed = 0;
    on(n, [this, &n] { ring(n); });
  });
}

void cluster_run::ring(node& n) {
  const auto t = local(n);
  bool again = false;
  auto tick = [&](auto& core) {
    auto out = typename std::remove_reference_t<decltype(core)>::effects{};
    if (core.wake_at() <= t) core.tick(t, out);
    again = again || core.wake_at() <= t;
    return out;
  };
  perform(n, tick(*n.replica));
  perform(n, tick(*n.members));
  perform(n, tick(*n.manager));
  perform(n, tick(*n.memory));
  for (auto& [shard, h] : n.homes)
    perform(n, shard, tick(*h));
  n.spins = again ? n.spins + 1 : 0;
  if (n.spins > spins_max)
    violate("time does not advance: a core of " + to_string(n.id) + " wants tick() again and again");
}

// -- life and faults
// --------------------------------------------------------------------------------------------------

void cluster_run::start(node& n) {
  if (n.up) return;
  n.up = true;
  ++n.life.value;
  n.paused_until = 0;
  n.armed = 0;
  n.spins = 0;
  n.asked = n.synced = 0;
  n.syncing = false;
  const auto t = local(n);
  n.replica = std::make_unique<acceptor>(acceptor_options{.self = n.id,
                                                          .shards = options_.shards,
                                                          .index_max = options_.index_max,
                                                          .loads_max = 64,
                                                          .pending_max = options_.pending_max},
                                         n.disk.promises(), t);
  n.members = std::make_unique<membership>(membership_options{.shape = shape_, .self = n.id, .remembered_disks = {}});
  requests_options ro{.self = n.id, .replica_sets = {}, .operations_max = 64};
  ro.attempt = milliseconds{options_.latency_max / ms * 4 + 25};
  for (const auto& [shard, set] : replicas_)
    ro.replica_sets.push_back(set);
  n.manager = std::make_unique<requests>(ro);
  holder_options mo{.self = n.id, .life = n.life, .lease = options_.lease, .drift_ppm = options_.drift_ppm};
  mo.patience = ro.attempt;
  mo.requests_max = 16;
  mo.pending_max = options_.pending_copies_max;
  n.memory = std::make_unique<holder>(mo);
  n.table = {};
  n.missed.clear();
  n.memory_told = 0;
  for (const auto& [shard, set] : replicas_) {
    if (std::find(set.begin(), set.end(), n.id) == set.end()) continue;
    home_options ho;
    ho.self = n.id;
    ho.life = n.life;
    ho.shard = shard;
    ho.replicas = set;
    ho.lease = options_.lease;
    ho.drift_ppm = options_.drift_ppm;
    ho.retransmit = milliseconds{options_.latency_max / ms * 3 + 20};
    ho.bytes_max = options_.bytes_max;
    ho.key_queue_max = options_.key_queue_max;
    ho.shard_queue_max = 64;
    ho.combine_max = options_.combine_max;
    ho.settled_kept = options_.settled_kept;
    ho.holders_max = options_.holders_max;
    ho.held_bytes_max = options_.held_bytes_max;
    ho.holder_queue_max = options_.holder_queue_max;
    ho.collection = options_.collection;
    n.homes[shard] = std::make_unique<home>(ho);
  }
  n.clients.assign(options_.clients, {});
  for (std::size_t c = 0; c < n.clients.size(); ++c)
    n.clients[c].session = (std::uint64_t{n.id.value} << 40) + (n.life.value << 20) + c;
  if (keep_log_) line(&n, "starts, incarnation " + std::to_string(n.life.value));
  n.members->start(t);
  for (auto& [shard, h] : n.homes) {
    home::effects out;
    h->start(t, out);
    perform(n, shard, std::move(out));
  }
  sees(n, n.id, 1);
  for (const auto& other : nodes_)
    if (other.id != n.id) connect(n.id, other.id);
  for (std::size_t c = 0; c < n.clients.size(); ++c)
    think(n, c, options_.think_max);
  start_lockers(n);
  after(n);
}

void cluster_run::crash(node& n) {
  if (!n.up) return;
  ++outcome_.crashes;
  const auto surviving = static_cast<std::size_t>(random(static_cast<moment>(n.disk.unsynced()) + 1));
  if (keep_log_) line(&n, "crashes, " + std::to_string(n.disk.unsynced() - surviving) + " writes lost");
  n.disk.crash(surviving);
  n.up = false;
  n.inbox.clear();
  n.held.clear();
  n.homes.clear();
  n.replica.reset();
  n.members.reset();
  n.manager.reset();
  n.memory.reset();
  n.leads.clear();
  end_lockers(n);
  for (auto& [id, s] : submitted_)
    if (s.at == n.id && !s.settled) {
      s.settled = true;
      history_.operations[s.operation].outcome = check::op_outcome::unknown;
    }
  for (auto& other : nodes_) {
    if (other.id == n.id) continue;
    cut(n.id, other.id);
    wire_between(n.id, other.id).believed[n.id > other.id] = 0;
  }
}

void cluster_run::pause(node& n, moment how_long) {
  if (!n.up || now_ < n.paused_until) return;
  if (keep_log_) line(&n, "is paused for " + std::to_string(how_long / ms) + " ms");
  n.paused_until = now_ + how_long;
  at(n.paused_until, [this, &n, life = n.life] {
    if (n.up && n.life == life) resume(n);
  });
}

void cluster_run::resume(node& n) {
  if (!n.up || now_ < n.paused_until) return;
  while (!n.inbox.empty() && n.up && outcome_.violation.empty()) {
    auto what = std::move(n.inbox.front());
    n.inbox.pop_front();
    what();
    after(n);
  }
}

cluster_run::wire& cluster_run::wire_between(node_id a, node_id b) { return wires_[std::minmax(a, b)]; }

/// The connection is gone; each side notices later, in its own time.
void cluster_run::cut(node_id a, node_id b) {
  auto& w = wire_between(a, b);
  if (!w.alive) return;
  if (keep_log_) line(nullptr, "the connection " + to_string(a) + "-" + to_string(b) + " breaks");
  w.alive = false;
  ++w.generation;
  for (auto [who, other] : {std::pair{a, b}, std::pair{b, a}}) {
    auto& n = node_of(who);
    if (!n.up) continue;
    on_at(n, now_ + random(chance(20) ? 200 * ms : 2 * ms), [this, &n, &w, other = other, broken = w.generation] {
      if (w.believed[n.id > other] < broken) sees(n, other, 0);
    });
  }
  at(now_ + random(chaos_ ? 400 * ms : 20 * ms), [this, a, b] { connect(a, b); });
}

/// A new connection, once both sides have noticed that the old one is gone.
void cluster_run::connect(node_id a, node_id b) {
  auto& w = wire_between(a, b);
  auto &na = node_of(a), &nb = node_of(b);
  if (w.alive || !na.up || !nb.up) return;
  if (w.believed[0] != 0 || w.believed[1] != 0) return at(now_ + 5 * ms, [this, a, b] { connect(a, b); });
  w.alive = true;
  const auto generation = ++w.generation;
  for (auto [who, other] : {std::pair{a, b}, std::pair{b, a}}) {
    auto& n = node_of(who);
    const auto when = now_ + options_.latency_min + random(options_.latency_max);
    w.last[who > other] = when; // nothing arrives before
    w.stalled_until[who > other] = 0;
    on_at(n, when, [this, &n, &w, other = other, generation] {
      if (w.generation == generation) sees(n, other, generation);
    });
  }
}

/// The node believes in connection `generation` to the other from now on; 0 = in none.
void cluster_run::sees(node& n, node_id other, std::uint64_t generation) {
  const bool up = generation != 0;
  if (n.id != other) {
    auto& believed = wire_between(n.id, other).believed[n.id > other];
    if ((believed != 0) == up) return;
    believed = generation;
  }
  if (keep_log_) line(&n, (up ? "sees " : "misses ") + to_string(other));
  membership::effects out;
  n.members->peer(other, {}, up, local(n), out);
  perform(n, std::move(out));
}

void cluster_run::rot() {
  const auto k = static_cast<std::size_t>(random(options_.keys));
  const auto shard = shard_of_key(k);
  const auto& set = replicas_[shard];
  const auto minority = (set.size() - 1) / 2;
  std::size_t damaged = 0;
  for (auto r : set)
    if (const auto* s = node_of(r).disk.find(shard, key_name(k)); s != nullptr && s->damaged) ++damaged;
  if (damaged >= minority) return;
  auto& n = node_of(set[static_cast<std::size_t>(random(static_cast<moment>(set.size())))]);
  if (n.disk.damage(shard, key_name(k)) && keep_log_) line(&n, "rots " + key_name(k));
}

void cluster_run::stall(const node& from, const node& to) {
  if (from.id == to.id) return;
  wire_between(from.id, to.id).stalled_until[to.id > from.id] = now_ + random(chance(50) ? 100 * ms : 700 * ms);
  if (keep_log_) line(&from, "is not heard by " + to_string(to.id) + " for a while");
}

/// TERM: the node hands its homes over, gives its leases back, and starts again after a while.
void cluster_run::hand_over(node& n) {
  if (!n.up || now_ < n.paused_until) return;
  if (keep_log_) line(&n, "hands over");
  if (chance(50)) stall(n, any()); // what it takes back by it is still read there
  for (auto& [shard, h] : n.homes) {
    home::effects out;
    h->release(local(n), out);
    perform(n, shard, std::move(out));
  }
  if (chance(50)) {
    holder::effects out;
    n.memory->release(out);
    perform(n, std::move(out));
  }
  after(n);
  at(now_ + 50 * ms + random(500 * ms), [this, &n, life = n.life] {
    if (n.life == life) crash(n);
    at(now_ + random(100 * ms), [this, &n] { start(n); });
  });
}

void cluster_run::fault() {
  if (!chaos_) return;
  auto& n = any();
  auto& other = any();
  const auto dice = random(100);
  if (chance(options_.hand_overs)) {
    hand_over(n);
  } else if (dice < 25) {
    if (n.id != other.id) cut(n.id, other.id);
  } else if (dice < 35) { // alone
    for (const auto& o : nodes_)
      if (o.id != n.id) cut(n.id, o.id);
  } else if (dice < 55) {
    stall(n, other);
  } else if (dice < 70) {
    pause(n, random(chance(50) ? 60 * ms : 900 * ms));
  } else if (dice < 78) {
    n.disk_stalled_until = now_ + random(chance(70) ? 60 * ms : 600 * ms);
  } else if (dice < 83) {
    if (options_.damage) rot();
  } else if (dice < 96) {
    crash(n);
    at(now_ + random(chance(50) ? 30 * ms : 700 * ms), [this, &n] { start(n); });
  } else { // the lights go out
    for (auto& victim : nodes_) {
      if (chance(15)) continue;
      crash(victim);
      at(now_ + random(chance(50) ? 30 * ms : 300 * ms), [this, &victim] { start(victim); });
    }
  }
  at(now_ + random(2 * options_.fault_every), [this] { fault(); });
}

void cluster_run::heal() {
  if (keep_log_) line(nullptr, "everything heals");
  chaos_ = false;
  for (auto& [pair, w] : wires_)
    w.stalled_until[0] = w.stalled_until[1] = 0;
  for (auto& n : nodes_) {
    n.disk_stalled_until = 0;
    if (n.up && now_ < n.paused_until) {
      n.paused_until = now_;
      resume(n);
    }
    start(n);
  }
  for (auto& a : nodes_)
    for (auto& b : nodes_)
      if (a.id < b.id) connect(a.id, b.id);
}

// -- the run
// ----------------------------------------------------------------------------------------------------------

outcome_of_run cluster_run::run() {
  const auto rate_max = static_cast<std::int64_t>(options_.drift_ppm) * 49 / 100; // two of them stay below the bound
  for (std::uint32_t i = 0; i < options_.nodes; ++i) {
    auto& n = nodes_[i];
    n.id = {i + 1};
    n.offset = random(10'000) * ms;
    n.rate_ppm = chance(50) ? (chance(50) ? rate_max : -rate_max) : random(2 * rate_max) - rate_max;
    at(random(50 * ms), [this, &n] { start(n); });
  }
  at(300 * ms, [this] { fault(); });
  const auto healed = 300 * ms + options_.chaos;
  at(healed, [this] { heal(); });
  at(healed + 300 * ms, [this] { issuing_ = false; });
  const auto quiet = healed + 300 * ms + 2'500 * ms; // longer than the longest deadline
  at(quiet, [this] {
    judge_liveness();
    if (!chance(30)) return;
    for (auto& n : nodes_)
      crash(n);
    for (auto& n : nodes_)
      at(now_ + random(50 * ms), [this, &n] { start(n); });
  });
  for (std::size_t k = 0; k < options_.keys; ++k)
    at(quiet + 1'500 * ms, [this, k] { final_read(k, 0); });
  const auto end = quiet + 4'500 * ms;
  while (!events_.empty() && outcome_.violation.empty()) {
    auto what = std::move(const_cast<event&>(events_.top()).what);
    now_ = events_.top().at;
    events_.pop();
    if (now_ > end || finals_ == options_.keys) break;
    what();
  }
  if (outcome_.violation.empty() && finals_ < options_.keys) violate("liveness: a final read was not answered");
  if (outcome_.violation.empty()) judge_history();
  for (const auto& op : history_.operations) {
    ++outcome_.operations;
    auto& count = op.outcome == check::op_outcome::ok     ? outcome_.done
                  : op.outcome == check::op_outcome::fail ? outcome_.failed
                                                          : outcome_.unknown;
    ++count;
  }
  return outcome_;
}

outcome_of_run run_seed(const options& o, std::size_t lines) {
  auto result = cluster_run{o, false}.run();
  if (result.violation.empty() || lines == 0) return result;
  cluster_run again{o, true};
  auto same = again.run();
  std::string text = o.describe() + "\n" + same.violation + "\n";
  const auto& log = again.log();
  for (auto i = log.size() > lines ? log.size() - lines : 0; i < log.size(); ++i)
    text += log[i] + "\n";
  result.violation = same.violation == result.violation ? text : "the same seed gave two runs\n" + text;
  return result;
}

} // namespace troupe::lossy
