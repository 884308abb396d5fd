/// Troupe, embedded: one object that is a node of the cluster.
///
///     auto rt = troupe::runtime::start(troupe::config::from_file("node.toml"));
///     auto s = rt->open_session();
///     auto stock = s.add("inventory", "85123A", -6, {.floor = 0});
#pragma once

#include <troupe/config.hpp>
#include <troupe/error.hpp>
#include <troupe/session.hpp>

#include <chrono>
#include <memory>
#include <string>

namespace troupe {

class runtime_access;
class runtime_impl;

/// A running node, or client node, of a cluster. Several may live in one process. Thread-safe.
class runtime {
public:
  /// Starts to listen and to connect; does not wait for anybody (see wait_ready). Takes the answer of
  /// config::from_file as it is, and hands its error on.
  /// @errors invalid_argument: the configuration, or an address that cannot be bound; storage_failed: the store,
  /// which
  ///   `troupe init` makes.
  static result<runtime> start(result<config> configuration);

  /// Waits until this node has met enough of the others to serve.
  /// @errors unavailable: not ready in time; the detail says what is missing.
  result<void> wait_ready(std::chrono::nanoseconds at_most) const;

  /// Works on a runtime that was stopped too: the session then answers shutting_down.
  session open_session(session_options options = {});

  /// This node's view of itself, its links and its shards, as a JSON object.
  std::string status_json() const;

  /// Hands the shards over that this node leads, lets open operations finish as far as the time allows, ends all
  /// sessions and waits for every thread. Refused in a call's own function.
  /// @errors invalid_argument: called there; timeout: something did not end in time and was left behind;
  /// storage_failed: the history is incomplete.
  result<void> stop(std::chrono::nanoseconds at_most = std::chrono::seconds{5});

  runtime(runtime&&) noexcept = default;
  runtime& operator=(runtime&& other) noexcept;
  ~runtime(); ///< stop(); where that is refused, another thread does it

private:
  friend class runtime_access;
  explicit runtime(std::shared_ptr<runtime_impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<runtime_impl> impl_;
};

} // namespace troupe
