/// The log of one runtime. Never registered with spdlog and never its default: the host's logging is not touched.
#pragma once

#include "runtime/config_file.hpp"

#include <spdlog/logger.h>
#include <tl/expected.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace spdlog::details {
class thread_pool;
}

namespace troupe {

/// A logger whose lines a thread of its own writes.
///
/// Why: who logs must not wait for who reads. All actors of a node share one thread; if that waited for a pipe that
/// nobody empties, leases and links would stop for the sake of a log line. So lines queue up to a bound, above which
/// the oldest are lost; the next line that is written says how many.
class runtime_log {
public:
  /// @param node  stands in every line, so that the lines of several runtimes in one process can be told apart.
  /// @errors a sentence with the file's name when it cannot be written.
  static tl::expected<std::shared_ptr<runtime_log>, std::string> open(const log_settings& settings,
                                                                      std::string_view node);
  runtime_log(const runtime_log&) = delete;
  runtime_log& operator=(const runtime_log&) = delete;
  /// Waits until what was logged is written, for a second at most: a reader that is stuck does not hold up the end of
  /// the runtime; the thread is then left behind. What is logged later is dropped; nobody may be logging at this
  /// moment.
  ~runtime_log();

  const std::shared_ptr<spdlog::logger>& logger() const { return logger_; }

private:
  runtime_log() = default;

  std::shared_ptr<spdlog::details::thread_pool> writer_; ///< one thread; the logger refers to it weakly
  std::shared_ptr<spdlog::logger> logger_;
};

} // namespace troupe
