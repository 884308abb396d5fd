/// Seam 1 of 3: the clocks of a node. Nothing above the link reads any other, and every timer goes through it.
#pragma once

#include "protocol/ids.hpp"

namespace troupe {

/// Real: CLOCK_BOOTTIME. Simulated: virtual time with this node's own offset, drift and pauses.
class node_clock {
public:
  virtual ~node_clock() = default;

  /// This node's monotonic time, sampled now.
  virtual instant now() const noexcept = 0;

  /// How long a CAF timer has to run so that now() has reached `at` when it fires; zero when it already has.
  virtual nanoseconds until(instant at) const noexcept = 0;

  /// What this machine takes the time to be, in milliseconds since 1970. It may jump and be wrong by any amount: it
  /// goes into stamps, and decides nothing.
  virtual std::uint64_t wall_ms() const noexcept = 0;
};

/// CLOCK_BOOTTIME: monotonic, and counts the time that the machine was suspended.
class boot_clock final : public node_clock {
public:
  instant now() const noexcept override;
  nanoseconds until(instant at) const noexcept override;
  std::uint64_t wall_ms() const noexcept override; ///< CLOCK_REALTIME
};

} // namespace troupe
