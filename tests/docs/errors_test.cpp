#include "protocol/error.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace {

namespace fs = std::filesystem;

fs::path page() {
  const char* source = std::getenv("TROUPE_SOURCE_DIR"); // ctest sets it
  return fs::path{source == nullptr ? "." : source} / "docs" / "errors.md";
}

std::string generated() {
  std::ostringstream out;
  out << "# Errors\n\nGenerated from `protocol/include/troupe/error.def`; a test fails when the two differ, and "
         "`TROUPE_UPDATE=1` makes it rewrite this page.\n\n*not done*: nothing happened, and never will. *unknown*: "
         "it "
         "may have happened, or may still happen; a number that a build does not know is unknown too.\n\n"
         "| number | name | outcome | |\n|---|---|---|---|\n";
  for (unsigned number = 1; number < 256; ++number) {
    const auto code = static_cast<troupe::errc>(number);
    const auto name = troupe::name_of(code);
    if (name == "unknown_error") continue;
    out << "| " << number << " | `" << name << "` | "
        << (troupe::outcome_of(code) == troupe::outcome::not_done ? "not done" : "unknown") << " | "
        << troupe::text_of(code) << " |\n";
  }
  return out.str();
}

} // namespace

TEST_CASE("docs: the page of errors is what error.def says") {
  if (std::getenv("TROUPE_UPDATE") != nullptr) std::ofstream{page()} << generated();
  std::ifstream in{page()};
  const std::string found{std::istreambuf_iterator<char>{in}, {}};
  CHECK(found == generated());
}
