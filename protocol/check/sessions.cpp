#include "protocol/check/sessions.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <unordered_map>

namespace troupe::check {

namespace {

constexpr auto none = causal_node::none;

/// A directed graph of writes and of gatherings: a gathering comes after every write that it stands for, so that an
/// edge from it stands for many.
class arbitration {
public:
  explicit arbitration(const causal_graph& graph) : graph_{graph}, edges_(graph.nodes().size()) {}

  struct edge {
    std::uint32_t to = 0;
    std::uint32_t reader = none; ///< who reads `to`; none = not by a read, or within a gathering
  };

  /// A new gathering of what `former` (none = nothing) and `write` stand for.
  std::uint32_t gather(std::uint32_t former, std::uint32_t write) {
    const auto n = static_cast<std::uint32_t>(edges_.size());
    edges_.emplace_back();
    if (former != none) edges_[former].push_back({n});
    edges_[write].push_back({n});
    return n;
  }
  void order(std::uint32_t from, std::uint32_t to, std::uint32_t reader = none) {
    edges_[from].push_back({to, reader});
  }

  /// A shortest circle, as writes, each with the reader that puts it before the next; empty = there is none.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> circle() const {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> best;
    std::size_t tried = 0;
    for (const auto start : cyclic()) {
      if (start >= graph_.nodes().size()) continue;
      if (auto found = circle_through(start); !found.empty() && (best.empty() || found.size() < best.size()))
        best = std::move(found);
      if (!best.empty() && ++tried == 64) break;
    }
    return best;
  }

private:
  /// What is left when everything that nothing comes before has been taken away, over and over.
  std::vector<std::uint32_t> cyclic() const {
    std::vector<std::uint32_t> missing(edges_.size(), 0);
    for (const auto& from : edges_)
      for (const auto& e : from)
        ++missing[e.to];
    std::deque<std::uint32_t> free;
    for (std::uint32_t n = 0; n < missing.size(); ++n)
      if (missing[n] == 0) free.push_back(n);
    for (; !free.empty(); free.pop_front())
      for (const auto& e : edges_[free.front()])
        if (--missing[e.to] == 0) free.push_back(e.to);
    std::vector<std::uint32_t> left;
    for (std::uint32_t n = 0; n < missing.size(); ++n)
      if (missing[n] != 0) left.push_back(n);
    return left;
  }

  std::vector<std::pair<std::uint32_t, std::uint32_t>> circle_through(std::uint32_t start) const {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> came(edges_.size(), {none, none}); // from, reader
    std::deque<std::uint32_t> open{start};
    while (!open.empty() && came[start].first == none) {
      const auto n = open.front();
      open.pop_front();
      for (const auto& e : edges_[n]) {
        if (came[e.to].first != none) continue;
        came[e.to] = {n, e.reader};
        open.push_back(e.to);
      }
    }
    if (came[start].first == none) return {};
    std::vector<std::pair<std::uint32_t, std::uint32_t>> writes;
    auto reader = none;
    auto here = start;
    do {
      if (came[here].second != none) reader = came[here].second;
      here = came[here].first;
      if (here < graph_.nodes().size()) writes.emplace_back(here, std::exchange(reader, none));
    } while (here != start);
    std::reverse(writes.begin(), writes.end());
    return writes;
  }

  const causal_graph& graph_;
  std::vector<std::vector<edge>> edges_;
};

/// The writes of one key that a session has in its past, in the order in which they came there.
struct known_writes {
  std::vector<std::uint32_t> writes;
  std::vector<std::uint32_t> gatherings;                   ///< the n-th stands for the first n + 1
  std::unordered_map<std::uint32_t, std::size_t> places{}; ///< of each write
};

class examination {
public:
  examination(const causal_graph& graph, session_guarantee guarantee)
      : graph_{graph}, guarantee_{guarantee}, order_{graph} {}

  std::optional<causal_witness> refute() {
    if (auto found = read_of_the_future()) return found;
    for (const auto& chain : graph_.chains()) {
      auto found = guarantee_ == session_guarantee::ryw || guarantee_ == session_guarantee::mr ? look_back(chain)
                                                                                               : order_writes(chain);
      if (found) return found;
    }
    const auto around = order_.circle();
    if (around.empty()) return std::nullopt;
    causal_witness found{.pattern = causal_pattern::cyclic_arbitration};
    step_finder steps{graph_, {}, found};
    for (std::size_t i = 0; i < around.size(); ++i)
      add_steps(found, steps, around[i].first, around[(i + 1) % around.size()].first, around[i].second);
    return found;
  }

private:
  const causal_node& at(std::uint32_t n) const { return graph_.nodes()[n]; }

  std::optional<causal_witness> read_of_the_future() {
    const causal_order order{graph_};
    if (order.cyclic().empty()) return std::nullopt;
    causal_witness found{.pattern = causal_pattern::cyclic_co};
    found.chain = step_finder{graph_, {}, found}.circle(order.cyclic(), 0);
    return found;
  }

  /// ryw, mr: what a read has to see is ordered before what it reads.
  std::optional<causal_witness> look_back(const std::vector<std::uint32_t>& chain) {
    std::unordered_map<std::uint32_t, known_writes> past; // by key
    for (const auto n : chain) {
      auto& known = past[at(n).key];
      if (at(n).write) {
        if (guarantee_ == session_guarantee::ryw) remember(known, n);
        continue;
      }
      if (at(n).source == none) {
        if (!known.writes.empty()) return found_nothing(known.writes.front(), n);
        continue;
      }
      put_before(known, n);
      if (guarantee_ == session_guarantee::mr) remember(known, at(n).source);
    }
    return std::nullopt;
  }

  void remember(known_writes& known, std::uint32_t write) {
    if (!known.places.emplace(write, known.writes.size()).second) return;
    known.writes.push_back(write);
    known.gatherings.push_back(order_.gather(known.gatherings.empty() ? none : known.gatherings.back(), write));
  }

  /// All that is known, but what is read itself.
  void put_before(const known_writes& known, std::uint32_t reader) {
    const auto source = at(reader).source;
    const auto own = known.places.find(source);
    const auto before = own == known.places.end() ? known.writes.size() : own->second;
    if (before > 0) order_.order(known.gatherings[before - 1], source, reader);
    for (auto i = before + 1; i < known.writes.size(); ++i)
      order_.order(known.writes[i], source, reader);
  }

  /// mw, wfr: a write is ordered after the session's last write; or after all that it has read.
  std::optional<causal_witness> order_writes(const std::vector<std::uint32_t>& chain) {
    auto last = none;
    for (const auto n : chain) {
      if (guarantee_ == session_guarantee::mw) {
        if (!at(n).write) continue;
        if (last != none) order_.order(last, n);
        last = n;
      } else if (at(n).write) {
        if (last != none) order_.order(last, n);
      } else if (at(n).source != none) {
        last = order_.gather(last, at(n).source);
      }
    }
    return std::nullopt;
  }

  causal_witness found_nothing(std::uint32_t write, std::uint32_t reader) {
    const bool own = guarantee_ == session_guarantee::ryw;
    causal_witness found{.pattern = own ? causal_pattern::own_write_not_found : causal_pattern::went_back_to_nothing,
                         .read = at(reader).operation};
    step_finder steps{graph_, {}, found};
    add_past(found.chain, found, write, reader);
    return found;
  }

  /// Why the session of `reader` has `write` in its past: it wrote it, or read it before.
  void add_past(std::vector<std::size_t>& into, causal_witness& found, std::uint32_t write, std::uint32_t reader) {
    auto from = write;
    if (guarantee_ == session_guarantee::mr)
      for (const auto r : graph_.readers_of(write))
        if (graph_.in_session(r, reader)) {
          found.steps.push_back(
              {.why = causal_step::kind::reads_from, .from = at(write).operation, .to = at(r).operation});
          into.push_back(found.steps.size() - 1);
          from = r;
          break;
        }
    found.steps.push_back(
        {.why = causal_step::kind::session, .from = at(from).operation, .to = at(reader).operation});
    into.push_back(found.steps.size() - 1);
  }

  void add_steps(causal_witness& found, step_finder& steps, std::uint32_t from, std::uint32_t to,
                 std::uint32_t reader) {
    if (reader == none) { // mw: of one session; wfr: read, and then written
      for (const auto s : steps.path(from, to, 0))
        found.chain.push_back(s);
      return;
    }
    std::vector<std::size_t> past;
    add_past(past, found, from, reader);
    found.steps.push_back({.why = causal_step::kind::overwrite,
                           .from = at(from).operation,
                           .to = at(to).operation,
                           .reader = at(reader).operation,
                           .past = std::move(past)});
    found.chain.push_back(found.steps.size() - 1);
  }

  const causal_graph& graph_;
  const session_guarantee guarantee_;
  arbitration order_;
};

} // namespace

std::string_view name_of(session_guarantee guarantee) {
  switch (guarantee) {
  case session_guarantee::ryw:
    return "ryw";
  case session_guarantee::mr:
    return "mr";
  case session_guarantee::mw:
    return "mw";
  case session_guarantee::wfr:
    return "wfr";
  }
  return "?";
}

tl::expected<causality_report, parse_error> check_session_guarantee(const history& all, session_guarantee guarantee) {
  const auto graph = causal_graph::of(all);
  if (!graph) return tl::unexpected(graph.error());
  causality_report report{.operations = all.operations.size(),
                          .sessions = graph->chains().size(),
                          .keys = graph->keys(),
                          .unknowns = graph->unknowns(),
                          .failed = graph->failed(),
                          .refutation = unexplained_read_of(*graph)};
  if (!report.refutation) report.refutation = examination{*graph, guarantee}.refute();
  if (report.refutation) report.result = verdict::no;
  return report;
}

} // namespace troupe::check
