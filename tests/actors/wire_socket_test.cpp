// The sockets of links, between a broker that reads as CAF's BASP broker does and a plain client.
#include "actors/basp_transport.hpp"
#include "actors/wire_socket.hpp"

#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <caf/io/network/multiplexer.hpp>
#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

using body_size = std::uint32_t;

struct echo_state {
  echo_state() = default; // an aggregate would be made from the actor's address, which CAF offers first
  bool in_body = false;
};

/// Sends every frame back: a size of four bytes and as many more, each read by a policy of its own.
caf::behavior echo(caf::io::stateful_broker<echo_state>* self, caf::io::doorman_ptr door,
                   std::shared_ptr<std::promise<void>> closed) {
  self->add_doorman(std::move(door));
  self->set_default_handler(caf::drop);
  return {
      [self](const caf::io::new_connection_msg& client) {
        self->configure_read(client.handle, caf::io::receive_policy::exactly(sizeof(body_size)));
      },
      [self](const caf::io::new_data_msg& data) {
        auto& in_body = self->state.in_body;
        self->write(data.handle, data.buf.size(), data.buf.data());
        body_size next = sizeof(body_size);
        if (in_body)
          self->flush(data.handle);
        else
          std::memcpy(&next, data.buf.data(), sizeof next);
        in_body = !in_body;
        self->configure_read(data.handle, caf::io::receive_policy::exactly(next));
      },
      [self, closed](const caf::io::connection_closed_msg&) {
        closed->set_value();
        self->quit();
      },
  };
}

struct client {
  explicit client(std::uint16_t port) : fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    const timeval patience{20, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): as the interface wants it
    REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  }
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() { ::close(fd); }

  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const auto n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  std::string receive(std::size_t size) const {
    std::string got(size, '\0');
    std::size_t held = 0;
    while (held < size) {
      const auto n = ::recv(fd, got.data() + held, size - held, 0);
      if (n <= 0) break;
      held += static_cast<std::size_t>(n);
    }
    got.resize(held);
    return got;
  }

  int fd;
};

struct stage {
  stage() {
    auto door = new_wire_listener(system.middleman().backend(), 0, "127.0.0.1");
    REQUIRE(door);
    port = (*door)->port();
    broker = system.middleman().spawn_broker(echo, std::move(*door), closed);
  }
  ~stage() { caf::anon_send_exit(broker, caf::exit_reason::user_shutdown); }

  struct configured : caf::actor_system_config {
    configured() { configure(*this); }
  } config;
  caf::actor_system system{config};
  std::shared_ptr<std::promise<void>> closed = std::make_shared<std::promise<void>>();
  caf::actor broker;
  std::uint16_t port = 0;
};

std::string frame(std::mt19937& random, std::size_t size) {
  std::string bytes(sizeof(body_size) + size, '\0');
  const auto head = static_cast<body_size>(size);
  std::memcpy(bytes.data(), &head, sizeof head);
  for (std::size_t i = sizeof head; i < bytes.size(); ++i)
    bytes[i] = static_cast<char>(random());
  return bytes;
}

std::string frames(std::size_t count, std::size_t size_max) {
  std::mt19937 random{7};
  std::string all;
  for (std::size_t i = 0; i < count; ++i)
    all += frame(random, 1 + random() % size_max);
  return all;
}

} // namespace

TEST_CASE("wire socket: frames that came together are all handed on, though nothing follows them") {
  stage s;
  client c{s.port};
  for (const std::size_t count : {1, 2, 49, 50, 51, 3000}) { // CAF stops after fifty reads
    CAPTURE(count);
    const auto sent = frames(count, 20);
    REQUIRE(c.send(sent));
    CHECK(c.receive(sent.size()) == sent);
  }
}

TEST_CASE("wire socket: frames of every size arrive whole and in order, however they are cut") {
  stage s;
  client c{s.port};
  const auto sent = frames(200, 300'000);
  std::mt19937 random{11};
  std::thread writer{[&] {
    for (std::size_t at = 0; at < sent.size();) {
      const auto piece = 1 + random() % 100'000;
      if (!c.send(std::string_view{sent}.substr(at, piece))) return;
      at += piece;
    }
  }};
  const auto got = c.receive(sent.size());
  writer.join();
  CHECK((got == sent)); // too long to be printed
}

TEST_CASE("wire socket: what the system does not take at once is sent when it does") {
  stage s;
  client c{s.port};
  const auto sent = frames(400, 200'000); // far more than the buffers of two sockets
  std::promise<bool> all_sent;
  std::thread writer{[&] { all_sent.set_value(c.send(sent)); }};
  // Nobody reads: the broker takes everything in, and holds what it cannot send.
  CHECK(all_sent.get_future().get());
  writer.join();
  CHECK((c.receive(sent.size()) == sent));
}

TEST_CASE("wire socket: the end of the connection is seen") {
  stage s;
  {
    client c{s.port};
    const auto sent = frames(3, 100);
    REQUIRE(c.send(sent));
    CHECK(c.receive(sent.size()) == sent);
  }
  CHECK(s.closed->get_future().wait_for(20s) == std::future_status::ready);
}

TEST_CASE("wire socket: an address that is taken is refused") {
  stage s;
  CHECK_FALSE(new_wire_listener(s.system.middleman().backend(), s.port, "127.0.0.1"));
}
