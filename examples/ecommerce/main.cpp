/// ecommerce: a shop in three regions whose stock is never sold twice, even while a node is killed.
///
///   ecommerce                          three nodes, generated sessions, a SIGKILL in the middle, the proof
///   ecommerce --views FILE             sessions from a file
///   ecommerce --config FILE            shoppers of a running cluster; once for each region
///   ecommerce reconcile --ledger FILE --config FILE    what the run calls, in a process of its own, to compare its
///   books
#include "examples/ecommerce/reconcile.hpp"
#include "examples/ecommerce/run.hpp"

#include <CLI/CLI.hpp>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>

namespace {

namespace fs = std::filesystem;
using shop::verdict;

struct arguments {
  shop::run_options run;
  std::string folder;
  std::string troupe;
  std::string ledger;
  std::string reconcile_config;
  int deadline_ms = 2000;
  int seconds_at_most = 300;
  bool kill = true;
  bool keep = false;
  bool json = false;
  bool undecided_allowed = false;
};

constexpr std::size_t sessions_generated = 3000;

int exit_with(verdict v) { return static_cast<int>(v); }

/// A new, empty folder.
tl::expected<fs::path, std::string> make_folder(const std::string& wanted) {
  if (wanted.empty()) {
    auto name = (fs::temp_directory_path() / "troupe-ecommerce-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) return tl::unexpected{name + ": cannot be made"};
    return fs::path{name};
  }
  std::error_code wrong;
  if (!fs::create_directories(wanted, wrong) && !fs::is_empty(wanted, wrong))
    return tl::unexpected{wanted + ": exists and is not an empty folder"};
  if (wrong) return tl::unexpected{wanted + ": " + wrong.message()};
  return fs::absolute(wanted);
}

int reconcile(const arguments& given) {
  const auto entries = shop::read_ledger(given.ledger);
  if (!entries) {
    std::cerr << entries.error() << "\n";
    return exit_with(verdict::bad_usage);
  }
  const auto expected = shop::add_up(*entries);
  const auto seen = shop::look_at_shelves(expected, given.reconcile_config);
  if (!seen) {
    std::cerr << seen.error() << "\n";
    return exit_with(verdict::failed);
  }
  const auto found = shop::reconcile(expected, *seen);
  std::cout << shop::to_json(found) << "\n";
  if (found.violated()) return exit_with(verdict::violated);
  return exit_with(found.unread > 0 ? verdict::undecided : verdict::kept);
}

int run(arguments given) {
  auto& options = given.run;
  options.deadline = std::chrono::milliseconds{given.deadline_ms};
  options.at_most = std::chrono::seconds{given.seconds_at_most};
  options.kill = given.kill && options.clients.empty();
  if (options.views.empty() && options.sessions == 0) options.sessions = sessions_generated;
  options.self = fs::read_symlink("/proc/self/exe");
  options.troupe =
      given.troupe.empty() ? options.self.parent_path().parent_path() / "troupe" : fs::path{given.troupe};
  const auto folder = make_folder(given.folder);
  if (!folder) {
    std::cerr << "ecommerce: " << folder.error() << "\n";
    return exit_with(verdict::bad_usage);
  }
  options.folder = *folder;

  auto& progress = given.json ? std::cerr : std::cout;
  const auto report = shop::run_shop(options, progress);
  const auto judged = report ? shop::judge(*report, given.undecided_allowed) : verdict::failed;
  if (!report)
    std::cerr << "ecommerce: " << report.error() << "\n";
  else if (given.json)
    std::cout << shop::to_json(*report, judged) << "\n";
  else
    shop::print_table(std::cout, *report);
  if (judged == verdict::kept && !given.keep)
    fs::remove_all(*folder);
  else
    progress << "kept: " << folder->string() << "\n";
  return exit_with(judged);
}

int main_of(int argc, char** argv) {
  arguments given;
  auto& o = given.run;
  CLI::App app{"A shop in three regions: no stock is sold twice, even while a node is killed", "ecommerce"};
  app.add_option("--sessions", o.sessions, "How many shopping sessions (3000; of --views: all)")
      ->check(CLI::Range(1, 10'000'000));
  app.add_option("--views", o.views, "Sessions from a file of product views, .csv or .csv.xz")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  app.add_option("--seed", o.seed, "Of everything that is drawn by lot")->capture_default_str();
  app.add_option("--speed", o.speed, "Think times are divided by this")
      ->check(CLI::Range(1.0, 1e9))
      ->capture_default_str();
  app.add_option("--deadline", given.deadline_ms, "Of every operation, in ms")
      ->check(CLI::Range(1, 60'000))
      ->capture_default_str();
  app.add_option("--shoppers", o.shoppers, "How many shop at once")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_flag("--kill,!--no-kill", given.kill,
               "SIGKILL the home of the hottest item in the middle, start it again 2 s later (default)");
  app.add_option("--config", o.clients,
                 "Use a running cluster, and kill nothing: a client node's configuration, once for each region")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  app.add_option("--work-dir", given.folder, "A new folder for stores, logs and histories")->type_name("DIR");
  app.add_flag("--keep", given.keep, "Keep the work folder; it is kept anyway when something went wrong");
  app.add_option("--at-most", given.seconds_at_most, "End the shopping after so many seconds")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
  app.add_option("--troupe", given.troupe, "The program troupe (the one that was built with this)")
      ->type_name("FILE");
  app.add_flag("--allow-undecided", given.undecided_allowed, "Exit with 0 when the checker could not decide");
  app.add_flag("--json", given.json, "The result as JSON; progress goes to standard error");
  app.footer("Exit codes: 0 every promise was kept, 1 one was broken, 2 wrong usage, 3 undecided, 4 the run failed.");
  auto* reconciling = app.add_subcommand("reconcile", "Compare a ledger with what the cluster holds");
  reconciling->add_option("--ledger", given.ledger, "The client's own books")->type_name("FILE")->required();
  reconciling->add_option("--config", given.reconcile_config, "A client node's configuration")
      ->type_name("FILE")
      ->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& stop) {
    return app.exit(stop) == 0 ? exit_with(verdict::kept) : exit_with(verdict::bad_usage);
  }
  return *reconciling ? reconcile(given) : run(given);
}

} // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return main_of(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "ecommerce: " << e.what() << "\n";
    return exit_with(verdict::failed);
  }
}
