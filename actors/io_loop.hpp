/// Runs actors on the thread that does the network I/O of an actor system, many of them between two looks at the
/// sockets.
///
/// Why: CAF's multiplexer runs what was posted in rounds and polls the sockets after each. A write goes through a
/// chain of actors, link to lock manager to replica and links and their flushes, of which each would wait for a round
/// of its own: five system calls that find nothing. Here the whole chain is one round.
#pragma once

#include <caf/abstract_actor.hpp>
#include <caf/actor_system.hpp>
#include <caf/execution_unit.hpp>
#include <caf/io/network/multiplexer.hpp>

#include <functional>
#include <memory>
#include <thread>

namespace troupe {

/// Give it to `spawn_on`. It has to live until its actors have ended: see await_actors.
class io_loop final : public caf::execution_unit {
public:
  /// `sockets`: what the middleman of `system` runs.
  io_loop(caf::actor_system& system, caf::io::network::multiplexer& sockets);
  io_loop(const io_loop&) = delete;
  io_loop& operator=(const io_loop&) = delete;
  ~io_loop() override;

  /// From any thread. What the I/O thread itself hands over runs before the sockets are looked at again, but for
  /// actors that belong to the workers.
  void exec_later(caf::resumable* job) override;

  /// Runs `job` on the thread, soon. From any thread.
  void post(std::function<void()> job);

  /// Counts an actor that runs here, until it has ended.
  void enrol(caf::abstract_actor& actor);

  /// Waits, without bound, until all actors that were enrolled have ended and the thread has come out of the last.
  /// From another thread.
  ///
  /// Why not CAF's own await_all_actors_done: the system may be a service's, whose actors live on.
  void await_actors();

private:
  class round;
  class roll;
  caf::io::network::multiplexer* multiplexer_;
  std::thread::id thread_;
  std::shared_ptr<roll> roll_;
  caf::intrusive_ptr<round> round_;
};

} // namespace troupe
