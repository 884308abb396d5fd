/// The log of one runtime. Never registered with spdlog and never its default: the host's logging is not touched.
#pragma once

#include "runtime/config_file.hpp"

#include <spdlog/logger.h>
#include <tl/expected.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace troupe {

/// @param node  stands in every line, so that the lines of several runtimes in one process can be told apart.
/// @errors a sentence with the file's name when it cannot be written.
tl::expected<std::shared_ptr<spdlog::logger>, std::string> make_logger(const log_settings& settings,
                                                                       std::string_view node);

} // namespace troupe
