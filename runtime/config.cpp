#include <troupe/config.hpp>

#include "runtime/config_file.hpp"

namespace troupe {

namespace {

result<config> checked_or_error(tl::expected<node_config, config_problems> read) {
  if (read) return config{std::make_shared<const node_config>(std::move(*read))};
  std::string detail;
  for (const auto& line : read.error())
    detail += (detail.empty() ? "" : "\n") + line;
  return tl::unexpected{error{errc::invalid_argument, std::move(detail)}};
}

} // namespace

result<config> config::from_file(const std::filesystem::path& file) { return checked_or_error(read_config(file)); }

result<config> config::from_toml(std::string_view text, std::string_view name) {
  return checked_or_error(parse_config(text, name));
}

config config::with_history(const std::filesystem::path& file) const {
  auto copy = std::make_shared<node_config>(*checked_);
  copy->history_file = file;
  return config{std::move(copy)};
}

std::string config::toml() const { return print_config(*checked_); }

} // namespace troupe
