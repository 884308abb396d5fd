/// httplib's server within bounds: how many bytes a client may make a node keep, and for how long it may hold one of
/// the threads that serve.
///
/// Why: httplib reads a line of any length and heads of any number of lines, and its timeouts are those of one system
/// call, so that a byte now and then holds a thread for ever.
#pragma once

#include "protocol/ids.hpp"
#include "protocol/limits.hpp"

#include <httplib.h>

#include <cstddef>

namespace troupe {

/// Of one connection. Each patience is for the whole of what it names, however many parts that comes in.
struct http_limits {
  std::size_t head_bytes_max = std::size_t{64} << 10;
  std::size_t body_bytes_max = limits::value_bytes_max;
  std::size_t requests_max = 1'000;
  milliseconds idle_patience{1'000};    ///< for the first byte of a request
  milliseconds head_patience{5'000};    ///< for the rest of its head
  milliseconds body_patience{30'000};   ///< for its body
  milliseconds answer_patience{30'000}; ///< for the client to take the answer
};

/// A descriptor that becomes readable, once and for ever.
class one_time_signal {
public:
  one_time_signal();
  one_time_signal(const one_time_signal&) = delete;
  one_time_signal& operator=(const one_time_signal&) = delete;
  ~one_time_signal();
  void give() const;
  int descriptor() const { return descriptor_; }

private:
  const int descriptor_;
};

/// A request whose head is wrong or too long, whose body is too large, or that takes too long to come is answered
/// here, and its connection ends. So does one of which something was left unread: what follows is no request.
class http_server final : public httplib::Server {
public:
  /// Changes a request whose head is read, before it is routed.
  using preparation = void (*)(httplib::Request&);

  http_server(const http_limits& bounds, preparation prepare);

  /// Ends the connections: those that are idle or send a request at once, those that are served with their answer,
  /// for which a client has a second. Those that are accepted later end at once.
  void end_connections() { ending_.give(); }

private:
  bool process_and_close_socket(socket_t socket) override;

  const http_limits bounds_;
  const preparation prepare_;
  const one_time_signal ending_;
};

} // namespace troupe
