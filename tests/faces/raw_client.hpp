/// A RESP client of bytes, for tests that say what no client library would.
#pragma once

#include "tests/support/cluster.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::test {

/// A RESP client of bytes: says what it is told to, and shows what came back. No read waits for more than 10 s.
class raw_client {
public:
  explicit raw_client(const test_node& node) : raw_client(node.resp_port) {}
  /// @param receive_bytes  what the system may keep of what the node has said; 0 = its default.
  explicit raw_client(std::uint16_t port, int receive_bytes = 0)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_bytes != 0) ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    const timeval patience{10, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  raw_client(const raw_client&) = delete;
  raw_client& operator=(const raw_client&) = delete;
  ~raw_client() { ::close(socket_); }

  bool connected() const { return connected_; }
  int descriptor() const { return socket_; }

  void say(std::string_view bytes) const {
    while (!bytes.empty()) {
      const auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return; // the node has closed; what it said stands in the answers
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  /// The next `size` bytes; fewer when the node closed, or was silent for too long.
  std::string hear(std::size_t size) {
    while (heard_.size() < size && take()) {
    }
    auto result = heard_.substr(0, size);
    heard_.erase(0, size);
    return result;
  }

  /// Up to and with the next line end.
  std::string line() {
    for (std::size_t end; (end = heard_.find("\r\n")) == std::string::npos;)
      if (!take()) return hear(heard_.size());
    return hear(heard_.find("\r\n") + 2);
  }

  /// The node has no more to say: it has closed its side. Known after a read that gave less than was asked for.
  bool closed() const { return closed_; }

  /// Everything until the node closes. Fails the test when it does not.
  std::string rest() {
    while (take()) {
    }
    CHECK(closed_);
    return hear(heard_.size());
  }

private:
  bool take() {
    char bytes[65'536];
    const auto got = ::recv(socket_, bytes, sizeof bytes, 0);
    if (got > 0) heard_.append(bytes, static_cast<std::size_t>(got));
    if (got == 0 || (got < 0 && errno == ECONNRESET)) closed_ = true;
    return got > 0;
  }

  int socket_;
  bool connected_ = false;
  bool closed_ = false;
  std::string heard_;
};

inline std::string array(const std::vector<std::string>& words) {
  std::string bytes = "*" + std::to_string(words.size()) + "\r\n";
  for (const auto& word : words)
    bytes += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  return bytes;
}

} // namespace troupe::test
