/// The judge of a simulation: keeps its own record of what clients were told and of what homes decided.
#pragma once

#include "protocol/check/history.hpp"
#include "protocol/ids.hpp"
#include "runtime/topology/simulation.hpp"

#include <map>
#include <set>
#include <string>
#include <string_view>

namespace troupe::simulated {

class judge {
public:
  /// One line of a node's event trace, in order of real (virtual) time.
  void observe(std::string_view node, std::string_view name, std::string_view fields);
  void record(check::operation op) { history_.operations.push_back(std::move(op)); }
  void accuse(std::string_view invariant, std::string what);

  /// Checks the recorded history; sets what is violated, if nothing is yet.
  void check();

  bool content() const { return violated_.empty(); }
  const std::string& violated() const { return violated_; }
  const std::string& what() const { return what_; }
  bool undecided() const { return undecided_; }
  std::uint64_t leaderships() const { return leaderships_; }

private:
  check::history history_;
  std::map<std::string, epoch> deciding_; ///< by shard: the epoch of the newest decision
  std::set<std::string> versions_;        ///< "shard version" that were assigned
  std::uint64_t leaderships_ = 0;
  bool undecided_ = false;
  std::string violated_, what_;
};

} // namespace troupe::simulated
