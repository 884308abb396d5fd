/// What is installed: a project of somebody else builds against it, and what it builds is a node.
#include "tests/support/cluster.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using troupe::test::run;

constexpr std::chrono::seconds patience{120};

fs::path from_environment(const char* name) {
  const char* value = std::getenv(name); // ctest sets it
  return fs::absolute(value == nullptr ? "." : value);
}

std::string text_of(const fs::path& file) {
  std::ifstream in{file};
  return {std::istreambuf_iterator<char>{in}, {}};
}

void succeed(const std::vector<std::string>& command) {
  const auto said = run(command, patience);
  INFO(command.front());
  INFO(said.output);
  INFO(said.errors);
  REQUIRE(said.exit_code == 0);
}

/// A cluster of one node, in `folder`.
fs::path lone_config(const fs::path& folder) {
  const auto file = folder / "node.toml";
  std::ofstream{file} << "[cluster]\nname = \"package\"\nshards = 4\nreplicas = 1\n"
                         "[[cluster.nodes]]\nname = \"one\"\nid = 1\nregion = \"eu\"\naddress = \"127.0.0.1:"
                      << troupe::test::free_ports(1).at(0)
                      << "\"\n[types.inventory]\nlevel = \"strong\"\n[node]\nname = \"one\"\ndirectory = \""
                      << (folder / "store").string() << "\"\n[log]\nlevel = \"warn\"\n";
  return file;
}

/// Builds tests/package/`project` outside of the source tree, with `example` as its program, against what is under
/// `prefix`.
fs::path program_outside(const fs::path& folder, const fs::path& prefix, const std::string& project,
                         const std::string& example) {
  const auto root = from_environment("TROUPE_SOURCE_DIR");
  const auto source = folder / project;
  const auto build = source / "build";
  fs::copy(root / "tests" / "package" / project, source);
  fs::copy(root / "examples" / example / "main.cpp", source);
  succeed({"cmake", "-S", source.string(), "-B", build.string(), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
           "-DCMAKE_PREFIX_PATH=" + prefix.string(), "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Werror"});
  succeed({"cmake", "--build", build.string()});
  return build / project;
}

} // namespace

TEST_CASE("package: projects outside build against what is installed, and their programs are nodes") {
  const troupe::test::temporary_folder folder;
  const auto prefix = folder.path() / "usr";
  succeed({"cmake", "--install", from_environment("TROUPE_BINARY_DIR").string(), "--prefix", prefix.string()});
  const auto config = lone_config(folder.path());
  succeed({(prefix / "bin" / "troupe").string(), "init", "--config", config.string()});

  const auto service = program_outside(folder.path(), prefix, "service", "embed_in_service");
  const auto sold = run({service.string(), config.string()}, patience);
  INFO(sold.errors);
  CHECK(sold.output == "only 0 left\n"); // nobody has stocked it
  CHECK(sold.exit_code == 1);

  const auto caf_service = program_outside(folder.path(), prefix, "caf_service", "caf_service");
  const auto asked = run({caf_service.string(), config.string()}, patience);
  INFO(asked.errors);
  CHECK(asked.output == "not sold, left 0\n");
  CHECK(asked.exit_code == 1);
}

TEST_CASE("package: where something that it needs is missing, it is not found: an error when it is required, else "
          "silence") {
  const troupe::test::temporary_folder folder;
  const auto prefix = folder.path() / "usr";
  succeed({"cmake", "--install", from_environment("TROUPE_BINARY_DIR").string(), "--prefix", prefix.string()});
  const auto source = folder.path() / "asks";
  fs::copy(from_environment("TROUPE_SOURCE_DIR") / "tests" / "package" / "asks", source);
  int runs = 0;
  auto ask = [&](const std::string& arguments, const std::string& missing) {
    const auto build = source / ("build" + std::to_string(++runs));
    std::vector<std::string> command{"cmake",
                                     "-S",
                                     source.string(),
                                     "-B",
                                     build.string(),
                                     "-G",
                                     "Ninja",
                                     "-DCMAKE_PREFIX_PATH=" + prefix.string(),
                                     "-DARGUMENTS=" + arguments};
    if (!missing.empty()) command.push_back(missing);
    return run(command, patience);
  };
  const auto there = ask("", "");
  INFO(there.errors);
  CHECK(there.exit_code == 0);
  CHECK(there.output.find("found=1 target=TRUE path=own/path") != std::string::npos);

  for (const auto* missing : {"-DCMAKE_DISABLE_FIND_PACKAGE_CAF=ON", "-DCMAKE_DISABLE_FIND_PACKAGE_Protobuf=ON",
                              "-DPKG_CONFIG_EXECUTABLE=/bin/false"}) {
    CAPTURE(missing);
    const auto quiet = ask("QUIET", missing);
    INFO(quiet.errors);
    CHECK(quiet.exit_code == 0);
    CHECK(quiet.errors == "");
    CHECK(quiet.output.find("found=0 target=FALSE path=own/path") != std::string::npos);
    const auto optional = ask("", missing);
    INFO(optional.errors);
    CHECK(optional.exit_code == 0);
    const auto required = ask("REQUIRED", missing);
    CHECK(required.exit_code != 0);
    CHECK(required.errors.find("troupe") != std::string::npos);
  }
}

TEST_CASE("package: README.md shows what the project outside says") {
  const auto root = from_environment("TROUPE_SOURCE_DIR");
  const auto readme = text_of(root / "README.md");
  const std::string fence = "```cmake\n";
  auto begin = readme.find(fence);
  REQUIRE(begin != std::string::npos);
  begin += fence.size();
  const auto shown = readme.substr(begin, readme.find("```", begin) - begin);
  CHECK(text_of(root / "tests" / "package" / "service" / "CMakeLists.txt").ends_with(shown));
}

TEST_CASE("package: the installed headers ask for nothing that the project is made from") {
  const auto root = from_environment("TROUPE_SOURCE_DIR");
  for (const auto* headers : {"runtime/include/troupe", "protocol/include/troupe"})
    for (const auto& entry : fs::directory_iterator{root / headers}) {
      if (entry.path().filename() == "caf.hpp") continue; // for services that are CAF systems themselves
      std::ifstream in{entry.path()};
      for (std::string line; std::getline(in, line);) {
        if (!line.starts_with("#include")) continue;
        INFO(entry.path().string());
        INFO(line);
        const bool own = line.starts_with("#include <troupe/") || line.starts_with("#include <tl/");
        const bool standard = line.find_first_of("/.") == std::string::npos;
        CHECK((own || standard));
      }
    }
}
