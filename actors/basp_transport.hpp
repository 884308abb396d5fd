/// The real transport: CAF's middleman and its protocol BASP over TCP.
///
/// BASP neither authenticates nor encrypts, and a hostile peer can make a node allocate gigabytes: its port must be
/// reachable by trusted processes only.
#pragma once

#include "actors/transport.hpp"
#include "protocol/cluster.hpp"

#include <caf/actor.hpp>
#include <caf/fwd.hpp>

#include <map>
#include <mutex>
#include <string>

namespace troupe {

/// Prepares a configuration for nodes: message types, middleman, heartbeats, a node id of its own. Each setting is
/// explained in the source.
///
/// Do not call `config.parse` afterwards: it reads caf-application.ini from whatever directory the process is in, and
/// what it finds there wins over these settings.
void configure(caf::actor_system_config& config);

/// Throws std::runtime_error that names what a node needs and the system has not; it has everything when it was made
/// with a configuration from `configure`, whose settings were left as they were.
void require_configured(caf::actor_system& system);

/// Several may stand on one system, of different clusters: nodes of one cluster would take each other for themselves.
/// Where members listen is taken from the cluster's member list. Destroy it before the actor system.
class basp_transport final : public transport {
public:
  /// Throws what require_configured throws, and std::runtime_error where a node of the same cluster runs.
  /// @param self    a member's id, or that of a client node, which listens nowhere.
  basp_transport(caf::actor_system& system, cluster shape, node_id self);
  basp_transport(const basp_transport&) = delete;
  basp_transport& operator=(const basp_transport&) = delete;
  /// Closes the port; connections stay until the actors behind them end.
  ~basp_transport() override;

  /// Binds exactly the host of this node's member entry; port 0 = any free one. Throws std::runtime_error naming the
  /// address. Does nothing on a client node.
  void listen(const caf::actor& door) override;

  /// Each peer has a dialer with a thread of its own: a connect to an unreachable host blocks for up to a second.
  void dial(node_id peer, const caf::actor& reply_to) override;

  /// Also ends a connection whose other end is silent.
  void close(const caf::actor& wire) override;

  /// Where this node listens; 0 = it does not.
  std::uint16_t port() const { return port_; }

private:
  caf::actor_system& system_;
  cluster shape_;
  node_id self_;
  caf::actor broker_; ///< CAF's BASP broker; connections are its, and outlive this
  caf::actor door_;
  std::uint16_t port_ = 0;
  std::mutex mutex_;                      ///< guards dialers_: links of several threads dial
  std::map<node_id, caf::actor> dialers_; ///< spawned at the first dial
};

} // namespace troupe
