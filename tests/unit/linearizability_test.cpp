#include "protocol/check/check_command.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace {

using namespace troupe::check;

/// Writes histories of one key shortly; every operation has a client of its own.
class story {
public:
  story& get(const char* value, int call, int returned) {
    auto& op = answered(op_kind::get, call, returned);
    if (value != nullptr) op.value = value;
    return *this;
  }
  story& put(const char* value, int call, int returned) {
    answered(op_kind::put, call, returned).value = value;
    return *this;
  }
  story& append(const char* value, int call, int returned) {
    answered(op_kind::append, call, returned).value = value;
    return *this;
  }
  story& remove(bool existed, int call, int returned) {
    answered(op_kind::remove, call, returned).applied = existed;
    return *this;
  }
  story& cas(const char* old, const char* value, bool applied, int call, int returned) {
    auto& op = answered(op_kind::cas, call, returned);
    if (old != nullptr) op.old = old;
    op.value = value;
    op.applied = applied;
    return *this;
  }
  story& add(int delta, int result, int call, int returned) {
    auto& op = answered(op_kind::add, call, returned);
    op.delta = delta;
    op.floor = 0;
    op.applied = true;
    op.result = result;
    return *this;
  }
  story& add_refused(int delta, int call, int returned) {
    auto& op = answered(op_kind::add, call, returned);
    op.delta = delta;
    op.floor = 0;
    op.applied = false;
    return *this;
  }
  /// The last one never answered.
  story& unknown() {
    auto& op = told_.operations.back();
    op.outcome = op_outcome::unknown;
    op.returned.reset();
    op.applied.reset();
    op.result.reset();
    return *this;
  }
  story& failed() {
    told_.operations.back().outcome = op_outcome::fail;
    return *this;
  }

  const history& told() const { return told_; }

  linearizability_report report(const linearizability_options& options = {}) const {
    const auto result = check_linearizability(told_, options);
    REQUIRE_MESSAGE(result.has_value(), to_string(result.error()));
    return *result;
  }
  verdict judged() const { return report().result; }

  /// The text of the witness of a history that must be refuted.
  std::string refutation() const {
    const auto found = report();
    REQUIRE(found.result == verdict::no);
    REQUIRE(found.refutation.has_value());
    return render(*found.refutation);
  }

private:
  operation& answered(op_kind kind, int call, int returned) {
    operation op;
    op.client = std::to_string(told_.operations.size() + 1);
    op.key = "k";
    op.kind = kind;
    op.call = call;
    op.returned = returned;
    told_.operations.push_back(std::move(op));
    return told_.operations.back();
  }

  history told_;
};

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

struct command_result {
  int exit = 0;
  std::string out;
  std::string err;
  std::string witness;
};

command_result run_check(const std::string& text, check_options options = {}) {
  std::istringstream in{text};
  std::ostringstream out;
  std::ostringstream err;
  std::ostringstream witness;
  options.witness_out = &witness;
  const auto exit = check_linearizability(in, out, err, options);
  return {exit, out.str(), err.str(), witness.str()};
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream in{path};
  return {std::istreambuf_iterator<char>{in}, {}};
}

std::string lines_of(const history& all) {
  std::ostringstream out;
  for (const auto& op : all.operations)
    write_operation(out, op);
  return out.str();
}

} // namespace

TEST_CASE("linearizability: the histories recorded from etcd and a key-value store get their known verdicts") {
  const auto* source = std::getenv("TROUPE_SOURCE_DIR");
  const auto folder =
      std::filesystem::path{source == nullptr ? "." : source} / "../shared/data/histories/linearizability";
  std::ifstream verdicts{folder / "verdicts.tsv"};
  if (!verdicts) {
    MESSAGE("skipped: there is no " << folder.string());
    return;
  }
  std::string line;
  std::getline(verdicts, line);
  int checked = 0;
  while (std::getline(verdicts, line)) {
    const auto name = line.substr(0, line.find('\t'));
    CAPTURE(name);
    const bool linearizable = line.compare(name.size() + 1, 4, "True") == 0;
    const auto found = run_check(text_of(folder / (name + ".jsonl")));
    CHECK(found.exit == (linearizable ? 0 : 1));
    if (!linearizable) CHECK_MESSAGE(run_check(found.witness).exit == 1, found.witness);
    ++checked;
  }
  CHECK(checked == 54);
}

TEST_CASE("linearizability: an empty history is linearizable") { CHECK(story{}.judged() == verdict::yes); }

TEST_CASE("linearizability: operations with equal stamps are concurrent") {
  CHECK(story{}.put("a", 1, 5).get(nullptr, 5, 6).judged() == verdict::yes);
  CHECK(story{}.put("a", 1, 5).get(nullptr, 6, 7).judged() == verdict::no);
  CHECK(story{}.put("a", 5, 5).get(nullptr, 5, 5).get("a", 5, 5).judged() == verdict::yes);
}

TEST_CASE("linearizability: an unknown write may land late, early or never, but once") {
  CHECK(story{}.put("a", 1, 2).put("b", 3, 4).unknown().get("a", 5, 6).get("b", 7, 8).judged() == verdict::yes);
  CHECK(story{}.put("a", 1, 2).put("b", 3, 4).unknown().get("b", 5, 6).get("a", 7, 8).judged() == verdict::no);
  CHECK(story{}.put("a", 1, 2).put("b", 3, 4).unknown().get("a", 5, 6).judged() == verdict::yes);
  CHECK(story{}.get("b", 1, 2).put("b", 3, 4).unknown().judged() == verdict::no);
}

TEST_CASE("linearizability: an unknown conditional write may have been refused") {
  CHECK(story{}.put("a", 1, 2).cas("x", "b", true, 3, 4).unknown().get("a", 5, 6).judged() == verdict::yes);
  CHECK(story{}.put("a", 1, 2).cas("x", "b", true, 3, 4).unknown().get("b", 5, 6).judged() == verdict::no);
  CHECK(story{}.put("1", 1, 2).add(-2, 0, 3, 4).unknown().get("1", 5, 6).judged() == verdict::yes);
  CHECK(story{}.put("1", 1, 2).add(-2, 0, 3, 4).unknown().get("-1", 5, 6).judged() == verdict::no);
}

TEST_CASE("linearizability: delete tells whether the key existed, and compare with null means absent") {
  CHECK(story{}.remove(false, 1, 2).cas(nullptr, "a", true, 3, 4).remove(true, 5, 6).judged() == verdict::yes);
  CHECK(story{}.remove(true, 1, 2).judged() == verdict::no);
  CHECK(story{}.put("a", 1, 2).remove(false, 3, 4).judged() == verdict::no);
  CHECK(story{}.put("a", 1, 2).cas(nullptr, "b", true, 3, 4).judged() == verdict::no);
}

TEST_CASE("linearizability: a counter counts on the decimal text of the value, from 0 when absent") {
  CHECK(story{}.add(3, 3, 1, 2).get("3", 3, 4).put("10", 5, 6).add(-4, 6, 7, 8).judged() == verdict::yes);
  CHECK(story{}.add_refused(-1, 1, 2).get(nullptr, 3, 4).judged() == verdict::yes);
  CHECK(story{}.put("07", 1, 2).add(1, 8, 3, 4).judged() == verdict::yes);
  CHECK(story{}.put("2", 1, 2).add_refused(-2, 3, 4).judged() == verdict::no);
  CHECK(story{}.put("no number", 1, 2).add(1, 1, 3, 4).judged() == verdict::no);
  CHECK(story{}.put("9223372036854775807", 1, 2).add(1, 0, 3, 4).judged() == verdict::no);
}

TEST_CASE("linearizability: a stale read is refuted in words") {
  const auto text =
      story{}.put("a", 1, 2).put("b", 3, 4).put("z", 5, 6).put("c", 9, 10).get("b", 11, 12).refutation();
  CHECK_MESSAGE(mentions(text, "get by client 5, called at 11 and returned at 12, answered \"b\"."), text);
  CHECK_MESSAGE(mentions(text, "\"b\" was written by put \"b\" by client 2, which returned at 4."), text);
  CHECK_MESSAGE(mentions(text, " began after that, at "), text);
  CHECK_MESSAGE(!mentions(text, "\"a\""), text);
}

TEST_CASE("linearizability: a lost update is refuted in words") {
  const auto text = story{}.put("10", 1, 2).add(-1, 9, 3, 6).add(-1, 9, 4, 7).refutation();
  CHECK_MESSAGE(mentions(text, "returned 9 as well"), text);
}

TEST_CASE("linearizability: an oversold counter is refuted") {
  CHECK(story{}.put("1", 1, 2).add(-1, 0, 3, 6).add(-1, 0, 4, 7).judged() == verdict::no);
  CHECK(story{}.put("1", 1, 2).add(-1, 0, 3, 6).add_refused(-1, 4, 7).judged() == verdict::yes);
  const auto text = story{}.put("1", 1, 2).add(-1, 0, 3, 6).add(-1, -1, 4, 7).refutation();
  CHECK_MESSAGE(mentions(text, "below its own floor"), text);
}

TEST_CASE("linearizability: a read of a failed or rolled back write is refuted, and the witness shows that write") {
  const auto told = story{}.put("a", 1, 2).put("b", 3, 4).failed().get("b", 5, 6);
  const auto text = told.refutation();
  CHECK_MESSAGE(mentions(text, "put \"b\" by client 2 failed, and what failed must never be seen."), text);
  CHECK(run_check(run_check(lines_of(told.told())).witness).exit == 1);
  CHECK(story{}.put("a", 1, 2).put("b", 3, 9).failed().get("a", 5, 6).judged() == verdict::yes);
}

TEST_CASE("linearizability: a read of a value that nobody wrote, or that was written later, is refuted") {
  CHECK(mentions(story{}.put("a", 1, 2).get("b", 3, 4).refutation(), "Nothing that could have taken effect wrote"));
  CHECK(mentions(story{}.get("b", 1, 2).put("b", 3, 4).refutation(), "had not begun when this answer was given"));
}

TEST_CASE("linearizability: a key that is never at rest is refuted by a window that starts with any value") {
  // Eight clients in turn take one each from a stock, always overlapping; one answer is given twice.
  story told;
  told.put("1000", 0, 1);
  for (int i = 0; i < 400; ++i)
    told.add(-1, i == 390 ? 1000 - i : 999 - i, 2 + i, 2 + i + 8);
  const auto report = told.report();
  REQUIRE(report.result == verdict::no);
  REQUIRE(report.refutation.has_value());
  const auto& found = *report.refutation;
  CHECK(found.assumed_start);
  CHECK(found.operations.size() < 60);
  std::ostringstream file;
  write_witness(file, found);
  CHECK_MESSAGE(run_check(file.str()).exit == 1, file.str());
}

TEST_CASE("linearizability: a hot counter with unknown outcomes is decided, and refuted near the fault") {
  // Sixteen clients in turn, always overlapping; every 50th call gets no answer, and takes effect every other time.
  const auto drained = [](bool sold_twice) {
    story told;
    told.add(9000, 9000, 0, 0);
    int stock = 9000;
    for (int i = 1; i <= 3000; ++i) {
      const int taken = i % 3 + 1;
      const bool unknown = i % 50 == 0;
      if (!unknown || i % 100 == 0) stock -= taken;
      told.add(-taken, stock + (sold_twice && i == 2510 ? taken : 0), i, i + 16);
      if (unknown) told.unknown();
    }
    return told;
  };
  CHECK(drained(false).judged() == verdict::yes);
  const auto report = drained(true).report();
  REQUIRE(report.result == verdict::no);
  REQUIRE(report.refutation.has_value());
  CHECK(report.refutation->assumed_start);
  std::ostringstream file;
  write_witness(file, *report.refutation);
  CHECK(run_check(file.str()).exit == 1);
}

TEST_CASE("linearizability: keys are checked each for itself") {
  auto told = story{}.put("a", 1, 2).get("a", 3, 4).told();
  auto other = story{}.get("a", 5, 6).told().operations.front();
  other.client = "77";
  other.key = "other";
  told.operations.push_back(other);
  const auto report = check_linearizability(told);
  REQUIRE(report.has_value());
  CHECK(report->result == verdict::no);
  CHECK(report->keys == 2);
  CHECK(report->refutation->key == "other");
}

TEST_CASE("linearizability: a check that may not look on is undecided, but a refuted key still counts") {
  const auto hard = story{}.put("a", 1, 9).put("b", 1, 9).get("b", 1, 9).get("a", 10, 11);
  linearizability_options options;
  options.states_max = 1;
  const auto report = hard.report(options);
  CHECK(report.result == verdict::undecided);
  CHECK(report.undecided_keys == std::vector<std::string>{"k"});
  options.states_max = 1000;
  CHECK(hard.report(options).result == verdict::yes);

  auto both = hard.told();
  auto impossible = story{}.get("never", 5, 6).told().operations.front();
  impossible.client = "77";
  impossible.key = "other";
  both.operations.push_back(impossible);
  options.states_max = 1;
  CHECK(check_linearizability(both, options)->result == verdict::no);
}

TEST_CASE("linearizability: give_up ends the search") {
  story told;
  for (int i = 0; i < 1000; ++i)
    told.put(i % 2 == 0 ? "a" : "b", i * 10, i * 10 + 5).get(i % 2 == 0 ? "a" : "b", i * 10 + 6, i * 10 + 8);
  linearizability_options options;
  int questions = 0;
  options.give_up = [&] { return ++questions > 1; };
  CHECK(told.report(options).result == verdict::undecided);
  CHECK(questions == 2);
  options.give_up = nullptr;
  CHECK(told.report(options).result == verdict::yes);
}

TEST_CASE("check command: verdict, counts and exit codes") {
  const auto yes =
      run_check(lines_of(story{}.put("a", 1, 2).put("b", 3, 4).unknown().put("c", 5, 6).failed().told()));
  CHECK(yes.exit == 0);
  CHECK_MESSAGE(
      mentions(yes.out, "linearizable: yes\noperations checked: 2 (1 unknown; 1 failed ones left out)\nkeys: 1"),
      yes.out);
  const auto no = run_check(lines_of(story{}.put("a", 1, 2).get(nullptr, 3, 4).told()));
  CHECK(no.exit == 1);
  CHECK(mentions(no.out, "linearizable: no"));
  CHECK(mentions(no.out, "[--"));
  CHECK(run_check(no.witness).exit == 1);
  check_options options;
  options.search.states_max = 0;
  CHECK(run_check(lines_of(story{}.put("a", 1, 2).put("b", 1, 2).told()), options).exit == 3);
}

TEST_CASE("check command: bad input is refused with its line") {
  const auto malformed = run_check("\n{}\n");
  CHECK(malformed.exit == 2);
  CHECK_MESSAGE(mentions(malformed.err, "bad history: line 2: `client` is missing"), malformed.err);
  CHECK(malformed.out.empty());
  const auto lock = run_check(R"({"client":1,"key":"l","op":"lock","token":5,"call":1,"return":2,"outcome":"ok"})");
  CHECK(lock.exit == 2);
  CHECK_MESSAGE(mentions(lock.err, "line 1: \"lock\" is no operation of the register"), lock.err);
}

TEST_CASE("check command: the report as JSON carries the witness") {
  check_options options;
  options.json = true;
  const auto no = run_check(lines_of(story{}.put("a", 1, 2).get(nullptr, 3, 4).told()), options);
  CHECK(no.exit == 1);
  CHECK_MESSAGE(mentions(no.out, R"({"linearizable":"no","operations":2,"unknown":0,"failed":0,"keys":1,)"), no.out);
  CHECK_MESSAGE(mentions(no.out, R"("witness":{"key":"k","reasons":[)"), no.out);
}
