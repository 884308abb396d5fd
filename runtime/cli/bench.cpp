/// troupe bench: measures this machine with a cluster of its own.
#include "runtime/bench/strong.hpp"
#include "runtime/cli/commands.hpp"

#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>

namespace troupe::cli {

namespace {

struct bench_options {
  std::string work_dir;
  bool json = false;
  bool quick = false;
  bool keep = false;
  bench::strong_options strong;
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

/// Enough to see that it runs.
void make_quick(bench::strong_options& options) {
  options.keys = 2'000;
  options.stored_keys = 4'000;
  options.rounds = 1;
  options.round_length = std::chrono::milliseconds{300};
  options.kills = 1;
}

int run_strong(const bench_options& given) {
  auto options = given.strong;
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
  const auto results =
      bench::measure_strong(options, [](const std::string& line) { std::cerr << line << std::endl; });
  if (!results) {
    std::cerr << "troupe bench: " << results.error() << "\n";
    return not_done;
  }
  std::cout << (given.json ? bench::json_of(*results) + "\n" : bench::table_of(*results)) << std::flush;
  return results->hot_value_right() ? done : not_done;
}

} // namespace

void add_bench(CLI::App& app, action& chosen) {
  auto given = std::make_shared<bench_options>();
  auto* command = app.add_subcommand("bench", "Measure what a level costs, with a cluster of its own");
  command->require_subcommand(1);
  auto* strong = command->add_subcommand(
      "strong",
      "Writes, a hot key, recovery and start of three nodes on this machine; syncs are real, delays are not");
  strong->add_flag("--json", given->json, "Print JSON instead of a table");
  strong->add_flag("--quick", given->quick, "A few seconds: shows that it runs, measures nothing");
  strong->add_option("--work-dir", given->work_dir, "Where the stores are made; the program's own folder when absent")
      ->type_name("FOLDER")
      ->check(CLI::ExistingDirectory);
  strong->add_flag("--keep", given->keep, "Leave stores, configurations and logs behind");
  strong->add_option("--rounds", given->strong.rounds, "Rounds of the writes")->check(CLI::Range(1, 1'000));
  strong->add_option("--kills", given->strong.kills, "Homes that are killed")->check(CLI::Range(0, 1'000));
  strong->add_option("--stored-keys", given->strong.stored_keys, "Keys stored when a home is killed")
      ->check(CLI::Range(1'000, 100'000'000));
  strong->callback([given, &chosen] { chosen = [given] { return run_strong(*given); }; });
}

} // namespace troupe::cli
