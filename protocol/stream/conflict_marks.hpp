/// How the marks begin under which a store keeps the entries of the conflict ledger: "c.17".
#pragma once

#include <string_view>

namespace troupe {

inline constexpr std::string_view conflict_marks = "c.";

} // namespace troupe
