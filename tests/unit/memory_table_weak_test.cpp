#include "actors/layers/weak_table.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

using namespace troupe;

namespace {

constexpr origin a{{1}, 1}, b{{2}, 3};

} // namespace

TEST_CASE("what was published last is read, with its version and the number of its publication") {
  weak_table table{1 << 20};
  std::string value = "untouched";
  CHECK_FALSE(table.read("t:k", value));
  CHECK(value == "untouched");
  table.publish({.key = "t:k", .exists = true, .value = "one", .written = {a, 7}, .clock = 900, .publication = 3});
  auto hit = table.read("t:k", value);
  REQUIRE(hit);
  CHECK(value == "one");
  CHECK(hit->exists);
  CHECK(hit->written == dot{a, 7});
  CHECK(hit->clock == 900);
  CHECK(hit->publication == 3);
  CHECK(table.applied() == 0);
  table.applied(3);
  CHECK(table.applied() == 3);
}

TEST_CASE("a later publication replaces one with a higher stamp: a sum's newest part may have a lower one") {
  weak_table table{1 << 20};
  table.publish({.key = "t:n", .exists = true, .value = "10", .written = {b, 9}, .clock = 900, .publication = 1});
  table.publish({.key = "t:n", .exists = true, .value = "11", .written = {a, 2}, .clock = 100, .publication = 2});
  std::string value;
  const auto hit = table.read("t:n", value);
  REQUIRE(hit);
  CHECK(value == "11");
  CHECK(hit->publication == 2);
}

TEST_CASE("a key that is known not to exist is a hit that has a publication, too; a withdrawn one is a miss") {
  weak_table table{1 << 20};
  table.publish({.key = "t:k", .exists = false, .value = {}, .written = {a, 8}, .clock = 901, .publication = 4});
  std::string value;
  const auto hit = table.read("t:k", value);
  REQUIRE(hit);
  CHECK_FALSE(hit->exists);
  CHECK(hit->publication == 4);
  table.publish({.key = "t:e", .exists = true, .value = "", .written = {a, 9}, .clock = 902, .publication = 5});
  CHECK(table.read("t:e", value)->exists);
  CHECK(value.empty());
  table.withdraw("t:k");
  CHECK_FALSE(table.read("t:k", value));
}

TEST_CASE("C1: who has met a publication half-way, and waits until it is through, finds all of it") {
  weak_table table{1 << 20};
  constexpr std::uint64_t rounds = 20'000;
  const auto publish = [&](std::string_view key, std::uint64_t n) {
    const auto text = std::to_string(n);
    table.publish({.key = key, .exists = true, .value = text, .written = {a, n}, .clock = n, .publication = n});
  };
  publish("t:cause", 1);
  publish("t:effect", 1);
  table.applied(1);
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> wrong{0}, looked{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i)
    readers.emplace_back([&] {
      std::string value;
      while (!done) {
        const auto effect = table.read("t:effect", value);
        if (!effect || table.applied() < effect->publication) continue;
        const auto cause = table.read("t:cause", value);
        if (cause && cause->publication < effect->publication) ++wrong;
        ++looked;
      }
    });
  for (std::uint64_t n = 2; n <= rounds; ++n) { // the effect comes first: the worst order
    publish("t:effect", n);
    publish("t:cause", n);
    table.applied(n);
  }
  while (looked == 0)
    std::this_thread::yield();
  done = true;
  for (auto& reader : readers)
    reader.join();
  CHECK(wrong == 0);
}
