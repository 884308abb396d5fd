// How the figures of `troupe bench weaker` are told.
#include "runtime/bench/weaker.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <iomanip>
#include <sstream>

namespace troupe::bench {

namespace {

struct told_figure {
  const char* name;
  figure weaker_results::*what;
  const char* goal;
};

constexpr std::array told{
    told_figure{"fdatasync_p50_us", &weaker_results::fdatasync_p50_us, ""},
    told_figure{"eventual_read_p50_ns", &weaker_results::eventual_read_p50_ns, "<= 150"},
    told_figure{"map_read_p50_ns", &weaker_results::map_read_p50_ns, "a locked hash map"},
    told_figure{"eventual_write_per_s", &weaker_results::eventual_write_per_s, ">= 100,000"},
    told_figure{"causal_write_p50_us", &weaker_results::causal_write_p50_us, ""},
    told_figure{"visible_p50_us", &weaker_results::visible_p50_us, ""},
    told_figure{"visible_p99_us", &weaker_results::visible_p99_us, "<= 2,000 (no delay of the link)"},
    told_figure{"read_again_p50_us", &weaker_results::read_again_p50_us, "(of which the read itself)"}};

} // namespace

std::string table_of(const weaker_results& r) {
  std::ostringstream out;
  const auto row = [&](const std::string& name, const std::string& median, const std::string& range,
                       const std::string& goal) {
    out << "  " << std::left << std::setw(22) << name << std::right << std::setw(10) << median << "  "
        << std::setw(21) << range << "  " << std::left << goal << "\n";
  };
  row("", "median", "rounds", "goal");
  for (const auto& line : told) {
    const auto& f = r.*line.what;
    row(line.name, whole(f.median()), whole(f.min()) + " .. " + whole(f.max()), line.goal);
  }
  row("token_bytes", std::to_string(r.token_bytes), "", "<= 1,024");
  out << "\n  load average of the machine " << std::fixed << std::setprecision(2) << r.load_average << "\n";
  return out.str();
}

std::string json_of(const weaker_results& r) {
  nlohmann::ordered_json out;
  for (const auto& line : told)
    out[line.name] = (r.*line.what).median();
  for (const auto& line : told)
    out["rounds"][line.name] = (r.*line.what).rounds;
  out["token_bytes"] = r.token_bytes;
  out["load_average"] = r.load_average;
  return out.dump(2);
}

} // namespace troupe::bench
