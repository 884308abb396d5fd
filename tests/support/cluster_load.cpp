#include "tests/support/cluster_load.hpp"

#include "protocol/check/linearizability.hpp"
#include "protocol/cluster.hpp"
#include "tests/support/cluster.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <sstream>

namespace troupe::test {

namespace {

using std::chrono::milliseconds;

/// A key of this kind that the cluster keeps in this shard.
std::string key_in(std::uint32_t shard, const std::string& kind, std::uint32_t shards) {
  for (int i = 0;; ++i)
    if (auto key = kind + std::to_string(i); shard_of(stored_key(cluster_load::type, key), shards).value == shard)
      return key;
}

std::string text_of(std::int64_t ns) { return std::to_string(ns / 1'000'000) + " ms"; }

/// The calls of one worker: issues them, and writes down what came back.
class worker {
public:
  worker(session own, std::string name, const load_options& options)
      : session_(std::move(own)),
        name_(std::move(name)),
        options_(options),
        random_(std::hash<std::string>{}(name_)) {}

  check::operation call_register(const std::string& key) {
    switch (random_() % 10) {
    case 0:
    case 1:
    case 2:
    case 3:
      return put(key);
    case 4:
    case 5:
      return swap(key);
    case 6:
      return remove(key);
    default:
      return get(key);
    }
  }

  check::operation call_counter(const std::string& key) {
    switch (random_() % 10) {
    case 0:
    case 1:
      return get(key);
    case 2:
    case 3:
    case 4:
      return add(key, -static_cast<std::int64_t>(1 + random_() % 9), 0);
    default:
      return add(key, static_cast<std::int64_t>(1 + random_() % 5), std::nullopt);
    }
  }

  check::operation get(const std::string& key) {
    auto op = call(key, check::op_kind::get);
    const auto answer = session_.get(cluster_load::type, key, {options_.deadline});
    if (answer && *answer) op.value = (*answer)->value;
    if (answer) seen_ = op.value;
    return returned(std::move(op), answer);
  }

private:
  check::operation put(const std::string& key) {
    auto op = call(key, check::op_kind::put);
    op.value = fresh_value();
    const auto answer = session_.put(cluster_load::type, key, *op.value, {options_.deadline});
    if (answer) seen_ = op.value;
    return returned(std::move(op), answer);
  }

  check::operation swap(const std::string& key) {
    auto op = call(key, check::op_kind::cas);
    op.old = seen_;
    op.value = fresh_value();
    const auto answer = session_.compare_and_set(cluster_load::type, key, {op.old, *op.value}, {options_.deadline});
    if (answer) {
      op.applied = answer->applied;
      seen_ = answer->applied ? op.value : answer->current;
    }
    return returned(std::move(op), answer);
  }

  check::operation remove(const std::string& key) {
    auto op = call(key, check::op_kind::remove);
    const auto answer = session_.remove(cluster_load::type, key, {options_.deadline});
    if (answer) {
      op.applied = answer->existed;
      seen_.reset();
    }
    return returned(std::move(op), answer);
  }

  check::operation add(const std::string& key, std::int64_t delta, std::optional<std::int64_t> floor) {
    auto op = call(key, check::op_kind::add);
    op.delta = delta;
    op.floor = floor;
    const auto answer = session_.add(cluster_load::type, key, delta, {floor, options_.deadline});
    if (answer) {
      op.applied = answer->applied;
      if (answer->applied) op.result = answer->value;
    }
    return returned(std::move(op), answer);
  }

  check::operation call(const std::string& key, check::op_kind kind) const {
    check::operation op;
    op.client = "\"" + name_ + "." + std::to_string(life_) + "\"";
    op.key = key;
    op.kind = kind;
    op.call = stamp_now();
    return op;
  }

  template <class T> check::operation returned(check::operation op, const result<T>& answer) {
    op.outcome = answer                      ? check::op_outcome::ok
                 : answer.error().not_done() ? check::op_outcome::fail
                                             : check::op_outcome::unknown;
    if (op.outcome == check::op_outcome::unknown)
      ++life_; // a client ends with its first unknown
    else
      op.returned = stamp_now();
    return op;
  }

  std::string fresh_value() {
    auto value = name_ + "-" + std::to_string(++values_);
    value.resize(std::max(value.size(), options_.value_bytes), '.');
    return value;
  }

  session session_;
  const std::string name_;
  const load_options& options_;
  std::mt19937_64 random_;
  std::optional<std::string> seen_; ///< of the register, last
  std::uint64_t values_ = 0;
  std::uint64_t life_ = 0;
};

} // namespace

std::int64_t stamp_now() { return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds{1}; }

cluster_load::cluster_load(runtime& client, const load_options& options)
    : client_(client), options_(options), acknowledged_(options.shards) {
  for (std::uint32_t shard = 0; shard < options_.shards; ++shard) {
    registers_.push_back(key_in(shard, "register-", options_.shards));
    counters_.push_back(key_in(shard, "counter-", options_.shards));
  }
}

cluster_load::~cluster_load() { stop(); }

void cluster_load::start() {
  began_ = stamp_now();
  for (std::uint32_t shard = 0; shard < options_.shards; ++shard)
    for (std::size_t i = 0; i < options_.workers_per_shard; ++i)
      workers_.emplace_back([this, shard, i] { work(shard, i); });
}

void cluster_load::stop() {
  {
    const std::lock_guard lock{mutex_};
    if (!stopping_) ended_ = stamp_now();
    stopping_ = true;
  }
  changed_.notify_all();
  for (auto& thread : workers_)
    thread.join();
  workers_.clear();
}

void cluster_load::work(std::uint32_t shard, std::size_t number) {
  worker self{client_.open_session(), "w" + std::to_string(shard) + "." + std::to_string(number), options_};
  for (bool on_counter = number % 2 == 0; rest(); on_counter = !on_counter) {
    auto op = on_counter ? self.call_counter(counters_[shard]) : self.call_register(registers_[shard]);
    const std::lock_guard lock{mutex_};
    if (op.outcome == check::op_outcome::ok) acknowledged_[shard].push_back(*op.call);
    history_.operations.push_back(std::move(op));
    changed_.notify_all();
  }
}

bool cluster_load::rest() const {
  std::unique_lock lock{mutex_};
  changed_.wait_until(lock, std::chrono::steady_clock::now() + options_.pace, [this] { return stopping_; });
  return !stopping_;
}

bool cluster_load::wait_for_progress(std::uint64_t each, milliseconds at_most) const {
  const auto now = stamp_now();
  std::unique_lock lock{mutex_};
  return changed_.wait_for(lock, at_most, [&] {
    return std::all_of(acknowledged_.begin(), acknowledged_.end(), [&](const auto& calls) {
      const auto fresh = std::count_if(calls.rbegin(), calls.rend(), [&](std::int64_t call) { return call >= now; });
      return static_cast<std::uint64_t>(fresh) >= each;
    });
  });
}

void cluster_load::read_all() {
  load_options patient = options_;
  patient.deadline = std::chrono::seconds{10};
  worker reader{client_.open_session(), "reader", patient};
  for (const auto& keys : {registers_, counters_})
    for (const auto& key : keys) {
      auto op = reader.get(key);
      op.final = true;
      record(std::move(op));
    }
}

void cluster_load::record(check::operation done) {
  const std::lock_guard lock{mutex_};
  history_.operations.push_back(std::move(done));
}

check::history cluster_load::history() const {
  const std::lock_guard lock{mutex_};
  return history_;
}

// -- the judge
// ---------------------------------------------------------------------------------------------------------

namespace {

using check::op_kind;
using check::op_outcome;

void judge_linearizable(const check::history& history, judgement& found) {
  const auto report = check::check_linearizability(history);
  if (!report) {
    found.problems.push_back("the history is malformed: " + to_string(report.error()));
  } else if (report->result == check::verdict::undecided) {
    found.problems.push_back("S1: not decided for key " + report->undecided_keys.front());
  } else if (report->result == check::verdict::no) {
    found.problems.push_back("S1: the history is not linearizable:\n" + check::render(*report->refutation));
  }
}

/// What a counter may hold: the acknowledged additions, and any of the unknown ones.
struct counter_range {
  std::int64_t least = 0;
  std::int64_t most = 0;
  std::optional<std::int64_t> found; ///< at last
};

void judge_counters(const check::history& history, judgement& found) {
  std::map<std::string, counter_range> counters;
  for (const auto& op : history.operations)
    if (op.kind == op_kind::add) counters[op.key];
  for (const auto& op : history.operations) {
    const auto counter = counters.find(op.key);
    if (counter == counters.end()) continue;
    auto& range = counter->second;
    if (op.kind == op_kind::get && op.final) {
      if (op.outcome == op_outcome::ok) range.found = std::stoll(op.value.value_or("0"));
    } else if (op.kind == op_kind::add && op.outcome == op_outcome::ok && op.applied.value_or(true)) {
      range.least += *op.delta;
      range.most += *op.delta;
    } else if (op.kind == op_kind::add && op.outcome == op_outcome::unknown) {
      range.least += std::min<std::int64_t>(*op.delta, 0);
      range.most += std::max<std::int64_t>(*op.delta, 0);
    }
  }
  for (const auto& [key, range] : counters) {
    const auto allowed = std::to_string(range.least) + " to " + std::to_string(range.most);
    if (!range.found) {
      found.problems.push_back("D1: " + key + " was not read at the end; it should hold " + allowed);
    } else if (*range.found < range.least || *range.found > range.most) {
      found.problems.push_back("D1: " + key + " holds " + std::to_string(*range.found)
                               + "; acknowledged and unknown "
                                 "additions allow "
                               + allowed);
    }
  }
}

/// Until when a shard may be without an acknowledged call that has none since `from`.
std::int64_t latest(std::int64_t from, std::int64_t to, const expectation& expected) {
  auto until = from + std::chrono::nanoseconds{expected.window}.count();
  for (const auto& f : expected.faults) {
    const auto settled = f.over + std::chrono::nanoseconds{expected.window_of_fault}.count();
    if (f.at <= to && settled >= from) until = std::max(until, settled);
  }
  return until;
}

std::string faults_before(std::int64_t at, const expectation& expected) {
  std::string text;
  for (const auto& f : expected.faults)
    if (f.at <= at) text = "; the last fault was " + f.what + ", " + text_of(at - f.at) + " before";
  return text;
}

void judge_progress(const check::history& history, const expectation& expected, judgement& found) {
  std::vector<std::vector<std::int64_t>> answered(expected.shards);
  for (const auto& op : history.operations) {
    if (op.outcome != op_outcome::ok || op.final || *op.returned > expected.ended) continue;
    answered[shard_of(stored_key(cluster_load::type, op.key), expected.shards).value].push_back(*op.returned);
  }
  for (std::uint32_t shard = 0; shard < expected.shards; ++shard) {
    auto& stamps = answered[shard];
    stamps.push_back(expected.ended);
    std::sort(stamps.begin(), stamps.end());
    auto from = expected.began;
    for (const auto to : stamps) {
      found.longest_gap =
          std::max(found.longest_gap, std::chrono::duration_cast<milliseconds>(std::chrono::nanoseconds{to - from}));
      if (to > latest(from, to, expected))
        found.problems.push_back("progress: shard " + std::to_string(shard) + " acknowledged nothing for "
                                 + text_of(to - from) + ", from " + text_of(from - expected.began)
                                 + " after the load began" + faults_before(to, expected));
      from = to;
    }
  }
}

} // namespace

judgement judge(const check::history& history, const expectation& expected) {
  judgement found;
  found.operations = history.operations.size();
  for (const auto& op : history.operations) {
    if (op.outcome == op_outcome::ok) ++found.acknowledged;
    if (op.outcome == op_outcome::fail) ++found.failed;
    if (op.outcome == op_outcome::unknown) ++found.unknown;
  }
  judge_linearizable(history, found);
  judge_counters(history, found);
  judge_progress(history, expected, found);
  if (found.unknown > expected.unknowns_max)
    found.problems.push_back("unknowns: " + std::to_string(found.unknown) + "; no more than "
                             + std::to_string(expected.unknowns_max) + " calls were under way at the faults");
  return found;
}

std::ostream& operator<<(std::ostream& out, const judgement& j) {
  out << j.operations << " calls: " << j.acknowledged << " acknowledged, " << j.failed << " not done, " << j.unknown
      << " unknown; longest time without an answer on a shard " << j.longest_gap.count() << " ms";
  for (const auto& problem : j.problems)
    out << "\n  " << problem;
  return out;
}

} // namespace troupe::test
