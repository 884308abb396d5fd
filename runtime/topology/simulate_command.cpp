#include "runtime/topology/simulate_command.hpp"

#include "runtime/topology/simulation.hpp"

#include <fstream>
#include <iomanip>
#include <ostream>

namespace troupe::simulated {

namespace {

void print_figures(std::ostream& out, const simulation_report& r) {
  out << "operations=" << r.operations << " done=" << r.done << " not_done=" << r.not_done << " unknown=" << r.unknown
      << " weak_operations=" << r.weak_operations << " weak_done=" << r.weak_done << " moves=" << r.moves
      << " leaderships=" << r.leaderships << " locks_held=" << r.locks_held << " memory_hits=" << r.memory_hits
      << " evictions=" << r.evictions << " collections=" << r.collections << " crashes=" << r.crashes
      << " leaves=" << r.leaves << " pauses=" << r.pauses << " cuts=" << r.cuts << " breaks=" << r.breaks
      << " lags=" << r.lags << " strays=" << r.strays << " events=" << r.events
      << " virtual_ms=" << r.virtual_time.count() / 1'000'000 << " log=" << std::hex << std::setw(16)
      << std::setfill('0') << r.hash << std::dec << std::setfill(' ') << " lines=" << r.lines << "\n";
}

void print_failure(std::ostream& out, const simulation_options& o, const simulation_report& r) {
  out << "seed " << o.seed << " violates " << r.violated << "\n" << describe(o) << "\n";
  print_figures(out, r);
  out << r.what << "\nlast events:\n";
  for (const auto& line : r.last_events)
    out << "  " << line << "\n";
  out << "repeat with: troupe simulate " << (o.shoppers > 0 ? "--weaker " : "") << "--seed " << o.seed
      << " --log events.txt\n";
}

} // namespace

int simulate_command(const simulate_options& options, std::ostream& out, std::ostream& err) {
  std::ofstream log, history;
  if (options.seeds != 1 && (!options.log_file.empty() || !options.history_file.empty())) {
    err << "troupe simulate: --log and --history take one seed, not " << options.seeds << "\n";
    return 2;
  }
  auto open = [&](std::ofstream& file, const std::string& name) {
    if (name.empty()) return true;
    file.open(name);
    if (!file) err << "troupe simulate: cannot write " << name << "\n";
    return file.is_open();
  };
  if (!open(log, options.log_file) || !open(history, options.history_file)) return 2;
  simulation_report sum;
  std::uint64_t violations = 0, undecided = 0;
  for (std::uint64_t n = 0; n < options.seeds; ++n) {
    const auto o = options.weaker ? weak_options_for(options.seed + n) : options_for(options.seed + n);
    if (options.verbose) out << describe(o) << std::endl;
    const auto r =
        simulate(o, {.log = log.is_open() ? &log : nullptr, .history = history.is_open() ? &history : nullptr});
    if (!r.clean()) {
      ++violations;
      print_failure(out, o, r);
    } else if (options.verbose) {
      print_figures(out, r);
    }
    if (r.undecided) {
      ++undecided;
      out << "seed " << o.seed << " is undecided: its history is too hard for the checker's budget\n";
    }
    sum.operations += r.operations;
    sum.done += r.done;
    sum.not_done += r.not_done;
    sum.unknown += r.unknown;
    sum.weak_operations += r.weak_operations;
    sum.weak_done += r.weak_done;
    sum.moves += r.moves;
    sum.leaderships += r.leaderships;
    sum.locks_held += r.locks_held;
    sum.memory_hits += r.memory_hits;
    sum.evictions += r.evictions;
    sum.collections += r.collections;
    sum.crashes += r.crashes;
    sum.leaves += r.leaves;
    sum.pauses += r.pauses;
    sum.cuts += r.cuts;
    sum.breaks += r.breaks;
    sum.lags += r.lags;
    sum.strays += r.strays;
    sum.events += r.events;
    sum.lines += r.lines;
    sum.virtual_time += r.virtual_time;
    sum.hash ^= r.hash + n * 0x9E3779B97F4A7C15ULL;
  }
  out << options.seeds << " seeds from " << options.seed << ": " << violations << " violations, " << undecided
      << " undecided\n";
  print_figures(out, sum);
  if (violations > 0) return 1;
  return static_cast<double>(undecided) > options.undecided_max * static_cast<double>(options.seeds) ? 3 : 0;
}

} // namespace troupe::simulated
