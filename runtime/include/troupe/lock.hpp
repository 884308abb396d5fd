/// Named locks: at most one owner at a time, or several that share, however long one of them pauses.
///
///     auto order = s.lock("checkout", "order-536365", {.ttl = 5s, .protects = {{"inventory", "85123A"}}});
///     auto taken = s.add("inventory", "85123A", -6, {.floor = 0, .under = order->fence()});
///
/// An owner has a lock for its ttl on its own clock, less what clocks may drift; then another may have it. What the
/// former owner has under way by then changes nothing any more: every grant has a fencing token, and once a newer one
/// was answered, the keys that the lock protects refuse writes under older ones.
#pragma once

#include <troupe/error.hpp>
#include <troupe/key_version.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace troupe {

namespace detail {
struct lock_grant;
} // namespace detail

enum class lock_mode : std::uint8_t {
  exclusive,
  shared, ///< with others who share it; protected keys cannot be written under it
};

struct key_name {
  std::string type;
  std::string key;
};

struct lock_options {
  /// From the moment that the request is sent; up to an hour. renew() restarts it.
  std::chrono::milliseconds ttl{10'000};
  lock_mode mode = lock_mode::exclusive;
  /// Keys that writes under the lock may change; at most 64. Others may still write them without the lock.
  std::vector<key_name> protects{};
  /// Who asks; at most 256 bytes. An owner that asks again for what it has is granted it anew, under a new token.
  /// Empty = somebody whom nobody else is.
  std::string owner{};
  /// How long to wait for it, from the moment of the call; the configuration's `api.deadline_ms` when absent.
  std::optional<std::chrono::nanoseconds> deadline{};
  std::stop_token stop{}; ///< cancels the call
};

/// What a write under a lock carries. Cheap to copy; does not keep the lock.
class lock_fence {
public:
  lock_fence() = default; ///< of no lock

private:
  friend class named_lock;
  friend const std::shared_ptr<const detail::lock_grant>& grant_of(const lock_fence& fence);
  explicit lock_fence(std::shared_ptr<const detail::lock_grant> grant) : grant_{std::move(grant)} {}
  std::shared_ptr<const detail::lock_grant> grant_;
};

class session_impl;

/// A lock that was granted. Gives it back when it is destroyed, without waiting. Thread-safe but for moves.
class named_lock {
public:
  named_lock() = default; ///< of nothing
  named_lock(named_lock&&) noexcept = default;
  named_lock& operator=(named_lock&& other) noexcept;
  ~named_lock();

  const std::string& type() const;
  const std::string& key() const;
  const std::string& owner() const;
  /// Grows with every grant of this lock, to whomever.
  key_version token() const;
  /// How long the owner has it yet; zero = its time is over, or it was given back.
  std::chrono::nanoseconds remaining() const;
  lock_fence fence() const { return lock_fence{grant_}; }

  /// Restarts the ttl, and waits for that.
  /// @return what remains.
  /// @errors lock_lost: its time was over. Otherwise as every operation.
  result<std::chrono::nanoseconds> renew(std::optional<std::chrono::nanoseconds> deadline = {});

  /// Gives it back, and waits for that. Nothing is left to renew or release afterwards, whatever the outcome.
  /// @errors lock_lost: its time was over, and it may be somebody else's. Otherwise as every operation.
  result<void> release(std::optional<std::chrono::nanoseconds> deadline = {});

private:
  friend class lock_calls;
  named_lock(std::shared_ptr<session_impl> session, std::shared_ptr<detail::lock_grant> grant)
      : session_{std::move(session)}, grant_{std::move(grant)} {}
  void let_go() noexcept;

  std::shared_ptr<session_impl> session_;
  std::shared_ptr<detail::lock_grant> grant_;
};

} // namespace troupe
