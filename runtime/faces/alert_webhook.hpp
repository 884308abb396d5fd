/// Tells an HTTP listener of alerts, in the form in which Alertmanager (version 4 of its webhook) tells its
/// receivers.
#pragma once

#include "actors/node_clock.hpp"
#include "protocol/monitor/violations.hpp"

#include <spdlog/logger.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace troupe {

/// Scheme, host and port of a URL, and what follows: "http://host:9093" and "/path".
struct webhook_address {
  std::string origin;
  std::string path;
};
/// "http://host:port/path", or https; port and path may be left out. None = it is no such URL.
std::optional<webhook_address> webhook_address_in(std::string_view url);

struct webhook_options {
  webhook_address address;
  std::map<std::string, std::string> labels; ///< of every alert; those that are empty are left out
  std::string external_url;                  ///< where a person finds this node; empty = nowhere
  std::size_t waiting_max = 256;             ///< beyond, repetitions are dropped first
  nanoseconds connect_timeout = std::chrono::seconds{2};
  nanoseconds answer_timeout = std::chrono::seconds{5}; ///< between two of its bytes
  nanoseconds retry_first = std::chrono::milliseconds{200};
  nanoseconds retry_max = std::chrono::seconds{30};
};

/// One POST per notice, in their order, from a thread of its own: nobody waits for the listener. While it does not
/// take them (no connection, no answer, 408, 429 or 5xx) they wait, and are sent again with growing pauses; what it
/// refuses otherwise is given up.
class alert_webhook {
public:
  struct counters {
    std::uint64_t sent = 0;    ///< and accepted
    std::uint64_t failed = 0;  ///< attempts that will be repeated
    std::uint64_t refused = 0; ///< notices that the listener does not want
    std::uint64_t dropped = 0; ///< for want of room, or because the node has ended
    std::size_t waiting = 0;
  };

  /// @param clock  that of the notices.
  alert_webhook(webhook_options options, const node_clock& clock, std::shared_ptr<spdlog::logger> log);
  alert_webhook(const alert_webhook&) = delete;
  alert_webhook& operator=(const alert_webhook&) = delete;
  ~alert_webhook();

  /// Safe from any thread; never waits.
  void post(const alert_notice& notice);
  /// Gives up what waits. At most one connection attempt long.
  void stop();
  counters count() const;

  /// The body of the POST for a notice.
  std::string body_of(const alert_notice& notice) const;

private:
  enum class sending : std::uint8_t { sent, refused, failed };
  struct waiting_notice {
    alert_turn turn;
    std::string body;
  };
  void run();
  sending send(const std::string& body);
  std::string wall_time(instant at) const;

  const webhook_options options_;
  const node_clock& clock_;
  const std::shared_ptr<spdlog::logger> log_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<waiting_notice> waiting_; ///< the first is being sent
  counters counts_;
  bool stopping_ = false;
  struct connection;
  std::unique_ptr<connection> connection_; ///< of the thread, but for its end
  std::thread thread_;
};

} // namespace troupe
