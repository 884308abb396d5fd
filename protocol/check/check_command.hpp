#pragma once
/// What `troupe check linearizability FILE` does, without the command line around it.

#include "protocol/check/linearizability.hpp"

#include <iosfwd>

namespace troupe::check {

/// Exit codes of the checks.
enum class check_exit : int { yes = 0, no = 1, bad_input = 2, undecided = 3 };

struct check_options {
  linearizability_options search;
  read_options read;
  bool json = false;                   ///< one JSON object on `out` instead of text
  std::ostream* witness_out = nullptr; ///< takes the witness as a history that can be checked again; may be null
};

/// Reads a history, prints the verdict, the counts and, on *no*, the witness to `out`; what is wrong with the input
/// to `err`. Returns a `check_exit`.
int check_linearizability(std::istream& in, std::ostream& out, std::ostream& err, const check_options& options);

} // namespace troupe::check
