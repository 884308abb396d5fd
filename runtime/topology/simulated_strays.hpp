/// Messages that reach their actors a second time, late: what waited in a mailbox, or on a lane of its own, while the
/// connection that had brought it ended and another began.
///
/// Links number what they carry, so nothing of that kind gets past them from the network. The actors above them are
/// made to survive it all the same: no number, generation or epoch of theirs relies on a link. An Operation alone is
/// never repeated: whoever sends it knows of every attempt, and says so in the next one; that makes a refusal final
/// which no record remembers.
#pragma once

#include "protocol/wire/frame.pb.h"
#include "runtime/topology/simulated_world.hpp"

#include <functional>

namespace troupe::simulated {

struct stray_options {
  double chance = 0; ///< of each message between two nodes
  nanoseconds soon{std::chrono::milliseconds{10}};
  nanoseconds late{0}; ///< half of them come within `soon`, half within this
};

class strays {
public:
  strays(world& w, stray_options options) : world_{w}, options_{options} {}

  /// A frame has reached its node: some of what is in it will be handed to `deliver` once more. A message that took
  /// several frames is never among it.
  void heard(const v1::Frame& frame, const std::function<void(v1::Envelope&)>& deliver);
  void calm() { options_.chance = 0; }
  std::uint64_t count() const { return count_; }

private:
  world& world_;
  stray_options options_;
  std::uint64_t count_ = 0;
};

} // namespace troupe::simulated
