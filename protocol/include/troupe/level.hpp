/// The consistency levels that a data type is configured with and a session may ask for.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace troupe {

/// What a read may return, weakest first.
enum class level : std::uint8_t { eventual, session, causal, strong };

/// As the configuration spells it.
std::string_view name_of(level l);
std::optional<level> level_named(std::string_view name);

} // namespace troupe
