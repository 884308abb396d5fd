/// troupe conflicts: values that lost against concurrent ones, listed, written again, or discarded.
#include "runtime/cli/admin_client.hpp"
#include "runtime/cli/commands.hpp"
#include "runtime/cli/table.hpp"

#include <nlohmann/json.hpp>

#include <ctime>
#include <iostream>
#include <memory>
#include <string>

namespace troupe::cli {

namespace {

using nlohmann::json;

struct conflicts_options {
  std::string admin, type, key, id;
  std::size_t max = 100;
  bool json = false;
};

/// As it stands in an answer: text, or {"hex":…}.
std::string shown(const json& bytes) {
  return bytes.is_string() ? bytes.get<std::string>() : "0x" + bytes.value("hex", std::string{});
}

std::string shortened(std::string text) {
  constexpr std::size_t width = 40;
  // A value must not draw on the terminal: neither by control characters nor by those of C1, in UTF-8 C2 80 to C2 9F.
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if (byte == 0xC2U && next >= 0x80U && next <= 0x9FU) text.erase(i, 1);
    if (byte < ' ' || byte == 0x7FU || (byte == 0xC2U && next >= 0x80U && next <= 0x9FU)) text[i] = ' ';
  }
  if (text.size() <= width) return text;
  auto end = width - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
    --end; // not in the middle of a character
  return text.substr(0, end) + "...";
}

std::string utc(std::uint64_t since_1970_ms) {
  const auto seconds = static_cast<std::time_t>(since_1970_ms / 1'000);
  std::tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return "-";
  char text[32];
  const auto length = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return {text, length};
}

void print(const json& found, std::ostream& out) {
  const auto& list = found.at("conflicts");
  if (list.empty()) {
    out << "no conflicts\n";
  } else {
    table rows{{"id", "type", "key", "field", "value that lost", "written (UTC)", "lost to"}, 7};
    for (const auto& c : list)
      rows.add({c.at("id").get<std::string>(), c.at("type").get<std::string>(), shortened(shown(c.at("key"))),
                c.contains("field") ? shortened(shown(c.at("field"))) : "-", shortened(shown(c.at("value"))),
                utc(c.at("written_ms").get<std::uint64_t>()), c.at("lost_to").get<std::string>()});
    rows.print(out);
  }
  if (const auto kept = found.at("kept").get<std::size_t>(); kept > list.size())
    out << "the node keeps " << kept << " in all\n";
  if (const auto evicted = found.at("evicted").get<std::uint64_t>(); evicted > 0)
    out << evicted << " were put out for want of room since the node's start\n";
}

int list(const conflicts_options& given) {
  std::string parameters = "?max=" + std::to_string(given.max);
  if (!given.type.empty()) parameters += "&type=" + percent_encoded(given.type);
  if (!given.key.empty()) parameters += "&key=" + percent_encoded(given.key);
  const auto found =
      ask_admin_for_object("conflicts", given.admin, {.method = "GET", .target = "/v1/conflicts" + parameters});
  if (!found) return found.error();
  if (given.json)
    std::cout << found->body << "\n";
  else
    print(found->object, std::cout);
  return done;
}

int deal_with(const conflicts_options& given, const std::string& method, const std::string& what) {
  const auto found = ask_admin_for_object("conflicts", given.admin,
                                          {.method = method, .target = "/v1/conflicts/" + percent_encoded(given.id)});
  if (!found) return found.error();
  std::cout << what << " " << found->object.at(what).get<std::string>() << "\n";
  return done;
}

} // namespace

void add_conflicts(CLI::App& app, action& chosen) {
  auto* command =
      app.add_subcommand("conflicts", "Values that a node had accepted and that lost against concurrent ones")
          ->require_subcommand(1);
  auto given = std::make_shared<conflicts_options>();

  auto* lists = command->add_subcommand("list", "The newest of them that the node keeps");
  lists->add_option("--type", given->type, "Only of this data type")->type_name("TYPE");
  lists->add_option("--key", given->key, "Only of keys that begin so; needs --type")->type_name("BEGINNING");
  lists->add_option("--max", given->max, "So many at most")->type_name("N")->capture_default_str();
  lists->add_flag("--json", given->json, "Print what the node answered");
  add_admin_option(*lists, given->admin);
  lists->callback([given, &chosen] { chosen = [given] { return list(*given); }; });

  const auto of_one = [&](const char* name, const char* what, const char* method, const char* past) {
    auto* one = command->add_subcommand(name, what);
    one->add_option("id", given->id, "As listed: free/n1.2:17")->type_name("ID")->required();
    add_admin_option(*one, given->admin);
    one->callback([given, &chosen, method, past] {
      chosen = [given, method, past] { return deal_with(*given, method, past); };
    });
  };
  of_one("restore", "Write the value again, over what is there, and forget the conflict", "POST", "restored");
  of_one("discard", "Forget it", "DELETE", "discarded");
}

} // namespace troupe::cli
