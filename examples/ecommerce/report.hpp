/// What a run found, as a table for people and as JSON.
#pragma once

#include "examples/ecommerce/reconcile.hpp"
#include "examples/ecommerce/tally.hpp"

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace shop {

struct region_report {
  std::string region;
  counts operations;
  std::optional<latency> took;
};

/// Over all regions.
struct level_report {
  troupe::level at = troupe::level::strong;
  counts operations;
  observations seen; ///< by the shoppers themselves, and at the end
  std::optional<latency> took;
};

/// What the process that checked the history said.
struct checked {
  std::string answer; ///< yes, no or undecided
  std::uint64_t operations = 0;
};

struct report {
  std::vector<region_report> regions;
  std::vector<level_report> levels;
  std::uint64_t sessions = 0;
  std::uint64_t orders = 0;
  std::uint64_t sold_out = 0;
  std::uint64_t given_up = 0;
  std::chrono::milliseconds ran_for{0};
  bool cut_short = false; ///< the time was over before the last session
  std::string killed;     ///< the node; empty = none was
  std::optional<std::chrono::milliseconds> recovery;
  std::optional<std::chrono::milliseconds> ready_again; ///< from its restart
  std::optional<reconciliation> books;
  std::optional<checked> history;          ///< of the strong types
  std::optional<checked> sessions_checked; ///< of the causal and session types
  std::vector<std::string> failures;       ///< of operations: "eu strong timeout: 3"
  std::vector<std::string> broken;         ///< promises, in words; the first few
  std::vector<std::string> problems;       ///< what went wrong with the run itself

  counts operations() const;
};

/// Exit codes of the program.
enum class verdict : int { kept = 0, violated = 1, bad_usage = 2, undecided = 3, failed = 4 };

/// A promise broken goes before a proof that is missing, and that before a run that is incomplete. Targets of speed
/// are no promises.
verdict judge(const report& what, bool undecided_allowed);

void print_table(std::ostream& out, const report& what);
std::string to_json(const report& what, verdict judged);

} // namespace shop
