#include "actors/interfaces.hpp"

namespace troupe {

void register_types(caf::actor_system_config& config) { config.add_message_types<caf::id_block::troupe>(); }

} // namespace troupe
