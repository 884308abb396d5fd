/// The subcommands of `troupe`: one file each, one registration function each.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>

namespace troupe::cli {

/// How every subcommand ends. `check` ends with the check's own codes, which mean the same: 1 = no, 3 = undecided.
enum exit_code : int {
  done = 0,
  not_done = 1,  ///< an error, and nothing has happened
  bad_usage = 2, ///< the command line, or a file that it names
  unknown = 3,   ///< it may have happened
};

/// What the subcommand that was given does. Set while the command line is parsed, run by main; answers an exit code.
using action = std::function<int()>;

void add_init(CLI::App& app, action& chosen);
void add_node(CLI::App& app, action& chosen);
void add_status(CLI::App& app, action& chosen);
void add_keys(CLI::App& app, action& chosen); ///< get, put, add, remove, add-element
void add_explain(CLI::App& app, action& chosen);
void add_conflicts(CLI::App& app, action& chosen);
void add_lock(CLI::App& app, action& chosen);
void add_token(CLI::App& app, action& chosen);
void add_check(CLI::App& app, action& chosen);
void add_simulate(CLI::App& app, action& chosen);
void add_bench(CLI::App& app, action& chosen);

} // namespace troupe::cli
