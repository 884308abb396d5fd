/// The search against a twin that tries every order: thousands of small histories of one key.
#include "protocol/check/linearizability.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace troupe::check;
using state = std::optional<std::string>;

/// The register, written from the format's table and nothing else.
/// @returns the state afterwards; nothing if the answer is impossible in `before`.
std::optional<state> naive_apply(const operation& op, const state& before) {
  const bool told = op.outcome == op_outcome::ok;
  switch (op.kind) {
  case op_kind::get:
    if (told && op.value != before) return std::nullopt;
    return before;
  case op_kind::put:
    return state{*op.value};
  case op_kind::append:
    return state{before.value_or("") + *op.value};
  case op_kind::remove:
    if (told && op.applied && *op.applied != before.has_value()) return std::nullopt;
    return state{};
  case op_kind::cas: {
    const bool swaps = before == op.old;
    if (told && *op.applied != swaps) return std::nullopt;
    return swaps ? state{*op.value} : before;
  }
  case op_kind::add: {
    std::int64_t number = 0;
    if (before) {
      const auto [stop, error] = std::from_chars(before->data(), before->data() + before->size(), number);
      if (error != std::errc{} || stop != before->data() + before->size())
        return told ? std::nullopt : std::optional<state>{before};
    }
    number += *op.delta;
    const bool refused = op.floor && number < *op.floor;
    if (told && op.applied.value_or(true) == refused) return std::nullopt;
    if (refused) return before;
    if (told && op.result && *op.result != number) return std::nullopt;
    return state{std::to_string(number)};
  }
  default:
    return std::nullopt;
  }
}

/// Tries every order and every choice of unknown operations that took effect.
bool naive_linearizable(std::vector<operation> left, const state& now) {
  if (std::none_of(left.begin(), left.end(), [](const operation& op) { return op.outcome == op_outcome::ok; }))
    return true;
  for (std::size_t i = 0; i < left.size(); ++i) {
    const auto chosen = left[i];
    if (chosen.outcome == op_outcome::fail) continue;
    const bool overdue = std::any_of(left.begin(), left.end(), [&](const operation& other) {
      return other.outcome == op_outcome::ok && *other.returned < *chosen.call;
    });
    if (overdue) continue;
    const auto after = naive_apply(chosen, now);
    if (!after) continue;
    auto rest = left;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
    if (naive_linearizable(std::move(rest), *after)) return true;
  }
  return false;
}

struct mix {
  std::vector<op_kind> kinds;
  int values = 3;
  int operations_max = 7;
  bool honest = false; ///< every answer is true, so the history is linearizable
};

/// Runs operations against a real register at a moment inside their interval, then lies about some answers.
class generator {
public:
  generator(std::uint64_t seed, mix of) : random_(seed), mix_(std::move(of)) {}

  history make() {
    history made;
    const auto count = pick(2, mix_.operations_max);
    std::vector<std::pair<int, std::size_t>> moments;
    for (int i = 0; i < count; ++i) {
      operation op;
      op.client = std::to_string(i);
      op.key = "k";
      op.kind = mix_.kinds[static_cast<std::size_t>(pick(0, static_cast<int>(mix_.kinds.size()) - 1))];
      op.call = pick(0, 12);
      op.returned = *op.call + pick(0, 8);
      arguments(op);
      const auto moment =
          !mix_.honest && chance(15) ? pick(0, 30) : pick(static_cast<int>(*op.call), static_cast<int>(*op.returned));
      moments.emplace_back(moment, made.operations.size());
      made.operations.push_back(std::move(op));
    }
    std::sort(moments.begin(), moments.end());
    state now;
    for (const auto& entry : moments)
      run(made.operations[entry.second], now);
    if (!mix_.honest && chance(70))
      for (auto& op : made.operations)
        if (chance(20)) lie(op);
    return made;
  }

private:
  int pick(int least, int most) { return std::uniform_int_distribution<int>{least, most}(random_); }
  bool chance(int percent) { return pick(1, 100) <= percent; }
  std::string value() { return std::to_string(pick(0, mix_.values - 1)); }
  state maybe_value() { return chance(30) ? state{} : state{value()}; }

  void arguments(operation& op) {
    if (op.kind == op_kind::put || op.kind == op_kind::append || op.kind == op_kind::cas) op.value = value();
    if (op.kind == op_kind::cas) op.old = maybe_value();
    if (op.kind == op_kind::add) {
      op.delta = pick(-2, 2);
      if (chance(60)) op.floor = pick(-1, 1);
    }
  }

  void run(operation& op, state& now) {
    if (chance(10)) {
      op.outcome = op_outcome::fail;
      return;
    }
    const bool unknown = chance(25);
    if (unknown) {
      op.outcome = op_outcome::unknown;
      op.returned.reset();
      if (chance(40)) return;
    }
    if (op.kind == op_kind::get) op.value = unknown ? state{} : now;
    if (op.kind == op_kind::cas && !unknown) op.applied = now == op.old;
    if (op.kind == op_kind::remove && !unknown && chance(70)) op.applied = now.has_value();
    const auto before = now;
    auto after = naive_apply(op, now);
    if (op.kind == op_kind::add && !unknown) {
      if (!after) { // told `applied`, which it was not, or no counter: find out which
        op.applied = false;
        after = op.floor ? naive_apply(op, now) : std::nullopt;
        if (!after) {
          op.applied.reset();
          op.outcome = op_outcome::fail;
          return;
        }
      } else if (chance(80)) {
        op.result = std::stoll(**after);
      }
    }
    now = after.value_or(before);
  }

  void lie(operation& op) {
    if (op.outcome != op_outcome::ok) return;
    if (op.kind == op_kind::get)
      op.value = maybe_value();
    else if (op.kind == op_kind::add && op.result)
      *op.result += pick(-1, 1);
    else if (op.applied && (op.kind != op_kind::add || op.floor))
      op.applied = !*op.applied;
    if (op.kind == op_kind::add && op.applied == false) op.result.reset();
  }

  std::mt19937_64 random_;
  mix mix_;
};

std::string shown(const history& all) {
  std::ostringstream out;
  for (const auto& op : all.operations)
    write_operation(out, op);
  return out.str();
}

void compare(const mix& of, std::uint64_t first_seed, int rounds) {
  int linearizable = 0;
  int not_linearizable = 0;
  for (int i = 0; i < rounds; ++i) {
    const auto seed = first_seed + static_cast<std::uint64_t>(i);
    CAPTURE(seed);
    const auto made = generator{seed, of}.make();
    const bool expected = naive_linearizable(made.operations, std::nullopt);
    (expected ? linearizable : not_linearizable) += 1;
    const auto report = check_linearizability(made);
    REQUIRE(report.has_value());
    const bool agrees = report->result == (expected ? verdict::yes : verdict::no);
    REQUIRE_MESSAGE(agrees, "the twin says " << std::string{expected ? "yes" : "no"} << " to\n" << shown(made));
    if (expected) continue;
    REQUIRE(report->refutation.has_value());
    std::stringstream file;
    write_witness(file, *report->refutation);
    const auto replayed = read_history(file);
    REQUIRE_MESSAGE(replayed.has_value(), to_string(replayed.error()) << "\n" << file.str());
    REQUIRE_MESSAGE(!naive_linearizable(replayed->operations, std::nullopt), "the witness is linearizable:\n"
                                                                                 << file.str() << "of\n"
                                                                                 << shown(made));
  }
  CHECK(linearizable > rounds / 8);
  CHECK(not_linearizable > rounds / 8);
}

} // namespace

TEST_CASE("linearizability: small histories of all six operations agree with a search of every order") {
  compare({.kinds = {op_kind::get, op_kind::put, op_kind::cas, op_kind::remove, op_kind::append, op_kind::add}}, 1,
          6000);
}

TEST_CASE("linearizability: small register histories agree with a search of every order") {
  compare({.kinds = {op_kind::get, op_kind::put, op_kind::cas, op_kind::remove}}, 100'000, 6000);
}

TEST_CASE("linearizability: small histories with values that nobody reads agree with a search of every order") {
  compare({.kinds = {op_kind::get, op_kind::put, op_kind::put, op_kind::cas}, .values = 9}, 200'000, 6000);
}

TEST_CASE("linearizability: small histories of a counter with a floor agree with a search of every order") {
  compare({.kinds = {op_kind::get, op_kind::add, op_kind::add, op_kind::add}}, 300'000, 6000);
}

TEST_CASE("linearizability: small histories of appends agree with a search of every order") {
  compare({.kinds = {op_kind::get, op_kind::append}}, 400'000, 4000);
}

TEST_CASE("linearizability: honest histories of more operations are accepted, and no window of theirs is refuted") {
  const std::vector<std::vector<op_kind>> kinds{
      {op_kind::get, op_kind::put, op_kind::cas, op_kind::remove, op_kind::add},
      {op_kind::get, op_kind::put, op_kind::cas, op_kind::remove},
      {op_kind::get, op_kind::add, op_kind::add},
      {op_kind::get, op_kind::append, op_kind::put},
  };
  for (std::uint64_t seed = 500'000; seed < 504'000; ++seed) {
    CAPTURE(seed);
    const auto made =
        generator{seed, {.kinds = kinds[seed % kinds.size()], .operations_max = 24, .honest = true}}.make();
    const auto report = check_linearizability(made);
    REQUIRE(report.has_value());
    REQUIRE_MESSAGE(report->result == verdict::yes, shown(made));
    std::vector<const operation*> all;
    for (const auto& op : made.operations)
      all.push_back(&op);
    for (std::int64_t moment = 0; moment <= 20; moment += 4) {
      search_budget budget;
      budget.states_left = 1'000'000;
      budget.memory_bytes_max = std::size_t{1} << 30;
      const auto window = refute_window(all, moment, budget);
      REQUIRE_MESSAGE(!window.has_value(), render(*window) << "of\n" << shown(made));
    }
  }
}

TEST_CASE("linearizability: a window that was refuted and made small has no order from any start") {
  std::vector<state> starts{std::nullopt, "no number"};
  for (int i = -9; i <= 9; ++i)
    starts.emplace_back(std::to_string(i));
  int windows = 0;
  for (std::uint64_t seed = 700'000; seed < 704'000; ++seed) {
    CAPTURE(seed);
    const auto kinds = seed % 2 == 0
                           ? std::vector{op_kind::get, op_kind::put, op_kind::cas, op_kind::remove, op_kind::add}
                           : std::vector{op_kind::get, op_kind::add, op_kind::add};
    const auto made = generator{seed, {.kinds = kinds, .operations_max = 14}}.make();
    std::vector<const operation*> all;
    for (const auto& op : made.operations)
      all.push_back(&op);
    search_budget budget;
    budget.states_left = 1'000'000;
    budget.memory_bytes_max = std::size_t{1} << 30;
    const auto window = refute_window(all, static_cast<std::int64_t>(seed % 20), budget);
    if (!window) continue;
    ++windows;
    REQUIRE(window->assumed_start);
    const std::vector<operation> rest{window->operations.begin() + 1, window->operations.end()};
    for (const auto& start : starts)
      REQUIRE_MESSAGE(!naive_linearizable(rest, start), render(*window) << "of\n" << shown(made));
  }
  CHECK(windows > 20);
}
