/// What stands behind the handles of the public API: the runtime with its sessions, and one operation under way.
#pragma once

#include <troupe/runtime.hpp>

#include "actors/interfaces.hpp"
#include "actors/layers/memory_table.hpp"
#include "actors/node_clock.hpp"
#include "protocol/limits.hpp"
#include "runtime/assembly.hpp"
#include "runtime/call_gate.hpp"
#include "runtime/config_file.hpp"
#include "runtime/history_recorder.hpp"
#include "runtime/operation_audit.hpp"
#include "runtime/waiting.hpp"
#include "runtime/weak_calls.hpp"
#include "runtime/weak_reads.hpp"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <stop_token>
#include <string>
#include <string_view>

namespace troupe {

/// One runtime. Its sessions keep it alive; after stop() it refuses everything.
class runtime_impl : public std::enable_shared_from_this<runtime_impl> {
public:
  /// @param system  what to stand on; null = a system of its own.
  static result<std::shared_ptr<runtime_impl>> start(const config& configuration, caf::actor_system* system);

  result<void> wait_ready(nanoseconds at_most);
  std::shared_ptr<session_impl> open_session(session_options options);
  std::string status_json();
  result<void> stop(nanoseconds at_most);

  const node_config& settings() const { return configuration_.checked(); }
  const node_clock& clock() const { return clock_; }
  call_gate& gate() { return gate_; }
  history_recorder* history() { return history_.get(); } ///< null = operations are not recorded
  operation_meter& meter() { return *meter_; }
  const std::shared_ptr<audit_feed>& audit() const { return audit_; } ///< null = nothing is audited
  /// For tests, before the first session is opened: the auditor of another runtime of this machine, whose clock is
  /// the same, judges what both were answered together.
  void audit_with(std::shared_ptr<audit_feed> feed) { audit_ = std::move(feed); }
  /// See runtime_access.
  bool with_parts(const std::function<void(assembly&)>& use);

  void forget(session_impl* session);

private:
  explicit runtime_impl(config configuration)
      : configuration_(std::move(configuration)), meter_(std::make_shared<operation_meter>(settings().shape)) {}
  result<void> wind_down(nanoseconds at_most);
  result<void> take_apart(std::unique_ptr<assembly> parts, instant until);
  void retire_sessions();

  const config configuration_;
  const boot_clock clock_;
  call_gate gate_;
  std::unique_ptr<history_recorder> history_;
  std::shared_ptr<operation_meter> meter_;
  std::shared_ptr<audit_feed> audit_; ///< set before the first session is opened

  std::shared_mutex parts_mutex_; ///< held shared by whoever uses the parts, alone by stop() when it takes them away
  std::unique_ptr<assembly> parts_;

  std::mutex sessions_mutex_;
  std::set<session_impl*> sessions_; ///< those whose handles live
  bool sessions_ended_ = false;      ///< a session that is opened now is retired at once

  std::mutex stop_mutex_;
  std::condition_variable stop_begun_;
  std::condition_variable stop_ended_;
  bool stopping_ = false;
  std::optional<result<void>> stopped_; ///< what the first stop() answered
};

/// The operations of a session that are not settled: what they weigh together, and on which keys they are. Safe from
/// any thread.
class open_operations {
public:
  enum class taken : std::uint8_t { no_room, alone, behind_others };

  /// Takes one in, if there is room; alone, an operation of any size has some. `alone`: no other is on its key.
  taken take(const std::string& key, std::size_t bytes) {
    const std::lock_guard lock{mutex_};
    if (!keys_.empty() && bytes_ + bytes > limits::session_bytes_max) return taken::no_room;
    if (keys_.size() >= limits::session_operations_max) return taken::no_room;
    const auto before = keys_.count(key);
    keys_.insert(key);
    bytes_ += bytes;
    count_.store(keys_.size(), std::memory_order_release);
    return before == 0 ? taken::alone : taken::behind_others;
  }

  void give_back(const std::string& key, std::size_t bytes) {
    const std::lock_guard lock{mutex_};
    keys_.erase(keys_.find(key));
    bytes_ -= bytes;
    count_.store(keys_.size(), std::memory_order_release);
  }

  /// Whether one is on this key, of those that were taken in before by whoever asks, or told whoever asks.
  bool has(std::string_view key) const { return count_.load(std::memory_order_acquire) != 0 && contains(key); }

private:
  bool contains(std::string_view key) const {
    const std::lock_guard lock{mutex_};
    return keys_.contains(key);
  }

  mutable std::mutex mutex_;
  std::multiset<std::string, std::less<>> keys_; ///< one entry per operation
  std::size_t bytes_ = 0;
  std::atomic<std::size_t> count_{0}; ///< of keys_; changed under the mutex
};

/// One operation between its call and its outcome. Settles once: by the answer, by the caller whose patience ended,
/// or because the actor that had it is gone.
class issued_call {
public:
  /// Runs on whatever thread settles the call, most often the one that does the network I/O; must not block or throw.
  using delivery = std::function<void(result<v1::Result>)>;

  /// What the operation is about, for its error and for the meter.
  struct subject {
    std::string type;
    std::string key; ///< as stored
    v1::Operation::WhatCase what = v1::Operation::WHAT_NOT_SET;
    instant begun;
  };

  /// Where the operation is recorded.
  struct recording {
    check::operation line; ///< all but the outcome
    std::uint64_t client = 0;
    std::shared_ptr<history_clients> clients;
    bool alone = false; ///< in no order with the session's other calls: nobody gets its client id again
  };

  /// Who is told of the outcome beside the caller.
  struct witnesses {
    std::optional<recording> record;
    std::optional<operation_audit> audit;
  };

  /// The runtime's gate was entered for it, the recorder's begin() called if there is a recording, and it was taken
  /// in by `open` with this many bytes.
  issued_call(std::shared_ptr<runtime_impl> owner, subject about, witnesses seen_by,
              std::shared_ptr<open_operations> open, std::size_t bytes, delivery deliver);

  /// Asks `session` to end the call that it knows by `ticket`, as soon as somebody asks `token` to. Once.
  void cancel_with(const std::stop_token& token, session_actor session, std::uint64_t ticket);

  void settle(result<v1::Result> outcome) noexcept;
  /// The answer of the session actor.
  void answer(const v1::Result& outcome) noexcept;
  /// The same of a type of a weaker level.
  void answer(const v1::WeakAnswer& answer) noexcept;
  /// Where the rest of the answer goes, and who has to hear of it; before the call is sent.
  void look_at(std::shared_ptr<answer_details> details, std::shared_ptr<weak_reads> reads) {
    details_ = std::move(details);
    reads_ = std::move(reads);
  }

private:
  void record(const result<v1::Result>& outcome);

  std::atomic<bool> settled_{false};
  std::shared_ptr<runtime_impl> owner_;
  subject subject_;
  std::optional<recording> recording_;
  std::optional<operation_audit> audit_;
  const std::shared_ptr<open_operations> open_;
  const std::size_t bytes_;
  delivery deliver_;
  std::shared_ptr<answer_details> details_; ///< null = nobody looks
  std::shared_ptr<weak_reads> reads_;       ///< null = the node has no table of the weaker levels
  std::optional<std::stop_callback<std::function<void()>>> cancellation_;
};

/// What a caller asked for; the texts live as long as the call of issue().
struct call_request {
  std::string_view type;
  std::string_view key;
  v1::Operation operation; ///< `what` is set
  std::optional<nanoseconds> deadline;
  std::stop_token stop{};
  lock_fence under{};
  bool missed = false; ///< a read that the node's memory had no answer to a moment ago
  weak_request weak{};
};

/// What the options of a call say, without its operation.
call_request request_of(std::string_view type, std::string_view key, call_options options);

/// One session of one runtime. Thread-safe.
class session_impl {
public:
  /// What a session is made of beside its actor: what the node's memory may answer for it; null = nothing.
  struct node_parts {
    session_actor actor; ///< none when the node has ended
    std::shared_ptr<const memory_table> memory;
    weak_copies copies; ///< likewise for the weaker levels
  };
  session_impl(std::shared_ptr<runtime_impl> owner, session_id id, session_options options, node_parts parts);
  session_impl(const session_impl&) = delete;
  session_impl& operator=(const session_impl&) = delete;
  ~session_impl();

  enum class memory_answer : std::uint8_t {
    given,
    missed,    ///< it was looked into, and had none
    not_asked, ///< by this session, or for this read, or now
  };

  /// Answers a read in the caller's thread, when the node's memory may and nobody has to hear of it: the session is
  /// not recorded. Where no answer is given, issue it.
  /// @param answer  empty before, and unless one is given.
  memory_answer read_here(std::string_view type, std::string_view key, const call_options& options,
                          std::optional<found>& answer) const;

  /// The same for types of a weaker level. @return whether it gives an answer.
  bool read_weak_here(std::string_view type, std::string_view key, const call_options& options,
                      std::optional<found>& answer);

  /// What the session has seen, sealed. `done` runs once, on whatever thread.
  void ask_token(std::function<void(result<std::string>)> done);
  result<void> join(std::string_view token);

  /// Checks `request`, and sends it unless the node's memory answers it. Operations are sent in the order of the
  /// calls of issue().
  /// @return the call under way; null when it was refused, and `deliver` has been told.
  std::shared_ptr<issued_call> issue(call_request request, issued_call::delivery deliver);

  const node_config& settings() const { return owner_->settings(); }
  const node_clock& clock() const { return owner_->clock(); }
  /// Unlike any other of any session of the cluster.
  std::string unique_name();

  /// How long a caller waits for an answer that never comes.
  nanoseconds patience(std::optional<nanoseconds> deadline) const;

  /// Ends the session; what is open becomes *unknown*, what comes is refused.
  void retire();

private:
  std::optional<error> refusal(const call_request& request) const;
  std::optional<operation_audit> start_audit(const call_request& request, const data_type& type, std::string_view key,
                                             instant called) const;
  /// A read that the node's table of copies answered.
  void audit_copy(const operation_audit::subject& about, const weak_table::hit& hit, const std::string& value,
                  instant called) const;
  /// The level that a read of this session asks for; absent = its type's.
  std::optional<level> level_asked(const data_type& type, const std::optional<level>& by_call) const;
  /// Tells the actor what was read without it. The mutex is held.
  void tell_actor();
  /// Takes a client id; the time of the call is still to be set.
  std::optional<issued_call::recording> start_recording(const call_request& request, const data_type& type) const;

  const std::shared_ptr<runtime_impl> owner_;
  const session_id id_;
  const session_options options_;
  const std::shared_ptr<history_clients> clients_;
  const std::shared_ptr<const memory_table> memory_;
  const bool reads_here_;                  ///< read_here() may ask the memory at all
  const std::shared_ptr<weak_reads> weak_; ///< null = the node has no copies of weaker levels
  std::optional<error> refused_;           ///< why every operation is: its first token
  const std::shared_ptr<open_operations> open_ = std::make_shared<open_operations>();
  std::mutex mutex_;          ///< held from the numbering of an operation to its sending: the order of the calls
  session_actor actor_;       ///< none after retire()
  std::uint64_t tickets_ = 0; ///< given out
  std::atomic<std::uint64_t> names_{0};
};

} // namespace troupe
