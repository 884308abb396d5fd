/// Who seems to be home of each shard, as far as those say who were asked for read locks. Only where to ask first
/// depends on it: a wrong guess is refused, and costs a round trip.
#pragma once

#include "protocol/ids.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace troupe {

class home_guesses {
public:
  /// @param replica_sets  by shard; in the order in which their members claim it.
  home_guesses(node_id self, std::vector<std::vector<node_id>> replica_sets)
      : self_{self}, replica_sets_{std::move(replica_sets)} {}

  /// Whom to ask: the home as last heard of, else the connected members of the replica set in turn. Value 0 = nobody
  /// is connected.
  node_id home_of(shard_id shard) const {
    if (shard.value >= replica_sets_.size()) return {};
    if (const auto known = homes_.find(shard); known != homes_.end() && reachable(known->second))
      return known->second;
    const auto& set = replica_sets_[shard.value];
    const auto turn = turns_.find(shard);
    const auto first = turn == turns_.end() ? 0 : turn->second;
    for (std::size_t n = 0; n < set.size(); ++n)
      if (const auto candidate = set[(first + n) % set.size()]; reachable(candidate)) return candidate;
    return {};
  }

  /// `home` answered as the home of `shard`.
  void answered(shard_id shard, node_id home) { homes_[shard] = home; }

  /// `asked` is not the home, or was silent. `hint`: who seems to be; value 0 = it does not know.
  void refused(shard_id shard, node_id asked, node_id hint) {
    if (hint.value != 0 && hint != asked) {
      homes_[shard] = hint;
      return;
    }
    const auto known = homes_.find(shard);
    if (known != homes_.end() && known->second != asked) return; // somebody else has been heard of since
    if (known != homes_.end()) homes_.erase(known);
    const auto& set = replica_sets_[shard.value];
    const auto place = static_cast<std::size_t>(std::find(set.begin(), set.end(), asked) - set.begin());
    turns_[shard] = (place + 1) % set.size();
  }

  void peer(node_id who, bool connected) {
    if (connected)
      connected_.insert(who);
    else
      connected_.erase(who);
  }

private:
  bool reachable(node_id who) const { return who == self_ || connected_.contains(who); }

  node_id self_;
  std::vector<std::vector<node_id>> replica_sets_;
  std::map<shard_id, node_id> homes_;     ///< last heard of; absent = not known
  std::map<shard_id, std::size_t> turns_; ///< absent = 0: where in the set to look next
  std::set<node_id> connected_;
};

} // namespace troupe
