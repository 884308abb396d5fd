/// README.md and CONTRIBUTING.md are run: examples are files that are compiled, or parts of them, and shell blocks
/// are executed in order against a cluster.
#include "tests/support/cluster.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

fs::path from_environment(const char* name) {
  const char* value = std::getenv(name); // ctest sets it
  return fs::absolute(value == nullptr ? "." : value);
}
fs::path source() { return from_environment("TROUPE_SOURCE_DIR"); }

std::string text_of(const fs::path& file) {
  std::ifstream in{file};
  return {std::istreambuf_iterator<char>{in}, {}};
}

/// A fenced block: what stands behind the fence ("sh", "sh elsewhere", "cpp"), and its lines.
struct block {
  std::string kind;
  std::vector<std::string> lines;
};

std::vector<block> blocks_of(const std::string& markdown) {
  std::vector<block> found;
  bool inside = false;
  std::istringstream in{markdown};
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("```", 0) == 0) {
      inside = !inside;
      if (inside) found.push_back({line.substr(3), {}});
    } else if (inside) {
      found.back().lines.push_back(line);
    }
  }
  return found;
}

/// All `sh` blocks as one script that ends at the first command that fails, or prints something else than the lines
/// `#> …` behind it say.
std::string script_of(const std::vector<block>& blocks) {
  std::ostringstream out;
  out << "set -euo pipefail\n"
         "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n"
         "expect() { [[ $1 == \"$2\" ]] || { printf 'The document says:\\n%s\\nprinted was:\\n%s\\n' \"$2\" \"$1\" "
         ">&2; "
         "exit 1; }; }\n";
  for (const auto& b : blocks) {
    if (b.kind != "sh") continue;
    for (std::size_t i = 0; i < b.lines.size(); ++i) {
      std::string expected;
      std::size_t after = i + 1;
      for (; after < b.lines.size() && b.lines[after].rfind("#> ", 0) == 0; ++after)
        expected += (expected.empty() ? "" : "\n") + b.lines[after].substr(3);
      if (after == i + 1) {
        out << b.lines[i] << "\n";
        continue;
      }
      out << "printed=$(" << b.lines[i] << ")\nexpect \"$printed\" \"$(cat <<'README'\n"
          << expected << "\nREADME\n)\"\n";
      i = after - 1;
    }
  }
  return out.str();
}

/// Runs a script in a folder where build/release is this build, with a loopback of its own if the machine allows
/// that: the ports of README.md are fixed.
troupe::test::command_result run_script(const std::string& script) {
  const troupe::test::temporary_folder folder;
  fs::create_directories(folder.path() / "build");
  fs::create_directory_symlink(from_environment("TROUPE_BINARY_DIR"), folder.path() / "build" / "release");
  const auto file = folder.path() / "readme.sh";
  const auto enter = "cd '" + folder.path().string() + "'\n";
  const std::vector<std::string> own_network{"unshare", "--map-root-user", "--net"};
  std::vector<std::string> command{"bash", file.string()};
  if (troupe::test::run({"unshare", "--map-root-user", "--net", "ip", "link", "set", "lo", "up"}).exit_code == 0) {
    command.insert(command.begin(), own_network.begin(), own_network.end());
    std::ofstream{file} << "ip link set lo up\n" << enter << script;
  } else {
    std::ofstream{file} << enter << script;
  }
  return troupe::test::run(command, std::chrono::seconds{150});
}

} // namespace

TEST_CASE("README: the example is the file that is compiled") {
  std::string quoted;
  for (const auto& b : blocks_of(text_of(source() / "README.md")))
    if (b.kind == "cpp")
      for (const auto& line : b.lines)
        quoted += line + "\n";
  CHECK(quoted == text_of(source() / "examples" / "embed_in_service" / "main.cpp"));
}

TEST_CASE("README: every other example stands in the test that it names, line by line") {
  const std::string kind = "cpp of ";
  std::size_t excerpts = 0;
  for (const auto& b : blocks_of(text_of(source() / "README.md"))) {
    if (b.kind.rfind(kind, 0) != 0) continue;
    ++excerpts;
    std::string quoted;
    for (const auto& line : b.lines)
      quoted += line + "\n";
    CAPTURE(b.kind);
    CHECK(quoted.size() > 1);
    CHECK(text_of(source() / b.kind.substr(kind.size())).find("\n" + quoted) != std::string::npos);
  }
  CHECK(excerpts == 3);
}

TEST_CASE("README and CONTRIBUTING: every command does what it says") {
  for (const char* document : {"README.md", "CONTRIBUTING.md"}) {
    const auto script = script_of(blocks_of(text_of(source() / document)));
    CHECK(script.find("build/release/") != std::string::npos);
    const auto said = run_script(script);
    INFO(document);
    INFO(said.output);
    INFO(said.errors);
    CHECK(said.exit_code == 0);
  }
}

TEST_CASE("README: commands that run elsewhere are exactly those that continuous integration runs") {
  const std::set<std::string> expected{"scripts/demo", "scripts/test"};
  std::set<std::string> named;
  for (const auto& b : blocks_of(text_of(source() / "README.md")))
    if (b.kind == "sh elsewhere")
      for (const auto& line : b.lines)
        named.insert(line.substr(0, line.find(' ')));
  CHECK(named == expected);
  CHECK(text_of(source() / ".ci" / "run").find("exec scripts/test") != std::string::npos);
  CHECK(text_of(source() / "scripts" / "test").find("\nscripts/demo") != std::string::npos);
}

TEST_CASE("README: the runner notices a command that fails, and one that prints something else") {
  CHECK(run_script(script_of(blocks_of("```sh\necho 94\n#> 94\n```\n"))).exit_code == 0);
  CHECK(run_script(script_of(blocks_of("```sh\necho 93\n#> 94\n```\n"))).exit_code != 0);
  CHECK(run_script(script_of(blocks_of("```sh\nfalse\ntrue\n```\n"))).exit_code != 0);
  CHECK(run_script(script_of(blocks_of("```sh elsewhere\nfalse\n```\n"))).exit_code == 0);
}

TEST_CASE("README: every package that scripts/setup installs is listed with its reason") {
  const auto readme = text_of(source() / "README.md");
  std::ifstream packages{source() / "scripts" / "packages"};
  std::size_t listed = 0;
  for (std::string line; std::getline(packages, line);) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream words{line};
    std::string group, package, why;
    words >> group >> package;
    std::getline(words >> std::ws, why);
    CAPTURE(package);
    CHECK(readme.find("| `" + package + "` | " + why + " | " + group + " |") != std::string::npos);
    ++listed;
  }
  CHECK(listed > 20);
}
