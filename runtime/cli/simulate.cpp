/// troupe simulate: whole clusters in one thread, with faults drawn from seeds.
#include "runtime/cli/commands.hpp"
#include "runtime/topology/simulate_command.hpp"

#include <iostream>
#include <memory>

namespace troupe::cli {

void add_simulate(CLI::App& app, action& chosen) {
  auto given = std::make_shared<simulated::simulate_options>();
  auto* command = app.add_subcommand("simulate", "Run simulated clusters with faults: 0 = clean, 1 = a violation, "
                                                 "3 = some history could not be decided");
  command->add_option("--seed", given->seed, "First seed")->capture_default_str();
  command->add_option("--seeds", given->seeds, "How many seeds")->capture_default_str()->check(CLI::PositiveNumber);
  command->add_option("--log", given->log_file, "Where to write every event of the one seed")->type_name("FILE");
  command
      ->add_option("--history", given->history_file, "Where to write the history of the one seed, for troupe check")
      ->type_name("FILE");
  command->add_flag("--weaker", given->weaker, "Most clients use types of the weaker levels");
  command->add_flag("--verbose", given->verbose, "Print options and figures of every seed");
  command->callback(
      [given, &chosen] { chosen = [given] { return simulated::simulate_command(*given, std::cout, std::cerr); }; });
}

} // namespace troupe::cli
