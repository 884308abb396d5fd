#include "runtime/logging.hpp"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstddef>
#include <future>
#include <thread>
#include <utility>

namespace troupe {

namespace {

/// About half a kilobyte each, allocated at once.
constexpr std::size_t queued_lines_max = 2'048;
constexpr std::chrono::seconds ending_patience{1};

/// Hands lines on, and says before the next one how many were lost: overrun in the queue, or refused by the target.
class accountable_sink final : public spdlog::sinks::sink {
public:
  /// @param writer  the only thread that calls log() is of it.
  accountable_sink(spdlog::sink_ptr target, spdlog::details::thread_pool& writer)
      : target_(std::move(target)), writer_(writer) {}

  void log(const spdlog::details::log_msg& line) override {
    try {
      if (const auto lost = writer_.overrun_counter() + unwritten_; lost != told_) {
        const auto note = "log.lost lines=" + std::to_string(lost - told_);
        target_->log({line.time, line.source, line.logger_name, spdlog::level::warn, note});
        told_ = lost;
      }
      target_->log(line);
    } catch (const spdlog::spdlog_ex&) {
      ++unwritten_; // a full disk, for one
    }
  }
  void flush() override { target_->flush(); }
  void set_pattern(const std::string& pattern) override { target_->set_pattern(pattern); }
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override {
    target_->set_formatter(std::move(formatter));
  }

private:
  const spdlog::sink_ptr target_;
  spdlog::details::thread_pool& writer_;
  std::size_t unwritten_ = 0; ///< lines that the target refused
  std::size_t told_ = 0;      ///< lost lines that the log names
};

} // namespace

tl::expected<std::shared_ptr<runtime_log>, std::string> runtime_log::open(const log_settings& settings,
                                                                          std::string_view node) {
  try {
    // Without locks of their own: one thread writes; and spdlog's lock of the console is shared with the host's log.
    spdlog::sink_ptr target;
    if (settings.file.empty())
      target = std::make_shared<spdlog::sinks::stderr_sink_st>();
    else
      target = std::make_shared<spdlog::sinks::basic_file_sink_st>(settings.file.string());
    std::shared_ptr<runtime_log> log{new runtime_log};
    log->writer_ = std::make_shared<spdlog::details::thread_pool>(queued_lines_max, 1);
    log->logger_ = std::make_shared<spdlog::async_logger>(
        std::string{node}, std::make_shared<accountable_sink>(std::move(target), *log->writer_), log->writer_,
        spdlog::async_overflow_policy::overrun_oldest);
    log->logger_->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %n %v");
    log->logger_->set_level(spdlog::level::from_str(settings.level));
    log->logger_->flush_on(spdlog::level::info);
    // spdlog's own would print to standard error, on the thread that logs, which must not wait for that. What could
    // not be written is counted instead.
    log->logger_->set_error_handler([](const std::string&) {});
    return log;
  } catch (const std::exception& e) {
    return tl::unexpected{"the log file " + settings.file.string() + " cannot be written: " + e.what()};
  }
}

runtime_log::~runtime_log() {
  if (!logger_) return;
  logger_->set_level(spdlog::level::off); // spdlog throws at a line that has no thread to go to
  // Its destructor writes what is queued, and waits for that without bound.
  std::packaged_task<void()> ending{[writer = std::move(writer_)]() mutable { writer.reset(); }};
  auto ended = ending.get_future();
  std::thread waiter{std::move(ending)};
  if (ended.wait_for(ending_patience) == std::future_status::ready)
    waiter.join();
  else
    waiter.detach();
}

} // namespace troupe
