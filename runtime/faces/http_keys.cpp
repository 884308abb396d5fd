#include "runtime/faces/http_keys.hpp"

#include "protocol/wire.hpp"

#include <nlohmann/json.hpp>

#include <charconv>
#include <map>

namespace troupe::http {

namespace {

using nlohmann::json;

/// Client bytes may stand in a message: what is no UTF-8 is replaced.
std::string text_of(const json& object) { return object.dump(-1, ' ', false, json::error_handler_t::replace); }

std::optional<std::int64_t> number_in(std::string_view text) {
  std::int64_t number = 0;
  const auto* last = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc{} || stop != last) return std::nullopt;
  return number;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

using query = std::map<std::string, std::string, std::less<>>;

/// @errors what is wrong, for people.
tl::expected<query, std::string> parse_query(std::string_view text) {
  query result;
  while (!text.empty()) {
    const auto part = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    const auto equals = part.find('=');
    if (equals == std::string_view::npos) return tl::unexpected{std::string{"a query is name=value&name=value"}};
    const auto name = percent_decoded(part.substr(0, equals));
    const auto value = percent_decoded(part.substr(equals + 1));
    if (!name || !value) return tl::unexpected{std::string{"a percent sign is followed by two hexadecimal digits"}};
    if (*name != "add" && *name != "floor" && *name != "deadline_ms")
      return tl::unexpected{std::string{"unknown parameter; there are add, floor and deadline_ms"}};
    if (!result.emplace(*name, *value).second)
      return tl::unexpected{"the parameter " + *name + " stands there twice"};
  }
  return result;
}

int status_of(errc code) {
  switch (code) {
  case errc::key_too_long:
  case errc::invalid_argument:
  case errc::unknown_type:
    return 400;
  case errc::not_a_number:
  case errc::out_of_range:
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
std::string etag_of(const v1::Result& result) {
  const auto& v = result.version();
  return "\"" + std::to_string(v.round()) + "." + std::to_string(v.node()) + "." + std::to_string(v.incarnation())
         + "." + std::to_string(v.counter()) + "\"";
}

answer bad_request(std::string_view detail) { return failure(errc::invalid_argument, detail); }

/// Puts what `request` asks for into `operation`. @errors the answer to be given instead.
std::optional<answer> fill(v1::Operation& operation, key_request& request, const query& parameters) {
  const auto floor = parameters.find("floor");
  const auto add = parameters.find("add");
  if ((add != parameters.end() || floor != parameters.end()) && request.method != "POST")
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
    const auto delta = add == parameters.end() ? std::nullopt : number_in(add->second);
    if (!delta) return bad_request("POST takes add=NUMBER, and floor=NUMBER if the sum may not be lower");
    operation.mutable_add()->set_delta(*delta);
    if (floor == parameters.end()) return std::nullopt;
    const auto lowest = number_in(floor->second);
    if (!lowest) return bad_request("floor is a 64-bit number");
    operation.mutable_add()->set_has_floor(true);
    operation.mutable_add()->set_floor(*lowest);
  }
  return std::nullopt;
}

} // namespace

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result += text[i];
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    result += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return result;
}

tl::expected<asked_operation, answer> interpret(const cluster& shape, key_request request,
                                                milliseconds deadline_max) {
  std::string_view path{request.target};
  std::string_view query_text;
  if (const auto mark = path.find('?'); mark != std::string_view::npos) {
    query_text = path.substr(mark + 1);
    path = path.substr(0, mark);
  }
  if (!path.starts_with(keys_prefix)) return tl::unexpected{bad_request("a key is at /v1/keys/TYPE/KEY")};
  path.remove_prefix(keys_prefix.size());
  const auto slash = path.find('/');
  if (slash == std::string_view::npos) return tl::unexpected{bad_request("a key is at /v1/keys/TYPE/KEY")};
  const auto type = percent_decoded(path.substr(0, slash));
  const auto key = percent_decoded(path.substr(slash + 1));
  if (!type || !key) return tl::unexpected{bad_request("a percent sign is followed by two hexadecimal digits")};
  const auto parameters = parse_query(query_text);
  if (!parameters) return tl::unexpected{bad_request(parameters.error())};

  asked_operation asked;
  asked.operation.type = *type;
  asked.operation.key = *key;
  if (const auto given = parameters->find("deadline_ms"); given != parameters->end()) {
    const auto number = number_in(given->second);
    if (!number || *number < 1 || *number > deadline_max.count())
      return tl::unexpected{bad_request("deadline_ms is a number from 1 to " + std::to_string(deadline_max.count()))};
    asked.deadline = milliseconds{*number};
  }
  if (auto refusal = fill(asked.operation.operation, request, *parameters))
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
