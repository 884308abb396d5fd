#include "runtime/status.hpp"

#include <caf/scoped_actor.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace troupe {

namespace {

/// Asks all, then collects: the wait is that of the slowest, and bounded once for all of them.
template <class Status, class Handles>
std::vector<Status> ask_all(caf::scoped_actor& self, const Handles& handles, instant until, const node_clock& clock) {
  using pending = decltype(self->request(*handles.begin(), caf::infinite, status_atom::value));
  const auto patience = std::chrono::duration_cast<std::chrono::microseconds>(clock.until(until));
  std::vector<pending> questions;
  questions.reserve(handles.size());
  for (const auto& handle : handles)
    questions.push_back(self->request(handle, patience, status_atom::value));
  std::vector<Status> answers;
  answers.reserve(handles.size());
  for (auto& question : questions)
    question.receive([&](Status& s) { answers.push_back(std::move(s)); }, [](caf::error&) {});
  return answers;
}

/// Of the lease, what a renewal's round trip may take: renewals go out every quarter of it (PROTOCOLS §3.1).
nanoseconds round_trip_allowed(const cluster& shape) { return shape.lease / 4; }

bool usable(const link_status& link, const cluster& shape) {
  return link.up && std::chrono::microseconds{link.round_trip_us} < round_trip_allowed(shape);
}

bool home_known(const home_status& home, const node_setup& setup, instant at) {
  if (home.leading) return home.lease_until > at;
  return home.home.value != 0 && home.home != setup.self;
}

nlohmann::ordered_json to_json(const link_status& link) {
  return {{"peer", link.peer.value},
          {"name", link.name},
          {"up", link.up},
          {"round_trip_us", link.round_trip_us},
          {"round_trip_us_max", link.round_trip_us_max},
          {"queued_messages", link.queued_messages},
          {"queued_bytes", link.queued_bytes},
          {"frames_sent", link.frames_sent},
          {"frames_received", link.frames_received},
          {"frames_refused", link.frames_refused},
          {"connections", link.connections},
          {"dropped_messages", link.dropped_messages},
          {"refusals", link.refusals},
          {"last_refusal", link.last_refusal}};
}

nlohmann::ordered_json to_json(const home_status& home, const cluster& shape, instant at) {
  const auto* leader = shape.find(home.home);
  const auto ends = std::max(home.lease_until, at); // a home that leads nothing has no lease, which ended long ago
  const auto left = std::chrono::duration_cast<milliseconds>(ends - at);
  return {{"shard", home.shard.value},
          {"home", leader == nullptr ? "" : leader->name},
          {"epoch", home.era ? to_string(home.era) : ""},
          {"leading", home.leading},
          {"claiming", home.claiming},
          {"lease_left_ms", home.leading ? left.count() : 0},
          {"keys", home.keys},
          {"queued", home.queued},
          {"undecided", home.undecided},
          {"in_doubt", home.in_doubt},
          {"committed", home.committed},
          {"collected", home.collected},
          {"dropped_messages", home.dropped},
          {"holders", home.holders},
          {"read_locks", home.read_locks},
          {"read_lock_bytes", home.read_lock_bytes},
          {"recalls", home.recalls}};
}

nlohmann::ordered_json to_json(const view_status& known, const cluster& shape) {
  nlohmann::ordered_json out{{"number", known.now.number}, {"life", known.life}};
  out["nodes"] = nlohmann::ordered_json::array();
  for (const auto& [node, standing] : known.now.nodes) {
    const auto* listed = shape.find(node);
    out["nodes"].push_back({{"name", listed == nullptr ? to_string(node) : listed->name},
                            {"life", standing.life},
                            {"out", standing.out}});
  }
  return out;
}

nlohmann::ordered_json to_json(const lock_view& lock, shard_id shard) {
  nlohmann::ordered_json out{{"lock", lock.key}, {"shard", shard.value}};
  out["owners"] = nlohmann::ordered_json::array();
  for (const auto& owner : lock.owners)
    out["owners"].push_back(
        {{"owner", owner.owner},
         {"shared", owner.shared},
         {"remaining_ms", std::chrono::ceil<milliseconds>(std::max(owner.remaining, nanoseconds{0})).count()}});
  out["waiting"] = lock.waiting;
  return out;
}

streams_status ask_streams(caf::scoped_actor& self, const switchboard& board, instant until,
                           const node_clock& clock) {
  streams_status out;
  std::vector<weak_manager_actor> managers;
  for (const auto& manager : {board.eventual_manager, board.session_manager, board.causal_manager})
    if (manager) managers.push_back(manager);
  std::vector<update_stream_actor> streams;
  for (const auto& [peer, stream] : board.update_streams)
    streams.push_back(stream);
  out.managers = ask_all<weak_manager_status>(self, managers, until, clock);
  if (board.stream_replica)
    for (auto& replica : ask_all<stream_replica::status>(self, std::vector{board.stream_replica}, until, clock))
      out.replica = std::move(replica);
  if (board.frontier)
    for (auto& frontier : ask_all<frontier_status>(self, std::vector{board.frontier}, until, clock))
      out.frontier = std::move(frontier);
  out.peers = ask_all<update_stream_status>(self, streams, until, clock);
  return out;
}

} // namespace

node_status ask_status(caf::actor_system& system, const node& actors, const node_clock& clock, nanoseconds at_most) {
  node_status status;
  const auto until = clock.now() + at_most;
  const auto& board = actors.actors();
  std::vector<link_actor> links;
  for (const auto& [peer, link] : board.links)
    links.push_back(link);
  std::vector<lock_manager_actor> managers;
  for (const auto& manager : board.lock_managers)
    if (manager) managers.push_back(manager);
  status.shards = managers.size();
  caf::scoped_actor self{system};
  status.links = ask_all<link_status>(self, links, until, clock);
  status.homes = ask_all<home_status>(self, managers, until, clock);
  if (board.door)
    for (auto& door : ask_all<door_status>(self, std::vector{board.door}, until, clock))
      status.door = std::move(door);
  if (board.memory_layer)
    for (const auto& memory : ask_all<memory_status>(self, std::vector{board.memory_layer}, until, clock))
      status.memory = memory;
  if (board.replica)
    for (const auto& replica : ask_all<replica_status>(self, std::vector{board.replica}, until, clock))
      status.replica = replica;
  if (board.monitor)
    for (auto& monitor : ask_all<monitor_status>(self, std::vector{board.monitor}, until, clock))
      status.monitor = std::move(monitor);
  if (board.view_keeper)
    for (auto& view : ask_all<view_status>(self, std::vector{board.view_keeper}, until, clock))
      status.view = std::move(view);
  if (board.eventual_manager) status.streams = ask_streams(self, board, until, clock);
  status.store_failed = actors.store_failed();
  status.died = actors.died();
  status.at = clock.now();
  return status;
}

std::optional<std::string> obstacle(const node_setup& setup, const node_status& status) {
  if (status.store_failed) return "the store refuses writes; why is in the log: store.failed";
  if (status.died) return "an actor has died, and the node with it; why is in the log: node.actor_died";
  const auto& shape = setup.shape;
  const auto reachable = static_cast<std::size_t>(std::count_if(
      status.links.begin(), status.links.end(), [&](const link_status& l) { return usable(l, shape); }));
  const auto here = reachable + (is_client(setup.self) ? 0U : 1U);
  // Of any replica set, all but a minority: the members that are missing may all belong to one set.
  const auto needed = shape.members.size() - (shape.replicas - 1) / 2;
  if (here < needed) {
    auto why = "linked to " + std::to_string(here) + " of the " + std::to_string(needed) + " members that it needs:";
    for (const auto& link : status.links) {
      if (usable(link, shape)) continue;
      why += " " + link.name;
      if (link.up)
        why += " (round trip of " + std::to_string(link.round_trip_us) + " us, too long for a lease of "
               + std::to_string(shape.lease.count()) + " ms)";
      else
        why += link.last_refusal.empty() ? " (down)" : " (refused: " + link.last_refusal + ")";
    }
    return why;
  }
  if (is_client(setup.self)) return std::nullopt;
  const auto served =
      static_cast<std::size_t>(std::count_if(status.homes.begin(), status.homes.end(),
                                             [&](const home_status& h) { return home_known(h, setup, status.at); }));
  if (served == status.shards) {
    if (status.view && status.view->life == 0) return "this start has no life from the view yet";
    return std::nullopt;
  }
  return "a home is known for " + std::to_string(served) + " of " + std::to_string(status.shards) + " shards";
}

std::string to_json(const node_setup& setup, const node_status& status, const store_driver* store) {
  const auto why = obstacle(setup, status);
  nlohmann::ordered_json out{{"node", setup.name},          {"id", setup.self.value},
                             {"region", setup.region},      {"incarnation", setup.life.value},
                             {"cluster", setup.shape.name}, {"configuration", setup.shape.describe()},
                             {"ready", !why.has_value()},   {"not_ready_because", why.value_or("")}};
  if (setup.unpromised) out["promise"] = "off";
  out["links"] = nlohmann::ordered_json::array();
  for (const auto& link : status.links)
    out["links"].push_back(to_json(link));
  if (status.door)
    out["door"] = {{"clients", status.door->clients},
                   {"admitted", status.door->admitted},
                   {"refused", status.door->refused},
                   {"dropped", status.door->dropped},
                   {"last_refusal", status.door->last_refusal}};
  out["shards"] = nlohmann::ordered_json::array();
  for (const auto& home : status.homes)
    out["shards"].push_back(to_json(home, setup.shape, status.at));
  out["locks"] = nlohmann::ordered_json::array();
  for (const auto& home : status.homes)
    for (const auto& lock : home.locks)
      out["locks"].push_back(to_json(lock, home.shard));
  if (status.memory) {
    const auto& m = *status.memory;
    out["memory"] = {{"hits", m.hits},     {"misses", m.misses},       {"entries", m.entries},
                     {"bytes", m.bytes},   {"bytes_max", m.bytes_max}, {"evictions", m.evictions},
                     {"leases", m.leases}, {"waiting", m.waiting},     {"dropped_messages", m.dropped}};
  }
  if (status.replica)
    out["replica"] = {{"tombstones", status.replica->tombstones}, {"collected", status.replica->collected}};
  if (status.monitor) {
    std::uint64_t prevented = 0, served = 0;
    for (const auto& [of, count] : status.monitor->found)
      (of.end == violation_end::served ? served : prevented) += count;
    out["monitor"] = {{"violations_prevented", prevented},
                      {"violations_served", served},
                      {"alerts_active", status.monitor->alerts_active}};
  }
  if (status.view) out["view"] = to_json(*status.view, setup.shape);
  if (status.streams) out["streams"] = to_json(*status.streams, setup.shape);
  if (store != nullptr) {
    const auto c = store->count();
    out["store"] = {{"failed", status.store_failed},        {"syncs", c.syncs},
                    {"records_written", c.records_written}, {"records_erased", c.records_erased},
                    {"bytes_written", c.bytes_written},     {"loads", c.loads},
                    {"damaged_found", c.damaged_found},     {"queue_depth", c.queue_depth}};
  }
  return out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

} // namespace troupe
