/// troupe bench: measures this machine with a cluster of its own.
#include "runtime/bench/levels.hpp"
#include "runtime/bench/strong.hpp"
#include "runtime/bench/weaker.hpp"
#include "runtime/cli/commands.hpp"

#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>

namespace troupe::cli {

namespace {

/// What every bench is told.
struct bench_options {
  std::string work_dir;
  bool json = false;
  bool quick = false;
  bool keep = false;
  std::string level = "strong"; ///< of `levels`
  bench::strong_options strong;
  bench::levels_options levels;
  bench::weaker_options weaker;
};

/// A folder that goes with the object, with everything in it.
class work_folder {
public:
  work_folder(const std::filesystem::path& parent, bool keep) : keep_(keep) {
    auto pattern = (parent / "troupe-bench-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr)
      path_ = pattern;
    else
      error_ = parent.string() + ": " + std::generic_category().message(errno);
  }
  work_folder(const work_folder&) = delete;
  work_folder& operator=(const work_folder&) = delete;
  ~work_folder() {
    std::error_code ignored;
    if (!keep_ && !path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  const std::string& error() const { return error_; }

private:
  bool keep_;
  std::filesystem::path path_;
  std::string error_;
};

bool sound(const auto&) { return true; }
bool sound(const bench::strong_results& results) { return results.hot_value_right(); }

/// Enough to see that it runs.
void make_quick(bench::strong_options& options) {
  options.keys = 2'000;
  options.stored_keys = 4'000;
  options.rounds = 1;
  options.round_length = std::chrono::milliseconds{300};
  options.held_keys = 200;
  options.kills = 1;
}

void make_quick(bench::levels_options& options) {
  options.keys = 2'000;
  options.rounds = 1;
  options.mix_length = std::chrono::milliseconds{300};
}

void make_quick(bench::weaker_options& options) {
  options.keys = 2'000;
  options.rounds = 1;
  options.round_length = std::chrono::milliseconds{300};
}

/// Measures in a folder of its own, and prints. @return an exit code.
template <class Options, class Measure> int run(const bench_options& given, Options options, const Measure& measure) {
  if (given.quick) make_quick(options);
  options.troupe = std::filesystem::canonical("/proc/self/exe");
  // The disk of the build, because the system's temporary folder may be memory.
  const work_folder folder{
      given.work_dir.empty() ? options.troupe.parent_path() : std::filesystem::path{given.work_dir}, given.keep};
  if (!folder.error().empty()) {
    std::cerr << "troupe bench: " << folder.error() << "\n";
    return bad_usage;
  }
  options.folder = folder.path();
  const auto results = measure(options, [](const std::string& line) { std::cerr << line << std::endl; });
  if (!results) {
    std::cerr << "troupe bench: " << results.error() << "\n";
    return not_done;
  }
  std::cout << (given.json ? bench::json_of(*results) + "\n" : bench::table_of(*results)) << std::flush;
  return sound(*results) ? done : not_done;
}

void add_common(CLI::App& command, const std::shared_ptr<bench_options>& given) {
  command.add_flag("--json", given->json, "Print JSON instead of a table");
  command.add_flag("--quick", given->quick, "A few seconds: shows that it runs, measures nothing");
  command
      .add_option("--work-dir", given->work_dir, "Where the stores are made; the program's own folder when absent")
      ->type_name("FOLDER")
      ->check(CLI::ExistingDirectory);
  command.add_flag("--keep", given->keep, "Leave what is in the work folder behind: configurations, logs, stores");
}

void add_strong(CLI::App& bench, const std::shared_ptr<bench_options>& given, action& chosen) {
  auto* strong = bench.add_subcommand(
      "strong",
      "Writes, reads, a hot key, recovery and start of three nodes on this machine; syncs are real, delays are not");
  add_common(*strong, given);
  strong->add_option("--rounds", given->strong.rounds, "Rounds of reads and writes")->check(CLI::Range(1, 1'000));
  strong->add_option("--kills", given->strong.kills, "Homes that are killed")->check(CLI::Range(0, 1'000));
  strong->add_option("--stored-keys", given->strong.stored_keys, "Keys stored when a home is killed")
      ->check(CLI::Range(1'000, 100'000'000));
  strong->callback(
      [given, &chosen] { chosen = [given] { return run(*given, given->strong, bench::measure_strong); }; });
}

void add_levels(CLI::App& bench, const std::shared_ptr<bench_options>& given, action& chosen) {
  auto* levels = bench.add_subcommand(
      "levels", "Mixes of reads and writes on three nodes on this machine, with a level's promise and without it");
  add_common(*levels, given);
  levels->add_option("--level", given->level, "Whose promise")
      ->check(CLI::IsMember({"strong", "causal", "session", "eventual"}))
      ->required();
  levels->add_option("--rounds", given->levels.rounds, "Turns of each")->check(CLI::Range(1, 1'000));
  levels->add_option("--clients", given->levels.clients, "Threads, each with a session")->check(CLI::Range(1, 1'000));
  levels->add_option("--keys", given->levels.keys, "Keys")->check(CLI::Range(100, 10'000'000));
  levels->callback([given, &chosen] {
    chosen = [given] {
      given->levels.at = *level_named(given->level);
      return run(*given, given->levels, bench::measure_levels);
    };
  });
}

void add_weaker(CLI::App& bench, const std::shared_ptr<bench_options>& given, action& chosen) {
  auto* weaker = bench.add_subcommand(
      "weaker", "Eventual reads and writes, and how long a causal write takes to another region; no injected delay");
  add_common(*weaker, given);
  weaker->add_option("--rounds", given->weaker.rounds, "Rounds of each measure")->check(CLI::Range(1, 1'000));
  weaker->add_option("--keys", given->weaker.keys, "Keys")->check(CLI::Range(100, 10'000'000));
  weaker->callback(
      [given, &chosen] { chosen = [given] { return run(*given, given->weaker, bench::measure_weaker); }; });
}

} // namespace

void add_bench(CLI::App& app, action& chosen) {
  auto given = std::make_shared<bench_options>();
  auto* command = app.add_subcommand("bench", "Measure what a level costs, with a cluster of its own");
  command->require_subcommand(1);
  add_strong(*command, given, chosen);
  add_levels(*command, given, chosen);
  add_weaker(*command, given, chosen);
}

} // namespace troupe::cli
