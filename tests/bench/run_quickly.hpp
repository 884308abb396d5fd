/// Runs a bench briefly, and reads what it tells.
#pragma once

#include "tests/support/cluster.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <string>
#include <vector>

namespace troupe::test {

/// @param words  behind `troupe bench`: which one, and its options.
/// @return a JSON object.
inline nlohmann::json run_quickly(const temporary_folder& folder, const std::vector<std::string>& words,
                                  std::chrono::seconds at_most = std::chrono::seconds{60}) {
  std::vector<std::string> command{troupe_binary(), "bench"};
  command.insert(command.end(), words.begin(), words.end());
  command.insert(command.end(), {"--quick", "--json", "--work-dir", folder.path().string()});
  const auto measured = run(command, at_most);
  REQUIRE_MESSAGE(measured.exit_code == 0, measured.errors);
  auto told = nlohmann::json::parse(measured.output, nullptr, false);
  REQUIRE(told.is_object());
  return told;
}

} // namespace troupe::test
