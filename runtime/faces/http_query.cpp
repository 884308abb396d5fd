#include "runtime/faces/http_query.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace troupe::http {

namespace {

constexpr const char* bad_percent = "a percent sign is followed by two hexadecimal digits";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// "add, floor and deadline_ms".
std::string listed(std::initializer_list<query::known_name> known) {
  std::string text;
  std::size_t left = known.size();
  for (const auto& k : known) {
    text += k.name;
    if (--left > 0) text += left == 1 ? " and " : ", ";
  }
  return text;
}

/// A number without sign and leading zeros.
template <class Number> std::optional<Number> plain_number(std::string_view text) {
  Number number = 0;
  const auto* last = text.data() + text.size();
  const auto [stop, wrong] = std::from_chars(text.data(), last, number);
  if (wrong != std::errc{} || stop != last || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  return number;
}

} // namespace

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result += text[i];
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    result += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return result;
}

std::optional<std::int64_t> number_in(std::string_view text) {
  std::int64_t number = 0;
  const auto* last = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc{} || stop != last) return std::nullopt;
  return number;
}

std::string spelled(const version& v) {
  return std::to_string(v.era.round) + "." + std::to_string(v.era.node.value) + "." + std::to_string(v.era.life.value)
         + "." + std::to_string(v.counter);
}

std::optional<version> version_in(std::string_view text) {
  std::array<std::string_view, 4> parts;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto dot = i + 1 < parts.size() ? text.find('.') : text.size();
    if (dot == std::string_view::npos) return std::nullopt;
    parts[i] = text.substr(0, dot);
    text.remove_prefix(std::min(dot + 1, text.size()));
  }
  const auto round = plain_number<std::uint64_t>(parts[0]);
  const auto node = plain_number<std::uint32_t>(parts[1]);
  const auto life = plain_number<std::uint64_t>(parts[2]);
  const auto counter = plain_number<std::uint64_t>(parts[3]);
  if (!round || *round == 0 || !node || !life || !counter) return std::nullopt;
  return version{.era = {.round = *round, .node = {*node}, .life = {*life}}, .counter = *counter};
}

tl::expected<query, std::string> query::parse(std::string_view text, std::initializer_list<known_name> known) {
  query result;
  while (!text.empty()) {
    const auto part = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    const auto equals = part.find('=');
    if (equals == std::string_view::npos) return tl::unexpected{std::string{"a query is name=value&name=value"}};
    auto name = percent_decoded(part.substr(0, equals));
    auto value = percent_decoded(part.substr(equals + 1));
    if (!name || !value) return tl::unexpected{std::string{bad_percent}};
    const auto* const what = std::find_if(known.begin(), known.end(), [&](const auto& k) { return k.name == *name; });
    if (what == known.end()) return tl::unexpected{"unknown parameter; there are " + listed(known)};
    if (!what->repeatable && result.has(*name))
      return tl::unexpected{"the parameter " + *name + " stands there twice"};
    result.values_.emplace(std::move(*name), std::move(*value));
  }
  return result;
}

const std::string* query::find(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

std::vector<std::string> query::all(std::string_view name) const {
  std::vector<std::string> values;
  const auto [first, last] = values_.equal_range(name);
  for (auto i = first; i != last; ++i)
    values.push_back(i->second);
  return values;
}

tl::expected<target_parts, std::string> split_target(std::string_view target, std::string_view prefix,
                                                     std::string_view form) {
  target_parts parts;
  if (const auto mark = target.find('?'); mark != std::string_view::npos) {
    parts.query = target.substr(mark + 1);
    target = target.substr(0, mark);
  }
  const auto slash = target.starts_with(prefix) ? target.find('/', prefix.size()) : std::string_view::npos;
  if (slash == std::string_view::npos) return tl::unexpected{std::string{form}};
  auto type = percent_decoded(target.substr(prefix.size(), slash - prefix.size()));
  auto name = percent_decoded(target.substr(slash + 1));
  if (!type || !name) return tl::unexpected{std::string{bad_percent}};
  parts.type = std::move(*type);
  parts.name = std::move(*name);
  return parts;
}

} // namespace troupe::http
