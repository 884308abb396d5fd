/// What the memory table counts, beside what the system gives a process for it, on the program's own allocator. Each
/// size has a process of its own: an allocator keeps what it had.
#include "actors/layers/memory_table.hpp"

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

using namespace troupe;

namespace {

constexpr shard_id home{1};
constexpr lease_generation generation{.era = {.round = 1, .node = {1}, .life = {1}}, .n = 1};
constexpr std::size_t key_bytes = 19;

std::size_t resident_bytes() {
  std::size_t size = 0, resident = 0;
  std::ifstream{"/proc/self/statm"} >> size >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

struct figures {
  std::size_t resident = 0;
  std::size_t counted = 0;
};

figures fill(std::size_t entries, std::size_t value_bytes) {
  const std::string value(value_bytes, 'v');
  const auto before = resident_bytes();
  memory_table table{{.bytes_max = std::size_t{2} << 30}};
  static_cast<void>(table.set_lease(home, generation, never));
  for (std::size_t n = 0; n < entries; ++n)
    static_cast<void>(table.publish({.key = "inventory:" + std::to_string(100'000'000 + n),
                                     .home = home,
                                     .generation = generation,
                                     .at = {.era = generation.era, .counter = n + 1},
                                     .value = value}));
  while (table.reclaim(10'000))
    ;
  const auto counted = table.count();
  return {.resident = resident_bytes() - before, .counted = counted.entries == entries ? counted.bytes : 0};
}

figures fill_in_another_process(std::size_t entries, std::size_t value_bytes) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto found = fill(entries, value_bytes);
    ::_exit(::write(ends[1], &found, sizeof found) == sizeof found ? 0 : 1);
  }
  figures found;
  ::close(ends[1]);
  const auto got = ::read(ends[0], &found, sizeof found);
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  REQUIRE(got == sizeof found);
  return found;
}

} // namespace

TEST_CASE("bench memory table X1: what the table counts is what the process takes for it, within a tenth") {
  struct {
    std::size_t entries, value_bytes;
  } const sizes[] = {{1'000'000, 0},  {1'000'000, 100}, {1'000'000, 180}, {300'000, 600},
                     {100'000, 3000}, {20'000, 15'000}, {3'000, 150'000}, {200, 2'200'000}};
  for (const auto& size : sizes) {
    const auto found = fill_in_another_process(size.entries, size.value_bytes);
    const auto each = static_cast<double>(found.resident) / static_cast<double>(size.entries);
    const auto counted = static_cast<double>(found.counted) / static_cast<double>(size.entries);
    std::printf("memory table: %zu entries with values of %zu: %.0f bytes resident each, %.0f counted\n",
                size.entries, size.value_bytes, each, counted);
    CHECK(counted == doctest::Approx(each).epsilon(0.1));
    if (size.value_bytes == 100) CHECK(counted - static_cast<double>(key_bytes + size.value_bytes) <= 160);
  }
}
