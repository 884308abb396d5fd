#include "runtime/faces/resp_reply.hpp"

#include "runtime/faces/typed_operation.hpp"

#include <algorithm>

namespace troupe::resp {

namespace {

/// One line of printable text, whatever a client has put in.
std::string line(std::string_view text) {
  std::string clean{text};
  std::replace_if(
      clean.begin(), clean.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, '?');
  return clean;
}

std::string coded(std::string_view word, errc code, std::string_view detail) {
  std::string text{"-"};
  text.append(word).append(" ").append(name_of(code)).append(": ").append(text_of(code));
  if (!detail.empty()) text.append("; ").append(line(detail));
  return text + "\r\n";
}

std::string render_failures(const std::vector<v1::Result>& results) {
  const v1::Result* worst = nullptr;
  std::size_t done = 0;
  for (const auto& result : results) {
    if (result.error() == 0)
      ++done;
    else if (worst == nullptr || outcome_of(code_of(result)) == outcome::unknown)
      worst = &result;
  }
  if (results.size() == 1) return failure(*worst);
  const auto detail = std::to_string(done) + " of " + std::to_string(results.size()) + " keys were done";
  if (done > 0 && outcome_of(code_of(*worst)) == outcome::not_done) return coded("PARTIAL", code_of(*worst), detail);
  return failure(*worst, detail);
}

} // namespace

std::string simple(std::string_view text) { return "+" + std::string{text} + "\r\n"; }
std::string integer(std::int64_t number) { return ":" + std::to_string(number) + "\r\n"; }
std::string null(version spoken) { return spoken == version::resp3 ? "_\r\n" : "$-1\r\n"; }
std::string error(std::string_view text) { return "-ERR " + line(text) + "\r\n"; }

std::string bulk(std::string_view bytes) {
  std::string reply = "$" + std::to_string(bytes.size()) + "\r\n";
  reply.reserve(reply.size() + bytes.size() + 2);
  return reply.append(bytes).append("\r\n");
}

std::string failure(const v1::Result& result, std::string_view detail) {
  const auto code = code_of(result);
  return coded(outcome_of(code) == outcome::unknown ? "UNKNOWN" : "NOTDONE", code, detail);
}

std::string render(form as, version spoken, const std::vector<v1::Result>& results) {
  if (std::any_of(results.begin(), results.end(), [](const auto& result) { return result.error() != 0; }))
    return render_failures(results);
  const auto& first = results.front();
  switch (as) {
  case form::ready:
    break;
  case form::ok:
    return simple("OK");
  case form::value:
    return first.exists() ? bulk(first.value()) : null(spoken);
  case form::number:
    return integer(first.number());
  case form::removed:
    return integer(std::count_if(results.begin(), results.end(), [](const auto& result) { return result.exists(); }));
  }
  return {};
}

} // namespace troupe::resp
