#include "runtime/topology/simulated_judge.hpp"

#include "protocol/check/linearizability.hpp"

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

void judge::observe(std::string_view node, std::string_view name, std::string_view fields) {
  if (name == "home.leading") ++leaderships_;
  if (name != "home.proposed" && name != "home.read") return;
  const auto shard = field(fields, "shard");
  const auto era = epoch_of(field(fields, "epoch"));
  auto& newest = deciding_[shard];
  if (era < newest)
    accuse("S2", "shard " + shard + ": " + std::string{node} + " decided in epoch " + to_string(era) + " after epoch "
                     + to_string(newest) + " had decided");
  newest = std::max(newest, era);
  if (name == "home.proposed" && field(fields, "kind") == "new"
      && !versions_.insert(shard + " " + field(fields, "version")).second)
    accuse("S2", "shard " + shard + ": version " + field(fields, "version") + " was assigned twice, now by "
                     + std::string{node});
}

void judge::check() {
  if (!content()) return;
  check::linearizability_options options;
  options.states_max = 5'000'000;
  auto report = check::check_linearizability(history_, options);
  if (!report) return accuse("S1", "the recorded history is malformed: " + check::to_string(report.error()));
  undecided_ = report->result == check::verdict::undecided;
  if (report->result == check::verdict::no)
    accuse("S1", report->refutation ? check::render(*report->refutation) : "not linearizable");
}

} // namespace troupe::simulated
