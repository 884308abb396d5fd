// What a home says to people about a key.
#include "protocol/strong/home.hpp"
#include "protocol/wire.hpp"

#include <algorithm>

namespace troupe {

namespace {

template <class Nodes> std::string list_of(const Nodes& nodes) {
  std::string out;
  for (const auto node : nodes)
    out += (out.empty() ? "" : ", ") + to_string(node);
  return out;
}

} // namespace

std::optional<v1::KeyView> home::explain(const std::string& key, instant now) const {
  v1::KeyView view;
  view.set_layer("home");
  if (role_ != role::leading) {
    if (role_ == role::idle && known_home_.value != 0 && known_home_ != options_.self) return std::nullopt;
    view.set_state(role_ == role::claiming ? "claims the shard in epoch " + to_string(era_) : "knows no home");
    view.set_waits_for("nobody decides for the shard yet");
    return view;
  }
  const auto left = lease_until() - now;
  auto state = "home in epoch " + to_string(era_) + ", lease for "
               + std::to_string(std::chrono::ceil<milliseconds>(std::max(left, nanoseconds{0})).count()) + " ms";
  std::string waits_for;
  if (left <= nanoseconds{0}) waits_for = "its lease is over";
  const auto found = keys_.find(key);
  if (found == keys_.end()) {
    state += "; not touched in this epoch";
  } else if (found->second.at == key_state::stage::reading) {
    waits_for = "first touch: " + std::to_string(found->second.copies.size()) + " of "
                + std::to_string(options_.replicas.size()) + " replicas have answered";
  } else {
    const auto& known = found->second;
    if (known.number.era.round != 0) view.set_version(to_string(known.number));
    const auto holding = holders_.of(key);
    if (!holding.all.empty()) state += "; read locks of " + list_of(holding.all);
    if (known.undecided) {
      state += "; undecided " + to_string(known.undecided->number) + ", accepted by ["
               + list_of(known.undecided->accepted) + "] of " + list_of(options_.replicas);
      if (!holding.awaited.empty()) state += ", waits for read locks of " + list_of(holding.awaited);
    }
    if (!known.queue.empty()) state += "; " + std::to_string(known.queue.size()) + " wait in its queue";
  }
  view.set_state(std::move(state));
  view.set_waits_for(std::move(waits_for));
  return view;
}

} // namespace troupe
