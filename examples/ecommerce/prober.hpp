/// Writes one key all the time, to see when it is served.
#pragma once

#include <troupe/session.hpp>

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace shop {

/// One session that puts value after value under one key, each when the one before was answered.
class prober {
public:
  using clock = std::chrono::steady_clock;

  /// Starts at once.
  /// @param name  makes the values of several probers of one key differ.
  prober(troupe::session session, std::string key, std::string name);
  prober(const prober&) = delete;
  prober& operator=(const prober&) = delete;
  ~prober(); ///< waits for the write under way, at most its deadline

  /// When its first write was acknowledged, if one was.
  std::optional<clock::time_point> first_acknowledged() const;

private:
  void write_on(const std::stop_token& stop);

  troupe::session session_;
  const std::string key_;
  const std::string name_;
  mutable std::mutex mutex_;
  std::optional<clock::time_point> first_;
  std::jthread writer_;
};

} // namespace shop
