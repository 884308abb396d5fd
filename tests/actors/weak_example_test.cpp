/// The example of the weaker levels in README.md.
#include <troupe/runtime.hpp>

#include "tests/actors/three_nodes.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace std::chrono_literals;

namespace {

std::string join_with_commas(const std::vector<std::string>& all) {
  std::string text;
  for (const auto& one : all)
    text += (text.empty() ? "" : ",") + one;
  return text;
}

// What README.md quotes.
troupe::result<std::string> answer_question(troupe::session& s) {
  auto asked = s.get("questions", "42", {.receipt = true}); // what it depends on is there, too
  if (!asked || !*asked) return tl::unexpected{troupe::error{troupe::errc::unavailable, "no question"}};
  s.put("answers", "42", "yes"); // nobody sees it without the question
  s.add("views", "42", 1);       // a counter, of which no addition is lost
  s.add_element("tags", "42", "homeware");
  auto drafts = s.get_siblings("drafts", "42"); // what was written concurrently
  if (drafts && drafts->values.size() > 1)
    s.put("drafts", "42", join_with_commas(drafts->values), {.context = drafts->context});
  return s.token(); // a session that joins it, on any node, has seen all this
}

} // namespace

TEST_CASE("the example of the weaker levels does what it says") {
  troupe::test::three_nodes cluster;
  auto& types = cluster.base.shape.types;
  types["questions"] = types["answers"] = {.consistency = troupe::level::causal};
  types["drafts"] = {.consistency = troupe::level::causal, .resolver = troupe::resolver_kind::siblings};
  types["views"] = {.consistency = troupe::level::eventual, .resolver = troupe::resolver_kind::counter};
  types["tags"] = {.consistency = troupe::level::eventual, .resolver = troupe::resolver_kind::set};
  cluster.base.deadline = 20s;
  auto members = cluster.start_members();
  auto here = members[0].open_session();
  REQUIRE(here.put("questions", "42", "machine washable?"));
  REQUIRE(here.put("drafts", "42", "one"));
  const auto token = answer_question(here);
  REQUIRE(token);
  CHECK(here.get("views", "42").value()->value == "1");
  CHECK(here.elements_of("tags", "42").value().values == std::vector<std::string>{"homeware"});
  auto there = members[2].open_session({.token = *token});
  CHECK(there.get("answers", "42").value()->value == "yes");
  CHECK(there.get("questions", "42").value()->value == "machine washable?");
}
