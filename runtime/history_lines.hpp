/// The lines of a history, made of operations and their answers.
#pragma once

#include "protocol/check/history.hpp"
#include "protocol/cluster.hpp"
#include "protocol/wire/stream.pb.h"
#include "runtime/operation_rules.hpp"

#include <optional>
#include <string>

namespace troupe {

/// The line of an operation that is about to be sent. Nothing: the format has no word for it, as for all fields of a
/// map at once, or several concurrent values.
/// @param key  as stored. A field of a map is a key of its own in a history, "KEY/FIELD".
std::optional<check::operation> invocation_line(const data_type& type, const v1::Operation& operation, read_view view,
                                                const std::string& key);

/// Adds what an operation answered to its line.
/// @param whole  of a weaker level; else null.
void complete_line(check::operation& line, const v1::Result& answer, const v1::WeakAnswer* whole);

} // namespace troupe
