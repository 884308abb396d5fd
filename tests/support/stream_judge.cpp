// What the lossy shipper of the update streams compares with its own record.
#include "tests/support/stream_shipper.hpp"

#include <algorithm>

namespace troupe::shipping {

namespace {

constexpr stream_lane lanes[] = {stream_lane::ordered, stream_lane::free};
constexpr std::size_t largest = 2'200; ///< update that is written

} // namespace

/// Exactly what is meant for the node, in order, from where it was; and all of it is on its origin's disk.
void stream_run::judge_accept(machine& m, const inbound::accept& a) {
  const sequence s{a.lane, a.from};
  const auto who = to_string(m.id) + " accepts " + text(s);
  const auto& log = truth_[s];
  auto& taken = m.taken[s];
  must(a.upto <= log.size(), who + " up to " + std::to_string(a.upto) + ", durable is " + std::to_string(log.size()));
  must(a.upto >= taken, who + " backwards");
  auto next = a.updates.begin();
  for (auto seq = taken + 1; seq <= a.upto; ++seq) {
    if (!m.stored[log[seq - 1]->shard()]) continue;
    must(next != a.updates.end() && (*next)->seq() == seq, who + " without " + std::to_string(seq));
    must((*next)->SerializeAsString() == log[seq - 1]->SerializeAsString(), who + " changed");
    ++next;
  }
  must(next == a.updates.end(), who + " what it has, or what is not meant for it");
  for (auto seq = a.upto; seq < log.size(); ++seq)
    must(log[seq]->clock() > a.clock, who + ": its clock is above a later update");
  if (a.ended) must(dead_.contains(a.from) && a.upto == log.size(), who + " to an end that is none");
  taken = a.upto;
}

void stream_run::judge_frontier(machine& m) {
  const auto& f = *m.front;
  for (const auto& e : f.received().entries())
    must((m.has[{stream_lane::ordered, e.from}] >= e.seq), "C1: received is above what is durable");
  must(f.received().contains(f.applied()), "C1: applied is above received");
  // What nobody in the region has concluded before must be on the disk of every node that this one counts.
  auto& stated = region_stated_[m.region];
  for (const auto& e : f.region().entries()) {
    if (e.seq <= stated.at(e.from)) continue;
    for (auto& [id, other] : machines_) {
      const auto standing = m.known.nodes.find(id);
      if (other.region != m.region || standing == m.known.nodes.end() || standing->second.out) continue;
      must((other.has[{stream_lane::ordered, e.from}] >= e.seq), "C1: F of " + m.region + " at " + to_string(m.id)
                                                                     + " has " + to_string(dot{e.from, e.seq}) + ", "
                                                                     + to_string(id) + " has not");
    }
    stated.raise(e.from, e.seq);
  }
  m.best_applied.join(f.applied());
  for (auto& [id, other] : machines_) {
    must(other.best_applied.contains(f.stable(stream_lane::ordered)),
         "stable at " + to_string(m.id) + " is above what " + to_string(id) + " has applied");
    for (const auto& e : f.stable(stream_lane::free).entries())
      must((other.has[{stream_lane::free, e.from}] >= e.seq),
           "stable at " + to_string(m.id) + " is above what " + to_string(id) + " has merged");
  }
  stable_anywhere_.join(f.stable(stream_lane::ordered));
  for (auto lane : lanes) {
    const auto clock = f.stable_clock(lane);
    auto& promised = clock_promised_[static_cast<std::size_t>(lane)];
    if (clock <= promised) continue;
    promised = clock;
    for (auto& [id, other] : machines_) {
      for (const auto& [s, log] : truth_)
        for (std::uint64_t seq = other.has[s] + 1; s.lane == lane && seq <= log.size(); ++seq)
          must(log[seq - 1]->clock() > clock, "E3: " + to_string(id) + " lacks " + text(s) + ":" + std::to_string(seq)
                                                  + ", below the stable clock of " + to_string(m.id));
      for (const auto& u : other.waiting)
        for (const auto& update : u.updates)
          must(u.of.lane != lane || u.of.from.node != id || update->clock() > clock,
               "E3: " + text(u.of) + " has yet to sync what is below the stable clock of " + to_string(m.id));
    }
  }
}

void stream_run::judge_bounds(machine& m) {
  for (const auto& [peer, o] : m.outs)
    for (auto lane : lanes) {
      must(o.queued_bytes(lane) <= std::max(options_.queue + largest, options_.queue + options_.read + largest),
           "X1: the queue to a peer is too long");
      must(o.unacknowledged_bytes(lane) <= std::max(options_.window, largest), "X1: too much is under way to a peer");
    }
  for (const auto& [peer, i] : m.ins)
    for (auto lane : lanes)
      must(i.unsynced_bytes(lane) <= std::max(options_.unsynced, options_.message + largest),
           "X1: too much waits for the disk");
  must(m.front->waits() <= 20, "X1: too many waits");
}

void stream_run::judge_end() {
  for (auto& [id, m] : machines_) {
    for (const auto& [s, log] : truth_) {
      if (s.from.node == id) continue;
      std::vector<std::uint64_t> meant;
      for (const auto& u : log)
        if (m.stored[u->shard()]) meant.push_back(u->seq());
      must(m.accepted[s] == meant,
           "E1: " + to_string(id) + " does not have exactly what is meant for it of " + text(s));
    }
    // What still waits is for updates that were lost with their node: none of them hangs once that is known.
    for (const auto& [cookie, w] : m.waits)
      for (const auto& e : w.vector.entries())
        must(m.front->applied().at(e.from) >= e.seq || !dead_.contains(e.from), "a wait for what is lost hangs");
  }
}

} // namespace troupe::shipping
