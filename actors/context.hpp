/// What every actor of a node is given, and the two small things that all of them do with it: timers and notes.
#pragma once

#include "actors/node_clock.hpp"
#include "actors/switchboard.hpp"
#include "protocol/effects.hpp"

#include <caf/fwd.hpp>
#include <spdlog/logger.h>

#include <functional>
#include <memory>
#include <string_view>

namespace troupe {

class io_loop;

/// The structured event trace: called on actor threads, in simulation from the one thread. Empty = none.
using trace_sink = std::function<void(instant at, std::string_view name, std::string_view fields)>;

struct actor_context {
  const node_clock* clock = nullptr;
  std::shared_ptr<const switchboard> board;
  std::shared_ptr<spdlog::logger> log; ///< may be null
  trace_sink trace;                    ///< may be empty
  io_loop* thread = nullptr;           ///< runs the actor; null = any worker of the system

  instant now() const { return clock->now(); }

  void record(const note& n, spdlog::level::level_enum severity = spdlog::level::debug) const {
    if (trace) trace(clock->now(), n.name, n.fields);
    if (log) log->log(severity, "{} {}", n.name, n.fields);
  }
};

/// Keeps at most one useful timer of an actor under way: the earliest that was asked for.
///
/// CAF cannot cancel a timer. A later one that is still under way when an earlier was armed fires as a tick that
/// finds nothing to do, and is not armed again.
class alarm {
public:
  template <class Self> void arm(Self* self, const node_clock& clock, instant at) {
    if (lower(at)) self->delayed_send(self, clock.until(at), tick_atom::value);
  }

  /// For an actor whose ticks come from elsewhere: true when one has to be asked for.
  bool lower(instant at) {
    if (at >= armed_) return false;
    armed_ = at;
    return true;
  }

  /// A tick has arrived.
  void fired(instant now) {
    if (now + slack >= armed_) armed_ = never;
  }

private:
  static constexpr std::chrono::microseconds slack{100}; ///< a timer may fire this much early by rounding
  instant armed_ = never;
};

} // namespace troupe
