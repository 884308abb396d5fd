#include "protocol/check/witness_text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <ostream>
#include <sstream>
#include <string>
#include <utility>

namespace troupe::check {

namespace {

using text_value = std::optional<std::string>;

std::string quoted(const text_value& value) {
  if (!value) return "absent";
  constexpr std::size_t bytes_shown_max = 24;
  const bool whole = value->size() <= bytes_shown_max;
  const auto& text = whole ? *value : value->substr(0, bytes_shown_max);
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + (whole ? "" : "...");
}

/// "cas 1 -> 2", "add -3 floor 0".
std::string call_of(const operation& op) {
  std::string text{to_string(op.kind)};
  switch (op.kind) {
  case op_kind::put:
  case op_kind::append:
    return text + ' ' + quoted(op.value);
  case op_kind::cas:
    return text + ' ' + quoted(op.old) + " to " + quoted(op.value);
  case op_kind::add:
    text += (*op.delta >= 0 ? " +" : " ") + std::to_string(*op.delta);
    return op.floor ? text + " floor " + std::to_string(*op.floor) : text;
  default:
    return text;
  }
}

std::string answer_of(const operation& op) {
  if (op.outcome == op_outcome::fail) return "failed";
  if (op.outcome == op_outcome::unknown) return "unknown";
  if (op.kind == op_kind::get) return quoted(op.value);
  if (op.applied == false) return op.kind == op_kind::remove ? "was absent" : "refused";
  if (op.result) return std::to_string(*op.result);
  return op.kind == op_kind::cas ? "applied" : "ok";
}

std::string who(const operation& op) {
  auto text = call_of(op) + " by client " + op.client;
  return op.line == 0 ? text : text + " (line " + std::to_string(op.line) + ")";
}

/// The value that the operation must have found.
std::optional<text_value> found_by(const operation& op) {
  if (op.kind == op_kind::get) return op.value;
  if (op.kind == op_kind::cas && op.applied == true) return op.old;
  if (std::int64_t before = 0;
      op.kind == op_kind::add && op.result && !__builtin_sub_overflow(*op.result, *op.delta, &before) && before != 0)
    return text_value{std::to_string(before)};
  return std::nullopt;
}

bool writes(const operation& op, const text_value& value) {
  if (op.outcome == op_outcome::ok && op.applied == false) return false;
  switch (op.kind) {
  case op_kind::put:
  case op_kind::cas:
    return value && op.value == value;
  case op_kind::remove:
    return !value;
  case op_kind::add:
    return op.result && value == std::to_string(*op.result);
  default:
    return false;
  }
}

/// Surely changed the key to something that is not `value`.
bool overwrites(const operation& op, const text_value& value) {
  if (op.outcome != op_outcome::ok || op.applied == false || writes(op, value)) return false;
  return op.kind != op_kind::get;
}

/// May make values that its line alone does not name.
bool relative(const operation& op) {
  return op.outcome != op_outcome::fail && (op.kind == op_kind::append || (op.kind == op_kind::add && !op.result));
}

void explain_missing_writer(witness& found, const std::vector<const operation*>& all, const text_value& value) {
  if (!value) return;
  for (const auto* op : all) {
    if (op->outcome == op_outcome::fail && writes(*op, value)) {
      found.reasons.push_back(who(*op) + " failed, and what failed must never be seen.");
      found.operations.push_back(*op);
      return;
    }
  }
  const auto late = std::find_if(all.begin(), all.end(), [&](const operation* op) { return writes(*op, value); });
  if (late != all.end())
    found.reasons.push_back(who(**late) + " had not begun when this answer was given.");
  else
    found.reasons.push_back("Nothing that could have taken effect wrote " + quoted(value) + ".");
}

/// Looks for a write that stands between every write of the value and the answer.
void explain_stale(witness& found, const operation& culprit, const std::vector<const operation*>& writers,
                   const text_value& value) {
  const auto last = *std::max_element(writers.begin(), writers.end(), [](const operation* a, const operation* b) {
    return *a->returned < *b->returned;
  });
  for (const auto& op : found.operations) {
    if (!overwrites(op, value) || *op.call <= *last->returned || *op.returned >= *culprit.call) continue;
    found.reasons.push_back(
        quoted(value) + " was written by " + who(*last)
        + (writers.size() > 1 ? ", the last of " + std::to_string(writers.size()) + " to do so," : ",")
        + " which returned at " + std::to_string(*last->returned) + ".");
    found.reasons.push_back(who(op) + " began after that, at " + std::to_string(*op.call) + ", and returned at "
                            + std::to_string(*op.returned) + ", before the " + std::string{to_string(culprit.kind)}
                            + " was called at " + std::to_string(*culprit.call) + ".");
    return;
  }
}

void explain_found_value(witness& found, const operation& culprit, const std::vector<const operation*>& all) {
  const auto value = found_by(culprit);
  if (!value) return;
  std::vector<const operation*> writers;
  bool others = false;
  for (const auto& op : found.operations) {
    others = others || relative(op);
    if (op.outcome != op_outcome::fail && writes(op, *value)) writers.push_back(&op);
  }
  if (writers.empty() && !others) return explain_missing_writer(found, all, *value);
  const bool all_answered =
      std::all_of(writers.begin(), writers.end(), [](const operation* op) { return op->outcome == op_outcome::ok; });
  if (!writers.empty() && !others && all_answered) explain_stale(found, culprit, writers, *value);
}

void explain_add(witness& found, const operation& culprit) {
  if (culprit.kind != op_kind::add || !culprit.result) return;
  if (culprit.floor && *culprit.result < *culprit.floor)
    found.reasons.push_back("The result is below its own floor.");
  for (const auto& op : found.operations) {
    if (op == culprit || op.kind != op_kind::add || op.result != culprit.result || op.delta != culprit.delta)
      continue;
    found.reasons.push_back(who(op) + " returned " + std::to_string(*op.result)
                            + " as well: both started from the same value, and one of the two updates is lost.");
    return;
  }
}

/// Positions of stamps on a line of fixed width: stamps are ranked, so that a long pause takes no room.
class ruler {
public:
  static constexpr std::size_t width = 60;

  explicit ruler(const std::vector<operation>& all) {
    for (const auto& op : all) {
      stamps_.push_back(*op.call);
      if (op.returned) stamps_.push_back(*op.returned);
    }
    std::sort(stamps_.begin(), stamps_.end());
    stamps_.erase(std::unique(stamps_.begin(), stamps_.end()), stamps_.end());
  }

  std::size_t column(std::int64_t stamp) const {
    const auto rank =
        static_cast<std::size_t>(std::lower_bound(stamps_.begin(), stamps_.end(), stamp) - stamps_.begin());
    return stamps_.size() < 2 ? 0 : rank * (width - 1) / (stamps_.size() - 1);
  }

private:
  std::vector<std::int64_t> stamps_;
};

std::string bar(const operation& op, const ruler& scale) {
  std::string line(ruler::width, ' ');
  const bool open = op.outcome == op_outcome::unknown || !op.returned;
  const auto begin = scale.column(*op.call);
  const auto end = open ? ruler::width - 1 : scale.column(*op.returned);
  for (auto i = begin; i <= end; ++i)
    line[i] = op.outcome == op_outcome::fail ? 'x' : '-';
  line[end] = open ? '>' : ']';
  line[begin] = begin == end ? '|' : '[';
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

} // namespace

void explain(witness& found, const std::vector<const operation*>& all, bool others_have_an_order) {
  const auto culprit = found.operations[found.culprit];
  found.reasons.push_back(who(culprit) + ", called at " + std::to_string(*culprit.call) + " and returned at "
                          + std::to_string(culprit.returned.value_or(*culprit.call)) + ", answered "
                          + answer_of(culprit) + ".");
  explain_found_value(found, culprit, all);
  explain_add(found, culprit);
  if (found.assumed_start)
    found.reasons.push_back(
        "Client \"before\" stands for what came earlier: no other value that the key may have had "
        "then helps either.");
  found.reasons.push_back("No order of these operations that respects their times gives every answer"
                          + std::string{others_have_an_order ? "; without that one there is an order." : "."});
}

namespace {

/// The rows of the picture: of many unknown operations only those that make a value which somebody found, and of many
/// others the last.
std::vector<std::size_t> rows_of(const witness& found) {
  constexpr std::size_t unknown_shown_max = 12;
  constexpr std::size_t rows_max = 60;
  std::vector<std::size_t> rows;
  std::vector<std::size_t> shorter;
  for (std::size_t i = 0; i < found.operations.size(); ++i) {
    const auto& op = found.operations[i];
    rows.push_back(i);
    const bool idle = op.outcome == op_outcome::unknown
                      && std::none_of(found.operations.begin(), found.operations.end(), [&](const operation& other) {
                           const auto value = other.outcome == op_outcome::ok ? found_by(other) : std::nullopt;
                           return value && writes(op, *value);
                         });
    if (!idle) shorter.push_back(i);
  }
  if (rows.size() - shorter.size() > unknown_shown_max) rows = std::move(shorter);
  if (rows.size() > rows_max) rows.erase(rows.begin(), rows.end() - rows_max);
  return rows;
}

} // namespace

std::string render(const witness& found) {
  std::ostringstream out;
  const auto part = found.operations.size() - (found.assumed_start ? 1 : 0);
  out << "Key " << quoted(found.key) << " is not linearizable. Of its " << found.key_operations << " operations, "
      << part << (part == 1 ? " is" : " are") << " enough to show it:\n\n";
  for (const auto& reason : found.reasons)
    out << "  " << reason << '\n';
  out << '\n';
  const auto rows = rows_of(found);
  std::vector<operation> shown;
  std::vector<std::string> labels;
  std::size_t widest = 0;
  for (const auto row : rows) {
    const auto& op = found.operations[row];
    shown.push_back(op);
    labels.push_back("client " + op.client + "  " + call_of(op) + " = " + answer_of(op));
    widest = std::max(widest, labels.back().size());
  }
  const ruler scale{shown};
  for (std::size_t i = 0; i < rows.size(); ++i)
    out << (rows[i] == found.culprit ? "* " : "  ") << labels[i] << std::string(widest - labels[i].size() + 2, ' ')
        << bar(shown[i], scale) << '\n';
  if (rows.size() < found.operations.size())
    out << "  and " << found.operations.size() - rows.size()
        << " more, which do not help: whether and when they took effect does not matter\n";
  out << "\n  [--] from call to return (stamps in order, not to scale)   --> unknown, or the answer does not "
         "matter\n"
         "  [xx] failed   | call and return in one place   * the last to return\n";
  return out.str();
}

void write_witness(std::ostream& out, const witness& found) {
  out << "# key " << quoted(found.key) << ": not linearizable\n";
  for (const auto& reason : found.reasons)
    out << "# " << reason << '\n';
  for (const auto& op : found.operations)
    write_operation(out, op);
}

} // namespace troupe::check
