/// The client's side of a named lock: from the first request until the lock may be used (PROTOCOLS §3.3, S4, S5).
///
/// What it asks:     AcquireLock; then RaiseFence in every shard where an earlier token may still write; then
///                   RenewLock, when the grant had to be waited for; ReleaseLock when it ends in any other way.
/// What it is told:  each answer, by the number of what was asked.
/// What the environment must provide: effects performed in order; `now` of the clock that the owner counts by,
/// sampled before what is asked leaves.
#pragma once

#include "protocol/error.hpp"
#include "protocol/ids.hpp"
#include "protocol/wire/strong.pb.h"

#include <cstdint>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace troupe {

class lock_acquisition {
public:
  struct wish {
    std::string lock; ///< stored key
    std::string owner;
    bool unique_owner = true; ///< nobody else asks by this name, nor has before
    bool shared = false;
    bool wait = true;
    milliseconds duration{0};
    std::vector<std::string> protects; ///< stored keys
    std::uint32_t shards = 0;
    std::uint32_t drift_ppm = 0;
  };
  struct ask {
    std::uint64_t number;
    v1::Operation operation; ///< key, shard and what are set
  };
  /// To be asked with nobody waiting for the answer.
  struct give_back {
    v1::Operation operation;
  };
  /// The lock is there, until the owner's clock says `until`.
  struct held {
    version token;
    instant until;
  };
  /// Somebody else has it, and the wish was not to wait.
  struct taken {
    std::string owner; ///< empty: somebody waits for it
    milliseconds remaining{0};
  };
  struct failed {
    errc why;
  };
  using effect = std::variant<ask, give_back, held, taken, failed>;
  using effects = std::vector<effect>;

  explicit lock_acquisition(wish w) : wish_(std::move(w)) {}

  void start(instant now, effects& out);
  void answered(std::uint64_t number, const v1::Result& result, instant now, effects& out);

  /// Until when an owner counts a duration that was asked for at `sent`.
  static instant until(instant sent, milliseconds duration, std::uint32_t drift_ppm);
  static v1::Operation release_of(const std::string& lock, const std::string& owner, const version& token,
                                  bool fenced, std::uint32_t shards);
  static v1::Operation renewal_of(const std::string& lock, const std::string& owner, const version& token,
                                  std::uint32_t shards);

private:
  void send(v1::Operation operation, effects& out);
  void raise_fences(const v1::Result& granted, effects& out);
  void use(instant now, effects& out);
  void fail(errc why, effects& out);

  const wish wish_;
  enum class stage : std::uint8_t { acquiring, fencing, renewing, over } at_ = stage::acquiring;
  instant sent_; ///< the acquire, then the renewal
  version token_;
  std::uint64_t numbers_ = 0;
  std::set<std::uint64_t> open_; ///< asked, and not answered
};

} // namespace troupe
