#include "runtime/faces/node_metrics.hpp"

#include "runtime/faces/metric_family.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace troupe {

namespace {

using metrics::counter;
using metrics::gauge;
using prometheus::MetricFamily;

void add_homes(const node_status& status, std::vector<MetricFamily>& families) {
  std::uint64_t leading = 0, claiming = 0, keys = 0, queued = 0, undecided = 0, in_doubt = 0, committed = 0,
                collected = 0, dropped = 0, held = 0, waiting = 0, holders = 0, read_locks = 0, read_lock_bytes = 0,
                recalls = 0;
  auto lease_left = nanoseconds::max();
  for (const auto& shard : status.homes) {
    claiming += shard.claiming ? 1 : 0;
    queued += shard.queued;
    undecided += shard.undecided;
    in_doubt += shard.in_doubt;
    committed += shard.committed;
    collected += shard.collected;
    dropped += shard.dropped;
    holders += shard.holders;
    read_locks += shard.read_locks;
    read_lock_bytes += shard.read_lock_bytes;
    recalls += shard.recalls;
    for (const auto& lock : shard.locks) {
      held +=
          std::any_of(lock.owners.begin(), lock.owners.end(), [](const auto& o) { return o.remaining.count() > 0; });
      waiting += lock.waiting;
    }
    if (!shard.leading) continue;
    ++leading;
    keys += shard.keys;
    lease_left = std::min(lease_left, std::max(shard.lease_until - status.at, nanoseconds{0}));
  }
  families.push_back(gauge("homes_leading", "Shards that this node is home of").add(leading).take());
  families.push_back(gauge("homes_claiming", "Shards that this node is claiming").add(claiming).take());
  families.push_back(gauge("home_keys", "Keys in the memory of this node's homes").add(keys).take());
  families.push_back(gauge("home_queued_operations", "Operations that wait for their key").add(queued).take());
  families.push_back(gauge("home_undecided_writes", "Writes that wait for a majority").add(undecided).take());
  families.push_back(
      gauge("home_in_doubt_keys", "Keys whose last write no majority has answered").add(in_doubt).take());
  families.push_back(counter("home_committed_total", "Writes committed by this node's homes").add(committed).take());
  families.push_back(
      counter("home_collected_total", "Tombstones that this node's homes had erased").add(collected).take());
  families.push_back(
      counter("home_dropped_messages_total", "Messages about read locks given here that were malformed")
          .add(dropped)
          .take());
  families.push_back(
      gauge("home_holders", "Leases that this node's homes have given to nodes that read from memory, and that run")
          .add(holders)
          .take());
  families.push_back(gauge("home_read_locks", "Read locks under these leases").add(read_locks).take());
  families.push_back(gauge("home_read_lock_bytes", "What they take here").add(read_lock_bytes).take());
  families.push_back(
      gauge("home_recalls", "Writes under way of keys that somebody may read from memory").add(recalls).take());
  families.push_back(
      gauge("named_locks_held", "Named locks that somebody has, at most 100 of each shard that this node is home of")
          .add(held)
          .take());
  families.push_back(gauge("named_lock_waiters", "Who waits for these locks").add(waiting).take());
  if (leading > 0)
    families.push_back(gauge("home_lease_left_seconds", "What is left of the shortest lease held")
                           .add(std::chrono::duration<double>(lease_left).count())
                           .take());
}

void add_links(const node_status& status, std::vector<MetricFamily>& families) {
  auto up = gauge("link_up", "1 = the peer can be talked to");
  auto round_trip = gauge("link_round_trip_seconds", "Last measured round trip");
  auto queued = gauge("link_queued_messages", "Messages that wait for credit");
  auto queued_bytes = gauge("link_queued_bytes", "Their size");
  auto sent = counter("link_frames_sent_total", "Frames sent to the peer");
  auto received = counter("link_frames_received_total", "Frames received from the peer");
  auto refused = counter("link_frames_refused_total", "Frames that were no frames of this protocol");
  auto refusals =
      counter("link_hellos_refused_total", "Times that the peer, or this node, refused to talk to the other");
  auto connections = counter("link_connections_total", "Connections made with the peer");
  auto dropped = counter("link_dropped_messages_total", "Messages dropped: the peer was down, or its queue full");
  for (const auto& link : status.links) {
    const std::vector<prometheus::ClientMetric::Label> peer{{"peer", link.name}};
    up.add(link.up ? 1 : 0, peer);
    round_trip.add(static_cast<double>(link.round_trip_us) * 1e-6, peer);
    queued.add(link.queued_messages, peer);
    queued_bytes.add(link.queued_bytes, peer);
    sent.add(link.frames_sent, peer);
    received.add(link.frames_received, peer);
    refused.add(link.frames_refused, peer);
    refusals.add(link.refusals, peer);
    connections.add(link.connections, peer);
    dropped.add(link.dropped_messages, peer);
  }
  for (auto* one :
       {&up, &round_trip, &queued, &queued_bytes, &sent, &received, &refused, &refusals, &connections, &dropped})
    families.push_back(one->take());
}

void add_door(const door_status& door, std::vector<MetricFamily>& families) {
  families.push_back(gauge("door_clients", "Client nodes that are connected").add(door.clients).take());
  families.push_back(counter("door_hellos_admitted_total", "Connections that peers and clients were let in with")
                         .add(door.admitted)
                         .take());
  families.push_back(counter("door_hellos_refused_total", "Hellos that this node refused").add(door.refused).take());
  families.push_back(counter("door_dropped_total", "What was no hello, and messages to clients that are gone")
                         .add(door.dropped)
                         .take());
}

void add_memory(const memory_status& memory, std::vector<MetricFamily>& families) {
  families.push_back(
      counter("memory_hits_total", "Strong reads answered from this node's memory").add(memory.hits).take());
  families.push_back(
      counter("memory_misses_total", "Looks into this node's memory that found no answer").add(memory.misses).take());
  families.push_back(
      counter("memory_evictions_total", "Copies put out for want of room").add(memory.evictions).take());
  families.push_back(
      counter("memory_dropped_messages_total", "Messages about read locks held here that were malformed")
          .add(memory.dropped)
          .take());
  families.push_back(gauge("memory_entries", "Copies in this node's memory").add(memory.entries).take());
  families.push_back(gauge("memory_bytes", "What they take").add(memory.bytes).take());
  families.push_back(gauge("memory_leases", "Shards of which this node holds read locks").add(memory.leases).take());
  families.push_back(gauge("memory_waiting_reads", "Reads that wait for a read lock").add(memory.waiting).take());
}

void add_replica(const replica_status& replica, std::vector<MetricFamily>& families) {
  families.push_back(gauge("replica_tombstones", "Records of removed keys that this node knows it keeps")
                         .add(replica.tombstones)
                         .take());
  families.push_back(counter("replica_collected_total", "Records of removed keys that this node has erased")
                         .add(replica.collected)
                         .take());
}

void add_monitor(const monitor_status& monitor, std::vector<MetricFamily>& families) {
  auto found = counter("violations_total", "What broke a promise (served), or would have (prevented)");
  for (const auto& [of, count] : monitor.found)
    found.add(count, {{"kind", std::string{name_of(of.kind)}},
                      {"end", std::string{name_of(of.end)}},
                      {"type", of.type},
                      {"level", std::string{name_of(of.given)}}});
  auto conflicts = counter("conflicts_total", "Concurrent values of one key that met here");
  for (const auto& [type, count] : monitor.conflicts)
    conflicts.add(count, {{"type", type}});
  auto repairs = counter("repairs_total", "Records that were damaged or missing here, and are whole again");
  for (const auto& [type, count] : monitor.repairs)
    repairs.add(count, {{"type", type}});
  for (auto* one : {&found, &conflicts, &repairs})
    families.push_back(one->take());
  families.push_back(gauge("alerts_active", "Alerts that are not over").add(monitor.alerts_active).take());
  families.push_back(
      counter("alert_notices_total", "Alerts raised, repeated and resolved").add(monitor.notices).take());
}

void add_view(const view_status& known, std::vector<MetricFamily>& families) {
  const auto out = std::count_if(known.now.nodes.begin(), known.now.nodes.end(),
                                 [](const auto& member) { return member.second.out; });
  families.push_back(
      gauge("view_number", "Number of the newest view that this node knows").add(known.now.number).take());
  families.push_back(gauge("view_out", "Members that no frontier counts, in that view").add(out).take());
  families.push_back(gauge("view_life", "This start's life in it; 0 = it has none yet").add(known.life).take());
}

void add_store(const store_driver::counters& store, std::vector<MetricFamily>& families) {
  families.push_back(counter("store_syncs_total", "Times the store waited for the disk").add(store.syncs).take());
  families.push_back(
      counter("store_records_written_total", "Records and promises written").add(store.records_written).take());
  families.push_back(counter("store_records_erased_total", "Records erased").add(store.records_erased).take());
  families.push_back(counter("store_bytes_written_total", "Their size").add(store.bytes_written).take());
  families.push_back(counter("store_loads_total", "Records read").add(store.loads).take());
  families.push_back(
      counter("store_damaged_found_total", "Records whose checksum was wrong").add(store.damaged_found).take());
  families.push_back(gauge("store_queue_depth", "Writes that wait for a sync").add(store.queue_depth).take());
}

} // namespace

std::vector<MetricFamily> metrics_of(const node_setup& setup, const node_status& status, const store_driver* store) {
  std::vector<MetricFamily> families;
  families.push_back(gauge("node_info", "Always 1; the labels say who this is")
                         .add(1, {{"node", setup.name},
                                  {"region", setup.region},
                                  {"cluster", setup.shape.name},
                                  {"incarnation", std::to_string(setup.life.value)}})
                         .take());
  families.push_back(
      gauge("node_ready", "1 = every placement is served").add(obstacle(setup, status) ? 0 : 1).take());
  add_homes(status, families);
  add_links(status, families);
  if (status.door) add_door(*status.door, families);
  if (status.memory) add_memory(*status.memory, families);
  if (status.replica) add_replica(*status.replica, families);
  if (status.monitor) add_monitor(*status.monitor, families);
  if (status.view) add_view(*status.view, families);
  if (status.streams)
    for (auto& streams : metrics_of(*status.streams, setup.shape))
      families.push_back(std::move(streams));
  if (store != nullptr) {
    families.push_back(
        gauge("store_failed", "1 = the store refuses writes for good").add(status.store_failed ? 1 : 0).take());
    add_store(store->count(), families);
  }
  return families;
}

std::vector<MetricFamily> metrics_of(const audit_counts& audit) {
  std::vector<MetricFamily> families;
  auto windows = counter("audit_windows_total", "Histories that were held against their promise");
  for (const auto p : check::promises) {
    const auto& v = audit.of(p);
    const std::string promise{name_of(p)};
    windows.add(v.proved.load(), {{"level", promise}, {"verdict", "proved"}});
    windows.add(v.refuted.load(), {{"level", promise}, {"verdict", "refuted"}});
    windows.add(v.undecided.load(), {{"level", promise}, {"verdict", "undecided"}});
  }
  families.push_back(windows.take());
  families.push_back(counter("audit_operations_total", "Operations of sampled keys and sessions")
                         .add(audit.operations.load())
                         .take());
  families.push_back(
      counter("audit_dropped_total", "Of these, dropped for want of room").add(audit.dropped.load()).take());
  return families;
}

std::vector<MetricFamily> metrics_of(const alert_webhook::counters& webhook) {
  std::vector<MetricFamily> families;
  auto notices = counter("alert_webhook_total", "What became of notices for the webhook");
  notices.add(webhook.sent, {{"outcome", "sent"}});
  notices.add(webhook.refused, {{"outcome", "refused"}});
  notices.add(webhook.dropped, {{"outcome", "dropped"}});
  families.push_back(notices.take());
  families.push_back(
      counter("alert_webhook_failures_total", "Attempts that will be repeated").add(webhook.failed).take());
  families.push_back(gauge("alert_webhook_waiting", "Notices that wait to be sent").add(webhook.waiting).take());
  return families;
}

} // namespace troupe
