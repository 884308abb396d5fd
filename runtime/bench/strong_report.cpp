// How the figures of `troupe bench strong` are told.
#include "runtime/bench/strong.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iomanip>
#include <sstream>

namespace troupe::bench {

namespace {

/// One line per figure: median, range, target, and what etcd 3.4 did on such a machine.
class table {
public:
  void add(const std::string& name, const figure& f, const std::string& target, const std::string& etcd = "") {
    row(name, whole(f.median()), whole(f.min()) + " .. " + whole(f.max()), target, etcd);
  }
  void row(const std::string& name, const std::string& median, const std::string& range, const std::string& target,
           const std::string& etcd) {
    out_ << "  " << std::left << std::setw(18) << name << std::right << std::setw(9) << median << "  "
         << std::setw(19) << range << "  " << std::left << std::setw(32) << target << etcd << "\n";
  }
  std::string text() const { return out_.str(); }

private:
  std::ostringstream out_;
};

double total(const std::array<double, 3>& nodes) { return nodes[0] + nodes[1] + nodes[2]; }

nlohmann::ordered_json to_json(const usage& u) {
  return {{"node_cpu_seconds", u.node_cpu_seconds}, {"client_cpu_seconds", u.client_cpu_seconds}, {"syncs", u.syncs}};
}

} // namespace

std::string table_of(const strong_results& r) {
  const auto p50_target = 300 + 2 * r.fdatasync_p50_us.median();
  table t;
  t.row("", "median", "rounds", "target", "etcd 3.4, three nodes, such a machine");
  t.add("fdatasync_p50_us", r.fdatasync_p50_us, "");
  t.add("write1_p50_us", r.write1_p50_us, "<= " + whole(p50_target) + " (300 + 2 x fdatasync)", "1,040");
  t.add("write1_per_s", r.write1_per_s, "", "870");
  t.add("write64_per_s", r.write64_per_s, ">= 20,000", "7,100");
  t.add("write64_p99_us", r.write64_p99_us, "");
  t.add("write256_per_s", r.write256_per_s, "", "13,200");
  t.add("write256_p99_us", r.write256_p99_us, "");
  t.add("hotkey64_per_s", r.hotkey64_per_s, "");
  t.add("read_hit_p50_ns", r.hits.read_hit_p50_ns, "<= 150");
  t.add("map_hit_p50_ns", r.hits.map_hit_p50_ns, "a std::unordered_map under a std::shared_mutex");
  t.add("read_hits_per_s_1", r.hits.read_hits_per_s_1, "");
  t.add("read_hits_per_s_2", r.hits.read_hits_per_s_2, "more than of 1");
  t.add("l1_bytes_per_entry", r.hits.l1_bytes_per_entry, "<= 160 beside key and value");
  for (std::size_t n = 0; n < r.held.write1_p50_us.size(); ++n)
    t.add("write1_held_" + std::to_string(n), r.held.write1_p50_us[n],
          n == 0 ? "p50 us, by nodes that hold the key" : "");
  t.add("recovery_ms", r.recovery_ms, "<= 1,000");
  t.add("start_ms", r.start_ms, "<= 1,000");
  std::ostringstream out;
  out << t.text() << "\n  hot key: " << whole(static_cast<double>(r.hot_acknowledged))
      << " additions acknowledged, it holds " << r.hot_value << ": " << (r.hot_value_right() ? "right" : "WRONG")
      << "\n";
  out << std::fixed << std::setprecision(2) << "  a write of a held key: " << r.held.frames_per_write.median()
      << " frames to and from each holder\n";
  const auto& u = r.used_by_write64;
  const auto writes = static_cast<double>(std::max<std::uint64_t>(r.acknowledged_by_write64, 1));
  out << std::fixed << std::setprecision(1) << "  64 clients: CPU seconds of the nodes " << u.node_cpu_seconds[0]
      << ", " << u.node_cpu_seconds[1] << ", " << u.node_cpu_seconds[2] << ", of the clients " << u.client_cpu_seconds
      << " (" << (total(u.node_cpu_seconds) + u.client_cpu_seconds) * 1e6 / writes << " us a write); syncs "
      << u.syncs[0] << ", " << u.syncs[1] << ", " << u.syncs[2] << " for " << r.acknowledged_by_write64
      << " writes\n  all rounds: CPU seconds of the nodes " << r.used.node_cpu_seconds[0] << ", "
      << r.used.node_cpu_seconds[1] << ", " << r.used.node_cpu_seconds[2] << ", of the clients "
      << r.used.client_cpu_seconds << "; syncs " << r.used.syncs[0] << ", " << r.used.syncs[1] << ", "
      << r.used.syncs[2] << "\n  storing the keys took " << r.store_s << " s; load average of the machine "
      << std::setprecision(2) << r.load_average << "\n";
  return out.str();
}

std::string json_of(const strong_results& r) {
  const std::vector<std::pair<const char*, const figure*>> figures{
      {"fdatasync_p50_us", &r.fdatasync_p50_us},
      {"write1_p50_us", &r.write1_p50_us},
      {"write1_per_s", &r.write1_per_s},
      {"write64_per_s", &r.write64_per_s},
      {"write64_p99_us", &r.write64_p99_us},
      {"write256_per_s", &r.write256_per_s},
      {"write256_p99_us", &r.write256_p99_us},
      {"hotkey64_per_s", &r.hotkey64_per_s},
      {"read_hit_p50_ns", &r.hits.read_hit_p50_ns},
      {"map_hit_p50_ns", &r.hits.map_hit_p50_ns},
      {"read_hits_per_s_1", &r.hits.read_hits_per_s_1},
      {"read_hits_per_s_2", &r.hits.read_hits_per_s_2},
      {"l1_bytes_per_entry", &r.hits.l1_bytes_per_entry},
      {"write1_held_0_p50_us", &r.held.write1_p50_us[0]},
      {"write1_held_1_p50_us", &r.held.write1_p50_us[1]},
      {"write1_held_2_p50_us", &r.held.write1_p50_us[2]},
      {"frames_per_write_and_holder", &r.held.frames_per_write},
      {"recovery_ms", &r.recovery_ms},
      {"start_ms", &r.start_ms}};
  nlohmann::ordered_json out;
  for (const auto& [name, f] : figures)
    out[name] = f->median();
  for (const auto& [name, f] : figures)
    out["rounds"][name] = f->rounds;
  out["hotkey"] = {{"acknowledged", r.hot_acknowledged}, {"value", r.hot_value}, {"right", r.hot_value_right()}};
  out["used_by_write64"] = to_json(r.used_by_write64);
  out["used_by_write64"]["writes"] = r.acknowledged_by_write64;
  out["used_by_rounds"] = to_json(r.used);
  out["store_s"] = r.store_s;
  out["load_average"] = r.load_average;
  return out.dump(2);
}

} // namespace troupe::bench
