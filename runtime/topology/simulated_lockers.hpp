/// The clients of a simulation that take named locks, and read and write what these protect: some on every node, a
/// part of its process, so that they stand still and end with it.
///
/// What they accuse the cluster of: S5, two of them who believe to have a lock at one moment of real (virtual) time,
/// each by its own clock; liveness, after everything has healed. S4 is the judge's: it is told of every grant, and of
/// every write under one.
#pragma once

#include "actors/interfaces.hpp"
#include "protocol/check/history.hpp"
#include "protocol/cluster.hpp"
#include "protocol/strong/lock_acquisition.hpp"
#include "runtime/topology/simulated_judge.hpp"
#include "runtime/topology/simulated_world.hpp"
#include "runtime/topology/simulation.hpp"

#include <caf/actor.hpp>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace troupe::simulated {

class lockers {
public:
  lockers(world& w, const simulation_options& options, const cluster& shape, judge& j);

  /// The node has started; its lockers work through `session` and count by `time` until ended().
  void started(std::uint32_t node, const clock& time, const session_actor& session);
  void ended(std::uint32_t node);

  /// From now on no lock is asked for, and what is held is given back; or they go on.
  void rest(bool rests);
  /// Nothing that was asked is unanswered.
  bool idle() const;
  /// Counts from here on what all_served() tells: whether every locker has had a lock since.
  void count_anew();
  bool all_served() const;

  std::uint64_t grants() const { return grants_; }

private:
  struct locker {
    std::string name;
    lock_acquisition::wish wish{};
    std::optional<lock_acquisition> acquiring{};
    std::uint64_t attempt = 0; ///< wishes so far
    instant deadline;          ///< of the acquisition
    version token{};           ///< of what it holds; round 0 = nothing
    instant until;             ///< by its node's clock
    std::uint64_t steps = 0;   ///< left, before it gives the lock back
    std::uint64_t served = 0;  ///< grants since count_anew()
  };
  /// The lockers of one start of a node.
  struct place {
    std::uint64_t life = 0; ///< starts so far
    bool up = false;
    const clock* time = nullptr;
    session_actor session;
    caf::actor runner;                                      ///< runs errands: stands still with the node
    std::map<std::uint64_t, std::function<void()>> errands; ///< what they will do, by number
    std::vector<locker> lockers;
    std::map<std::uint64_t, check::operation> accesses; ///< under way, by number
    std::size_t open = 0;                               ///< calls that are not answered
  };
  using answer = std::function<void(locker&, const v1::Result&)>;

  instant local(std::uint32_t node) const { return places_[node].time->now(); }
  void run_later(std::uint32_t node, nanoseconds delay, std::function<void()> what);
  void later(std::uint32_t node, std::size_t l, nanoseconds at_most);
  void step(std::uint32_t node, std::size_t l);
  void begin(std::uint32_t node, std::size_t l);
  void perform(std::uint32_t node, std::size_t l, lock_acquisition::effects effects);
  void call(std::uint32_t node, std::size_t l, v1::Operation operation, instant deadline, answer then);
  void access(std::uint32_t node, std::size_t l, bool write);
  void accessed(std::uint32_t node, std::uint64_t number, const v1::Result* result);
  void renew(std::uint32_t node, std::size_t l);
  void leave(std::uint32_t node, std::size_t l, bool give_back);
  void compare_owners(std::uint32_t node, std::size_t l);
  std::vector<std::string> protected_by(std::uint64_t lock) const;

  world& world_;
  dice& random_;
  const simulation_options options_;
  const std::uint32_t shards_, drift_ppm_;
  judge& judge_;
  std::vector<place> places_;
  bool resting_ = false;
  std::uint64_t names_ = 0, numbers_ = 0, grants_ = 0;
};

} // namespace troupe::simulated
