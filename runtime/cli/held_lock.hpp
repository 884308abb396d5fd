/// A named lock that the command line holds through a node's admin HTTP.
#pragma once

#include "runtime/cli/commands.hpp"

#include <tl/expected.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace troupe::cli {

/// CLOCK_BOOTTIME, which goes on while the machine is suspended, or this process stopped.
using boot_time = std::chrono::nanoseconds;
boot_time boot_now();

struct lock_wish {
  std::string admin;
  std::string type;
  std::string name;
  std::chrono::milliseconds ttl{10'000};
  std::optional<std::chrono::milliseconds> wait; ///< absent = for as long as it takes
  bool shared = false;
  std::string owner;
  bool unique_owner = false; ///< nobody else asks by this name, nor has before
  std::vector<std::string> protects;
};

/// A name for an owner that nobody else has: of this machine, this process and this moment.
std::string unique_owner();

/// Counts its time from before each request, so that it is over here before it is over at the node.
class held_lock {
public:
  struct failure {
    exit_code code = not_done;
    bool taken = false; ///< somebody else had it all the time
    std::string what;
  };
  /// @param given_up  asked between requests: whether the wait is over.
  static tl::expected<held_lock, failure> acquire(const lock_wish& wish, const std::function<bool()>& given_up);
  /// What `wish` waits for, or was granted after all, it has no more. Only for a unique owner.
  static void give_up(const lock_wish& wish);

  const std::string& token() const { return token_; }
  const std::string& owner() const { return owner_; }
  std::chrono::milliseconds remaining() const;
  /// When keep() has to be called.
  boot_time next_step() const { return std::min(next_, until_); }
  /// Renews it when it is time to; false when it is lost.
  bool keep();
  const std::string& why_lost() const { return why_lost_; }
  /// Best effort: what cannot be given back ends by itself.
  void release();

private:
  explicit held_lock(const lock_wish& wish);
  static tl::expected<held_lock, failure> take(const lock_wish& wish, const std::function<bool()>& given_up);
  std::string target(const std::string& parameters) const;

  std::string admin_;
  std::string path_; ///< of the lock
  std::string token_;
  std::string owner_;
  std::chrono::milliseconds ttl_{0};
  boot_time until_{0}; ///< by this process's count
  boot_time next_{0};  ///< renewal
  std::string why_lost_;
};

} // namespace troupe::cli
