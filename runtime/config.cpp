#include <troupe/config.hpp>

#include "protocol/limits.hpp"
#include "protocol/stream/resolver.hpp"
#include "runtime/config_file.hpp"
#include "runtime/operation_rules.hpp"

namespace troupe {

namespace {

result<config> checked_or_error(tl::expected<node_config, config_problems> read) {
  if (read) return config{std::make_shared<const node_config>(std::move(*read))};
  std::string detail;
  for (const auto& line : read.error())
    detail += (detail.empty() ? "" : "\n") + line;
  return tl::unexpected{error{errc::invalid_argument, std::move(detail)}};
}

/// A value as people can read it, shortened.
std::string shown(const std::string& value) {
  constexpr std::size_t width = 60;
  std::string out = "\"";
  for (const char c : value.substr(0, width))
    out += c < ' ' || c > '~' ? '?' : c;
  return out + (value.size() > width ? "…\"" : "\"");
}

std::string described(const resolver_registry::broken& b) {
  using law = resolver_registry::law;
  const auto of_two = [](const std::string& x, const std::string& y) { return "merge(" + x + ", " + y + ")"; };
  const auto a = shown(b.a), c = shown(b.c), second = shown(b.b);
  const auto but = [&](const std::string& left, const std::string& right) {
    return left + " = " + shown(b.left) + ", and " + right + " = " + shown(b.right);
  };
  switch (b.which) {
  case law::idempotence:
    return "it depends on repetition: " + of_two(a, a) + " = " + shown(b.left);
  case law::commutativity:
    return "it depends on order: " + but(of_two(a, second), of_two(second, a));
  case law::associativity:
    return "it depends on order: " + but(of_two(of_two(a, second), c), of_two(a, of_two(second, c)));
  case law::totality:
    break;
  }
  return "it, or the example, throws or makes a value of more than " + std::to_string(limits::value_bytes_max)
         + " bytes for some of " + a + ", " + second + " and " + c;
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

result<config> config::with_merge(std::string_view type, merge_function function) const {
  const auto of_type = checked_->shape.types.find(std::string{type});
  if (of_type == checked_->shape.types.end()) return tl::unexpected{error{errc::unknown_type, std::string{type}}};
  if (of_type->second.consistency == level::strong || of_type->second.resolver != resolver_kind::siblings)
    return tl::unexpected{error{errc::invalid_argument, "types." + of_type->first + ".resolver is not \"siblings\""}};
  for (const auto& [other, id] : checked_->merged_types)
    if (other != of_type->first && id == function.id)
      return tl::unexpected{error{errc::invalid_argument, "the merge function \"" + id + "\" is that of " + other
                                                              + "; another type's has another id"}};
  const auto name = "the merge function \"" + function.id + "\"";
  auto all = checked_->merges ? std::make_shared<resolver_registry>(*checked_->merges)
                              : std::make_shared<resolver_registry>();
  auto id = function.id;
  const auto added = all->add({.id = std::move(function.id),
                               .version = function.version,
                               .merge = std::move(function.merge),
                               .example = std::move(function.example)});
  if (!added) {
    if (const auto* broken = std::get_if<resolver_registry::broken>(&added.error()))
      return tl::unexpected{error{errc::invalid_argument, name + " is refused: " + described(*broken)}};
    const auto code = std::get<errc>(added.error());
    return tl::unexpected{error{code, code == errc::overloaded
                                          ? "there are as many merge functions as may be"
                                          : name
                                                + " needs an id of 1 to 64 bytes, a function, and a version from 1 "
                                                  "on that is above the one that is known"}};
  }
  auto copy = std::make_shared<node_config>(*checked_);
  copy->merges = std::move(all);
  copy->merged_types[of_type->first] = std::move(id);
  return config{std::move(copy)};
}

std::string config::toml() const { return print_config(*checked_); }

} // namespace troupe
