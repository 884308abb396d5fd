/// The command line: `troupe SUBCOMMAND …`. Nothing but registration happens here.
#include "runtime/cli/commands.hpp"

#include <exception>
#include <iostream>

/// What jemalloc reads at its start. It would give memory of 8 MiB and more back to the system at once, and each copy
/// of a large value would be paid for page by page again: a home that copies one a dozen times then outlasts its
/// lease, and begins anew. For the same reason it keeps what was freed for a minute.
extern "C" {
const char* malloc_conf = "oversize_threshold:0,dirty_decay_ms:60000"; // NOLINT: named and typed by jemalloc
}

namespace {

constexpr const char* version = "troupe " TROUPE_VERSION;

int run(int argc, char** argv) {
  CLI::App app{"Troupe: an actor-based consistency runtime for caches", "troupe"};
  app.require_subcommand(1);
  app.set_version_flag("--version", version);
  troupe::cli::action chosen;
  troupe::cli::add_init(app, chosen);
  troupe::cli::add_node(app, chosen);
  troupe::cli::add_status(app, chosen);
  troupe::cli::add_keys(app, chosen);
  troupe::cli::add_explain(app, chosen);
  troupe::cli::add_conflicts(app, chosen);
  troupe::cli::add_lock(app, chosen);
  troupe::cli::add_token(app, chosen);
  troupe::cli::add_check(app, chosen);
  troupe::cli::add_simulate(app, chosen);
  troupe::cli::add_bench(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& stop) {
    return app.exit(stop) == 0 ? troupe::cli::done : troupe::cli::bad_usage;
  }
  return chosen();
}

} // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "troupe: " << e.what() << "\n";
    return troupe::cli::not_done;
  }
}
