#include "protocol/check/audit.hpp"

#include "protocol/check/check_command.hpp"
#include "protocol/check/sessions.hpp"

#include <algorithm>
#include <limits>
#include <sstream>
#include <string_view>

namespace troupe::check {

namespace {

constexpr std::size_t session_windows_longer = 4;
constexpr std::size_t text_bytes_max = 64;

std::uint64_t checksum(std::string_view bytes, std::uint64_t state = 0xCBF2'9CE4'8422'2325U) {
  for (const char c : bytes)
    state = (state ^ static_cast<unsigned char>(c)) * 0x100'0000'01B3U;
  return state;
}

/// Every bit of the result depends on every bit of `x` (the finalizer of splitmix64).
std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xBF58'476D'1CE4'E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D0'49BB'1331'11EBU;
  return x ^ (x >> 31U);
}

bool below(std::uint64_t hash, double rate) {
  if (rate <= 0) return false;
  return rate >= 1 || static_cast<double>(hash) < rate * 18446744073709551616.0;
}

std::size_t bytes_of(const audited& op) {
  const auto& line = op.line;
  return sizeof(audited) + op.type.size() + line.client.size() + line.key.size() + line.value.value_or("").size()
         + line.old.value_or("").size();
}

/// A witness in the words and the form of `troupe check`, and whether that refutes what was written.
struct replay {
  bool refuted = false;
  std::string text{};
  std::string history{};
};

int run_check(std::string_view property, std::istream& in, std::ostream& out, const check_options& options) {
  std::ostringstream err;
  if (property == "linearizability") return check_linearizability(in, out, err, options);
  for (const auto weak : weak_properties)
    if (name_of(weak) == property) return check_weaker(weak, in, out, err, options);
  return static_cast<int>(check_exit::bad_input);
}

/// Checks `all` as text, takes the witness as text, and checks that again.
replay replay_of(const history& all, std::string_view property, const check_options& options) {
  std::stringstream lines, witness;
  for (const auto& op : all.operations)
    write_operation(lines, op);
  auto with_witness = options;
  with_witness.witness_out = &witness;
  std::ostringstream ignored, text;
  if (run_check(property, lines, ignored, with_witness) != static_cast<int>(check_exit::no)) return {};
  replay done{.history = witness.str()};
  std::istringstream again{done.history};
  done.refuted = run_check(property, again, text, options) == static_cast<int>(check_exit::no);
  done.text = text.str();
  return done;
}

bool may_happen(const audited& op) { return op.line.outcome == op_outcome::unknown; }

/// Of a window that begins behind `cut_ns`: what had returned by then is gone, and what was under way may have
/// happened before, or not.
history cut_at(const std::vector<audited>& operations, std::int64_t cut_ns) {
  history all;
  for (const auto& op : operations) {
    auto line = op.line;
    if (line.outcome == op_outcome::ok && *line.call <= cut_ns) {
      if (line.kind == op_kind::get) continue;
      line.outcome = op_outcome::unknown;
      line.client = '"' + std::to_string(all.operations.size()) + " before the window\"";
      line.returned.reset();
      line.applied.reset();
      line.result.reset();
    }
    all.operations.push_back(std::move(line));
  }
  return all;
}

} // namespace

std::string_view name_of(promise p) {
  switch (p) {
  case promise::linearizable:
    return "strong";
  case promise::causal:
    return "causal";
  case promise::session:
    return "session";
  }
  return "?";
}

std::string to_string(const audit_version& v) {
  std::string text;
  for (const auto part : v.parts)
    text += (text.empty() ? "" : ".") + std::to_string(part);
  return text;
}

bool audit_sample::takes_key(std::string_view stored_key) const {
  return rate > 0 && below(mixed(checksum(stored_key) ^ mixed(seed)), rate);
}

bool audit_sample::takes_session(std::uint64_t session) const {
  return rate > 0 && below(mixed(session ^ mixed(seed)), rate);
}

std::string audit_text(std::string value) {
  if (value.size() <= text_bytes_max) return value;
  return std::to_string(value.size()) + " bytes, checksum " + std::to_string(checksum(value));
}

audit::window_name audit::name_for(const audited& op) {
  return {op.held_to, op.held_to == promise::linearizable ? op.line.key : std::string{}};
}

audit::window* audit::window_for(const audited& op) {
  auto name = name_for(op);
  const auto found = windows_.find(name);
  if (found != windows_.end()) return &found->second;
  if (windows_.size() >= options_.windows_max) return nullptr;
  auto& fresh = windows_[std::move(name)];
  fresh.cut = forgot_;
  fresh.cut_ns = forgot_ns_;
  fresh.gap = lost_;
  return &fresh;
}

bool audit::has_room_for(const audited& op) const {
  return operations_ < options_.operations_max && bytes_ + bytes_of(op) <= options_.bytes_max;
}

void audit::begin(std::uint64_t ticket, audited call) {
  if (!options_.complete || !call.line.call) return;
  auto* w = window_for(call);
  if (w == nullptr || !has_room_for(call)) {
    ++dropped_;
    (w == nullptr ? lost_ : w->gap) = true;
    return;
  }
  call.line.outcome = op_outcome::unknown;
  const auto bytes = bytes_of(call);
  if (!w->open.emplace(ticket, std::move(call)).second) return;
  ++operations_;
  bytes_ += bytes;
}

void audit::end(std::uint64_t ticket, audited done, effects& out) {
  if (!done.line.call) return;
  if (done.line.outcome == op_outcome::ok && (!done.line.returned || *done.line.returned < *done.line.call)) return;
  auto* w = window_for(done);
  if (w == nullptr) {
    ++dropped_;
    lost_ = true;
    return;
  }
  if (const auto open = w->open.find(ticket); open != w->open.end()) {
    bytes_ -= bytes_of(open->second);
    --operations_;
    w->open.erase(open);
  }
  // One that may still happen stays; where others are not seen anyway, it is like one of theirs.
  if (!options_.complete && done.line.outcome != op_outcome::ok) return;
  if (!has_room_for(done)) {
    ++dropped_;
    w->gap = true;
    return;
  }
  const auto name = name_for(done);
  take(*w, std::move(done));
  const auto full =
      options_.window_operations_max * (name.first == promise::linearizable ? 1 : session_windows_longer);
  if (w->ended.size() >= full && w->fresh >= full / 2) judge(name, *w, out);
}

void audit::take(window& w, audited op) {
  if (w.fresh == 0 || *op.line.call < w.since) w.since = *op.line.call;
  ++w.fresh;
  ++operations_;
  bytes_ += bytes_of(op);
  w.ended.push_back(std::move(op));
}

void audit::drop(window& w, std::size_t first, std::size_t last) {
  for (auto i = first; i < last; ++i)
    bytes_ -= bytes_of(w.ended[i]);
  operations_ -= last - first;
  w.ended.erase(w.ended.begin() + static_cast<std::ptrdiff_t>(first),
                w.ended.begin() + static_cast<std::ptrdiff_t>(last));
}

void audit::lose() {
  lost_ = true;
  for (auto& [name, w] : windows_)
    w.gap = true;
}

/// Keeps of a window that goes what its successor has to know.
void audit::give_up(window& w) {
  for (const auto& op : w.ended)
    forgot_ns_ = std::max(forgot_ns_, op.line.returned.value_or(*op.line.call));
  forgot_ns_ = std::max(forgot_ns_, w.cut_ns);
  forgot_ = true;
  lost_ = lost_ || w.gap;
  drop(w, 0, w.ended.size());
}

void audit::tick(std::int64_t now_ns, effects& out) {
  for (auto next = windows_.begin(); next != windows_.end();) {
    auto& [name, w] = *next;
    if (w.fresh > 0 && now_ns - w.since >= options_.window_ns) judge(name, w, out);
    // Nothing new for as long as two windows: what is kept of it makes room. But what may yet happen stays.
    const bool idle = w.fresh == 0 && w.open.empty() && now_ns - w.since >= 2 * options_.window_ns
                      && std::none_of(w.ended.begin(), w.ended.end(), may_happen);
    if (!idle) {
      ++next;
      continue;
    }
    give_up(w);
    next = windows_.erase(next);
  }
}

void audit::finish(effects& out) {
  for (auto& [name, w] : windows_)
    if (w.fresh > 0) judge(name, w, out);
}

namespace {

/// What a window is judged as, and how.
struct question {
  history all;
  std::vector<std::string_view> properties;
  std::string why_not; ///< it cannot be judged; empty = it can
};

/// @param cut_ns  none = the operations are all that ever were.
question question_of(promise held_to, const std::vector<audited>& operations, bool complete,
                     std::optional<std::int64_t> cut_ns) {
  question q;
  if (held_to == promise::linearizable)
    q.properties = {"linearizability"};
  else if (held_to == promise::causal)
    q.properties = {"cc", "ccv"};
  else
    q.properties = {"ryw", "mr", "mw", "wfr", "session"};
  if (!complete) {
    q.all = held_to == promise::linearizable ? history_of_versions(operations) : history_of_sessions(operations);
    if (q.all.operations.empty()) q.why_not = "no answer had a version";
    return q;
  }
  if (!cut_ns) {
    for (const auto& op : operations)
      q.all.operations.push_back(op.line);
  } else if (held_to == promise::linearizable) {
    auto started = history_with_any_start(cut_at(operations, *cut_ns));
    if (started)
      q.all = std::move(*started);
    else
      q.why_not = "what the key held before the window cannot be guessed";
  } else {
    q.why_not = "what the sessions did before the window is not known";
  }
  return q;
}

/// In a complete history of sessions the client of a call says whose it is, and calls that overlap are not
/// sequential.
check_options options_for(const audit_options& audit) {
  check_options options;
  options.search.states_max = audit.states_max;
  options.search.memory_bytes_max = audit.memory_bytes_max;
  options.search.witness_states_max = audit.states_max;
  return options;
}

verdict judged(const history& all, std::string_view property, const audit_options& limits, std::string& why,
               std::vector<std::uint32_t>& involved) {
  if (property == "linearizability") {
    auto search = options_for(limits).search;
    search.with_witness = false;
    const auto report = check_linearizability(all, search);
    if (!report) why = to_string(report.error());
    if (report && report->result == verdict::undecided) why = "the search took too long";
    return report ? report->result : verdict::undecided;
  }
  auto judge = [&](const auto& report) {
    if (!report) why = to_string(report.error());
    if (report && report->result == verdict::undecided) why = "the check takes too much memory";
    if (report && report->refutation) involved = operations_of(*report->refutation);
    return report ? report->result : verdict::undecided;
  };
  const causality_options bounds{.memory_bytes_max = limits.memory_bytes_max};
  if (property == "cc") return judge(check_causality(all, causal_model::cc, bounds));
  if (property == "ccv" || property == "session") return judge(check_causality(all, causal_model::ccv, bounds));
  for (const auto g : {session_guarantee::ryw, session_guarantee::mr, session_guarantee::mw, session_guarantee::wfr})
    if (name_of(g) == property) return judge(check_session_guarantee(all, g));
  why = "no such property";
  return verdict::undecided;
}

} // namespace

void audit::judge(const window_name& name, window& w, effects& out) {
  auto operations = w.ended;
  for (const auto& [ticket, op] : w.open)
    operations.push_back(op);
  auto q = question_of(name.first, operations, options_.complete, w.cut ? std::optional{w.cut_ns} : std::nullopt);
  if (options_.complete && w.gap) q.why_not = "operations of this window were lost";
  audit_finding finding{.held_to = name.first,
                        .type = name.first == promise::linearizable ? operations.front().type : "",
                        .key = name.second,
                        .operations = operations.size(),
                        .why = q.why_not};
  if (!q.why_not.empty()) finding.result = verdict::undecided;
  for (std::size_t i = 0; i < q.properties.size() && q.why_not.empty(); ++i) {
    std::vector<std::uint32_t> involved;
    const auto found = judged(q.all, q.properties[i], options_, finding.why, involved);
    if (found == verdict::undecided) finding.result = verdict::undecided;
    if (found != verdict::no) continue;
    finding.property = q.properties[i];
    if (!options_.complete && name.first == promise::linearizable)
      if (const auto two = contradiction_in(operations))
        q.all = history_of_versions({operations[two->first], operations[two->second]});
    auto proof = replay_of(q.all, finding.property, options_for(options_));
    finding.result = proof.refuted ? verdict::no : verdict::undecided;
    if (!proof.refuted) finding.why = "the refutation does not hold when it is checked again";
    finding.text = std::move(proof.text);
    finding.history = std::move(proof.history);
    if (involved.empty()) break;
    finding.key = q.all.operations[involved.back()].key;
    for (const auto& op : operations)
      if (op.line.key == finding.key) finding.type = op.type;
    break;
  }
  const bool refuted = finding.result == verdict::no;
  out.push_back(std::move(finding));
  keep_rest(name.first, w, refuted);
}

/// What the next window begins with: windows overlap, or what goes wrong across their ends would not be seen.
void audit::keep_rest(promise held_to, window& w, bool refuted) {
  w.fresh = 0;
  if (options_.complete || held_to != promise::linearizable) return keep_half(w, refuted);
  // Of what has returned, the highest version says all that later operations have to know. But the same proof again
  // would be no other.
  auto best = w.ended.end();
  for (auto op = w.ended.begin(); op != w.ended.end(); ++op)
    if (op->at && (best == w.ended.end() || op->at > best->at)) best = op;
  if (refuted || best == w.ended.end()) return drop(w, 0, w.ended.size());
  std::iter_swap(w.ended.begin(), best);
  drop(w, 1, w.ended.size());
}

void audit::keep_half(window& w, bool refuted) {
  const auto over = [](const audited& op) {
    return may_happen(op) ? std::numeric_limits<std::int64_t>::max() : op.line.returned.value_or(*op.line.call);
  };
  std::stable_sort(w.ended.begin(), w.ended.end(),
                   [&](const audited& a, const audited& b) { return over(a) < over(b); });
  auto last = refuted ? w.ended.size() : w.ended.size() / 2;
  while (last > 0 && may_happen(w.ended[last - 1]))
    --last; // else it would be forgotten, and may be seen yet
  if (last == 0) return;
  w.cut = true;
  w.cut_ns = std::max(w.cut_ns, over(w.ended[last - 1]));
  drop(w, 0, last);
}

} // namespace troupe::check
