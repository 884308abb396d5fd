#include "protocol/check/causal_graph.hpp"

#include <algorithm>
#include <deque>
#include <optional>
#include <string_view>
#include <unordered_map>

namespace troupe::check {

namespace {

/// Keys and values together name a write.
struct written_value {
  std::uint32_t key;
  std::string_view value;
  bool operator==(const written_value&) const = default;
};

struct hash_of_value {
  std::size_t operator()(const written_value& w) const {
    return std::hash<std::string_view>{}(w.value) * 31 + std::hash<std::uint32_t>{}(w.key);
  }
};

bool is_write(const operation& op) {
  return op.kind == op_kind::put || (op.kind == op_kind::cas && op.applied.value_or(true));
}

std::string line_of(const operation& op) { return "line " + std::to_string(op.line); }

} // namespace

struct causal_graph::builder {
  using write_map = std::unordered_map<written_value, std::uint32_t, hash_of_value>;

  explicit builder(const history& all) { graph.history_ = &all; }

  const std::vector<operation>& operations() const { return graph.history_->operations; }

  std::optional<parse_error> look_at_operations() {
    for (std::uint32_t i = 0; i < operations().size(); ++i) {
      const auto& op = operations()[i];
      if (op.kind != op_kind::get && op.kind != op_kind::put && op.kind != op_kind::cas)
        return parse_error{op.line, std::string{to_string(op.kind)}
                                        + ": the checkers of causality know get, put and cas, whose values say which "
                                          "write a read is from"};
      const auto key = keys.try_emplace(op.key, static_cast<std::uint32_t>(keys.size())).first->second;
      key_of.push_back(key);
      if (op.outcome == op_outcome::fail) ++graph.failed_;
      if (op.outcome == op_outcome::unknown) ++graph.unknowns_;
      if (!is_write(op)) continue;
      auto& by_value = op.outcome == op_outcome::fail ? failed_writes : writers;
      const auto [known, fresh] = by_value.try_emplace({key, *op.value}, i);
      if (!fresh && op.outcome != op_outcome::fail)
        return parse_error{op.line, "writes to " + op.key + " what " + line_of(operations()[known->second])
                                        + " has written: which of the two a read is from, nobody can tell"};
    }
    for (std::uint32_t i = 0; i < operations().size(); ++i) {
      const auto& op = operations()[i];
      if (op.outcome != op_outcome::ok || !reads(op)) continue;
      if (const auto& found = found_by(op))
        if (const auto w = writers.find({key_of[i], *found}); w != writers.end()) observed.insert({w->second, true});
    }
    return std::nullopt;
  }

  static bool reads(const operation& op) {
    return op.kind == op_kind::get || (op.kind == op_kind::cas && op.applied.value_or(false));
  }
  static const std::optional<std::string>& found_by(const operation& op) {
    return op.kind == op_kind::get ? op.value : op.old;
  }

  /// The operations of each client, in its order.
  std::vector<std::vector<std::uint32_t>> sessions() const {
    std::unordered_map<std::string_view, std::size_t> places;
    std::vector<std::vector<std::uint32_t>> all;
    for (std::uint32_t i = 0; i < operations().size(); ++i) {
      const auto place = places.try_emplace(operations()[i].client, all.size()).first->second;
      if (place == all.size()) all.emplace_back();
      all[place].push_back(i);
    }
    for (auto& session : all) {
      const bool stamped = std::all_of(session.begin(), session.end(),
                                       [&](std::uint32_t i) { return operations()[i].call.has_value(); });
      if (stamped)
        std::stable_sort(session.begin(), session.end(), [&](std::uint32_t a, std::uint32_t b) {
          return *operations()[a].call < *operations()[b].call;
        });
    }
    return all;
  }

  std::uint32_t add(std::uint32_t op, std::uint32_t chain, bool write) {
    const auto n = static_cast<std::uint32_t>(graph.nodes_.size());
    auto& order = graph.chains_[chain];
    graph.nodes_.push_back({.operation = op,
                            .chain = chain,
                            .position = static_cast<std::uint32_t>(order.size()),
                            .key = key_of[op],
                            .write = write});
    order.push_back(n);
    if (write) node_of_write[op] = n;
    return n;
  }

  void make_nodes() {
    graph.chains_.clear();
    for (const auto& session : sessions()) {
      const auto chain = static_cast<std::uint32_t>(graph.chains_.size());
      graph.chains_.emplace_back();
      for (const auto i : session) {
        const auto& op = operations()[i];
        if (op.outcome == op_outcome::fail) continue;
        if (op.outcome == op_outcome::unknown) {
          if (!is_write(op) || !observed.contains(i)) continue;
          if (i != session.back()) { // what follows it in its session need not have seen it
            late.push_back({i, graph.chains_[chain].empty() ? causal_node::none : graph.chains_[chain].back()});
            continue;
          }
          add(i, chain, true);
          continue;
        }
        if (reads(op)) add(i, chain, false);
        if (is_write(op)) add(i, chain, true);
      }
    }
    for (const auto& [op, after] : late) {
      const auto chain = static_cast<std::uint32_t>(graph.chains_.size());
      graph.chains_.emplace_back();
      graph.nodes_[add(op, chain, true)].after = after;
    }
  }

  void find_sources() {
    graph.writes_.resize(keys.size());
    graph.readers_.resize(graph.nodes_.size());
    for (std::uint32_t n = 0; n < graph.nodes_.size(); ++n) {
      auto& node = graph.nodes_[n];
      if (node.write) {
        graph.writes_[node.key][node.chain].push_back(n);
        continue;
      }
      const auto& found = found_by(operations()[node.operation]);
      if (!found) continue;
      const written_value value{node.key, *found};
      if (const auto w = writers.find(value); w != writers.end()) {
        node.source = node_of_write.at(w->second);
        graph.readers_[node.source].push_back(n);
      } else {
        const auto f = failed_writes.find(value);
        graph.unexplained_.push_back({node.operation, f == failed_writes.end() ? causal_node::none : f->second});
      }
    }
  }

  struct late_write {
    std::uint32_t operation;
    std::uint32_t after;
  };

  causal_graph graph;
  std::unordered_map<std::string_view, std::uint32_t> keys;
  std::vector<std::uint32_t> key_of;                ///< by operation
  write_map writers, failed_writes;                 ///< operations, by what they write
  std::unordered_map<std::uint32_t, bool> observed; ///< writes that somebody read from
  std::unordered_map<std::uint32_t, std::uint32_t> node_of_write;
  std::vector<late_write> late;
};

tl::expected<causal_graph, parse_error> causal_graph::of(const history& all) {
  builder b{all};
  if (auto wrong = b.look_at_operations()) return tl::unexpected(std::move(*wrong));
  b.make_nodes();
  b.find_sources();
  return std::move(b.graph);
}

// -- order
// ------------------------------------------------------------------------------------------------------------

causal_order::causal_order(const causal_graph& graph)
    : graph_{graph},
      width_{graph.chains().size()},
      clocks_(graph.nodes().size() * width_, 0),
      overwrites_(graph.nodes().size()),
      lones_(graph.nodes().size()) {
  for (std::uint32_t n = 0; n < graph.nodes().size(); ++n)
    if (const auto after = graph.nodes()[n].after; after != causal_node::none) lones_[after].push_back(n);
  sort();
}

template <class Visit> void causal_order::successors(std::uint32_t node, const Visit& visit) const {
  const auto& n = graph_.nodes()[node];
  const auto& chain = graph_.chains()[n.chain];
  if (n.position + 1 < chain.size()) visit(chain[n.position + 1]);
  for (const auto r : graph_.readers_of(node))
    visit(r);
  for (const auto w : overwrites_[node])
    visit(w);
  for (const auto w : lones_[node])
    visit(w);
}

/// Puts `from`, and what comes before it, before `into`.
bool causal_order::merge(std::uint32_t from, std::uint32_t into, bool remember) {
  const auto& node = graph_.nodes()[from];
  const auto* source = clock(from);
  auto* target = clock(into);
  auto grows = [&](std::size_t chain) {
    const auto more = chain == node.chain ? std::max(source[chain], node.position + 1) : source[chain];
    return more > target[chain] ? more : 0;
  };
  std::size_t first = 0;
  while (first < width_ && grows(first) == 0)
    ++first;
  if (first == width_) return false;
  if (remember) before_undo_.try_emplace(into, target, target + width_);
  for (auto chain = first; chain < width_; ++chain)
    if (const auto more = grows(chain)) target[chain] = more;
  return true;
}

/// Computes every clock, in an order in which whatever comes before a node is known before it.
void causal_order::sort() {
  std::vector<std::uint32_t> missing(graph_.nodes().size(), 0);
  for (std::uint32_t n = 0; n < missing.size(); ++n)
    successors(n, [&](std::uint32_t after) { ++missing[after]; });
  std::deque<std::uint32_t> free;
  for (std::uint32_t n = 0; n < missing.size(); ++n)
    if (missing[n] == 0) free.push_back(n);
  std::size_t done = 0;
  for (; !free.empty(); ++done) {
    const auto n = free.front();
    free.pop_front();
    successors(n, [&](std::uint32_t after) {
      merge(n, after, false);
      if (--missing[after] == 0) free.push_back(after);
    });
  }
  cyclic_.clear();
  if (done == missing.size()) return;
  for (std::uint32_t n = 0; n < missing.size(); ++n)
    if (missing[n] != 0) cyclic_.push_back(n);
}

bool causal_order::add(const overwrite& edge, std::uint32_t within) {
  added_.push_back(edge);
  overwrites_[edge.from].push_back(edge.to);
  if (before(edge.to, edge.from)) return false;
  std::deque<std::uint32_t> changed;
  if (merge(edge.from, edge.to, true)) changed.push_back(edge.to);
  while (!changed.empty()) {
    const auto n = changed.front();
    changed.pop_front();
    successors(n, [&](std::uint32_t after) {
      if ((after == within || before(after, within)) && merge(n, after, true)) changed.push_back(after);
    });
  }
  return true;
}

void causal_order::add_all(std::vector<overwrite> edges) {
  for (const auto& edge : edges)
    overwrites_[edge.from].push_back(edge.to);
  added_.insert(added_.end(), edges.begin(), edges.end());
  sort();
}

void causal_order::undo() {
  for (const auto& [node, was] : before_undo_)
    std::copy(was.begin(), was.end(), clock(node));
  before_undo_.clear();
  for (const auto& edge : added_)
    overwrites_[edge.from].clear();
  added_.clear();
}

} // namespace troupe::check
