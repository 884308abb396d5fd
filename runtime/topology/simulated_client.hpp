/// One client of a simulation: issues one operation after the other and records what it was told.
#pragma once

#include "actors/interfaces.hpp"
#include "protocol/check/history.hpp"
#include "runtime/topology/simulated_world.hpp"
#include "runtime/topology/simulation.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace troupe::simulated {

/// Draws operations and turns them into the forms that sessions and checkers know.
class client {
public:
  client(std::uint32_t index, const simulation_options& options, dice& random)
      : index_{index}, options_{options}, random_{random} {}

  /// A new operation on a random key, or a read of `key` when it is given.
  v1::Operation draw(const std::string& key = {});
  /// The operation that draw() returned last was called at `now`.
  void called(nanoseconds now);
  /// What became of it; none = nothing was heard and nothing will be. Ends the call.
  check::operation settle(const v1::Result* result, nanoseconds now);

  bool busy() const { return open_.has_value(); }
  std::uint64_t call_number() const { return calls_; }

  std::uint32_t node = 0;      ///< index of the node that `session` is of
  std::uint64_t node_life = 0; ///< start of that node for which `session` was opened; 0 = none
  session_actor session;
  std::uint32_t issued = 0; ///< operations issued in this phase
  std::uint32_t done = 0;   ///< of these, answered without an error

private:
  std::string value();

  std::uint32_t index_;
  const simulation_options& options_;
  dice& random_;
  std::uint64_t calls_ = 0;
  std::uint32_t identity_ = 0; ///< grows after an unknown outcome: a client id has one call open at most
  std::map<std::string, std::optional<std::string>> seen_; ///< last value read or written, by key
  std::optional<check::operation> open_;
};

/// The name of key `n`: registers "r…" and counters "n…" by turns.
std::string key_name(std::uint32_t n);

} // namespace troupe::simulated
