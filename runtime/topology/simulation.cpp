#include "runtime/topology/simulation.hpp"

#include "protocol/wire.hpp"
#include "runtime/node.hpp"
#include "runtime/topology/simulated_client.hpp"
#include "runtime/topology/simulated_judge.hpp"
#include "runtime/topology/simulated_lockers.hpp"
#include "runtime/topology/simulated_network.hpp"
#include "runtime/topology/simulated_shoppers.hpp"
#include "runtime/topology/simulated_store.hpp"
#include "runtime/topology/simulated_strays.hpp"
#include "runtime/topology/simulated_world.hpp"

#include <caf/send.hpp>

#include <algorithm>
#include <array>

namespace troupe::simulated {

namespace {

constexpr std::chrono::seconds safety_max{30};
constexpr std::chrono::seconds liveness_max{20};
constexpr std::uint32_t liveness_operations = 3;

class simulation {
public:
  simulation(const simulation_options& options, const simulation_outputs& outputs);
  ~simulation();
  simulation_report run();

private:
  /// What one start of a node stands on. Kept until the end: actors of a node that was killed may still be taking
  /// leave.
  struct seams {
    std::unique_ptr<clock> time;
    std::unique_ptr<transport> wires;
    std::unique_ptr<store_driver> store;
  };
  struct machine {
    std::uint32_t index = 0;
    node_id id;
    std::unique_ptr<disk> hard_disk; ///< null = a client node: no vote, no store, another id with every start
    nanoseconds clock_offset{0};
    std::int64_t drift_ppm = 0;
    std::uint64_t life = 0;        ///< starts so far
    std::unique_ptr<node> running; ///< null = down
    bool paused = false;
    clock* time = nullptr;
    std::vector<session_actor> sessions;
    std::string name;
  };

  static cluster shape_of(const simulation_options& o);
  void start(machine& m);
  void crash(machine& m);
  void count_memory(const machine& m);
  void restart_later(machine& m, nanoseconds delay);
  void pause(machine& m, nanoseconds how_long);
  template <class Fault> void repeat(milliseconds mean, Fault fault);
  using directions = std::vector<std::pair<node_id, node_id>>; ///< from, to
  void plant_faults();
  void strike(machine& m);
  void leave(machine& m);
  void cut_something();
  void cut(const directions& ways);
  void lag_something();
  void plant_strays();
  nanoseconds pause_length();
  nanoseconds down_time();
  machine& any() { return machines_[random_.below(machines_.size())]; }
  machine& victim();

  session_actor open_session(machine& m);
  void issue(client& c, const std::string& key = {});
  void next(client& c);
  void settle(client& c, const v1::Result* result);
  bool idle() const;

  void heal();
  void check_liveness();
  void check_durability();

  simulation_options options_;
  simulation_outputs outputs_;
  world world_;
  dice& random_;
  cluster shape_;
  std::vector<std::unique_ptr<seams>> grounds_;
  network network_;
  strays strays_;
  std::vector<machine> machines_;
  key_pool keys_;
  std::vector<std::unique_ptr<client>> clients_;
  judge judge_;
  lockers lockers_;
  shoppers shoppers_;
  simulation_report report_;
  bool faults_ = true;
  std::uint32_t quota_ = 0; ///< operations per client in this phase
  std::uint64_t sessions_ = 0;
  std::uint32_t guests_ = 0; ///< starts of client nodes so far
};

cluster simulation::shape_of(const simulation_options& o) {
  cluster c;
  c.name = "simulated";
  c.shards = o.shards;
  c.replicas = std::min<std::uint32_t>(o.nodes, 5);
  c.lease = o.lease;
  for (std::uint32_t i = 1; i <= o.nodes; ++i)
    c.members.push_back({{i}, "n" + std::to_string(i), "r" + std::to_string(i % o.regions), "", 0});
  c.types["data"] = {level::strong, o.rollback ? on_timeout::rollback : on_timeout::unknown};
  if (o.shoppers > 0) shoppers::add_types(c, o);
  return c;
}

simulation::simulation(const simulation_options& options, const simulation_outputs& outputs)
    : options_{options},
      outputs_{outputs},
      world_{options.seed, outputs.log},
      random_{world_.random()},
      shape_{shape_of(options)},
      network_{world_,
               {.latency_max = std::max<nanoseconds>(options.latency_max, std::chrono::microseconds{100}),
                .stall = options.stall,
                .stall_max = options.stall_max}},
      strays_{world_, {.chance = options.stray, .late = 2 * nanoseconds{options.lease}}},
      keys_{options.keys},
      judge_{shape_.replicas / 2 + 1},
      lockers_{world_, options, shape_, judge_},
      shoppers_{world_, options, judge_} {
  machines_.resize(options_.nodes + options_.guests);
  for (std::uint32_t i = 0; i < machines_.size(); ++i) {
    auto& m = machines_[i];
    const bool member = i < options_.nodes;
    m.index = i;
    m.name = member ? shape_.members[i].name : "guest" + std::to_string(i - options_.nodes + 1);
    m.clock_offset = random_.between(std::chrono::seconds{0}, std::chrono::hours{1});
    m.drift_ppm = random_.chance(0.5)   ? random_.between(-options_.drift_ppm_max, options_.drift_ppm_max)
                  : random_.chance(0.5) ? options_.drift_ppm_max
                                        : -options_.drift_ppm_max;
    if (!member) {
      start(m);
      continue;
    }
    m.id = shape_.members[i].id;
    m.hard_disk = std::make_unique<disk>(world_, m.id,
                                         disk_options{.slow = options_.slow_disk,
                                                      .slow_max = options_.slow_disk_max,
                                                      .failing = options_.failing_disk,
                                                      .rotting = i == 0 ? options_.rotting_disk : 0});
    m.hard_disk->went_back = [this, &m](const std::string& key) {
      judge_.accuse("D1", "the record of " + key + " on the disk of " + m.name + " was replaced by an older one");
    };
    m.hard_disk->stored = [this, &m](shard_id shard, const ballot& accepted_in, const version& number) {
      judge_.stored(m.name, shard, accepted_in, number);
    };
    start(m);
  }
  for (std::uint32_t i = 0; i < options_.clients; ++i) {
    clients_.push_back(std::make_unique<client>(i, client::habit::works, options_, keys_, random_));
    clients_.back()->node = i % options_.nodes;
  }
  for (std::uint32_t i = 0; options_.readers && i < machines_.size(); ++i) {
    clients_.push_back(
        std::make_unique<client>(options_.clients + i, client::habit::reads, options_, keys_, random_));
    clients_.back()->node = i;
  }
}

simulation::~simulation() {
  for (auto& m : machines_)
    if (m.running) crash(m);
  for (auto& c : clients_)
    c->session = nullptr;
  world_.drain();
}

// -- machines
// ---------------------------------------------------------------------------------------------------------

void simulation::start(machine& m) {
  const auto life = ++m.life;
  if (!m.hard_disk) m.id = node_id{client_node_bit | ++guests_};
  auto ground = std::make_unique<seams>();
  ground->time = std::make_unique<clock>(world_, m.clock_offset, m.drift_ppm);
  ground->wires = network_.attach(m.id);
  if (m.hard_disk) ground->store = m.hard_disk->open();
  m.time = ground->time.get();

  node_setup setup;
  setup.shape = shape_;
  setup.self = m.id;
  setup.name = m.name;
  setup.region = shape_.members[m.index % options_.nodes].region;
  if (ground->store) {
    setup.life = {ground->store->identity().incarnation()};
    setup.disk = ground->store->identity().disk();
  } else {
    setup.life = {1 + random_.below(0xFFFF'FFFF)};
  }
  setup.memory_bytes_max = options_.memory_bytes;
  setup.collection = options_.collection;
  setup.frames.chunk_bytes = options_.chunk_bytes;
  if (options_.chunk_bytes < limits::small_message_bytes) { // a narrow path: a large value takes many round trips
    setup.frames.window_bytes_min = 4 * options_.chunk_bytes;
    setup.frames.credit_bytes = 8 * limits::small_message_bytes;
  }
  setup.frames.peer_timeout = std::max(milliseconds{100}, 2 * options_.lease);
  setup.frames.ping_every = setup.frames.peer_timeout / 4;

  node_seams stands_on;
  stands_on.clock = ground->time.get();
  stands_on.wires = ground->wires.get();
  stands_on.store = ground->store.get();
  stands_on.trace = [this, &m, life](instant, std::string_view name, std::string_view fields) {
    if (m.life != life || !m.running) return; // the last words of a process that is gone
    world_.note(m.name, name, fields);
    judge_.observe(m.name, name, fields);
  };
  stands_on.store_failed = [this, &m, life] {
    world_.after(nanoseconds{0}, [this, &m, life] {
      if (m.life != life || !m.running) return;
      crash(m);
      restart_later(m, milliseconds{20});
    });
  };
  grounds_.push_back(std::move(ground));
  world_.note(m.name, "start", "incarnation=" + std::to_string(setup.life.value));
  world_.spawn_for(
      m.index, [&] { m.running = std::make_unique<node>(world_.system(), std::move(setup), std::move(stands_on)); });
  if (options_.lockers > 0) lockers_.started(m.index, *m.time, open_session(m));
  if (options_.shoppers > 0) shoppers_.started(m.index, *m.time, [this, &m] { return open_session(m); });
}

void simulation::crash(machine& m) {
  world_.note(m.name, "crash", "");
  ++report_.crashes;
  count_memory(m);
  m.running.reset();
  judge_.ended(m.name);
  lockers_.ended(m.index);
  shoppers_.ended(m.index);
  for (auto& s : m.sessions)
    caf::anon_send_exit(s, caf::exit_reason::kill);
  m.sessions.clear();
  network_.crashed(m.id);
  if (m.hard_disk) m.hard_disk->crash();
  if (std::exchange(m.paused, false)) world_.resume(m.index);
  for (auto& c : clients_)
    if (c->node == m.index && c->busy() && c->node_life == m.life) settle(*c, nullptr);
}

void simulation::count_memory(const machine& m) {
  if (!m.running || !m.running->memory()) return;
  const auto counted = m.running->memory()->count();
  report_.memory_hits += counted.hits;
  report_.evictions += counted.evictions;
}

void simulation::restart_later(machine& m, nanoseconds delay) {
  world_.after(delay, [this, &m, life = m.life] {
    if (m.life == life && !m.running) start(m);
  });
}

void simulation::pause(machine& m, nanoseconds how_long) {
  if (!m.running || m.paused) return;
  ++report_.pauses;
  m.paused = true;
  world_.pause(m.index);
  world_.note(m.name, "pause", "");
  world_.after(how_long, [this, &m, life = m.life] {
    if (m.life != life || !std::exchange(m.paused, false)) return;
    world_.resume(m.index);
    world_.note(m.name, "resume", "");
  });
}

template <class Fault> void simulation::repeat(milliseconds mean, Fault fault) {
  if (mean == milliseconds{0}) return;
  world_.after(random_.between(nanoseconds{mean} / 2, nanoseconds{mean} * 3 / 2), [this, mean, fault] {
    if (!faults_) return;
    fault();
    repeat(mean, fault);
  });
}

/// The node that a fault strikes: one that leads a shard more often than chance would have it.
simulation::machine& simulation::victim() {
  if (random_.chance(options_.aimed)) {
    std::vector<machine*> leaders;
    for (auto& m : machines_)
      if (judge_.leads(m.name)) leaders.push_back(&m);
    if (!leaders.empty()) return *leaders[random_.below(leaders.size())];
  }
  return any();
}

/// Cuts these directions for a while: all at once, or each in its own time.
void simulation::cut(const directions& ways) {
  const auto lasts = random_.between(nanoseconds{0}, options_.cut_max);
  for (const auto& [from, to] : ways) {
    if (from == to) continue;
    const bool ragged = options_.ragged_cuts;
    const auto begins = ragged ? random_.between(nanoseconds{0}, options_.lease) : nanoseconds{0};
    const auto ends = begins + (ragged ? random_.between(nanoseconds{0}, options_.cut_max) : lasts);
    world_.after(begins, [this, from = from, to = to] {
      if (!faults_) return;
      network_.cut(from, to);
      world_.note("net", "cut", to_string(from) + ">" + to_string(to));
    });
    world_.after(ends, [this, from = from, to = to] {
      network_.heal(from, to);
      world_.note("net", "heal", to_string(from) + ">" + to_string(to));
    });
  }
}

void simulation::cut_something() {
  ++report_.cuts;
  auto& a = victim();
  const auto& spared = any(); // of a node that is cut from all others but one
  const auto kind = random_.below(6);
  directions ways;
  if (kind < 2) { // one pair: one direction, or both
    const auto& b = any();
    ways.emplace_back(a.id, b.id);
    if (kind == 1) ways.emplace_back(b.id, a.id);
    return cut(ways);
  }
  for (const auto& b : machines_) { // one node from others: what it says, what it hears, or both
    if (kind == 5 && b.index == spared.index) continue;
    if (kind != 2) ways.emplace_back(a.id, b.id);
    if (kind != 3) ways.emplace_back(b.id, a.id);
  }
  cut(ways);
}

/// What one node says to another or to all others, or what it hears from them, is slow for a while.
void simulation::lag_something() {
  ++report_.lags;
  const auto& a = any();
  const auto& b = victim();
  const bool all = random_.chance(0.5);
  const bool heard = random_.chance(0.5);
  const auto extra = random_.between(nanoseconds{options_.lag_max} / 4, nanoseconds{options_.lag_max});
  const auto lasts = random_.between(nanoseconds{options_.lease}, 8 * nanoseconds{options_.lease});
  for (const auto& other : machines_) {
    if (!all && other.index != a.index) continue;
    const auto from = heard ? other.id : b.id;
    const auto to = heard ? b.id : other.id;
    network_.lag(from, to, extra);
    world_.note("net", "lag", to_string(from) + ">" + to_string(to));
    world_.after(lasts, [this, from, to] { network_.lag(from, to, nanoseconds{0}); });
  }
}

/// A stray reaches the actors of that start of the node which its first copy has reached.
void simulation::plant_strays() {
  network_.frame_arrived = [this](node_id from, node_id to, const v1::Frame& frame) {
    const auto receiver =
        std::find_if(machines_.begin(), machines_.end(), [to](const auto& m) { return m.id == to; });
    if (receiver == machines_.end()) return; // a client node that is gone
    auto& m = *receiver;
    strays_.heard(frame, [this, from, &m, life = m.life](v1::Envelope& message) {
      if (!faults_ || m.life != life || !m.running) return;
      world_.note(m.name, "stray", to_string(from) + " " + std::string{name_of(message)});
      m.running->actors().deliver(from, message);
    });
  };
}

nanoseconds simulation::pause_length() {
  const auto lease = nanoseconds{options_.lease};
  if (random_.chance(0.5)) return random_.between(lease * 7 / 10, lease * 13 / 10); // where it decides
  return random_.between(milliseconds{1}, options_.pause_max);
}

nanoseconds simulation::down_time() {
  if (random_.chance(options_.quick_restart)) return random_.between(nanoseconds{0}, nanoseconds{options_.lease} / 4);
  return random_.between(nanoseconds{0}, options_.restart_after_max);
}

/// The node is gone for a while, and perhaps gone again soon after it has come back.
void simulation::strike(machine& m) {
  if (!m.running) return;
  crash(m);
  if (options_.damage && m.index == 0) m.hard_disk->damage_one();
  const auto down = down_time();
  restart_later(m, down);
  if (!random_.chance(options_.crash_again)) return;
  world_.after(down + random_.between(nanoseconds{0}, options_.lease), [this, &m, life = m.life + 1] {
    if (faults_ && m.life == life) strike(m);
  });
}

/// The node is stopped as by SIGTERM; a successor may be in place by the time that it ends, or not.
void simulation::leave(machine& m) {
  if (!m.running) return;
  ++report_.leaves;
  world_.note(m.name, "leave", "");
  if (const auto& memory = m.running->actors().memory_layer) caf::anon_send(memory, release_atom::value);
  for (const auto& manager : m.running->actors().lock_managers)
    if (manager) caf::anon_send(manager, release_atom::value);
  world_.after(random_.between(nanoseconds{0}, options_.lease), [this, &m, life = m.life] {
    if (m.life != life || !m.running) return;
    crash(m);
    restart_later(m, faults_ ? down_time() : nanoseconds{0});
  });
}

void simulation::plant_faults() {
  repeat(options_.crash_every, [this] {
    if (!random_.chance(0.1)) return strike(victim());
    for (auto& m : machines_)
      strike(m);
  });
  repeat(options_.leave_every, [this] { leave(victim()); });
  repeat(options_.pause_every, [this] { pause(victim(), pause_length()); });
  repeat(options_.cut_every, [this] { cut_something(); });
  repeat(options_.lag_every, [this] { lag_something(); });
  plant_strays();
  repeat(options_.wall_jump_every, [this] {
    const auto most = nanoseconds{options_.wall_jump_max};
    if (auto& m = any(); m.running) m.time->set_wall_error(random_.between(-most, most));
  });
  repeat(options_.break_every, [this] {
    ++report_.breaks;
    network_.break_connection(any().id, any().id);
  });
}

// -- clients
// ----------------------------------------------------------------------------------------------------------

session_actor simulation::open_session(machine& m) {
  world_.spawn_for(m.index, [&] { m.sessions.push_back(m.running->open_session({++sessions_})); });
  return m.sessions.back();
}

void simulation::issue(client& c, const std::string& key) {
  auto at = c.node;
  for (std::size_t n = 0; n < machines_.size() && !c.only_reads() && (!machines_[at].running || random_.chance(0.1));
       ++n)
    at = static_cast<std::uint32_t>(random_.below(machines_.size()));
  auto& m = machines_[at];
  if (!m.running) return next(c); // later
  if (c.node != at || c.node_life != m.life || !c.session) {
    c.session = open_session(m);
    c.node = at;
    c.node_life = m.life;
  }
  session_call call;
  call.operation = c.draw(key);
  call.type = "data";
  const auto lease = nanoseconds{options_.lease};
  call.deadline =
      m.time->now()
      + (c.only_reads() ? random_.between(lease / 8, lease / 2)
                        : random_.between(nanoseconds{options_.deadline_min}, nanoseconds{options_.deadline_max}));
  call.done = [this, &c, number = c.call_number()](const v1::Result& result) {
    if (c.busy() && c.call_number() == number) settle(c, &result);
  };
  ++c.issued;
  ++report_.operations;
  c.called(world_.now());
  world_.note("client", "call", call.operation.key() + " session=" + std::to_string(sessions_));
  caf::anon_send(c.session, std::move(call));
}

void simulation::settle(client& c, const v1::Result* result) {
  auto op = c.settle(result, world_.now());
  switch (op.outcome) {
  case check::op_outcome::ok:
    ++report_.done;
    break;
  case check::op_outcome::fail:
    ++report_.not_done;
    break;
  case check::op_outcome::unknown:
    ++report_.unknown;
    break;
  }
  world_.note("client", check::to_string(op.kind), op.key + " " + std::string{check::to_string(op.outcome)});
  if (outputs_.history != nullptr) check::write_operation(*outputs_.history, op);
  judge_.record(std::move(op));
  if (result == nullptr) c.session = nullptr; // its node is gone
  next(c);
}

void simulation::next(client& c) {
  if (std::exchange(c.planned, true)) return;
  const auto think_max = c.only_reads() ? nanoseconds{options_.lease} / 8 : nanoseconds{options_.think_max};
  world_.after(random_.between(nanoseconds{0}, think_max), [this, &c] {
    c.planned = false;
    if (!c.busy() && (c.only_reads() ? quota_ > 0 : c.issued < quota_)) issue(c);
  });
}

bool simulation::idle() const {
  return std::all_of(clients_.begin(), clients_.end(), [&](const auto& c) {
    return c->only_reads() ? quota_ > 0 || !c->busy() : !c->busy() && c->issued >= quota_;
  });
}

// -- phases
// -----------------------------------------------------------------------------------------------------------

void simulation::heal() {
  faults_ = false;
  network_.calm();
  strays_.calm();
  network_.heal_all();
  for (auto& m : machines_) {
    if (m.hard_disk) m.hard_disk->calm();
    if (std::exchange(m.paused, false)) world_.resume(m.index);
    if (!m.running) start(m);
  }
  world_.note("world", "healed", "");
}

void simulation::check_liveness() {
  quota_ = ~std::uint32_t{0};
  lockers_.rest(false);
  lockers_.count_anew();
  shoppers_.rest(false);
  shoppers_.count_anew();
  for (auto& c : clients_) {
    c->done = 0;
    if (!c->busy()) next(*c);
  }
  const auto served = [this] {
    return std::all_of(clients_.begin(), clients_.end(),
                       [](const auto& c) { return c->done >= liveness_operations; });
  };
  world_.run_until(world_.now() + liveness_max,
                   [&] { return served() && lockers_.all_served() && shoppers_.all_served(); });
  if (!shoppers_.all_served())
    judge_.accuse("liveness", "some shopper did not complete three operations in 20 s after everything had healed");
  if (!lockers_.all_served())
    judge_.accuse("liveness", "some locker did not get a lock in 20 s after everything had healed");
  if (!served())
    judge_.accuse("liveness", "some client did not complete " + std::to_string(liveness_operations)
                                  + " operations in 20 s after everything had healed");
  quota_ = 0;
  lockers_.rest(true);
  shoppers_.rest(true);
  world_.run_until(world_.now() + std::chrono::seconds{5},
                   [this] { return idle() && lockers_.idle() && shoppers_.idle(); });
  if (options_.shoppers == 0 || !judge_.content()) return;
  shoppers_.compare(liveness_max);
  world_.run_until(world_.now() + 2 * liveness_max, [this] { return shoppers_.compared(); });
}

/// Every node is killed at once; the cluster must come back by itself, and what was acknowledged must be there (D1,
/// checked as part of the history).
void simulation::check_durability() {
  for (auto& m : machines_)
    crash(m);
  for (auto& m : machines_)
    start(m);
  check_liveness();
  auto& reader = *clients_.front();
  for (const auto& key : keys_.all()) {
    if (!judge_.content()) return;
    reader.done = 0;
    const auto end = world_.now() + liveness_max;
    while (reader.done == 0 && world_.now() < end) {
      issue(reader, key);
      if (!reader.busy()) break;
      world_.run_until(end, [&] { return !reader.busy(); });
    }
    if (reader.done == 0) judge_.accuse("liveness", "key " + key + " cannot be read after a restart of all nodes");
  }
}

simulation_report simulation::run() {
  plant_faults();
  quota_ = options_.operations;
  for (auto& c : clients_)
    next(*c);
  shoppers_.begin();
  world_.run_until(safety_max, [this] { return idle() || !judge_.content(); });
  if (judge_.content()) {
    heal();
    check_liveness();
  }
  if (judge_.content()) check_durability();
  for (const auto& m : machines_)
    count_memory(m);
  judge_.check();

  report_.violated = judge_.violated();
  report_.what = judge_.what();
  report_.undecided = judge_.undecided();
  report_.hash = world_.log().hash();
  report_.lines = world_.log().lines();
  report_.events = world_.events();
  report_.strays = strays_.count();
  report_.locks_held = lockers_.grants();
  report_.weak_operations = shoppers_.operations();
  report_.weak_done = shoppers_.done();
  report_.moves = shoppers_.moves();
  report_.leaderships = judge_.leaderships();
  report_.collections = judge_.collections();
  report_.virtual_time = world_.now();
  report_.last_events.assign(world_.log().last().begin(), world_.log().last().end());
  return report_;
}

} // namespace

simulation_report simulate(const simulation_options& options, const simulation_outputs& outputs) {
  simulation s{options, outputs};
  return s.run();
}

} // namespace troupe::simulated
