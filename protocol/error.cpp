#include "protocol/error.hpp"

namespace troupe {

std::string_view name_of(errc code) {
  switch (code) {
  case errc::none:
    return "none";
#define TROUPE_ERROR(number, name, outcome_name, text)                                                               \
  case errc::name:                                                                                                   \
    return #name;
#include <troupe/error.def>
#undef TROUPE_ERROR
  }
  return "unknown_error";
}

std::string_view text_of(errc code) {
  switch (code) {
  case errc::none:
    return "no error";
#define TROUPE_ERROR(number, name, outcome_name, text)                                                               \
  case errc::name:                                                                                                   \
    return text;
#include <troupe/error.def>
#undef TROUPE_ERROR
  }
  return "an error that this version does not know";
}

outcome outcome_of(errc code) {
  switch (code) {
  case errc::none:
    return outcome::unknown;
#define TROUPE_ERROR(number, name, outcome_name, text)                                                               \
  case errc::name:                                                                                                   \
    return outcome::outcome_name;
#include <troupe/error.def>
#undef TROUPE_ERROR
  }
  return outcome::unknown;
}

} // namespace troupe
