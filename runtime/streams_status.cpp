#include "runtime/streams_status.hpp"

#include "runtime/faces/metric_family.hpp"

#include <nlohmann/json.hpp>

#include <numeric>
#include <string>

namespace troupe {

namespace {

constexpr std::array lanes{stream_lane::ordered, stream_lane::free};

std::string node_name(node_id node, const cluster& shape) {
  if (node.value == 0) return {};
  const auto* listed = shape.find(node);
  return listed == nullptr ? to_string(node) : listed->name;
}

std::size_t place(stream_lane lane) { return static_cast<std::size_t>(lane); }

nlohmann::ordered_json by_kind(const std::array<std::uint64_t, stream_violation_kinds>& counts) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (std::size_t kind = 0; kind < counts.size(); ++kind)
    out[std::string{name_of(static_cast<violation>(kind))}] = counts[kind];
  return out;
}

nlohmann::ordered_json to_json(const stream_replica::status& r, const cluster& shape) {
  return {
      {"life", r.life},
      {"ready", r.ready},
      {"reads", r.reads},
      {"writes", r.writes},
      {"waited", r.waited},
      {"duplicates", r.duplicates},
      {"refused", r.refused},
      {"conflicts", r.conflicts},
      {"conflicts_kept", r.conflicts_kept},
      {"conflicts_kept_bytes", r.conflicts_bytes},
      {"conflicts_evicted", r.conflicts_evicted},
      {"damaged", r.damaged},
      {"damaged_keys", r.damaged_keys},
      {"repaired", r.repaired},
      {"copied", r.copied},
      {"copying_from", node_name(r.copying_from, shape)},
      {"closed_until_copied", r.closed},
      {"compared", r.compared},
      {"compared_in_vain", r.compared_in_vain},
      {"records_differed", r.differed},
      {"hashes_doubted", r.leaves_doubted},
      {"collected", r.collected},
      {"keys_in_memory", r.keys},
      {"bytes_in_memory", r.cached_bytes},
      {"cache_hits", r.cache_hits},
      {"cache_misses", r.cache_misses},
      {"updates_hidden", r.staged},
      {"updates_that_lack_causes", r.blocked},
      {"unfolded_bytes", std::accumulate(r.unfolded_bytes.begin(), r.unfolded_bytes.end(), std::size_t{0})},
      {"log_bytes", std::accumulate(r.own_log_bytes.begin(), r.own_log_bytes.end(), std::size_t{0})},
      {"waiting", r.waiting},
      {"visible_delay_us_max", std::chrono::duration_cast<std::chrono::microseconds>(r.visible_delay_max).count()},
      {"violations_prevented", by_kind(r.violations.prevented)},
      {"violations_served", by_kind(r.violations.served)}};
}

nlohmann::ordered_json to_json(const frontier_status& f, const cluster& shape) {
  return {{"ready", f.ready},
          {"received", f.received},
          {"received_free", f.received_free},
          {"region", f.region},
          {"applied", f.applied},
          {"stable", f.stable},
          {"waits", f.waits},
          {"timeouts", f.timeouts},
          {"lost", f.lost},
          {"held_up_by", node_name(f.held_up_by, shape)},
          {"behind", f.behind}};
}

nlohmann::ordered_json to_json(const update_stream_status& s, const cluster& shape) {
  return {{"peer", node_name(s.peer, shape)},
          {"up", s.up},
          {"sent", s.sent},
          {"repeated", s.repeated},
          {"log_reads", s.log_reads},
          {"received", s.received},
          {"gaps", s.gaps},
          {"refused", s.refused},
          {"behind_ordered", s.behind[place(stream_lane::ordered)]},
          {"behind_free", s.behind[place(stream_lane::free)]},
          {"queued_bytes", s.queued_bytes},
          {"cut", s.cut}};
}

nlohmann::ordered_json to_json(const weak_manager_status& m) {
  return {{"level", std::string{name_of(m.which)}},
          {"open", m.open},
          {"done", m.done},
          {"not_done", m.not_done},
          {"unknown", m.unknown},
          {"retries", m.retries},
          {"forwards", m.forwards},
          {"restarts", m.restarts},
          {"waits", m.waits},
          {"waited_us", m.waited_us}};
}

using metrics::counter;
using metrics::gauge;
using families = std::vector<prometheus::MetricFamily>;

void add_managers(const std::vector<weak_manager_status>& managers, families& out) {
  auto operations = counter("weak_operations_total", "Operations that went to a replica, by level and outcome");
  auto open = gauge("weak_operations_open", "Operations of this node's sessions that are not settled, by level");
  auto forwards = counter("weak_forwards_total", "Reads that were asked of another replica, too");
  auto waits = counter("weak_waits_total", "Operations that waited for what they depend on");
  for (const auto& m : managers) {
    const std::string level{name_of(m.which)};
    operations.add(m.done, {{"level", level}, {"outcome", "done"}})
        .add(m.not_done, {{"level", level}, {"outcome", "not_done"}})
        .add(m.unknown, {{"level", level}, {"outcome", "unknown"}});
    open.add(m.open, {{"level", level}});
    forwards.add(m.forwards, {{"level", level}});
    waits.add(m.waits, {{"level", level}});
  }
  out.push_back(operations.take());
  out.push_back(open.take());
  out.push_back(forwards.take());
  out.push_back(waits.take());
}

void add_replica(const stream_replica::status& r, families& out) {
  out.push_back(counter("stream_operations_total", "Operations that reached this node's stream replica")
                    .add(r.reads, {{"kind", "read"}})
                    .add(r.writes, {{"kind", "write"}})
                    .take());
  out.push_back(
      counter("stream_conflicts_total", "Values that lost against a concurrent one").add(r.conflicts).take());
  out.push_back(gauge("conflicts_kept", "Of those, the ones that are listed and can be written again")
                    .add(r.conflicts_kept)
                    .take());
  out.push_back(counter("conflicts_evicted_total", "Values that lost and were forgotten for want of room")
                    .add(r.conflicts_evicted)
                    .take());
  out.push_back(
      counter("stream_records_copied_total", "Records that were taken from other nodes").add(r.copied).take());
  out.push_back(
      counter("stream_records_repaired_total", "Of those, such that were damaged here").add(r.repaired).take());
  out.push_back(counter("stream_compared_total", "Comparisons of a shard's records with another replica's")
                    .add(r.compared, {{"outcome", "done"}})
                    .add(r.compared_in_vain, {{"outcome", "not_done"}})
                    .take());
  out.push_back(counter("stream_records_differed_total",
                        "Records that lacked what another replica had, though nothing was on its way")
                    .add(r.differed)
                    .take());
  out.push_back(gauge("stream_records_damaged", "Records that are damaged here now").add(r.damaged_keys).take());
  out.push_back(gauge("stream_closed", "1 while causal and session types are left to other replicas, since what was "
                                       "copied from them is not whole yet")
                    .add(r.closed ? 1 : 0)
                    .take());
  out.push_back(gauge("stream_updates_hidden", "Updates that are here and not visible yet").add(r.staged).take());
  out.push_back(gauge("stream_updates_blocked", "Of these, those that lack a cause").add(r.blocked).take());
  auto unfolded = gauge("stream_unfolded_bytes", "Updates that are in no record yet, by lane");
  auto log = gauge("stream_log_bytes", "This node's updates that some peer has not acknowledged, by lane");
  for (const auto lane : lanes) {
    unfolded.add(r.unfolded_bytes[place(lane)], {{"lane", std::string{name_of(lane)}}});
    log.add(r.own_log_bytes[place(lane)], {{"lane", std::string{name_of(lane)}}});
  }
  out.push_back(unfolded.take());
  out.push_back(log.take());
  auto violations = counter("stream_violations_total", "Promises of weaker levels that were nearly broken, or were");
  for (std::size_t kind = 0; kind < stream_violation_kinds; ++kind) {
    const std::string name{name_of(static_cast<violation>(kind))};
    violations.add(r.violations.prevented[kind], {{"kind", name}, {"end", "prevented"}})
        .add(r.violations.served[kind], {{"kind", name}, {"end", "served"}});
  }
  out.push_back(violations.take());
}

void add_peers(const std::vector<update_stream_status>& peers, const cluster& shape, families& out) {
  auto behind = gauge("stream_behind", "Numbers of this node's updates that a peer has not acknowledged, by lane");
  auto sent = counter("stream_sent_total", "Updates sent to a peer, repetitions included");
  auto received = counter("stream_received_total", "Updates taken from a peer");
  for (const auto& peer : peers) {
    const auto name = node_name(peer.peer, shape);
    for (const auto lane : lanes)
      behind.add(peer.behind[place(lane)], {{"peer", name}, {"lane", std::string{name_of(lane)}}});
    sent.add(peer.sent, {{"peer", name}});
    received.add(peer.received, {{"peer", name}});
  }
  out.push_back(behind.take());
  out.push_back(sent.take());
  out.push_back(received.take());
}

} // namespace

nlohmann::ordered_json to_json(const streams_status& status, const cluster& shape) {
  nlohmann::ordered_json out{{"managers", nlohmann::ordered_json::array()}};
  for (const auto& manager : status.managers)
    out["managers"].push_back(to_json(manager));
  if (!status.replica) return out;
  out["replica"] = to_json(*status.replica, shape);
  if (status.frontier) out["frontier"] = to_json(*status.frontier, shape);
  out["peers"] = nlohmann::ordered_json::array();
  for (const auto& peer : status.peers)
    out["peers"].push_back(to_json(peer, shape));
  return out;
}

families metrics_of(const streams_status& status, const cluster& shape) {
  families out;
  add_managers(status.managers, out);
  if (status.replica) add_replica(*status.replica, out);
  if (status.frontier) {
    out.push_back(
        gauge("frontier_waits", "Operations that wait for what they depend on").add(status.frontier->waits).take());
    out.push_back(counter("frontier_failed_total", "Waits that were in vain, by reason")
                      .add(status.frontier->timeouts, {{"reason", "timeout"}})
                      .add(status.frontier->lost, {{"reason", "lost_update"}})
                      .take());
    out.push_back(gauge("frontier_behind", "Numbers by which the node that holds up this region is behind")
                      .add(status.frontier->behind)
                      .take());
  }
  add_peers(status.peers, shape, out);
  return out;
}

} // namespace troupe
