/// Where nobody may wait for an outcome: in a call's own function, and on the threads that do the network I/O.
#pragma once

#include <troupe/pending.hpp>

namespace troupe {

namespace detail {
extern constinit thread_local bool delivering_here;
} // namespace detail

/// Whether this thread runs a call's own function: nothing that it waited for could arrive.
inline bool delivering() { return detail::delivering_here; }

/// While it lives, this thread runs a call's own function.
class delivery_scope {
public:
  delivery_scope();
  ~delivery_scope();
  delivery_scope(const delivery_scope&) = delete;
  delivery_scope& operator=(const delivery_scope&) = delete;

private:
  const bool outer_;
};

/// From now on this thread must not wait: it does the network I/O of a runtime, and runs other code besides.
void never_wait_on_this_thread();
using detail::must_not_wait;
using detail::wait_refusal;

} // namespace troupe
