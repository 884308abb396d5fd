#include <troupe/pending.hpp>

#include "runtime/waiting.hpp"

namespace troupe {

namespace {

thread_local bool does_network_io = false;

} // namespace

constinit thread_local bool detail::delivering_here = false;

delivery_scope::delivery_scope() : outer_{std::exchange(detail::delivering_here, true)} {}
delivery_scope::~delivery_scope() { detail::delivering_here = outer_; }

void never_wait_on_this_thread() { does_network_io = true; }

bool detail::must_not_wait() { return delivering_here || does_network_io; }

error detail::no_outcome() { return error{errc::invalid_argument, "there is no outcome, or it was taken already"}; }

error detail::wait_refusal() {
  return error{
      errc::invalid_argument,
      "a call's own function, and the thread that does the network I/O, must not wait: the answer needs that "
      "thread"};
}

} // namespace troupe
