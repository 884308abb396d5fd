/// Functions of a service that make one value of concurrent ones.
#include <troupe/runtime.hpp>

#include "tests/actors/three_nodes.hpp"

#include <doctest/doctest.h>

#include <future>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

using namespace std::chrono_literals;
using namespace troupe::test;
using troupe::errc;

namespace {

// What README.md quotes.
/// Words that are in either of the two, sorted.
std::string united(std::string_view a, std::string_view b) {
  std::set<std::string> words;
  for (std::istringstream all{std::string{a}.append(" ").append(b)}; !all.eof();)
    if (std::string word; all >> word) words.insert(word);
  std::string text;
  for (const auto& word : words)
    text += (text.empty() ? "" : " ") + word;
  return text;
}

troupe::result<troupe::config> with_lists_united(const troupe::config& configuration) {
  const auto list = [](std::uint64_t random) { return united(random % 2 == 0 ? "milk" : "tea", "egg"); };
  return configuration.with_merge("lists", {.id = "union", .version = 1, .merge = united, .example = list});
}

struct lists : three_nodes {
  lists() {
    base.shape.types["lists"] = {.consistency = troupe::level::causal, .resolver = troupe::resolver_kind::siblings};
    base.shape.types["drafts"] = base.shape.types["lists"];
    base.shape.types["pages"] = {.consistency = troupe::level::eventual};
    base.deadline = 20s;
  }
};

std::string refusal(const troupe::config& c, const char* type, troupe::merge_function f) {
  const auto r = c.with_merge(type, std::move(f));
  return r ? "" : r.error().message();
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::string longest(std::string_view a, std::string_view b) {
  return std::string{std::pair{a.size(), a} < std::pair{b.size(), b} ? b : a};
}

} // namespace

TEST_CASE(
    "a function of the service makes one value of concurrent ones, in every form of get; others see what is stored") {
  const lists cluster;
  std::vector<troupe::runtime> members;
  for (const char* name : {"eu-1", "us-1", "ap-1"}) {
    cluster.create_store(name);
    const auto plain = cluster.of(name);
    members.push_back(
        value_of(troupe::runtime::start(std::string{name} == "ap-1" ? plain : with_lists_united(plain))));
  }
  for (auto& m : members)
    REQUIRE(m.wait_ready(20s));
  auto here = members[0].open_session();
  CHECK_FALSE(value_of(here.get("lists", "ann")).has_value());
  auto there = members[1].open_session();
  const auto nothing = value_of(there.get_siblings("lists", "ann")).context;
  value_of(here.put("lists", "ann", "milk egg"));
  CHECK(value_of(here.get("lists", "ann"))->value == "milk egg"); // one value is no two: it is left as it is
  value_of(there.put("lists", "ann", "tea egg", {.context = nothing}));
  REQUIRE(here.join(value_of(there.token())));
  const auto both = value_of(here.get("lists", "ann", {.receipt = true}));
  REQUIRE(both);
  CHECK(both->value == "egg milk tea");
  CHECK(both->receipt.has_value());
  CHECK(value_of(here.async().get("lists", "ann").get())->value == "egg milk tea");
  std::promise<std::string> told;
  here.async().get("lists", "ann", {[&](const auto& r) { told.set_value(r && *r ? (*r)->value : "nothing"); }});
  CHECK(told.get_future().get() == "egg milk tea");
  auto without = members[2].open_session({.token = value_of(here.token())});
  CHECK(value_of(without.get("lists", "ann"))->value == "tea egg"); // the newest
  CHECK(value_of(without.get_siblings("lists", "ann")).values.size() == 2);
  CHECK(value_of(without.get_many("lists", {"ann"})).values.at(0)->value == "tea egg");
  CHECK(error_of(here.get_many("lists", {"ann"})) == errc::unsupported_operation); // it would not be merged
  value_of(here.put("lists", "ann", both->value));                                 // replaces what is visible
  CHECK(value_of(here.get_siblings("lists", "ann")).values == std::vector<std::string>{"egg milk tea"});
}

TEST_CASE("a merge function that fails is an error of the read, and what is stored is untouched") {
  const lists cluster;
  const auto fragile = [](std::string_view a, std::string_view b) {
    if (a == "bad" || b == "bad") throw std::runtime_error{"no"};
    return longest(a, b);
  };
  std::vector<troupe::runtime> members;
  for (const auto& m : cluster.base.shape.members) {
    cluster.create_store(m.name);
    members.push_back(
        value_of(troupe::runtime::start(cluster.of(m.name).with_merge("lists", {.id = "f", .merge = fragile}))));
  }
  for (auto& m : members)
    REQUIRE(m.wait_ready(20s));
  auto s = members[0].open_session();
  const auto nothing = value_of(s.get_siblings("lists", "k")).context;
  value_of(s.put("lists", "k", "good"));
  value_of(s.put("lists", "k", "bad", {.context = nothing}));
  const auto r = s.get("lists", "k");
  CHECK(error_of(r) == errc::internal);
  if (!r) CHECK(contains(r.error().message(), "the merge function \"f\""));
  CHECK(value_of(s.get_siblings("lists", "k")).values.size() == 2);
}

TEST_CASE("a merge function is refused with the values that show what is wrong with it") {
  const lists cluster;
  const auto c = cluster.of("eu-1");
  CHECK(with_lists_united(c).has_value());
  CHECK(contains(refusal(c, "nobody", {.id = "f", .merge = longest}), "nobody"));
  CHECK(contains(refusal(c, "pages", {.id = "f", .merge = longest}), "types.pages.resolver is not \"siblings\""));
  CHECK(contains(refusal(c, "inventory", {.id = "f", .merge = longest}), "types.inventory.resolver"));
  CHECK(contains(refusal(c, "lists", {.id = "f"}), "needs an id"));
  const auto first = refusal(c, "lists", {.id = "first", .merge = [](auto a, auto) { return std::string{a}; }});
  CAPTURE(first);
  CHECK(contains(first, "the merge function \"first\" is refused: it depends on order: merge("));
  CHECK(contains(refusal(c, "lists", {.id = "f", .merge = [](auto a, auto b) { return std::string{a}.append(b); }}),
                 "it depends on repetition: merge("));
  CHECK(contains(refusal(c, "lists", {.id = "f", .merge = [](auto, auto) -> std::string { throw 1; }}), "throws"));
  const auto second = value_of(c.with_merge("lists", {.id = "f", .version = 2, .merge = longest}));
  CHECK(
      contains(refusal(second, "lists", {.id = "f", .version = 2, .merge = longest}), "above the one that is known"));
  CHECK(contains(refusal(second, "drafts", {.id = "f", .version = 3, .merge = longest}), "is that of lists"));
  CHECK(second.with_merge("lists", {.id = "f", .version = 3, .merge = longest}).has_value());
}
