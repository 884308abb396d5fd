// Sessions on the toy cluster: managers and clients in one, and the judge of what they are told. It keeps its own
// books of what was answered, and never asks the replicas for their opinion before the end.
#include "tests/support/replica_cluster.hpp"

#include "protocol/cluster.hpp"
#include "protocol/session/session_vector.hpp"
#include "protocol/version_vector.hpp"
#include "protocol/wire.hpp"

#include <algorithm>
#include <string>

namespace troupe::replicas {

namespace {

std::uint64_t number_in(const std::string& value) { return value.empty() ? 0 : std::stoull(value); }

} // namespace

struct sessions::session {
  session(sessions& s, std::uint64_t number) : all{s}, cluster{s.cluster_}, id{number} {}

  sessions& all;
  cluster_run& cluster;
  std::uint64_t id;
  const std::uint64_t base = id;
  std::uint64_t requests = 0;

  session_vector vector = fresh();

  // The operation that is under way.
  v1::WeakOperation op;
  node_id at, manager;
  bool busy = false;
  std::uint64_t attempt_number = 0;
  instant gives_up;
  std::function<void(const v1::WeakAnswer*)> then; ///< null = no answer; its outcome is not known
  bool over = false;                               ///< an unknown outcome ended it

  /// One of the key's replicas that is up; preferably of this session's last region.
  node_id some_replica(const std::string& key) {
    const auto set = cluster.replicas_of(key);
    for (int n = 0; n < 8; ++n) {
      const auto who = set[cluster.random(set.size())];
      if (cluster.is_up(who)) return who;
    }
    return set.front();
  }

  v1::WeakOperation make(const std::string& key) {
    v1::WeakOperation o;
    o.mutable_id()->set_session(id);
    o.mutable_id()->set_number(++requests);
    o.set_key(key);
    o.set_shard(shard_of(key, cluster.options_.shards).value);
    o.set_level(static_cast<std::uint32_t>(cluster.types().at(key.substr(0, key.find(':'))).consistency));
    o.set_budget_us(60'000 + cluster.random(100'000));
    o.set_guarantees(guarantee::all);
    return o;
  }
  stream_lane lane_of(const std::string& key) const {
    const auto& type = cluster.types().at(key.substr(0, key.find(':')));
    return type.consistency == level::eventual ? stream_lane::free : stream_lane::ordered;
  }
  /// Some remember so few of their own writes that they wait for older ones.
  session_vector fresh() const { return id % 2 == 0 ? session_vector{} : session_vector{2}; }

  void begin(v1::WeakOperation o, std::function<void(const v1::WeakAnswer*)> done) {
    busy = true;
    op = std::move(o);
    then = std::move(done);
    at = some_replica(op.key());
    manager =
        cluster.chance(60) ? at : node_id{static_cast<std::uint32_t>(1 + cluster.random(cluster.options_.nodes))};
    if (!op.has_cut()) vector.attach(op, lane_of(op.key()));
    if (is_write(op)) {
      op.set_executor(at.value);
      if (cluster.chance(50)) op.set_executor_life(cluster.life_of(at));
    }
    op.set_attempt(0);
    gives_up = cluster.now() + 400 * ms;
    ++cluster.outcome_.operations;
    attempt();
  }
  void attempt() {
    op.set_attempt(op.attempt() + 1);
    if (op.attempt() > 1) ++cluster.outcome_.retries;
    const auto mine = ++attempt_number;
    if (!cluster.is_up(manager)) manager = at;
    cluster.ask(manager, at, op);
    // Sometimes a retry overtakes the answer; and sometimes an answer is lost.
    const auto patience = cluster.chance(10) ? 300 * us : nanoseconds{15 * ms + cluster.up_to(200 * ms)};
    cluster.at(cluster.now() + patience, [this, mine] {
      if (!busy || attempt_number != mine) return;
      if (cluster.now() < gives_up) return attempt();
      finish(nullptr);
    });
  }
  void finish(const v1::WeakAnswer* a) {
    busy = false;
    ++attempt_number;
    if (a == nullptr) ++cluster.outcome_.unknown;
    auto next = std::exchange(then, nullptr);
    next(a);
  }

  void answered(const v1::WeakAnswer& a) {
    if (!busy || a.id().number() != op.id().number()) return;
    const auto error = static_cast<errc>(a.result().error());
    // Nothing was done there yet, or not there: once more.
    bool again = error == errc::not_joined || error == errc::unavailable || error == errc::overloaded
                 || error == errc::expired || error == errc::dependency_timeout;
    again = again && !a.executed_elsewhere();
    // What is refused was not done, unless another attempt was.
    const bool refused = is_write(op) && error != errc::none && outcome_of(error) == outcome::not_done;
    const bool for_all = a.executed_elsewhere() || op.attempt() == 1 || (a.settled() && a.attempt() == op.attempt());
    const bool open = refused && !for_all;
    vector.raise_by(op.key(), a, lane_of(op.key()));
    if (error == errc::lost_update) over = true; // it is told so; another one takes its place
    if ((again || open) && cluster.now() < gives_up) {
      const auto mine = ++attempt_number;
      cluster.at(cluster.now() + 3 * ms, [this, mine] {
        if (busy && attempt_number == mine) attempt();
      });
      return;
    }
    if (open) return finish(nullptr);
    if (error == errc::none) {
      ++cluster.outcome_.done;
    } else {
      ++cluster.outcome_.failed;
    }
    finish(&a);
  }

  void get(const std::string& key, std::function<void(const v1::WeakAnswer*)> done) {
    auto o = make(key);
    o.mutable_get();
    begin(std::move(o), std::move(done));
  }
  void put(const std::string& key, const std::string& value, std::function<void(const v1::WeakAnswer*)> done) {
    auto o = make(key);
    o.mutable_put()->set_value(value);
    begin(std::move(o), std::move(done));
  }

  /// Whether an answer says that the write was executed. A bound for what was forgotten is no write.
  static bool executed(const v1::WeakAnswer* a) {
    return a != nullptr && a->written().seq() != 0 && static_cast<errc>(a->result().error()) != errc::forgotten;
  }
  static bool done(const v1::WeakAnswer* a) { return a != nullptr && a->result().error() == 0; }
  static std::string name(const v1::WeakAnswer* a) {
    return a == nullptr ? "none" : std::string{name_of(static_cast<errc>(a->result().error()))};
  }
  /// Another session takes its place: what this one has written is not known.
  void ends() {
    over = true;
    later();
  }
  void become_another() {
    over = false;
    id = base + 1'000 * ++all.generations_;
    requests = step = highest = last_read = 0;
    vector = fresh();
    choose_keys();
  }
  void choose_keys() {
    key_a = (kind == "pairer" ? "pair:" : "grow:") + std::to_string(id) + "a";
    key_b = "pair:" + std::to_string(id) + "b";
    if (kind == "pairer") all.pairs_.push_back(std::to_string(id));
  }
  /// One of the newest.
  std::string some_of(const std::vector<std::string>& names) {
    const auto recent = std::min<std::size_t>(names.size(), 12);
    return names[names.size() - 1 - cluster.random(recent)];
  }

  // --- what it does ---

  std::string kind;
  std::uint64_t step = 0, highest = 0, last_read = 0;
  std::string key_a, key_b;

  void go() {
    if (busy) return;
    if (cluster.calm_) return later();
    if (over) become_another();
    if (kind == "asker") {
      ++step;
      const auto name = std::to_string(id) + "." + std::to_string(step);
      all.questions_.push_back(name);
      return put("qa:q" + name, "1", [this](const auto* a) {
        if (a == nullptr) return ends();
        later();
      });
    }
    if (kind == "answerer") return answer_questions();
    if (kind == "reader") return read_answers();
    if (kind == "grower") return grow();
    if (kind == "pairer") return pair();
    if (kind == "watcher") return watch();
    if (kind == "counter") return count();
    if (kind == "writer") return write_some();
    later();
  }
  void later() {
    cluster.at(cluster.now() + cluster.up_to(4'000 * us), [this] { go(); });
  }

  void answer_questions() {
    if (all.questions_.empty()) return later();
    const auto name = some_of(all.questions_);
    get("qa:q" + name, [this, name](const auto* a) {
      if (!done(a) || !a->result().exists()) return later();
      all.answers_.push_back(name);
      put("qa:a" + name, "1", [this](const auto* written) { written == nullptr ? ends() : later(); });
    });
  }
  /// C1: who has seen the answer sees the question, wherever he looks. C2: so does a snapshot.
  void read_answers() {
    if (all.answers_.empty()) return later();
    const auto name = some_of(all.answers_);
    get("qa:a" + name, [this, name](const auto* a) {
      if (!done(a) || !a->result().exists()) return later();
      if (cluster.chance(30)) return snapshot(name, a->session());
      get("qa:q" + name, [this, name](const auto* q) {
        if (done(q)) ++cluster.outcome_.answers_checked;
        if (done(q) && !q->result().exists()) cluster.violate("C1: the answer to " + name + " was seen without it");
        later();
      });
    });
  }
  void snapshot(const std::string& name, const v1::SessionVector& at_cut) {
    const auto cut = at_cut.seen();
    auto o = make("qa:a" + name);
    o.mutable_get();
    *o.mutable_cut() = cut;
    begin(std::move(o), [this, name, cut](const auto* a) {
      if (!done(a)) return later();
      const bool answered_there = a->result().exists();
      auto q = make("qa:q" + name);
      q.mutable_get();
      *q.mutable_cut() = cut;
      begin(std::move(q), [this, name, answered_there](const auto* found) {
        if (done(found)) ++cluster.outcome_.snapshots;
        if (!answered_there) cluster.violate("C2: a cut lacks what was read at it: " + name);
        if (done(found) && !found->result().exists())
          cluster.violate("C2: a cut shows the answer to " + name + " alone");
        later();
      });
    });
  }

  /// T1, T2: one number that grows, and is never read below what was written or read.
  void grow() {
    if (cluster.chance(50)) {
      ++step;
      return put(key_a, std::to_string(step), [this, n = step](const auto* a) {
        if (a == nullptr) return ends();
        if (executed(a)) {
          if (done(a)) highest = n;
          all.grown_[key_a] = n;
        }
        later();
      });
    }
    get(key_a, [this](const auto* a) {
      if (a == nullptr) return later();
      if (static_cast<errc>(a->result().error()) == errc::lost_update) return ends();
      if (!done(a)) return later();
      const auto n = number_in(a->result().value());
      if (n < highest) {
        cluster.violate("T1: session " + std::to_string(id) + " wrote " + std::to_string(highest) + " and read "
                        + std::to_string(n));
      }
      if (n < last_read) {
        cluster.violate("T2: session " + std::to_string(id) + " read " + std::to_string(last_read) + " and then "
                        + std::to_string(n));
      }
      last_read = std::max(last_read, n);
      later();
    });
  }
  /// Writes n to the first key and then n to the second: whoever sees the second sees the first (T3).
  void pair() {
    if (step % 2 == 0) ++highest;
    ++step;
    const auto key = step % 2 == 1 ? key_a : key_b;
    auto o = make(key);
    o.mutable_put()->set_value(std::to_string(highest));
    o.set_budget_us(30'000 + cluster.random(30'000)); // little more than the others need to acknowledge it
    begin(std::move(o), [this](const auto* a) {
      // Executed, though it may be that not enough replicas are known to have it: the order stands all the same.
      if (!executed(a)) return ends();
      later();
    });
  }
  void watch() {
    if (all.pairs_.empty()) return later();
    const auto which = some_of(all.pairs_);
    key_a = "pair:" + which + "a";
    key_b = "pair:" + which + "b";
    get(key_b, [this](const auto* b) {
      if (!done(b)) return later();
      const auto n = number_in(b->result().value());
      get(key_a, [this, n](const auto* a) {
        if (done(a)) ++cluster.outcome_.answers_checked;
        if (done(a) && number_in(a->result().value()) < n) {
          cluster.violate("T3: " + key_b + " is " + std::to_string(n) + " while " + key_a + " is "
                          + a->result().value());
        }
        later();
      });
    });
  }

  /// E2: counters are what was added, what is not known bounds it above.
  void count() {
    const std::string key = (cluster.chance(50) ? "count:" : "hot:") + std::to_string(cluster.random(3));
    const bool up = cluster.chance(70);
    auto o = make(key);
    o.mutable_add()->set_delta(up ? 1 : -1);
    begin(std::move(o), [this, key, up](const auto* a) {
      auto& c = all.counters_[key];
      const auto error = a == nullptr ? errc::timeout : static_cast<errc>(a->result().error());
      if (error == errc::none) {
        ++(up ? c.acknowledged_up : c.acknowledged_down);
      } else if (a == nullptr || outcome_of(error) == outcome::unknown) {
        ++(up ? c.unknown_up : c.unknown_down);
      }
      later();
    });
  }

  /// E1-E3: keys of all kinds; some are written once, some removed for good.
  void write_some() {
    ++step;
    const auto what = cluster.random(100);
    const auto name = std::to_string(cluster.random(6));
    if (what < 20) {
      const auto key = "once:" + std::to_string(id) + "." + std::to_string(step);
      return put(key, "x", [this, key](const auto* a) {
        if (done(a)) all.once_.insert(key);
        later();
      });
    }
    if (what < 35) {
      // Written here, read and removed there, and never written again.
      const auto key = "many:doomed" + std::to_string(id) + "." + std::to_string(step);
      return put(key, "x", [this, key](const auto* a) {
        if (!done(a)) return a == nullptr ? ends() : later();
        get(key, [this, key](const auto* found) {
          if (!done(found) || found->items_size() == 0) return later();
          auto o = make(key);
          o.mutable_remove();
          *o.mutable_context() = found->context();
          begin(std::move(o), [this, key](const auto* removed) {
            if (done(removed)) all.doomed_.insert(key);
            removed == nullptr ? ends() : later();
          });
        });
      });
    }
    const auto done_with = [this](const auto* a) {
      const bool unknown = a == nullptr && op.level() > 0;
      unknown ? ends() : later();
    };
    if (what < 55) return put("mix:" + name, std::to_string(id) + "/" + std::to_string(step), done_with);
    if (what < 65) {
      auto o = make("mix:" + name);
      o.mutable_remove();
      return begin(std::move(o), done_with);
    }
    if (what < 80) {
      auto o = make("tags:" + name);
      if (cluster.chance(60)) {
        o.mutable_put_field()->set_field(std::to_string(cluster.random(5)));
      } else {
        o.mutable_remove_field()->set_field(std::to_string(cluster.random(5)));
      }
      return begin(std::move(o), done_with);
    }
    get("many:" + name, [this, name, done_with](const auto* a) {
      if (!done(a)) return later();
      auto o = make("many:" + name);
      if (cluster.chance(80)) {
        o.mutable_put()->set_value(std::to_string(id) + "/" + std::to_string(step));
      } else {
        o.mutable_remove();
      }
      if (cluster.chance(80)) *o.mutable_context() = a->context();
      begin(std::move(o), done_with);
    });
  }
};

sessions::sessions(cluster_run& cluster) : cluster_{cluster} {
  cluster_.answered = [this](const v1::WeakAnswer& a) {
    for (auto& s : all_)
      if (s->id == a.id().session()) s->answered(a);
  };
  const auto add = [this](std::uint64_t id, const std::string& kind) {
    all_.push_back(std::make_unique<session>(*this, id));
    all_.back()->kind = kind;
    all_.back()->choose_keys();
    all_.back()->later();
  };
  add(101, "asker");
  add(102, "asker");
  for (std::uint64_t n = 0; n < 2; ++n)
    add(110 + n, "answerer");
  for (std::uint64_t n = 0; n < 4; ++n) {
    add(120 + n, "reader");
    add(130 + n, "grower");
    add(150 + n, "watcher");
  }
  for (std::uint64_t n = 0; n < 2; ++n)
    add(140 + n, "pairer");
  for (std::uint64_t n = 0; n < 3; ++n)
    add(170 + n, "counter");
  for (std::uint64_t n = 0; n < 4; ++n)
    add(180 + n, "writer");
}
sessions::~sessions() = default;

bool sessions::idle() const {
  return std::none_of(all_.begin(), all_.end(), [](const auto& s) { return s->busy; });
}

void sessions::judge_end(const std::vector<node_id>& nodes) {
  for (const auto node : nodes) {
    if (!cluster_.trusted(node)) continue;
    const auto has = [&](const std::string& key) {
      const auto set = cluster_.replicas_of(key);
      return std::find(set.begin(), set.end(), node) != set.end();
    };
    const bool whole = !cluster_.options_.lost_disk; // a lost disk takes the node's own sums with it
    for (const auto& [key, c] : counters_) {
      if (!has(key) || !whole) continue;
      const auto n = cluster_.peek(node, key).result().number();
      const auto low = c.acknowledged_up - c.acknowledged_down - c.unknown_down;
      const auto high = c.acknowledged_up + c.unknown_up - c.acknowledged_down;
      if (n < low || n > high) {
        cluster_.violate("E2: " + key + " is " + std::to_string(n) + " at " + to_string(node) + ", not within "
                         + std::to_string(low) + ".." + std::to_string(high));
      }
    }
    for (const auto& key : once_)
      if (has(key) && !cluster_.peek(node, key).result().exists())
        cluster_.violate("E2: " + key + " was answered, and is not at " + to_string(node));
    for (const auto& key : doomed_)
      if (has(key) && cluster_.peek(node, key).items_size() > 0)
        cluster_.violate("E3: " + key + " was removed, and is at " + to_string(node));
    for (const auto& [key, n] : grown_)
      if (has(key) && number_in(cluster_.peek(node, key).result().value()) < n)
        cluster_.violate("D1: " + key + " was " + std::to_string(n) + ", and is less at " + to_string(node));
  }
}

} // namespace troupe::replicas
