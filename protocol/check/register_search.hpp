#pragma once
/// Is there an order of these operations on one key that explains every answer?
///
/// The search of Wing and Gong with Lowe's memoization: take, one after the other, an operation that may come next in
/// real time and whose answers fit the state; step back when none does; never enter the same (set of operations
/// taken, state) twice. What makes it fast are the exact reductions named in register_search.cpp.
///
/// @source Wing & Gong, Testing and Verifying Concurrent Objects, JPDC 1993; Lowe, Testing for linearizability, CCPE
///         2017; the linked list of events follows Athalye's description of Porcupine.

#include "protocol/check/register_model.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>

namespace troupe::check {

enum class verdict : std::uint8_t { yes, no, undecided };

/// What a search may spend. Shared by the searches of one check: each takes from what is left.
struct search_budget {
  std::uint64_t states_left = 0;    ///< distinct (set, state) pairs still allowed
  std::size_t memory_bytes_max = 0; ///< of one search: states that it remembers, and values
  std::function<bool()> give_up;    ///< asked now and then; true ends the search; may be empty
  bool gave_up = false;             ///< it said so, and is not asked again
};

struct search_result {
  verdict found = verdict::undecided;
  std::int64_t furthest = 0; ///< the latest return that was ever waited for: what is in the way is near it, or later
};

/// Searches one key. `key` gains values while it runs.
/// @cost  memory and time are bounded by the budget, from which the entered states are taken.
search_result search(compiled_key& key, search_budget& budget);

} // namespace troupe::check
