#pragma once
/// Convergence: when writes have stopped and links are whole, every replica holds the same of every key, and nothing
/// that was acknowledged is missing.

#include "protocol/check/history.hpp"
#include "protocol/check/register_search.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe::check {

/// What refutes it: the operations, and why.
struct divergence {
  std::vector<std::uint32_t> operations{}; ///< into history::operations
  std::string why{};                       ///< a sentence
};

struct convergence_report {
  verdict result = verdict::yes;
  std::size_t operations = 0;
  std::size_t final_reads = 0;
  std::size_t keys = 0; ///< with final reads
  std::size_t unknowns = 0;
  std::size_t failed = 0;
  std::optional<divergence> refutation{}; ///< of the first key, in order of appearance
};

/// Judges the reads that are marked `final`, by key: get, count and members. All of one key say the same, and
///   get      says what was put and not failed, or nothing when nothing was surely put, or something was deleted;
///   count    says the sum of what was surely added (incr, add), and of some of what may have been;
///   members  has every element that was surely added and that nobody has tried to remove, and none that nobody has
///            tried to add.
/// @errors no final read at all; a final operation of another kind; a key that is used in two ways: the line.
tl::expected<convergence_report, parse_error> check_convergence(const history& all);

} // namespace troupe::check
