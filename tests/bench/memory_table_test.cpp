// What the memory layer's table costs: nanoseconds of a hit, by one thread and by two, and bytes of an entry. The
// times are printed for people, and no test judges them; the bytes do not depend on the machine, and are checked.
#include "actors/layers/memory_table.hpp"

#include <doctest/doctest.h>

#include <malloc.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace troupe;

namespace {

constexpr shard_id home{1};
constexpr lease_generation generation{.era = {.round = 1, .node = {1}, .life = {1}}, .n = 1};
constexpr std::size_t bytes_per_entry_max = 160;
constexpr std::size_t value_bytes = 100;
constexpr std::size_t reads = 2'000'000;
constexpr int rounds = 5;

std::string key_of(std::size_t n) { return "inventory:" + std::to_string(100'000'000 + n); }

void fill(memory_table& table, std::size_t entries) {
  REQUIRE(table.set_lease(home, generation, never));
  const std::string value(value_bytes, 'v');
  for (std::size_t n = 0; n < entries; ++n) {
    const auto key = key_of(n);
    REQUIRE(table.publish({.key = key,
                           .home = home,
                           .generation = generation,
                           .at = {.era = generation.era, .counter = n + 1},
                           .value = value})
            == published::done);
  }
}

struct workload {
  const char* name;
  std::size_t keys;
  double skew; ///< of a zipf distribution; 0 = uniform
};

/// The digits of the keys that one thread reads, over and over: few enough that the caches are left to the table.
std::vector<std::array<char, 8>> digits_to_read(std::size_t thread, const workload& load) {
  std::mt19937_64 random{thread + 1};
  std::vector<double> weights(load.keys);
  for (std::size_t rank = 0; rank < load.keys; ++rank)
    weights[rank] = std::pow(static_cast<double>(rank + 1), -load.skew);
  std::discrete_distribution<std::size_t> chance(weights.begin(), weights.end());
  std::vector<std::array<char, 8>> chosen(std::size_t{1} << 16);
  for (auto& digits : chosen) {
    // A prime spreads the ranks: popular keys are no neighbours in memory.
    const auto key = key_of(chance(random) * 7919 % load.keys);
    key.copy(digits.data(), digits.size(), key.size() - digits.size());
  }
  return chosen;
}

/// Nanoseconds per call of `read(key)`, the median of some rounds, each of the threads reading at the same time.
template <class Read> double measure(std::size_t threads, const workload& load, const Read& read) {
  std::vector<double> measured;
  std::barrier together{static_cast<std::ptrdiff_t>(threads)};
  std::vector<std::thread> readers;
  for (std::size_t t = 0; t < threads; ++t)
    readers.emplace_back([&, t] {
      const auto chosen = digits_to_read(t, load);
      auto key = key_of(0);
      for (int round = 0; round < rounds; ++round) {
        together.arrive_and_wait();
        const auto start = std::chrono::steady_clock::now();
        for (std::size_t n = 0; n < reads; ++n) {
          const auto& digits = chosen[n % chosen.size()];
          std::copy(digits.begin(), digits.end(), key.end() - digits.size());
          read(std::string_view{key});
        }
        together.arrive_and_wait();
        const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
        if (t == 0) measured.push_back(took.count() / static_cast<double>(reads));
      }
    });
  for (auto& reader : readers)
    reader.join();
  std::sort(measured.begin(), measured.end());
  return measured[measured.size() / 2];
}

/// Nanoseconds of one load from `bytes` of memory, each of which says where the next is: what this machine allows.
double load_ns(std::size_t bytes) {
  struct alignas(256) cell {
    std::size_t next;
  };
  std::vector<cell> cells(bytes / sizeof(cell));
  std::vector<std::size_t> order(cells.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937_64{1});
  for (std::size_t n = 0; n < order.size(); ++n)
    cells[order[n]].next = order[(n + 1) % order.size()];
  std::size_t at = 0;
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t n = 0; n < reads; ++n)
    at = cells[at].next;
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  CHECK(at < cells.size());
  return took.count() / static_cast<double>(reads);
}

std::size_t heap_bytes() {
  const auto all = mallinfo2();
  return all.uordblks + all.hblkhd;
}

} // namespace

TEST_CASE("bench memory table: a read hit, copied and shared, of uniform keys and of one hot key") {
  memory_table table{{.bytes_max = std::size_t{256} << 20}};
  fill(table, 100'000);
  std::printf("memory table: one load from 1, 4, 22 MiB of memory: %.0f, %.0f, %.0f ns\n",
              load_ns(std::size_t{1} << 20), load_ns(std::size_t{4} << 20), load_ns(std::size_t{22} << 20));
  for (const auto& load : {workload{"100k uniform", 100'000, 0}, workload{"100k zipf 0.99", 100'000, 0.99},
                           workload{"1k uniform", 1'000, 0}, workload{"one key", 1, 0}})
    for (const std::size_t threads : {1U, 2U}) {
      const auto copied = measure(threads, load, [&](std::string_view key) {
        thread_local std::string value;
        static_cast<void>(table.read(key, instant{}, value));
      });
      const auto shared = measure(threads, load, [&](std::string_view key) {
        const auto record = table.share(key, instant{});
        static_cast<void>(record);
      });
      std::printf("memory table: %-14s %zu thread%s  copied %6.1f ns  shared %6.1f ns\n", load.name, threads,
                  threads == 1 ? " " : "s", copied, shared);
    }
  CHECK(table.count().misses == 0);
  CHECK(table.count().hits == 4 * 2 * rounds * reads * (1 + 2));
}

TEST_CASE(
    "bench memory table X1: an entry costs no more of the heap than it may, and what the table counts is true") {
  constexpr std::size_t entries = 1'000'000;
  const auto before = heap_bytes();
  memory_table table{{.bytes_max = std::size_t{1} << 30}};
  const auto start = std::chrono::steady_clock::now();
  fill(table, entries);
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  while (table.reclaim(10'000))
    ;
  REQUIRE(table.count().entries == entries);

  const auto heap = static_cast<double>(heap_bytes() - before) / static_cast<double>(entries);
  const auto counted = static_cast<double>(table.count().bytes) / static_cast<double>(entries);
  const auto beside = heap - static_cast<double>(key_of(0).size() + value_bytes);
  std::printf(
      "memory table: %.1f bytes of the heap per entry, %.1f counted; %.1f beside key and value; publish %.0f ns\n",
      heap, counted, beside, took.count() / static_cast<double>(entries));
  CHECK(beside <= static_cast<double>(bytes_per_entry_max));
  CHECK(counted == doctest::Approx(heap).epsilon(0.02));
}
