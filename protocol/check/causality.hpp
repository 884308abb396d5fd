#pragma once
/// Causal consistency of a history, in its three usual forms, by the bad patterns of Bouajjani, Enea, Guerraoui,
/// Hamza: On Verifying Causal Consistency, POPL 2017: polynomial for histories whose values are written once per key.
///
/// Takes O(operations x sessions) time and memory for cc and ccv; cm concludes anew for every session that reads.

#include "protocol/check/causal_graph.hpp"
#include "protocol/check/causal_witness.hpp"
#include "protocol/check/register_search.hpp"

#include <cstddef>
#include <optional>
#include <string_view>

namespace troupe::check {

/// Each holds wherever the one before it does not ask for more: ccv and cm imply cc, and neither the other.
enum class causal_model : std::uint8_t {
  cc,  ///< causal consistency: nobody sees an effect without its causes
  ccv, ///< causal convergence: and all agree on one order of the writes of each key
  cm,  ///< causal memory: and each session by itself has an order of the writes that explains all that it read
};
std::string_view name_of(causal_model model);

struct causality_options {
  std::size_t memory_bytes_max = std::size_t{2} << 30; ///< of clocks; beyond: undecided
};

struct causality_report {
  verdict result = verdict::yes;
  std::size_t operations = 0; ///< those with outcome fail included
  std::size_t sessions = 0;
  std::size_t keys = 0;
  std::size_t unknowns = 0;
  std::size_t failed = 0;
  std::optional<causal_witness> refutation{};
};

/// Stamps are not needed, and but for the order of each session not looked at: causality does not know of time. A
/// write of unknown outcome counts if somebody reads it; it has its session's past, and nobody has it in his own past
/// who has not read it.
/// @errors an operation that is neither get, put nor cas; a value that is written twice to one key: its line.
tl::expected<causality_report, parse_error> check_causality(const history& all, causal_model model,
                                                            const causality_options& options = {});

} // namespace troupe::check
