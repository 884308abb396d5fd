/// What a core wants done: appended in order to a vector, performed in order by the actor around it.
#pragma once

#include "protocol/ids.hpp"
#include "protocol/wire.hpp"

#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace troupe {

/// Deliver `envelope` to the actor that owns its body's kind on node `to`; `to` may be the node itself.
struct send {
  node_id to;
  v1::Envelope envelope;
};

/// One line of the structured event trace: `name` is a stable event id, `fields` are "key=value" separated by blanks.
/// Never a value's bytes.
struct note {
  std::string name;
  std::string fields;
};

} // namespace troupe
