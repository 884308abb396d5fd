#include <troupe/runtime.hpp>

#include "runtime/caf_visit.hpp"
#include "runtime/runtime_impl.hpp"
#include "runtime/status.hpp"

#include <caf/send.hpp>

#include <spdlog/logger.h>

#include <algorithm>
#include <future>
#include <random>
#include <thread>

namespace troupe {

namespace {

/// How long status questions wait for the slowest actor.
constexpr nanoseconds status_patience = std::chrono::seconds{1};
/// How often wait_ready asks again.
constexpr nanoseconds ready_interval = milliseconds{10};
/// How long the end of a handle may take.
constexpr nanoseconds destruction_patience = std::chrono::seconds{5};
/// A patience that no clock counts over its end with, and that is as good as for ever when that was meant.
nanoseconds bounded(nanoseconds patience) {
  return std::clamp<nanoseconds>(patience, nanoseconds{0}, std::chrono::hours{24 * 365});
}

} // namespace

result<std::shared_ptr<runtime_impl>> runtime_impl::start(const config& configuration, caf::actor_system* system) {
  std::shared_ptr<runtime_impl> impl{new runtime_impl{configuration}};
  if (const auto& file = impl->settings().history_file; !file.empty()) {
    auto recorder = history_recorder::open(file, {});
    if (!recorder) return tl::unexpected{error{errc::invalid_argument, recorder.error()}};
    impl->history_ = std::move(*recorder);
  }
  auto parts = assembly::build(impl->settings(), impl->meter_, system);
  if (!parts) return tl::unexpected{parts.error()};
  impl->parts_ = std::move(*parts);
  impl->audit_ = impl->parts_->audit();
  if (system != nullptr) impl->parts_->thread().post(never_wait_on_this_thread);
  return impl;
}

bool runtime_impl::with_parts(const std::function<void(assembly&)>& use) {
  const std::shared_lock lock{parts_mutex_};
  if (!parts_) return false;
  const caf_visit visit;
  use(*parts_);
  return true;
}

result<void> runtime_impl::wait_ready(nanoseconds at_most) {
  if (must_not_wait()) return tl::unexpected{wait_refusal()};
  const auto until = clock_.now() + bounded(at_most);
  for (;;) {
    std::optional<std::string> why = "it is stopped";
    const bool running = with_parts([&](assembly& a) {
      const auto patience = std::min(status_patience, std::max(clock_.until(until), ready_interval));
      why = obstacle(a.actors().setup(), ask_status(a.system(), a.actors(), a.clock(), patience));
    });
    if (!why) return {};
    if (!running) return tl::unexpected{error{errc::shutting_down}};
    const auto left = clock_.until(until);
    if (left == nanoseconds{0}) return tl::unexpected{error{errc::unavailable, "not ready: " + *why}};
    std::unique_lock lock{stop_mutex_};
    stop_begun_.wait_for(lock, std::min(left, ready_interval), [&] { return stopping_; });
  }
}

std::shared_ptr<session_impl> runtime_impl::open_session(session_options options) {
  session_id id;
  session_impl::node_parts parts;
  with_parts([&](assembly& a) {
    const auto face = a.face();
    id = face.next_session();
    parts = {a.actors().open_session(id), a.actors().memory(), a.actors().copies()};
  });
  auto session = std::make_shared<session_impl>(shared_from_this(), id, std::move(options), std::move(parts));
  const std::lock_guard lock{sessions_mutex_};
  if (sessions_ended_)
    session->retire();
  else
    sessions_.insert(session.get());
  return session;
}

void runtime_impl::forget(session_impl* session) {
  const std::lock_guard lock{sessions_mutex_};
  sessions_.erase(session);
}

void runtime_impl::retire_sessions() {
  const std::lock_guard lock{sessions_mutex_};
  sessions_ended_ = true;
  for (auto* session : sessions_)
    session->retire();
  sessions_.clear();
}

std::string runtime_impl::status_json() {
  std::string json = R"({"ready":false,"not_ready_because":"it is stopped"})";
  with_parts([&](assembly& a) {
    json = to_json(a.actors().setup(), ask_status(a.system(), a.actors(), a.clock(), status_patience), a.store());
  });
  return json;
}

result<void> runtime_impl::stop(nanoseconds at_most) {
  if (must_not_wait()) return tl::unexpected{wait_refusal()};
  at_most = bounded(at_most);
  {
    std::unique_lock lock{stop_mutex_};
    if (stopping_) {
      stop_ended_.wait_for(lock, at_most, [&] { return stopped_.has_value(); });
      return stopped_.value_or(tl::unexpected{error{errc::timeout, "another thread is still stopping this runtime"}});
    }
    stopping_ = true;
  }
  stop_begun_.notify_all();
  auto outcome = wind_down(at_most);
  const std::lock_guard lock{stop_mutex_};
  stopped_ = outcome;
  stop_ended_.notify_all();
  return outcome;
}

result<void> runtime_impl::wind_down(nanoseconds at_most) {
  const auto until = clock_.now() + at_most;
  gate_.close();
  gate_.wait_empty(at_most / 4);
  with_parts([&](assembly& a) {
    a.log()->info("runtime.stopping");
    if (a.release_homes(clock_.now() + at_most / 4))
      a.log()->info("runtime.handed_over");
    else
      a.log()->warn("runtime.handed_over in_time=false");
  });
  retire_sessions();
  with_parts([&](assembly& a) { a.finish_audit(clock_.now() + at_most / 4); });
  std::unique_ptr<assembly> parts;
  {
    const std::unique_lock lock{parts_mutex_};
    parts = std::move(parts_);
  }
  auto outcome = take_apart(std::move(parts), until);
  gate_.wait_empty(clock_.until(until));
  if (history_) {
    auto closed = history_->close();
    if (!closed && outcome) outcome = tl::unexpected{error{errc::storage_failed, closed.error()}};
  }
  return outcome;
}

/// In a thread of its own, because CAF waits without bound for its actors. One that does not end in time is left
/// behind with everything that it stands on.
result<void> runtime_impl::take_apart(std::unique_ptr<assembly> parts, instant until) {
  const auto log = parts->log_writer();
  std::packaged_task<void()> work{[p = std::move(parts)]() mutable { p.reset(); }};
  auto done = work.get_future();
  std::thread worker{std::move(work)};
  if (done.wait_for(clock_.until(until)) == std::future_status::ready) {
    worker.join();
    return {};
  }
  worker.detach();
  log->logger()->error("runtime.stop actors are still running at the deadline; they are left behind");
  return tl::unexpected{error{errc::timeout, "actors were still running at the deadline and were left behind"}};
}

// -- the handle
// -------------------------------------------------------------------------------------------------------

result<runtime> runtime::start(result<config> configuration) {
  if (!configuration) return tl::unexpected{configuration.error()};
  auto impl = runtime_impl::start(*configuration, nullptr);
  if (!impl) return tl::unexpected{impl.error()};
  return runtime{std::move(*impl)};
}

result<void> runtime::wait_ready(std::chrono::nanoseconds at_most) const { return impl_->wait_ready(at_most); }

session runtime::open_session(session_options options) { return session{impl_->open_session(std::move(options))}; }

std::string runtime::status_json() const { return impl_->status_json(); }

result<void> runtime::stop(std::chrono::nanoseconds at_most) { return impl_->stop(at_most); }

runtime& runtime::operator=(runtime&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}

runtime::~runtime() {
  if (!impl_) return;
  if (must_not_wait()) // and its actors need this thread to end
    std::thread{[impl = std::move(impl_)] { (void)impl->stop(destruction_patience); }}.detach();
  else
    (void)impl_->stop(destruction_patience);
}

} // namespace troupe
