#include "protocol/check/causal_witness.hpp"

#include "protocol/assert.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <deque>
#include <set>
#include <sstream>

namespace troupe::check {

namespace {

std::string quoted(const std::optional<std::string>& value) {
  if (!value) return "nothing";
  constexpr std::size_t bytes_shown_max = 24;
  const bool whole = value->size() <= bytes_shown_max;
  return nlohmann::json(whole ? *value : value->substr(0, bytes_shown_max))
             .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)
         + (whole ? "" : "...");
}

/// "line 7 (client 2: put x = "a")".
std::string show(const history& all, std::uint32_t i) {
  const auto& op = all.operations[i];
  const auto where = op.line == 0 ? "operation " + std::to_string(i + 1) : "line " + std::to_string(op.line);
  auto what = std::string{to_string(op.kind)} + " " + op.key;
  if (op.kind == op_kind::get)
    what += " finds " + quoted(op.value);
  else if (op.kind == op_kind::cas)
    what += " from " + quoted(op.old) + " to " + quoted(op.value);
  else
    what += " = " + quoted(op.value);
  if (op.outcome != op_outcome::ok) what += ", " + std::string{to_string(op.outcome)};
  return where + " (client " + op.client + ": " + what + ")";
}

const std::optional<std::string>& found_by(const operation& op) {
  return op.kind == op_kind::get ? op.value : op.old;
}

bool reads(const operation& op) {
  return op.outcome == op_outcome::ok
         && (op.kind == op_kind::get || (op.kind == op_kind::cas && op.applied.value_or(false)));
}
bool writes(const operation& op) {
  return op.outcome != op_outcome::fail
         && (op.kind == op_kind::put || (op.kind == op_kind::cas && op.applied.value_or(true)));
}
bool reads_from(const operation& read, const operation& write) {
  return reads(read) && writes(write) && read.key == write.key && found_by(read) && *found_by(read) == *write.value;
}

} // namespace

std::string_view name_of(causal_pattern pattern) {
  switch (pattern) {
  case causal_pattern::thin_air_read:
    return "ThinAirRead";
  case causal_pattern::cyclic_co:
    return "CyclicCO";
  case causal_pattern::write_co_init_read:
    return "WriteCOInitRead";
  case causal_pattern::write_co_read:
    return "WriteCORead";
  case causal_pattern::cyclic_cf:
    return "CyclicCF";
  case causal_pattern::write_hb_init_read:
    return "WriteHBInitRead";
  case causal_pattern::cyclic_hb:
    return "CyclicHB";
  case causal_pattern::aborted_read:
    return "AbortedRead";
  case causal_pattern::cyclic_arbitration:
    return "CyclicArbitration";
  case causal_pattern::own_write_not_found:
    return "OwnWriteNotFound";
  case causal_pattern::went_back_to_nothing:
    return "WentBackToNothing";
  }
  return "?";
}

// -- words
// ------------------------------------------------------------------------------------------------------------

std::vector<std::string> reasons_of(const causal_witness& found, const history& all) {
  std::vector<std::string> reasons;
  for (const auto& s : found.steps) {
    switch (s.why) {
    case causal_step::kind::session:
      if (s.from != s.to) // the read and the write of one cas need no words
        reasons.push_back(show(all, s.from) + " comes before " + show(all, s.to) + ", in the same session.");
      break;
    case causal_step::kind::reads_from:
      reasons.push_back(show(all, s.to) + " reads what " + show(all, s.from) + " wrote.");
      break;
    case causal_step::kind::overwrite:
      reasons.push_back(show(all, s.from) + " must come before " + show(all, s.to) + ": " + show(all, s.reader)
                        + " reads the latter, with the former in its past.");
      break;
    }
  }
  const auto read = [&] { return show(all, found.read); };
  switch (found.pattern) {
  case causal_pattern::thin_air_read:
    reasons.push_back(read() + " reads what nobody wrote.");
    break;
  case causal_pattern::aborted_read:
    reasons.push_back(read() + " reads what was never done: " + show(all, found.written) + ".");
    break;
  case causal_pattern::cyclic_co:
    reasons.emplace_back("So each of these comes before itself.");
    break;
  case causal_pattern::write_co_init_read:
  case causal_pattern::write_hb_init_read:
  case causal_pattern::own_write_not_found:
  case causal_pattern::went_back_to_nothing:
    reasons.push_back("So " + read() + " has a write of the key in its past, and finds nothing.");
    break;
  case causal_pattern::write_co_read:
    reasons.push_back("So " + read() + " has " + show(all, found.replaced_by) + " in its past, which replaces what "
                      + show(all, found.written) + " wrote, and reads the latter.");
    break;
  case causal_pattern::cyclic_cf:
  case causal_pattern::cyclic_hb:
  case causal_pattern::cyclic_arbitration:
    reasons.emplace_back("So each of these comes before itself: no order of the writes explains what was read.");
    break;
  }
  return reasons;
}

std::vector<std::uint32_t> operations_of(const causal_witness& found) {
  std::set<std::uint32_t> named;
  for (const auto& s : found.steps) {
    named.insert({s.from, s.to});
    if (s.why == causal_step::kind::overwrite) named.insert(s.reader);
  }
  if (found.chain.empty() || found.pattern == causal_pattern::write_co_read) named.insert(found.read);
  if (found.pattern == causal_pattern::aborted_read) named.insert(found.written);
  return {named.begin(), named.end()};
}

std::string render(const causal_witness& found, const history& all) {
  std::ostringstream text;
  text << name_of(found.pattern) << '\n';
  for (const auto& reason : reasons_of(found, all))
    text << "  " << reason << '\n';
  return text.str();
}

// -- the check of a witness
// ------------------------------------------------------------------------------------------

namespace {

class inspector {
public:
  inspector(const causal_witness& found, const history& all) : found_{found}, all_{all} {}

  std::string flaw() const {
    for (std::size_t i = 0; i < found_.steps.size(); ++i)
      if (!holds(i)) return "step " + std::to_string(i + 1) + " does not hold";
    if (found_.read >= all_.operations.size() || found_.written >= all_.operations.size()
        || found_.replaced_by >= all_.operations.size())
      return "it names what is not there";
    return makes_pattern() ? "" : "the steps do not make " + std::string{name_of(found_.pattern)};
  }

private:
  const operation& at(std::uint32_t i) const { return all_.operations[i]; }

  /// Whether the two are of one session, in its order.
  bool ordered(std::uint32_t a, std::uint32_t b) const {
    if (a == b) return at(a).kind == op_kind::cas; // its read, then its write
    if (at(a).client != at(b).client || at(a).outcome != op_outcome::ok) return false;
    if (at(a).call && at(b).call) return std::pair{*at(a).call, a} < std::pair{*at(b).call, b};
    return a < b;
  }

  bool holds(std::size_t n) const {
    const auto& s = found_.steps[n];
    if (s.from >= all_.operations.size() || s.to >= all_.operations.size()) return false;
    switch (s.why) {
    case causal_step::kind::session:
      return ordered(s.from, s.to);
    case causal_step::kind::reads_from:
      return reads_from(at(s.to), at(s.from));
    case causal_step::kind::overwrite:
      if (s.reader >= all_.operations.size() || s.from == s.to) return false;
      return writes(at(s.from)) && writes(at(s.to)) && at(s.from).key == at(s.to).key
             && reads_from(at(s.reader), at(s.to)) && leads(s.past, s.from, s.reader, n);
    }
    return false;
  }

  /// Whether the steps, all of them before number `below`, lead from one operation to the other.
  bool leads(const std::vector<std::size_t>& steps, std::uint32_t from, std::uint32_t to, std::size_t below) const {
    auto here = from;
    for (const auto n : steps) {
      if (n >= below || n >= found_.steps.size() || found_.steps[n].from != here) return false;
      here = found_.steps[n].to;
    }
    return !steps.empty() && here == to;
  }

  bool only(const std::set<causal_step::kind>& kinds) const {
    return std::all_of(found_.chain.begin(), found_.chain.end(),
                       [&](std::size_t n) { return kinds.contains(found_.steps[n].why); });
  }

  /// Nothing but session order and reads-from leads to any conclusion of the witness.
  bool plain_pasts() const {
    return std::all_of(found_.steps.begin(), found_.steps.end(), [&](const causal_step& s) {
      return std::all_of(s.past.begin(), s.past.end(),
                         [&](std::size_t n) { return found_.steps[n].why != causal_step::kind::overwrite; });
    });
  }

  /// All that was concluded was concluded from reads of one session.
  bool of_one_reader(const std::optional<std::string>& client) const {
    std::optional<std::string> who = client;
    for (const auto& s : found_.steps) {
      if (s.why != causal_step::kind::overwrite) continue;
      if (who && *who != at(s.reader).client) return false;
      who = at(s.reader).client;
    }
    return true;
  }

  bool circle() const {
    if (found_.chain.empty() || found_.chain.front() >= found_.steps.size()) return false;
    const auto start = found_.steps[found_.chain.front()].from;
    return leads(found_.chain, start, start, found_.steps.size());
  }

  /// The chain leads from a write of the key to a read that finds nothing.
  bool finds_nothing() const {
    if (found_.chain.empty() || found_.chain.front() >= found_.steps.size()) return false;
    const auto from = found_.steps[found_.chain.front()].from;
    return writes(at(from)) && reads(at(found_.read)) && at(from).key == at(found_.read).key
           && !found_by(at(found_.read)) && leads(found_.chain, from, found_.read, found_.steps.size());
  }

  bool nobody_wrote() const {
    return std::none_of(all_.operations.begin(), all_.operations.end(),
                        [&](const operation& op) { return reads_from(at(found_.read), op); });
  }

  bool makes_pattern() const {
    const std::set plain{causal_step::kind::session, causal_step::kind::reads_from};
    switch (found_.pattern) {
    case causal_pattern::thin_air_read:
      return reads(at(found_.read)) && found_by(at(found_.read)) && nobody_wrote();
    case causal_pattern::aborted_read: {
      const auto& failed = at(found_.written);
      return reads(at(found_.read)) && failed.outcome == op_outcome::fail && failed.key == at(found_.read).key
             && failed.value == found_by(at(found_.read)) && nobody_wrote();
    }
    case causal_pattern::cyclic_co:
      return circle() && only(plain);
    case causal_pattern::write_co_init_read:
      return finds_nothing() && only(plain);
    case causal_pattern::own_write_not_found:
      return finds_nothing() && only({causal_step::kind::session});
    case causal_pattern::went_back_to_nothing:
      return finds_nothing() && only(plain);
    case causal_pattern::write_hb_init_read:
      return finds_nothing() && of_one_reader(at(found_.read).client);
    case causal_pattern::write_co_read: {
      const auto middle = std::find_if(found_.chain.begin(), found_.chain.end(),
                                       [&](std::size_t n) { return found_.steps[n].to == found_.replaced_by; });
      return middle != found_.chain.end() && only(plain) && found_.written != found_.replaced_by
             && writes(at(found_.replaced_by)) && at(found_.replaced_by).key == at(found_.read).key
             && reads_from(at(found_.read), at(found_.written))
             && leads(found_.chain, found_.written, found_.read, found_.steps.size());
    }
    case causal_pattern::cyclic_cf:
      return circle() && plain_pasts();
    case causal_pattern::cyclic_hb:
      return circle() && of_one_reader({});
    case causal_pattern::cyclic_arbitration:
      return circle() && plain_pasts();
    }
    return false;
  }

  const causal_witness& found_;
  const history& all_;
};

} // namespace

std::string flaw_of(const causal_witness& found, const history& all) { return inspector{found, all}.flaw(); }

std::optional<causal_witness> unexplained_read_of(const causal_graph& graph) {
  if (graph.unexplained().empty()) return std::nullopt;
  const auto& read = graph.unexplained().front();
  causal_witness found{.pattern = causal_pattern::thin_air_read, .read = read.operation};
  if (read.failed_write != causal_node::none) {
    found.pattern = causal_pattern::aborted_read;
    found.written = read.failed_write;
  }
  return found;
}

// -- shortest chains
// --------------------------------------------------------------------------------------------------

step_finder::step_finder(const causal_graph& graph, const std::vector<overwrite>& overwrites, causal_witness& into,
                         bool plain_pasts)
    : graph_{graph},
      overwrites_{overwrites},
      into_{into},
      plain_pasts_{plain_pasts},
      leaving_(graph.nodes().size()),
      lones_(graph.nodes().size()) {
  for (std::size_t n = 0; n < overwrites.size(); ++n)
    leaving_[overwrites[n].from].push_back(n);
  for (std::uint32_t n = 0; n < graph.nodes().size(); ++n)
    if (const auto after = graph.nodes()[n].after; after != causal_node::none) lones_[after].push_back(n);
}

/// Breadth first; within a session any later place is one step away.
bool step_finder::search(std::uint32_t a, std::uint32_t b, std::size_t known, std::vector<arrival>& came) {
  came.assign(graph_.nodes().size(), {});
  std::deque<std::uint32_t> open{a};
  bool reached = false;
  auto reach = [&](std::uint32_t from, std::uint32_t to, std::size_t by) {
    if (reached || came[to].from != causal_node::none) return;
    if (to == a && a != b) return;
    came[to] = {from, by};
    reached = to == b;
    open.push_back(to);
  };
  while (!open.empty() && !reached) {
    const auto n = open.front();
    open.pop_front();
    const auto& node = graph_.nodes()[n];
    const auto& chain = graph_.chains()[node.chain];
    for (auto i = node.position + 1; i < chain.size() && !reached; ++i)
      reach(n, chain[i], 0);
    for (const auto r : graph_.readers_of(n))
      reach(n, r, 0);
    for (const auto w : lones_[n])
      reach(n, w, 0);
    for (const auto o : leaving_[n])
      if (o < known) reach(n, overwrites_[o].to, o + 1);
  }
  return reached;
}

std::size_t step_finder::step(std::uint32_t from, std::uint32_t to, std::size_t by) {
  if (by == 0) {
    const auto& nodes = graph_.nodes();
    const bool read = nodes[from].write && !nodes[to].write && nodes[to].source == from
                      && nodes[from].operation != nodes[to].operation;
    into_.steps.push_back({.why = read ? causal_step::kind::reads_from : causal_step::kind::session,
                           .from = nodes[from].operation,
                           .to = nodes[to].operation});
    return into_.steps.size() - 1;
  }
  if (const auto known = known_steps_.find(by - 1); known != known_steps_.end()) return known->second;
  const auto& o = overwrites_[by - 1];
  auto past = path(o.from, o.reader, plain_pasts_ ? 0 : by - 1); // by what was known when it was concluded
  into_.steps.push_back({.why = causal_step::kind::overwrite,
                         .from = graph_.nodes()[o.from].operation,
                         .to = graph_.nodes()[o.to].operation,
                         .reader = graph_.nodes()[o.reader].operation,
                         .past = std::move(past)});
  return known_steps_[by - 1] = into_.steps.size() - 1;
}

std::vector<std::size_t> step_finder::steps_back(std::uint32_t a, std::uint32_t b, const std::vector<arrival>& came) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> ways;
  std::vector<std::size_t> by;
  auto here = b;
  do {
    ways.emplace_back(came[here].from, here);
    by.push_back(came[here].overwrite);
    here = came[here].from;
  } while (here != a);
  std::vector<std::size_t> steps;
  for (auto i = ways.size(); i-- > 0;)
    steps.push_back(step(ways[i].first, ways[i].second, by[i]));
  return steps;
}

std::vector<std::size_t> step_finder::path(std::uint32_t a, std::uint32_t b, std::size_t known) {
  std::vector<arrival> came;
  const bool there = search(a, b, known, came);
  TROUPE_ASSERT(there);
  return steps_back(a, b, came);
}

std::vector<std::size_t> step_finder::circle(const std::vector<std::uint32_t>& nodes, std::size_t known) {
  constexpr std::size_t tried_max = 64;
  std::vector<arrival> came, best;
  std::uint32_t start = causal_node::none;
  std::size_t length = 0;
  std::size_t tried = 0;
  for (const auto n : nodes) {
    if (start != causal_node::none && tried++ == tried_max) break;
    if (!search(n, n, known, came)) continue; // it only comes after a circle
    std::size_t steps = 1;
    for (auto here = came[n].from; here != n; here = came[here].from)
      ++steps;
    if (start != causal_node::none && steps >= length) continue;
    start = n;
    length = steps;
    best = came;
  }
  TROUPE_ASSERT(start != causal_node::none);
  return steps_back(start, start, best);
}

std::vector<std::size_t> step_finder::circle_of(std::size_t n) {
  std::vector<std::size_t> around;
  const auto closing = step(overwrites_[n].from, overwrites_[n].to, n + 1);
  around.push_back(closing);
  for (const auto s : path(overwrites_[n].to, overwrites_[n].from, n))
    around.push_back(s);
  return around;
}

} // namespace troupe::check
