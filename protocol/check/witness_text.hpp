#pragma once
/// The words of a witness.

#include "protocol/check/witness.hpp"

#include <vector>

namespace troupe::check {

/// Fills `reasons`, and adds failed operations to the part if a reason names them.
/// @param all                    every operation of the key.
/// @param others_have_an_order   the part without the culprit is linearizable.
void explain(witness& found, const std::vector<const operation*>& all, bool others_have_an_order);

} // namespace troupe::check
