#include "protocol/check/causality.hpp"

#include <algorithm>

namespace troupe::check {

namespace {

constexpr auto none = causal_node::none;

/// The last write of its key in `chain` that comes before `node`; none = there is none.
std::uint32_t last_before(const causal_order& order, const causal_graph& graph,
                          const std::vector<std::uint32_t>& writes, std::uint32_t chain, std::uint32_t node) {
  const auto reach = order.reach(node, chain);
  const auto after = std::partition_point(writes.begin(), writes.end(),
                                          [&](std::uint32_t w) { return graph.nodes()[w].position < reach; });
  return after == writes.begin() ? none : *std::prev(after);
}

class examination {
public:
  examination(const causal_graph& graph, causal_model model) : graph_{graph}, model_{model}, order_{graph} {}

  std::optional<causal_witness> refute() {
    if (auto found = circle()) return found;
    if (auto found = bad_read()) return found;
    if (model_ == causal_model::ccv) return conflict();
    if (model_ == causal_model::cm)
      for (const auto& chain : graph_.chains())
        if (auto found = unexplained_session(chain)) return found;
    return std::nullopt;
  }

private:
  const causal_node& at(std::uint32_t n) const { return graph_.nodes()[n]; }

  std::optional<causal_witness> circle() {
    if (order_.cyclic().empty()) return std::nullopt;
    causal_witness found{.pattern = causal_pattern::cyclic_co};
    found.chain = step_finder{graph_, {}, found}.circle(order_.cyclic(), 0);
    return found;
  }

  std::optional<causal_witness> bad_read() {
    for (std::uint32_t r = 0; r < graph_.nodes().size(); ++r) {
      if (at(r).write) continue;
      for (const auto& [chain, writes] : graph_.writes_of(at(r).key)) {
        if (at(r).source == none) {
          if (order_.before(writes.front(), r)) return write_before_nothing(writes.front(), r);
          continue;
        }
        const auto w = last_before(order_, graph_, writes, chain, r);
        if (w != none && w != at(r).source && order_.before(at(r).source, w)) return replaced(w, r);
      }
    }
    return std::nullopt;
  }

  causal_witness write_before_nothing(std::uint32_t w, std::uint32_t r) {
    causal_witness found{.pattern = causal_pattern::write_co_init_read, .read = at(r).operation};
    found.chain = step_finder{graph_, {}, found}.path(w, r, 0);
    return found;
  }

  causal_witness replaced(std::uint32_t by, std::uint32_t r) {
    causal_witness found{.pattern = causal_pattern::write_co_read,
                         .read = at(r).operation,
                         .written = at(at(r).source).operation,
                         .replaced_by = at(by).operation};
    step_finder steps{graph_, {}, found};
    found.chain = steps.path(at(r).source, by, 0);
    for (const auto s : steps.path(by, r, 0))
      found.chain.push_back(s);
    return found;
  }

  /// Every read puts what is in its past before what it reads; these conclusions of all sessions must agree.
  std::optional<causal_witness> conflict() {
    std::vector<overwrite> conclusions;
    for (std::uint32_t r = 0; r < graph_.nodes().size(); ++r) {
      if (at(r).write || at(r).source == none) continue;
      for (const auto& [chain, writes] : graph_.writes_of(at(r).key)) {
        const auto w = last_before(order_, graph_, writes, chain, r);
        if (w == none || w == at(r).source || order_.before(w, at(r).source)) continue;
        conclusions.push_back({.from = w, .to = at(r).source, .reader = r});
      }
    }
    order_.add_all(std::move(conclusions));
    if (order_.cyclic().empty()) return std::nullopt;
    causal_witness found{.pattern = causal_pattern::cyclic_cf};
    // A conclusion is from session order and reads-from alone.
    found.chain = plain_steps(found).circle(order_.cyclic(), order_.added().size());
    return found;
  }

  step_finder plain_steps(causal_witness& into) { return {graph_, order_.added(), into, true}; }

  /// What one session must conclude from its own reads, over and over, until nothing new follows.
  std::optional<causal_witness> unexplained_session(const std::vector<std::uint32_t>& session) {
    auto last = none;
    for (const auto n : session)
      if (!at(n).write) last = n;
    if (last == none) return std::nullopt;
    std::optional<causal_witness> found;
    for (bool more = true; more && !found;) {
      more = false;
      for (const auto r : session) {
        if (at(r).write) continue;
        for (const auto& [chain, writes] : graph_.writes_of(at(r).key)) {
          const auto w = last_before(order_, graph_, writes, chain, r);
          if (w == none || w == at(r).source) continue;
          if (at(r).source == none) {
            found.emplace(causal_witness{.pattern = causal_pattern::write_hb_init_read, .read = at(r).operation});
            found->chain = step_finder{graph_, order_.added(), *found}.path(w, r, order_.added().size());
            break;
          }
          if (order_.before(w, at(r).source)) continue;
          more = true;
          if (order_.add({.from = w, .to = at(r).source, .reader = r}, last)) continue;
          found.emplace(causal_witness{.pattern = causal_pattern::cyclic_hb});
          found->chain = step_finder{graph_, order_.added(), *found}.circle_of(order_.added().size() - 1);
          break;
        }
        if (found) break;
      }
    }
    order_.undo();
    return found;
  }

  const causal_graph& graph_;
  const causal_model model_;
  causal_order order_;
};

} // namespace

std::string_view name_of(causal_model model) {
  switch (model) {
  case causal_model::cc:
    return "cc";
  case causal_model::ccv:
    return "ccv";
  case causal_model::cm:
    return "cm";
  }
  return "?";
}

tl::expected<causality_report, parse_error> check_causality(const history& all, causal_model model,
                                                            const causality_options& options) {
  const auto graph = causal_graph::of(all);
  if (!graph) return tl::unexpected(graph.error());
  causality_report report{.operations = all.operations.size(),
                          .sessions = graph->chains().size(),
                          .keys = graph->keys(),
                          .unknowns = graph->unknowns(),
                          .failed = graph->failed(),
                          .refutation = unexplained_read_of(*graph)};
  if (!report.refutation) {
    if (causal_order::bytes_for(*graph) > options.memory_bytes_max) {
      report.result = verdict::undecided;
      return report;
    }
    report.refutation = examination{*graph, model}.refute();
  }
  if (report.refutation) report.result = verdict::no;
  return report;
}

} // namespace troupe::check
