#include "runtime/topology/simulated_judge.hpp"

#include "protocol/check/linearizability.hpp"

#include <algorithm>
#include <cstdio>

namespace troupe::simulated {

namespace {

/// The value of "key=" in "a=1 key=2 c=3"; empty when it is not there.
std::string field(std::string_view fields, std::string_view key) {
  const auto prefix = std::string{key} + "=";
  for (std::size_t at = 0; at < fields.size();) {
    auto end = fields.find(' ', at);
    if (end == std::string_view::npos) end = fields.size();
    const auto one = fields.substr(at, end - at);
    if (one.substr(0, prefix.size()) == prefix) return std::string{one.substr(prefix.size())};
    at = end + 1;
  }
  return {};
}

/// Reads what to_string(epoch) writes: "round/nNODE/incarnation".
epoch epoch_of(const std::string& text) {
  unsigned long long round = 0, life = 0;
  unsigned node = 0;
  if (std::sscanf(text.c_str(), "%llu/n%u/%llu", &round, &node, &life) != 3) return {};
  return {.round = round, .node = {node}, .life = {life}};
}

} // namespace

void judge::accuse(std::string_view invariant, std::string what) {
  if (!violated_.empty()) return;
  violated_ = invariant;
  what_ = std::move(what);
}

void judge::observe(const std::string& node, std::string_view name, std::string_view fields) {
  const auto shard = field(fields, "shard");
  if (name == "home.leading") {
    ++leaderships_;
    const auto era = epoch_of(field(fields, "epoch"));
    if (!led_.insert(shard + " " + to_string(era)).second)
      accuse("S2", "shard " + shard + ": " + node + " leads a second time in epoch " + to_string(era));
    leading_[node][shard] = era;
    decided(node, shard, era); // from now on it may, so nobody else may
  } else if (name == "home.stopped") {
    auto& shards = leading_[node];
    shards.erase(shard);
    if (shards.empty()) leading_.erase(node);
  } else if (name == "home.read" || name == "home.proposed") {
    decided(node, shard, epoch_of(field(fields, "epoch")));
    const auto number = field(fields, "version");
    if (field(fields, "kind") == "new" && !versions_.insert(shard + " " + number).second)
      accuse("S2", "shard " + shard + ": version " + number + " was assigned twice, now by " + node);
  } else if (name == "home.committed") {
    committed(node, shard, field(fields, "version"));
  } else if (name == "home.collected") {
    ++collections_;
  }
}

void judge::decided(const std::string& node, const std::string& shard, const epoch& era) {
  auto& newest = entitled_[shard];
  if (era < newest)
    accuse("S2", "shard " + shard + ": " + node + " decided in epoch " + to_string(era) + " although epoch "
                     + to_string(newest) + " leads");
  newest = std::max(newest, era);
}

void judge::stored(const std::string& node, shard_id shard, const ballot& accepted_in, const version& number) {
  auto& newest = on_disks_[to_string(shard) + " " + to_string(number)][node];
  newest = std::max(newest, accepted_in);
}

void judge::committed(const std::string& node, const std::string& shard, const std::string& number) {
  const auto era = leading_[node][shard];
  decided(node, shard, era);
  const auto& disks = on_disks_[shard + " " + number];
  const auto hold = static_cast<std::size_t>(
      std::count_if(disks.begin(), disks.end(), [&](const auto& d) { return !(d.second < era); }));
  if (hold < majority_)
    accuse("D1", "shard " + shard + ": " + node + " committed version " + number + " in epoch " + to_string(era)
                     + ", and only " + std::to_string(hold) + " disks hold it");
}

void judge::granted(const std::string& lock, const version& token, nanoseconds now) {
  grants_[lock].emplace(token, now.count());
}

void judge::writes_under(const std::string& value, const std::string& lock, const version& token) {
  writes_under_[value] = {lock, token};
}

/// S4: a write has changed something before the first answer of a newer grant of its lock, or does so never. What
/// was seen of it must be explained by that, which the check of the history finds out.
void judge::check_fences() {
  std::set<std::string> seen;
  for (const auto& op : history_.operations)
    if (op.kind == check::op_kind::get && op.outcome == check::op_outcome::ok && op.value) seen.insert(*op.value);
  for (auto& op : history_.operations) {
    if (op.kind != check::op_kind::put || op.outcome == check::op_outcome::fail) continue;
    const auto under = writes_under_.find(*op.value);
    if (under == writes_under_.end()) continue;
    const auto& [lock, token] = under->second;
    std::optional<std::int64_t> over;
    for (auto newer = grants_[lock].upper_bound(token); newer != grants_[lock].end(); ++newer)
      over = std::min(over.value_or(newer->second), newer->second);
    if (!over || (op.outcome == check::op_outcome::unknown && !seen.contains(*op.value))) continue;
    if (*op.call > *over)
      return accuse("S4",
                    "a write of " + op.key + " with the old token " + to_string(token) + " of " + lock + " was done");
    op.outcome = check::op_outcome::ok;
    op.returned = std::min(op.returned.value_or(*over), *over);
  }
}

void judge::check() {
  check_fences();
  if (!content()) return;
  check::linearizability_options options;
  options.states_max = 1'000'000;
  auto report = check::check_linearizability(history_, options);
  if (!report) return accuse("S1", "the recorded history is malformed: " + check::to_string(report.error()));
  undecided_ = report->result == check::verdict::undecided;
  if (report->result == check::verdict::no)
    accuse("S1", report->refutation ? check::render(*report->refutation) : "not linearizable");
}

} // namespace troupe::simulated
