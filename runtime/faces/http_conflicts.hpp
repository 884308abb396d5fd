/// /v1/conflicts: what a request asks for, and how it is answered. Free of sockets and actors.
#pragma once

#include "actors/messages.hpp"
#include "runtime/faces/http_keys.hpp"

#include <tl/expected.hpp>

#include <string>
#include <string_view>

namespace troupe::http {

inline constexpr std::string_view conflicts_path = "/v1/conflicts";
inline constexpr std::string_view conflicts_prefix = "/v1/conflicts/";

struct asked_conflicts {
  enum class what : std::uint8_t { list, restore, discard };
  what asked = what::list;
  conflicts_question question; ///< restore, discard: `only` is the one
};

/// @errors the answer to be given instead: 400 with what is allowed.
tl::expected<asked_conflicts, answer> interpret_conflicts(const cluster& shape, std::string_view method,
                                                          std::string_view target);

answer listed(const conflict_list& found);
/// Writes the value again, over what is there: a map's field, or the key.
typed_operation restoring(const conflict& lost);
/// @param done  the answer to restoring().
answer restored(const conflict& lost, const v1::WeakAnswer& done);
answer discarded(const conflict_id& id);
answer no_such_conflict(const conflict_id& id);

} // namespace troupe::http
