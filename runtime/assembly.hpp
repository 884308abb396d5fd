/// What one runtime consists of, built in order and taken apart in the opposite one.
#pragma once

#include <troupe/error.hpp>

#include "actors/auditor.hpp"
#include "actors/io_loop.hpp"
#include "actors/layers/store.hpp"
#include "actors/node_clock.hpp"
#include "actors/transport.hpp"
#include "runtime/config_file.hpp"
#include "runtime/faces/admin_http.hpp"
#include "runtime/faces/face.hpp"
#include "runtime/faces/resp_gateway.hpp"
#include "runtime/logging.hpp"
#include "runtime/node.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>

#include <memory>
#include <optional>

namespace troupe {

/// Log, clock, store, actor system, transport, node, faces: alive from build() to the destructor.
class assembly {
public:
  /// @param system  what to stand on, made with a configuration from `configure`; null = a system of its own.
  /// @errors see runtime::start, start_in.
  static result<std::unique_ptr<assembly>> build(const node_config& config, std::shared_ptr<operation_meter> meter,
                                                 caf::actor_system* system);
  assembly(const assembly&) = delete;
  assembly& operator=(const assembly&) = delete;
  /// Kills the actors, waits for them, closes the store and ends every thread. Unbounded: see runtime_impl::stop.
  ~assembly();

  const node_config& config() const { return config_; }
  const std::shared_ptr<spdlog::logger>& log() const { return log_; }
  /// For who logs beyond the end of this.
  const std::shared_ptr<runtime_log>& log_writer() const { return log_writer_; }
  node_clock& clock() { return clock_; }
  store_driver* store() { return store_.get(); } ///< none on a client node
  caf::actor_system& system() { return *system_; }
  /// The system is somebody else's, who may talk to the actors.
  bool is_guest() const { return own_system_ == nullptr; }
  io_loop& thread() { return *thread_; }
  node& actors() { return *node_; }

  /// The store refuses writes for good: this node can only be stopped, and repaired.
  bool store_failed() const { return node_->store_failed(); }
  /// An actor of this node has died, and all others with it: see node::died.
  bool died() const { return node_->died(); }

  /// What the faces count in.
  operation_meter& meter() { return *meter_; }
  /// Where a face listens; the port is the real one when the configuration says 0. None = it does not.
  std::optional<endpoint> resp_address() const;
  std::optional<endpoint> admin_address() const;

  /// What a face, or whoever else talks to the actors directly, needs.
  face_setup face();

  /// Null = nothing is audited.
  const std::shared_ptr<audit_feed>& audit() const { return audit_; }
  /// Has the auditor judge what it has; by `until` at the latest it is left alone.
  void finish_audit(instant until);

  /// Asks every lock manager to hand its shard over; false when some had not by `until`.
  bool release_homes(instant until);

private:
  assembly(node_config config, std::shared_ptr<operation_meter> meter, caf::actor_system* system)
      : config_(std::move(config)), meter_(std::move(meter)), system_(system) {}
  result<void> open_own_store();
  std::shared_ptr<alert_webhook> open_webhook();
  void start_system();
  void start_node();
  void start_audit();
  void start_faces();

  node_config config_;
  std::shared_ptr<operation_meter> meter_;
  caf::actor_system* system_;               ///< what all actors are in
  std::shared_ptr<runtime_log> log_writer_; ///< outlives all that logs
  std::shared_ptr<spdlog::logger> log_;
  boot_clock clock_;
  std::unique_ptr<store_driver> store_;
  std::unique_ptr<caf::actor_system_config> system_config_;
  std::unique_ptr<io_loop> thread_;               ///< of the node's actors; outlives our own system
  std::unique_ptr<caf::actor_system> own_system_; ///< null = a guest in another
  std::unique_ptr<transport> wires_;
  std::shared_ptr<alert_webhook> webhook_; ///< null = none
  std::unique_ptr<node> node_;
  std::shared_ptr<audit_feed> audit_; ///< null = nothing is audited
  std::unique_ptr<resp_gateway> resp_;
  std::unique_ptr<admin_http> admin_;
};

} // namespace troupe
