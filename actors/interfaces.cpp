#include "actors/interfaces.hpp"

#include "protocol/error.hpp"

#include <caf/deep_to_string.hpp>

namespace troupe {

void register_types(caf::actor_system_config& config) {
  config.add_message_types<caf::id_block::troupe>();
  config.add_error_category(error_category, [](std::uint8_t code, caf::atom_value, const caf::message& detail) {
    const auto known = static_cast<errc>(code);
    std::string words{name_of(known)};
    words.append(": ").append(text_of(known));
    if (detail.match_elements<std::string>()) words.append(" (").append(detail.get_as<std::string>(0)).append(")");
    return words;
  });
}

} // namespace troupe
