/// How long a home may decide: the majority-th newest send time among the answered claims and renewals (PROTOCOLS
/// §3.1); and how a lease is counted on another clock.
#pragma once

#include "protocol/ids.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <vector>

namespace troupe {

/// What is left of `length` for whoever counts it on another clock than the one who gave it; rounded down.
constexpr nanoseconds shortened(nanoseconds length, std::uint32_t drift_ppm) {
  constexpr std::int64_t million = 1'000'000;
  const auto drift = static_cast<std::int64_t>(drift_ppm);
  return length
         - nanoseconds{length.count() / million * drift + (length.count() % million * drift + million - 1) / million};
}

class lease_ledger {
public:
  /// `voters`: size of the replica set. `drift_ppm`: how far two clocks may drift apart, in millionths.
  lease_ledger(std::size_t voters, milliseconds lease, std::uint32_t drift_ppm)
      : voters_{voters}, usable_{shortened(lease, drift_ppm)} {}

  /// `replica` answered a claim or renewal that was *sent* at `sent_at`; an older one changes nothing.
  void answered(node_id replica, instant sent_at) {
    auto& newest = newest_.try_emplace(replica, instant::min()).first->second;
    newest = std::max(newest, sent_at);
    until_ = count();
  }

  std::size_t majority() const { return voters_ / 2 + 1; }
  bool granted_by(node_id replica) const { return newest_.contains(replica); }
  std::size_t grants() const { return newest_.size(); }

  /// The home decides strictly before this; instant::min() while no majority has answered.
  instant until() const { return until_; }

private:
  instant count() const {
    if (newest_.size() < majority()) return instant::min();
    std::vector<instant> sent;
    sent.reserve(newest_.size());
    for (const auto& [replica, at] : newest_)
      sent.push_back(at);
    auto nth = sent.begin() + static_cast<std::ptrdiff_t>(majority() - 1);
    std::nth_element(sent.begin(), nth, sent.end(), std::greater<>{});
    return *nth + usable_;
  }

  std::size_t voters_;
  nanoseconds usable_;                ///< the lease, shortened by the drift
  std::map<node_id, instant> newest_; ///< one entry per replica that answered in this epoch
  instant until_ = instant::min();    ///< asked for with every message
};

} // namespace troupe
