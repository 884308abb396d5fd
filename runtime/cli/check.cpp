/// troupe check: judges a recorded history.
#include "protocol/check/check_command.hpp"
#include "runtime/cli/commands.hpp"

#include <fstream>
#include <functional>
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

/// Judges a history, and says so.
using checker = std::function<int(std::istream&, const check::check_options&)>;

int check_file(const check_request& given, const checker& judge) {
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
  const int verdict = judge(history, options);
  if (witness.is_open() && !witness.flush()) {
    std::cerr << "troupe check: " << given.witness << " could not be written to its end\n";
    return bad_usage;
  }
  return verdict;
}

void add_property(CLI::App& check, action& chosen, const std::string& name, const std::string& text, checker judge) {
  auto given = std::make_shared<check_request>();
  auto* command = check.add_subcommand(name, text);
  command->add_option("file", given->file, "The history: JSONL, one operation per line")
      ->type_name("FILE")
      ->required();
  command
      ->add_option("--witness", given->witness, "Where to write the operations that refute it, to be checked again")
      ->type_name("FILE");
  command->add_flag("--json", given->json, "Print one JSON object");
  command->callback(
      [given, &chosen, judge = std::move(judge)] { chosen = [given, judge] { return check_file(*given, judge); }; });
}

} // namespace

void add_check(CLI::App& app, action& chosen) {
  auto* check =
      app.add_subcommand("check", "Judge a recorded history: 0 = yes, 1 = no, 2 = bad input, 3 = undecided");
  check->require_subcommand(1);
  add_property(*check, chosen, "linearizability", "Is every read explained by one order of the operations?",
               [](std::istream& history, const check::check_options& options) {
                 return check::check_linearizability(history, std::cout, std::cerr, options);
               });
  for (const auto property : check::weak_properties)
    add_property(*check, chosen, std::string{check::name_of(property)}, std::string{check::text_of(property)},
                 [property](std::istream& history, const check::check_options& options) {
                   return check::check_weaker(property, history, std::cout, std::cerr, options);
                 });
}

} // namespace troupe::cli
