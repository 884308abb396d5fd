/// What one session may read from its node's weak table without asking anybody, and what it has read there.
///
/// Two views of what a session has seen would be one too many: the session's actor has it, and keeps it. This knows
/// as much of it as decides whether the table covers it, and hands over what was read here before the actor is asked
/// for anything: `untold()`.
#pragma once

#include "actors/weak_copies.hpp"
#include "protocol/wire/stream.pb.h"

#include <troupe/level.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace troupe {

/// Of one session. Safe from any thread.
class weak_reads {
public:
  /// @param of  the node; its table and its pictures are never null.
  explicit weak_reads(weak_copies of) : table_{std::move(of.table)}, pictures_{std::move(of.pictures)} {}

  /// The copy that a read at this level may be answered with. @param promised  not strong.
  std::optional<weak_table::hit> read(std::string_view stored, level promised, std::string& value);

  /// An operation on the key was answered; `ordered`: of a causal or session type.
  void answered(const std::string& stored, const v1::WeakAnswer& answer, bool ordered);
  /// A token was joined.
  void joined(const v1::SessionVector& token);

  /// What was read here since the last call, for the session's actor; nothing = nothing new.
  std::optional<v1::SessionVector> untold();

private:
  /// Own writes that are remembered with their keys; of more, any read needs some.
  static constexpr std::size_t own_max = 1'024;
  static constexpr std::uint64_t not_known = std::numeric_limits<std::uint64_t>::max();

  bool covers_session(std::uint64_t number);
  bool covers_own(std::string_view stored, std::uint64_t number);
  void drop_oldest();
  void forget_picture();
  static void raise(std::atomic<std::uint64_t>& number, std::uint64_t to);

  const std::shared_ptr<const weak_table> table_;
  const std::shared_ptr<const weak_pictures> pictures_;
  std::atomic<std::uint64_t> needed_{
      0}; ///< the publication whose picture covers `seen_`; not_known = none is known to
  std::atomic<std::uint64_t> seen_here_{0};  ///< the newest publication that something was read of
  std::atomic<std::uint64_t> clock_here_{0}; ///< highest stamp read here
  std::atomic<std::size_t> own_writes_{0};   ///< entries of own_

  std::mutex mutex_;
  version_vector seen_;    ///< needed by any read
  version_vector written_; ///< own writes, of whatever key
  struct own_write {
    std::string key;
    version_vector needs; ///< what `written_` was with it: needed by reads of the key
  };
  std::deque<own_write> own_;                                ///< that no picture is known to cover, in their order
  std::map<std::string, std::size_t, std::less<>> own_keys_; ///< how many of these are of the key
  std::uint64_t own_tried_ = 0;                              ///< the last picture that they were held against
  std::uint64_t tried_ = 0;                                  ///< the last picture that was found not to cover `seen_`
  std::uint64_t told_ = 0, told_clock_ = 0;                  ///< of seen_here_ and clock_here_
};

} // namespace troupe
