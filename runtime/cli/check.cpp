/// troupe check: judges a recorded history.
#include "protocol/check/check_command.hpp"
#include "runtime/cli/commands.hpp"

#include <fstream>
#include <iostream>
#include <memory>
#include <string>

namespace troupe::cli {

namespace {

struct check_request {
  std::string file;
  std::string witness;
  bool json = false;
};

int check_file(const check_request& given) {
  std::ifstream history{given.file, std::ios::binary};
  if (!history) {
    std::cerr << "troupe check: cannot read " << given.file << "\n";
    return bad_usage;
  }
  check::check_options options;
  options.json = given.json;
  std::ofstream witness;
  if (!given.witness.empty()) {
    witness.open(given.witness, std::ios::binary | std::ios::trunc);
    if (!witness) {
      std::cerr << "troupe check: cannot write " << given.witness << "\n";
      return bad_usage;
    }
    options.witness_out = &witness;
  }
  const int verdict = check::check_linearizability(history, std::cout, std::cerr, options);
  if (witness.is_open() && !witness.flush()) {
    std::cerr << "troupe check: " << given.witness << " could not be written to its end\n";
    return bad_usage;
  }
  return verdict;
}

} // namespace

void add_check(CLI::App& app, action& chosen) {
  auto given = std::make_shared<check_request>();
  auto* check =
      app.add_subcommand("check", "Judge a recorded history: 0 = yes, 1 = no, 2 = bad input, 3 = undecided");
  check->require_subcommand(1);
  auto* command = check->add_subcommand("linearizability", "Is every read explained by one order of the operations?");
  command->add_option("file", given->file, "The history: JSONL, one operation per line")
      ->type_name("FILE")
      ->required();
  command
      ->add_option("--witness", given->witness, "Where to write the operations that refute it, to be checked again")
      ->type_name("FILE");
  command->add_flag("--json", given->json, "Print one JSON object");
  command->callback([given, &chosen] { chosen = [given] { return check_file(*given); }; });
}

} // namespace troupe::cli
