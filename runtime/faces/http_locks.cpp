#include "runtime/faces/http_locks.hpp"

#include "protocol/limits.hpp"
#include "runtime/faces/http_query.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace troupe::http {

namespace {

using nlohmann::json;

constexpr std::int64_t default_ttl_ms = 10'000;

answer bad_request(std::string_view detail) { return failure(errc::invalid_argument, detail); }

/// An answer whose texts are what clients have sent, in no encoding that is known.
answer json_answer(int status, const json& object) {
  answer reply;
  reply.status = status;
  reply.body = object.dump(-1, ' ', false, json::error_handler_t::replace);
  return reply;
}

std::int64_t left_ms(nanoseconds remaining) {
  return std::chrono::duration_cast<milliseconds>(std::max(remaining, nanoseconds{0})).count();
}

/// A parameter that is a number of milliseconds; absent = `otherwise`.
tl::expected<std::int64_t, answer> milliseconds_in(const query& parameters, std::string_view name,
                                                   std::int64_t lowest, std::int64_t highest,
                                                   std::int64_t otherwise) {
  const auto* const given = parameters.find(name);
  if (given == nullptr) return otherwise;
  const auto number = number_in(*given);
  if (number && *number >= lowest && *number <= highest) return *number;
  return tl::unexpected{bad_request(std::string{name} + " is a number from " + std::to_string(lowest) + " to "
                                    + std::to_string(highest))};
}

/// What an acquire asks for, beside lock and owner. @errors the answer to be given instead.
std::optional<answer> fill_wish(asked_lock& asked, const cluster& shape, const query& parameters,
                                milliseconds deadline_max) {
  auto& wish = asked.wish;
  const auto ttl = milliseconds_in(parameters, "ttl_ms", 1, static_cast<std::int64_t>(limits::lock_duration_max_ms),
                                   default_ttl_ms);
  if (!ttl) return ttl.error();
  wish.duration = milliseconds{*ttl};
  const auto wait = milliseconds_in(parameters, "wait_ms", 0, deadline_max.count(), 0);
  if (!wait) return wait.error();
  wish.wait = *wait > 0;
  if (wish.wait) asked.deadline = milliseconds{*wait};
  if (const auto* const shared = parameters.find("shared")) {
    if (*shared != "true" && *shared != "false") return bad_request("shared is true or false");
    wish.shared = *shared == "true";
  }
  wish.protects = parameters.all("protect");
  if (wish.protects.size() > limits::lock_protects_max)
    return bad_request("a lock protects at most " + std::to_string(limits::lock_protects_max) + " keys");
  for (const auto& key : wish.protects)
    if (const auto colon = key.find(':'); colon == std::string::npos || colon + 1 == key.size()
                                          || key.size() > limits::key_bytes_max
                                          || !shape.types.contains(key.substr(0, colon)))
      return bad_request("protect is TYPE:KEY, with one of these types: " + type_names(shape));
  return std::nullopt;
}

/// Which grant a renewal or a release is about. @errors the answer to be given instead.
std::optional<answer> fill_grant(asked_lock& asked, const query& parameters) {
  if (asked.wish.unique_owner) return bad_request("owner= is the one that the lock was granted to");
  const auto* const token = parameters.find("token");
  if (token == nullptr && asked.asked == asked_lock::what::release) return std::nullopt;
  const auto known = token == nullptr ? std::nullopt : version_in(*token);
  if (!known) return bad_request("token= is the one that the lock was granted with, and looks like 7.2.1.42");
  asked.token = *known;
  return std::nullopt;
}

std::optional<answer> fill(asked_lock& asked, const cluster& shape, std::string_view method, const query& parameters,
                           milliseconds deadline_max) {
  if (method == "POST") {
    asked.asked = asked_lock::what::acquire;
    if (parameters.has("token")) return bad_request("token belongs to PUT and DELETE");
    return fill_wish(asked, shape, parameters, deadline_max);
  }
  if (method != "PUT" && method != "DELETE") {
    auto reply = bad_request("a lock is taken by POST, renewed by PUT and given back by DELETE; who has it is in "
                             "/v1/status");
    reply.status = 405;
    return reply;
  }
  asked.asked = method == "PUT" ? asked_lock::what::renew : asked_lock::what::release;
  for (const auto* const name : {"ttl_ms", "wait_ms", "shared", "protect"})
    if (parameters.has(name)) return bad_request(std::string{name} + " belongs to POST");
  return fill_grant(asked, parameters);
}

} // namespace

tl::expected<asked_lock, answer> interpret_lock(const cluster& shape, std::string_view method,
                                                std::string_view target, milliseconds deadline_max,
                                                const std::string& unique_owner) {
  auto parts = split_target(target, locks_prefix, "a lock is at /v1/locks/TYPE/NAME");
  if (!parts) return tl::unexpected{bad_request(parts.error())};
  const auto parameters = query::parse(
      parts->query, {{"ttl_ms"}, {"wait_ms"}, {"owner"}, {"shared"}, {"protect", true}, {"token"}, {"deadline_ms"}});
  if (!parameters) return tl::unexpected{bad_request(parameters.error())};
  asked_lock asked;
  asked.type = std::move(parts->type);
  asked.name = std::move(parts->name);
  if (!shape.types.contains(asked.type))
    return tl::unexpected{failure(errc::unknown_type, "there are: " + type_names(shape))};
  auto& wish = asked.wish;
  wish.lock = stored_key(asked.type, asked.name);
  if (!is_lock_name(shape, wish.lock))
    return tl::unexpected{failure(errc::key_too_long, "a lock's name has at most "
                                                          + std::to_string(limits::lock_name_bytes_max)
                                                          + " bytes, with its type")};
  wish.shards = shape.shards;
  wish.drift_ppm = shape.drift_ppm;
  const auto* const owner = parameters->find("owner");
  wish.unique_owner = owner == nullptr;
  wish.owner = owner == nullptr ? unique_owner : *owner;
  if (wish.owner.empty() || wish.owner.size() > limits::lock_owner_bytes_max)
    return tl::unexpected{
        bad_request("an owner has 1 to " + std::to_string(limits::lock_owner_bytes_max) + " bytes")};
  const auto deadline = milliseconds_in(*parameters, "deadline_ms", 1, deadline_max.count(), 0);
  if (!deadline) return tl::unexpected{deadline.error()};
  if (*deadline > 0) asked.deadline = milliseconds{*deadline};
  if (auto refusal = fill(asked, shape, method, *parameters, deadline_max))
    return tl::unexpected{std::move(*refusal)};
  return asked;
}

answer granted(const version& token, const std::string& owner, nanoseconds remaining) {
  return json_answer(
      200, {{"held", true}, {"token", spelled(token)}, {"owner", owner}, {"remaining_ms", left_ms(remaining)}});
}

answer taken(const std::string& owner, milliseconds remaining) {
  return json_answer(409, {{"held", false}, {"owner", owner}, {"remaining_ms", remaining.count()}});
}

answer renewed(nanoseconds remaining) {
  return json_answer(200, {{"held", true}, {"remaining_ms", left_ms(remaining)}});
}

answer released(bool had) { return json_answer(200, {{"released", had}}); }

} // namespace troupe::http
