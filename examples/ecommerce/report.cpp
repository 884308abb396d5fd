#include "examples/ecommerce/report.hpp"

#include <nlohmann/json.hpp>

#include <iomanip>
#include <ostream>
#include <sstream>

namespace shop {

namespace {

constexpr double success_target = 0.999;
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
  for (const auto& r : regions) {
    sum.answered += r.operations.answered;
    sum.not_done += r.operations.not_done;
    sum.unknown += r.operations.unknown;
  }
  return sum;
}

verdict judge(const report& what, bool undecided_allowed) {
  const auto& b = what.books;
  const auto& h = what.history;
  if (b && b->violated()) return verdict::violated;
  if (h && h->linearizable == "no") return verdict::violated;
  if (!what.problems.empty() || what.cut_short || !b || !h) return verdict::failed;
  if (b->unread > 0) return verdict::undecided;
  if (h->linearizable != "yes" && !undecided_allowed) return verdict::undecided;
  return verdict::kept;
}

void print_table(std::ostream& out, const report& what) {
  const auto all = what.operations();
  table rows{out};
  rows.row("sessions",
           grouped(what.sessions) + " in " + grouped(static_cast<std::uint64_t>(what.ran_for.count() / 1000)) + " s");
  rows.row("operations issued", grouped(all.issued()));
  rows.row("success (unknown counts as failure)", percent(all.success()), ">= 99.9 %",
           all.success() >= success_target);
  rows.row("unknown", grouped(all.unknown));
  for (const auto& r : what.regions)
    rows.row("latency in " + r.region + ", p50 / p99",
             r.took ? in_ms(r.took->p50) + " / " + in_ms(r.took->p99) + " ms" : "no operation");
  rows.row("orders acknowledged", grouped(what.orders));
  rows.row("orders refused: sold out / given up", grouped(what.sold_out) + " / " + grouped(what.given_up));
  print_books(rows, what);
  print_recovery(rows, what);
  if (what.history)
    rows.row("linearizable", what.history->linearizable + ", " + grouped(what.history->operations) + " operations",
             "yes", what.history->linearizable == "yes");
  else
    rows.row("linearizable", "not checked", "yes", false);
  for (const auto& failure : what.failures)
    out << "  failed operations: " << failure << "\n";
  if (what.books)
    for (const auto& finding : what.books->findings)
      out << "  FOUND: " << finding << "\n";
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
  for (const auto& r : what.regions)
    out["regions"].push_back(json_of(r));
  if (what.books) out["reconciled"] = nlohmann::ordered_json::parse(to_json(*what.books));
  if (what.history)
    out["checked"] = {{"linearizable", what.history->linearizable}, {"operations", what.history->operations}};
  out["failures"] = what.failures;
  out["problems"] = what.problems;
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

} // namespace shop
