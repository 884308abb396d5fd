#include "examples/ecommerce/prober.hpp"

#include <condition_variable>
#include <utility>

namespace shop {

namespace {

constexpr std::chrono::seconds deadline{3};
constexpr std::chrono::milliseconds pause{5};

} // namespace

prober::prober(troupe::session session, std::string key, std::string name)
    : session_(std::move(session)),
      key_(std::move(key)),
      name_(std::move(name)),
      writer_([this](const std::stop_token& s) { write_on(s); }) {}

prober::~prober() = default;

std::optional<prober::clock::time_point> prober::first_acknowledged() const {
  const std::lock_guard lock{mutex_};
  return first_;
}

void prober::write_on(const std::stop_token& stop) {
  std::condition_variable_any never;
  for (std::uint64_t n = 1; !stop.stop_requested(); ++n) {
    const auto answer = session_.put("user_sessions", key_, name_ + "-" + std::to_string(n), {.deadline = deadline});
    std::unique_lock lock{mutex_};
    if (answer && !first_) first_ = clock::now();
    never.wait_for(lock, stop, pause, [] { return false; });
  }
}

} // namespace shop
