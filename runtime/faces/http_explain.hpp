/// /v1/explain: what a request asks for, and how an explanation is answered. Free of sockets and actors.
#pragma once

#include "actors/interfaces.hpp"
#include "runtime/faces/http_keys.hpp"

#include <tl/expected.hpp>

#include <string>
#include <string_view>

namespace troupe::http {

inline constexpr std::string_view explain_prefix = "/v1/explain/";

/// @param until  whoever has not answered by then is said not to have.
/// @errors the answer to be given instead: 400 with what is allowed.
tl::expected<explain_request, answer> interpret_explain(const cluster& shape, std::string_view target, instant until);

answer explained(const cluster& shape, const explain_request& asked, const explanation& found);

} // namespace troupe::http
