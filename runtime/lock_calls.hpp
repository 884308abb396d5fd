/// The calls of the public API about named locks, over the operations of a session.
#pragma once

#include <troupe/lock.hpp>

#include "actors/node_clock.hpp"
#include "protocol/strong/lock_acquisition.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace troupe {

class session_impl;

namespace detail {

/// A grant, as its owner knows it. Thread-safe.
struct lock_grant {
  key_name name;
  std::string stored; ///< key of the lock
  std::string owner;
  version token;
  milliseconds ttl{0};
  std::uint32_t shards = 0, drift_ppm = 0;
  std::atomic<std::int64_t> until{0}; ///< nanoseconds of the boot clock; 0 = given back

  bool has(instant now) const { return now.time_since_epoch().count() < until.load(); }
  /// A renewal was granted: longer than it was, unless it was given back meanwhile.
  void extend(instant to);
};

} // namespace detail

/// Runs one lock_acquisition over whatever executes operations.
class lock_runner : public std::enable_shared_from_this<lock_runner> {
public:
  using answer = std::function<void(const v1::Result&)>;
  /// Executes an operation; the answer comes exactly once, perhaps before this returns, on whatever thread.
  using execute = std::function<void(v1::Operation, answer)>;
  using ending = std::variant<lock_acquisition::held, lock_acquisition::taken, lock_acquisition::failed>;

  static void run(lock_acquisition::wish wish, const node_clock& clock, execute ask, execute give_back,
                  std::function<void(ending)> done);

private:
  lock_runner(lock_acquisition::wish wish, const node_clock& clock, execute ask, execute give_back,
              std::function<void(ending)> done);
  void step(const std::function<void(lock_acquisition&, instant, lock_acquisition::effects&)>& take);

  const node_clock& clock_; ///< outlives every operation
  std::mutex mutex_;
  lock_acquisition core_;
  const execute ask_, give_back_;
  std::function<void(ending)> done_;
};

class lock_calls {
public:
  using granted = std::function<void(result<std::optional<named_lock>>)>;

  /// Asks for one lock.
  /// @param wait  for other owners; else the answer may be that there is none.
  static void acquire(const std::shared_ptr<session_impl>& session, key_name name, lock_options options, bool wait,
                      granted done);
  /// Asks for one after the other, in order.
  static void acquire_all(const std::shared_ptr<session_impl>& session, std::vector<key_name> names,
                          lock_options options, std::function<void(result<std::vector<named_lock>>)> done);
  static void renew(const std::shared_ptr<session_impl>& session, const std::shared_ptr<detail::lock_grant>& grant,
                    std::optional<nanoseconds> deadline, std::function<void(result<nanoseconds>)> done);
  static void release(const std::shared_ptr<session_impl>& session, const std::shared_ptr<detail::lock_grant>& grant,
                      std::optional<nanoseconds> deadline, std::function<void(result<bool>)> done);
};

} // namespace troupe
