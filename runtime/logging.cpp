#include "runtime/logging.hpp"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace troupe {

tl::expected<std::shared_ptr<spdlog::logger>, std::string> make_logger(const log_settings& settings,
                                                                       std::string_view node) {
  try {
    spdlog::sink_ptr sink;
    if (settings.file.empty())
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    else
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(settings.file.string());
    auto log = std::make_shared<spdlog::logger>(std::string{node}, std::move(sink));
    log->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %n %v");
    log->set_level(spdlog::level::from_str(settings.level));
    log->flush_on(spdlog::level::info);
    return log;
  } catch (const std::exception& e) {
    return tl::unexpected{"the log file " + settings.file.string() + " cannot be written: " + e.what()};
  }
}

} // namespace troupe
