#include "protocol/check/check_command.hpp"

#include "protocol/check/convergence.hpp"
#include "protocol/check/sessions.hpp"

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

// -- weaker than linearizability
// ----------------------------------------------------------------------------------------

namespace {

/// What all reports say, and what refutes, if anything does.
struct finding {
  verdict result = verdict::yes;
  std::vector<std::pair<std::string, std::size_t>> counts;
  std::string pattern{}; ///< empty: none is named
  std::vector<std::string> reasons{};
  std::vector<std::uint32_t> operations{}; ///< that refute it, into the history
  std::string text{};                      ///< of the refutation
};

finding finding_of(const causality_report& report, const history& all) {
  finding f{.result = report.result,
            .counts = {{"operations", report.operations},
                       {"unknown", report.unknowns},
                       {"failed", report.failed},
                       {"sessions", report.sessions},
                       {"keys", report.keys}}};
  if (!report.refutation) return f;
  f.pattern = name_of(report.refutation->pattern);
  f.reasons = reasons_of(*report.refutation, all);
  f.operations = operations_of(*report.refutation);
  f.text = render(*report.refutation, all);
  return f;
}

finding finding_of(const convergence_report& report, const history&) {
  finding f{.result = report.result,
            .counts = {{"operations", report.operations},
                       {"unknown", report.unknowns},
                       {"failed", report.failed},
                       {"final_reads", report.final_reads},
                       {"keys", report.keys}}};
  if (!report.refutation) return f;
  f.reasons = {report.refutation->why};
  f.operations = report.refutation->operations;
  f.text = report.refutation->why + '\n';
  return f;
}

tl::expected<finding, parse_error> judge(weak_property property, const history& all) {
  auto found = [&](const auto& report) -> tl::expected<finding, parse_error> {
    if (!report) return tl::unexpected(report.error());
    return finding_of(*report, all);
  };
  switch (property) {
  case weak_property::cc:
    return found(check_causality(all, causal_model::cc));
  case weak_property::ccv:
  case weak_property::session:
    return found(check_causality(all, causal_model::ccv));
  case weak_property::cm:
    return found(check_causality(all, causal_model::cm));
  case weak_property::ryw:
    return found(check_session_guarantee(all, session_guarantee::ryw));
  case weak_property::mr:
    return found(check_session_guarantee(all, session_guarantee::mr));
  case weak_property::mw:
    return found(check_session_guarantee(all, session_guarantee::mw));
  case weak_property::wfr:
    return found(check_session_guarantee(all, session_guarantee::wfr));
  case weak_property::convergence:
    return found(check_convergence(all));
  }
  return tl::unexpected(parse_error{0, "no such property"});
}

void print_text(std::ostream& out, weak_property property, const finding& f) {
  out << name_of(property) << ": " << to_string(f.result) << '\n';
  for (const auto& [name, count] : f.counts)
    out << name << ": " << count << '\n';
  if (f.result == verdict::undecided)
    out << "undecided: so many operations of so many sessions need too much memory\n";
  if (f.result == verdict::no) out << '\n' << f.text;
}

void print_json(std::ostream& out, weak_property property, const finding& f, const history& all) {
  nlohmann::ordered_json object{{std::string{name_of(property)}, std::string{to_string(f.result)}}};
  for (const auto& [name, count] : f.counts)
    object[name] = count;
  if (f.result == verdict::no) {
    auto lines = nlohmann::ordered_json::array();
    for (const auto i : f.operations) {
      std::ostringstream line;
      write_operation(line, all.operations[i]);
      lines.push_back(nlohmann::ordered_json::parse(line.str()));
    }
    object["witness"] = {{"pattern", f.pattern}, {"reasons", f.reasons}, {"operations", std::move(lines)}};
  }
  out << object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

} // namespace

std::string_view name_of(weak_property property) {
  switch (property) {
  case weak_property::cc:
    return "cc";
  case weak_property::ccv:
    return "ccv";
  case weak_property::cm:
    return "cm";
  case weak_property::session:
    return "session";
  case weak_property::ryw:
    return "ryw";
  case weak_property::mr:
    return "mr";
  case weak_property::mw:
    return "mw";
  case weak_property::wfr:
    return "wfr";
  case weak_property::convergence:
    return "convergence";
  }
  return "?";
}

std::string_view text_of(weak_property property) {
  switch (property) {
  case weak_property::cc:
    return "Causal consistency: does nobody see an effect without its causes?";
  case weak_property::ccv:
    return "Causal convergence: and do all agree on one order of the writes of each key?";
  case weak_property::cm:
    return "Causal memory: and is there for each session an order of the writes that explains all it read?";
  case weak_property::session:
    return "All four session guarantees together, which is ccv";
  case weak_property::ryw:
    return "Read your writes, by itself: does a session see what it has written?";
  case weak_property::mr:
    return "Monotonic reads, by itself: does no session go back?";
  case weak_property::mw:
    return "Monotonic writes, by itself: can the writes of each session be ordered as it made them?";
  case weak_property::wfr:
    return "Writes follow reads, by itself: can each write be ordered after what its session had read?";
  case weak_property::convergence:
    return "Do the final reads of each key agree, with nothing lost and nothing invented?";
  }
  return "?";
}

int check_weaker(weak_property property, std::istream& in, std::ostream& out, std::ostream& err,
                 const check_options& options) {
  auto reading = options.read;
  reading.time = stamps::optional;
  reading.may_go_on = true;
  const auto read = read_history(in, reading);
  if (!read) {
    err << "bad history: " << to_string(read.error()) << '\n';
    return static_cast<int>(check_exit::bad_input);
  }
  const auto found = judge(property, *read);
  if (!found) {
    err << "bad history: " << to_string(found.error()) << '\n';
    return static_cast<int>(check_exit::bad_input);
  }
  if (options.json)
    print_json(out, property, *found, *read);
  else
    print_text(out, property, *found);
  if (found->result == verdict::no && options.witness_out != nullptr) {
    for (const auto& reason : found->reasons)
      *options.witness_out << "# " << reason << '\n';
    for (const auto i : found->operations)
      write_operation(*options.witness_out, read->operations[i]);
  }
  return exit_code(found->result);
}

} // namespace troupe::check
