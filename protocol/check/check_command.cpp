#include "protocol/check/check_command.hpp"

#include <nlohmann/json.hpp>

#include <istream>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>

namespace troupe::check {

namespace {

std::string_view to_string(verdict result) {
  switch (result) {
  case verdict::yes:
    return "yes";
  case verdict::no:
    return "no";
  case verdict::undecided:
    return "undecided";
  }
  return "?";
}

int exit_code(verdict result) {
  switch (result) {
  case verdict::yes:
    return static_cast<int>(check_exit::yes);
  case verdict::no:
    return static_cast<int>(check_exit::no);
  case verdict::undecided:
    return static_cast<int>(check_exit::undecided);
  }
  return static_cast<int>(check_exit::undecided);
}

void print_text(std::ostream& out, const linearizability_report& report) {
  out << "linearizable: " << to_string(report.result) << '\n'
      << "operations checked: " << report.operations << " (" << report.unknowns << " unknown; " << report.failed
      << " failed ones left out)\n"
      << "keys: " << report.keys << '\n'
      << "states visited: " << report.states << '\n';
  if (!report.undecided_keys.empty()) {
    constexpr std::size_t keys_shown_max = 10;
    out << "undecided, the budget ran out:";
    for (std::size_t i = 0; i < report.undecided_keys.size() && i < keys_shown_max; ++i)
      out << ' ' << report.undecided_keys[i];
    if (report.undecided_keys.size() > keys_shown_max)
      out << " and " << report.undecided_keys.size() - keys_shown_max << " more keys";
    out << '\n';
  }
  if (report.refutation) out << '\n' << render(*report.refutation);
}

void print_json(std::ostream& out, const linearizability_report& report) {
  nlohmann::ordered_json object{
      {"linearizable", std::string{to_string(report.result)}},
      {"operations", report.operations},
      {"unknown", report.unknowns},
      {"failed", report.failed},
      {"keys", report.keys},
      {"states", report.states},
      {"undecided_keys", report.undecided_keys},
  };
  if (report.refutation) {
    const auto& found = *report.refutation;
    auto lines = nlohmann::ordered_json::array();
    for (const auto& op : found.operations) {
      std::ostringstream line;
      write_operation(line, op);
      lines.push_back(nlohmann::ordered_json::parse(line.str()));
    }
    object["witness"] = {{"key", found.key}, {"reasons", found.reasons}, {"operations", std::move(lines)}};
  }
  out << object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

} // namespace

int check_linearizability(std::istream& in, std::ostream& out, std::ostream& err, const check_options& options) {
  const auto read = read_history(in, options.read);
  if (!read) {
    err << "bad history: " << to_string(read.error()) << '\n';
    return static_cast<int>(check_exit::bad_input);
  }
  const auto report = check_linearizability(*read, options.search);
  if (!report) {
    err << "bad history: " << to_string(report.error()) << '\n';
    return static_cast<int>(check_exit::bad_input);
  }
  if (options.json)
    print_json(out, *report);
  else
    print_text(out, *report);
  if (report->refutation && options.witness_out != nullptr) write_witness(*options.witness_out, *report->refutation);
  return exit_code(report->result);
}

} // namespace troupe::check
