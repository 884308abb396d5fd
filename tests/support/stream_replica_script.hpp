/// A stream replica by itself: operations are built in words, effects are kept for the test to look at and to
/// perform.
#pragma once

#include "protocol/stream/stream_replica.hpp"
#include "protocol/wire.hpp"
#include "tests/support/replica_cluster.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

namespace troupe::testing {

struct stream_replica_script {
  static constexpr std::uint32_t shards = 4;
  static constexpr std::uint64_t wall = 1'700'000'000'000;

  stream_replica_script() {
    options.self = self;
    options.shards = shards;
    for (std::uint32_t s = 0; s < shards; ++s)
      options.stored[{s}] = {{1}, {2}, {3}};
    options.types = {{"cause", type(level::causal, resolver_kind::last_writer_wins)},
                     {"cart", type(level::session, resolver_kind::siblings)},
                     {"view", type(level::eventual, resolver_kind::last_writer_wins)},
                     {"fast", type(level::eventual, resolver_kind::last_writer_wins)},
                     {"sum", type(level::eventual, resolver_kind::counter)},
                     {"safe", type(level::causal, resolver_kind::last_writer_wins)},
                     {"strong", type(level::strong, resolver_kind::last_writer_wins)}};
    options.types["fast"].durability = write_durability::async;
    options.types["safe"].ack = write_ack::majority;
  }
  static data_type type(level l, resolver_kind r) {
    data_type t;
    t.consistency = l;
    t.resolver = r;
    return t;
  }

  /// A start of the process: with what is on the disk, in the next life.
  void start(std::uint64_t in_life = 0) {
    core = std::make_unique<stream_replica>(options, disk.image(), now);
    out.clear();
    core->start(now, out);
    run();
    life = in_life != 0 ? in_life : life + 1;
    core->begin(life, out);
    run();
  }
  /// What was not synced is lost, but for so many batches.
  void crash(std::size_t surviving = 0) {
    disk.crash(surviving);
    core.reset();
  }

  // --- performing ---

  bool holds_syncs = false, holds_loads = false;
  /// Reads the disk and syncs it, until nothing more happens; whatever else is wanted is kept in `kept`.
  void run() {
    while (!out.empty()) {
      auto effects = std::exchange(out, {});
      for (auto& e : effects) {
        if (auto* p = std::get_if<stream_replica::persist>(&e)) {
          disk.write(p->number, std::move(p->writes));
          unsynced = p->number;
        } else if (auto* l = std::get_if<stream_replica::load>(&e)) {
          loads.push_back(l->key);
        } else if (auto* r = std::get_if<stream_replica::read_log>(&e)) {
          core->log_read(r->from, disk.read(r->from), now, out);
        } else {
          kept.push_back(std::move(e));
        }
      }
      if (!holds_loads) load();
      if (out.empty() && !holds_syncs) sync();
    }
  }
  void sync() {
    if (unsynced == 0) return;
    disk.sync(unsynced);
    const auto number = std::exchange(unsynced, 0);
    core->persisted(number, at(), out);
    run();
  }
  void load() {
    for (const auto& key : std::exchange(loads, {})) {
      if (damaged.contains(key)) {
        core->loaded(key, stream_replica::damage{}, at(), out);
      } else {
        core->loaded(key, disk.read(key), at(), out);
      }
    }
    if (holds_loads) run();
  }
  stream_replica::times at() const { return {now, wall_ms}; }
  void pass(nanoseconds time) {
    now += time;
    wall_ms += static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(time).count());
    for (int n = 0; n < 100 && core->wake_at() <= now; ++n) {
      core->tick(at(), out);
      run();
    }
    REQUIRE(core->wake_at() > now); // or a node would be busy with nothing
  }
  template <class Effect> std::vector<Effect> take() {
    std::vector<Effect> found;
    std::erase_if(kept, [&](const auto& e) {
      const auto* match = std::get_if<Effect>(&e);
      if (match != nullptr) found.push_back(*match);
      return match != nullptr;
    });
    return found;
  }

  // --- operations ---

  v1::WeakOperation operation(const std::string& key, std::uint64_t session = 7) {
    v1::WeakOperation o;
    o.mutable_id()->set_session(session);
    o.mutable_id()->set_number(++requests);
    o.set_attempt(1);
    o.set_executor(self.value);
    o.set_key(key);
    o.set_shard(shard_of(key, shards).value);
    const auto t = options.types.find(key.substr(0, key.find(':')));
    if (t != options.types.end()) o.set_level(static_cast<std::uint32_t>(t->second.consistency));
    o.set_budget_us(100'000);
    o.set_guarantees(15);
    return o;
  }
  v1::WeakOperation get(const std::string& key) {
    auto o = operation(key);
    o.mutable_get();
    return o;
  }
  v1::WeakOperation put(const std::string& key, const std::string& value) {
    auto o = operation(key);
    o.mutable_put()->set_value(value);
    return o;
  }
  v1::WeakOperation add(const std::string& key, std::int64_t delta) {
    auto o = operation(key);
    o.mutable_add()->set_delta(delta);
    return o;
  }
  void submit(const v1::WeakOperation& o) {
    core->execute({9}, o, at(), out);
    run();
  }
  /// The one answer that it leads to at once.
  v1::WeakAnswer ask(const v1::WeakOperation& o) {
    submit(o);
    return answered();
  }
  v1::WeakAnswer answered() {
    auto all = take<stream_replica::answer>();
    REQUIRE(all.size() == 1);
    return all.front().what;
  }
  static errc error_of(const v1::WeakAnswer& a) { return static_cast<errc>(a.result().error()); }
  static std::string value_of(const v1::WeakAnswer& a) {
    if (error_of(a) != errc::none) return "error " + std::string{name_of(error_of(a))};
    return a.result().exists() ? a.result().value() : "nothing";
  }

  // --- peers ---

  struct written {
    dot at;
    std::string key, value;
    std::uint64_t clock = wall << 16;
    version_vector context = {}, depends = {};
  };
  static shared_update update(const written& w) {
    auto u = std::make_shared<v1::Update>();
    u->set_seq(w.at.seq);
    u->set_clock(w.clock + w.at.seq);
    u->set_shard(shard_of(w.key, shards).value);
    u->set_key(w.key);
    u->set_value(w.value);
    to_wire(w.context, *u->mutable_context());
    to_wire(w.depends, *u->mutable_depends());
    return u;
  }
  void accept(stream_lane lane, const std::vector<written>& updates) {
    REQUIRE(!updates.empty());
    stream_replica::incoming what{
        .from = updates.front().at.from, .lane = lane, .updates = {}, .upto = 0, .clock = 0};
    for (const auto& w : updates) {
      what.updates.push_back(update(w));
      what.upto = w.at.seq;
    }
    core->accept(what, now, out);
    run();
  }
  void advance(const version_vector& g) {
    core->advanced(g, now, out);
    run();
  }
  void ask_peer_has(node_id peer, stream_lane lane, std::uint64_t upto) {
    core->peer_durable(peer, {self, life}, {lane, upto}, out);
    run();
  }

  node_id self{1};
  stream_replica_options options;
  replicas::toy_disk disk{shards};
  std::unique_ptr<stream_replica> core;
  std::uint64_t life = 0;
  instant now{std::chrono::seconds{1}};
  std::uint64_t wall_ms = wall;
  stream_replica::effects out, kept;
  std::vector<std::string> loads;
  std::set<std::string> damaged;
  std::uint64_t unsynced = 0, requests = 0;
};

} // namespace troupe::testing
