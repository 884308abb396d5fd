/// Receivers of alerts, for tests: an HTTP listener, and what an actor or a function has heard.
#pragma once

#include "actors/interfaces.hpp"

#include <doctest/doctest.h>

#include <caf/typed_event_based_actor.hpp>

#include <httplib.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace troupe::test {

/// Whatever is said to it, in order; others wait until there is enough.
template <class T> class heard {
public:
  void add(T one) {
    {
      const std::lock_guard lock{mutex_};
      all_.push_back(std::move(one));
    }
    changed_.notify_all();
  }
  std::vector<T> all() const {
    const std::lock_guard lock{mutex_};
    return all_;
  }
  /// Waits until there are so many; what there is by then.
  std::vector<T> wait_for(std::size_t count, std::chrono::seconds at_most = std::chrono::seconds{20}) {
    std::unique_lock lock{mutex_};
    changed_.wait_for(lock, at_most, [&] { return all_.size() >= count; });
    return all_;
  }
  std::vector<T> wait_until(const std::function<bool(const std::vector<T>&)>& enough) {
    std::unique_lock lock{mutex_};
    changed_.wait_for(lock, std::chrono::seconds{20}, [&] { return enough(all_); });
    return all_;
  }

private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<T> all_;
};

/// A real HTTP server that takes POSTs at /hook.
class hook_server {
public:
  /// @param port  0 = any free one.
  explicit hook_server(int port = 0) {
    server_.Post("/hook", [this](const httplib::Request& request, httplib::Response& response) {
      {
        std::unique_lock lock{mutex_};
        ++begun_;
        changed_.notify_all();
        changed_.wait(lock, [&] { return !held_; });
        response.status = status_;
      }
      types_.add(request.get_header_value("Content-Type"));
      bodies.add(request.body);
    });
    if (port == 0)
      port_ = server_.bind_to_any_port("127.0.0.1");
    else if (server_.bind_to_port("127.0.0.1", port))
      port_ = port;
    REQUIRE(port_ > 0);
    thread_ = std::thread{[this] { server_.listen_after_bind(); }};
    while (!server_.is_running())
      std::this_thread::yield();
  }
  ~hook_server() {
    hold(false);
    server_.stop();
    thread_.join();
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/hook"; }
  void answer_with(int status) {
    const std::lock_guard lock{mutex_};
    status_ = status;
  }
  /// Answers nothing while it holds.
  void hold(bool on) {
    const std::lock_guard lock{mutex_};
    held_ = on;
    changed_.notify_all();
  }
  void wait_begun(int requests) {
    std::unique_lock lock{mutex_};
    REQUIRE(changed_.wait_for(lock, std::chrono::seconds{20}, [&] { return begun_ >= requests; }));
  }
  std::vector<std::string> content_types() const { return types_.all(); }

  heard<std::string> bodies;

private:
  heard<std::string> types_;
  httplib::Server server_;
  int port_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  int begun_ = 0;
  int status_ = 200;
  bool held_ = false;
  std::thread thread_;
};

/// An actor that keeps what a monitor tells it.
inline alert_listener_actor spawn_listener(caf::actor_system& system, std::shared_ptr<heard<alert_notice>> into) {
  return system.spawn([into](alert_listener_actor::pointer) -> alert_listener_actor::behavior_type {
    return {[into](const alert_notice& notice) { into->add(notice); }};
  });
}

} // namespace troupe::test
