#include "runtime/toml_section.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <sstream>

namespace troupe {

namespace {

constexpr std::size_t shown_bytes_max = 60;
constexpr std::size_t name_bytes_max = 64;

/// How many letters have to be changed, added, dropped or swapped with their neighbour.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

std::string joined(const std::vector<std::string>& names, std::string_view quote) {
  std::string out;
  for (const auto& name : names) {
    if (!out.empty()) out += ", ";
    out.append(quote).append(name).append(quote);
  }
  return out;
}

/// The shortest spelling that reads back as `x`; a whole number without a point.
std::string plain(double x) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), x).ptr};
}

} // namespace

void toml_problems::add(std::size_t line, std::string what) {
  lines_.push_back(file_ + ":" + std::to_string(std::max<std::size_t>(line, 1)) + ": " + std::move(what));
}

void toml_problems::refuse(const toml::node& found, std::string_view key, std::string_view allowed) {
  add(toml_line(found), std::string{key} + " is " + toml_shown(found) + "; allowed: " + std::string{allowed});
}

std::string toml_shown(const toml::node& node) {
  if (node.is_table()) return "a table";
  if (node.is_array_of_tables()) return "a list of tables";
  if (const auto* number = node.as_floating_point()) {
    auto text = plain(number->get());
    return text.find_first_not_of("-0123456789") == std::string::npos ? text + ".0" : text;
  }
  std::ostringstream out;
  node.visit([&](const auto& n) { out << n; });
  auto text = out.str();
  if (text.size() > shown_bytes_max) {
    text.resize(shown_bytes_max);
    text += "...";
  }
  return text;
}

std::string closest_name(std::string_view found, const std::vector<std::string>& known) {
  std::string best;
  auto least = std::max<std::size_t>(2, found.size() / 3) + 1;
  for (const auto& name : known)
    if (auto d = edit_distance(found, name); d < least && d < name.size()) {
      least = d;
      best = name;
    }
  return best;
}

std::size_t toml_section::line_of(std::string_view key) const {
  const auto* node = table_.get(key);
  return node == nullptr ? line_ : toml_line(*node);
}

std::string toml_section::path_of(std::string_view key) const {
  return path_.empty() ? std::string{key} : path_ + "." + std::string{key};
}

const toml::node* toml_section::take(std::string_view key, std::string_view allowed, presence p) {
  known_.emplace_back(key);
  const auto* node = table_.get(key);
  if (node == nullptr && p == presence::required)
    problems_.add(line_, path_of(key) + " is missing; allowed: " + std::string{allowed});
  return node;
}

std::optional<std::string> toml_section::text(std::string_view key, std::string_view allowed, presence p) {
  const auto* node = take(key, allowed, p);
  if (node == nullptr) return std::nullopt;
  auto value = node->value_exact<std::string>();
  if (value && !value->empty()) return value;
  problems_.refuse(*node, path_of(key), allowed);
  return std::nullopt;
}

std::optional<std::string> toml_section::name(std::string_view key, presence p) {
  constexpr std::string_view allowed = "a name of 1 to 64 letters, digits, '.', '_' and '-'";
  auto value = text(key, allowed, p);
  if (!value) return std::nullopt;
  auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_'
           || c == '-';
  };
  if (value->size() <= name_bytes_max && std::all_of(value->begin(), value->end(), fits)) return value;
  refuse(key, allowed);
  return std::nullopt;
}

std::optional<std::string> toml_section::one_of(std::string_view key, const std::vector<std::string>& choices,
                                                presence p) {
  auto allowed = joined(choices, "\"");
  auto value = text(key, allowed, p);
  if (!value || std::find(choices.begin(), choices.end(), *value) != choices.end()) return value;
  if (auto meant = closest_name(*value, choices); !meant.empty()) allowed += " (did you mean \"" + meant + "\"?)";
  refuse(key, allowed);
  return std::nullopt;
}

std::optional<std::int64_t> toml_section::whole(std::string_view key, std::int64_t least, std::int64_t most,
                                                presence p) {
  auto allowed = "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
  const auto* node = take(key, allowed, p);
  if (node == nullptr) return std::nullopt;
  auto value = node->value_exact<std::int64_t>();
  if (value && *value >= least && *value <= most) return value;
  problems_.refuse(*node, path_of(key), allowed);
  return std::nullopt;
}

std::optional<double> toml_section::number(std::string_view key, double least, double most, presence p) {
  auto allowed = "a number from " + plain(least) + " to " + plain(most);
  const auto* node = take(key, allowed, p);
  if (node == nullptr) return std::nullopt;
  auto value = node->is_number() ? node->value<double>() : std::nullopt;
  if (value && *value >= least && *value <= most) return value; // not a number compares false
  problems_.refuse(*node, path_of(key), allowed);
  return std::nullopt;
}

std::optional<toml_section> toml_section::section(std::string_view key, presence p) {
  auto allowed = "a section [" + path_of(key) + "]";
  const auto* node = take(key, allowed, p);
  if (node == nullptr) return std::nullopt;
  if (const auto* table = node->as_table()) return toml_section{*table, path_of(key), toml_line(*node), problems_};
  problems_.refuse(*node, path_of(key), allowed);
  return std::nullopt;
}

std::vector<toml_section> toml_section::sections(std::string_view key, std::string_view allowed, presence p) {
  std::vector<toml_section> out;
  const auto* node = take(key, allowed, p);
  if (node == nullptr) return out;
  const auto* list = node->as_array();
  if (list == nullptr || (!list->empty() && !list->is_array_of_tables())) {
    problems_.refuse(*node, path_of(key), allowed);
    return out;
  }
  for (const auto& element : *list)
    out.emplace_back(*element.as_table(), path_of(key) + "[" + std::to_string(out.size() + 1) + "]",
                     toml_line(element), problems_);
  return out;
}

void toml_section::refuse(std::string_view key, std::string_view allowed) {
  if (const auto* node = table_.get(key)) problems_.refuse(*node, path_of(key), allowed);
}

void toml_section::refuse_unquoted(std::string_view key, std::string_view allowed) {
  problems_.add(line_of(key), path_of(key) + " is something else; allowed: " + std::string{allowed});
}

void toml_section::finish() {
  for (const auto& [key, node] : table_) {
    const std::string found{key.str()};
    if (std::find(known_.begin(), known_.end(), found) != known_.end()) continue;
    auto what = path_of(found) + " is not a key of " + (path_.empty() ? "a configuration" : "[" + path_ + "]");
    if (auto meant = closest_name(found, known_); !meant.empty())
      what += "; did you mean \"" + meant + "\"?";
    else
      what += "; allowed: " + joined(known_, "");
    problems_.add(key.source().begin.line, std::move(what));
  }
}

} // namespace troupe
