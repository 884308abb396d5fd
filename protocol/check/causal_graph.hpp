#pragma once
/// A history as the checkers of causality see it: reads and writes in their sessions, who reads from whom, and what
/// comes before what.
///
/// Every checker here relies on values that are written once per key: then a read says from which write it is.

#include "protocol/check/history.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace troupe::check {

/// One read or one write. A cas that was applied is a read of the compared value, and right after it a write.
struct causal_node {
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

  std::uint32_t operation = 0; ///< into history::operations
  std::uint32_t chain = 0;     ///< its session; a write of unknown outcome that its session went on after is alone
  std::uint32_t position = 0;  ///< in the chain, from 0
  std::uint32_t key = 0;
  bool write = false;
  std::uint32_t source = none; ///< read: the write that it reads from; none = it found the key absent
  std::uint32_t after = none;  ///< of a lone unknown write: what its session did before
};

/// A read that no write explains, whatever the order.
struct unexplained_read {
  std::uint32_t operation = 0;
  std::uint32_t failed_write =
      causal_node::none; ///< the operation that wrote it, and was answered `fail`; none = nobody
};

class causal_graph {
public:
  /// @errors an operation that is neither get, put nor cas; a value that is written twice to one key: the line.
  static tl::expected<causal_graph, parse_error> of(const history& all);

  const history& source() const { return *history_; }
  const std::vector<causal_node>& nodes() const { return nodes_; }
  /// Nodes of each chain, in order.
  const std::vector<std::vector<std::uint32_t>>& chains() const { return chains_; }
  /// The writes of a key: by chain, each in order.
  const std::map<std::uint32_t, std::vector<std::uint32_t>>& writes_of(std::uint32_t key) const {
    return writes_[key];
  }
  /// The reads of each write.
  const std::vector<std::uint32_t>& readers_of(std::uint32_t write) const { return readers_[write]; }
  const std::vector<unexplained_read>& unexplained() const { return unexplained_; }

  std::size_t keys() const { return writes_.size(); }
  std::size_t failed() const { return failed_; }
  std::size_t unknowns() const { return unknowns_; }

  const operation& operation_of(std::uint32_t node) const { return history_->operations[nodes_[node].operation]; }
  /// Whether `earlier` stands before `later` in their session.
  bool in_session(std::uint32_t earlier, std::uint32_t later) const {
    const auto& a = nodes_[earlier];
    const auto& b = nodes_[later];
    return a.chain == b.chain && a.position < b.position;
  }

private:
  struct builder;

  const history* history_ = nullptr; ///< outlives the graph
  std::vector<causal_node> nodes_;
  std::vector<std::vector<std::uint32_t>> chains_;
  std::vector<std::map<std::uint32_t, std::vector<std::uint32_t>>> writes_; ///< by key
  std::vector<std::vector<std::uint32_t>> readers_;
  std::vector<unexplained_read> unexplained_;
  std::size_t failed_ = 0, unknowns_ = 0;
};

/// Why a write has to come before another of its key although no session and no read says so: somebody reads the
/// later one with the earlier one in the past.
struct overwrite {
  std::uint32_t from = 0; ///< both are writes
  std::uint32_t to = 0;
  std::uint32_t reader = 0; ///< reads from `to`
};

/// What comes before what: session order, reads-from, and overwrites as far as they were added; transitive. Kept as
/// one clock per node: how much of each chain comes before it.
class causal_order {
public:
  explicit causal_order(const causal_graph& graph);

  std::size_t bytes() const { return clocks_.size() * sizeof(std::uint32_t); }
  static std::size_t bytes_for(const causal_graph& graph) {
    return graph.nodes().size() * graph.chains().size() * sizeof(std::uint32_t);
  }

  /// Nodes that come before themselves; empty = none.
  const std::vector<std::uint32_t>& cyclic() const { return cyclic_; }

  bool before(std::uint32_t a, std::uint32_t b) const {
    const auto& node = graph_.nodes()[a];
    return clock(b)[node.chain] > node.position;
  }
  /// How many nodes of `chain` come before `node`.
  std::uint32_t reach(std::uint32_t node, std::uint32_t chain) const { return clock(node)[chain]; }

  /// Adds an edge, and all that follows from it, for nodes that come before `within` or are it.
  /// @return false: it closes a cycle. The order is of no use then.
  bool add(const overwrite& edge, std::uint32_t within);
  /// The same for all at once, and everywhere; cyclic() tells.
  void add_all(std::vector<overwrite> edges);
  /// Takes back all that add() did.
  void undo();

  const std::vector<overwrite>& added() const { return added_; }

private:
  const std::uint32_t* clock(std::uint32_t node) const { return &clocks_[std::size_t{node} * width_]; }
  std::uint32_t* clock(std::uint32_t node) { return &clocks_[std::size_t{node} * width_]; }
  bool merge(std::uint32_t from, std::uint32_t into, bool remember);
  void sort();
  template <class Visit> void successors(std::uint32_t node, const Visit& visit) const;

  const causal_graph& graph_;
  std::size_t width_;
  std::vector<std::uint32_t> clocks_;
  std::vector<overwrite> added_;
  std::vector<std::vector<std::uint32_t>> overwrites_; ///< by node: those that an added edge leads to
  std::vector<std::vector<std::uint32_t>> lones_;      ///< by node
  std::vector<std::uint32_t> cyclic_;
  std::map<std::uint32_t, std::vector<std::uint32_t>> before_undo_; ///< clocks as they were
};

} // namespace troupe::check
