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

/// Everybody waits for a node, or what the type has instead: what the code alone does not say.
std::string failure_of(const v1::WeakAnswer& answer, std::string_view detail = {}) {
  std::string all{answer.detail()};
  if (!detail.empty()) all += (all.empty() ? "" : "; ") + std::string{detail};
  return failure(answer.result(), all);
}

std::string render_failures(const std::vector<v1::WeakAnswer>& answers) {
  const v1::WeakAnswer* worst = nullptr;
  std::size_t done = 0;
  for (const auto& answer : answers) {
    if (answer.result().error() == 0)
      ++done;
    else if (worst == nullptr || outcome_of(code_of(answer.result())) == outcome::unknown)
      worst = &answer;
  }
  if (answers.size() == 1) return failure_of(*worst);
  const auto code = code_of(worst->result());
  const auto detail = std::to_string(done) + " of " + std::to_string(answers.size()) + " keys were done";
  if (done > 0 && outcome_of(code) == outcome::not_done) return coded("PARTIAL", code, detail);
  return failure_of(*worst, detail);
}

std::string value_of(const v1::Result& result, version spoken) {
  return result.exists() ? bulk(result.value()) : null(spoken);
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

std::string array_of(std::size_t count) { return "*" + std::to_string(count) + "\r\n"; }
std::string set_of(version spoken, std::size_t count) {
  return (spoken == version::resp3 ? "~" : "*") + std::to_string(count) + "\r\n";
}
std::string map_of(version spoken, std::size_t count) {
  return spoken == version::resp3 ? "%" + std::to_string(count) + "\r\n" : array_of(2 * count);
}

std::string failure(const v1::Result& result, std::string_view detail) {
  const auto code = code_of(result);
  return coded(outcome_of(code) == outcome::unknown ? "UNKNOWN" : "NOTDONE", code, detail);
}

std::string render(form as, version spoken, const std::vector<v1::WeakAnswer>& answers, std::string_view field) {
  const auto failed = [](const v1::WeakAnswer& answer) { return answer.result().error() != 0; };
  if (std::any_of(answers.begin(), answers.end(), failed)) return render_failures(answers);
  const auto& first = answers.front();
  std::string reply;
  switch (as) {
  case form::ready:
    break;
  case form::ok:
    return simple("OK");
  case form::value:
  case form::token:
    return value_of(first.result(), spoken);
  case form::number:
    return integer(first.result().number());
  case form::removed:
    return integer(
        std::count_if(answers.begin(), answers.end(), [](const auto& answer) { return answer.result().exists(); }));
  case form::count:
    return integer(static_cast<std::int64_t>(answers.size()));
  case form::values:
    reply = array_of(answers.size());
    for (const auto& answer : answers)
      reply += value_of(answer.result(), spoken);
    return reply;
  case form::members:
    reply = set_of(spoken, static_cast<std::size_t>(first.items_size()));
    for (const auto& item : first.items())
      reply += bulk(item.field());
    return reply;
  case form::map:
    reply = map_of(spoken, static_cast<std::size_t>(first.items_size()));
    for (const auto& item : first.items())
      reply += bulk(item.field()) + bulk(item.value());
    return reply;
  case form::field:
    for (const auto& item : first.items())
      if (item.field() == field) return bulk(item.value());
    return null(spoken);
  }
  return reply;
}

} // namespace troupe::resp
