/// The public headers are all that a service sees: they need nothing internal, no protobuf, and no CAF but for the
/// one that is for services which are CAF systems.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

fs::path source_dir() {
  const char* dir = std::getenv("TROUPE_SOURCE_DIR"); // ctest sets it
  return dir == nullptr ? fs::current_path() : fs::path{dir};
}

std::vector<fs::path> include_dirs() {
  return {source_dir() / "runtime" / "include", source_dir() / "protocol" / "include"};
}

/// Every public header and what it includes, by "#include" lines.
std::vector<std::pair<fs::path, std::string>> includes() {
  std::vector<std::pair<fs::path, std::string>> out;
  for (const auto& dir : include_dirs())
    for (const auto& entry : fs::directory_iterator{dir / "troupe"}) {
      std::ifstream in{entry.path()};
      for (std::string line; std::getline(in, line);)
        if (line.rfind("#include", 0) == 0) out.emplace_back(entry.path(), line.substr(9));
    }
  return out;
}

/// Compiles `text` with the public headers only: no other include directory, every header on its own.
bool compiles(const std::string& text, const fs::path& folder) {
  std::ofstream{folder / "one.cpp"} << text;
  std::string command = "c++ -std=c++20 -Wall -Wextra -Wpedantic -Werror -fsyntax-only";
  for (const auto& dir : include_dirs())
    command += " -I '" + dir.string() + "'";
  command += " '" + (folder / "one.cpp").string() + "' > '" + (folder / "one.log").string() + "' 2>&1";
  return std::system(command.c_str()) == 0;
}

} // namespace

TEST_CASE("public headers: include the standard library, tl::expected and each other; CAF, if they are for that") {
  for (const auto& [file, what] : includes()) {
    CAPTURE(file.string());
    CAPTURE(what);
    CHECK(what.front() == '<');
    const bool allowed = what.rfind("<troupe/", 0) == 0 || what == "<tl/expected.hpp>"
                         || (file.filename() == "caf.hpp" && what.rfind("<caf/", 0) == 0)
                         || (what.find('/') == std::string::npos && what.find('.') == std::string::npos);
    CHECK(allowed);
  }
}

TEST_CASE("public headers: each compiles alone") {
  const auto folder = fs::temp_directory_path() / "troupe-public-headers";
  fs::create_directories(folder);
  for (const auto* name : {"errc", "level", "error", "config", "weak", "session", "runtime", "caf"}) {
    CAPTURE(name);
    CHECK(compiles("#include <troupe/" + std::string{name} + ".hpp>\n", folder));
  }
  SUBCASE("and an internal header cannot be reached") {
    CHECK_FALSE(compiles("#include <troupe/node.hpp>\n", folder));
    CHECK_FALSE(compiles("#include \"runtime/node.hpp\"\n", folder));
  }
  fs::remove_all(folder);
}
