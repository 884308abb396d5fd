#pragma once
/// What `troupe check PROPERTY FILE` does, without the command line around it.

#include "protocol/check/linearizability.hpp"

#include <cstdint>
#include <iosfwd>
#include <string_view>

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

/// cc, ccv, cm; session, which is ccv; ryw, mr, mw, wfr; convergence.
enum class weak_property : std::uint8_t { cc, ccv, cm, session, ryw, mr, mw, wfr, convergence };
std::string_view name_of(weak_property property);
/// One sentence for people.
std::string_view text_of(weak_property property);
inline constexpr weak_property weak_properties[] = {
    weak_property::cc, weak_property::ccv, weak_property::cm,  weak_property::session,     weak_property::ryw,
    weak_property::mr, weak_property::mw,  weak_property::wfr, weak_property::convergence,
};

/// The same for one of these. `options.search` is not used; stamps are not needed.
int check_weaker(weak_property property, std::istream& in, std::ostream& out, std::ostream& err,
                 const check_options& options);

} // namespace troupe::check
