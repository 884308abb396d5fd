#include "actors/memory_layer.hpp"

#include "actors/spawn.hpp"
#include "protocol/cluster.hpp"
#include "protocol/strong/home_guesses.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <map>
#include <set>

namespace troupe {

namespace {

/// How often an idle table is looked at for what readers have left; and how many places of its index at a time.
constexpr milliseconds reclaim_interval{50};
constexpr std::size_t reclaim_places = 4096;

/// For so long an answer counts that comes after the read went on as an operation.
constexpr milliseconds late_answer{1000};

/// A read that the holder has asked a home to answer.
struct missed_read {
  submission asked;
  node_id home;           ///< whom it was asked of
  instant give_up;        ///< when it goes on as an operation; then, when nobody waits for it any more
  bool handed_on = false; ///< the strong manager has a copy: whoever answers first has answered it
};

struct memory_layer_state {
  std::optional<memory_layer_config> config;
  std::optional<holder> core;
  std::optional<home_guesses> guesses;
  holder::effects effects;                         ///< empty between handlers; keeps its capacity
  std::map<std::uint64_t, missed_read> missed;     ///< by the core's number; one entry per read under way
  std::set<std::pair<instant, std::uint64_t>> due; ///< the same, by give_up
  std::map<request_id, std::uint64_t> numbers;     ///< the same, by the session's id
  /// Keys of which the table holds nothing any more; empty between handlers.
  std::vector<std::pair<shard_id, std::string>> gone;
  instant reclaim_at = never;
  std::uint64_t dropped = 0; ///< messages that the core refused
  alarm timer;
  static inline const char* name = "troupe.memory_layer";

  memory_table& table() { return *config->table; }
};

using self_ptr = memory_layer_actor::stateful_pointer<memory_layer_state>;

const actor_context& context(self_ptr self) { return self->state.config->context; }

table_record record_of(const holder::cached& copy) {
  return {.key = copy.key,
          .home = copy.shard,
          .generation = copy.generation,
          .at = copy.at,
          .what = copy.exists ? content::value : content::absent,
          .value = copy.value};
}

/// Takes the read out of the books; none when it was answered, or went on, before.
std::optional<missed_read> take(memory_layer_state& state, std::uint64_t number) {
  auto found = state.missed.extract(number);
  if (found.empty()) return std::nullopt;
  state.due.erase({found.mapped().give_up, number});
  state.numbers.erase(from_wire(found.mapped().asked.operation.id()));
  return std::move(found.mapped());
}

void keep(memory_layer_state& state, std::uint64_t number, missed_read read) {
  state.due.emplace(read.give_up, number);
  state.numbers.emplace(from_wire(read.asked.operation.id()), number);
  state.missed.emplace(number, std::move(read));
}

struct performer {
  self_ptr self;

  void operator()(const holder::publish& p) const {
    const auto outcome = table().publish(record_of(p.copy));
    if (outcome != published::done && outcome != published::older) lose(p.copy.shard, p.copy.key);
  }
  void operator()(const holder::unpublish& u) const {
    if (!table().unpublish(record_of(u.pending))) lose(u.pending.shard, u.pending.key);
  }
  void operator()(const holder::commit& c) const {
    if (!table().commit_pending(c.key, c.at)) lose(c.shard, c.key);
  }
  void operator()(const holder::erase& e) const { table().erase(e.key); }
  void operator()(const holder::lease_set& l) const {
    // Refused, it leaves nothing readable: what is published under it then is not leased.
    static_cast<void>(table().set_lease(l.shard, l.generation, l.until));
  }
  void operator()(const holder::lease_ended& l) const { table().end_lease(l.shard); }
  void operator()(holder::obtained& o) const {
    auto read = take(self->state, o.number);
    if (!read) return;
    const auto& operation = read->asked.operation;
    self->state.guesses->answered({operation.shard()}, read->home);
    v1::OperationAnswer answer;
    *answer.mutable_id() = operation.id();
    *answer.mutable_result() = result_of_read(o.at, o.exists, std::move(o.value));
    self->send(read->asked.answer_to, std::move(answer));
  }
  void operator()(const holder::failed& f) const {
    auto read = take(self->state, f.number);
    if (!read || read->handed_on) return;
    if (f.code == errc::unavailable || f.code == errc::timeout)
      self->state.guesses->refused({read->asked.operation.shard()}, read->home, f.hint);
    read->asked.hint = f.hint;
    self->send(context(self).board->strong_manager, std::move(read->asked));
  }
  void operator()(send& s) const { context(self).board->post(s.to, std::move(s.envelope)); }
  void operator()(const note& n) const {
    if (n.name == "holder.dropped") ++self->state.dropped;
    context(self).record(n);
  }

  memory_table& table() const { return self->state.table(); }
  /// The table could not take or keep something of the key: it shall have nothing of it, and its lock goes back.
  void lose(shard_id shard, const std::string& key) const {
    table().erase(key);
    self->state.gone.emplace_back(shard, key);
  }
};

void perform(self_ptr self) {
  auto& state = self->state;
  while (!state.effects.empty()) {
    for (auto& effect : state.effects)
      std::visit(performer{self}, effect);
    state.effects.clear();
    for (auto& key : state.config->evicted->keys) {
      const auto shard = shard_of(key, static_cast<std::uint32_t>(state.config->replica_sets.size()));
      state.gone.emplace_back(shard, std::move(key));
    }
    state.config->evicted->keys.clear();
    for (const auto& [shard, key] : state.gone)
      state.core->evicted(shard, key, state.effects);
    state.gone.clear();
  }
}

void arm(self_ptr self) {
  auto& state = self->state;
  auto at = std::min(state.core->wake_at(), state.reclaim_at);
  if (!state.due.empty()) at = std::min(at, state.due.begin()->first);
  state.timer.arm(self, *context(self).clock, at);
}

/// Runs one step of the core at this moment, then does what it asked for.
template <class Step> void step(self_ptr self, Step&& run) {
  auto& state = self->state;
  const auto now = context(self).now();
  run(*state.core, now, state.effects);
  if (!state.effects.empty()) state.reclaim_at = std::min(state.reclaim_at, now + nanoseconds{reclaim_interval});
  perform(self);
  arm(self);
}

/// Asks the home for the record and a lock. Half of what is left of the deadline belongs to the strong manager, in
/// case that nobody answers.
void acquire(self_ptr self, submission& asked) {
  auto& state = self->state;
  const shard_id shard{asked.operation.shard()};
  const auto home = state.guesses->home_of(shard);
  const auto now = context(self).now();
  const auto left = asked.deadline - now;
  if (home.value == 0 || left <= nanoseconds{0}) {
    self->send(context(self).board->strong_manager, std::move(asked));
    return;
  }
  step(self, [&](holder& core, instant moment, holder::effects& out) {
    const auto number = core.acquire(home, shard, asked.operation.key(), left / 2, moment, out);
    keep(state, number, {std::move(asked), home, moment + left / 2});
  });
}

/// A write: nobody reads what it replaces here any more, and its home need not recall that.
void give_back(self_ptr self, submission& asked) {
  step(self, [&](holder& core, instant now, holder::effects& out) { core.give_back(asked.operation, now, out); });
  self->send(context(self).board->strong_manager, std::move(asked));
}

/// The lock may still arrive, and serve the next reader.
void cancel(self_ptr self, const operation_cancelled& c) {
  auto& state = self->state;
  const auto number = state.numbers.find(c.id);
  if (number == state.numbers.end()) {
    self->send(context(self).board->strong_manager, c);
    return;
  }
  const auto read = take(state, number->second);
  if (read->handed_on) {
    self->send(context(self).board->strong_manager, c);
    return;
  }
  v1::OperationAnswer answer;
  *answer.mutable_id() = read->asked.operation.id();
  answer.mutable_result()->set_error(static_cast<std::uint32_t>(errc::cancelled));
  self->send(read->asked.answer_to, std::move(answer));
}

void tick(self_ptr self) {
  auto& state = self->state;
  const auto now = context(self).now();
  state.timer.fired(now);
  while (!state.due.empty() && state.due.begin()->first <= now) {
    const auto number = state.due.begin()->second;
    auto read = take(state, number);
    if (read->handed_on) continue;
    state.guesses->refused({read->asked.operation.shard()}, read->home, {});
    self->send(context(self).board->strong_manager, submission{read->asked});
    // The answer may be on its way, and sooner here than the other.
    read->handed_on = true;
    read->give_up = std::min(read->asked.deadline, now + nanoseconds{late_answer});
    keep(state, number, std::move(*read));
  }
  if (now >= state.reclaim_at)
    state.reclaim_at = state.table().reclaim(reclaim_places) ? now + nanoseconds{reclaim_interval} : never;
  step(self, [](holder& core, instant moment, holder::effects& out) { core.tick(moment, out); });
}

memory_status describe(memory_layer_state& state) {
  const auto counted = state.table().count();
  return {.hits = counted.hits,
          .misses = counted.misses,
          .entries = counted.entries,
          .bytes = counted.bytes,
          .bytes_max = state.config->bytes_max,
          .evictions = counted.evictions,
          .leases = state.core->leases(),
          .waiting = state.missed.size(),
          .dropped = state.dropped};
}

memory_layer_actor::behavior_type memory_layer(self_ptr self, memory_layer_config config) {
  self->state.config = std::move(config);
  self->state.core.emplace(self->state.config->options);
  self->state.guesses.emplace(self->state.config->options.self, self->state.config->replica_sets);
  self->set_default_handler(caf::drop);

  auto pass = [self](auto&&... args) {
    step(self, [&](holder& core, instant now, holder::effects& out) {
      core.receive(std::forward<decltype(args)>(args)..., now, out);
    });
  };
  return {
      [pass](node_id from, const v1::LeaseGranted& m) { pass(from, m); },
      [pass](node_id from, v1::LockGranted& m) { pass(from, std::move(m)); },
      [pass](node_id from, v1::LargeCopy& m) { pass(from, std::move(m)); },
      [pass](node_id from, v1::LockRefused& m) { pass(from, std::move(m)); },
      [pass](node_id from, v1::Recall& m) { pass(from, std::move(m)); },
      [pass](node_id from, const v1::Committed& m) { pass(from, m); },
      [self](submission& asked) { asked.operation.has_get() ? acquire(self, asked) : give_back(self, asked); },
      [self](const operation_cancelled& c) { cancel(self, c); },
      [self](const peer_change& p) {
        self->state.guesses->peer(p.peer, p.up);
        step(self, [&](holder& core, instant now, holder::effects& out) { core.peer(p.peer, p.up, now, out); });
      },
      [self](release_atom) {
        step(self, [](holder& core, instant, holder::effects& out) { core.release(out); });
        return true;
      },
      [self](tick_atom) { tick(self); },
      [self](status_atom) { return describe(self->state); },
  };
}

} // namespace

memory_layer_actor spawn_memory_layer(caf::actor_system& system, memory_layer_config config) {
  auto* const thread = config.context.thread;
  return spawn_on(system, thread, memory_layer, std::move(config));
}

v1::Result result_of_read(const version& at, bool exists, std::string value) {
  v1::Result result;
  result.set_applied(true);
  result.set_exists(exists);
  if (exists) result.set_value(std::move(value));
  to_wire(at, *result.mutable_version());
  return result;
}

} // namespace troupe
