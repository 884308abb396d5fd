/// Error codes: generated from error.def, and the same on the wire, in the API and in the documentation.
#pragma once

#include <cstdint>
#include <string_view>

namespace troupe {

/// What the caller of a failed operation may believe.
enum class outcome : std::uint8_t {
  not_done, ///< nothing happened, and never will
  unknown,  ///< it may have happened, or may still happen
};

/// 0 = no error. The numbers travel on the wire.
enum class errc : std::uint8_t {
  none = 0,
#define TROUPE_ERROR(number, name, outcome, text) name = number,
#include <troupe/error.def>
#undef TROUPE_ERROR
};

/// The name as in error.def; "unknown_error" for a number that this build does not know.
std::string_view name_of(errc code);
/// One sentence for people.
std::string_view text_of(errc code);
/// A number that this build does not know is *unknown*: a newer peer may mean anything.
outcome outcome_of(errc code);

} // namespace troupe
