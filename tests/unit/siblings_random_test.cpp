// The optimized records against a naive twin that keeps the whole history: every update with its whole context.
#include "protocol/mutation.hpp"
#include "tests/support/seeds.hpp"
#include "tests/support/weak_updates.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr resolver_kind kinds[] = {resolver_kind::last_writer_wins, resolver_kind::siblings, resolver_kind::counter,
                                   resolver_kind::growing_counter,  resolver_kind::set,      resolver_kind::map};

bool hides(resolver_kind kind) { return kind == resolver_kind::last_writer_wins || kind == resolver_kind::map; }

/// An update as the twin knows it.
struct past {
  sent what;
  version_vector context;
  std::int64_t delta = 0;
  stamp when() const { return {what.update.clock(), what.from.node}; }
  bool is(v1::Update::Kind kind) const { return what.update.kind() == kind; }
  bool concerns(const past& other) const {
    return what.update.field().empty() || what.update.field() == other.what.update.field();
  }
  bool replaces(const past& other) const { return concerns(other) && context.covers(other.what.at()); }
};

struct history {
  std::vector<past> all;
  std::map<origin, std::vector<std::size_t>> by_origin; ///< in order

  std::vector<std::size_t> maximal(const std::set<std::size_t>& delivered) const {
    std::vector<std::size_t> out;
    for (const auto u : delivered)
      if (std::none_of(delivered.begin(), delivered.end(), [&](auto v) { return v != u && all[v].replaces(all[u]); }))
        out.push_back(u);
    return out;
  }

  std::string sum(const std::set<std::size_t>& delivered) const {
    std::map<node_id, dot> newest;
    for (const auto u : delivered)
      newest[all[u].what.from.node] = std::max(newest[all[u].what.from.node], all[u].what.at());
    std::int64_t total = 0;
    for (const auto& p : all) { // every acknowledged addition of the node up to there, delivered or not
      const auto i = newest.find(p.what.from.node);
      if (i != newest.end() && p.what.at() <= i->second) total += p.delta;
    }
    return newest.empty() ? "-" : std::to_string(total);
  }

  /// What a caller must see where exactly these were delivered.
  std::string shown(resolver_kind kind, const std::set<std::size_t>& delivered) const {
    if (kind == resolver_kind::counter || kind == resolver_kind::growing_counter) return sum(delivered);
    auto top = maximal(delivered);
    std::sort(top.begin(), top.end(), [&](auto x, auto y) { return all[x].when() > all[y].when(); });
    std::string out;
    const auto say = [&](const std::string& word) { out += (out.empty() ? "" : " ") + word; };
    if (kind == resolver_kind::last_writer_wins)
      return top.empty() || !all[top[0]].is(v1::Update::PUT) ? "-" : all[top[0]].what.update.value();
    if (kind == resolver_kind::siblings) {
      for (const auto u : top)
        if (all[u].is(v1::Update::PUT)) say(all[u].what.update.value());
      return out.empty() ? "-" : out;
    }
    std::map<std::string, std::string> fields;
    std::set<std::string> decided;
    for (const auto u : top) { // newest first
      const auto& update = all[u].what.update;
      if (kind == resolver_kind::set) {
        if (all[u].is(v1::Update::PUT)) fields[update.field()];
        continue;
      }
      if (update.field().empty()) break; // removed as a whole: nothing older is there
      if (decided.insert(update.field()).second && all[u].is(v1::Update::PUT))
        fields[update.field()] = update.value();
    }
    for (const auto& [field, value] : fields)
      say(field + (value.empty() ? "" : "=") + value);
    return out.empty() ? "-" : out;
  }
};

struct toy_node {
  origin self;
  std::uint64_t seq = 0, last_clock = 1;
  replica core;
  version_vector earlier;          ///< what it had received some time ago
  std::set<std::size_t> delivered; ///< what it should be the state of
};

/// One key of several replicas, for a while.
class trial {
public:
  trial(std::uint64_t seed, resolver_kind kind) : random_{seed}, kind_{kind} {
    nodes_.resize(3 + random_() % 2);
    for (std::uint32_t i = 0; i < nodes_.size(); ++i)
      nodes_[i].self = {{i + 1}, 1};
  }

  /// What was wrong first; nothing = all was right.
  std::optional<std::string> run(int steps) {
    for (int i = 0; i < steps && wrong_.empty(); ++i)
      step();
    settle();
    return wrong_.empty() ? std::nullopt : std::optional{wrong_};
  }

private:
  std::uint64_t pick(std::uint64_t n) { return random_() % n; }
  toy_node& some() { return nodes_[pick(nodes_.size())]; }

  void step() {
    const auto dice = pick(100);
    auto& n = some();
    if (dice < 35)
      write(n);
    else if (dice < 72)
      receive(n, some_origin());
    else if (dice < 78)
      receive_again(n);
    else if (dice < 82)
      join(n, some());
    else if (dice < 85)
      restart(n);
    else if (dice < 90)
      n.core.state.prune(n.core.received);
    else if (dice < 95)
      n.earlier = n.core.received;
    else
      collect(n);
    compare(n);
  }

  void compare(const toy_node& n) {
    const auto is = shown(kind_, n.core.state), should = history_.shown(kind_, n.delivered);
    if (is != should) fail("n" + std::to_string(n.self.node.value) + " shows '" + is + "', not '" + should + "'");
  }
  void fail(const std::string& what) {
    if (wrong_.empty()) wrong_ = std::string{name_of(kind_)} + ": " + what;
  }

  v1::WeakOperation operation() {
    v1::WeakOperation op;
    const auto field = "f" + std::to_string(pick(3)), value = "v" + std::to_string(++values_);
    const bool remove = pick(10) < 4;
    switch (kind_) {
    case resolver_kind::counter:
      op.mutable_add()->set_delta(static_cast<std::int64_t>(pick(20)) - 10);
      break;
    case resolver_kind::growing_counter:
      op.mutable_add()->set_delta(static_cast<std::int64_t>(pick(20)));
      break;
    case resolver_kind::set:
    case resolver_kind::map:
      if (remove && pick(4) == 0)
        op.mutable_remove();
      else if (remove)
        op.mutable_remove_field()->set_field(field);
      else
        op.mutable_put_field()->set_field(field);
      if (op.has_put_field() && kind_ == resolver_kind::map) op.mutable_put_field()->set_value(value);
      break;
    default:
      if (remove)
        op.mutable_remove();
      else
        op.mutable_put()->set_value(value);
    }
    return op;
  }

  void write(toy_node& n) {
    auto op = operation();
    auto context = n.core.received;
    const auto how = pick(10);
    if (how < 2) context = n.earlier; // a session that looks at an older state
    if (how == 2) {                   // what a client has read at another node
      auto& read = some();
      to_wire(resolve(kind_, read.core.state).context, *op.mutable_context());
      n.last_clock = std::max(n.last_clock, read.last_clock); // its token
    }
    auto update =
        draft({.kind = kind_, .operation = op, .visible = n.core.state, .self = n.self.node, .context = context});
    if (!update) return fail("refused");
    n.seq += 1 + pick(2); // updates of other keys are numbered in between
    // Clocks are some milliseconds apart, and many updates are made in each.
    n.last_clock = std::max<std::uint64_t>((1 + values_ / 40 + pick(3)) << 16, n.last_clock + 1);
    update->set_seq(n.seq);
    update->set_clock(n.last_clock);
    sent s{n.self, std::move(*update)};
    history_.by_origin[n.self].push_back(history_.all.size());
    history_.all.push_back({s, from_wire(s.update.context()), op.add().delta()});
    take(n, history_.all.size() - 1);
  }

  void take(toy_node& n, std::size_t u) {
    const auto& s = history_.all[u].what;
    if (pick(4) == 0) { // twice, before anybody has noted that it is here
      const auto received = n.core.received;
      n.core.merge(s, n.self.node);
      n.core.received = received;
    }
    n.core.merge(s, n.self.node);
    n.last_clock = std::max(n.last_clock, s.update.clock());
    n.delivered.insert(u);
  }

  origin some_origin() {
    if (history_.by_origin.empty()) return {};
    auto i = history_.by_origin.begin();
    std::advance(i, static_cast<std::ptrdiff_t>(pick(history_.by_origin.size())));
    return i->first;
  }

  bool receive(toy_node& n, const origin& from) {
    for (const auto u : history_.by_origin[from]) {
      if (n.core.received.covers(history_.all[u].what.at())) continue;
      take(n, u);
      return true;
    }
    return false;
  }

  void receive_again(toy_node& n) {
    if (n.delivered.empty()) return;
    auto i = n.delivered.begin();
    std::advance(i, static_cast<std::ptrdiff_t>(pick(n.delivered.size())));
    const auto& what = history_.all[*i].what;
    const auto before = n.core;
    n.core.merge(what, n.self.node);
    // One that a join has brought, and the stream not yet, may leave its context as excess.
    const bool same = before.received.covers(what.at()) ? n.core.state == before.state
                                                        : n.core.state.entries() == before.state.entries();
    if (!same) fail("a duplicate changed something");
    n.core.received = before.received;
  }

  void join(toy_node& to, const toy_node& from) {
    sibling_set::loser_list losers{to.self.node, to.core.lost};
    to.core.state.join(from.core.state, {.own = to.core.received, .others = from.core.received, .losers = &losers});
    to.delivered.insert(from.delivered.begin(), from.delivered.end());
    to.last_clock = std::max(to.last_clock, from.last_clock);
    // Either of this key alone, and the streams go on; or a cut is complete.
    if (pick(2) == 0) to.core.received.join(from.core.received);
  }

  void restart(toy_node& n) {
    ++n.self.life;
    n.seq = 0;
  }

  void collect(toy_node& n) {
    auto stable = nodes_[0].core.received;
    for (const auto& m : nodes_)
      stable.meet(m.core.received);
    auto clock = nodes_[0].last_clock;
    for (const auto& m : nodes_)
      clock = std::min(clock, m.last_clock);
    for (const auto& p : history_.all)
      if (!stable.covers(p.what.at())) clock = std::min(clock, p.what.update.clock() - 1);
    n.core.state.collect_tombstones({.stable = stable, .clock = clock, .hides = hides(kind_)});
  }

  /// Everything reaches everybody: then all are equal, to the byte.
  void settle() {
    for (auto& n : nodes_) {
      for (const auto& [from, updates] : history_.by_origin)
        while (receive(n, from)) {
        }
      compare(n);
      n.core.state.prune(n.core.received);
      if (n.core.state.has_excess()) fail("excess is left");
    }
    for (auto& n : nodes_)
      n.last_clock = std::max(n.last_clock, std::uint64_t{1} << 40);
    for (auto& n : nodes_) {
      collect(n);
      compare(n);
      if (bytes_of(n.core.state) != bytes_of(nodes_[0].core.state)) fail("E1: records differ");
      if (hash_of("t:k", n.core.state) != hash_of("t:k", nodes_[0].core.state)) fail("E1: hashes differ");
    }
    count_tombstones();
    if (kind_ == resolver_kind::last_writer_wins) judge_losers();
  }

  /// Nothing is kept without need.
  void count_tombstones() {
    const auto& state = nodes_[0].core.state;
    for (const auto& t : state.entries()) {
      if (t.kind != sibling_kind::tombstone) continue;
      const bool needed = std::any_of(state.entries().begin(), state.entries().end(), [&](const sibling& s) {
        return s.kind == sibling_kind::value && s.when < t.when && (t.field.empty() || t.field == s.field);
      });
      if (!needed || !hides(kind_)) fail("a tombstone is left");
    }
  }

  /// Whatever nobody replaced knowingly, and does not win, stands in the ledger of its origin.
  void judge_losers() {
    std::map<dot, node_id> lost;
    for (const auto& n : nodes_)
      for (const auto& l : n.core.lost) {
        if (l.at.from.node != n.self.node) fail("a loser of another node");
        lost.emplace(l.at, n.self.node);
        for (const auto& w : history_.all)
          if (w.what.at() == l.winner && (w.context.covers(l.at) || !(w.when() > l.when)))
            fail("that was no conflict");
      }
    for (const auto& p : history_.all) {
      if (!p.is(v1::Update::PUT)) continue;
      const auto any = [&](auto what) { return std::any_of(history_.all.begin(), history_.all.end(), what); };
      const bool replaced = any([&](const past& q) { return q.what.at() != p.what.at() && q.replaces(p); });
      const bool beaten = any([&](const past& q) {
        return q.when() > p.when()
               && !any([&](const past& r) { return r.what.at() != q.what.at() && r.replaces(q); });
      });
      if (!replaced && beaten && !lost.contains(p.what.at()))
        fail("a loser is in no ledger: " + to_string(p.what.at()));
    }
  }

  std::mt19937_64 random_;
  resolver_kind kind_;
  std::vector<toy_node> nodes_;
  history history_;
  std::uint64_t values_ = 0;
  std::string wrong_;
};

std::optional<std::string> run_all(std::uint64_t seed) {
  for (const auto kind : kinds)
    if (auto wrong = trial{seed, kind}.run(80 + static_cast<int>(seed % 200))) return wrong;
  return std::nullopt;
}

/// Updates of a key with arbitrary contexts, as no honest replica would write them.
std::vector<sent> garbage(std::mt19937_64& random) {
  std::vector<sent> out;
  for (const auto& from : {a, a2, b, c})
    for (std::uint64_t seq = 1; seq <= 3; ++seq) {
      version_vector context;
      for (const auto& known : {a, a2, b, c})
        if (random() % 3 == 0) context.raise(known, 1 + random() % 5);
      const auto field = random() % 2 == 0 ? "" : "f" + std::to_string(random() % 2);
      const stamped at{{from, seq}, 1 + random() % 9};
      if (random() % 4 == 0)
        out.push_back(counted(at, static_cast<std::int64_t>(seq), 1));
      else if (random() % 3 == 0)
        out.push_back(removed(at, context, field));
      else
        out.push_back(put(at, to_string(at.at), context, field));
    }
  std::shuffle(out.begin(), out.end(), random);
  out.resize(1 + random() % out.size());
  return out;
}

sibling_set state_of(const std::vector<sent>& updates) {
  sibling_set out;
  for (const auto& s : updates)
    out.merge(s.from, s.update, {.received = {}});
  return out;
}

sibling_set joined(sibling_set x, const sibling_set& y) {
  x.join(y, {.own = {}, .others = {}});
  return x;
}

} // namespace

TEST_CASE(
    "E1, E3: the views of all resolvers are those of a twin that keeps the whole history, and settled records are "
    "equal to the byte") {
  const auto n = seeds(150);
  for (std::uint64_t seed = 1; seed <= n; ++seed) {
    INFO("seed " << seed);
    const auto wrong = run_all(seed);
    REQUIRE_MESSAGE(!wrong, *wrong);
  }
}

TEST_CASE(
    "merge takes updates in any order and any number of times, join is commutative, associative and idempotent, "
    "and joins what merge would have merged") {
  const auto n = seeds(400);
  for (std::uint64_t seed = 1; seed <= n; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random{seed};
    auto updates = garbage(random);
    const auto whole = state_of(updates);
    const auto third = static_cast<std::ptrdiff_t>(updates.size() / 3);
    const std::vector<sent> one{updates.begin(), updates.begin() + 2 * third},
        two{updates.begin() + third, updates.end()}, three{updates.begin(), updates.begin() + third};
    const auto x = state_of(one), y = state_of(two), z = state_of(three);
    CHECK(bytes_of(joined(x, y)) == bytes_of(whole));
    CHECK(joined(x, y) == joined(y, x));
    CHECK(joined(joined(x, y), z) == joined(x, joined(y, z)));
    CHECK(joined(x, x) == x);
    updates.insert(updates.end(), two.begin(), two.end());
    std::shuffle(updates.begin(), updates.end(), random);
    CHECK(bytes_of(state_of(updates)) == bytes_of(whole));
    v1::WeakRecord record;
    to_wire(whole, record);
    CHECK(from_wire(record) == whole);
  }
}

TEST_CASE("every planted mistake in the records is caught") {
  for (const auto m : record_mutations) {
    plant(m);
    std::optional<std::string> wrong;
    std::uint64_t seed = 0;
    while (!wrong && seed < 50)
      wrong = run_all(++seed);
    plant(mutation::none);
    INFO(name_of(m));
    CHECK(wrong.has_value());
    if (wrong) MESSAGE(name_of(m) << ": seed " << seed << ", " << *wrong);
  }
}
