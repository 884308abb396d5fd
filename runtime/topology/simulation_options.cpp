#include "runtime/topology/simulated_world.hpp"
#include "runtime/topology/simulation.hpp"

#include <sstream>

namespace troupe::simulated {

simulation_options options_for(std::uint64_t seed) {
  dice d{seed * 0x9E3779B97F4A7C15ULL + 1};
  auto ms = [&](std::int64_t low, std::int64_t high) { return milliseconds{d.between(low, high)}; };
  simulation_options o;
  o.seed = seed;
  const auto shape = d.below(10);
  o.nodes = shape == 0 ? 1 : shape < 8 ? 3 : 5;
  o.shards = static_cast<std::uint32_t>(d.between(1, 2));
  o.keys = static_cast<std::uint32_t>(d.between(1, 4));
  o.clients = static_cast<std::uint32_t>(d.between(2, 6));
  o.operations = static_cast<std::uint32_t>(d.between(30, 120));
  o.think_max = ms(1, 60);
  o.deadline_min = ms(50, 300);
  o.deadline_max = o.deadline_min + ms(100, 2000);
  o.lease = ms(60, 300);
  o.read_percent = static_cast<std::uint32_t>(d.between(15, 85));
  o.readers = d.chance(0.75);
  o.rollback = d.chance(0.3);
  o.value_bytes_max = d.chance(0.5) ? 12000 : 24;
  o.chunk_bytes = d.chance(0.7) ? 512 : 65536;
  o.latency_max = std::chrono::microseconds{d.between(200, 8000)};
  if (d.chance(0.7)) {
    o.stall = d.chance(0.5) ? 0.02 : 0.15;
    o.stall_max = o.lease * d.between(2, 4) / 2;
  }
  const auto lease = o.lease.count();
  o.aimed = d.chance(0.8) ? 0.7 : 0;
  if (d.chance(0.8)) {
    o.crash_every = ms(lease, 12 * lease);
    o.restart_after_max = ms(1, 4 * lease);
    o.quick_restart = d.chance(0.5) ? 0.7 : 0.1;
    o.crash_again = d.chance(0.3) ? 0.5 : 0;
  }
  if (d.chance(0.6)) {
    o.pause_every = ms(2 * lease, 10 * lease);
    o.pause_max = ms(lease / 2, 4 * lease);
  }
  if (d.chance(0.7)) {
    o.cut_every = ms(2 * lease, 8 * lease);
    o.cut_max = ms(lease, 6 * lease);
    o.ragged_cuts = d.chance(0.5);
  }
  if (d.chance(0.6)) {
    o.lag_every = ms(2 * lease, 8 * lease);
    o.lag_max = ms(lease / 4, lease * 3 / 4);
  }
  if (d.chance(0.6)) o.break_every = ms(lease, 6 * lease);
  if (d.chance(0.5)) {
    o.slow_disk = 0.05;
    o.slow_disk_max = ms(1, lease);
  }
  if (d.chance(0.15)) o.failing_disk = 0.002;
  o.damage = d.chance(0.2) && o.nodes > 1;
  o.drift_ppm_max = d.chance(0.7) ? 4'900 : 0; // leases allow for 10,000 between two clocks
  if (d.chance(0.6)) o.leave_every = ms(lease, 8 * lease);
  if (o.damage && d.chance(0.5)) o.rotting_disk = 0.1;
  if (d.chance(0.6)) o.stray = d.chance(0.5) ? 0.01 : 0.05;
  if (!d.chance(0.1)) o.memory_bytes = d.chance(0.4) ? 8'192 : std::size_t{1} << 20;
  o.remove_percent = d.chance(0.5) ? 10 : 30;
  o.rest = d.chance(0.7) ? 0.8 : 0;
  // Eagerly: in a real cluster all of this takes minutes.
  o.collection.every = ms(5, lease / 2);
  o.collection.after = ms(0, 2 * lease);
  o.collection.unripe_max = d.chance(0.8) ? 1 : 1'000;
  o.collection.round_min = ms(lease / 4, 2 * lease);
  if (d.chance(0.4)) {
    o.lockers = static_cast<std::uint32_t>(d.between(1, 2));
    o.held_max = ms(lease / 2, 4 * lease);
  }
  if (o.memory_bytes > 0 && d.chance(0.4)) o.guests = static_cast<std::uint32_t>(d.between(1, 2));
  return o;
}

simulation_options weak_options_for(std::uint64_t seed) {
  auto o = options_for(seed);
  dice d{seed * 0xD1B5'4A32'D192'ED03ULL + 7};
  auto ms = [&](std::int64_t low, std::int64_t high) { return milliseconds{d.between(low, high)}; };
  // Little of the strong types: the view needs them, and they are judged elsewhere.
  o.clients = 1;
  o.readers = false;
  o.lockers = 0;
  o.operations = std::min<std::uint32_t>(o.operations, 40);
  o.damage = false;
  o.rotting_disk = 0;
  o.failing_disk = 0;
  o.value_bytes_max = 24;
  o.nodes = d.chance(0.7) ? 3 : 5;
  o.regions = static_cast<std::uint32_t>(d.between(1, 3));
  o.shoppers = static_cast<std::uint32_t>(d.between(3, 8));
  o.wander = d.chance(0.7) ? 0.15 : 0.01;
  o.async_weak = d.chance(0.3);
  o.weak_ack = d.chance(0.5) ? write_ack::local : d.chance(0.5) ? write_ack::one_remote : write_ack::majority;
  if (d.chance(0.5)) {
    o.wall_jump_every = ms(50, 1'000);
    o.wall_jump_max = d.chance(0.5) ? milliseconds{3'600'000} : ms(10, 5'000);
  }
  return o;
}

std::string describe(const simulation_options& o) {
  std::ostringstream out;
  out << "seed=" << o.seed << " nodes=" << o.nodes << " guests=" << o.guests << " shards=" << o.shards
      << " keys=" << o.keys << " clients=" << o.clients << " lockers=" << o.lockers
      << " held_max_ms=" << o.held_max.count() << " operations=" << o.operations
      << " think_max_ms=" << o.think_max.count() << " deadline_ms=" << o.deadline_min.count() << ".."
      << o.deadline_max.count() << " lease_ms=" << o.lease.count() << " read_percent=" << o.read_percent
      << " remove_percent=" << o.remove_percent << " rest=" << o.rest << " readers=" << (o.readers ? "yes" : "no")
      << " shoppers=" << o.shoppers << " wander=" << o.wander << " regions=" << o.regions
      << " weak=" << (o.async_weak ? "async" : "sync") << "," << name_of(o.weak_ack)
      << " wall_jump_every_ms=" << o.wall_jump_every.count() << " wall_jump_max_ms=" << o.wall_jump_max.count()
      << " on_timeout=" << (o.rollback ? "rollback" : "unknown") << " value_bytes_max=" << o.value_bytes_max
      << " chunk_bytes=" << o.chunk_bytes << " memory_bytes=" << o.memory_bytes << "\n"
      << "tombstones every_ms=" << o.collection.every.count() << " after_ms=" << o.collection.after.count()
      << " unripe_max=" << o.collection.unripe_max << " round_min_ms=" << o.collection.round_min.count() << "\n"
      << "network latency_max_us=" << o.latency_max.count() / 1000 << " stall=" << o.stall
      << " stall_max_ms=" << o.stall_max.count() << " break_every_ms=" << o.break_every.count()
      << " cut_every_ms=" << o.cut_every.count() << " cut_max_ms=" << o.cut_max.count()
      << " ragged_cuts=" << (o.ragged_cuts ? "yes" : "no") << " lag_every_ms=" << o.lag_every.count()
      << " lag_max_ms=" << o.lag_max.count() << " stray=" << o.stray << "\n"
      << "nodes aimed=" << o.aimed << " crash_every_ms=" << o.crash_every.count()
      << " restart_after_max_ms=" << o.restart_after_max.count() << " quick_restart=" << o.quick_restart
      << " crash_again=" << o.crash_again << " leave_every_ms=" << o.leave_every.count()
      << " pause_every_ms=" << o.pause_every.count() << " pause_max_ms=" << o.pause_max.count()
      << " drift_ppm_max=" << o.drift_ppm_max << "\n"
      << "disks slow=" << o.slow_disk << " slow_max_ms=" << o.slow_disk_max.count() << " failing=" << o.failing_disk
      << " damage=" << (o.damage ? "yes" : "no") << " rotting=" << o.rotting_disk;
  return out.str();
}

} // namespace troupe::simulated
