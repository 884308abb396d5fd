/// troupe token inspect: what a session token says, and whether it verifies.
#include "runtime/cli/commands.hpp"
#include "runtime/config_file.hpp"

#include <iostream>
#include <memory>
#include <string>

namespace troupe::cli {

namespace {

struct token_options {
  std::string text;
  std::string config;
};

void print(const session_token::claim& claim) {
  const auto& what = claim.what;
  std::cout << "key      " << (claim.key_id == 0 ? "of the cluster's name" : std::to_string(claim.key_id)) << "\n"
            << "seen     " << to_string(what.seen) << "\n";
  for (const auto& [node, life] : what.earlier)
    std::cout << "         all that survived of " << to_string(origin{node, life}) << " and its lives before\n";
  std::cout << "region   " << to_string(what.region) << "\n"
            << "clock    " << (what.clock >> 16U) << " ms since 1970, " << (what.clock & 0xFFFFU) << std::endl;
}

int inspect(const token_options& given) {
  const auto claim = session_token::peek(given.text);
  if (!claim) {
    std::cerr << "not a token: " << claim.error().detail << "\n";
    return not_done;
  }
  print(*claim);
  if (given.config.empty()) {
    std::cout << "not verified: that takes the keys of a --config" << std::endl;
    return done;
  }
  const auto config = read_config(given.config);
  if (!config) {
    for (const auto& line : config.error())
      std::cerr << line << "\n";
    return bad_usage;
  }
  const auto opened = session_token::open(config->token_keys, config->shape.name, given.text);
  if (!opened) {
    std::cerr << "refused: " << opened.error().detail << "\n";
    return not_done;
  }
  std::cout << "verified, of the cluster " << config->shape.name << std::endl;
  return done;
}

} // namespace

void add_token(CLI::App& app, action& chosen) {
  auto* command = app.add_subcommand("token", "Session tokens")->require_subcommand(1);
  auto* look = command->add_subcommand("inspect", "Print what a token says; with a configuration, verify it, too");
  const auto given = std::make_shared<token_options>();
  look->add_option("token", given->text, "The token")->type_name("TOKEN")->required();
  look->add_option("--config", given->config, "A node's configuration, which has the keys")->type_name("FILE");
  look->callback([given, &chosen] { chosen = [given] { return inspect(*given); }; });
}

} // namespace troupe::cli
