/// The environment of several view keepers: a register that may leave its callers in doubt, a network that loses, and
/// a judge that sees every change of the record and every life that is taken.
#pragma once

#include "protocol/view_keeper.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace troupe::test {

/// What becomes of one request about the record.
struct register_fate {
  milliseconds there{2};          ///< until it happens
  milliseconds back{2};           ///< from then until the answer
  bool happens = true;            ///< else it never does; with `known`, that is an error
  bool known = true;              ///< else the answer is an error, whatever happened
  milliseconds answer_after{300}; ///< not known: the answer comes then, though it may happen later
};

class view_world {
public:
  static constexpr instant begin{std::chrono::hours{1}};

  explicit view_world(std::uint32_t count, std::uint64_t seed = 1) : random{seed} {
    for (std::uint32_t n = 1; n <= count; ++n)
      members.push_back({n});
  }

  // -- what a test sets
  std::mt19937_64 random;
  std::vector<node_id> members;
  instant now = begin;
  std::set<std::pair<node_id, node_id>> cut; ///< from, to
  std::set<node_id> without_register;        ///< their requests fail
  std::function<register_fate()> fate = [] { return register_fate{}; };
  int loss_percent = 0;
  milliseconds delay_max{2};
  bool always_caught_up = true; ///< with every view, as soon as it is known
  std::optional<std::string> record;

  // -- what a test reads
  struct running {
    std::optional<view_keeper> core;
    bool paused = false;
    std::vector<view> changes;
    std::vector<note> notes;
    std::uint64_t life = 0;
    bool superseded = false;
  };
  std::map<node_id, running> nodes;
  std::vector<std::string> violations;
  std::vector<std::pair<instant, view>> history; ///< of the record
  std::size_t reads = 0;
  std::size_t writes_tried = 0;

  view recorded() const { return history.empty() ? view{} : history.back().second; }
  std::size_t notes_of(node_id n, std::string_view name) {
    const auto& all = nodes[n].notes;
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [&](const note& x) { return x.name == name; }));
  }

  // -- what happens
  void start(node_id n) {
    kill(n);
    auto& it = nodes[n];
    it = {};
    view_keeper_options o;
    o.self = n;
    o.members = members;
    o.nonce = ++nonces_ * 1'000 + n.value;
    it.core.emplace(o);
    perform(n, [&](view_keeper& k, view_keeper::effects& out) { k.start(now, out); });
    for (const auto m : members)
      if (m != n && nodes[m].core && !is_cut(n, m)) connect(n, m, true);
  }
  void start_all() {
    for (const auto m : members)
      start(m);
  }
  void kill(node_id n) {
    auto& it = nodes[n];
    if (!it.core) return;
    it.core.reset();
    it.paused = false;
    std::erase_if(queue_, [&](const auto& e) { return e.second.to == n || e.second.dies_with == n; });
    for (const auto m : members)
      if (m != n && nodes[m].core) tell_peer(m, n, false);
  }
  /// In both directions; the links notice at once.
  void partition(node_id a, node_id b, bool apart) {
    if (apart == cut.contains({a, b})) return;
    if (apart) {
      cut.insert({a, b});
      cut.insert({b, a});
    } else {
      cut.erase({a, b});
      cut.erase({b, a});
    }
    if (nodes[a].core && nodes[b].core) connect(a, b, !apart);
  }
  void isolate(node_id n, bool apart) {
    for (const auto m : members)
      if (m != n) partition(n, m, apart);
    apart ? (void)without_register.insert(n) : (void)without_register.erase(n);
  }
  void say_caught_up(node_id n, bool reached, std::uint64_t as_of) {
    perform(n, [&](view_keeper& k, view_keeper::effects& out) { k.caught_up(reached, as_of, now, out); });
  }
  void tell(node_id to, node_id from, const v1::View& v) {
    v1::ViewChanged told;
    *told.mutable_view() = v;
    perform(to, [&](view_keeper& k, view_keeper::effects& out) { k.receive(from, told, now, out); });
  }
  void run(nanoseconds how_long) {
    const auto until = now + how_long;
    for (; now < until; now += milliseconds{1}) {
      while (!queue_.empty() && queue_.begin()->first <= now) {
        const auto next = queue_.begin();
        if (next->second.to.value != 0 && nodes[next->second.to].paused) { // it waits in the mailbox
          auto later = queue_.extract(next);
          later.key() = now + milliseconds{1};
          queue_.insert(std::move(later));
          continue;
        }
        const auto happens = std::move(next->second.what);
        queue_.erase(next);
        happens();
      }
      for (const auto m : members)
        if (nodes[m].core && !nodes[m].paused && nodes[m].core->wake_at() <= now)
          perform(m, [&](view_keeper& k, view_keeper::effects& out) { k.tick(now, out); });
    }
  }
  /// Until `reached`; false when it is not by then.
  bool run_until(const std::function<bool()>& reached, nanoseconds at_most) {
    for (const auto until = now + at_most; now < until && !reached();)
      run(milliseconds{1});
    return reached();
  }
  bool all_in() const {
    const auto last = recorded();
    return std::all_of(members.begin(), members.end(), [&](node_id m) { return last.counts(m); });
  }
  bool all_agree() {
    return std::all_of(members.begin(), members.end(), [&](node_id m) {
      return !nodes[m].core || (nodes[m].life != 0 && nodes[m].core->current() == recorded());
    });
  }

private:
  struct event {
    node_id to;        ///< whose mailbox; value 0 = nobody's
    node_id dies_with; ///< whose process, beside
    std::function<void()> what;
  };

  bool is_cut(node_id a, node_id b) const { return cut.contains({a, b}) || cut.contains({b, a}); }
  void connect(node_id a, node_id b, bool up) {
    tell_peer(a, b, up);
    tell_peer(b, a, up);
  }
  void tell_peer(node_id to, node_id about, bool up) {
    queue_.emplace(
        now, event{to, {}, [this, to, about, up] {
                     perform(to, [&](view_keeper& k, view_keeper::effects& out) { k.peer(about, up, now, out); });
                   }});
  }

  template <class Step> void perform(node_id n, Step&& step) {
    auto& it = nodes[n];
    if (!it.core) return;
    view_keeper::effects out;
    step(*it.core, out);
    for (auto& e : out)
      std::visit([&](auto& x) { carry_out(n, x); }, e);
  }
  void carry_out(node_id n, view_keeper::read& r) {
    ++reads;
    request(n, r.number, [this](view_keeper::answer& a) { a.bytes = record; });
  }
  void carry_out(node_id n, view_keeper::compare_and_set& c) {
    ++writes_tried;
    request(n, c.number, [this, expected = c.expected, value = c.value](view_keeper::answer& a) {
      a.applied = record == expected;
      if (a.applied)
        commit(value);
      else
        a.bytes = record;
    });
  }
  void request(node_id n, std::uint64_t number, std::function<void(view_keeper::answer&)> happen) {
    const auto f = without_register.contains(n) ? register_fate{.happens = false, .known = false} : fate();
    auto told = std::make_shared<view_keeper::answer>();
    told->number = number;
    if (f.happens) queue_.emplace(now + f.there, event{{}, {}, [told, happen] { happen(*told); }});
    const bool sure = f.happens && f.known;
    queue_.emplace(now + (sure ? f.there + f.back : f.answer_after),
                   event{n, n, [this, n, told, sure] {
                           auto a = *told;
                           if (!sure) {
                             a = {};
                             a.number = told->number;
                             a.error = errc::timeout;
                           }
                           perform(n, [&](view_keeper& k, view_keeper::effects& out) { k.receive(a, now, out); });
                         }});
  }
  void commit(const std::string& value) {
    const auto next = view_of(value);
    if (!next) return violations.push_back("a record that is no view");
    const auto before = recorded();
    const auto after = from_wire(*next);
    if (after.number != before.number + 1) violations.push_back("numbers do not grow by one: " + to_string(after));
    for (const auto& [node, standing] : before.nodes)
      if (after.life_of(node) < standing.life) violations.push_back("a life goes back: " + to_string(after));
    record = value;
    history.emplace_back(now, after);
  }
  void carry_out(node_id n, send& s) {
    if (s.to == n) return violations.push_back("a message to itself");
    if (cut.contains({n, s.to}) || !nodes[s.to].core) return;
    if (static_cast<int>(random() % 100) < loss_percent) return;
    const auto delay =
        milliseconds{static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(delay_max.count() + 1))};
    queue_.emplace(now + delay, event{s.to, {}, [this, n, to = s.to, e = s.envelope] {
                                        perform(to, [&](view_keeper& k, view_keeper::effects& out) {
                                          if (e.has_view_changed()) k.receive(n, e.view_changed(), now, out);
                                          if (e.has_view_heartbeat()) k.receive(n, e.view_heartbeat(), now, out);
                                        });
                                      }});
  }
  void carry_out(node_id n, view_keeper::changed& c) {
    auto& it = nodes[n];
    if (!it.changes.empty() && c.now.number <= it.changes.back().number)
      violations.push_back("views of " + to_string(n) + " do not grow");
    const bool real = std::any_of(history.begin(), history.end(), [&](const auto& h) { return h.second == c.now; });
    if (!real) violations.push_back("a view that was never committed: " + to_string(c.now));
    it.changes.push_back(c.now);
    if (always_caught_up)
      queue_.emplace(now, event{n, n, [this, n, number = c.now.number] { say_caught_up(n, true, number); }});
  }
  void carry_out(node_id n, view_keeper::joined& j) {
    if (!taken_.insert({n, j.life}).second)
      violations.push_back("a life is used by two starts: " + to_string(n) + "." + std::to_string(j.life));
    if (nodes[n].life != 0) violations.push_back("a start joins twice");
    nodes[n].life = j.life;
  }
  void carry_out(node_id n, view_keeper::superseded&) { nodes[n].superseded = true; }
  void carry_out(node_id n, note& what) { nodes[n].notes.push_back(std::move(what)); }

  std::multimap<instant, event> queue_;
  std::set<std::pair<node_id, std::uint64_t>> taken_; ///< lives
  std::uint64_t nonces_ = 0;
};

} // namespace troupe::test
