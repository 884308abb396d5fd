// That `troupe bench weaker` runs and says what it promises to say. How fast it is, no test judges.
#include "tests/bench/run_quickly.hpp"

using namespace troupe::test;

TEST_CASE("bench weaker: a quick run reports every figure, and the token of a session that has touched every key") {
  const temporary_folder folder;
  const auto told = run_quickly(folder, {"weaker"});
  for (const char* name : {"fdatasync_p50_us", "eventual_read_p50_ns", "map_read_p50_ns", "eventual_write_per_s",
                           "causal_write_p50_us", "visible_p50_us", "visible_p99_us", "read_again_p50_us"}) {
    CAPTURE(name);
    CHECK(told.value(name, 0.0) > 0);
    CHECK(told["rounds"].value(name, nlohmann::json::array()).size() == 1);
  }
  CHECK(told["token_bytes"] > 0);
  CHECK(told["token_bytes"] <= 1'024);
  CHECK(std::filesystem::is_empty(folder.path()));
}
