#include "protocol/check/history.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <istream>
#include <limits>
#include <ostream>
#include <unordered_map>
#include <utility>

namespace troupe::check {

namespace {

using nlohmann::json;

constexpr std::array<std::pair<std::string_view, op_kind>, 13> kind_names{{
    {"get", op_kind::get},
    {"put", op_kind::put},
    {"cas", op_kind::cas},
    {"delete", op_kind::remove},
    {"append", op_kind::append},
    {"add", op_kind::add},
    {"lock", op_kind::lock},
    {"unlock", op_kind::unlock},
    {"incr", op_kind::incr},
    {"count", op_kind::count},
    {"set_add", op_kind::set_add},
    {"set_remove", op_kind::set_remove},
    {"members", op_kind::members},
}};

constexpr std::array<std::pair<std::string_view, op_outcome>, 3> outcome_names{{
    {"ok", op_outcome::ok},
    {"fail", op_outcome::fail},
    {"unknown", op_outcome::unknown},
}};

/// A JSON value for messages: never longer than a line of a terminal, and structures by name only, however deep.
std::string shown(const json& value) {
  if (value.is_structured()) return value.is_array() ? "an array" : "an object";
  auto text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  constexpr std::size_t shown_bytes_max = 60;
  if (text.size() > shown_bytes_max) text = text.substr(0, shown_bytes_max) + "...";
  return text;
}

/// Takes the fields of one object apart; the first field that is wrong stays in `error`.
class fields {
public:
  explicit fields(const json& object) : object_(object) {}

  const std::string& error() const { return error_; }
  bool failed() const { return !error_.empty(); }
  bool has(const char* name) const { return object_.contains(name); }

  void refuse(std::string what) {
    if (error_.empty()) error_ = std::move(what);
  }

  std::string text(const char* name) {
    const auto* field = find(name);
    if (field != nullptr && field->is_string()) return field->get<std::string>();
    wrong(name, field, "a string");
    return {};
  }

  /// A string, or an integer as its decimal text; null = absent.
  std::optional<std::string> text_or_null(const char* name) {
    const auto* field = find(name);
    if (field != nullptr && field->is_null()) return std::nullopt;
    if (field != nullptr && field->is_string()) return field->get<std::string>();
    if (field != nullptr && field->is_number_integer()) return field->dump();
    wrong(name, field, "a string, an integer or null");
    return std::nullopt;
  }

  std::optional<std::string> argument(const char* name) {
    auto result = text_or_null(name);
    if (!result && !failed()) refuse('`' + std::string{name} + "` is null, but this operation writes a value");
    return result;
  }

  std::optional<std::string> scalar(const char* name) {
    const auto* field = find(name);
    if (field != nullptr && !field->is_structured()) return field->dump();
    wrong(name, field, "a string, number, boolean or null");
    return std::nullopt;
  }

  std::optional<std::int64_t> integer(const char* name) {
    const auto* field = find(name);
    const bool fits =
        field != nullptr && field->is_number_integer()
        && (!field->is_number_unsigned()
            || field->get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
    if (fits) return field->get<std::int64_t>();
    wrong(name, field, "an integer of 64 bits");
    return std::nullopt;
  }

  std::optional<std::int64_t> integer_if_there(const char* name) {
    const auto* field = find(name);
    return field == nullptr || field->is_null() ? std::nullopt : integer(name);
  }

  std::optional<bool> boolean(const char* name) {
    const auto* field = find(name);
    if (field != nullptr && field->is_boolean()) return field->get<bool>();
    wrong(name, field, "true or false");
    return std::nullopt;
  }

  std::optional<bool> boolean_if_there(const char* name) {
    const auto* field = find(name);
    return field == nullptr || field->is_null() ? std::nullopt : boolean(name);
  }

  std::optional<std::vector<std::string>> texts(const char* name) {
    const auto* field = find(name);
    if (field != nullptr && field->is_null()) return std::vector<std::string>{};
    if (field == nullptr || !field->is_array()
        || !std::all_of(field->begin(), field->end(), [](const json& item) { return item.is_string(); })) {
      wrong(name, field, "an array of strings");
      return std::nullopt;
    }
    return field->get<std::vector<std::string>>();
  }

  template <class Enum, std::size_t Size>
  Enum name_of(const char* name, const std::array<std::pair<std::string_view, Enum>, Size>& names) {
    const auto given = text(name);
    for (const auto& [known, value] : names)
      if (known == given) return value;
    std::string allowed;
    for (const auto& entry : names)
      allowed.append(allowed.empty() ? "" : ", ").append(entry.first);
    refuse('`' + std::string{name} + "` is \"" + given + "\"; allowed: " + allowed);
    return names.front().second;
  }

private:
  const json* find(const char* name) const {
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }

  void wrong(const char* name, const json* field, const char* expected) {
    const auto quoted = '`' + std::string{name} + '`';
    if (field == nullptr)
      refuse(quoted + " is missing: it must be " + expected);
    else
      refuse(quoted + " is " + shown(*field) + ": it must be " + expected);
  }

  const json& object_;
  std::string error_;
};

void parse_arguments_and_answer(fields& in, operation& op) {
  const bool answered = op.outcome == op_outcome::ok;
  switch (op.kind) {
  case op_kind::get:
  case op_kind::count:
    if (answered) op.value = in.text_or_null("value");
    return;
  case op_kind::put:
  case op_kind::append:
  case op_kind::set_add:
  case op_kind::set_remove:
    op.value = in.argument("value");
    return;
  case op_kind::cas:
    op.old = in.text_or_null("old");
    op.value = in.argument("value");
    if (answered) op.applied = in.boolean("applied");
    return;
  case op_kind::remove:
    if (answered) op.applied = in.boolean_if_there("applied");
    return;
  case op_kind::add:
    op.delta = in.integer("delta");
    op.floor = in.integer_if_there("floor");
    if (answered) {
      op.applied = in.boolean_if_there("applied");
      if (op.applied.value_or(true))
        op.result = in.integer_if_there("result");
      else if (!op.floor)
        in.refuse("`applied` is false, but without a `floor` an add is never refused");
    }
    return;
  case op_kind::incr:
    op.delta = in.integer(in.has("delta") ? "delta" : "value");
    return;
  case op_kind::lock:
  case op_kind::unlock:
    op.token = in.integer_if_there("token");
    return;
  case op_kind::members:
    if (answered) op.members = in.texts("value");
    return;
  }
}

void parse_stamps(fields& in, stamps required, operation& op) {
  if (required == stamps::optional && !in.has("call")) return;
  op.call = in.integer("call");
  if (op.outcome == op_outcome::ok)
    op.returned = in.integer("return");
  else if (op.outcome == op_outcome::fail)
    op.returned = in.integer_if_there("return");
  if (op.call && op.returned && *op.returned < *op.call)
    in.refuse("`return` " + std::to_string(*op.returned) + " is before `call` " + std::to_string(*op.call));
}

tl::expected<operation, parse_error> parse_operation(const std::string& text, std::size_t line, stamps required) {
  json object;
  try {
    object = json::parse(text);
  } catch (const json::exception& error) {
    return tl::unexpected(parse_error{line, std::string{"not a JSON object: "} + error.what()});
  }
  if (!object.is_object()) return tl::unexpected(parse_error{line, "not a JSON object: " + shown(object)});
  fields in{object};
  operation op;
  op.line = line;
  op.client = in.scalar("client").value_or("");
  op.key = in.text("key");
  op.kind = in.name_of("op", kind_names);
  op.outcome = in.name_of("outcome", outcome_names);
  if (!in.failed()) parse_arguments_and_answer(in, op);
  if (!in.failed()) parse_stamps(in, required, op);
  if (in.has("ver")) op.ver = in.scalar("ver");
  if (in.has("node")) op.node = in.scalar("node");
  op.final = in.boolean_if_there("final").value_or(false);
  if (in.failed()) return tl::unexpected(parse_error{line, in.error()});
  return op;
}

enum class line_read : std::uint8_t { line, end, too_long };

/// std::getline with a bound.
line_read read_line(std::istream& in, std::size_t bytes_max, std::string& line) {
  line.clear();
  auto* buffer = in.rdbuf();
  using traits = std::istream::traits_type;
  for (auto next = buffer->sbumpc();; next = buffer->sbumpc()) {
    if (traits::eq_int_type(next, traits::eof())) return line.empty() ? line_read::end : line_read::line;
    const auto byte = traits::to_char_type(next);
    if (byte == '\n') return line_read::line;
    if (line.size() == bytes_max) return line_read::too_long;
    line.push_back(byte);
  }
}

/// When `op` is over, for its own session: an unknown one never is.
std::int64_t session_end(const operation& op) {
  if (op.outcome == op_outcome::unknown) return std::numeric_limits<std::int64_t>::max();
  return op.returned.value_or(*op.call);
}

std::optional<parse_error> check_sessions(const history& all, bool may_go_on) {
  std::unordered_map<std::string_view, std::vector<const operation*>> sessions;
  std::vector<std::vector<const operation*>*>
      in_order; // of first appearance, so that the error is the same each time
  for (const auto& op : all.operations) {
    auto& session = sessions[op.client];
    if (session.empty()) in_order.push_back(&session);
    session.push_back(&op);
  }
  for (auto* session : in_order) {
    const bool stamped =
        std::all_of(session->begin(), session->end(), [](const operation* op) { return op->call.has_value(); });
    if (stamped)
      std::stable_sort(session->begin(), session->end(), [](const operation* a, const operation* b) {
        return std::pair{*a->call, session_end(*a)} < std::pair{*b->call, session_end(*b)};
      });
    for (std::size_t i = 1; i < session->size(); ++i) {
      const auto& before = *(*session)[i - 1];
      const auto& after = *(*session)[i];
      const auto who = "client " + after.client;
      if (before.outcome == op_outcome::unknown && may_go_on) continue;
      if (before.outcome == op_outcome::unknown)
        return parse_error{after.line, who + " goes on although the outcome of its call in line "
                                           + std::to_string(before.line) + " is unknown: it needs a new client id"};
      if (stamped && session_end(before) > *after.call)
        return parse_error{after.line, who + " calls at " + std::to_string(*after.call) + ", but its call in line "
                                           + std::to_string(before.line) + " is open until "
                                           + std::to_string(session_end(before)) + ": a session is sequential"};
    }
  }
  return std::nullopt;
}

} // namespace

std::string_view to_string(op_kind kind) {
  for (const auto& [name, known] : kind_names)
    if (known == kind) return name;
  return "?";
}

std::string_view to_string(op_outcome outcome) {
  for (const auto& [name, known] : outcome_names)
    if (known == outcome) return name;
  return "?";
}

std::string to_string(const parse_error& error) {
  return error.line == 0 ? error.what : "line " + std::to_string(error.line) + ": " + error.what;
}

tl::expected<history, parse_error> read_history(std::istream& in, const read_options& options) {
  history result;
  std::string line;
  for (std::size_t number = 1;; ++number) {
    const auto read = read_line(in, options.line_bytes_max, line);
    if (read == line_read::end) break;
    if (read == line_read::too_long)
      return tl::unexpected(parse_error{number, "longer than " + std::to_string(options.line_bytes_max) + " bytes"});
    if (line.find_first_not_of(" \t\r") == std::string::npos || line.front() == '#') continue;
    if (result.operations.size() == options.operations_max)
      return tl::unexpected(
          parse_error{number, "more than " + std::to_string(options.operations_max) + " operations"});
    auto op = parse_operation(line, number, options.time);
    if (!op) return tl::unexpected(std::move(op).error());
    result.operations.push_back(std::move(*op));
  }
  if (auto error = check_sessions(result, options.may_go_on)) return tl::unexpected(std::move(*error));
  return result;
}

void write_operation(std::ostream& out, const operation& op) {
  const auto text = [](const std::string& value) {
    return json(value).dump(-1, ' ', false, json::error_handler_t::replace);
  };
  const auto text_or_null = [&](const std::optional<std::string>& value) { return value ? text(*value) : "null"; };
  const bool answered = op.outcome == op_outcome::ok;
  out << "{\"client\":" << op.client << ",\"key\":" << text(op.key) << ",\"op\":\"" << to_string(op.kind) << '"';
  if (op.kind == op_kind::cas) out << ",\"old\":" << text_or_null(op.old);
  if (op.value || (answered && (op.kind == op_kind::get || op.kind == op_kind::count)))
    out << ",\"value\":" << text_or_null(op.value);
  if (op.members) out << ",\"value\":" << json(*op.members).dump(-1, ' ', false, json::error_handler_t::replace);
  if (op.delta) out << ",\"delta\":" << *op.delta;
  if (op.floor) out << ",\"floor\":" << *op.floor;
  if (op.applied) out << ",\"applied\":" << (*op.applied ? "true" : "false");
  if (op.result) out << ",\"result\":" << *op.result;
  if (op.token) out << ",\"token\":" << *op.token;
  if (op.call) out << ",\"call\":" << *op.call;
  if (op.returned) out << ",\"return\":" << *op.returned;
  out << ",\"outcome\":\"" << to_string(op.outcome) << '"';
  if (op.ver) out << ",\"ver\":" << *op.ver;
  if (op.node) out << ",\"node\":" << *op.node;
  if (op.final) out << ",\"final\":true";
  out << "}\n";
}

} // namespace troupe::check
