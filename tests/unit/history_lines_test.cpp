#include "runtime/history_lines.hpp"

#include "protocol/check/causality.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <string>

using namespace troupe;

namespace {

std::string written(check::operation line) {
  line.client = "\"s\"";
  line.call = 1;
  line.returned = 2;
  std::ostringstream out;
  check::write_operation(out, line);
  return out.str();
}

data_type weak(resolver_kind r) { return {.consistency = level::causal, .resolver = r}; }

v1::WeakAnswer answer_with(const std::string& value) {
  v1::WeakAnswer answer;
  auto& result = *answer.mutable_result();
  result.set_exists(true);
  result.set_value(value);
  result.mutable_version()->set_round(9);
  result.mutable_version()->set_node(2);
  result.mutable_version()->set_incarnation(1);
  result.mutable_version()->set_counter(17);
  return answer;
}

std::string line_of(resolver_kind r, const v1::Operation& operation, const v1::WeakAnswer& answer,
                    read_view view = read_view::value) {
  auto line = invocation_line(weak(r), operation, view, "t:k");
  if (!line) return "none";
  complete_line(*line, answer.result(), &answer);
  return written(std::move(*line));
}

bool has(const std::string& line, std::string_view part) { return line.find(part) != std::string::npos; }

} // namespace

TEST_CASE("history: operations of the weaker levels become lines that the checkers read") {
  v1::Operation read;
  read.mutable_get();
  const auto get = line_of(resolver_kind::last_writer_wins, read, answer_with("v"));
  CHECK(has(get, "\"get\""));
  CHECK(has(get, "\"value\":\"v\""));
  CHECK(has(get, "9.2.1.17"));
  CHECK(has(line_of(resolver_kind::counter, read, answer_with("5")), "\"count\""));
  CHECK(line_of(resolver_kind::siblings, read, answer_with("v"), read_view::siblings) == "none");
  CHECK(line_of(resolver_kind::map, read, answer_with(""), read_view::fields) == "none");

  v1::Operation add;
  add.mutable_add()->set_delta(3);
  CHECK(has(line_of(resolver_kind::counter, add, answer_with("")), "\"incr\""));
  v1::Operation put;
  put.mutable_put_field()->set_field("f");
  put.mutable_put_field()->set_value("1");
  CHECK(has(line_of(resolver_kind::set, put, answer_with(""), read_view::elements), "\"value\":\"f\""));
  CHECK(has(line_of(resolver_kind::map, put, answer_with(""), read_view::fields), "t:k/f"));
  v1::Operation gone;
  gone.mutable_remove_field()->set_field("f");
  CHECK(has(line_of(resolver_kind::set, gone, answer_with(""), read_view::elements), "set_remove"));
  CHECK(has(line_of(resolver_kind::map, gone, answer_with(""), read_view::fields), "\"delete\""));

  v1::WeakAnswer elements;
  elements.add_items()->set_field("x");
  elements.add_items()->set_field("y");
  CHECK(has(line_of(resolver_kind::set, read, elements, read_view::elements), "[\"x\",\"y\"]"));
}

TEST_CASE("history: a recorded run of a causal type is judged by the causal checker") {
  std::stringstream file;
  const auto record = [&](const std::string& client, const v1::Operation& operation, const std::string& value,
                          const std::string& key, std::int64_t at) {
    auto line = invocation_line(weak(resolver_kind::last_writer_wins), operation, read_view::value, key);
    REQUIRE(line);
    line->client = client;
    line->call = at;
    line->returned = at + 1;
    const auto answer = answer_with(value);
    complete_line(*line, answer.result(), &answer);
    check::write_operation(file, *line);
  };
  v1::Operation read;
  read.mutable_get();
  const auto put = [](const std::string& value) {
    v1::Operation operation;
    operation.mutable_put()->set_value(value);
    return operation;
  };
  record("\"a\"", put("q"), "", "t:question", 1);
  record("\"b\"", read, "q", "t:question", 3);
  record("\"b\"", put("w"), "", "t:answer", 5);
  record("\"c\"", read, "w", "t:answer", 7);
  const auto before = file.str();
  const auto verdict_of = [](const std::string& text) {
    std::istringstream in{text};
    const auto history = check::read_history(in);
    REQUIRE(history);
    const auto report = check::check_causality(*history, check::causal_model::cc);
    REQUIRE(report);
    return report->result;
  };
  record("\"c\"", read, "q", "t:question", 9);
  CHECK(verdict_of(file.str()) == check::verdict::yes);
  file.str(before);
  file.seekp(0, std::ios::end);
  auto line = invocation_line(weak(resolver_kind::last_writer_wins), read, read_view::value, "t:question");
  line->client = "\"c\"";
  line->call = 9;
  line->returned = 10;
  complete_line(*line, {}, nullptr); // the answer without its question
  check::write_operation(file, *line);
  CHECK(verdict_of(file.str()) == check::verdict::no);
}
