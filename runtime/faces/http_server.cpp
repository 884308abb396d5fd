#include "runtime/faces/http_server.hpp"

#include "runtime/faces/http_head.hpp"
#include "runtime/faces/http_keys.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>

namespace troupe {

namespace {

using clock = std::chrono::steady_clock;

/// How long a client whose request was not read to its end is listened to, so that it reads the answer: closing
/// before would reset the connection, and the answer could be lost with it.
constexpr milliseconds linger_patience{500};
/// How long a client has for the rest of an answer when the node ends.
constexpr milliseconds farewell_patience{1'000};
constexpr std::size_t read_step = std::size_t{16} << 10;
/// What a chunked body may have beside its bytes, in relation to them: its parts' sizes stand in between.
constexpr std::size_t chunked_share = 2;

/// One client, as httplib sees it: a head that was read and checked, then the body up to its end, and no more.
class connection final : public httplib::Stream {
public:
  connection(int socket, const http_limits& bounds, const one_time_signal& ending)
      : socket_(socket), bounds_(bounds), ending_(ending.descriptor()) {}
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection() override {
    if (!at_end()) linger();
    ::shutdown(socket_, SHUT_RDWR);
    ::close(socket_);
  }

  /// Waits for the next request, and reads its head. False when there is none: the client has gone, was idle for too
  /// long, was refused, or the node ends.
  bool next_request() {
    received_.erase(0, std::exchange(taken_, 0));
    if (received_.empty()) {
      begin(activity::reading, bounds_.idle_patience);
      if (!receive()) return false;
    }
    begin(activity::reading, bounds_.head_patience);
    std::optional<std::size_t> end;
    for (std::size_t seen = 0; !(end = http::find_head_end(received_, seen));) {
      seen = received_.size();
      if (seen >= bounds_.head_bytes_max) return refuse(431);
      if (!receive()) return patience_ended() && refuse(408);
    }
    if (*end > bounds_.head_bytes_max) return refuse(431);
    auto head = http::read_head(std::string_view{received_}.substr(0, *end));
    if (!head) return refuse(head.error());
    if (head->body_size > bounds_.body_bytes_max) return refuse(413);
    taken_ = *end;
    head_ = std::move(*head);
    head_read_ = 0;
    body_left_ = head_.chunked ? chunked_share * bounds_.body_bytes_max : head_.body_size;
    begin(activity::reading, bounds_.body_patience);
    return true;
  }

  /// Where a chunked body ends is known to httplib alone: no request can follow.
  bool chunked() const { return head_.chunked; }

  /// The request was read to its end: what comes now is the next one.
  bool at_end() const { return !refused_ && !head_.chunked && head_read_ == head_.text.size() && body_left_ == 0; }

  ssize_t read(char* into, std::size_t size) override {
    if (head_read_ < head_.text.size()) {
      const auto part = std::min(size, head_.text.size() - head_read_);
      std::memcpy(into, head_.text.data() + head_read_, part);
      head_read_ += part;
      return static_cast<ssize_t>(part);
    }
    if (body_left_ == 0) return 0;
    if (activity_ != activity::reading) begin(activity::reading, bounds_.body_patience);
    if (taken_ == received_.size()) {
      received_.clear();
      taken_ = 0;
      if (!receive()) return -1;
    }
    const auto part = std::min({size, received_.size() - taken_, static_cast<std::size_t>(body_left_)});
    std::memcpy(into, received_.data() + taken_, part);
    taken_ += part;
    body_left_ -= part;
    return static_cast<ssize_t>(part);
  }

  ssize_t write(const char* from, std::size_t size) override {
    if (activity_ != activity::writing) begin(activity::writing, bounds_.answer_patience);
    for (;;) {
      if (!wait(POLLOUT)) return -1;
      const auto sent = ::send(socket_, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent >= 0 || (errno != EINTR && errno != EAGAIN)) return sent;
    }
  }

  bool is_readable() const override { return true; } // read() waits, and write()
  bool is_writable() const override { return true; }
  /// Nobody looks at who it is.
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  /// None: an httplib that was built upon select() answers 500 to one above FD_SETSIZE, which poll() here can watch.
  socket_t socket() const override { return INVALID_SOCKET; }

private:
  enum class activity { reading, writing };

  void begin(activity what, milliseconds patience) {
    activity_ = what;
    until_ = clock::now() + (node_ends_ ? std::min(patience, farewell_patience) : patience);
  }

  bool patience_ended() const { return clock::now() >= until_; }

  /// False when the time is over, or the node ends and there is nothing to be answered.
  bool wait(short event) {
    for (;;) {
      const auto left = std::chrono::ceil<milliseconds>(until_ - clock::now()).count();
      if (left <= 0 || (node_ends_ && activity_ == activity::reading)) return false;
      std::array<pollfd, 2> watched{{{socket_, event, 0}, {node_ends_ ? -1 : ending_, POLLIN, 0}}};
      const int timeout = static_cast<int>(std::min<std::int64_t>(left, std::numeric_limits<int>::max()));
      if (::poll(watched.data(), watched.size(), timeout) < 0) {
        if (errno != EINTR) return false;
      } else if (watched[1].revents != 0) {
        node_ends_ = true;
        until_ = std::min(until_, clock::now() + farewell_patience);
      } else if (watched[0].revents != 0) {
        return true;
      }
    }
  }

  /// Appends what the client sends next to `received_`. False when nothing came.
  bool receive() {
    for (;;) {
      if (!wait(POLLIN)) return false;
      const auto before = received_.size();
      received_.resize(before + read_step);
      const auto got = ::recv(socket_, received_.data() + before, read_step, MSG_DONTWAIT);
      received_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
      if (got > 0) return true;
      if (got == 0 || (errno != EINTR && errno != EAGAIN)) return false;
    }
  }

  /// Answers instead of httplib. @return false, for the caller to pass on.
  bool refuse(int status) {
    refused_ = true;
    const auto [reason, code, detail] = [&]() -> std::tuple<const char*, errc, const char*> {
      switch (status) {
      case 408:
        return {"Request Timeout", errc::invalid_argument, "the request took too long to come"};
      case 413:
        return {"Payload Too Large", errc::value_too_large, ""};
      case 431:
        return {"Request Header Fields Too Large", errc::invalid_argument, "the head of the request is too long"};
      case 501:
        return {"Not Implemented", errc::invalid_argument, "the only Transfer-Encoding here is chunked"};
      default:
        return {"Bad Request", errc::invalid_argument, "the head of the request is not one of HTTP"};
      }
    }();
    const auto body = http::failure(code, detail).body;
    const auto answer = "HTTP/1.1 " + std::to_string(status) + " " + reason
                        + "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size())
                        + "\r\nConnection: close\r\n\r\n" + body;
    for (std::size_t sent = 0; sent < answer.size();) {
      const auto part = write(answer.data() + sent, answer.size() - sent);
      if (part <= 0) break;
      sent += static_cast<std::size_t>(part);
    }
    return false;
  }

  void linger() {
    ::shutdown(socket_, SHUT_WR);
    begin(activity::reading, linger_patience);
    do
      received_.clear();
    while (receive());
  }

  const int socket_;
  const http_limits& bounds_;
  const int ending_;
  bool node_ends_ = false;
  activity activity_ = activity::reading;
  clock::time_point until_;     ///< when the patience with what it does now ends
  std::string received_;        ///< at most a head and a step
  std::size_t taken_ = 0;       ///< bytes of `received_` that belong to the request under way, and were read on
  http::request_head head_;     ///< of the request under way
  std::size_t head_read_ = 0;   ///< of its text
  std::uint64_t body_left_ = 0; ///< bytes that read() may still give
  bool refused_ = false;        ///< what the client sent last has no known end
};

} // namespace

one_time_signal::one_time_signal() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (descriptor_ < 0) throw std::system_error{errno, std::generic_category(), "eventfd"};
}

one_time_signal::~one_time_signal() { ::close(descriptor_); }

void one_time_signal::give() const { (void)::eventfd_write(descriptor_, 1); }

http_server::http_server(const http_limits& bounds, preparation prepare) : bounds_(bounds), prepare_(prepare) {
  set_tcp_nodelay(true);
  // httplib's own option is SO_REUSEPORT: two nodes could listen at one address, and share its clients.
  set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  // What an answer tells the client.
  set_keep_alive_timeout(std::chrono::ceil<std::chrono::seconds>(bounds.idle_patience).count());
  set_keep_alive_max_count(bounds.requests_max);
  set_default_headers({{"Accept-Ranges", "none"}});
}

bool http_server::process_and_close_socket(socket_t socket) {
  connection client{socket, bounds_, ending_};
  try {
    for (auto left = bounds_.requests_max; left > 0 && client.next_request(); --left) {
      bool closes = left == 1 || client.chunked();
      if (!process_request(client, closes, closes, prepare_) || closes || !client.at_end()) return true;
    }
  } catch (const std::exception&) {
    // No memory for one request more, say: this connection is all that has to end. Handlers have a catch of their
    // own.
  }
  return true;
}

} // namespace troupe
