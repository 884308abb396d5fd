#include "runtime/node.hpp"

#include "actors/door.hpp"
#include "actors/explainer.hpp"
#include "actors/link.hpp"
#include "actors/lock_manager.hpp"
#include "actors/membership.hpp"
#include "actors/memory_layer.hpp"
#include "actors/monitor.hpp"
#include "actors/replica.hpp"
#include "actors/session.hpp"
#include "actors/strong_manager.hpp"
#include "actors/timekeeper.hpp"
#include "actors/view_keeper.hpp"
#include "runtime/node_streams.hpp"

#include <caf/send.hpp>

#include <algorithm>

namespace troupe {

namespace {

actor_context context_of(const node_seams& seams, std::shared_ptr<const switchboard> board) {
  return {.clock = seams.clock,
          .board = std::move(board),
          .log = seams.log,
          .trace = seams.trace,
          .thread = seams.thread};
}

link_config link_template(const node_setup& setup, const node_seams& seams,
                          std::shared_ptr<const switchboard> board) {
  link_config config;
  config.self = make_hello({.cluster = setup.shape.name,
                            .configuration = setup.shape.hash(),
                            .configuration_text = setup.shape.describe(),
                            .node = setup.self,
                            .life = setup.life,
                            .disk = setup.disk,
                            .name = setup.name,
                            .region = setup.region});
  config.frames = setup.frames;
  config.clock = seams.clock;
  config.wires = seams.wires;
  config.board = std::move(board);
  config.log = seams.log;
  config.thread = seams.thread;
  return config;
}

lock_manager_config lock_manager_of(const node_setup& setup, const actor_context& context, shard_id shard,
                                    std::vector<node_id> replicas) {
  home_options options;
  options.self = setup.self;
  options.life = setup.life;
  options.shard = shard;
  options.replicas = std::move(replicas);
  options.lease = setup.shape.lease;
  options.drift_ppm = setup.shape.drift_ppm;
  options.stagger = std::max(milliseconds{20}, setup.shape.lease / 3);
  options.retransmit = std::max(milliseconds{20}, setup.shape.lease / 4);
  options.bytes_max = std::max<std::size_t>(setup.home_bytes_max / setup.shape.shards, 4096);
  options.key_queue_max = limits::key_queue_max;
  options.shard_queue_max = limits::shard_queue_max;
  options.combine_max = limits::combine_max;
  options.settled_kept = limits::settled_kept;
  options.collection = setup.collection;
  options.trace = static_cast<bool>(context.trace);
  return {context, std::move(options)};
}

memory_layer_config memory_layer_of(const node_setup& setup, actor_context context,
                                    std::vector<std::vector<node_id>> replica_sets) {
  auto evicted = std::make_shared<eviction_list>();
  memory_table::options table;
  table.bytes_max = setup.memory_bytes_max;
  table.evicted = [evicted](std::string_view key) { evicted->keys.emplace_back(key); };
  memory_layer_config config;
  config.context = std::move(context);
  config.table = std::make_shared<memory_table>(table);
  config.bytes_max = setup.memory_bytes_max;
  config.evicted = std::move(evicted);
  config.options.self = setup.self;
  config.options.life = setup.life;
  config.options.lease = setup.shape.lease;
  config.options.drift_ppm = setup.shape.drift_ppm;
  // A lease is several round trips long, and so is what a home far away may take.
  config.options.patience = std::max(config.options.patience, setup.shape.lease / 2);
  config.replica_sets = std::move(replica_sets);
  return config;
}

/// Unlike that of any other start of this node, whatever becomes of its disk; and the same in every run of a seed.
std::uint64_t nonce_of(const node_setup& setup) {
  constexpr std::uint64_t odd = 0x9E37'79B9'7F4A'7C15U; // so that no two starts on one disk have the same product
  return std::max<std::uint64_t>(setup.disk ^ (setup.life.value * odd), 1);
}

/// Spreads: what differs in one bit differs in half of them.
constexpr std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ x >> 30) * 0xBF58'476D'1CE4'E5B9U;
  x = (x ^ x >> 27) * 0x94D0'49BB'1331'11EBU;
  return x ^ x >> 31;
}

/// Of the ids that managers of the weaker levels make up: three of them, unlike any session's, the nonce, and those
/// of other starts and nodes. A write that began again would else be taken for another's.
std::uint64_t restarts_of(const node_setup& setup) { return mixed(mixed(nonce_of(setup)) + setup.self.value); }

view_keeper_config view_keeper_of(const node_setup& setup, const actor_context& context, session_actor record) {
  view_keeper_config config;
  config.context = context;
  config.options.self = setup.self;
  for (const auto& m : setup.shape.members)
    config.options.members.push_back(m.id);
  config.options.nonce = nonce_of(setup);
  config.record = std::move(record);
  return config;
}

std::vector<caf::actor> all_of(const switchboard& board) {
  std::vector<caf::actor> all;
  auto add = [&](const auto& handle) {
    if (handle) all.push_back(caf::actor_cast<caf::actor>(handle));
  };
  add(board.door);
  for (const auto& [peer, link] : board.links)
    add(link);
  add(board.strong_manager);
  add(board.memory_layer);
  for (const auto& manager : board.lock_managers)
    add(manager);
  add(board.view_keeper);
  for (auto& actor : stream_actors(board))
    all.push_back(std::move(actor));
  add(board.view_record);
  add(board.timekeeper);
  add(board.replica);
  add(board.membership);
  add(board.monitor);
  add(board.explainer);
  return all;
}

void kill(const switchboard& board) {
  for (const auto& a : all_of(board))
    caf::anon_send_exit(a, caf::exit_reason::kill);
}

} // namespace

node::node(caf::actor_system& system, node_setup setup, node_seams seams)
    : system_{system},
      setup_{std::move(setup)},
      seams_{std::move(seams)},
      board_{std::make_shared<switchboard>()},
      store_failed_{std::make_shared<std::atomic<bool>>(false)},
      died_{std::make_shared<std::atomic<bool>>(false)} {
  const auto context = context_of(seams_, board_);
  const bool member = !is_client(setup_.self);
  board_->self = setup_.self;

  membership_options who{.shape = setup_.shape, .self = setup_.self, .remembered_disks = {}};
  if (seams_.store != nullptr) {
    const auto identity = seams_.store->identity();
    for (const auto& peer : identity.peers())
      who.remembered_disks[{peer.node()}] = peer.disk();
  }
  board_->membership = spawn_membership(system_, {context, seams_.store, std::move(who)});

  requests_options calls{.self = setup_.self, .replica_sets = {}, .operations_max = limits::operations_max};
  for (std::uint32_t s = 0; s < setup_.shape.shards; ++s)
    calls.replica_sets.push_back(replica_set(setup_.shape, {s}));
  if (member) {
    board_->replica = spawn_replica(system_, {.context = context,
                                              .store = seams_.store,
                                              .options = {.self = setup_.self,
                                                          .shards = setup_.shape.shards,
                                                          .index_max = limits::replica_index_max,
                                                          .loads_max = limits::replica_loads_max},
                                              .store_failed = [flag = store_failed_, tell = seams_.store_failed] {
                                                *flag = true;
                                                if (tell) tell();
                                              }});
    board_->timekeeper = spawn_timekeeper(system_, context);
    board_->lock_managers.resize(setup_.shape.shards);
    for (std::uint32_t s = 0; s < setup_.shape.shards; ++s) {
      const auto& set = calls.replica_sets[s];
      if (std::find(set.begin(), set.end(), setup_.self) == set.end()) continue;
      board_->lock_managers[s] = spawn_lock_manager(system_, lock_manager_of(setup_, context, {s}, set));
    }
  }
  if (setup_.unpromised) {
    memory_ = setup_.unpromised;
    if (seams_.log) seams_.log->warn("node.no_promise why=\"reads of this node may be stale: a measurement\"");
  } else if (setup_.memory_bytes_max > 0) {
    auto layer = memory_layer_of(setup_, context, calls.replica_sets);
    memory_ = layer.table;
    board_->memory_layer = spawn_memory_layer(system_, std::move(layer));
  }
  board_->strong_manager = spawn_strong_manager(system_, {context, std::move(calls)});

  if (has_weaker_types(setup_.shape)) spawn_weaker_levels(context);

  auto links = link_template(setup_, seams_, board_);
  door_config door{.links = links, .self = setup_.self};
  for (const auto& m : setup_.shape.members) {
    if (m.id == setup_.self) continue;
    auto config = links;
    config.peer = m.id;
    config.peer_name = m.name;
    config.dials = dials(setup_.self, m.id);
    for (const auto& d : setup_.delays)
      if (d.peer == m.id) {
        config.delay = d.one_way;
        door.region_delays[m.region] = d.one_way;
      }
    board_->links.emplace(m.id, spawn_link(system_, std::move(config)));
  }
  if (member) {
    board_->door = spawn_door(system_, std::move(door));
    try {
      seams_.wires->listen(board_->door);
    } catch (...) {
      kill_all();
      throw;
    }
  }

  board_->monitor = spawn_monitor(
      system_,
      {.context = context, .options = setup_.alerts, .listeners = seams_.alert_listeners, .tallies = seams_.tallies});

  board_->explainer = spawn_explainer(system_, {.context = context,
                                                .shape = setup_.shape,
                                                .store = seams_.store,
                                                .memory = setup_.unpromised ? nullptr : memory_,
                                                .copies = copies_});

  // The switchboard is complete: from here on it is only read.
  die_together();
  caf::anon_send(board_->membership, start_atom::value);
  caf::anon_send(board_->monitor, start_atom::value);
  for (const auto& manager : board_->lock_managers)
    if (manager) caf::anon_send(manager, start_atom::value);
  if (board_->view_keeper) caf::anon_send(board_->view_keeper, start_atom::value);
  start_streams(*board_);
  for (const auto& [peer, link] : board_->links)
    caf::anon_send(link, tick_atom::value);
}

void node::spawn_weaker_levels(const actor_context& context) {
  stream_parts parts{.setup = setup_, .context = context, .store = seams_.store};
  for (std::uint32_t s = 0; s < setup_.shape.shards; ++s)
    parts.replica_sets.push_back(replica_set(setup_.shape, {s}));
  parts.restarts = session_id{restarts_of(setup_)};
  if (is_client(setup_.self)) return spawn_streams(system_, parts, *board_);
  if (setup_.memory_bytes_max > 0 && !setup_.unpromised)
    copies_ = {std::make_shared<weak_table>(setup_.memory_bytes_max), std::make_shared<weak_pictures>()};
  parts.copies = copies_;
  parts.store_failed = [flag = store_failed_, tell = seams_.store_failed] {
    *flag = true;
    if (tell) tell();
  };
  spawn_streams(system_, parts, *board_);
  board_->view_record = spawn_session(system_, {.context = context,
                                                .id = session_id{nonce_of(setup_)},
                                                .shape = register_shape(setup_.shape),
                                                .memory = nullptr,
                                                .open_max = 1,
                                                .by_home = true});
  auto keeper = view_keeper_of(setup_, context, board_->view_record);
  keeper.listeners.push_back(stream_listener(board_));
  board_->view_keeper = spawn_view_keeper(system_, std::move(keeper));
}

node::~node() { kill_all(); }

void node::kill_all() const { kill(*board_); }

/// An actor that ends of itself, by an exception, takes the node along.
///
/// Why: what it knew is lost, and the others would wait for it for ever. Together they are a crash, which the
/// protocol stands, and of which every caller is told.
void node::die_together() {
  for (const auto& each : all_actors()) {
    auto* const actor = caf::actor_cast<caf::abstract_actor*>(each);
    actor->attach_functor([board = board_, died = died_, log = seams_.log, who = actor->id()](const caf::error& why) {
      if (why == caf::exit_reason::kill || died->exchange(true)) return;
      if (log) log->critical("node.actor_died actor={} why={:?}", who, caf::to_string(why));
      kill(*board);
    });
  }
}

session_actor node::open_session(session_id id) {
  return spawn_session(system_, {.context = context_of(seams_, board_),
                                 .id = id,
                                 .shape = setup_.shape,
                                 .memory = memory_,
                                 .open_max = limits::session_operations_max});
}

std::vector<caf::actor> node::all_actors() const { return all_of(*board_); }

} // namespace troupe
