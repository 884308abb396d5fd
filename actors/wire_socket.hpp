/// The sockets of connections between nodes, below CAF's BASP broker: they read ahead, and write at once.
///
/// Why: CAF's own takes the header and the body of each message from the system one by one, then asks once more and
/// finds nothing; and what is sent waits for the next round of epoll, in which it is registered first and taken out
/// again afterwards. Here a round reads all that has arrived in one call, and a frame leaves with one. What the
/// system does not take goes CAF's way.
#pragma once

#include <caf/expected.hpp>
#include <caf/io/doorman.hpp>
#include <caf/io/network/multiplexer.hpp>
#include <caf/io/scribe.hpp>

#include <cstdint>

namespace troupe {

/// A connection over `socket`, which it closes. For brokers that never stop reading, as BASP's.
caf::io::scribe_ptr new_wire_socket(caf::io::network::multiplexer& sockets, caf::io::network::native_socket socket);

/// Listens at an address of this machine, and makes such connections. Port 0: one that is free.
caf::expected<caf::io::doorman_ptr> new_wire_listener(caf::io::network::multiplexer& sockets, std::uint16_t port,
                                                      const char* host);

} // namespace troupe
