/// What the owners of one named lock did and saw, each by its own clock, and a judge of it that asks no node.
///
/// Stamps of processes on one machine compare.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <istream>
#include <ostream>
#include <string>
#include <vector>

namespace troupe::test {

/// A fencing token as the API prints it: four numbers, compared in their order. All 0 = none.
struct token {
  std::array<std::uint64_t, 4> parts{};
  friend auto operator<=>(const token&, const token&) = default;
};
token token_of(const std::string& printed);
std::string to_string(const token& t);

/// One thing that an owner did, written down when it was over.
struct ledger_entry {
  enum class kind : std::uint8_t {
    held,  ///< the lock was granted or renewed: [begun, ended] is when its owner believed to have it
    gave,  ///< it began to give the lock back at `begun`
    read,  ///< of the protected key, under the lock: `value` is the token that it found there
    wrote, ///< `under` into the protected key: done
    tried, ///< the same, but it was refused, or nobody knows
  };
  kind what = kind::held;
  std::string owner;
  token under; ///< of the grant
  std::int64_t begun = 0;
  std::int64_t ended = 0;
  token value{};       ///< read: none = the key was never written
  std::string error{}; ///< tried: why
};

void write_entry(std::ostream& out, const ledger_entry& entry);
/// Up to the last line that is whole: the next one may have been under way when its process was killed.
/// Throws a sentence for a line that is no entry.
std::vector<ledger_entry> read_ledger(std::istream& in);

struct ledger_verdict {
  std::vector<std::string> problems;
  std::size_t grants = 0;
  std::size_t hand_overs = 0; ///< grants to another owner than the last
  std::size_t writes = 0;
  std::size_t late_writes_refused = 0; ///< begun when the owner's time was over
};

/// S5: no two owners believed to have the lock at one moment, and tokens grow with time. S4: nobody's write succeeded
/// that began after its own time, and from the first look at the protected key under a grant on only the writes of
/// that grant are found there.
ledger_verdict judge(std::vector<ledger_entry> entries);

} // namespace troupe::test
