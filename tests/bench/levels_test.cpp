// That `troupe bench levels` runs and says what it promises to say. What the promise costs, no test judges.
#include "tests/bench/run_quickly.hpp"

#include <fstream>
#include <iterator>

using namespace troupe::test;

namespace {

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in{file};
  return {std::istreambuf_iterator<char>{in}, {}};
}

} // namespace

TEST_CASE("bench levels: a quick run reports every mix with the promise and without it, and says where it was off") {
  const temporary_folder folder;
  const auto told = run_quickly(folder, {"levels", "--level", "strong", "--keep"});
  CHECK(told["level"] == "strong");
  CHECK(told["mixes"].size() == 3);
  for (const char* mix : {"A", "B", "C"})
    for (const char* variant : {"on", "off"}) {
      CAPTURE(mix);
      CAPTURE(variant);
      const auto& figures = told["mixes"][mix][variant];
      for (const char* name : {"per_s", "read_p50_ns", "read_p99_ns"}) {
        CAPTURE(name);
        CHECK(figures.value(name, 0.0) > 0);
        CHECK(figures["rounds"].value(name, nlohmann::json::array()).size() == 1);
      }
      for (const char* name : {"write_p50_us", "write_p99_us"}) {
        CAPTURE(name);
        CHECK((figures.value(name, 0.0) > 0) == (mix[0] != 'C'));
      }
      const auto hits = figures.value("hits_percent", 0.0);
      CHECK(hits > 0);
      CHECK(hits <= 100);
    }
  CHECK(told["mixes"]["C"]["off"]["hits_percent"] == 100);

  std::size_t logs = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator{folder.path()}) {
    if (file.path().filename() != "clients.log") continue;
    ++logs;
    const bool is_off = file.path().parent_path().filename() == "1-off";
    CHECK((text_of(file.path()).find("node.no_promise") != std::string::npos) == is_off);
  }
  CHECK(logs == 2);
}

TEST_CASE("bench levels: the weaker levels are measured in a member, with their copies and without the promise") {
  for (const std::string level : {"causal", "session", "eventual"}) {
    CAPTURE(level);
    const temporary_folder folder;
    const auto told = run_quickly(folder, {"levels", "--level", level});
    CHECK(told["level"] == level);
    for (const char* mix : {"A", "B", "C"})
      for (const char* variant : {"on", "off"}) {
        CAPTURE(mix);
        CAPTURE(variant);
        CHECK(told["mixes"][mix][variant].value("per_s", 0.0) > 0);
        CHECK(told["mixes"][mix][variant].value("hits_percent", 0.0) > 0);
      }
  }
}

TEST_CASE("bench levels: a level that does not exist is refused, with those that do") {
  const auto refused = run({troupe_binary(), "bench", "levels", "--level", "linear", "--quick"});
  CHECK(refused.exit_code != 0);
  CHECK(refused.errors.find("causal") != std::string::npos);
}
