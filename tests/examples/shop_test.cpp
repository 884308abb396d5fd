#include "examples/ecommerce/ledger.hpp"
#include "examples/ecommerce/plan.hpp"
#include "examples/ecommerce/reconcile.hpp"
#include "examples/ecommerce/report.hpp"
#include "examples/ecommerce/visits.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

namespace fs = std::filesystem;
using namespace shop;

namespace {

constexpr const char* header = "session_id;user_id;item_id;timeframe;eventdate\n";

/// A folder that goes with the test.
struct scratch_folder {
  scratch_folder() {
    auto name = (fs::temp_directory_path() / "shop-test-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~scratch_folder() { fs::remove_all(path); }
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;
  fs::path path;
};

/// Ten units of a lamp, of which two orders took three and two; a third order may have taken one.
std::vector<ledger_entry> lamp_sales() {
  return {{event::stocked, {}, "lamp", 10, {}},    {event::took, "o1", "lamp", 3, {}},
          {event::ordered, "o1", {}, 0, "lampx3"}, {event::took, "o2", "lamp", 2, {}},
          {event::ordered, "o2", {}, 0, "lampx2"}, {event::maybe_took, "o3", "lamp", 1, {}},
          {event::took, "o4", "lamp", 2, {}},      {event::returned, "o4", "lamp", 2, {}}};
}

shelves lamp_shelves(const char* stock) { return {{{"lamp", stock}}, {{"o1", "lampx3"}, {"o2", "lampx2"}}}; }

report kept_report() {
  report all_well;
  all_well.regions = {{"eu", {1000, 0, 0}, latency{std::chrono::microseconds{900}, std::chrono::microseconds{1500}}}};
  all_well.books = reconciliation{};
  all_well.history = checked{"yes", 1200};
  all_well.sessions_checked = checked{"yes", 300};
  for (const auto at : levels)
    all_well.levels.push_back({at, {1000, 0, 0}, {100, 0}, std::nullopt});
  return all_well;
}

double mean_views(const std::vector<visit>& visits) {
  std::size_t views = 0;
  for (const auto& one : visits)
    views += one.views.size();
  return static_cast<double>(views) / static_cast<double>(visits.size());
}

} // namespace

TEST_CASE("views: lines of a session are put in the order of their times, from 0") {
  const auto visits =
      parse_visits(std::string{header} + "7;NA;b;900;2016-05-09\n8;NA;c;5;2016-05-09\r\n7;NA;a;400;x\n", "views.csv");
  REQUIRE(visits);
  REQUIRE(visits->size() == 2);
  CHECK(visits->front().id == "7");
  REQUIRE(visits->front().views.size() == 2);
  CHECK(visits->front().views[0].item == "a");
  CHECK(visits->front().views[0].at.count() == 0);
  CHECK(visits->front().views[1].at.count() == 500);
}

TEST_CASE("views: a line that is wrong is named with its number and with what is allowed") {
  auto problem = [](const std::string& lines) {
    const auto visits = parse_visits(header + lines, "views.csv");
    return visits ? std::string{} : visits.error();
  };
  CHECK(problem("1;NA;a;5\n") == "views.csv:2: has to have five fields with semicolons between them");
  CHECK(problem("1;NA;a;5;d;e\n") == "views.csv:2: has to have five fields with semicolons between them");
  CHECK(problem("1;NA;a;5;d\n1;NA;a;-5;d\n")
        == "views.csv:3: timeframe has to be a whole number of milliseconds, 0 to 86400000");
  CHECK(problem("1;NA;;5;d\n") == "views.csv:2: item_id has to be 1 to 200 printable characters");
  CHECK(problem(";NA;a;5;d\n") == "views.csv:2: session_id has to be 1 to 200 printable characters");
  CHECK(problem("") == "views.csv: has no views");
  CHECK(parse_visits("a,b\n", "views.csv").error()
        == "views.csv:1: the first line has to be " + std::string{header, std::string{header}.size() - 1});
}

TEST_CASE("views: a file that is not there, or not xz, is refused by name") {
  const scratch_folder folder;
  const auto missing = (folder.path / "none.csv").string();
  CHECK(read_visits(missing).error() == missing + ": cannot be read");
  const auto damaged = folder.path / "views.csv.xz";
  std::ofstream{damaged} << header;
  CHECK(read_visits(damaged).error().find("is damaged, or not xz") != std::string::npos);
}

TEST_CASE("views: the real sample is read from its compressed file, and the generator resembles it") {
  const auto* source = std::getenv("TROUPE_SOURCE_DIR");
  const auto file = fs::path{source == nullptr ? "." : source} / "../shared/data/ecommerce/item_views.csv.xz";
  if (!fs::exists(file)) {
    MESSAGE("skipped: " << file.string() << " is not there");
    return;
  }
  const auto real = read_visits(file);
  REQUIRE(real);
  CHECK(real->size() == 2986);
  const auto generated = generate_visits(real->size(), 42);
  CHECK(mean_views(generated) == doctest::Approx(mean_views(*real)).epsilon(0.1));
  auto items = [](const std::vector<visit>& visits) {
    std::set<std::string> all;
    for (const auto& one : visits)
      for (const auto& v : one.views)
        all.insert(v.item);
    return static_cast<double>(all.size());
  };
  CHECK(items(generated) == doctest::Approx(items(*real)).epsilon(0.1));
  auto median_gap = [](const std::vector<visit>& visits) {
    std::vector<double> gaps;
    for (const auto& one : visits)
      for (std::size_t i = 1; i < one.views.size(); ++i)
        gaps.push_back(static_cast<double>((one.views[i].at - one.views[i - 1].at).count()));
    std::nth_element(gaps.begin(), gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2), gaps.end());
    return gaps[gaps.size() / 2];
  };
  CHECK(median_gap(generated) == doctest::Approx(median_gap(*real)).epsilon(0.1));
}

TEST_CASE("generator: a seed gives the same sessions again, another seed gives others") {
  auto text = [](std::uint64_t seed) {
    std::ostringstream out;
    for (const auto& one : generate_visits(50, seed))
      for (const auto& v : one.views)
        out << one.id << " " << v.item << " " << v.at.count() << "\n";
    return out.str();
  };
  CHECK(text(7) == text(7));
  CHECK(text(7) != text(8));
}

TEST_CASE("plan: everything that is looked at has stock, and the hottest item is one that is ordered") {
  const auto plan = plan_shopping(generate_visits(300, 3), 3);
  std::map<std::string, std::int64_t> wanted;
  for (const auto& shopper : plan.shoppers)
    for (const auto& next : shopper.steps) {
      CHECK(plan.stock.contains(next.item));
      if (shopper.orders) wanted[next.item] += next.into_cart;
    }
  REQUIRE(wanted.contains(plan.hottest_item));
  for (const auto& [item, units] : wanted)
    CHECK(units <= wanted[plan.hottest_item]);
}

TEST_CASE("ledger: what was entered by many threads is read back, and half a line at the end is left out") {
  const scratch_folder folder;
  const auto file = folder.path / "ledger.jsonl";
  constexpr int threads = 8;
  constexpr int orders = 20;
  {
    auto books = ledger::create(file);
    REQUIRE(books);
    std::vector<std::jthread> writers;
    for (int t = 0; t < threads; ++t)
      writers.emplace_back([&, t] {
        for (int i = 0; i < orders; ++i)
          CHECK((*books)->enter({{event::ordered, std::to_string(t) + "." + std::to_string(i), {}, 0, "x \"1\"\n"}}));
      });
  }
  std::ofstream{file, std::ios::app} << R"({"event":"ordered","order":"half)";
  const auto entries = read_ledger(file);
  REQUIRE(entries);
  CHECK(entries->size() == threads * orders);
  const auto sums = add_up(*entries);
  CHECK(sums.orders.size() == threads * orders);
  CHECK(sums.orders.at("3.7") == "x \"1\"\n");
  CHECK_FALSE(ledger::create(file)); // books of another run are not continued
}

TEST_CASE("ledger: a file that cannot be made is an error with its name") {
  const auto books = ledger::create("/dev/null/ledger.jsonl");
  REQUIRE_FALSE(books);
  CHECK(books.error() == "/dev/null/ledger.jsonl: Not a directory");
}

TEST_CASE("ledger: a line that is none is named with its number") {
  const scratch_folder folder;
  const auto file = folder.path / "ledger.jsonl";
  auto problem = [&](const std::string& line) {
    std::ofstream{file, std::ios::trunc} << R"({"event":"ordered","order":"o1","record":"r"})"
                                         << "\n"
                                         << line << "\n";
    const auto entries = read_ledger(file);
    return entries ? std::string{} : entries.error().substr(file.string().size());
  };
  CHECK(problem("[]") == ":2: is not a JSON object");
  CHECK(problem(R"({"event":"stolen"})") == ":2: has no event that a ledger knows");
  CHECK(problem(R"({"event":"took","item":"lamp","quantity":1})") == ":2: names no order");
  CHECK(problem(R"({"event":"took","order":"o","item":"lamp","quantity":-1})")
        == ":2: needs an item, and a quantity of 0 or more");
}

TEST_CASE("reconcile: acknowledged and returned units add up, and an unknown one is granted either way") {
  const auto sums = add_up(lamp_sales());
  for (const auto* stock : {"5", "4"}) {
    const auto found = reconcile(sums, lamp_shelves(stock));
    CHECK_FALSE(found.violated());
    CHECK(found.unread == 0);
    CHECK(found.orders == 2);
  }
}

TEST_CASE("reconcile: a stock beyond what the unknown ones explain is found, in both directions") {
  const auto sums = add_up(lamp_sales());
  CHECK(reconcile(sums, lamp_shelves("6")).items_off == 1);
  CHECK(reconcile(sums, lamp_shelves("3")).items_off == 1);
  CHECK(reconcile(sums, lamp_shelves("many")).items_off == 1);
  auto gone = lamp_shelves("5");
  gone.stock["lamp"] = std::nullopt;
  CHECK(reconcile(sums, gone).items_off == 1);
}

TEST_CASE("reconcile: an order that was never written is missing, and so is one with another content") {
  auto doctored = lamp_sales();
  doctored.push_back({event::ordered, "o9", {}, 0, "lampx1"});
  auto seen = lamp_shelves("5");
  seen.orders["o9"] = std::nullopt;
  const auto found = reconcile(add_up(doctored), seen);
  CHECK(found.orders_missing == 1);
  CHECK(found.findings == std::vector<std::string>{"order o9 was acknowledged and is not there"});
  seen.orders["o9"] = "lampx2";
  CHECK(reconcile(add_up(doctored), seen).orders_missing == 1);
}

TEST_CASE("reconcile: more units acknowledged than there were is oversold, whatever the stock says") {
  auto doctored = lamp_sales();
  doctored.push_back({event::took, "o5", "lamp", 6, {}});
  CHECK(reconcile(add_up(doctored), lamp_shelves("0")).items_oversold == 1);
  CHECK(reconcile(add_up(lamp_sales()), lamp_shelves("-1")).items_oversold == 1);
}

TEST_CASE("reconcile: what could not be read is proved neither way") {
  const auto found = reconcile(add_up(lamp_sales()), shelves{});
  CHECK_FALSE(found.violated());
  CHECK(found.unread == 3);
}

TEST_CASE("reconcile: its findings survive the way between the processes") {
  auto found = reconcile(add_up(lamp_sales()), lamp_shelves("6"));
  const auto back = reconciliation_from_json(to_json(found));
  REQUIRE(back);
  CHECK(back->items_off == 1);
  CHECK(back->findings == found.findings);
  CHECK_FALSE(reconciliation_from_json("the cluster does not answer"));
  CHECK_FALSE(reconciliation_from_json("{}"));
}

TEST_CASE("report: a promise broken, a proof that is missing and an incomplete run have exit codes of their own") {
  const auto well = kept_report();
  CHECK(judge(well, false) == verdict::kept);
  auto changed = [&](auto change) {
    auto other = well;
    change(other);
    return judge(other, false);
  };
  CHECK(changed([](report& r) { r.books->orders_missing = 1; }) == verdict::violated);
  CHECK(changed([](report& r) { r.books->items_oversold = 1; }) == verdict::violated);
  CHECK(changed([](report& r) { r.books->items_off = 1; }) == verdict::violated);
  CHECK(changed([](report& r) { r.history->answer = "no"; }) == verdict::violated);
  CHECK(changed([](report& r) { r.sessions_checked->answer = "no"; }) == verdict::violated);
  CHECK(changed([](report& r) { r.levels.back().seen.broken = 1; }) == verdict::violated);
  CHECK(changed([](report& r) { r.books->unread = 1; }) == verdict::undecided);
  CHECK(changed([](report& r) { r.sessions_checked->answer = "undecided"; }) == verdict::undecided);
  CHECK(changed([](report& r) { r.sessions_checked.reset(); }) == verdict::failed);
  CHECK(changed([](report& r) { r.history->answer = "undecided"; }) == verdict::undecided);
  CHECK(changed([](report& r) { r.books.reset(); }) == verdict::failed);
  CHECK(changed([](report& r) { r.history.reset(); }) == verdict::failed);
  CHECK(changed([](report& r) { r.problems.push_back("a node did not come back"); }) == verdict::failed);
  auto undecided = well;
  undecided.history->answer = "undecided";
  CHECK(judge(undecided, true) == verdict::kept);
}

TEST_CASE("report: the table compares with the targets, and an unknown counts as a failure") {
  auto some = kept_report();
  some.regions.front().operations = {9980, 0, 20};
  some.levels[0].operations = {9980, 0, 20};
  some.levels[1].operations = {9980, 0, 20};
  some.levels[3].seen = {500, 3};
  some.books->orders = 1000;
  some.killed = "eu-1";
  some.recovery = std::chrono::milliseconds{1234};
  std::ostringstream out;
  print_table(out, some);
  auto line_with = [&](const std::string& what) {
    std::istringstream lines{out.str()};
    for (std::string line; std::getline(lines, line);)
      if (line.find(what) != std::string::npos) return line;
    return std::string{};
  };
  CHECK(line_with("strong: success of 10,000").find("99.800 %") != std::string::npos);
  CHECK(line_with("strong: success of 10,000").find("MISSED") != std::string::npos);
  CHECK(line_with("causal: success of 10,000").find("met") != std::string::npos); // its target is 99.8 %
  CHECK(line_with("eventual: violations in 500 checks").find("MISSED") != std::string::npos);
  CHECK(line_with("session: violations in 100 checks").find("met") != std::string::npos);
  CHECK(line_with("recovery after SIGKILL of eu-1").find("1,234 ms") != std::string::npos);
  CHECK(line_with("recovery after SIGKILL of eu-1").find("MISSED") != std::string::npos);
  CHECK(line_with("latency in eu").find("0.9 / 1.5 ms") != std::string::npos);
  CHECK(line_with("acknowledged orders missing, of 1,000").find("met") != std::string::npos);
}
