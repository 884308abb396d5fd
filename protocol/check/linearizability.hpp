#pragma once
/// Linearizability of a history, key by key (a history is linearizable exactly if it is for each key alone).

#include "protocol/check/history.hpp"
#include "protocol/check/register_search.hpp"
#include "protocol/check/witness.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace troupe::check {

struct linearizability_options {
  std::uint64_t states_max = 20'000'000;               ///< per key; beyond it the key is undecided
  std::size_t memory_bytes_max = std::size_t{2} << 30; ///< of the states remembered at one time; beyond: undecided
  std::function<bool()> give_up;                       ///< asked now and then; true = undecided; may be empty
  bool with_witness = true;
  std::uint64_t witness_states_max = 4'000'000; ///< for making the witness small, all trials together
};

struct linearizability_report {
  verdict result = verdict::yes;
  std::size_t operations = 0; ///< checked: all but those with outcome fail
  std::size_t keys = 0;
  std::size_t unknowns = 0;
  std::size_t failed = 0;
  std::uint64_t states = 0;                ///< entered by the search, those for the witness not counted
  std::vector<std::string> undecided_keys; ///< in order of first appearance
  std::optional<witness> refutation;       ///< of the first key that is not linearizable
};

/// Checks every key until one is refuted; that verdict stands whatever other keys left undecided.
///
/// The register knows get, put, cas, delete, append and add, and starts absent. An add counts on the decimal text of
/// the value (absent = 0); one that was answered although the value is no integer, or would overflow, is a violation.
/// Values may repeat.
/// @errors an operation of another kind, or without stamps: its line.
tl::expected<linearizability_report, parse_error> check_linearizability(const history& all,
                                                                        const linearizability_options& options = {});

} // namespace troupe::check
