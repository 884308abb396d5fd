#include "actors/wire_socket.hpp"

#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/doorman_impl.hpp>
#include <caf/io/network/native_socket.hpp>
#include <caf/io/network/stream_impl.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace troupe {

namespace {

namespace network = caf::io::network;

/// Of one call; a frame of a busy link is larger than most, and read straight into its place.
constexpr std::size_t read_ahead_bytes = std::size_t{64} << 10;

bool would_block(int code) { return code == EAGAIN || code == EWOULDBLOCK || code == EINTR; }

/// How a stream of CAF's reads and writes its socket.
class read_ahead {
public:
  network::rw_state read_some(std::size_t& got, network::native_socket socket, void* to, std::size_t size) {
    got = 0;
    if (taken_ < held_) {
      got = std::min(size, held_ - taken_);
      std::memcpy(to, buffer_.data() + taken_, got);
      taken_ += got;
      return network::rw_state::success;
    }
    if (drained_) { // as the last call had it; epoll tells when there is more
      drained_ = false;
      return network::rw_state::indeterminate;
    }
    if (size >= buffer_.size()) return receive(got, socket, to, size);
    const auto state = receive(held_, socket, buffer_.data(), buffer_.size());
    taken_ = 0;
    return held_ == 0 ? state : read_some(got, socket, to, size);
  }

  static network::rw_state write_some(std::size_t& sent, network::native_socket socket, const void* from,
                                      std::size_t size) {
    const auto n = ::send(socket, from, size, MSG_NOSIGNAL);
    sent = n > 0 ? static_cast<std::size_t>(n) : 0;
    return n < 0 && !would_block(errno) ? network::rw_state::failure : network::rw_state::success;
  }

  /// Nobody tells again of what was read ahead.
  bool must_read_more(network::native_socket, std::size_t) const { return taken_ < held_; }

private:
  network::rw_state receive(std::size_t& got, network::native_socket socket, void* to, std::size_t size) {
    got = 0;
    const auto n = ::recv(socket, to, size, 0);
    if (n == 0) return network::rw_state::failure; // closed by the peer
    if (n < 0) return would_block(errno) ? network::rw_state::indeterminate : network::rw_state::failure;
    got = static_cast<std::size_t>(n);
    drained_ = got < size;
    return network::rw_state::success;
  }

  std::vector<char> buffer_ = std::vector<char>(read_ahead_bytes);
  std::size_t held_ = 0;  ///< bytes in the buffer
  std::size_t taken_ = 0; ///< of these, already handed on
  bool drained_ = false;  ///< the last call took all there was
};

class wire_stream final : public network::stream_impl<read_ahead> {
public:
  using stream_impl::stream_impl;

  /// Sends what has been written; what the system does not take, and errors, by the event loop.
  void send_now(network::stream_manager* manager) {
    auto& waiting = wr_buf();
    if (!state_.writing && !state_.shutting_down && !state_.ack_writes && !waiting.empty()) {
      std::size_t sent = 0;
      if (read_ahead::write_some(sent, fd(), waiting.data(), waiting.size()) == network::rw_state::success)
        waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(sent));
    }
    flush(manager);
  }
};

class wire_socket final : public caf::io::scribe {
public:
  wire_socket(network::default_multiplexer& sockets, network::native_socket socket)
      : scribe{network::conn_hdl_from_socket(socket)}, stream_{sockets, socket} {}

  void configure_read(caf::io::receive_policy::config config) override {
    stream_.configure_read(config);
    if (launched_) return;
    launched_ = true;
    stream_.start(this);
  }
  void ack_writes(bool enable) override { stream_.ack_writes(enable); }
  std::vector<char>& wr_buf() override { return stream_.wr_buf(); }
  std::vector<char>& rd_buf() override { return stream_.rd_buf(); }
  void flush() override { stream_.send_now(this); }
  void graceful_shutdown() override {
    stream_.graceful_shutdown();
    detach(&stream_.backend(), false);
  }
  std::string addr() const override {
    const auto address = network::remote_addr_of_fd(stream_.fd());
    return address ? *address : std::string{};
  }
  std::uint16_t port() const override {
    const auto number = network::remote_port_of_fd(stream_.fd());
    return number ? *number : std::uint16_t{0};
  }
  void add_to_loop() override { stream_.activate(this); }
  void remove_from_loop() override { stream_.passivate(); }

private:
  bool launched_ = false;
  wire_stream stream_;
};

class wire_listener final : public network::doorman_impl {
public:
  using doorman_impl::doorman_impl;

  bool new_connection() override {
    if (detached()) { // the broker has closed it while a connection was on its way
      network::close_socket(acceptor_.accepted_socket());
      return false;
    }
    auto& sockets = acceptor_.backend();
    auto connection = new_wire_socket(sockets, acceptor_.accepted_socket());
    const auto handle = connection->hdl();
    parent()->add_scribe(std::move(connection));
    return doorman::new_connection(&sockets, handle);
  }
};

} // namespace

caf::io::scribe_ptr new_wire_socket(network::multiplexer& sockets, network::native_socket socket) {
  return caf::make_counted<wire_socket>(dynamic_cast<network::default_multiplexer&>(sockets), socket);
}

caf::expected<caf::io::doorman_ptr> new_wire_listener(network::multiplexer& sockets, std::uint16_t port,
                                                      const char* host) {
  auto socket = network::new_tcp_acceptor_impl(port, host, true);
  if (!socket) return std::move(socket.error());
  return caf::io::doorman_ptr{
      caf::make_counted<wire_listener>(dynamic_cast<network::default_multiplexer&>(sockets), *socket)};
}

} // namespace troupe
