/// Virtual time and the order of events: one actor system, one thread, one seed.
///
/// Everything that happens in a simulation is a job of CAF's testing scheduler or an event of this world; which of
/// the runnable jobs is next is drawn from the seed, so actors interleave differently in every seed and identically
/// in two runs of one.
#pragma once

#include "actors/node_clock.hpp"
#include "protocol/ids.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <cstdint>
#include <deque>
#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>

namespace troupe::simulated {

/// Numbers drawn from one seed, the same on every platform (the distributions of <random> are not).
class dice {
public:
  explicit dice(std::uint64_t seed) : engine_{seed} {}
  std::uint64_t next() { return engine_(); }
  /// Uniform in [0, n); n at least 1.
  std::uint64_t below(std::uint64_t n) { return engine_() % n; }
  /// Uniform in [low, high].
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
  }
  nanoseconds between(nanoseconds low, nanoseconds high) { return nanoseconds{between(low.count(), high.count())}; }
  bool chance(double p) { return static_cast<double>(engine_() >> 11) * 0x1.0p-53 < p; }

private:
  std::mt19937_64 engine_;
};

/// Every event as a line: hashed, the last few kept, all of them written to a file when asked for.
class event_log {
public:
  explicit event_log(std::ostream* all) : all_{all} {}
  void add(nanoseconds at, std::string_view node, std::string_view name, std::string_view fields);
  std::uint64_t hash() const { return hash_; }
  std::uint64_t lines() const { return lines_; }
  const std::deque<std::string>& last() const { return last_; }

private:
  static constexpr std::size_t kept = 50;
  std::ostream* all_;                            ///< may be null
  std::uint64_t hash_ = 14695981039346656037ULL; ///< FNV-1a over all lines
  std::uint64_t lines_ = 0;
  std::deque<std::string> last_;
};

class world {
public:
  world(std::uint64_t seed, std::ostream* log);
  ~world();
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  caf::actor_system& system() { return system_; }
  dice& random() { return random_; }
  event_log& log() { return log_; }
  /// Virtual time since the simulation began.
  nanoseconds now() const;
  void note(std::string_view node, std::string_view name, std::string_view fields) {
    log_.add(now(), node, name, fields);
  }

  /// Calls `what` in `delay` of virtual time, as an event of its own.
  void after(nanoseconds delay, std::function<void()> what);
  /// Runs events until virtual time is `end`, or `done` says so; `done` may be empty.
  void run_until(nanoseconds end, const std::function<bool()>& done = {});

  /// Cancels every timer and event and runs what is in the mailboxes: what was killed takes leave. The last thing a
  /// simulation does before the things that its actors stand on are gone.
  void drain();

  /// Actors spawned while `make` runs belong to `node`: they stand still while it is paused.
  void spawn_for(std::uint32_t node, const std::function<void()>& make);
  void pause(std::uint32_t node) { paused_.insert(node); }
  void resume(std::uint32_t node) { paused_.erase(node); }
  std::uint64_t events() const { return events_; }

private:
  struct configuration : caf::actor_system_config {
    configuration();
  };
  bool run_one();
  std::uint32_t owner_of(caf::resumable* job) const;

  configuration configuration_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  caf::actor pump_; ///< runs the events of after()
  dice random_;
  event_log log_;
  std::map<std::uint64_t, std::pair<std::uint64_t, std::uint32_t>> owners_; ///< first actor id -> last, node
  std::set<std::uint32_t> paused_;
  std::uint64_t events_ = 0;
};

/// A node's clock in a world: virtual time, shifted and stretched.
class clock final : public node_clock {
public:
  /// `drift_ppm`: how much faster (or slower) than virtual time it runs, in millionths.
  clock(const world& w, nanoseconds offset, std::int64_t drift_ppm)
      : world_{w}, offset_{offset}, drift_ppm_{drift_ppm} {}
  instant now() const noexcept override;
  nanoseconds until(instant at) const noexcept override;
  std::uint64_t wall_ms() const noexcept override;

  /// From now on this machine takes the time to be so much later, or earlier, than it is.
  void set_wall_error(nanoseconds error) { wall_error_ = error; }

private:
  const world& world_;
  nanoseconds offset_;
  std::int64_t drift_ppm_;
  nanoseconds wall_error_{0};
};

} // namespace troupe::simulated
