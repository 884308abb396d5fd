#include "runtime/faces/http_keys.hpp"

#include "protocol/limits.hpp"
#include "protocol/wire.hpp"
#include "runtime/faces/http_query.hpp"

#include <nlohmann/json.hpp>

namespace troupe::http {

namespace {

using nlohmann::json;

/// Client bytes may stand in a message: what is no UTF-8 is replaced.
std::string text_of(const json& object) { return object.dump(-1, ' ', false, json::error_handler_t::replace); }

int status_of(errc code) {
  switch (code) {
  case errc::key_too_long:
  case errc::invalid_argument:
  case errc::unknown_type:
  case errc::bad_token:
    return 400;
  case errc::not_a_number:
  case errc::out_of_range:
  case errc::wrong_kind:
  case errc::lock_lost:
  case errc::fenced:
  case errc::not_protected:
  case errc::too_many_siblings:
    return 409;
  case errc::value_too_large:
    return 413;
  case errc::unsupported_level:
  case errc::unsupported_operation:
    return 501;
  default:
    return outcome_of(code) == outcome::unknown ? 504 : 503;
  }
}

/// A strong validator: two values of a key with the same version are the same bytes.
std::string etag_of(const v1::Result& result) { return "\"" + spelled(from_wire(result.version())) + "\""; }

constexpr std::int64_t staleness_ms_max = 3'600'000;

answer bad_request(std::string_view detail) { return failure(errc::invalid_argument, detail); }

/// The lock that a write relies on. @errors the answer to be given instead.
std::optional<answer> fill_fence(v1::Operation& operation, const cluster& shape, const query& parameters) {
  const auto* const lock = parameters.find("lock");
  const auto* const token = parameters.find("token");
  if (lock == nullptr && token == nullptr) return std::nullopt;
  if (lock == nullptr || token == nullptr) return bad_request("lock=TYPE:NAME and token= belong together");
  if (operation.has_get()) return bad_request("a read does not need a lock");
  if (!is_lock_name(shape, *lock)) return bad_request("lock is TYPE:NAME, with a type of the configuration");
  const auto known = version_in(*token);
  if (!known) return bad_request("a token looks like 7.2.1.42, as the lock's answer quotes it");
  operation.mutable_fence()->set_lock(*lock);
  to_wire(*known, *operation.mutable_fence()->mutable_token());
  return std::nullopt;
}

/// Puts what is asked of a part of a key: an element of a set, a field of a map. @errors the answer instead.
std::optional<answer> fill_part(asked_operation& asked, key_request& request, const query& parameters) {
  const auto* const element = parameters.find("element");
  const auto* const field = parameters.find("field");
  if (element == nullptr && field == nullptr) return std::nullopt;
  if (element != nullptr && field != nullptr) return bad_request("element is for sets, and field for maps");
  const auto& name = element != nullptr ? *element : *field;
  if (name.empty()) return bad_request("an element, or the name of a field, is not empty");
  asked.operation.view = element != nullptr ? read_view::elements : read_view::fields;
  auto& operation = asked.operation.operation;
  if (request.method == "PUT") {
    operation.mutable_put_field()->set_field(name);
    if (field != nullptr) operation.mutable_put_field()->set_value(std::move(request.body));
  } else if (request.method == "DELETE") {
    operation.mutable_remove_field()->set_field(name);
  } else if (request.method == "GET" && field != nullptr) {
    operation.mutable_get();
    asked.field = name;
  } else {
    return bad_request("element is for PUT and DELETE, field for GET, too");
  }
  return std::nullopt;
}

/// What a read of a whole key means, by its type.
read_view view_of(const data_type& type) {
  if (type.consistency == level::strong) return read_view::value;
  switch (type.resolver) {
  case resolver_kind::siblings:
    return read_view::siblings;
  case resolver_kind::set:
    return read_view::elements;
  case resolver_kind::map:
    return read_view::fields;
  default:
    return read_view::value;
  }
}

/// What the weaker levels have beside the operation. @errors the answer to be given instead.
std::optional<answer> fill_wishes(asked_operation& asked, const query& parameters, const token_seal& seal) {
  if (const auto* const name = parameters.find("level")) {
    asked.operation.at = level_named(*name);
    if (!asked.operation.at) return bad_request("level is eventual, session, causal or strong");
  }
  if (const auto* const bound = parameters.find("max_staleness_ms")) {
    const auto number = number_in(*bound);
    if (!number || *number < 1 || *number > staleness_ms_max)
      return bad_request("max_staleness_ms is a number from 1 to " + std::to_string(staleness_ms_max));
    asked.operation.extra.set_staleness_us(static_cast<std::uint64_t>(*number) * 1'000);
  }
  if (const auto* const context = parameters.find("context")) {
    const auto opened = session_token::open_context(seal.keys, seal.cluster, *context);
    if (!opened) return failure(opened.error().code, opened.error().detail);
    to_wire(*opened, *asked.operation.extra.mutable_context());
  }
  return std::nullopt;
}

/// Puts what `request` asks for into `operation`. @errors the answer to be given instead.
std::optional<answer> fill(v1::Operation& operation, key_request& request, const query& parameters) {
  const auto* const floor = parameters.find("floor");
  const auto* const add = parameters.find("add");
  if ((add != nullptr || floor != nullptr) && request.method != "POST")
    return bad_request("add and floor belong to POST");
  if (!request.if_match.empty()) return bad_request("If-Match is not supported");
  if (request.method == "GET") {
    operation.mutable_get();
  } else if (request.method == "DELETE") {
    operation.mutable_remove();
  } else if (request.method == "PUT") {
    if (!request.if_none_match.empty() && request.if_none_match != "*")
      return bad_request("If-None-Match of a PUT is *, or absent");
    if (request.if_none_match == "*") {
      operation.mutable_compare_and_set()->set_expect_absent(true);
      operation.mutable_compare_and_set()->set_value(std::move(request.body));
    } else {
      operation.mutable_put()->set_value(std::move(request.body));
    }
  } else {
    const auto delta = add == nullptr ? std::nullopt : number_in(*add);
    if (!delta) return bad_request("POST takes add=NUMBER, and floor=NUMBER if the sum may not be lower");
    operation.mutable_add()->set_delta(*delta);
    if (floor == nullptr) return std::nullopt;
    const auto lowest = number_in(*floor);
    if (!lowest) return bad_request("floor is a 64-bit number");
    operation.mutable_add()->set_has_floor(true);
    operation.mutable_add()->set_floor(*lowest);
  }
  return std::nullopt;
}

} // namespace

bool is_lock_name(const cluster& shape, std::string_view stored) {
  const auto colon = stored.find(':');
  return colon != std::string_view::npos && colon + 1 < stored.size() && stored.size() <= limits::lock_name_bytes_max
         && shape.types.contains(std::string{stored.substr(0, colon)});
}

tl::expected<asked_operation, answer> interpret(const cluster& shape, const token_seal& seal, key_request request,
                                                milliseconds deadline_max) {
  auto target = split_target(request.target, keys_prefix, "a key is at /v1/keys/TYPE/KEY");
  if (!target) return tl::unexpected{bad_request(target.error())};
  const auto parameters = query::parse(target->query, {{"add"},
                                                       {"floor"},
                                                       {"deadline_ms"},
                                                       {"lock"},
                                                       {"token"},
                                                       {"level"},
                                                       {"max_staleness_ms"},
                                                       {"context"},
                                                       {"element"},
                                                       {"field"}});
  if (!parameters) return tl::unexpected{bad_request(parameters.error())};

  asked_operation asked;
  asked.operation.type = std::move(target->type);
  asked.operation.key = std::move(target->name);
  if (const auto* const given = parameters->find("deadline_ms")) {
    const auto number = number_in(*given);
    if (!number || *number < 1 || *number > deadline_max.count())
      return tl::unexpected{bad_request("deadline_ms is a number from 1 to " + std::to_string(deadline_max.count()))};
    asked.deadline = milliseconds{*number};
  }
  if (auto refusal = fill_part(asked, request, *parameters)) return tl::unexpected{std::move(*refusal)};
  const bool of_part = asked.operation.operation.what_case() != v1::Operation::WHAT_NOT_SET;
  if (auto refusal = of_part ? std::nullopt : fill(asked.operation.operation, request, *parameters))
    return tl::unexpected{std::move(*refusal)};
  if (auto refusal = fill_wishes(asked, *parameters, seal)) return tl::unexpected{std::move(*refusal)};
  if (auto refusal = fill_fence(asked.operation.operation, shape, *parameters))
    return tl::unexpected{std::move(*refusal)};
  if (const auto mistake = find_mistake(shape, asked.operation); mistake != errc::none)
    return tl::unexpected{
        failure(mistake, mistake == errc::unknown_type ? "there are: " + type_names(shape) : std::string{})};
  const auto& type = shape.types.at(asked.operation.type);
  if (!of_part && asked.operation.operation.has_get()) asked.operation.view = view_of(type);
  if (auto refused = find_refusal(shape, asked.operation))
    return tl::unexpected{failure(refused->code, refused->detail)};
  asked.wants_token = type.consistency != level::strong || request.token.has_value();
  if (request.token && !request.token->empty()) {
    auto seen = seal.open(*request.token);
    if (!seen) return tl::unexpected{failure(seen.error().code(), seen.error().detail())};
    asked.seen = std::move(*seen);
  }
  return asked;
}

namespace {

/// Several values, elements or fields. A read of one field is answered as a value.
answer answer_with_items(const asked_kind& asked, const v1::WeakAnswer& whole, const token_seal& seal) {
  answer reply;
  if (!asked.field.empty()) {
    for (const auto& item : whole.items()) {
      if (item.field() != asked.field) continue;
      reply.content_type = "application/octet-stream";
      reply.body = item.value();
      return reply;
    }
    reply.status = 404;
    reply.body = text_of({{"exists", false}});
    return reply;
  }
  json list = json::array();
  if (asked.view == read_view::siblings) {
    auto context = session_token::seal_context(seal.keys, seal.cluster, troupe::from_wire(whole.context()));
    if (!context) return failure(context.error().code, context.error().detail);
    for (const auto& item : whole.items())
      list.push_back(text_or_hex(item.value()));
    reply.body = text_of({{"values", list}, {"context", *context}});
  } else if (asked.view == read_view::elements) {
    for (const auto& item : whole.items())
      list.push_back(text_or_hex(item.field()));
    reply.body = text_of({{"elements", list}});
  } else {
    // Pairs, since the name of a field need not be UTF-8, as that of a member has to be.
    for (const auto& item : whole.items())
      list.push_back({{"field", text_or_hex(item.field())}, {"value", text_or_hex(item.value())}});
    reply.body = text_of({{"fields", list}});
  }
  return reply;
}

} // namespace

nlohmann::json text_or_hex(const std::string& bytes) {
  try {
    json text = bytes;
    (void)text.dump();
    return text;
  } catch (const json::type_error&) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string hex;
    for (const char c : bytes) {
      const auto byte = static_cast<unsigned char>(c);
      hex += {digits[byte >> 4U], digits[byte & 15U]};
    }
    return {{"hex", hex}};
  }
}

answer answer_to(const key_request& request, const asked_kind& asked, v1::WeakAnswer whole, const token_seal& seal) {
  auto& result = *whole.mutable_result();
  if (result.error() != 0) return failure(code_of(result), whole.detail());
  const bool of_value = asked.view == read_view::value || asked.view == read_view::snapshot;
  if (asked.what == v1::Operation::kGet && !of_value) return answer_with_items(asked, whole, seal);
  answer reply;
  if (result.has_version()) reply.etag = etag_of(result);
  switch (asked.what) {
  case v1::Operation::kGet:
    if (!result.exists()) {
      reply.status = 404;
      reply.body = text_of({{"exists", false}});
    } else if (!reply.etag.empty() && request.if_none_match == reply.etag) {
      reply.status = 304;
    } else {
      reply.content_type = "application/octet-stream";
      reply.body = std::move(*result.mutable_value());
    }
    return reply;
  case v1::Operation::kCompareAndSet:
    reply.status = result.applied() ? 200 : 412;
    reply.body = text_of({{"applied", result.applied()}});
    return reply;
  case v1::Operation::kRemove:
  case v1::Operation::kRemoveField:
    reply.body = text_of({{"existed", result.exists()}});
    return reply;
  case v1::Operation::kAdd:
    reply.status = result.applied() ? 200 : 409;
    reply.body = text_of({{"applied", result.applied()}, {"number", result.number()}});
    return reply;
  default:
    break;
  }
  reply.body = text_of({{"applied", true}});
  return reply;
}

answer failure(errc code, std::string_view detail) {
  std::string message{troupe::text_of(code)};
  if (!detail.empty()) message.append("; ").append(detail);
  answer reply;
  reply.status = status_of(code);
  reply.body = text_of({{"error", name_of(code)},
                        {"outcome", outcome_of(code) == outcome::unknown ? "unknown" : "not done"},
                        {"message", message}});
  return reply;
}

} // namespace troupe::http
