#include "runtime/faces/http_head.hpp"

#include <algorithm>
#include <charconv>

namespace troupe::http {

namespace {

constexpr std::string_view line_end = "\r\n";

/// Of ASCII letters only: field names have no others.
bool same_word(std::string_view one, std::string_view other) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(one, other, {}, lower, lower);
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  return first == std::string_view::npos ? std::string_view{}
                                         : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// The first line of `rest`, which it is taken from, without its end; nothing when it ends in another way, or holds
/// what no line may hold.
std::optional<std::string_view> take_line(std::string_view& rest) {
  const auto end = rest.find(line_end);
  const auto line = rest.substr(0, end);
  if (end == std::string_view::npos || line.find_first_of(std::string_view{"\r\n\0", 3}) != std::string_view::npos)
    return std::nullopt;
  rest.remove_prefix(end + line_end.size());
  return line;
}

bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

std::optional<std::uint64_t> size_in(std::string_view text) {
  std::uint64_t size = 0;
  const auto* last = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), last, size);
  if (error != std::errc{} || stop != last) return std::nullopt;
  return size;
}

} // namespace

std::optional<std::size_t> find_head_end(std::string_view bytes, std::size_t seen) {
  constexpr std::size_t longest_end = 4; // "\r\n\r\n"; one that came in two parts began this far before
  for (auto at = bytes.find('\n', seen < longest_end ? 0 : seen - longest_end); at != std::string_view::npos;
       at = bytes.find('\n', at + 1)) {
    const auto next = bytes.substr(at + 1);
    if (next.starts_with('\n'))
      return at + 2; // not a line end of HTTP: read_head refuses it, without waiting for more
    if (next.starts_with(line_end)) return at + 3;
  }
  return std::nullopt;
}

tl::expected<request_head, int> read_head(std::string_view head) {
  constexpr int bad_request = 400;
  constexpr int not_implemented = 501;
  const auto request_line = take_line(head);
  if (!request_line) return tl::unexpected{bad_request};
  request_head result;
  result.text.append(*request_line).append(line_end);
  std::optional<std::uint64_t> size;
  for (;;) {
    const auto line = take_line(head);
    if (!line) return tl::unexpected{bad_request};
    if (line->empty()) break;
    const auto colon = line->find(':');
    if (colon == std::string_view::npos || !is_name(line->substr(0, colon))) return tl::unexpected{bad_request};
    const auto name = line->substr(0, colon);
    const auto value = trimmed(line->substr(colon + 1));
    if (same_word(name, "Range") || same_word(name, "Content-Type")) continue;
    if (same_word(name, "Content-Length")) {
      if (size || !(size = size_in(value))) return tl::unexpected{bad_request};
    } else if (same_word(name, "Transfer-Encoding")) {
      if (result.chunked) return tl::unexpected{bad_request};
      if (!same_word(value, "chunked")) return tl::unexpected{not_implemented};
      result.chunked = true;
    }
    result.text.append(*line).append(line_end);
  }
  if (size && result.chunked) return tl::unexpected{bad_request};
  result.text.append(line_end);
  result.body_size = size.value_or(0);
  return result;
}

} // namespace troupe::http
