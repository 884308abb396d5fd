// How the figures of `troupe bench levels` are told.
#include "runtime/bench/levels.hpp"

#include <nlohmann/json.hpp>

#include <iomanip>
#include <sstream>

namespace troupe::bench {

namespace {

/// What the promise may cost, in percent of the operations a second.
double goal_of(level at) {
  switch (at) {
  case level::strong:
    return 15;
  case level::causal:
    return 10;
  case level::eventual:
    return 5;
  case level::session:
    return 3;
  }
  return 0;
}
constexpr double aim_percent = 7; ///< strong, on mix B

struct named_figure {
  const char* name;
  const figure mix_figures::*of;
};

constexpr named_figure all_figures[] = {
    {"per_s", &mix_figures::per_s},
    {"read_p50_ns", &mix_figures::read_p50_ns},
    {"read_p99_ns", &mix_figures::read_p99_ns},
    {"write_p50_us", &mix_figures::write_p50_us},
    {"write_p99_us", &mix_figures::write_p99_us},
    {"cpu_us_per_op", &mix_figures::cpu_us_per_op},
    {"hits_percent", &mix_figures::hits_percent},
};

std::string fixed(double x, int digits) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << x;
  return out.str();
}

/// On over off; empty where there is nothing to compare.
std::string ratio_of(const figure& on, const figure& off) {
  return off.median() > 0 ? fixed(on.median() / off.median(), 2) : "";
}

std::string shown(const figure& f) {
  if (f.rounds.empty()) return "-";
  return f.median() < 1 ? fixed(f.median(), 3) : f.max() <= 100 ? fixed(f.median(), 1) : whole(f.median());
}

std::string range_of(const figure& f) {
  return f.rounds.size() < 2 ? "" : shown({{f.min()}}) + " .. " + shown({{f.max()}});
}

nlohmann::ordered_json to_json(const mix_figures& figures) {
  nlohmann::ordered_json out;
  for (const auto& [name, of] : all_figures)
    if (!(figures.*of).rounds.empty()) out[name] = (figures.*of).median();
  for (const auto& [name, of] : all_figures)
    if (!(figures.*of).rounds.empty()) out["rounds"][name] = (figures.*of).rounds;
  return out;
}

} // namespace

std::string table_of(const levels_results& r) {
  std::ostringstream out;
  auto row = [&](const std::string& mix, const std::string& name, const std::string& on, const std::string& off,
                 const std::string& ratio, const std::string& ranges) {
    out << "  " << std::left << std::setw(14) << mix << std::setw(14) << name << std::right << std::setw(12) << on
        << std::setw(14) << off << std::setw(8) << ratio << "  " << std::left << ranges << "\n";
  };
  out << "  level " << name_of(r.at) << ", " << r.clients << " clients, " << whole(static_cast<double>(r.keys))
      << " keys, zipf 0.99, values of 100 B; medians of " << r.fdatasync_p50_us.rounds.size() / 2
      << " turns each\n\n";
  row("mix", "", "promise on", "off", "on/off", "rounds on | off");
  for (const auto& mix : r.mixes) {
    const auto reads = fixed(100 * mix.reads, 0);
    auto title = mix.name + " " + reads + "/" + fixed(100 - 100 * mix.reads, 0);
    for (const auto& [name, of] : all_figures) {
      const auto &on = mix.on.*of, &off = mix.off.*of;
      if (on.rounds.empty() && off.rounds.empty()) continue;
      const auto ranges = on.rounds.size() < 2 ? "" : range_of(on) + " | " + range_of(off);
      row(std::exchange(title, ""), name, shown(on), shown(off), ratio_of(on, off), ranges);
    }
    row("", "cost", fixed(mix.cost_percent(), 1) + " %", "", "",
        "fewer operations a second; goal <= " + fixed(goal_of(r.at), 0) + " %"
            + (mix.name == "B" && r.at == level::strong ? ", aim <= " + fixed(aim_percent, 0) + " %" : ""));
  }
  out << "\n  fdatasync_p50_us " << whole(r.fdatasync_p50_us.median()) << "; load average of the machine "
      << fixed(r.load_average, 2) << "\n";
  return out.str();
}

std::string json_of(const levels_results& r) {
  nlohmann::ordered_json out{{"level", std::string{name_of(r.at)}},
                             {"keys", r.keys},
                             {"clients", r.clients},
                             {"goal_percent", goal_of(r.at)}};
  for (const auto& mix : r.mixes)
    out["mixes"][mix.name] = {{"reads", mix.reads},
                              {"cost_percent", mix.cost_percent()},
                              {"on", to_json(mix.on)},
                              {"off", to_json(mix.off)}};
  for (const auto& mix : r.mixes)
    for (const auto& [name, of] : all_figures)
      if ((mix.off.*of).median() > 0)
        out["mixes"][mix.name]["on_over_off"][name] = (mix.on.*of).median() / (mix.off.*of).median();
  out["fdatasync_p50_us"] = r.fdatasync_p50_us.median();
  out["load_average"] = r.load_average;
  return out.dump(2);
}

} // namespace troupe::bench
