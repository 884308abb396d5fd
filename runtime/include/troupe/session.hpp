/// Sessions: the operations of one client, in order, each under a deadline.
#pragma once

#include <troupe/error.hpp>
#include <troupe/key_version.hpp>
#include <troupe/level.hpp>
#include <troupe/lock.hpp>
#include <troupe/pending.hpp>
#include <troupe/weak.hpp>

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
  std::optional<troupe::receipt> receipt{}; ///< as the call asked for it; so below
};

struct written {
  key_version version;
  std::optional<troupe::receipt> receipt{};
};

struct removed {
  /// Of a weaker level: as the replica saw it that accepted the removal.
  bool existed = false;
  std::optional<troupe::receipt> receipt{};
};

/// get_many: several keys of one type as of one moment (invariant C2): with a value there is everything that its
/// writer had seen.
struct snapshot {
  std::vector<std::optional<found>> values; ///< one per key, in the order of the call; absent = there was none
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
  bool applied = false; ///< false: the sum would have been below the floor, and nothing changed
  /// What is stored now; of a weaker level: the sum where it was accepted.
  std::int64_t value = 0;
  key_version version;
  std::optional<troupe::receipt> receipt{};
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

  /// A weaker level than the type's, for a read: it then waits for less. What the layers give may be stronger than
  /// that, as the receipt says; a strong type is always read strongly. A write is as its type says.
  /// @errors unsupported_level: it is stronger than the type's.
  std::optional<level> at{};
  bool receipt = false; ///< the answer says how it came about
  /// Of a read at level eventual: what is read was the newest there was at most so long before the answer.
  /// @errors too_stale: that cannot be met by the deadline.
  std::optional<std::chrono::nanoseconds> max_staleness{};
  /// A session's token: what that session had seen is all that this read waits for, or
  /// that this write is ordered after, beside this session's own writes; not what this session has read. For types of
  /// level causal and session.
  /// @errors bad_token.
  quoted after{};
  /// Of get_siblings: a write replaces what was read there, and nothing else. Without it,
  /// what is visible where it is accepted.
  /// @errors bad_token: it is not of this cluster.
  quoted context{};
};

struct add_options {
  std::optional<std::int64_t> floor{}; ///< refuse to go below; of strong types only
  std::optional<std::chrono::nanoseconds> deadline{};
  std::stop_token stop{};
  lock_fence under{};
  bool receipt = false; ///< see call_options; so `after`
  quoted after{};
};

/// put_field.
struct field_value {
  std::string field; ///< its name: at most 1,024 bytes, not empty
  std::string value;
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

  pending<siblings> get_siblings(std::string_view type, std::string_view key, call_options = {});
  void get_siblings(std::string_view type, std::string_view key, on_done<siblings> done);

  pending<snapshot> get_many(std::string_view type, std::vector<std::string> keys, call_options = {});
  void get_many(std::string_view type, std::vector<std::string> keys, on_done<snapshot> done);

  pending<written> add_element(std::string_view type, std::string_view key, std::string element, call_options = {});
  void add_element(std::string_view type, std::string_view key, std::string element, on_done<written> done);
  pending<removed> remove_element(std::string_view type, std::string_view key, std::string element,
                                  call_options = {});
  void remove_element(std::string_view type, std::string_view key, std::string element, on_done<removed> done);
  pending<elements> elements_of(std::string_view type, std::string_view key, call_options = {});
  void elements_of(std::string_view type, std::string_view key, on_done<elements> done);

  pending<written> put_field(std::string_view type, std::string_view key, field_value field, call_options = {});
  void put_field(std::string_view type, std::string_view key, field_value field, on_done<written> done);
  pending<removed> remove_field(std::string_view type, std::string_view key, std::string field, call_options = {});
  void remove_field(std::string_view type, std::string_view key, std::string field, on_done<removed> done);
  pending<fields> fields_of(std::string_view type, std::string_view key, call_options = {});
  void fields_of(std::string_view type, std::string_view key, on_done<fields> done);

  pending<std::string> token();
  void token(std::function<void(result<std::string>)> done);

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
///
/// Types of a weaker level add: unsupported_operation, before anything is sent, for what their level or resolver does
/// not have (compare_and_set, floors and locks are for strong types); dependency_timeout, which names the node that
/// everybody waits for; lost_update, once, when what this session has seen was lost with its node; too_stale,
/// too_many_siblings, clock_ahead and not_joined.
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

  /// Of a type with the resolver "siblings": all values that were written concurrently, and what to quote to replace
  /// them. get() answers the newest of them, or what config::with_merge has a function for.
  result<siblings> get_siblings(std::string_view type, std::string_view key, call_options = {});

  /// Up to 256 keys of a causal or session type as one causal cut, in one round of messages.
  /// @errors invalid_argument: none, or too many; old_cut: it took longer than overwritten values are kept, more than
  ///   once.
  result<snapshot> get_many(std::string_view type, std::vector<std::string> keys, call_options = {});

  /// Of types with the resolver "set": an element that is added while it is removed elsewhere stays.
  result<written> add_element(std::string_view type, std::string_view key, std::string element, call_options = {});
  result<removed> remove_element(std::string_view type, std::string_view key, std::string element, call_options = {});
  result<elements> elements_of(std::string_view type, std::string_view key, call_options = {});

  /// Of types with the resolver "map": the last writer of a field wins, each field by itself.
  result<written> put_field(std::string_view type, std::string_view key, field_value field, call_options = {});
  result<removed> remove_field(std::string_view type, std::string_view key, std::string field, call_options = {});
  result<fields> fields_of(std::string_view type, std::string_view key, call_options = {});

  /// What this session has seen, as text: up to 1 KiB of printable characters for nine nodes. A session that joins
  /// it, on any node of any region, goes on from here, and that this node has died meanwhile does not matter. It
  /// holds what was answered before the call.
  /// @errors shutting_down; overloaded: it has seen updates of more than 64 nodes.
  result<std::string> token();

  /// Goes on from a token, too: whatever is called after it waits for what that session had seen. In any order, any
  /// number of times.
  /// @errors bad_token: it does not verify, and nothing has changed; dependency_timeout: not yet, for it is not known
  ///   here yet how an earlier life of a node has ended; shutting_down.
  result<void> join(std::string_view token);

  /// Waits for a named lock: first come, first served, until the deadline. It says nothing about the key's value, for
  /// the key has none: what was once a lock stays one.
  /// @errors wrong_kind: the key has a value; lock_lost: it was granted, and its time was over before it could be
  /// used.
  result<named_lock> lock(std::string_view type, std::string_view key, lock_options = {});

  /// Does not wait for other owners: absent = somebody has it, or waits for it.
  result<std::optional<named_lock>> try_lock(std::string_view type, std::string_view key, lock_options = {});

  /// All of them or none, under one deadline; taken in one order by everybody, so that nobody waits in a circle.
  /// @errors invalid_argument: none or more than 64, or one of them twice; lock_lost: waiting for one took longer
  /// than the ttl of another.
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
  /// Reads of this session are at this level where their type's is stronger; see call_options::at.
  std::optional<level> consistency{};
  /// See session::join. One that does not verify is an error of every operation: a session never begins from nothing
  /// in the place of what its client had seen.
  std::string token{};
  session_guarantees guarantees{};
  /// With a history file configured: operations of this session are recorded in it.
  bool recorded = true;
};

} // namespace troupe
