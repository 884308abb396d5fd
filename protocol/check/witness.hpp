#pragma once
/// Why a key is not linearizable: a small part of its history that a person can follow and the checker can replay.

#include "protocol/check/history.hpp"
#include "protocol/check/register_search.hpp"

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace troupe::check {

struct witness {
  std::string key;
  std::size_t key_operations = 0; ///< how many the key had

  /// By call; not linearizable by themselves. All were in the history, some of them weakened: one that was still open
  /// at a cut, or whose answer does not matter, is `unknown` here, under a client id of its own if its client went
  /// on; a delete may have lost its `applied`. One more may stand for what came before, see `assumed_start`. Those
  /// that failed are there only if the reasons name them.
  std::vector<operation> operations;

  std::size_t culprit = 0;          ///< into operations: the last to return; without it there is an order
  bool assumed_start = false;       ///< operations[0] is a put of ours: the value that the key had before; with any
                                    ///< other value there, the part is not linearizable either
  std::vector<std::string> reasons; ///< sentences
};

/// Makes a witness from the operations of one key, which `search` has refuted.
///
/// Every cut keeps the part honest: were the whole linearizable, the part would be, too. See witness.cpp.
/// @param trouble  where the search was stopped, see search_result::furthest.
/// @param budget   for all trials together; when it ends, the witness is correct, but larger.
witness make_witness(const std::vector<const operation*>& operations, std::int64_t trouble, search_budget budget);

/// Tries to refute a key by a window of its history alone, where the search of the whole was too much: by those that
/// end at `trouble` or not much later. Nothing if none is refuted, which says nothing about the key.
/// @param budget  for all trials together.
std::optional<witness> refute_window(const std::vector<const operation*>& operations, std::int64_t trouble,
                                     search_budget budget);

/// The reasons, and a timeline with a row per operation.
std::string render(const witness& found);

/// The operations in the history format, with the reasons as comments: `troupe check` replays it.
void write_witness(std::ostream& out, const witness& found);

} // namespace troupe::check
