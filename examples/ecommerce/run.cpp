#include "examples/ecommerce/run.hpp"

#include "examples/ecommerce/convergence.hpp"
#include "examples/ecommerce/ledger.hpp"
#include "examples/ecommerce/local_cluster.hpp"
#include "examples/ecommerce/pipeline.hpp"
#include "examples/ecommerce/plan.hpp"
#include "examples/ecommerce/prober.hpp"
#include "examples/ecommerce/shopper.hpp"

#include <troupe/runtime.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <iomanip>
#include <iterator>
#include <memory>
#include <ostream>
#include <sstream>
#include <thread>

namespace shop {

namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using failure = tl::unexpected<std::string>;
using done = tl::expected<void, std::string>;

constexpr std::chrono::seconds client_patience{30};
constexpr std::chrono::seconds stocking_deadline{10};
constexpr std::chrono::seconds stocking_grace{2};
constexpr std::size_t stocking_at_once = 1024;
constexpr std::chrono::seconds restart_after{2};
constexpr std::chrono::seconds probe_patience{10};
constexpr std::size_t probe_keys_max = 60;
constexpr std::chrono::seconds proof_patience{180};
constexpr std::chrono::seconds stop_patience{10};
constexpr std::chrono::seconds convergence_patience{10};
constexpr milliseconds tick{20};

milliseconds since(clock::time_point begin) { return std::chrono::duration_cast<milliseconds>(clock::now() - begin); }

std::string content_of(const std::filesystem::path& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, std::istreambuf_iterator<char>{}};
}

/// The client node of one region, and what its shoppers met.
struct region_desk {
  region_desk(std::string r, std::filesystem::path h, troupe::runtime c)
      : region(std::move(r)), history(std::move(h)), client(std::move(c)) {}

  std::string region;
  std::filesystem::path history;
  troupe::runtime client;
  tallies counts;
};

/// A key for probing, and the shard that it is in.
struct probe_key {
  std::string key;
  std::uint32_t shard = 0;
};

class shop_run {
public:
  shop_run(const run_options& options, std::ostream& out) : options_(options), out_(out) {
    floor_.deadline = options.deadline;
    floor_.speed = options.speed;
  }

  tl::expected<report, std::string> go() {
    for (auto step : {&shop_run::plan, &shop_run::find_cluster, &shop_run::open_desks, &shop_run::open_shop})
      if (auto well = (this->*step)(); !well) return failure{well.error()};
    trade();
    close_shop();
    prove();
    write_report();
    return std::move(report_);
  }

private:
  done plan();
  done find_cluster();
  done open_desks();
  done open_shop();
  done stock_hottest(troupe::session& session);
  done find_probe_keys(troupe::session& session);
  done stock_others(troupe::session& session);
  ledger_entry stocked(const std::string& item) const {
    return {event::stocked, {}, floor_.run + item, plan_.stock.at(item), {}};
  }

  void trade();
  void serve(region_desk& desk);
  void tell_progress(clock::time_point begin);
  void stage_the_kill();
  void watch_recovery();
  void watch_return();
  done kill_home();
  region_desk& desk_outside(const std::string& region);

  void close_shop();
  void check_eventual_types();
  void prove();
  /// Of all regions, the lines of certain types.
  done merge_histories(const std::filesystem::path& file, const std::vector<std::string_view>& types);
  done reconcile_books();
  /// What `troupe check` says of the lines of certain types.
  tl::expected<checked, std::string> check(const std::string& property, const std::vector<std::string_view>& types);
  done check_history();
  done check_sessions();
  void write_report();
  void problem(const done& step) {
    if (!step) report_.problems.push_back(step.error());
  }

  const run_options& options_;
  std::ostream& out_;
  report report_;

  shop_plan plan_;
  std::unique_ptr<local_cluster> cluster_; ///< none when one runs already
  std::vector<std::filesystem::path> client_files_;
  std::unique_ptr<ledger> books_;
  shop_floor floor_;
  std::vector<std::unique_ptr<region_desk>> desks_;
  std::atomic<std::size_t> next_shopper_{0};
  std::atomic<std::size_t> gone_shoppers_{0};

  std::uint32_t hottest_shard_ = 0;
  std::vector<probe_key> probe_keys_;

  /// Of the kill.
  enum class act : std::uint8_t { before, probing, killed, restarted };
  act act_ = act::before;
  std::unique_ptr<prober> steady_; ///< writes all the time, from before the kill
  std::unique_ptr<prober> fresh_;  ///< writes from the kill on
  std::string victim_;
  clock::time_point act_began_;
  clock::time_point killed_at_;

  std::uint64_t last_operations_ = 0;
  clock::time_point last_told_;
};

// -- before
// ----------------------------------------------------------------------------------------------------------

done shop_run::plan() {
  std::vector<visit> visits;
  if (options_.views.empty()) {
    visits = generate_visits(options_.sessions, options_.seed);
    out_ << "sessions: " << visits.size() << " generated, seed " << options_.seed << "\n";
  } else {
    auto read = read_visits(options_.views);
    if (!read) return failure{read.error()};
    visits = std::move(*read);
    if (options_.sessions > 0 && options_.sessions < visits.size()) visits.resize(options_.sessions);
    out_ << "sessions: " << visits.size() << " of " << options_.views.string() << "\n";
  }
  plan_ = plan_shopping(visits, options_.seed);
  report_.sessions = plan_.shoppers.size();
  out_ << "think times: those of the sessions, divided by " << options_.speed << ", at most "
       << floor_.think_max.count() << " ms; " << plan_.stock.size()
       << " items; deadline of an operation: " << options_.deadline.count() << " ms; " << options_.shoppers
       << " shoppers at once\n";
  return {};
}

done shop_run::find_cluster() {
  if (!options_.clients.empty()) {
    client_files_ = options_.clients;
    // Keys of an earlier run on the same cluster are not this run's.
    floor_.run = "run-" + std::to_string(std::chrono::system_clock::now().time_since_epoch().count()) + "-";
    return {};
  }
  const auto begin = clock::now();
  auto started = local_cluster::start(options_.troupe, options_.folder);
  if (!started) return failure{started.error()};
  cluster_ = std::move(*started);
  client_files_ = cluster_->clients();
  out_ << "cluster: eu-1, us-1, asia-1 ready in " << since(begin).count() << " ms; the links add round trips of "
       << local_cluster::delays() << "\n";
  return {};
}

done shop_run::open_desks() {
  for (std::size_t i = 0; i < client_files_.size(); ++i) {
    const auto history = options_.folder / ("history-" + std::to_string(i) + ".jsonl");
    auto configuration = troupe::config::from_file(client_files_[i]);
    if (!configuration) return failure{configuration.error().message()};
    auto client = troupe::runtime::start(configuration->with_history(history));
    if (!client) return failure{client_files_[i].string() + ": " + client.error().message()};
    if (auto ready = client->wait_ready(client_patience); !ready) return failure{ready.error().message()};
    const auto status = nlohmann::json::parse(client->status_json(), nullptr, false);
    auto region = status.is_object() ? status.value("region", "") : "";
    desks_.push_back(std::make_unique<region_desk>(region, history, std::move(*client)));
  }
  return {};
}

done shop_run::open_shop() {
  auto made = ledger::create(options_.folder / "ledger.jsonl");
  if (!made) return failure{made.error()};
  books_ = std::move(*made);
  floor_.books = books_.get();
  const auto begin = clock::now();
  auto session = desks_.front()->client.open_session();
  if (auto well = stock_hottest(session); !well) return well;
  if (options_.kill)
    if (auto well = find_probe_keys(session); !well) return well;
  if (auto well = stock_others(session); !well) return well;
  out_ << "stocked in " << since(begin).count() << " ms\n";
  return {};
}

done shop_run::stock_hottest(troupe::session& session) {
  const auto& item = plan_.hottest_item;
  auto put = [&]() -> done {
    const auto answer = session.put("inventory", floor_.run + item, std::to_string(plan_.stock.at(item)),
                                    {.deadline = stocking_deadline});
    if (!answer) return failure{"the stock of " + item + ": " + answer.error().message()};
    return {};
  };
  if (!cluster_) return put();
  auto shard = cluster_->shard_written_by(put);
  if (!shard) return failure{shard.error()};
  hottest_shard_ = *shard;
  return {};
}

/// Writes keys until there is one whose home is on each of the nodes, as far as nodes are homes.
done shop_run::find_probe_keys(troupe::session& session) {
  const auto homes = cluster_->shards();
  std::map<std::string, bool> covered;
  for (const auto& [shard, view] : homes)
    covered[view.home] = false;
  auto missing = [&] { return std::any_of(covered.begin(), covered.end(), [](const auto& c) { return !c.second; }); };
  for (std::size_t n = 0; n < probe_keys_max && missing(); ++n) {
    const auto key = "probe-" + std::to_string(n);
    auto shard = cluster_->shard_written_by([&]() -> done {
      const auto put = session.put("user_sessions", key, "opening", {.deadline = stocking_deadline});
      if (!put) return failure{"the key " + key + ": " + put.error().message()};
      return {};
    });
    if (!shard) return failure{shard.error()};
    probe_keys_.push_back({key, *shard});
    if (const auto found = homes.find(*shard); found != homes.end()) covered[found->second.home] = true;
  }
  return {};
}

done shop_run::stock_others(troupe::session& session) {
  using answer = troupe::result<troupe::written>;
  done outcome;
  pipeline<troupe::written> puts{
      stocking_at_once, stocking_deadline + stocking_grace, [&](const std::string& item, std::optional<answer> a) {
        if (a && *a) return;
        outcome = failure{"stocking " + item + ": " + (a ? a->error().message() : "no answer")};
      }};
  std::vector<ledger_entry> entries;
  for (const auto& [item, units] : plan_.stock) {
    if (!outcome) break;
    const troupe::call_options patience{.deadline = stocking_deadline};
    const auto key = floor_.run + item;
    puts.push(item, session.async().put("catalogue", key, "the page of " + item, patience));
    if (item != plan_.hottest_item)
      puts.push(item, session.async().put("inventory", key, std::to_string(units), patience));
    entries.push_back(stocked(item));
  }
  puts.drain();
  if (!outcome) return outcome;
  return books_->enter(entries);
}

// -- while the shop is open
// ------------------------------------------------------------------------------------------

void shop_run::trade() {
  const auto begin = clock::now();
  last_told_ = begin;
  std::vector<std::jthread> shoppers;
  for (std::size_t i = 0; i < options_.shoppers; ++i)
    shoppers.emplace_back([this, &desk = *desks_[i % desks_.size()]] { serve(desk); });
  while (gone_shoppers_ < shoppers.size() || (options_.kill && act_ != act::restarted)) {
    floor_.closing.wait(tick);
    if (clock::now() - begin > options_.at_most && !floor_.closing.closed()) {
      report_.cut_short = true;
      report_.problems.push_back("the time was over before the last session had ended");
      floor_.closing.close();
    }
    if (options_.kill) stage_the_kill();
    if (clock::now() - last_told_ >= std::chrono::seconds{1}) tell_progress(begin);
    if (floor_.closing.closed()) std::this_thread::sleep_for(tick); // wait() returns at once by now
  }
  report_.ran_for = since(begin);
  if (floor_.books_failed) report_.problems.push_back("the ledger could not be written");
}

void shop_run::serve(region_desk& desk) {
  while (!floor_.closing.closed()) {
    const auto n = next_shopper_++;
    if (n >= plan_.shoppers.size()) break;
    auto session = desk.client.open_session();
    go_shopping(plan_.shoppers[n], session, floor_, desk.counts);
  }
  ++gone_shoppers_;
}

void shop_run::tell_progress(clock::time_point begin) {
  counts all;
  for (const auto& desk : desks_) {
    all += desk->counts.counted();
  }
  const auto started = std::min<std::size_t>(next_shopper_, plan_.shoppers.size());
  const auto rate = static_cast<double>(all.issued() - last_operations_)
                    / std::chrono::duration<double>{clock::now() - last_told_}.count();
  out_ << std::setw(4) << since(begin).count() / 1000 << " s  sessions " << std::setw(5) << started << "/"
       << plan_.shoppers.size() << "  operations " << std::setw(7) << all.issued() << " (" << std::setw(5)
       << static_cast<std::uint64_t>(rate) << "/s)  not done " << all.not_done << "  unknown " << all.unknown
       << "  orders " << floor_.orders << "\n"
       << std::flush;
  last_operations_ = all.issued();
  last_told_ = clock::now();
}

/// Kills the home of the hottest item when half of the sessions have begun, and starts it again.
void shop_run::stage_the_kill() {
  switch (act_) {
  case act::before:
    if (2 * next_shopper_ < plan_.shoppers.size()) return;
    if (auto well = kill_home(); !well) {
      problem(well);
      act_ = act::restarted;
    }
    return;
  case act::probing:
    if (!steady_->first_acknowledged()) {
      if (clock::now() - act_began_ < probe_patience) return;
      report_.problems.push_back("the probe was not served before the kill");
    }
    killed_at_ = clock::now();
    cluster_->kill(victim_);
    fresh_ = std::make_unique<prober>(desk_outside(local_cluster::region_of(victim_)).client.open_session(),
                                      probe_keys_.front().key, "after");
    report_.killed = victim_;
    out_ << "       SIGKILL: " << victim_ << ", home of " << plan_.hottest_item << "\n";
    act_ = act::killed;
    return;
  case act::killed:
    watch_recovery();
    if (clock::now() - killed_at_ < restart_after) return;
    problem(cluster_->restart(victim_));
    out_ << "       started again: " << victim_ << "\n";
    act_began_ = clock::now();
    act_ = act::restarted;
    return;
  case act::restarted:
    watch_recovery();
    watch_return();
    return;
  }
}

/// Chooses the victim and a key that it is home of, and begins to write that key.
done shop_run::kill_home() {
  const auto homes = cluster_->shards();
  auto home_of = [&](std::uint32_t shard) {
    const auto found = homes.find(shard);
    return found == homes.end() ? std::string{} : found->second.home;
  };
  victim_ = home_of(hottest_shard_);
  if (victim_.empty()) return failure{"the hottest item has no home to be killed"};
  const auto key = std::find_if(probe_keys_.begin(), probe_keys_.end(),
                                [&](const probe_key& k) { return home_of(k.shard) == victim_; });
  if (key == probe_keys_.end()) return failure{"no key to probe has its home on " + victim_};
  std::iter_swap(probe_keys_.begin(), key);
  steady_ = std::make_unique<prober>(desk_outside(local_cluster::region_of(victim_)).client.open_session(),
                                     probe_keys_.front().key, "steady");
  act_began_ = clock::now();
  act_ = act::probing;
  return {};
}

void shop_run::watch_recovery() {
  const auto served = fresh_ ? fresh_->first_acknowledged() : std::nullopt;
  if (!served || report_.recovery) return;
  report_.recovery = std::chrono::duration_cast<milliseconds>(*served - killed_at_);
  out_ << "       recovered: a write on a shard of " << victim_ << " was acknowledged " << report_.recovery->count()
       << " ms after its SIGKILL\n";
}

void shop_run::watch_return() {
  if (victim_.empty() || report_.ready_again || !cluster_->ready(victim_)) return;
  report_.ready_again = since(act_began_);
  out_ << "       ready again: " << victim_ << ", " << report_.ready_again->count() << " ms after its restart\n";
}

region_desk& shop_run::desk_outside(const std::string& region) {
  return **std::find_if(desks_.begin(), desks_.end(), [&](const auto& d) { return d->region != region; });
}

// -- afterwards
// ------------------------------------------------------------------------------------------------------

void shop_run::close_shop() {
  steady_.reset();
  fresh_.reset();
  if (cluster_ && !victim_.empty() && !report_.ready_again) {
    problem(cluster_->wait_ready(victim_, client_patience));
    report_.ready_again = since(act_began_);
  }
  check_eventual_types();
  for (auto& desk : desks_)
    if (auto stopped = desk->client.stop(stop_patience); !stopped)
      report_.problems.push_back("the client node in " + desk->region + ": " + stopped.error().message());
}

void shop_run::check_eventual_types() {
  out_ << "comparing the eventual types of all regions\n" << std::flush;
  std::vector<troupe::session> sessions;
  for (auto& desk : desks_)
    sessions.push_back(desk->client.open_session({.recorded = false}));
  auto items = floor_.views.all();
  const auto found = check_convergence(sessions, items, convergence_patience);
  auto& eventual = desks_.front()->counts[troupe::level::eventual];
  for (std::uint64_t n = found.findings.size(); n < found.checked; ++n)
    eventual.observed(true, {});
  for (const auto& finding : found.findings)
    eventual.observed(false, finding);
}

void shop_run::prove() {
  out_ << "reconciling and checking, each in a process of its own\n" << std::flush;
  problem(reconcile_books());
  problem(check_history());
  problem(check_sessions());
}

done shop_run::reconcile_books() {
  const auto answer = options_.folder / "reconcile.json";
  auto code =
      troupe::run_to_end({options_.self.string(), "reconcile", "--ledger",
                          (options_.folder / "ledger.jsonl").string(), "--config", client_files_.front().string()},
                         answer, proof_patience);
  if (!code) return failure{code.error()};
  auto found = reconciliation_from_json(content_of(answer));
  if (!found) return failure{"reconcile ended with code " + std::to_string(*code) + ": " + content_of(answer)};
  report_.books = std::move(*found);
  return {};
}

done shop_run::merge_histories(const std::filesystem::path& file, const std::vector<std::string_view>& types) {
  std::ofstream out{file, std::ios::binary | std::ios::trunc};
  for (const auto& desk : desks_) {
    std::istringstream lines{content_of(desk->history)};
    for (std::string line; std::getline(lines, line);) {
      const auto key = nlohmann::json::parse(line).at("key").get<std::string>();
      const auto type = std::string_view{key}.substr(0, key.find(':'));
      if (std::find(types.begin(), types.end(), type) != types.end()) out << line << "\n";
    }
  }
  if (!out.flush()) return failure{file.string() + ": cannot be written"};
  return {};
}

tl::expected<checked, std::string> shop_run::check(const std::string& property,
                                                   const std::vector<std::string_view>& types) {
  const auto history = options_.folder / (property + ".jsonl");
  if (auto merged = merge_histories(history, types); !merged) return failure{merged.error()};
  const auto answer = options_.folder / ("check-" + property + ".json");
  auto code = troupe::run_to_end({options_.troupe.string(), "check", property, "--json", history.string()}, answer,
                                 proof_patience);
  if (!code) return failure{code.error()};
  const auto verdict = nlohmann::json::parse(content_of(answer), nullptr, false);
  const std::string key = property == "linearizability" ? "linearizable" : property;
  if (!verdict.is_object() || !verdict.contains(key))
    return failure{"troupe check ended with code " + std::to_string(*code) + ": " + content_of(answer)};
  return checked{verdict.value(key, ""), verdict.value("operations", std::uint64_t{0})};
}

done shop_run::check_history() {
  auto found = check("linearizability", {"user_sessions", "inventory", "orders"});
  if (!found) return failure{found.error()};
  report_.history = std::move(*found);
  return {};
}

/// All four guarantees of every session, over the causal and the session types together.
done shop_run::check_sessions() {
  auto found = check("session", {"threads", "reviews", "carts"});
  if (!found) return failure{found.error()};
  report_.sessions_checked = std::move(*found);
  return {};
}

void shop_run::write_report() {
  for (const auto& desk : desks_) {
    std::vector<std::chrono::microseconds> took;
    for (const auto at : levels) {
      const auto of_level = desk->counts[at].took();
      took.insert(took.end(), of_level.begin(), of_level.end());
    }
    report_.regions.push_back({desk->region, desk->counts.counted(), latency_of(std::move(took))});
  }
  for (const auto at : levels) {
    level_report of_level;
    of_level.at = at;
    std::vector<std::chrono::microseconds> took;
    for (const auto& desk : desks_) {
      const auto& counts = desk->counts[at];
      of_level.operations += counts.counted();
      of_level.seen += counts.seen();
      const auto here = counts.took();
      took.insert(took.end(), here.begin(), here.end());
      for (const auto& failed : counts.failures())
        report_.failures.push_back(desk->region + " " + std::string{name_of(at)} + " " + failed);
      for (const auto& broken : counts.broken())
        report_.broken.push_back(std::string{name_of(at)} + ": " + broken);
    }
    of_level.took = latency_of(std::move(took));
    report_.levels.push_back(std::move(of_level));
  }
  report_.orders = floor_.orders;
  report_.sold_out = floor_.sold_out;
  report_.given_up = floor_.given_up;
}

} // namespace

tl::expected<report, std::string> run_shop(const run_options& options, std::ostream& out) {
  return shop_run{options, out}.go();
}

} // namespace shop
