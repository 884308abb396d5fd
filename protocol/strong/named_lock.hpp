/// What named locks do to one record: the lock itself, and the floor that it has in a shard (PROTOCOLS §3.3, S4, S5).
///
/// A record says who was granted what for how long; until when that is, only the home knows that counts it:
/// lock_terms. A lock has no value, and what was once a lock stays one.
#pragma once

#include "protocol/error.hpp"
#include "protocol/ids.hpp"
#include "protocol/wire/record.pb.h"
#include "protocol/wire/strong.pb.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// The key under which a protected shard keeps the floor of `lock`: that of no value, and of no other shard.
std::string floor_key(std::string_view lock, shard_id shard);
bool is_floor_key(std::string_view key);

constexpr bool is_lock_operation(const v1::Operation::WhatCase what) {
  return what == v1::Operation::kAcquireLock || what == v1::Operation::kRenewLock
         || what == v1::Operation::kReleaseLock || what == v1::Operation::kRaiseFence;
}

/// Whether nobody is hurt when it is executed once more, long after it was settled: a lock that nobody uses is over
/// after its time, and a floor that was raised stays so.
///
/// Why: whoever waits for a lock sees many others come and go before its turn, and the record soon forgets them.
inline bool may_be_repeated(const v1::Operation& operation) {
  return operation.has_raise_fence() || (operation.has_acquire_lock() && operation.acquire_lock().wait());
}

/// What no home would do, whatever its record says.
/// @return invalid_argument, wrong_kind; none = nothing is wrong.
errc lock_flaw_of(const v1::Operation& operation);

/// Until when each owner has a lock, on the clock of the home that counts.
class lock_terms {
public:
  /// `lock` has committed: whoever is new in it has its whole duration from `now`.
  /// @param inherited  the first touch found it, and another home has granted it
  void follow(const v1::NamedLock& lock, bool inherited, instant now);
  /// Restarts the duration of an owner that still has it.
  bool renew(const v1::NamedLock::Owner& owner, instant now);
  instant until(const v1::NamedLock::Owner& owner) const;
  bool has(const v1::NamedLock::Owner& owner, instant now) const { return now < until(owner); }

private:
  struct term {
    version token;
    instant until;
  };
  std::map<std::string, term> terms_; ///< by owner; those of the committed record
};

/// What became of a lock operation.
struct lock_step {
  v1::Result result;
  bool changed = false; ///< the record did
  bool waits = false;   ///< acquire: somebody else has the lock, and this one is willing to wait
};

/// An owner that keeps `owner` from having the lock now; nullptr = nobody does.
const v1::NamedLock::Owner* in_the_way(const v1::AcquireLock& wish, const v1::NamedLock& lock,
                                       const lock_terms& terms, instant now);

/// @param exists  the record is that of a value
/// @param token   version of the record as it will be
/// @param others  somebody waits for the lock who came before
/// @errors in result.error: wrong_kind, overloaded.
lock_step acquire_lock(const v1::AcquireLock& wish, v1::Record& record, bool exists, const version& token,
                       bool others, const lock_terms& terms, instant now);
/// @errors in result.error: lock_lost, with a token that is not the owner's any more.
lock_step release_lock(const v1::ReleaseLock& given, v1::Record& record);
/// The grant that `asked` is about; nullptr = it is over.
const v1::NamedLock::Owner* find_grant(const v1::NamedLock& lock, const v1::RenewLock& asked);
/// @errors in result.error: lock_lost.
v1::Result renew_lock(const v1::RenewLock& asked, const v1::Record& record, lock_terms& terms, instant now);
/// Sharing grants do not fence each other: below the floor of a later one is nothing left to raise.
/// @errors in result.error: fenced, wrong_kind.
lock_step raise_floor(const v1::RaiseFence& fence, v1::Record& record);

/// Whether the floor `record` of its lock lets a write of `key` that carries `fence` pass.
/// @return none; fenced or not_protected.
errc verdict(const v1::Fence& fence, const std::string& key, const v1::Record& record);

/// A named lock as its home knows it, for people.
struct lock_view {
  struct owner_view {
    std::string owner;
    bool shared = false;
    nanoseconds remaining{0}; ///< at most; not above 0 = its time is over
  };
  std::string key;
  std::vector<owner_view> owners;
  std::size_t waiting = 0;
};

/// Completes the answer to an acquire that was granted: which keys have to be fenced before the lock is used.
void quote_protected(const v1::NamedLock& lock, const std::string& owner, v1::Result& result);

} // namespace troupe
