/// The command line's side of the admin HTTP.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::cli {

struct admin_request {
  std::string method{};
  std::string target{};
  std::string body{};
  std::vector<std::pair<std::string, std::string>> headers{};
  std::chrono::milliseconds patience{5'000}; ///< for the answer
};

struct admin_answer {
  int status = 0;
  std::string body{};
  std::string token{}; ///< Troupe-Token; empty = none
};

/// Why there is no answer.
struct admin_failure {
  bool sent = false; ///< the request may have arrived
  std::string what;
};

/// Adds --admin HOST:PORT, required, also taken from the environment variable TROUPE_ADMIN.
void add_admin_option(CLI::App& command, std::string& address);

tl::expected<admin_answer, admin_failure> ask_admin(const std::string& address, const admin_request& request);

struct admin_object {
  nlohmann::json object;
  std::string body; ///< the same as it came
};
/// What a node answers with 200; otherwise it is said on standard error what is wrong, as `troupe COMMAND` says it.
/// @errors how to exit.
tl::expected<admin_object, int> ask_admin_for_object(std::string_view command, const std::string& address,
                                                     const admin_request& request);

/// Everything but letters, digits and -._~ as %XX.
std::string percent_encoded(std::string_view text);

} // namespace troupe::cli
