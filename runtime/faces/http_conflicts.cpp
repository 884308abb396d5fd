#include "runtime/faces/http_conflicts.hpp"

#include "protocol/limits.hpp"
#include "runtime/faces/http_query.hpp"

#include <nlohmann/json.hpp>

namespace troupe::http {

namespace {

using json = nlohmann::ordered_json;

constexpr std::size_t listed_by_default = 100;

answer json_answer(const json& object) {
  return {200, object.dump(-1, ' ', false, json::error_handler_t::replace), "application/json", ""};
}

std::pair<std::string, std::string> type_and_name(const std::string& stored) {
  const auto colon = stored.find(':');
  return {stored.substr(0, colon), stored.substr(colon + 1)};
}

/// What `type` and `key` say about the keys that are listed. @errors what is wrong.
tl::expected<std::string, std::string> prefix_of(const cluster& shape, const query& parameters) {
  const auto* const type = parameters.find("type");
  const auto* const key = parameters.find("key");
  if (type == nullptr) {
    if (key != nullptr) return tl::unexpected{std::string{"key is the beginning of a key in a type: name the type"}};
    return std::string{};
  }
  if (!shape.types.contains(*type)) return tl::unexpected{"unknown type; there are: " + type_names(shape)};
  return stored_key(*type, key == nullptr ? std::string_view{} : std::string_view{*key});
}

} // namespace

tl::expected<asked_conflicts, answer> interpret_conflicts(const cluster& shape, std::string_view method,
                                                          std::string_view target) {
  const auto bad = [](const std::string& what) { return tl::unexpected{failure(errc::invalid_argument, what)}; };
  std::string_view parameters;
  if (const auto mark = target.find('?'); mark != std::string_view::npos) {
    parameters = target.substr(mark + 1);
    target = target.substr(0, mark);
  }
  asked_conflicts asked;
  if (target == conflicts_path) {
    if (method != "GET") return bad("one of /v1/conflicts/ID is restored by POST, and discarded by DELETE");
    const auto given = query::parse(parameters, {{"type"}, {"key"}, {"max"}});
    if (!given) return bad(given.error());
    auto prefix = prefix_of(shape, *given);
    if (!prefix) return bad(prefix.error());
    asked.question.prefix = std::move(*prefix);
    asked.question.max = listed_by_default;
    if (const auto* const max = given->find("max")) {
      const auto number = number_in(*max);
      if (!number || *number < 1 || *number > static_cast<std::int64_t>(limits::conflicts_listed_max))
        return bad("max is a number from 1 to " + std::to_string(limits::conflicts_listed_max));
      asked.question.max = static_cast<std::size_t>(*number);
    }
    return asked;
  }
  if (!parameters.empty()) return bad("there are no parameters here");
  const auto name = percent_decoded(target.substr(std::min(target.size(), conflicts_prefix.size())));
  const auto id = name ? conflict_id_from(*name) : std::nullopt;
  if (!id) return bad("an ID looks like free/n1.2:17, as /v1/conflicts lists it");
  asked.question.only = *id;
  if (method == "POST")
    asked.asked = asked_conflicts::what::restore;
  else if (method == "DELETE")
    asked.asked = asked_conflicts::what::discard;
  return asked;
}

answer listed(const conflict_list& found) {
  json out{{"kept", found.kept}, {"evicted", found.evicted}, {"conflicts", json::array()}};
  for (const auto& lost : found.conflicts) {
    const auto [type, name] = type_and_name(lost.key);
    json entry{{"id", to_string(lost.id)}, {"type", type}, {"key", text_or_hex(name)}};
    if (!lost.field.empty()) entry["field"] = text_or_hex(lost.field);
    entry["value"] = text_or_hex(lost.value);
    entry["written_ms"] = lost.when.clock >> 16U;
    entry["lost_to"] = to_string(lost.winner);
    entry["seen_ms"] = lost.seen_at_ms;
    out["conflicts"].push_back(std::move(entry));
  }
  return json_answer(out);
}

typed_operation restoring(const conflict& lost) {
  auto [type, name] = type_and_name(lost.key);
  typed_operation again;
  again.type = std::move(type);
  again.key = std::move(name);
  if (lost.field.empty()) {
    again.operation.mutable_put()->set_value(lost.value);
  } else {
    again.view = read_view::fields;
    again.operation.mutable_put_field()->set_field(lost.field);
    again.operation.mutable_put_field()->set_value(lost.value);
  }
  return again;
}

answer restored(const conflict& lost, const v1::WeakAnswer& done) {
  if (const auto error = code_of(done.result()); error != errc::none) return failure(error, done.detail());
  return json_answer({{"restored", to_string(lost.id)}});
}

answer discarded(const conflict_id& id) { return json_answer({{"discarded", to_string(id)}}); }

answer no_such_conflict(const conflict_id& id) {
  auto out = failure(errc::invalid_argument,
                     "this node keeps no conflict " + to_string(id) + ": it was dealt with, put out, or is kept by n"
                         + std::to_string(id.at.from.node.value) + ", which accepted the value");
  out.status = 404;
  return out;
}

} // namespace troupe::http
