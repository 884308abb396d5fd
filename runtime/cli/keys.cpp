/// troupe get, put, add, remove: one operation on one key, for people.
#include "runtime/cli/admin_client.hpp"
#include "runtime/cli/commands.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>

namespace troupe::cli {

namespace {

using nlohmann::json;

struct key_options {
  std::string admin;
  std::string type;
  std::string key;
  std::string value;
  std::int64_t delta = 0;
  std::optional<std::int64_t> floor;
  int deadline_ms = 2'000;
  std::string lock;  ///< "TYPE:NAME" of a named lock; empty = none
  std::string token; ///< of its grant
  std::string level; ///< of a read; empty = the type's
  int max_staleness_ms = 0;
  std::string session;      ///< a session's token; empty = none
  bool tells_token = false; ///< prints the session's token afterwards
  std::string context;      ///< of get; what put and remove replace
  std::string field, element;
};

/// Asks the node, and says on standard error what went wrong, if anything did.
/// @return the answer of a node that did what was asked; else the exit code.
tl::expected<admin_answer, int> ask(const key_options& given, admin_request request, const std::string& query = {}) {
  request.target = "/v1/keys/" + percent_encoded(given.type) + "/" + percent_encoded(given.key)
                   + "?deadline_ms=" + std::to_string(given.deadline_ms) + query;
  if (!given.lock.empty())
    request.target += "&lock=" + percent_encoded(given.lock) + "&token=" + percent_encoded(given.token);
  const auto append = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) request.target.append("&").append(name).append("=").append(percent_encoded(value));
  };
  append("level", given.level);
  if (given.max_staleness_ms > 0) append("max_staleness_ms", std::to_string(given.max_staleness_ms));
  append("context", given.context);
  append("field", given.field);
  append("element", given.element);
  if (given.tells_token || !given.session.empty()) request.headers.emplace_back("Troupe-Token", given.session);
  request.patience = std::chrono::milliseconds{given.deadline_ms} + std::chrono::seconds{3};
  auto answer = ask_admin(given.admin, request);
  if (!answer) {
    const bool may_have_happened = answer.error().sent && request.method != "GET";
    std::cerr << (may_have_happened ? "unknown: " : "not done: ") << answer.error().what << "\n";
    return tl::unexpected{may_have_happened ? unknown : not_done};
  }
  if (given.tells_token && !answer->token.empty()) std::cerr << "token " << answer->token << "\n";
  if (answer->status >= 200 && answer->status < 300) return *answer;
  const auto body = json::parse(answer->body, nullptr, false);
  if (!body.is_object() || !body.contains("error")) return *answer; // a condition that did not hold
  const auto outcome = body.value("outcome", "unknown");
  std::cerr << outcome << ": " << body.value("error", "") << ": " << body.value("message", "") << "\n";
  if (outcome != "not done") return tl::unexpected{static_cast<int>(unknown)};
  return tl::unexpected{static_cast<int>(answer->status == 400 || answer->status == 413 ? bad_usage : not_done)};
}

int get(const key_options& given) {
  const auto answer = ask(given, {.method = "GET"});
  if (!answer) return answer.error();
  if (answer->status == 404) {
    std::cerr << "there is no value\n";
    return not_done;
  }
  std::cout << answer->body << std::endl;
  return done;
}

int put(const key_options& given) {
  admin_request request{.method = "PUT", .body = given.value};
  if (given.value == "-")
    request.body.assign(std::istreambuf_iterator<char>{std::cin}, std::istreambuf_iterator<char>{});
  const auto answer = ask(given, std::move(request));
  return answer ? done : answer.error();
}

int remove(const key_options& given) {
  const auto answer = ask(given, {.method = "DELETE"});
  if (!answer) return answer.error();
  if (!json::parse(answer->body, nullptr, false).value("existed", true)) std::cerr << "there was no value\n";
  return done;
}

int add(const key_options& given) {
  auto query = "&add=" + std::to_string(given.delta);
  if (given.floor) query += "&floor=" + std::to_string(*given.floor);
  const auto answer = ask(given, {.method = "POST"}, query);
  if (!answer) return answer.error();
  const auto body = json::parse(answer->body, nullptr, false);
  std::cout << body.value("number", std::int64_t{0}) << std::endl;
  if (body.value("applied", false)) return done;
  std::cerr << "not done: the sum would be below the floor\n";
  return not_done;
}

/// For types of a weaker level.
void add_session_options(CLI::App& command, key_options& given) {
  command.add_option("--session-token", given.session, "Go on from what a session has seen: its token")
      ->type_name("TOKEN")
      ->envname("TROUPE_SESSION_TOKEN");
  command.add_flag("--print-token", given.tells_token,
                   "Print what has been seen, as a token, on standard error: \"token t1.…\"");
}

void add_part_options(CLI::App& command, key_options& given) {
  command.add_option("--field", given.field, "One field of a map")->type_name("NAME");
  command.add_option("--context", given.context, "Replace the concurrent values that `get` showed with this context")
      ->type_name("CONTEXT");
}

/// For commands that write.
void add_lock_options(CLI::App& command, key_options& given) {
  auto* token = command.add_option("--token", given.token, "The token that the lock was granted with")
                    ->type_name("TOKEN")
                    ->envname("TROUPE_LOCK_TOKEN");
  command.add_option("--lock", given.lock, "A named lock that the write relies on, and that protects the key")
      ->type_name("TYPE:NAME")
      ->needs(token);
}

using key_action = int (*)(const key_options&);

CLI::App* add_command(CLI::App& app, action& chosen, const std::shared_ptr<key_options>& given, const char* name,
                      const char* what, key_action run) {
  auto* command = app.add_subcommand(name, what);
  command->add_option("type", given->type, "Data type")->type_name("TYPE")->required();
  command->add_option("key", given->key, "Key inside the type")->type_name("KEY")->required();
  command->add_option("--deadline-ms", given->deadline_ms, "How long to wait for the outcome")
      ->type_name("MS")
      ->check(CLI::Range(1, 60'000))
      ->capture_default_str();
  add_admin_option(*command, given->admin);
  add_session_options(*command, *given);
  command->callback([given, run, &chosen] { chosen = [given, run] { return run(*given); }; });
  return command;
}

} // namespace

void add_keys(CLI::App& app, action& chosen) {
  const auto given = std::make_shared<key_options>(); // one of the four is parsed
  auto* read = add_command(app, chosen, given, "get", "Print the value of a key", get);
  read->add_option("--level", given->level, "Read at a weaker level than the type's")
      ->type_name("LEVEL")
      ->check(CLI::IsMember({"eventual", "session", "causal", "strong"}));
  read->add_option("--max-staleness-ms", given->max_staleness_ms, "Of a read at level eventual: at most so old")
      ->type_name("MS")
      ->check(CLI::Range(1, 3'600'000));
  read->add_option("--field", given->field, "One field of a map")->type_name("NAME");
  auto* store = add_command(app, chosen, given, "put", "Store the value of a key", put);
  store->add_option("value", given->value, "The value; - = from standard input")->type_name("VALUE")->required();
  add_part_options(*store, *given);
  add_lock_options(*store, *given);
  auto* gone = add_command(app, chosen, given, "remove", "Remove a key", remove);
  add_part_options(*gone, *given);
  gone->add_option("--element", given->element, "One element of a set")->type_name("ELEMENT");
  add_lock_options(*gone, *given);
  auto* member = add_command(app, chosen, given, "add-element", "Add an element to a set", put);
  member->add_option("element", given->element, "The element")->type_name("ELEMENT")->required();
  auto* sum = add_command(app, chosen, given, "add", "Add to the number under a key, and print the sum", add);
  sum->add_option("delta", given->delta, "What to add; may be negative")->type_name("NUMBER")->required();
  sum->add_option("--floor", given->floor, "Refuse when the sum would be lower")->type_name("NUMBER");
  add_lock_options(*sum, *given);
}

} // namespace troupe::cli
