/// The RESP gateway: any Redis client drives a node through it.
///
/// Actors: one ACCEPTOR broker owns the listening socket; it forks one CONNECTION broker per client, which owns a
/// session of its own. All of them run on the middleman's thread. A connection's end closes its session, so what was
/// under way ends as *unknown*, and touches nobody else: the acceptor monitors its connections, and logs those that
/// failed. The acceptor's end ends every connection.
///
/// Operations of one connection are issued in the order of its commands, without waiting for each other's answers;
/// the replies leave in that order too. A client that half-closes its connection is taken to be gone.
#pragma once

#include "runtime/config_file.hpp"
#include "runtime/faces/face.hpp"

#include <caf/actor.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>

namespace troupe {

struct resp_limits {
  std::size_t connections_max = resp_settings{}.connections_max;
  std::size_t operations_max = 1'024; ///< under way per connection; then reading pauses
  /// Weight of the operations under way per connection; then reading pauses. Well below limits::session_bytes_max: a
  /// client that pipelines is slowed down, not refused.
  std::size_t operation_bytes_max = std::size_t{32} << 20;
  std::size_t reply_bytes_max = std::size_t{64} << 20; ///< waiting per connection: above, reads are refused
  std::size_t unsent_bytes_max = std::size_t{1} << 20; ///< not taken by the client; then reading pauses
  /// Input, operations and replies of all connections together. Above half of it a connection settles its operations
  /// before it takes more; above it, connections that hold more than their free share end.
  std::size_t gateway_bytes_max = std::size_t{1} << 30;
  std::size_t connection_bytes_free = std::size_t{64} << 10; ///< the free share
};

/// What all connections of a gateway share. Safe from any thread.
class resp_load {
public:
  /// Takes a place for a connection; false when `connections_max` places are taken.
  bool enter(std::size_t connections_max);
  void leave();
  /// Waits until every place is free; false when that took longer than `at_most`.
  bool wait_empty(nanoseconds at_most);

  /// How many connections have been let in since the start.
  std::uint64_t accepted() const { return accepted_; }

  std::atomic<std::size_t> bytes{0}; ///< input, operations and replies held by the connections

private:
  std::mutex guard_;
  std::condition_variable left_;
  std::size_t connections_ = 0;
  std::atomic<std::uint64_t> accepted_{0};
};

/// How many descriptors clients may take in a process that may open `limit`: all but 512, or but half of fewer.
///
/// Why: a store that cannot open a file has failed for good, and a listener that cannot accept spins. The rest is for
/// the store's files (some 64 MB each), the links, the log, and the host program.
constexpr std::size_t descriptors_for_clients(std::size_t limit) {
  constexpr std::size_t reserve = 512;
  return limit - std::min(reserve, limit / 2);
}

class resp_gateway {
public:
  /// Listens. Throws std::runtime_error naming the address when it cannot be bound.
  /// @param bounds  connections_max is lowered, with a warning, to what the process may open now; see
  ///                descriptors_for_clients.
  resp_gateway(const face_setup& face, const endpoint& at, const resp_limits& bounds);
  resp_gateway(const resp_gateway&) = delete;
  resp_gateway& operator=(const resp_gateway&) = delete;
  /// Ends the acceptor and every connection, and waits until none of them uses the node any more.
  ~resp_gateway();

  /// Where it listens; the port is the real one when 0 was asked for.
  const endpoint& address() const { return address_; }

private:
  face_setup face_;
  endpoint address_;
  std::shared_ptr<resp_load> load_;
  caf::actor acceptor_;
};

} // namespace troupe
