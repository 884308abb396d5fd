/// /v1/keys: what a request asks for, and how an outcome is answered. Free of sockets and actors.
#pragma once

#include "protocol/cluster.hpp"
#include "runtime/faces/typed_operation.hpp"

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
};

/// An answer, ready to be sent.
struct answer {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::string etag; ///< empty = none
};

struct asked_operation {
  typed_operation operation;
  std::optional<milliseconds> deadline;
};

/// Whether this can be the stored key of a named lock: "TYPE:NAME" with a type of the configuration.
bool is_lock_name(const cluster& shape, std::string_view stored);

/// @errors the answer to be given instead: 400 with what is allowed.
tl::expected<asked_operation, answer> interpret(const cluster& shape, key_request request, milliseconds deadline_max);

/// @param asked  what interpret() made of `request`, without its values.
answer answer_to(const key_request& request, v1::Operation::WhatCase asked, v1::Result result);

/// {"error":…,"outcome":…,"message":…} with the status of the code.
answer failure(errc code, std::string_view detail = {});

} // namespace troupe::http
