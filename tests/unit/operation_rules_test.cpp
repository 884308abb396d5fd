#include "runtime/operation_rules.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

using namespace troupe;

namespace {

struct asked {
  v1::Operation operation;
  read_view view = read_view::value;
};

/// Everything that can be asked, by name.
std::map<std::string, asked> everything() {
  std::map<std::string, asked> all;
  all["get"].operation.mutable_get();
  for (const auto& [name, view] :
       {std::pair{"get_siblings", read_view::siblings}, std::pair{"elements_of", read_view::elements},
        std::pair{"fields_of", read_view::fields}, std::pair{"get_many", read_view::snapshot}}) {
    all[name].operation.mutable_get();
    all[name].view = view;
  }
  all["put"].operation.mutable_put();
  all["remove"].operation.mutable_remove();
  all["add"].operation.mutable_add()->set_delta(1);
  all["take"].operation.mutable_add()->set_delta(-1);
  all["add_above"].operation.mutable_add()->set_has_floor(true);
  all["compare_and_set"].operation.mutable_compare_and_set();
  for (const auto& [name, view] :
       {std::pair{"element", read_view::elements}, std::pair{"field", read_view::fields}}) {
    all[std::string{"put_"} + name].operation.mutable_put_field();
    all[std::string{"put_"} + name].view = view;
    all[std::string{"remove_"} + name].operation.mutable_remove_field();
    all[std::string{"remove_"} + name].view = view;
  }
  return all;
}

std::set<std::string> served(const data_type& type) {
  std::set<std::string> names;
  for (const auto& [name, what] : everything()) {
    const auto refused = find_refusal("t", type, what.operation, {.view = what.view});
    if (!refused)
      names.insert(name);
    else
      CHECK(refused->code == errc::unsupported_operation);
  }
  return names;
}

data_type weak(level l, resolver_kind r) { return {.consistency = l, .resolver = r}; }

errc refusal(const data_type& type, const std::string& name, call_wishes wishes) {
  const auto what = everything().at(name);
  wishes.view = what.view;
  const auto refused = find_refusal("t", type, what.operation, wishes);
  return refused ? refused->code : errc::none;
}

} // namespace

TEST_CASE("rules: each resolver has its operations, and what it has not is refused before anything is sent") {
  using names = std::set<std::string>;
  CHECK(served({}) == names{"get", "put", "remove", "add", "take", "add_above", "compare_and_set"});
  const auto causal = [](resolver_kind r) { return served(weak(level::causal, r)); };
  CHECK(causal(resolver_kind::last_writer_wins) == names{"get", "get_many", "put", "remove"});
  CHECK(causal(resolver_kind::siblings) == names{"get", "get_many", "get_siblings", "put", "remove"});
  CHECK(causal(resolver_kind::counter) == names{"get", "get_many", "add", "take"});
  CHECK(causal(resolver_kind::growing_counter) == names{"get", "get_many", "add"});
  CHECK(causal(resolver_kind::set) == names{"elements_of", "put_element", "remove_element", "remove"});
  CHECK(causal(resolver_kind::map) == names{"fields_of", "put_field", "remove_field", "remove"});
  // No cut where nothing is ordered.
  CHECK(served(weak(level::eventual, resolver_kind::last_writer_wins)) == names{"get", "put", "remove"});
}

TEST_CASE("rules: a read may ask for a weaker level than its type's, never for a stronger one") {
  constexpr level all[] = {level::eventual, level::session, level::causal, level::strong};
  for (const auto has : all)
    for (const auto wants : all) {
      const data_type type{.consistency = has};
      CAPTURE(name_of(has));
      CAPTURE(name_of(wants));
      CHECK(refusal(type, "get", {.at = wants}) == (wants > has ? errc::unsupported_level : errc::none));
      v1::Operation read;
      read.mutable_get();
      v1::Operation write;
      write.mutable_put();
      if (wants <= has) CHECK(level_of(type, read, wants) == wants);
      CHECK(level_of(type, write, wants) == has);
    }
}

TEST_CASE("rules: bounds of staleness, dependencies, contexts and locks are refused where they mean nothing") {
  const auto lww = resolver_kind::last_writer_wins;
  CHECK(refusal(weak(level::eventual, lww), "get", {.max_staleness = true}) == errc::none);
  CHECK(refusal(weak(level::causal, lww), "get", {.at = level::eventual, .max_staleness = true}) == errc::none);
  CHECK(refusal(weak(level::causal, lww), "get", {.max_staleness = true}) == errc::unsupported_operation);
  CHECK(refusal(weak(level::eventual, lww), "put", {.max_staleness = true}) == errc::unsupported_operation);
  CHECK(refusal(weak(level::causal, lww), "put", {.dependencies = true}) == errc::none);
  CHECK(refusal(weak(level::eventual, lww), "put", {.dependencies = true}) == errc::unsupported_operation);
  CHECK(refusal({}, "put", {.dependencies = true}) == errc::unsupported_operation);
  CHECK(refusal(weak(level::eventual, resolver_kind::siblings), "put", {.context = true}) == errc::none);
  CHECK(refusal(weak(level::eventual, resolver_kind::siblings), "get", {.context = true})
        == errc::unsupported_operation);
  CHECK(refusal(weak(level::eventual, lww), "put", {.context = true}) == errc::unsupported_operation);
  CHECK(refusal(weak(level::causal, lww), "put", {.fence = true}) == errc::unsupported_operation);
  CHECK(refusal(weak(level::causal, lww), "get_many", {.at = level::session}) == errc::none);
  CHECK(refusal(weak(level::causal, lww), "get_many", {.at = level::eventual}) == errc::unsupported_operation);
}
