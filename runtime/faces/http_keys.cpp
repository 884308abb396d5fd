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
    return 400;
  case errc::not_a_number:
  case errc::out_of_range:
  case errc::wrong_kind:
  case errc::lock_lost:
  case errc::fenced:
  case errc::not_protected:
    return 409;
  case errc::value_too_large:
    return 413;
  case errc::unsupported_level:
    return 501;
  default:
    return outcome_of(code) == outcome::unknown ? 504 : 503;
  }
}

/// A strong validator: two values of a key with the same version are the same bytes.
std::string etag_of(const v1::Result& result) { return "\"" + spelled(from_wire(result.version())) + "\""; }

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

tl::expected<asked_operation, answer> interpret(const cluster& shape, key_request request,
                                                milliseconds deadline_max) {
  auto target = split_target(request.target, keys_prefix, "a key is at /v1/keys/TYPE/KEY");
  if (!target) return tl::unexpected{bad_request(target.error())};
  const auto parameters = query::parse(target->query, {{"add"}, {"floor"}, {"deadline_ms"}, {"lock"}, {"token"}});
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
  if (auto refusal = fill(asked.operation.operation, request, *parameters))
    return tl::unexpected{std::move(*refusal)};
  if (auto refusal = fill_fence(asked.operation.operation, shape, *parameters))
    return tl::unexpected{std::move(*refusal)};
  if (const auto mistake = find_mistake(shape, asked.operation); mistake != errc::none)
    return tl::unexpected{
        failure(mistake, mistake == errc::unknown_type ? "there are: " + type_names(shape) : std::string{})};
  return asked;
}

answer answer_to(const key_request& request, v1::Operation::WhatCase asked, v1::Result result) {
  if (result.error() != 0) return failure(code_of(result));
  answer reply;
  if (result.has_version()) reply.etag = etag_of(result);
  switch (asked) {
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
