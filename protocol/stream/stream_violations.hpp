/// Violations of the weaker promises, counted where they would be seen (PROTOCOLS §9).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace troupe {

enum class violation : std::uint8_t {
  behind_session,     ///< the state does not contain what the session has seen
  dependency_missing, ///< a version is shown, or would be, whose causes are not here
  went_back,          ///< the key is below what this session has written
  checksum,           ///< a record's bytes are damaged
  bound_exceeded,     ///< staler than the reader allows
};
inline constexpr std::size_t stream_violation_kinds = 5;

std::string_view name_of(violation v);

/// Prevented: a read waited, was redone or refused. Served: an answer went out all the same; a defect of ours.
struct violation_counts {
  std::array<std::uint64_t, stream_violation_kinds> prevented{};
  std::array<std::uint64_t, stream_violation_kinds> served{};
};

} // namespace troupe
