// How the figures of `troupe bench strong` are told.
#include "runtime/bench/strong.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iomanip>
#include <sstream>

namespace troupe::bench {

namespace {

std::string whole(double x) {
  auto digits = std::to_string(static_cast<long long>(x + 0.5));
  for (auto i = static_cast<std::ptrdiff_t>(digits.size()) - 3; i > 0; i -= 3)
    digits.insert(static_cast<std::size_t>(i), ",");
  return digits;
}

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

double figure::median() const {
  if (rounds.empty()) return 0;
  auto sorted = rounds;
  std::sort(sorted.begin(), sorted.end());
  const auto middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

double figure::min() const { return rounds.empty() ? 0 : *std::min_element(rounds.begin(), rounds.end()); }

double figure::max() const { return rounds.empty() ? 0 : *std::max_element(rounds.begin(), rounds.end()); }

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
  t.add("recovery_ms", r.recovery_ms, "<= 1,000");
  t.add("start_ms", r.start_ms, "<= 1,000");
  std::ostringstream out;
  out << t.text() << "\n  hot key: " << whole(static_cast<double>(r.hot_acknowledged))
      << " additions acknowledged, it holds " << r.hot_value << ": " << (r.hot_value_right() ? "right" : "WRONG")
      << "\n";
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
      {"fdatasync_p50_us", &r.fdatasync_p50_us}, {"write1_p50_us", &r.write1_p50_us},
      {"write1_per_s", &r.write1_per_s},         {"write64_per_s", &r.write64_per_s},
      {"write64_p99_us", &r.write64_p99_us},     {"write256_per_s", &r.write256_per_s},
      {"write256_p99_us", &r.write256_p99_us},   {"hotkey64_per_s", &r.hotkey64_per_s},
      {"recovery_ms", &r.recovery_ms},           {"start_ms", &r.start_ms}};
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
