#include "runtime/topology/simulated_strays.hpp"

namespace troupe::simulated {

void strays::heard(const v1::Frame& frame, const std::function<void(v1::Envelope&)>& deliver) {
  if (options_.chance == 0) return;
  v1::Batch batch;
  if (!batch.ParseFromString(frame.batch())) return;
  auto& random = world_.random();
  for (auto& envelope : *batch.mutable_envelopes()) {
    if (envelope.has_operation() || !random.chance(options_.chance)) continue;
    ++count_;
    const auto delay = random.between(nanoseconds{0}, random.chance(0.5) ? options_.soon : options_.late);
    world_.after(delay, [deliver, message = std::move(envelope)]() mutable { deliver(message); });
  }
}

} // namespace troupe::simulated
