/// Sessions: the operations of one client, in order, each under a deadline.
#pragma once

#include <troupe/error.hpp>
#include <troupe/key_version.hpp>
#include <troupe/level.hpp>
#include <troupe/lock.hpp>
#include <troupe/pending.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace troupe {

/// get: the value of a key that is there.
struct found {
  std::string value;
  key_version version;
};

struct written {
  key_version version;
};

struct removed {
  bool existed = false;
};

/// compare_and_set: what to write, and what has to be there for it to be written.
struct swap_request {
  std::optional<std::string> expected; ///< compared byte by byte; absent = the key must not exist
  std::string value;
};

struct swapped {
  bool applied = false;
  key_version version;                ///< of what is stored now
  std::optional<std::string> current; ///< when not applied: what is there; absent = nothing, or `current_omitted`
  /// When not applied: there was a value of more than 1 KiB, and the answer that quoted it was lost; read to see it.
  bool current_omitted = false;
};

struct added {
  bool applied = false;   ///< false: the sum would have been below the floor, and nothing changed
  std::int64_t value = 0; ///< what is stored now
  key_version version;
};

struct call_options {
  /// From the moment of the call; the configuration's `api.deadline_ms` when absent. More than an hour is refused.
  std::optional<std::chrono::nanoseconds> deadline{};
  /// Cancels the call, of whatever form: it ends at once, by `cancelled` when nothing happened, else `abandoned`, or
  /// by the outcome that was on its way. One token may serve many calls.
  std::stop_token stop{};
  /// A named lock that the write relies on, and that protects the key: `lock_lost` before anything is sent when its
  /// time is over, `fenced` when another grant of it was answered meanwhile.
  lock_fence under{};
};

struct add_options {
  std::optional<std::int64_t> floor{}; ///< refuse to go below
  std::optional<std::chrono::nanoseconds> deadline{};
  std::stop_token stop{};
  lock_fence under{};
};

/// Where an asynchronous call delivers: a function, and the options of the call. The function runs once: before the
/// call returns when the call is refused, or is a read that this node's memory answers; else on the thread that does
/// the runtime's network I/O. There it must be short and must not block, calls that wait and stop() are refused, and
/// exceptions that leave it end the process.
template <class T, class Options = call_options> struct on_done {
  template <class Function>
  requires std::is_invocable_v<Function&, result<T>> on_done(Function f, Options o = {})
      : done(std::move(f)), options(std::move(o)) {} // NOLINT: implicit by intention

  std::function<void(result<T>)> done;
  Options options;
};

class session_impl;

/// The same operations without waiting: with an outcome to be waited for or co_awaited, or a function that is called.
/// Cheap to copy; calls that are issued through it keep their order with all others of the session.
class async_session {
public:
  pending<std::optional<found>> get(std::string_view type, std::string_view key, call_options = {});
  void get(std::string_view type, std::string_view key, on_done<std::optional<found>> done);

  pending<written> put(std::string_view type, std::string_view key, std::string value, call_options = {});
  void put(std::string_view type, std::string_view key, std::string value, on_done<written> done);

  pending<removed> remove(std::string_view type, std::string_view key, call_options = {});
  void remove(std::string_view type, std::string_view key, on_done<removed> done);

  pending<swapped> compare_and_set(std::string_view type, std::string_view key, swap_request what, call_options = {});
  void compare_and_set(std::string_view type, std::string_view key, swap_request what, on_done<swapped> done);

  pending<added> add(std::string_view type, std::string_view key, std::int64_t delta, add_options = {});
  void add(std::string_view type, std::string_view key, std::int64_t delta, on_done<added, add_options> done);

  pending<named_lock> lock(std::string_view type, std::string_view key, lock_options = {});
  void lock(std::string_view type, std::string_view key, on_done<named_lock, lock_options> done);

  pending<std::optional<named_lock>> try_lock(std::string_view type, std::string_view key, lock_options = {});
  void try_lock(std::string_view type, std::string_view key, on_done<std::optional<named_lock>, lock_options> done);

  pending<std::vector<named_lock>> lock_many(std::vector<key_name> locks, lock_options = {});
  void lock_many(std::vector<key_name> locks, on_done<std::vector<named_lock>, lock_options> done);

private:
  friend class session;
  explicit async_session(std::shared_ptr<session_impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<session_impl> impl_;
};

/// One client of the cluster. Thread-safe; operations are issued in the order of the calls.
///
/// What every operation may answer besides its own errors: key_too_long, value_too_large, unknown_type and
/// unsupported_level before anything is sent; unavailable, overloaded, expired and shutting_down, when nothing
/// happened; timeout, when it is not known; cancelled and abandoned, when its caller has asked it to stop. An
/// operation is retried, and repeated on another node, at most once in effect, until its deadline. A session may have
/// 4,096 operations open whose values hold 64 MiB together; what is above that is overloaded.
class session {
public:
  /// @errors corrupt.
  result<std::optional<found>> get(std::string_view type, std::string_view key, call_options = {});

  /// @errors rolled_back, for a type that is configured so.
  result<written> put(std::string_view type, std::string_view key, std::string value, call_options = {});

  /// A key that is not there is removed with success.
  result<removed> remove(std::string_view type, std::string_view key, call_options = {});

  /// Writes `what.value` if the key holds `what.expected`.
  result<swapped> compare_and_set(std::string_view type, std::string_view key, swap_request what, call_options = {});

  /// Adds to a decimal number; a key that is not there counts as 0.
  /// @errors not_a_number, out_of_range.
  result<added> add(std::string_view type, std::string_view key, std::int64_t delta, add_options = {});

  /// Waits for a named lock: first come, first served, until the deadline. It says nothing about the key's value, for
  /// the key has none: what was once a lock stays one.
  /// @errors wrong_kind: the key has a value; lock_lost: it was granted, and its time was over before it could be
  /// used.
  result<named_lock> lock(std::string_view type, std::string_view key, lock_options = {});

  /// Does not wait for other owners: absent = somebody has it, or waits for it.
  result<std::optional<named_lock>> try_lock(std::string_view type, std::string_view key, lock_options = {});

  /// All of them or none, under one deadline; taken in one order by everybody, so that nobody waits in a circle.
  /// @errors invalid_argument: none or more than 64, or one of them twice; lock_lost: waiting for one took longer than
  /// the ttl of another.
  result<std::vector<named_lock>> lock_many(std::vector<key_name> locks, lock_options = {});

  async_session async() const { return async_session{impl_}; }

  session(session&&) noexcept = default;
  session& operator=(session&&) noexcept = default;
  /// What is still under way ends as *unknown*, once the copies of async() are gone too.
  ~session() = default;

private:
  friend class runtime;
  explicit session(std::shared_ptr<session_impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<session_impl> impl_;
};

struct session_options {
  /// Operations of this session are at this level instead of their type's.
  std::optional<level> consistency{};
  /// With a history file configured: operations of this session are recorded in it.
  bool recorded = true;
};

} // namespace troupe
