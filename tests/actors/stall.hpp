/// A node whose own threads stand still.
#pragma once

#include "runtime/runtime_access.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <future>
#include <memory>

namespace troupe::test {

/// While it lives, nothing runs on the thread of a node's actors.
class stall {
public:
  explicit stall(const runtime& node) {
    auto stands = std::make_shared<std::promise<void>>();
    auto over = over_.get_future().share();
    runtime_access{node}.with_parts([&](assembly& parts) {
      parts.thread().post([stands, over] {
        stands->set_value();
        over.wait_for(std::chrono::seconds{30});
      });
    });
    REQUIRE(stands->get_future().wait_for(std::chrono::seconds{10}) == std::future_status::ready);
  }
  ~stall() { over_.set_value(); }
  stall(const stall&) = delete;
  stall& operator=(const stall&) = delete;

private:
  std::promise<void> over_;
};

} // namespace troupe::test
