#pragma once
/// The guarantees of sessions, each by itself: Terry et al., Session Guarantees for Weakly Consistent Replicated
/// Data, 1994, as relations of visibility and arbitration (Viotti and Vukolić, Consistency in Non-Transactional
/// Distributed Storage Systems, 2016).
///
/// Behind the answers there is one order of the writes (arbitration), and for every read a set of writes that it
/// sees; it is answered with the last of its key that it sees, or with nothing. A guarantee says what has to be seen,
/// or how the writes are ordered:
///   ryw  read your writes: a read sees what its session has written before
///   mr   monotonic reads: a read sees what earlier reads of its session have seen
///   mw   monotonic writes: the writes of a session are ordered as it made them
///   wfr  writes follow reads: a write is ordered after what its session has read before
/// Whichever is asked for, nobody reads what was not written, or will be.
///
/// Alone, each of them forgives much: who may go back sees an old value at any time, and who sees one need not see
/// what came before it. All four together, with what a write follows seen by whoever sees the write, are causal
/// convergence: check_causality() with ccv.

#include "protocol/check/causality.hpp"

namespace troupe::check {

enum class session_guarantee : std::uint8_t { ryw, mr, mw, wfr };
std::string_view name_of(session_guarantee guarantee);

/// As check_causality(), errors included.
tl::expected<causality_report, parse_error> check_session_guarantee(const history& all, session_guarantee guarantee);

} // namespace troupe::check
