#include "protocol/check/history.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <string>

namespace {

using namespace troupe::check;

tl::expected<history, parse_error> read(const std::string& text, const read_options& options = {}) {
  std::istringstream in{text};
  return read_history(in, options);
}

/// The error of a history that must be refused: "line 2: ...".
std::string refusal(const std::string& text, const read_options& options = {}) {
  const auto result = read(text, options);
  REQUIRE_FALSE(result.has_value());
  return to_string(result.error());
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

const std::string good = R"({"client":1,"key":"k","op":"put","value":"a","call":1,"return":2,"outcome":"ok"})"
                         "\n";

} // namespace

TEST_CASE("history: every operation of the format is read and written back as it was") {
  const std::string lines = R"({"client":1,"key":"k","op":"get","value":null,"call":1,"return":2,"outcome":"ok"}
{"client":"web \"1\"","key":"k","op":"put","value":"a\n\u00e9","call":1,"return":2,"outcome":"ok","ver":"4.12"}
{"client":2,"key":"k","op":"cas","old":null,"value":"b","applied":false,"call":1,"return":2,"outcome":"ok"}
{"client":3,"key":"k","op":"cas","old":"a","value":"b","call":1,"outcome":"unknown"}
{"client":4,"key":"k","op":"delete","applied":true,"call":1,"return":2,"outcome":"ok"}
{"client":5,"key":"k","op":"append","value":"x","call":1,"return":2,"outcome":"fail"}
{"client":6,"key":"k","op":"add","delta":-3,"floor":0,"applied":true,"result":7,"call":1,"return":2,"outcome":"ok"}
{"client":7,"key":"k","op":"add","delta":-3,"floor":0,"applied":false,"call":1,"return":2,"outcome":"ok"}
{"client":8,"key":"l","op":"lock","token":5,"call":1,"return":2,"outcome":"ok"}
{"client":8,"key":"l","op":"unlock","token":5,"call":3,"return":4,"outcome":"ok"}
{"client":9,"key":"c","op":"incr","delta":2,"call":1,"return":2,"outcome":"ok"}
{"client":10,"key":"c","op":"count","value":"2","call":1,"return":2,"outcome":"ok","node":"eu-1","final":true}
{"client":11,"key":"s","op":"set_add","value":"x","call":1,"return":2,"outcome":"ok"}
{"client":12,"key":"s","op":"set_remove","value":"x","call":1,"return":2,"outcome":"ok"}
{"client":13,"key":"s","op":"members","value":["x","y"],"call":1,"return":2,"outcome":"ok"}
)";
  const auto first = read(lines);
  REQUIRE_MESSAGE(first.has_value(), to_string(first.error()));
  REQUIRE(first->operations.size() == 15);
  std::ostringstream out;
  for (const auto& op : first->operations)
    write_operation(out, op);
  const auto second = read(out.str());
  REQUIRE(second.has_value());
  CHECK(first->operations == second->operations);
  const auto& add = first->operations[6];
  CHECK(add.kind == op_kind::add);
  CHECK(add.delta == -3);
  CHECK(add.floor == 0);
  CHECK(add.result == 7);
  CHECK(first->operations[1].client == R"("web \"1\"")");
  CHECK(first->operations[3].outcome == op_outcome::unknown);
}

TEST_CASE("history: the order of the fields written is stable") {
  operation op;
  op.client = "3";
  op.key = "k";
  op.kind = op_kind::cas;
  op.value = "b";
  op.applied = true;
  op.call = 5;
  op.returned = 9;
  std::ostringstream out;
  write_operation(out, op);
  CHECK(
      out.str()
      == R"({"client":3,"key":"k","op":"cas","old":null,"value":"b","applied":true,"call":5,"return":9,"outcome":"ok"})"
         "\n");
}

TEST_CASE("history: blank lines and comments are skipped, and lines are counted with them") {
  CHECK(read("# a comment\n\n  \r\n" + good)->operations.front().line == 4);
  CHECK(read("")->operations.empty());
  CHECK(mentions(refusal("# a comment\n\n" + good + "{\n"), "line 4: not a JSON object"));
}

TEST_CASE("history: an integer value is taken as its decimal text, which is how a counter reads") {
  const auto all = read(R"({"client":1,"key":"k","op":"get","value":-7,"call":1,"return":2,"outcome":"ok"})");
  REQUIRE(all.has_value());
  CHECK(all->operations.front().value == "-7");
}

TEST_CASE("history: the return of an unknown operation is ignored") {
  const auto all =
      read(R"({"client":1,"key":"k","op":"put","value":"a","call":5,"return":"soon","outcome":"unknown"})");
  REQUIRE(all.has_value());
  CHECK_FALSE(all->operations.front().returned.has_value());
}

TEST_CASE("history: what is malformed is refused with its line and its field") {
  struct {
    const char* line;
    const char* reason;
  } const cases[] = {
      {"[1,2]", "not a JSON object: an array"},
      {"{\"client\":1", "not a JSON object"},
      {"\xff\xfe", "not a JSON object"},
      {R"({"key":"k","op":"get","value":"a","call":1,"return":2,"outcome":"ok"})", "`client` is missing"},
      {R"({"client":[1],"key":"k","op":"get","value":"a","call":1,"return":2,"outcome":"ok"})",
       "`client` is an array"},
      {R"({"client":1,"op":"get","value":"a","call":1,"return":2,"outcome":"ok"})", "`key` is missing"},
      {R"({"client":1,"key":7,"op":"get","value":"a","call":1,"return":2,"outcome":"ok"})", "`key` is 7"},
      {R"({"client":1,"key":"k","op":"read","value":"a","call":1,"return":2,"outcome":"ok"})", "`op` is \"read\""},
      {R"({"client":1,"key":"k","op":"get","value":"a","call":1,"return":2,"outcome":"info"})",
       "`outcome` is \"info\""},
      {R"({"client":1,"key":"k","op":"get","call":1,"return":2,"outcome":"ok"})", "`value` is missing"},
      {R"({"client":1,"key":"k","op":"get","value":1.5,"call":1,"return":2,"outcome":"ok"})", "`value` is 1.5"},
      {R"({"client":1,"key":"k","op":"put","value":null,"call":1,"return":2,"outcome":"ok"})", "`value` is null"},
      {R"({"client":1,"key":"k","op":"cas","value":"b","applied":true,"call":1,"return":2,"outcome":"ok"})",
       "`old` is missing"},
      {R"({"client":1,"key":"k","op":"cas","old":"a","value":"b","call":1,"return":2,"outcome":"ok"})",
       "`applied` is missing"},
      {R"({"client":1,"key":"k","op":"add","call":1,"return":2,"outcome":"ok"})", "`delta` is missing"},
      {R"({"client":1,"key":"k","op":"add","delta":9223372036854775808,"call":1,"return":2,"outcome":"ok"})",
       "`delta` is 9223372036854775808"},
      {R"({"client":1,"key":"k","op":"add","delta":1,"applied":false,"call":1,"return":2,"outcome":"ok"})",
       "without a `floor`"},
      {R"({"client":1,"key":"k","op":"get","value":"a","return":2,"outcome":"ok"})", "`call` is missing"},
      {R"({"client":1,"key":"k","op":"get","value":"a","call":1,"outcome":"ok"})", "`return` is missing"},
      {R"({"client":1,"key":"k","op":"get","value":"a","call":1,"return":null,"outcome":"ok"})", "`return` is null"},
      {R"({"client":1,"key":"k","op":"get","value":"a","call":1.5,"return":2,"outcome":"ok"})", "`call` is 1.5"},
      {R"({"client":1,"key":"k","op":"get","value":"a","call":3,"return":2,"outcome":"ok"})",
       "`return` 2 is before `call` 3"},
  };
  for (const auto& bad : cases) {
    const auto error = refusal("\n" + std::string{bad.line} + "\n");
    CHECK_MESSAGE(mentions(error, "line 2: "), error);
    CHECK_MESSAGE(mentions(error, bad.reason), error);
  }
}

TEST_CASE("history: a client has at most one call open") {
  const std::string overlapping =
      good + R"({"client":1,"key":"other","op":"get","value":null,"call":1,"return":5,"outcome":"ok"})";
  CHECK(mentions(refusal(overlapping), "line 2: client 1 calls at 1"));
  const std::string touching =
      good + R"({"client":1,"key":"other","op":"get","value":null,"call":2,"return":5,"outcome":"ok"})";
  CHECK(read(touching).has_value());
  const std::string in_order_of_return =
      R"({"client":1,"key":"k","op":"get","value":null,"call":7,"return":8,"outcome":"ok"})"
      "\n"
      + good;
  CHECK(read(in_order_of_return).has_value());
}

TEST_CASE("history: a client goes on under a new id after an unknown outcome") {
  const std::string unknown = R"({"client":1,"key":"k","op":"put","value":"b","call":3,"outcome":"unknown"})"
                              "\n";
  const std::string later = R"({"client":1,"key":"k","op":"get","value":"b","call":9,"return":10,"outcome":"ok"})";
  CHECK(mentions(refusal(good + unknown + later), "line 3: client 1 goes on although"));
  CHECK(read(good + unknown).has_value());
}

TEST_CASE("history: stamps may be absent where the reader says so, and then the lines are the order of a session") {
  const read_options options{.time = stamps::optional};
  const std::string put = R"({"client":1,"key":"k","op":"put","value":"a","outcome":"ok"})"
                          "\n";
  CHECK(read(put, options).has_value());
  CHECK(mentions(refusal(put), "`call` is missing"));
  const std::string unknown = R"({"client":1,"key":"k","op":"put","value":"b","outcome":"unknown"})"
                              "\n";
  CHECK(mentions(refusal(unknown + put, options), "line 2: client 1 goes on although"));
}

TEST_CASE("history: lines and histories that are too long are refused") {
  read_options options;
  options.line_bytes_max = 100;
  CHECK(read(good, options).has_value());
  CHECK(mentions(refusal(good + std::string(101, ' ') + "\n", options), "line 2: longer than 100 bytes"));
  options.operations_max = 1;
  CHECK(mentions(refusal(good + good, options), "line 2: more than 1 operations"));
}
