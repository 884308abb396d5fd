/// Seam 2 of 3: connections between nodes. Real: CAF's middleman (BASP). Simulated: a seeded network.
#pragma once

#include "protocol/ids.hpp"

#include <caf/actor.hpp>

#include <stdexcept>
#include <string>

namespace troupe {

/// An address that cannot be listened at. what(): its key in the configuration, the address, and why.
struct cannot_listen : std::runtime_error {
  cannot_listen(const std::string& key, const std::string& address,
                const std::string& why = "in use by another process, not of this machine, or not allowed")
      : std::runtime_error(key + " = \"" + address + "\": " + why) {}
};

/// A *wire* is a handle of the actor at the other end of one connection. The contract: what is sent to it arrives in
/// order while the connection lives, and is lost only with the connection; the end of the connection terminates the
/// wire, so monitoring it gives a DOWN; an answer's `current_sender()` is the wire back.
///
/// The link sends only v1::Hello, v1::HelloRefused and v1::Frame over a wire.
class transport {
public:
  virtual ~transport() = default;

  /// Makes `door` what peers reach when they dial this node. Once, before any dial. Throws cannot_listen when its
  /// address cannot be bound.
  virtual void listen(const caf::actor& door) = 0;

  /// Opens a connection to `peer` and answers `reply_to` with exactly one of
  ///   (dialled_atom, node_id peer, caf::strong_actor_ptr wire)
  ///   (dial_failed_atom, node_id peer, std::string why)
  /// Never blocks; a dial to one peer never delays a dial to another.
  virtual void dial(node_id peer, const caf::actor& reply_to) = 0;

  /// Ends the connection behind `wire` where the transport can; both ends see a DOWN. A transport that cannot (BASP)
  /// ends it by its own heartbeats.
  virtual void close(const caf::actor& wire) = 0;
};

} // namespace troupe
