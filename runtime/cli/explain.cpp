/// troupe explain: what every layer of every member has of a key, and why a read would wait.
#include "runtime/cli/admin_client.hpp"
#include "runtime/cli/commands.hpp"
#include "runtime/cli/table.hpp"

#include <nlohmann/json.hpp>

#include <iostream>
#include <memory>
#include <string>

namespace troupe::cli {

namespace {

using nlohmann::json;

struct explain_options {
  std::string admin, type, key;
  bool json = false;
};

void print(const json& found, std::ostream& out) {
  std::string replicas;
  for (const auto& name : found.at("replicas"))
    replicas += (replicas.empty() ? "" : ", ") + name.get<std::string>();
  out << found.at("key").get<std::string>() << ": " << found.at("level").get<std::string>() << ", shard "
      << found.at("shard") << ", stored by " << replicas << "\n\n";
  table rows{{"node", "region", "layer", "version", "state"}, 5};
  std::string waits;
  for (const auto& node : found.at("nodes")) {
    const auto name = node.at("node").get<std::string>();
    const auto region = node.at("region").get<std::string>();
    if (!node.at("answered").get<bool>()) {
      rows.add({name, region, "-", "-", "does not answer"});
      waits += "  " + name + ": it does not answer: whoever needs what it has accepted and not sent waits for it\n";
    }
    for (const auto& view : node.at("views")) {
      const auto version = view.at("version").get<std::string>();
      rows.add({name, region, view.at("layer").get<std::string>(), version.empty() ? "-" : version,
                view.at("state").get<std::string>()});
      if (const auto why = view.at("waits_for").get<std::string>(); !why.empty())
        waits += "  " + name + " (" + view.at("layer").get<std::string>() + "): " + why + "\n";
    }
  }
  rows.print(out);
  if (waits.empty())
    out << "\nno read would wait\n";
  else
    out << "\nreads would wait:\n" << waits;
}

int explain(const explain_options& given) {
  const auto found = ask_admin_for_object(
      "explain", given.admin,
      {.method = "GET", .target = "/v1/explain/" + percent_encoded(given.type) + "/" + percent_encoded(given.key)});
  if (!found) return found.error();
  if (given.json)
    std::cout << found->body << "\n";
  else
    print(found->object, std::cout);
  return done;
}

} // namespace

void add_explain(CLI::App& app, action& chosen) {
  auto given = std::make_shared<explain_options>();
  auto* command =
      app.add_subcommand("explain", "What every layer of every node has of a key, and why a read would wait");
  command->add_option("type", given->type, "Data type")->type_name("TYPE")->required();
  command->add_option("key", given->key, "Key inside the type")->type_name("KEY")->required();
  command->add_flag("--json", given->json, "Print what the node answered");
  add_admin_option(*command, given->admin);
  command->callback([given, &chosen] { chosen = [given] { return explain(*given); }; });
}

} // namespace troupe::cli
