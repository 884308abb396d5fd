// What a replica says to people about a key.
#include "protocol/stream/stream_replica_impl.hpp"

namespace troupe {

std::optional<v1::KeyView> stream_replica::explain(const std::string& key, instant now) const {
  const auto known = impl_->keys.find(key);
  if (known == impl_->keys.end()) return std::nullopt;
  const auto& k = *known->second;
  const auto& staged = impl_->of(k.lane).staged;
  v1::KeyView view;
  view.set_layer("replica");
  if (k.record != stream_key::bytes::here) {
    view.set_state("is being read from the store");
    return view;
  }
  const auto seen = resolve(k.type->resolver, k.visible);
  if (seen.winner) view.set_version(to_string(seen.winner));
  auto state = std::to_string(k.visible.entries().size()) + " concurrent versions";
  if (k.damaged) state += "; its record in the store is damaged";
  if (const auto age = impl_->age_of(k.shard, k.lane, now))
    state += "; at most " + std::to_string(std::chrono::ceil<milliseconds>(*age).count()) + " ms old";
  std::size_t hidden = 0;
  const staged_update* first = nullptr;
  for (const auto* u : k.unfolded) {
    if (u->visible) continue;
    if (hidden++ == 0) first = u;
  }
  if (first != nullptr) {
    state += "; " + std::to_string(hidden) + " updates are here and hidden";
    const auto& shown = staged.shown();
    const auto missing = shown.covers(first->at) ? staged.missing(shown, first->depends) : first->at;
    view.set_waits_for("reads that need " + to_string(first->at) + ", which waits for "
                       + (missing == first->at ? "the region to have it" : to_string(missing)));
  }
  if (impl_->of(k.lane).is_closed()) {
    state += "; what was copied from other nodes is not whole yet";
    view.set_waits_for("operations are left to other replicas until " + to_string(impl_->of(k.lane).copied_until)
                       + " is part of the records");
  }
  view.set_state(std::move(state));
  return view;
}

} // namespace troupe
