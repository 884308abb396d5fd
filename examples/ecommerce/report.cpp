#include "examples/ecommerce/report.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iomanip>
#include <ostream>
#include <sstream>

namespace shop {

namespace {

/// Of the operations on types of one level.
double success_target(troupe::level at) {
  switch (at) {
  case troupe::level::strong:
  case troupe::level::session:
    return 0.999;
  case troupe::level::causal:
    return 0.998;
  case troupe::level::eventual:
    return 0.995;
  }
  return 1;
}
constexpr double violations_target = 0.001;
constexpr std::chrono::milliseconds recovery_target{1000};
constexpr double loss_target = 0.0001;

/// 12345 -> "12,345".
std::string grouped(std::uint64_t number) {
  auto text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), ",");
  return text;
}

/// Rounded down: 99.999 % is not 100 %.
std::string percent(double part) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(3) << static_cast<double>(static_cast<std::uint64_t>(part * 100'000)) / 1000
      << " %";
  return out.str();
}

std::string in_ms(std::chrono::microseconds time) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(1) << static_cast<double>(time.count()) / 1000;
  return out.str();
}

class table {
public:
  explicit table(std::ostream& out) : out_(out) { row("", "measured", "target"); }

  void row(const std::string& what, const std::string& measured, const std::string& target = {},
           std::optional<bool> met = std::nullopt) {
    out_ << "  " << std::left << std::setw(42) << what << std::right << std::setw(24) << measured << "   "
         << std::left << std::setw(12) << target << (met ? *met ? "met" : "MISSED" : "") << "\n";
  }
  void none_allowed(const std::string& what, std::uint64_t found) { row(what, grouped(found), "0", found == 0); }

private:
  std::ostream& out_;
};

void print_books(table& rows, const report& what) {
  if (!what.books) return rows.row("reconciliation", "not done", "done", false);
  const auto& b = *what.books;
  rows.none_allowed("oversold items, of " + grouped(b.items), b.items_oversold);
  rows.none_allowed("items whose stock does not add up", b.items_off);
  rows.none_allowed("acknowledged orders missing, of " + grouped(b.orders), b.orders_missing);
  const auto lost = b.orders == 0 ? 0 : static_cast<double>(b.orders_missing) / static_cast<double>(b.orders);
  rows.row("acknowledged orders lost", percent(lost), "< 0.01 %", lost < loss_target);
  if (b.unread > 0) rows.none_allowed("keys that could not be read back", b.unread);
}

void print_recovery(table& rows, const report& what) {
  if (what.killed.empty()) return rows.row("recovery", "nothing was killed");
  const auto label = "recovery after SIGKILL of " + what.killed;
  if (what.recovery)
    rows.row(label, grouped(static_cast<std::uint64_t>(what.recovery->count())) + " ms", "< 1 s",
             *what.recovery < recovery_target);
  else
    rows.row(label, "not seen", "< 1 s", false);
  if (what.ready_again)
    rows.row(what.killed + " ready again, from its restart",
             grouped(static_cast<std::uint64_t>(what.ready_again->count())) + " ms");
}

void print_levels(table& rows, const report& what) {
  for (const auto& l : what.levels) {
    const std::string name{name_of(l.at)};
    const auto wanted = success_target(l.at);
    std::ostringstream target;
    target << ">= " << wanted * 100 << " %";
    rows.row(name + ": success of " + grouped(l.operations.issued()), percent(l.operations.success()), target.str(),
             l.operations.success() >= wanted);
    const auto share = l.seen.made == 0 ? 0 : static_cast<double>(l.seen.broken) / static_cast<double>(l.seen.made);
    rows.row(name + ": violations in " + grouped(l.seen.made) + " checks", grouped(l.seen.broken), "< 0.1 %",
             share < violations_target);
    rows.row(name + ": latency, p50 / p99",
             l.took ? in_ms(l.took->p50) + " / " + in_ms(l.took->p99) + " ms" : "no operation");
  }
}

void print_proof(table& rows, const std::string& what, const std::optional<checked>& proof) {
  if (proof)
    rows.row(what, proof->answer + ", " + grouped(proof->operations) + " operations", "yes", proof->answer == "yes");
  else
    rows.row(what, "not checked", "yes", false);
}

nlohmann::ordered_json json_of(const level_report& l) {
  nlohmann::ordered_json out{{"level", name_of(l.at)},
                             {"operations", l.operations.issued()},
                             {"success", l.operations.success()},
                             {"unknown", l.operations.unknown},
                             {"checks", l.seen.made},
                             {"violations", l.seen.broken}};
  if (l.took) {
    out["p50_us"] = l.took->p50.count();
    out["p99_us"] = l.took->p99.count();
  }
  return out;
}

nlohmann::ordered_json json_of(const region_report& r) {
  nlohmann::ordered_json out{{"region", r.region},
                             {"operations", r.operations.issued()},
                             {"not_done", r.operations.not_done},
                             {"unknown", r.operations.unknown}};
  if (r.took) {
    out["p50_us"] = r.took->p50.count();
    out["p99_us"] = r.took->p99.count();
  }
  return out;
}

nlohmann::ordered_json json_of(const std::optional<std::chrono::milliseconds>& time) {
  return time ? nlohmann::ordered_json(time->count()) : nlohmann::ordered_json(nullptr);
}

} // namespace

counts report::operations() const {
  counts sum;
  for (const auto& r : regions)
    sum += r.operations;
  return sum;
}

verdict judge(const report& what, bool undecided_allowed) {
  const auto& b = what.books;
  const auto& h = what.history;
  if (b && b->violated()) return verdict::violated;
  const auto& s = what.sessions_checked;
  if ((h && h->answer == "no") || (s && s->answer == "no")) return verdict::violated;
  if (std::any_of(what.levels.begin(), what.levels.end(), [](const auto& l) { return l.seen.broken > 0; }))
    return verdict::violated;
  if (!what.problems.empty() || what.cut_short || !b || !h || !s) return verdict::failed;
  if (b->unread > 0) return verdict::undecided;
  if (h->answer != "yes" && !undecided_allowed) return verdict::undecided;
  if (s->answer != "yes" && !undecided_allowed) return verdict::undecided;
  return verdict::kept;
}

void print_table(std::ostream& out, const report& what) {
  const auto all = what.operations();
  table rows{out};
  rows.row("sessions",
           grouped(what.sessions) + " in " + grouped(static_cast<std::uint64_t>(what.ran_for.count() / 1000)) + " s");
  rows.row("operations issued", grouped(all.issued()));
  rows.row("unknown (counts as failure)", grouped(all.unknown));
  print_levels(rows, what);
  for (const auto& r : what.regions)
    rows.row("latency in " + r.region + ", p50 / p99",
             r.took ? in_ms(r.took->p50) + " / " + in_ms(r.took->p99) + " ms" : "no operation");
  rows.row("orders acknowledged", grouped(what.orders));
  rows.row("orders refused: sold out / given up", grouped(what.sold_out) + " / " + grouped(what.given_up));
  print_books(rows, what);
  print_recovery(rows, what);
  print_proof(rows, "strong: linearizable", what.history);
  print_proof(rows, "causal and session: all four guarantees", what.sessions_checked);
  for (const auto& failure : what.failures)
    out << "  failed operations: " << failure << "\n";
  if (what.books)
    for (const auto& finding : what.books->findings)
      out << "  FOUND: " << finding << "\n";
  for (const auto& broken : what.broken)
    out << "  BROKEN: " << broken << "\n";
  for (const auto& problem : what.problems)
    out << "  PROBLEM: " << problem << "\n";
}

std::string to_json(const report& what, verdict judged) {
  const auto all = what.operations();
  nlohmann::ordered_json out{{"exit_code", static_cast<int>(judged)},
                             {"sessions", what.sessions},
                             {"operations", all.issued()},
                             {"success", all.success()},
                             {"unknown", all.unknown},
                             {"orders", what.orders},
                             {"sold_out", what.sold_out},
                             {"given_up", what.given_up},
                             {"ran_for_ms", what.ran_for.count()},
                             {"killed", what.killed},
                             {"recovery_ms", json_of(what.recovery)},
                             {"ready_again_ms", json_of(what.ready_again)}};
  for (const auto& l : what.levels)
    out["levels"].push_back(json_of(l));
  for (const auto& r : what.regions)
    out["regions"].push_back(json_of(r));
  if (what.books) out["reconciled"] = nlohmann::ordered_json::parse(to_json(*what.books));
  if (what.history)
    out["checked"] = {{"linearizable", what.history->answer}, {"operations", what.history->operations}};
  if (what.sessions_checked)
    out["sessions_checked"] = {{"session", what.sessions_checked->answer},
                               {"operations", what.sessions_checked->operations}};
  out["failures"] = what.failures;
  out["broken"] = what.broken;
  out["problems"] = what.problems;
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

} // namespace shop
