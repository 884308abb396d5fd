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
#include <vector>

namespace troupe::simulated {

/// The keys of a simulation: registers "r…" and counters "n…" by turns. One that has seen many writes of unknown
/// outcome gives its place to a fresh one of its kind: each of them may take effect at any later time, and the
/// checker would have to try them all.
class key_pool {
public:
  explicit key_pool(std::uint32_t keys);
  const std::string& any(dice& random) const { return current_[random.below(current_.size())]; }
  /// A write of `key` ended with an unknown outcome.
  void doubt(const std::string& key);
  /// `key` was removed. It rests, which leaves time to collect its tombstone, until the key that takes its place is
  /// removed as well.
  void rest(const std::string& key);
  /// Every key that was ever in use.
  std::vector<std::string> all() const;

private:
  const std::string& fresh(char kind);

  std::vector<std::string> current_;            ///< by place
  std::vector<std::string> resting_;            ///< by place; empty = none is
  std::map<std::string, std::uint32_t> doubts_; ///< by key that was ever in use: writes of unknown outcome
  std::uint32_t next_;                          ///< an even number, above that of every key
};

/// Draws operations and turns them into the forms that sessions and checkers know.
class client {
public:
  enum class habit : std::uint8_t {
    works, ///< does a bit of everything, from any node, and gives up late
    reads, ///< reads from its own node all the time, and gives up soon: sees what a home serves that should not
  };
  client(std::uint32_t index, habit h, const simulation_options& options, key_pool& keys, dice& random);

  /// A new operation on a random key, or a read of `key` when it is given.
  v1::Operation draw(const std::string& key = {});
  /// The operation that draw() returned last was called at `now`.
  void called(nanoseconds now);
  /// What became of it; none = nothing was heard and nothing will be. Ends the call.
  check::operation settle(const v1::Result* result, nanoseconds now);

  bool only_reads() const { return habit_ == habit::reads; }
  bool busy() const { return open_.has_value(); }
  std::uint64_t call_number() const { return calls_; }

  std::uint32_t node = 0;      ///< index of the node that `session` is of
  std::uint64_t node_life = 0; ///< start of that node for which `session` was opened; 0 = none
  session_actor session;
  bool planned = false;     ///< the next operation is
  std::uint32_t issued = 0; ///< operations issued in this phase
  std::uint32_t done = 0;   ///< of these, answered without an error

private:
  std::string value();

  std::uint32_t index_;
  habit habit_;
  const simulation_options& options_;
  key_pool& keys_;
  dice& random_;
  std::uint32_t read_percent_; ///< of its operations
  std::uint64_t calls_ = 0;
  std::uint32_t identity_ = 0; ///< grows after an unknown outcome: a client id has one call open at most
  std::map<std::string, std::optional<std::string>> seen_; ///< last value read or written, by key
  std::optional<check::operation> open_;
};

} // namespace troupe::simulated
