#include "protocol/check/linearizability.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace troupe::check {

namespace {

bool in_register(op_kind kind) {
  switch (kind) {
  case op_kind::get:
  case op_kind::put:
  case op_kind::cas:
  case op_kind::remove:
  case op_kind::append:
  case op_kind::add:
    return true;
  default:
    return false;
  }
}

std::optional<parse_error> check_kinds(const history& all) {
  for (const auto& op : all.operations) {
    if (!in_register(op.kind))
      return parse_error{op.line, '"' + std::string{to_string(op.kind)}
                                      + "\" is no operation of the register that is checked for linearizability; "
                                        "allowed: get, put, cas, delete, append, add"};
    if (!op.call || (op.outcome == op_outcome::ok && !op.returned))
      return parse_error{op.line, "`call` or `return` is missing"};
  }
  return std::nullopt;
}

using key_operations = std::vector<const operation*>;

/// One entry per key, in order of first appearance.
std::vector<key_operations> by_key(const history& all) {
  std::vector<key_operations> result;
  std::unordered_map<std::string_view, std::size_t> position;
  for (const auto& op : all.operations) {
    const auto [entry, added] = position.try_emplace(op.key, result.size());
    if (added) result.emplace_back();
    result[entry->second].push_back(&op);
  }
  return result;
}

struct key_report {
  verdict result = verdict::undecided;
  std::optional<witness> refutation;
};

/// The whole first, with a part of the budget; where that is too much, a window near the trouble may refute it; then
/// the whole with all that is left.
key_report check_key(const key_operations& operations, const linearizability_options& options,
                     std::uint64_t& states) {
  auto key = compile(operations);
  const auto first_states = std::min<std::uint64_t>(options.states_max, 200'000 + 20 * operations.size());
  search_budget budget;
  budget.states_left = first_states;
  budget.memory_bytes_max = options.memory_bytes_max;
  budget.give_up = options.give_up;
  auto tried = search(key, budget);
  states += first_states - budget.states_left;
  const auto for_witness = [&] {
    auto result = budget;
    result.states_left = options.witness_states_max;
    return result;
  };
  if (tried.found == verdict::undecided && first_states < options.states_max && !budget.gave_up) {
    if (auto window = refute_window(operations, tried.furthest, for_witness())) {
      if (!options.with_witness) window.reset();
      return {.result = verdict::no, .refutation = std::move(window)};
    }
    const auto more_states = options.states_max - first_states;
    budget.states_left = more_states;
    tried = search(key, budget);
    states += more_states - budget.states_left;
  }
  key_report report{.result = tried.found, .refutation = {}};
  if (report.result == verdict::no && options.with_witness)
    report.refutation = make_witness(operations, tried.furthest, for_witness());
  return report;
}

} // namespace

tl::expected<linearizability_report, parse_error> check_linearizability(const history& all,
                                                                        const linearizability_options& options) {
  if (auto error = check_kinds(all)) return tl::unexpected(std::move(*error));
  linearizability_report report;
  for (const auto& op : all.operations) {
    report.failed += op.outcome == op_outcome::fail ? 1 : 0;
    report.unknowns += op.outcome == op_outcome::unknown ? 1 : 0;
  }
  report.operations = all.operations.size() - report.failed;
  const auto keys = by_key(all);
  report.keys = keys.size();
  for (const auto& operations : keys) {
    auto found = check_key(operations, options, report.states);
    if (found.result == verdict::undecided) {
      report.result = verdict::undecided;
      report.undecided_keys.push_back(operations.front()->key);
    } else if (found.result == verdict::no) {
      report.result = verdict::no;
      report.refutation = std::move(found.refutation);
      break;
    }
  }
  return report;
}

} // namespace troupe::check
