// The checkers of causality and of session guarantees, against hand-made histories, definitions and recorded
// verdicts.
#include "protocol/check/check_command.hpp"
#include "protocol/check/sessions.hpp"
#include "tests/support/seeds.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <sstream>

using namespace troupe;
using namespace troupe::check;

namespace {

/// "1 put x a; 2 get x a; 2 get y -": client, operation, key, value; "-" = nothing, "!" at the end = failed, "?" =
/// unknown.
history parse(const std::string& text) {
  history all;
  std::istringstream in{text};
  for (std::string one; std::getline(in, one, ';');) {
    std::istringstream words{one};
    std::string client, kind, key, value, outcome;
    words >> client >> kind >> key >> value >> outcome;
    operation op;
    op.client = client;
    op.key = key;
    op.kind = kind == "put" ? op_kind::put : op_kind::get;
    if (value != "-") op.value = value;
    if (outcome == "!") op.outcome = op_outcome::fail;
    if (outcome == "?") op.outcome = op_outcome::unknown;
    op.line = all.operations.size() + 1;
    all.operations.push_back(std::move(op));
  }
  return all;
}

using checker = std::function<tl::expected<causality_report, parse_error>(const history&)>;

const std::map<std::string, checker> checkers{
    {"cc", [](const history& h) { return check_causality(h, causal_model::cc); }},
    {"ccv", [](const history& h) { return check_causality(h, causal_model::ccv); }},
    {"cm", [](const history& h) { return check_causality(h, causal_model::cm); }},
    {"session", [](const history& h) { return check_causality(h, causal_model::ccv); }},
    {"ryw", [](const history& h) { return check_session_guarantee(h, session_guarantee::ryw); }},
    {"mr", [](const history& h) { return check_session_guarantee(h, session_guarantee::mr); }},
    {"mw", [](const history& h) { return check_session_guarantee(h, session_guarantee::mw); }},
    {"wfr", [](const history& h) { return check_session_guarantee(h, session_guarantee::wfr); }},
};

/// "" = yes, else the pattern; whatever is refuted is refuted by a witness that holds.
std::string verdict_of(const std::string& name, const history& all) {
  const auto report = checkers.at(name)(all);
  REQUIRE(report);
  if (report->result == verdict::yes) return "";
  REQUIRE(report->refutation);
  CHECK_MESSAGE(flaw_of(*report->refutation, all) == "", name << ": " << render(*report->refutation, all));
  return std::string{name_of(report->refutation->pattern)};
}

std::string verdict_of(const std::string& name, const std::string& text) { return verdict_of(name, parse(text)); }

// -- the definitions, tried out
// ----------------------------------------------------------------------------------------

/// Decides small histories by trying every relation that the definitions speak of.
class definitions {
public:
  explicit definitions(const history& all) : all_{all}, n_{all.operations.size()} {
    before_.assign(n_, std::vector<bool>(n_, false));
    for (std::size_t i = 0; i < n_; ++i)
      for (std::size_t j = i + 1; j < n_; ++j)
        if (op(i).client == op(j).client) before_[i][j] = true;
    session_ = before_;
    for (std::size_t r = 0; r < n_; ++r) {
      if (op(r).kind != op_kind::get || !op(r).value) continue;
      bool found = false;
      for (std::size_t w = 0; w < n_; ++w)
        if (writes(w) && op(w).key == op(r).key && op(w).value == op(r).value) {
          before_[w][r] = true;
          found = true;
        }
      explained_ = explained_ && found;
    }
    for (std::size_t k = 0; k < n_; ++k)
      for (std::size_t i = 0; i < n_; ++i)
        for (std::size_t j = 0; j < n_; ++j)
          if (before_[i][k] && before_[k][j]) before_[i][j] = true;
    for (std::size_t i = 0; i < n_; ++i)
      explained_ = explained_ && !before_[i][i];
  }

  /// For each operation some order of its causal past, as far as it explains the operation alone.
  bool cc() const {
    if (!explained_) return false;
    for (std::size_t o = 0; o < n_; ++o)
      if (!some_order(past_of(o), [&](const auto& order) { return explains(order, o); })) return false;
    return true;
  }
  /// One order of everything, in which each operation's past explains it.
  bool ccv() const {
    if (!explained_) return false;
    std::vector<std::size_t> everything(n_);
    std::iota(everything.begin(), everything.end(), 0);
    return some_order(everything, [&](const std::vector<std::size_t>& order) {
      for (std::size_t o = 0; o < n_; ++o) {
        std::vector<std::size_t> seen;
        for (const auto p : order)
          if (p == o || before_[p][o]) seen.push_back(p);
        if (!last_write_is_read(seen, o)) return false;
      }
      return true;
    });
  }
  /// For each operation one order of its past that explains all that its session has read up to it.
  bool cm() const {
    if (!explained_) return false;
    for (std::size_t o = 0; o < n_; ++o) {
      const auto fits = [&](const std::vector<std::size_t>& order) {
        for (std::size_t r = 0; r < n_; ++r)
          if ((r == o || session_[r][o]) && !explains(order, r)) return false;
        return true;
      };
      if (!some_order(past_of(o), fits)) return false;
    }
    return true;
  }
  /// One order of the writes, and for each read a set of writes that it sees.
  bool guarantee(session_guarantee g) const {
    if (!explained_) return false;
    std::vector<std::size_t> ws, rs;
    for (std::size_t i = 0; i < n_; ++i)
      (writes(i) ? ws : rs).push_back(i);
    do {
      std::vector<std::size_t> place(n_, 0);
      for (std::size_t i = 0; i < ws.size(); ++i)
        place[ws[i]] = i;
      if (ordered(g, place, ws, {}) && visible(g, place, ws, rs, 0, std::vector<unsigned>(n_, 0))) return true;
    } while (std::next_permutation(ws.begin(), ws.end()));
    return false;
  }

private:
  const operation& op(std::size_t i) const { return all_.operations[i]; }
  bool writes(std::size_t i) const { return op(i).kind == op_kind::put; }

  std::vector<std::size_t> past_of(std::size_t o) const {
    std::vector<std::size_t> past;
    for (std::size_t i = 0; i < n_; ++i)
      if (i == o || before_[i][o]) past.push_back(i);
    return past;
  }
  /// Whether some order of these that respects what comes before what has the property.
  bool some_order(std::vector<std::size_t> of,
                  const std::function<bool(const std::vector<std::size_t>&)>& fits) const {
    std::sort(of.begin(), of.end());
    do {
      bool respected = true;
      for (std::size_t i = 0; i < of.size() && respected; ++i)
        for (std::size_t j = i + 1; j < of.size() && respected; ++j)
          respected = !before_[of[j]][of[i]];
      if (respected && fits(of)) return true;
    } while (std::next_permutation(of.begin(), of.end()));
    return false;
  }
  bool explains(const std::vector<std::size_t>& order, std::size_t r) const {
    std::vector<std::size_t> seen;
    for (const auto p : order) {
      if (p == r) break;
      seen.push_back(p);
    }
    return last_write_is_read(seen, r);
  }
  bool last_write_is_read(const std::vector<std::size_t>& seen, std::size_t r) const {
    if (writes(r)) return true;
    std::optional<std::string> value;
    for (const auto p : seen)
      if (p != r && writes(p) && op(p).key == op(r).key) value = op(p).value;
    return value == op(r).value;
  }

  /// What a guarantee asks of the order of the writes; `sees`: by read, when they are chosen.
  bool ordered(session_guarantee g, const std::vector<std::size_t>& place, const std::vector<std::size_t>& ws,
               const std::vector<unsigned>& sees) const {
    for (const auto w : ws)
      for (std::size_t i = 0; i < n_; ++i) {
        if (!session_[i][w]) continue;
        if (g == session_guarantee::mw && writes(i) && place[i] > place[w]) return false;
        if (g == session_guarantee::wfr && !writes(i) && !sees.empty())
          for (std::size_t v = 0; v < n_; ++v)
            if ((sees[i] >> v & 1U) != 0 && place[v] > place[w]) return false;
      }
    return true;
  }
  bool visible(session_guarantee g, const std::vector<std::size_t>& place, const std::vector<std::size_t>& ws,
               const std::vector<std::size_t>& rs, std::size_t next, std::vector<unsigned> sees) const {
    if (next == rs.size()) return ordered(g, place, ws, sees);
    const auto r = rs[next];
    for (unsigned set = 0; set < 1U << n_; ++set) {
      std::optional<std::string> value;
      std::size_t last = 0;
      bool sound = true;
      for (std::size_t w = 0; w < n_ && sound; ++w) {
        if ((set >> w & 1U) == 0) {
          if (g == session_guarantee::ryw && writes(w) && session_[w][r]) sound = false;
          continue;
        }
        if (!writes(w) || session_[r][w]) sound = false;
        if (sound && op(w).key == op(r).key && (!value || place[w] > last)) {
          value = op(w).value;
          last = place[w];
        }
      }
      if (!sound || value != op(r).value) continue;
      if (g == session_guarantee::mr)
        for (const auto earlier : rs)
          if (session_[earlier][r] && (sees[earlier] & ~set) != 0) sound = false;
      if (!sound) continue;
      sees[r] = set;
      if (visible(g, place, ws, rs, next + 1, sees)) return true;
    }
    return false;
  }

  const history& all_;
  const std::size_t n_;
  std::vector<std::vector<bool>> before_, session_;
  bool explained_ = true;
};

/// Few operations of few clients on few keys, reads of anything that is ever written, or of nothing.
history random_history(std::mt19937& random, std::size_t operations) {
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const auto clients = 1 + below(3), keys = 1 + below(2);
  std::string text;
  std::vector<std::pair<std::string, std::string>> written;
  std::vector<std::array<std::string, 3>> rows;
  for (std::size_t i = 0; i < operations; ++i) {
    const auto key = std::string(1, static_cast<char>('x' + below(keys)));
    const auto write = below(2) == 0;
    if (write) written.emplace_back(key, std::to_string(i));
    rows.push_back({std::to_string(below(clients)), key, write ? std::to_string(i) : ""});
  }
  for (const auto& [client, key, value] : rows) {
    std::vector<std::string> choices{"-"};
    for (const auto& [of, v] : written)
      if (of == key) choices.push_back(v);
    text += client
            + (value.empty() ? " get " + key + " " + choices[below(choices.size())] : " put " + key + " " + value)
            + ";";
  }
  return parse(text);
}

/// Every client has a replica of its own that applies what it hears in causal order: causally convergent when the
/// higher of two numbers wins, else last come, last served, which is causal memory.
history replicas(std::mt19937& random, std::size_t operations, std::size_t clients, bool convergent) {
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  struct update {
    std::size_t key, number;
    std::vector<std::size_t> after; ///< by client: how many of its updates come before
  };
  std::vector<std::vector<update>> made(clients);
  std::vector<std::vector<std::size_t>> have(clients, std::vector<std::size_t>(clients, 0));
  const std::size_t keys = 40;
  std::vector<std::vector<std::size_t>> state(clients, std::vector<std::size_t>(keys, 0));
  const auto apply = [&](std::size_t at, const update& u) {
    auto& there = state[at][u.key];
    there = convergent ? std::max(there, u.number) : u.number;
  };
  history all;
  std::size_t clock = 0;
  for (std::size_t i = 0; i < operations; ++i) {
    const auto c = below(clients);
    for (int tries = 0; tries < 3; ++tries) { // hears something
      const auto from = below(clients);
      if (have[c][from] == made[from].size()) continue;
      const auto& u = made[from][have[c][from]];
      if (!std::equal(u.after.begin(), u.after.end(), have[c].begin(),
                      [](std::size_t needed, std::size_t there) { return needed <= there; }))
        continue;
      apply(c, u);
      ++have[c][from];
    }
    operation op;
    op.client = std::to_string(c);
    const auto key = below(keys);
    op.key = "k" + std::to_string(key);
    op.line = i + 1;
    if (below(2) == 0) {
      const update u{key, ++clock, have[c]};
      made[c].push_back(u);
      ++have[c][c];
      apply(c, u);
      op.kind = op_kind::put;
      op.value = std::to_string(u.number);
    } else {
      op.kind = op_kind::get;
      if (state[c][key] != 0) op.value = std::to_string(state[c][key]);
    }
    all.operations.push_back(std::move(op));
  }
  return all;
}

} // namespace

TEST_CASE("causality: each bad pattern of the paper is found, and its repaired twin is none") {
  CHECK(verdict_of("cc", "1 get x a") == "ThinAirRead");
  CHECK(verdict_of("cc", "2 put x a; 1 get x a") == "");
  CHECK(verdict_of("cc", "2 put x a !; 1 get x a") == "AbortedRead");
  CHECK(verdict_of("cc", "2 put x a ?; 1 get x a") == "");
  CHECK(verdict_of("cc", "1 get x a; 1 put y b; 2 get y b; 2 put x a") == "CyclicCO");
  CHECK(verdict_of("cc", "1 get x a; 1 put y b; 2 put x a; 2 get y b") == "");
  CHECK(verdict_of("cc", "1 put x a; 1 put y b; 2 get y b; 2 get x -") == "WriteCOInitRead");
  CHECK(verdict_of("cc", "1 put x a; 1 put y b; 2 get x -; 2 get y b") == "");
  CHECK(verdict_of("cc", "1 put x a; 2 get x a; 2 put x b; 3 get x b; 3 get x a") == "WriteCORead");
  CHECK(verdict_of("cc", "1 put x a; 2 get x a; 2 put x b; 3 get x a; 3 get x b") == "");
  CHECK(verdict_of("ccv", "1 put x a; 1 get x b; 2 put x b; 2 get x a") == "CyclicCF");
  CHECK(verdict_of("ccv", "1 put x a; 1 get x b; 2 put x b; 2 get x b") == "");
  CHECK(verdict_of("cm", "1 put z a; 1 put x a; 1 put y a; 2 put x b; 2 get z -; 2 get y a; 2 get x b")
        == "WriteHBInitRead");
  CHECK(verdict_of("cm", "1 put z a; 1 put x a; 1 put y a; 2 put x b; 2 get y a; 2 get x b") == "");
  CHECK(verdict_of("cm", "1 put x a; 2 put x b; 2 get x a; 2 get x b") == "CyclicHB");
  CHECK(verdict_of("cm", "1 put x a; 2 put x b; 2 get x b; 2 get x a") == "");
}

TEST_CASE("sessions: T1, T2: each guarantee by itself is refuted by what breaks it, and by nothing else") {
  CHECK(verdict_of("ryw", "1 put x a; 1 get x -") == "OwnWriteNotFound");
  CHECK(verdict_of("mr", "1 put x a; 1 get x -") == "");
  CHECK(verdict_of("mr", "1 put x a; 2 get x a; 2 get x -") == "WentBackToNothing");
  CHECK(verdict_of("ryw", "1 put x a; 2 get x a; 2 get x -") == "");
  CHECK(verdict_of("mr", "1 put x a; 2 put x b; 3 get x a; 3 get x b; 4 get x b; 4 get x a") == "CyclicArbitration");
  CHECK(verdict_of("mr", "1 put x a; 2 put x b; 3 get x a; 3 get x b; 4 get x a; 4 get x b") == "");
  CHECK(verdict_of("ryw", "1 put x a; 2 put x b; 1 get x b; 2 get x a") == "CyclicArbitration");
  CHECK(verdict_of("ryw", "1 put x a; 2 put x b; 1 get x b; 2 get x b") == "");
  CHECK(verdict_of("ryw", "1 get x a; 1 put x a") == "CyclicCO");
  CHECK(verdict_of("wfr", "1 get x b; 1 put x a; 2 get x a; 2 put x b") == "CyclicCO");
  for (const auto* name : {"mw", "wfr"})
    CHECK(verdict_of(name, "1 put x a; 1 put x b; 2 get x b; 2 get x a") == "");
  CHECK(verdict_of("session", "1 put x a; 1 put x b; 2 get x b; 2 get x a") == "WriteCORead");
}

TEST_CASE("causality: an unknown write counts if it was read: it keeps its past, and may be done late") {
  CHECK(verdict_of("cc", "1 put y a; 1 put x b ?; 2 get x b; 2 get y -") == "WriteCOInitRead");
  CHECK(verdict_of("cc", "1 put x a ?; 1 put x b; 1 get x a") == "");
  CHECK(verdict_of("cc", "1 put x a ?; 1 get x -") == "");
}

TEST_CASE("causality: what the checkers cannot judge is named with its line") {
  auto error = [](const std::string& text, const std::string& kind = "") {
    auto all = parse(text);
    if (!kind.empty()) all.operations.back().kind = op_kind::append;
    const auto report = check_causality(all, causal_model::cc);
    return report ? std::string{"none"} : to_string(report.error());
  };
  CHECK(error("1 put x a; 2 put x a").starts_with("line 2: writes to x what line 1 has written"));
  CHECK(error("1 put x a; 2 put y a") == "none");
  CHECK(error("1 put x a !; 2 put x a") == "none");
  CHECK(error("1 put x a; 2 put x b", "append").starts_with("line 2: append"));
}

TEST_CASE("causality: a cas reads what it compared, and writes") {
  history all = parse("1 put x a; 2 put x b; 3 get x b; 3 get x a");
  auto& swap = all.operations[1];
  swap.kind = op_kind::cas;
  swap.applied = true;
  swap.old = "a";
  CHECK(verdict_of("cc", all) == "WriteCORead");
  swap.old.reset();
  CHECK(verdict_of("cc", all) == "");
  swap.applied = false;
  CHECK(verdict_of("cc", all) == "ThinAirRead");
}

TEST_CASE("causality: a witness that does not hold is told from one that does") {
  const auto all = parse("1 put x a; 1 put y b; 2 get y b; 2 get x -");
  const auto report = check_causality(all, causal_model::cc);
  REQUIRE(report->refutation);
  auto found = *report->refutation;
  CHECK(flaw_of(found, all) == "");
  CHECK(found.chain.size() == 3);
  auto twisted = found;
  std::swap(twisted.steps[0].from, twisted.steps[0].to);
  CHECK(flaw_of(twisted, all) != "");
  twisted = found;
  twisted.chain.pop_back();
  CHECK(flaw_of(twisted, all) != "");
  twisted = found;
  twisted.read = 2;
  CHECK(flaw_of(twisted, all) != "");
  twisted = found;
  twisted.pattern = causal_pattern::cyclic_co;
  CHECK(flaw_of(twisted, all) != "");
  CHECK(flaw_of(found, parse("1 put x a; 3 put y b; 2 get y b; 2 get x -")) != "");
}

TEST_CASE("causality: the polynomial checkers agree with the definitions on thousands of small histories") {
  std::map<std::string, std::array<std::size_t, 2>> verdicts;
  const auto seeds = test::seeds(3'000);
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    std::mt19937 random{static_cast<std::mt19937::result_type>(seed)};
    const auto all = random_history(random, 2 + seed % 5);
    const definitions truth{all};
    const std::map<std::string, bool> expected{{"cc", truth.cc()},
                                               {"ccv", truth.ccv()},
                                               {"cm", truth.cm()},
                                               {"ryw", truth.guarantee(session_guarantee::ryw)},
                                               {"mr", truth.guarantee(session_guarantee::mr)},
                                               {"mw", truth.guarantee(session_guarantee::mw)},
                                               {"wfr", truth.guarantee(session_guarantee::wfr)}};
    CAPTURE(seed);
    for (const auto& [name, holds] : expected) {
      CAPTURE(name);
      REQUIRE((verdict_of(name, all) == "") == holds);
      ++verdicts[name][holds ? 1 : 0];
    }
    if (expected.at("ccv") || expected.at("cm")) REQUIRE(expected.at("cc"));
    if (expected.at("ccv"))
      for (const auto* weaker : {"ryw", "mr", "mw", "wfr"})
        REQUIRE(expected.at(weaker));
  }
  for (const auto& [name, counts] : verdicts) {
    CAPTURE(name);
    CHECK(counts[0] > seeds / 30); // both verdicts are common enough to be compared
    CHECK(counts[1] > seeds / 30);
  }
}

TEST_CASE("causality: twenty thousand operations are judged, and one planted violation among them is found") {
  using clock = std::chrono::steady_clock;
  std::mt19937 random{7};
  for (const bool convergent : {true, false})
    for (const std::size_t clients : {8U, 100U}) {
      auto all = replicas(random, 20'000, clients, convergent);
      for (const std::string name : {"cc", "ccv", "cm", "ryw", "mr", "mw", "wfr"}) {
        if (!convergent && (name == "ccv" || name == "mr" || name == "ryw")) continue;
        if (convergent && name == "cm") continue; // neither implies the other
        const auto begun = clock::now();
        CHECK(verdict_of(name, all) == "");
        MESSAGE(name << ", " << clients << " sessions: "
                     << std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - begun).count() << " ms");
      }
      // Somebody has seen the first half of the history, and then finds nothing where he had found something.
      auto& ops = all.operations;
      const auto seen = std::find_if(ops.begin() + 10'000, ops.end(),
                                     [](const operation& op) { return op.kind == op_kind::get && op.value; });
      auto again = *seen;
      again.value.reset();
      again.line = 0;
      ops.push_back(again);
      for (const auto* name : {"cc", "ccv", "cm", "mr"})
        if (convergent || std::string{name} != "mr") CHECK(verdict_of(name, all) != "");
    }
}

TEST_CASE("causality: the verdicts of the recorded histories, as far as they are here") {
  namespace fs = std::filesystem;
  const char* source = std::getenv("TROUPE_SOURCE_DIR");
  const auto folder = fs::path{source == nullptr ? "." : source} / "../shared/data/histories/causality";
  std::ifstream table{folder / "verdicts.tsv"};
  if (!table) {
    MESSAGE("no recorded histories here");
    return;
  }
  std::string line, word;
  std::getline(table, line);
  std::vector<std::string> columns;
  for (std::istringstream words{line}; words >> word;)
    columns.push_back(word);
  std::size_t judged = 0;
  while (std::getline(table, line)) {
    std::istringstream words{line};
    std::string name, count;
    words >> name >> count;
    std::ifstream file{folder / (name + ".jsonl")};
    const auto all = read_history(file, {.time = stamps::optional, .may_go_on = true});
    CAPTURE(name);
    REQUIRE(all);
    for (std::size_t c = 2; c < columns.size() && words >> word; ++c) {
      const auto property = columns[c].substr(std::string{"expected_"}.size());
      if (word == "-" || !checkers.contains(property)) continue;
      CAPTURE(property);
      CHECK((verdict_of(property, *all) == "") == (word == "ok"));
      ++judged;
    }
  }
  CHECK(judged > 100);
}

TEST_CASE("convergence: E1: replicas that differ, lost and invented values are found, by a command that says so") {
  auto judged = [](const std::string& lines) {
    std::istringstream in{lines};
    std::ostringstream out, err;
    const auto code = check_weaker(weak_property::convergence, in, out, err, {});
    const auto text = code == 2 ? err.str() : out.str();
    return std::to_string(code) + " " + text.substr(0, text.rfind('\n'));
  };
  const std::string put = R"({"client":1,"key":"k","op":"put","value":"a","outcome":"ok"})"
                          "\n";
  auto final_read = [](const std::string& value) {
    return R"({"client":2,"key":"k","op":"get","value":)" + value + R"(,"outcome":"ok","final":true})" + "\n";
  };
  CHECK(judged(put + final_read("\"a\"") + final_read("\"a\"")).starts_with("0 convergence: yes"));
  CHECK(judged(put + final_read("\"a\"") + final_read("null")).find("where line 2 says a") != std::string::npos);
  CHECK(judged(put + final_read("null")).find("although line 1 has put something there") != std::string::npos);
  CHECK(judged(put + final_read("\"z\"")).find("which nobody has put there") != std::string::npos);
  CHECK(judged(put).starts_with("2 bad history: no read is marked final"));
  auto incr = [](int delta, const std::string& outcome) {
    return R"({"client":)" + std::to_string(delta) + R"(,"key":"n","op":"incr","delta":)" + std::to_string(delta)
           + R"(,"outcome":")" + outcome + "\"}\n";
  };
  auto count = [](int value) {
    return R"({"client":9,"key":"n","op":"count","value":)" + std::to_string(value)
           + R"(,"outcome":"ok","final":true})" + "\n";
  };
  CHECK(judged(incr(2, "ok") + incr(5, "unknown") + count(7)).starts_with("0"));
  CHECK(judged(incr(2, "ok") + incr(5, "unknown") + count(2)).starts_with("0"));
  CHECK(judged(incr(2, "ok") + incr(5, "unknown") + count(5)).find("surely added is 2") != std::string::npos);
  const std::string add = R"({"client":1,"key":"s","op":"set_add","value":"e","outcome":"ok"})"
                          "\n";
  auto members = [](const std::string& list) {
    return R"({"client":2,"key":"s","op":"members","value":)" + list + R"(,"outcome":"ok","final":true})" + "\n";
  };
  CHECK(judged(add + members(R"(["e"])")).starts_with("0"));
  CHECK(judged(add + members("[]")).find("has no e in s") != std::string::npos);
  CHECK(judged(add + members(R"(["e","f"])")).find("which nobody has added") != std::string::npos);
}
