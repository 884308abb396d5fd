// That `troupe bench strong` runs and says what it promises to say. How fast it is, no test judges.
#include "tests/bench/run_quickly.hpp"

using namespace troupe::test;

TEST_CASE("bench strong: a quick run reports every figure, and the hot key holds what was acknowledged") {
  const temporary_folder folder;
  const auto told = run_quickly(folder, {"strong"}, std::chrono::seconds{120});
  for (const char* name :
       {"fdatasync_p50_us", "write1_p50_us", "write64_per_s", "write256_per_s", "hotkey64_per_s", "read_hit_p50_ns",
        "map_hit_p50_ns", "read_hits_per_s_1", "read_hits_per_s_2", "l1_bytes_per_entry", "write1_held_0_p50_us",
        "write1_held_1_p50_us", "write1_held_2_p50_us", "frames_per_write_and_holder", "recovery_ms", "start_ms"}) {
    CAPTURE(name);
    CHECK(told.value(name, 0.0) > 0);
    CHECK(told["rounds"].value(name, nlohmann::json::array()).size() == 1);
  }
  CHECK(told["hotkey"]["right"] == true);
  CHECK(told["hotkey"]["acknowledged"] == told["hotkey"]["value"]);
  CHECK(told["hotkey"]["acknowledged"] > 0);
  for (const char* used : {"used_by_write64", "used_by_rounds"}) {
    CAPTURE(used);
    CHECK(told[used]["node_cpu_seconds"].size() == 3);
    for (const auto& syncs : told[used]["syncs"])
      CHECK(syncs > 0);
  }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("bench strong: a work folder that is not there is refused") {
  const auto refused = run({troupe_binary(), "bench", "strong", "--quick", "--work-dir", "/nowhere/at/all"});
  CHECK(refused.exit_code == 2);
  CHECK(refused.errors.find("/nowhere/at/all") != std::string::npos);
}
