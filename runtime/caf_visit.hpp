/// For threads that are not CAF's own and use an actor system for a moment.
#pragma once

#include <caf/logger.hpp>

namespace troupe {

/// Lets this thread forget the actor system when the visit ends.
///
/// CAF keeps in every thread a reference to the system in which the thread last spawned something, and the destructor
/// of the system waits, without bound, until no thread has one.
class caf_visit {
public:
  caf_visit() = default;
  caf_visit(const caf_visit&) = delete;
  caf_visit& operator=(const caf_visit&) = delete;
  ~caf_visit() { caf::logger::set_current_actor_system(nullptr); }
};

} // namespace troupe
