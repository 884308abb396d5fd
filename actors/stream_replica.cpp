#include "actors/stream_replica.hpp"

#include "actors/spawn.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <algorithm>
#include <set>
#include <utility>

namespace troupe {

namespace {

/// How often what readers of the table have left is looked at, and how many places of its index at a time.
constexpr milliseconds reclaim_interval{50};
constexpr std::size_t reclaim_places = 4'096;
/// Of the values of conflicts that are listed at once; one always is.
constexpr std::size_t listed_bytes_max = std::size_t{2} << 20;

struct stream_replica_state {
  std::optional<stream_replica_config> config;
  std::optional<stream_replica> core;
  stream_replica::effects effects; ///< empty between handlers; keeps its capacity
  std::vector<store_write> writes; ///< gathered, not given to the store yet
  std::vector<load_request> loads; ///< likewise
  std::uint64_t gathered = 0;      ///< number of the last persist of the core
  std::uint64_t durable = 0;       ///< and of the last that is on disk
  std::uint64_t publication = 1;   ///< what the table's entries carry until the next `applied`
  bool flush_due = false;          ///< a flush message is under way
  bool failed = false;             ///< the store refused a write
  std::uint64_t life = 0;          ///< of this start; 0 = none yet
  instant reclaim_at = never;
  violation_counts told; ///< what the monitor knows
  alarm timer;
  static inline const char* name = "troupe.stream_replica";
};

using self_ptr = stream_replica_actor::stateful_pointer<stream_replica_state>;

const actor_context& context(self_ptr self) { return self->state.config->context; }

void flush_soon(self_ptr self) {
  if (std::exchange(self->state.flush_due, true)) return;
  self->send(self, flush_atom::value); // what is in the mailbox by then goes into the same sync
}

struct performer {
  self_ptr self;

  const switchboard& board() const { return *context(self).board; }

  void operator()(stream_replica::persist& p) const {
    auto& state = self->state;
    state.gathered = p.number;
    for (auto& write : p.writes)
      std::visit([&](auto& w) { state.writes.emplace_back(std::move(w)); }, write);
    flush_soon(self);
  }
  void operator()(stream_replica::load& l) const {
    self->state.loads.push_back({l.shard, std::move(l.key)});
    flush_soon(self);
  }
  void operator()(stream_replica::read_log& r) const {
    auto me = caf::actor_cast<stream_replica_actor>(self);
    self->state.config->store->read_updates(r.from, [me, from = r.from](updates_page page) {
      caf::anon_send(me, log_page{from, std::move(page)});
    });
  }
  void operator()(stream_replica::answer& a) const {
    v1::Envelope envelope;
    *envelope.mutable_weak_answer() = std::move(a.what);
    board().post(a.to, std::move(envelope));
  }
  void operator()(stream_replica::durable_updates& d) const {
    const own_statement said{d.lane, self->state.life, d.updates, d.upto, d.clock};
    for (const auto& [peer, stream] : board().update_streams)
      caf::anon_send(stream, said);
    caf::anon_send(board().frontier, origin_clock{d.lane, {board().self, said.life}, d.upto, d.clock});
  }
  void operator()(const stream_replica::received& r) const {
    const received_durable told{r.from, r.lane, r.upto, r.clock, r.again};
    caf::anon_send(board().frontier, told);
    if (const auto stream = board().update_streams.find(r.from.node); stream != board().update_streams.end())
      caf::anon_send(stream->second, told);
  }
  void operator()(const stream_replica::own_ended& e) const {
    const own_life_ended told{e.life, e.lane, e.last};
    caf::anon_send(board().frontier, told);
    for (const auto& [peer, stream] : board().update_streams)
      caf::anon_send(stream, told);
  }
  void operator()(const stream_replica::publish& p) const {
    if (auto& table = self->state.config->copies.table)
      table->publish({.key = p.key,
                      .exists = p.exists,
                      .value = p.value,
                      .written = p.written,
                      .clock = p.clock,
                      .publication = p.lane == stream_lane::ordered ? self->state.publication : 0});
  }
  void operator()(const stream_replica::withdraw& w) const {
    if (auto& table = self->state.config->copies.table) table->withdraw(w.key);
  }
  void operator()(stream_replica::applied& a) const {
    auto& state = self->state;
    if (const auto& copies = state.config->copies; copies.table) {
      copies.pictures->complete(state.publication, std::move(a.at));
      copies.table->applied(state.publication);
    }
    ++state.publication;
  }
  void operator()(stream_replica::await& a) const {
    caf::anon_send(board().frontier, dependency_wait{a.cookie, std::move(a.wanted), a.deadline});
  }
  void operator()(const stream_replica::forget& f) const {
    caf::anon_send(board().frontier, dependency_forgotten{f.cookie});
  }
  void operator()(const stream_replica::conflict_found& c) const {
    if (const auto& monitor = board().monitor)
      caf::anon_send(monitor, conflict_event{.type = c.key.substr(0, c.key.find(':'))});
    if (context(self).log)
      context(self).log->debug("stream.conflict key={} loser={} winner={}", c.key, to_string(c.lost.at),
                               to_string(c.lost.winner));
  }
  void operator()(const stream_replica::damaged_record& d) const {
    if (const auto& monitor = board().monitor) {
      violation_event found;
      found.kind = violation_kind::checksum;
      found.end = violation_end::prevented;
      found.type = d.key.substr(0, d.key.find(':'));
      found.key = d.key;
      found.detail = "a record in the store of this node";
      caf::anon_send(monitor, std::move(found));
    }
    if (context(self).log) context(self).log->error("stream.record_damaged shard={} key={}", d.shard.value, d.key);
  }
  void operator()(const stream_replica::log_cut& c) const {
    if (context(self).log)
      context(self).log->warn("stream.log_cut life={} lane={} upto={}", c.life, name_of(c.lane), c.upto);
  }
  void operator()(stream_replica::ask_freshness& a) const {
    v1::Envelope envelope;
    *envelope.mutable_freshness_asked() = std::move(a.what);
    board().post(a.to, std::move(envelope));
  }
  void operator()(stream_replica::tell_freshness& t) const {
    v1::Envelope envelope;
    *envelope.mutable_freshness_told() = std::move(t.what);
    board().post(t.to, std::move(envelope));
  }
  void operator()(stream_replica::ask_copy& a) const {
    v1::Envelope envelope;
    *envelope.mutable_copy_asked() = std::move(a.what);
    board().post(a.to, std::move(envelope));
  }
  void operator()(stream_replica::tell_copy& t) const {
    v1::Envelope envelope;
    *envelope.mutable_copy_told() = std::move(t.what);
    board().post(t.to, std::move(envelope));
  }
  void operator()(stream_replica::ask_tree& a) const {
    v1::Envelope envelope;
    *envelope.mutable_tree_asked() = std::move(a.what);
    board().post(a.to, std::move(envelope));
  }
  void operator()(stream_replica::tell_tree& t) const {
    v1::Envelope envelope;
    *envelope.mutable_tree_told() = std::move(t.what);
    board().post(t.to, std::move(envelope));
  }
  void operator()(stream_replica::read_copy& r) const {
    auto me = caf::actor_cast<stream_replica_actor>(self);
    auto& store = *self->state.config->store;
    if (r.key.empty())
      return store.scan_weak(r.shard, std::move(r.after), [me, cookie = r.cookie](weak_page page) {
        caf::anon_send(me, copy_page{cookie, std::move(page)});
      });
    store.load_weak({{r.shard, r.key}}, [me, cookie = r.cookie, key = r.key](std::vector<weak_result> results) {
      caf::anon_send(me, copy_page{cookie, {.records = {{key, std::move(results.front())}}, .next = {}}});
    });
  }
  void operator()(const stream_replica::ready&) const {
    if (context(self).log) context(self).log->info("stream.ready");
  }
  void operator()(const note& n) const {
    if (n.name == "stream.replicas_differ" || n.name == "stream.records_lost")
      return context(self).record(n, spdlog::level::warn);
    const bool seldom = n.name.starts_with("stream.cop") || n.name == "stream.open_again"
                        || n.name == "stream.record_mended" || n.name == "stream.hashes_do_not_fit";
    context(self).record(n, seldom ? spdlog::level::info : spdlog::level::debug);
  }
};

violation_kind kind_of(violation v) {
  switch (v) {
  case violation::behind_session:
  case violation::went_back:
    return violation_kind::session_went_back;
  case violation::dependency_missing:
    return violation_kind::dependency_missing;
  case violation::checksum:
    return violation_kind::checksum;
  case violation::bound_exceeded:
    return violation_kind::bound_exceeded;
  }
  return violation_kind::checksum;
}

/// What was served against a promise is a defect, and worth waking somebody. What was prevented is everyday work of
/// the streams: reads that wait for what their session has seen are counted in the status.
void tell_of_violations(self_ptr self) {
  const auto& monitor = context(self).board->monitor;
  const auto& counts = self->state.core->violations();
  auto& told = self->state.told;
  for (std::size_t kind = 0; monitor && kind < stream_violation_kinds; ++kind) {
    if (counts.served[kind] == told.served[kind]) continue;
    violation_event found;
    found.kind = kind_of(static_cast<violation>(kind));
    found.end = violation_end::served;
    found.given = level::causal;
    found.count = counts.served[kind] - told.served[kind];
    caf::anon_send(monitor, std::move(found));
  }
  told = counts;
}

void perform(self_ptr self) {
  auto& state = self->state;
  for (auto& effect : state.effects)
    std::visit(performer{self}, effect);
  state.effects.clear();
  tell_of_violations(self);
  state.timer.arm(self, *context(self).clock, std::min(state.core->wake_at(), state.reclaim_at));
}

/// Runs one step of the core at this moment, then does what it asked for.
template <class Step> void step(self_ptr self, Step&& take) {
  auto& state = self->state;
  const auto& clock = *context(self).clock;
  take(*state.core, stream_replica::times{clock.now(), clock.wall_ms()}, state.effects);
  perform(self);
}

/// What a token states about this region may be news.
void pass_on_facts(self_ptr self, const v1::Vector& stated) {
  if (stated.entries_size() > static_cast<int>(limits::stream_vector_entries_max))
    return; // the core refuses the operation
  auto region = from_wire(stated);
  if (!self->state.core->applied_vector(stream_lane::ordered).contains(region))
    caf::anon_send(context(self).board->frontier, region_facts{std::move(region)});
}

stream_replica::found found_of(weak_result& result) {
  if (auto* record = std::get_if<v1::WeakRecord>(&result)) return std::move(*record);
  if (std::holds_alternative<damaged>(result)) return stream_replica::damage{};
  return std::monostate{};
}

void flush(self_ptr self) {
  auto& state = self->state;
  state.flush_due = false;
  if (state.failed) return;
  auto me = caf::actor_cast<stream_replica_actor>(self);
  if (state.gathered > state.durable && !state.writes.empty()) {
    const auto upto = state.gathered;
    state.config->store->persist(std::exchange(state.writes, {}), [me, upto](errc error) {
      caf::anon_send(me, persisted{upto, error});
    });
  }
  if (!state.loads.empty()) {
    auto keys = std::exchange(state.loads, {});
    auto asked = keys;
    state.config->store->load_weak(std::move(asked),
                                   [me, keys = std::move(keys)](std::vector<weak_result> results) mutable {
                                     caf::anon_send(me, weak_loaded{std::move(keys), std::move(results)});
                                   });
  }
}

void on_persisted(self_ptr self, const persisted& p) {
  auto& state = self->state;
  if (state.failed) return;
  if (p.error != errc::none) {
    state.failed = true;
    if (context(self).log) context(self).log->critical("stream.store_failed upto={}", p.upto);
    step(self, [](stream_replica& core, const stream_replica::times&, stream_replica::effects& out) {
      core.store_failed(out);
    });
    if (state.config->store_failed) state.config->store_failed();
    return;
  }
  step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
    while (state.durable < p.upto)
      core.persisted(++state.durable, at, out);
  });
}

void on_tick(self_ptr self) {
  auto& state = self->state;
  const auto now = context(self).now();
  state.timer.fired(now);
  if (now >= state.reclaim_at) {
    state.config->copies.table->reclaim(reclaim_places);
    state.reclaim_at = now + reclaim_interval;
  }
  step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
    core.tick(at, out);
  });
}

conflict_list find_conflicts(const conflict_ledger& ledger, const conflicts_question& asked) {
  conflict_list out{.conflicts = {}, .kept = ledger.size(), .evicted = ledger.evicted()};
  if (asked.only.at) {
    if (const auto* found = ledger.find(asked.only)) out.conflicts.push_back(*found);
    return out;
  }
  std::size_t bytes = 0;
  for (const auto* found : ledger.list(asked.prefix, std::min(asked.max, limits::conflicts_listed_max))) {
    bytes += found->value.size();
    if (!out.conflicts.empty() && bytes > listed_bytes_max) break;
    out.conflicts.push_back(*found);
  }
  return out;
}

stream_replica_actor::behavior_type stream_replica_behavior(self_ptr self, stream_replica_config config) {
  auto& state = self->state;
  state.config = std::move(config);
  const auto begun = context(self).now();
  state.core.emplace(state.config->options, state.config->store->streams(), begun);
  if (state.config->copies.table) state.reclaim_at = begun + reclaim_interval;
  self->set_default_handler(caf::drop);
  return {
      [self](node_id from, v1::WeakOperation& m) {
        if (m.session().has_region()) pass_on_facts(self, m.session().region());
        step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
          core.execute(from, std::move(m), at, out);
        });
      },
      [self](node_id from, const v1::FreshnessAsked& question) {
        step(self, [&](stream_replica& core, const stream_replica::times&, stream_replica::effects& out) {
          core.freshness_asked(from, question, out);
        });
      },
      [self](node_id from, const v1::FreshnessTold& answer) {
        step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
          core.freshness_told(from, answer, at, out);
        });
      },
      [self](node_id from, const v1::CopyOffered& offer) {
        step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
          core.copy_offered(from, offer, at.now, out);
        });
      },
      [self](node_id from, const v1::CopyAsked& question) {
        step(self, [&](stream_replica& core, const stream_replica::times&, stream_replica::effects& out) {
          core.copy_asked(from, question, out);
        });
      },
      [self](node_id from, v1::CopyTold& answer) {
        step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
          core.copy_told(from, std::move(answer), at, out);
        });
      },
      [self](node_id from, const v1::TreeAsked& question) {
        step(self, [&](stream_replica& core, const stream_replica::times&, stream_replica::effects& out) {
          core.tree_asked(from, question, out);
        });
      },
      [self](node_id from, const v1::TreeTold& answer) {
        step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
          core.tree_told(from, answer, at.now, out);
        });
      },
      [self](const peer_change& p) {
        step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
          core.peer(p.peer, p.up, at.now, out);
        });
      },
      [self](incoming_updates& m) {
        step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
          core.accept(std::move(m.what), at.now, out);
        });
      },
      [self](const stored_at_peer& s) {
        step(self, [&](stream_replica& core, const stream_replica::times&, stream_replica::effects& out) {
          core.peer_durable(s.peer, s.own, {s.lane, s.upto}, out);
        });
      },
      [self](const region_advanced& a) {
        step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
          core.advanced(a.applied, at.now, out);
        });
      },
      [self](const origin_ended& e) {
        step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
          core.ended(e.from, e.last, at.now, out);
        });
      },
      [self](const everywhere_advanced& s) {
        step(self, [&](stream_replica& core, const stream_replica::times&, stream_replica::effects& out) {
          core.stable(s.lane, s.stable, s.clock, out);
        });
      },
      [self](const dependency_met& m) {
        step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
          core.met(m.cookie, at, out);
        });
      },
      [self](const dependency_missed& m) {
        step(self, [&](stream_replica& core, const stream_replica::times&, stream_replica::effects& out) {
          core.unmet(m.cookie, {m.error, m.missing, m.who, m.survived}, out);
        });
      },
      [self](const view_changed& v) {
        step(self, [&](stream_replica& core, const stream_replica::times&, stream_replica::effects& out) {
          std::set<node_id> counted;
          for (const auto& [node, standing] : v.now.nodes)
            if (!standing.out) counted.insert(node);
          core.counted(counted, out);
          if (v.life == 0 || self->state.life != 0) return;
          self->state.life = v.life;
          core.begin(v.life, out);
        });
      },
      [self](const persisted& p) { on_persisted(self, p); },
      [self](weak_loaded& l) {
        step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
          for (std::size_t i = 0; i < l.keys.size(); ++i)
            core.loaded(l.keys[i].key, found_of(l.results[i]), at, out);
        });
      },
      [self](log_page& p) {
        step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
          core.log_read(p.request, std::move(p.page), at.now, out);
        });
      },
      [self](copy_page& p) {
        stream_replica::records_page page{.records = {}, .next = std::move(p.page.next), .whole = p.page.whole};
        for (auto& entry : p.page.records)
          page.records.push_back({std::move(entry.key), found_of(entry.found)});
        step(self, [&](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
          core.copy_read(p.cookie, std::move(page), at.now, out);
        });
      },
      [self](start_atom) {
        step(self, [](stream_replica& core, const stream_replica::times& at, stream_replica::effects& out) {
          core.start(at.now, out);
        });
      },
      [self](flush_atom) { flush(self); },
      [self](tick_atom) { on_tick(self); },
      [self](status_atom) { return self->state.core->report(); },
      [self](const key_question& q) {
        v1::ExplainTold told;
        if (auto view = self->state.core->explain(q.key, context(self).now())) *told.add_views() = std::move(*view);
        return told;
      },
      [self](const conflicts_question& q) { return find_conflicts(self->state.core->conflicts(), q); },
      [self](const conflict_settled& c) {
        bool was_there = false;
        step(self, [&](stream_replica& core, const stream_replica::times&, stream_replica::effects& out) {
          was_there = core.forget_conflict(c.which, out);
        });
        return was_there;
      },
  };
}

} // namespace

stream_replica_actor spawn_stream_replica(caf::actor_system& system, stream_replica_config config) {
  auto* const thread = config.context.thread;
  return spawn_on(system, thread, stream_replica_behavior, std::move(config));
}

} // namespace troupe
