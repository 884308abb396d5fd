#include "runtime/topology/simulation.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace fs = std::filesystem;
using namespace troupe;

namespace {

std::string log_of(std::uint64_t seed) {
  std::ostringstream log;
  (void)simulated::simulate(simulated::options_for(seed), {.log = &log, .history = nullptr});
  return log.str();
}

std::string log_of_process(std::uint64_t seed, const fs::path& file) {
  const char* build = std::getenv("TROUPE_BINARY_DIR");
  REQUIRE(build != nullptr);
  const auto command = std::string{build} + "/troupe simulate --seed " + std::to_string(seed) + " --log "
                       + file.string() + " > /dev/null";
  REQUIRE(std::system(command.c_str()) == 0);
  std::ifstream in{file};
  return {std::istreambuf_iterator<char>{in}, {}};
}

} // namespace

TEST_CASE("X2: the same seed gives the same event log, byte for byte") {
  for (std::uint64_t seed : {3, 11, 243}) {
    const auto first = log_of(seed);
    CHECK(first.size() > 10'000);
    CHECK(first == log_of(seed));
  }
}

TEST_CASE("X2: two processes with randomized addresses write the same event log") {
  const auto folder = fs::temp_directory_path()
                      / ("troupe-replay-" + std::to_string(std::hash<std::string>{}(fs::current_path().string())));
  fs::create_directories(folder);
  const auto one = log_of_process(11, folder / "one.log");
  const auto two = log_of_process(11, folder / "two.log");
  fs::remove_all(folder);
  CHECK(one.size() > 10'000);
  CHECK(one == two);
}

TEST_CASE("X2: another seed gives another event log") { CHECK(log_of(3) != log_of(4)); }
