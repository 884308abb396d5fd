/// /v1/locks: what a request asks for, and how an outcome is answered. Free of sockets and actors.
#pragma once

#include "protocol/cluster.hpp"
#include "protocol/strong/lock_acquisition.hpp"
#include "runtime/faces/http_keys.hpp"

#include <tl/expected.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace troupe::http {

inline constexpr std::string_view locks_prefix = "/v1/locks/";

struct asked_lock {
  enum class what : std::uint8_t { acquire, renew, release };
  what asked = what::acquire;
  std::string type;
  std::string name;
  lock_acquisition::wish wish; ///< acquire: all; else lock, owner and what the cluster's shape says
  version token;               ///< renew, release; round 0 = whatever the owner has or waits for is released
  std::optional<milliseconds> deadline;
};

/// @param unique_owner  who asks when the request does not say.
/// @errors the answer to be given instead: 400 with what is allowed.
tl::expected<asked_lock, answer> interpret_lock(const cluster& shape, std::string_view method,
                                                std::string_view target, milliseconds deadline_max,
                                                const std::string& unique_owner);

answer granted(const version& token, const std::string& owner, nanoseconds remaining);
answer taken(const std::string& owner, milliseconds remaining);
answer renewed(nanoseconds remaining);
/// @param had  there was something to give back.
answer released(bool had);

} // namespace troupe::http
