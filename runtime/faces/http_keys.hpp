/// /v1/keys: what a request asks for, and how an outcome is answered. Free of sockets and actors.
#pragma once

#include "protocol/cluster.hpp"
#include "runtime/faces/typed_operation.hpp"
#include "runtime/token_seal.hpp"

#include <nlohmann/json_fwd.hpp>
#include <tl/expected.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace troupe::http {

inline constexpr std::string_view keys_prefix = "/v1/keys/";

/// The parts of a request that matter here.
struct key_request {
  std::string method;
  std::string target; ///< as it stands in the request line: undecoded, with its query
  std::string body;
  std::string if_none_match;
  std::string if_match;
  std::optional<std::string> token{}; ///< Troupe-Token; empty = the session begins here
};

/// An answer, ready to be sent.
struct answer {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::string etag;    ///< empty = none
  std::string token{}; ///< Troupe-Token; empty = none
};

struct asked_operation {
  typed_operation operation;
  std::optional<milliseconds> deadline;
  std::string field{};                     ///< of a map: the only one that is asked for; empty = all
  std::optional<v1::SessionVector> seen{}; ///< what its token says
  bool wants_token = false;                ///< the answer carries one
};

/// Whether this can be the stored key of a named lock: "TYPE:NAME" with a type of the configuration.
bool is_lock_name(const cluster& shape, std::string_view stored);

/// @errors the answer to be given instead: 400 with what is allowed.
tl::expected<asked_operation, answer> interpret(const cluster& shape, const token_seal& seal, key_request request,
                                                milliseconds deadline_max);

/// What answer_to() has to know of what was asked.
struct asked_kind {
  v1::Operation::WhatCase what = v1::Operation::WHAT_NOT_SET;
  read_view view = read_view::value;
  std::string field{};
};
inline asked_kind kind_of(const asked_operation& asked) {
  return {asked.operation.operation.what_case(), asked.operation.view, asked.field};
}

/// @param seal  for the context of concurrent values.
answer answer_to(const key_request& request, const asked_kind& asked, v1::WeakAnswer whole, const token_seal& seal);

/// JSON has no bytes: what is no UTF-8 becomes {"hex":…}.
nlohmann::json text_or_hex(const std::string& bytes);

/// {"error":…,"outcome":…,"message":…} with the status of the code.
answer failure(errc code, std::string_view detail = {});

} // namespace troupe::http
