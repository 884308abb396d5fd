/// The judge of a simulation: keeps its own record of what clients were told, of what homes decided and of what
/// reached the disks.
///
/// What it accuses of, while the simulation runs and in the history that it checks at the end:
///   S1  a history that is not linearizable
///   S4  a write under a named lock that was done after a newer grant of it had been answered
///   S2  a home that decides although a newer one leads; an epoch that leads twice; a version that is assigned twice
///   D1  a committed version that no majority of disks holds; a record on a disk that gives way to an older one
///   liveness  after everything has healed, or was restarted, clients do not get on
#pragma once

#include "protocol/check/history.hpp"
#include "protocol/ids.hpp"
#include "runtime/topology/simulation.hpp"

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace troupe::simulated {

class judge {
public:
  /// `majority`: disks that must hold what was committed.
  explicit judge(std::size_t majority) : majority_{majority} {}

  /// One line of a node's event trace, in order of real (virtual) time.
  void observe(const std::string& node, std::string_view name, std::string_view fields);
  /// The disk of `node` holds this version of some key, as accepted in `accepted_in`, from now on.
  void stored(const std::string& node, shard_id shard, const ballot& accepted_in, const version& number);
  /// `node` is gone, and leads nothing any more.
  void ended(const std::string& node) { leading_.erase(node); }
  void record(check::operation op) { history_.operations.push_back(std::move(op)); }
  /// The owner of `lock` was told that it has it, with `token`.
  void granted(const std::string& lock, const version& token, nanoseconds now);
  /// Somebody begins to put `value`, which nobody else ever does, under that grant.
  void writes_under(const std::string& value, const std::string& lock, const version& token);
  void accuse(std::string_view invariant, std::string what);

  /// Checks the recorded history; sets what is violated, if nothing is yet.
  void check();

  bool content() const { return violated_.empty(); }
  /// Whether `node` leads some shard, as far as its own trace says.
  bool leads(const std::string& node) const { return leading_.contains(node); }
  const std::string& violated() const { return violated_; }
  const std::string& what() const { return what_; }
  bool undecided() const { return undecided_; }
  std::uint64_t leaderships() const { return leaderships_; }
  std::uint64_t collections() const { return collections_; }

private:
  void decided(const std::string& node, const std::string& shard, const epoch& era);
  void committed(const std::string& node, const std::string& shard, const std::string& number);
  void check_fences();

  std::size_t majority_;
  check::history history_;
  std::map<std::string, std::map<std::string, epoch>> leading_; ///< by node and shard: the epoch in which it leads
  std::set<std::string> led_;                                   ///< "shard epoch" of every leadership
  std::map<std::string, epoch> entitled_; ///< by shard: the newest epoch that leads, or led and was not followed
  std::set<std::string> versions_;        ///< "shard version" that were assigned
  std::map<std::string, std::map<std::string, ballot>> on_disks_; ///< by "shard version" and node: newest ballot
  std::map<std::string, std::map<version, std::int64_t>> grants_; ///< by lock and token: when it was answered
  struct grant_used {
    std::string lock;
    version token;
  };
  std::map<std::string, grant_used> writes_under_; ///< by the value that is put
  std::uint64_t leaderships_ = 0;
  std::uint64_t collections_ = 0;
  bool undecided_ = false;
  std::string violated_, what_;
};

} // namespace troupe::simulated
