#include "actors/explainer.hpp"

#include "actors/spawn.hpp"
#include "protocol/limits.hpp"
#include "protocol/stream/resolver.hpp"
#include "protocol/wire.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <array>
#include <map>
#include <utility>

namespace troupe {

namespace {

/// For the actors of this node, which answer between two messages.
constexpr milliseconds local_patience{200};

/// In the order in which people read them, from the fastest layer to the last.
enum class part : std::uint8_t { memory, home_or_replica, frontier, store };
constexpr std::size_t parts = 4;

/// The views of this node, until all of its layers have answered.
struct gathering {
  node_id asked_by;
  std::uint64_t number = 0; ///< of who asked
  std::array<v1::ExplainTold, parts> found;
  std::size_t missing = 0;
};

/// A question of somebody on this node.
struct open_question {
  caf::typed_response_promise<explanation> promise;
  explanation answer;
  std::size_t missing = 0;
  instant until;
};

struct explainer_state {
  std::optional<explainer_config> config;
  std::map<std::uint64_t, gathering> gatherings; ///< at most `explanations_max`, and so the next
  std::map<std::uint64_t, open_question> questions;
  std::uint64_t last = 0;
  alarm timer;
  static inline const char* name = "troupe.explainer";
};

using self_ptr = explainer_actor::stateful_pointer<explainer_state>;

const actor_context& context(self_ptr self) { return self->state.config->context; }

void add(v1::ExplainTold& to, std::string layer, std::string version, std::string state, std::string waits_for = {}) {
  auto& view = *to.add_views();
  view.set_layer(std::move(layer));
  view.set_version(std::move(version));
  view.set_state(std::move(state));
  view.set_waits_for(std::move(waits_for));
}

void finish_question(self_ptr self, std::map<std::uint64_t, open_question>::iterator q) {
  q->second.promise.deliver(std::move(q->second.answer));
  self->state.questions.erase(q);
}

void take(self_ptr self, node_id from, const v1::ExplainTold& told) {
  const auto q = self->state.questions.find(told.number());
  if (q == self->state.questions.end() || told.views_size() > static_cast<int>(limits::explain_views_max)) return;
  for (auto& node : q->second.answer.nodes) {
    if (node.who != from || node.answered) continue;
    node.answered = true;
    node.views.assign(told.views().begin(), told.views().end());
    if (--q->second.missing == 0) finish_question(self, q);
    return;
  }
}

void part_found(self_ptr self, std::uint64_t id, part which, v1::ExplainTold found) {
  const auto g = self->state.gatherings.find(id);
  if (g == self->state.gatherings.end()) return;
  g->second.found[static_cast<std::size_t>(which)] = std::move(found);
  if (--g->second.missing > 0) return;
  v1::ExplainTold all;
  all.set_number(g->second.number);
  for (auto& one : g->second.found)
    all.mutable_views()->MergeFrom(one.views());
  const auto asked_by = g->second.asked_by;
  self->state.gatherings.erase(g);
  if (asked_by == context(self).board->self) return take(self, asked_by, all);
  v1::Envelope envelope;
  *envelope.mutable_explain_told() = std::move(all);
  context(self).board->post(asked_by, std::move(envelope));
}

/// What any thread may read: no actor is asked.
v1::ExplainTold memory_view(const explainer_config& config, const std::string& key) {
  v1::ExplainTold out;
  std::string value;
  if (config.memory)
    if (const auto hit = config.memory->read(key, config.context.now(), value))
      add(out, "memory", to_string(hit->at), hit->exists ? "answers strong reads" : "answers strong reads: no value");
  if (config.copies.table)
    if (const auto hit = config.copies.table->read(key, value))
      add(out, "memory", to_string(hit->written),
          hit->exists ? "answers reads that need no more" : "answers reads that need no more: no value");
  return out;
}

v1::ExplainTold strong_store_view(const load_result& found) {
  v1::ExplainTold out;
  if (const auto* record = std::get_if<v1::StoredRecord>(&found))
    add(out, "store", to_string(from_wire(record->version())),
        "accepted here; the home knows whether it is committed");
  else if (const auto* bad = std::get_if<damaged>(&found))
    add(out, "store", "", "damaged: " + bad->what);
  return out;
}

v1::ExplainTold weak_store_view(const weak_result& found, resolver_kind resolver) {
  v1::ExplainTold out;
  if (const auto* record = std::get_if<v1::WeakRecord>(&found)) {
    const auto state = from_wire(*record).value_or(sibling_set{});
    const auto seen = resolve(resolver, state);
    add(out, "store", seen.winner ? to_string(seen.winner) : "",
        std::to_string(state.entries().size()) + " concurrent versions");
  } else if (const auto* bad = std::get_if<damaged>(&found)) {
    add(out, "store", "", "damaged: " + bad->what);
  }
  return out;
}

v1::ExplainTold frontier_view(const explainer_config& config, const frontier_status& f) {
  v1::ExplainTold out;
  std::string waits_for;
  if (!f.ready) {
    waits_for = "it has not heard of every member of its region since its start";
  } else if (f.behind > 0) {
    const auto* who = config.shape.find(f.held_up_by);
    waits_for = "reads that need the newest: " + (who != nullptr ? who->name : to_string(f.held_up_by)) + " lacks "
                + std::to_string(f.behind) + " updates";
  }
  add(out, "frontier", "", "shows " + f.applied, std::move(waits_for));
  return out;
}

struct asked_part {
  self_ptr self;
  std::uint64_t id;
  part which;
  const char* layer; ///< as people are told when it does not answer

  /// Asks an actor of this node; part_found() comes once, by an answer or without one.
  template <class Answer, class Handle, class Question>
  void ask(const Handle& who, Question question, v1::ExplainTold (*view_of)(const explainer_config&, const Answer&)) {
    ++self->state.gatherings.at(id).missing;
    self->request(who, local_patience, std::move(question))
        .then(
            [here = *this, view_of](const Answer& a) {
              part_found(here.self, here.id, here.which, view_of(*here.self->state.config, a));
            },
            [here = *this](caf::error&) {
              v1::ExplainTold silent;
              add(silent, here.layer, "", "does not answer");
              part_found(here.self, here.id, here.which, std::move(silent));
            });
  }
};

v1::ExplainTold as_it_is(const explainer_config&, const v1::ExplainTold& told) { return told; }

/// Asks what there is on this node; part_found() comes once for each layer that is asked.
void gather(self_ptr self, std::uint64_t id, shard_id shard, const std::string& key) {
  const auto& config = *self->state.config;
  const auto& board = *config.context.board;
  const auto type = config.shape.types.find(key.substr(0, key.find(':')));
  const bool weaker = type != config.shape.types.end() && type->second.consistency != level::strong;
  self->state.gatherings.at(id).missing = 1; // this function
  if (weaker) {
    if (board.stream_replica)
      asked_part{self, id, part::home_or_replica, "replica"}.ask(board.stream_replica, key_question{key}, as_it_is);
    if (board.frontier && type->second.consistency != level::eventual)
      asked_part{self, id, part::frontier, "frontier"}.ask(board.frontier, status_atom::value, frontier_view);
  } else if (shard.value < board.lock_managers.size() && board.lock_managers[shard.value]) {
    asked_part{self, id, part::home_or_replica, "home"}.ask(board.lock_managers[shard.value], key_question{key},
                                                            as_it_is);
  }
  if (config.store != nullptr) {
    ++self->state.gatherings.at(id).missing;
    auto me = caf::actor_cast<explainer_actor>(self);
    const auto found = [me, id](v1::ExplainTold view) { caf::anon_send(me, key_found{id, std::move(view)}); };
    if (weaker)
      config.store->load_weak({{shard, key}}, [found, resolver = type->second.resolver](const auto& results) {
        found(weak_store_view(results.at(0), resolver));
      });
    else
      config.store->load({{shard, key}}, [found](const auto& results) { found(strong_store_view(results.at(0))); });
  }
  part_found(self, id, part::memory, memory_view(config, key));
}

/// Past as many as may be open, it is not answered, and the node is said not to have.
void begin_gathering(self_ptr self, node_id asked_by, const v1::ExplainAsked& asked) {
  auto& state = self->state;
  const auto& shape = state.config->shape;
  if (state.gatherings.size() >= limits::explanations_max || asked.shard() >= shape.shards
      || asked.key().size() > limits::key_bytes_max)
    return;
  const auto id = ++state.last;
  auto& g = state.gatherings[id];
  g.asked_by = asked_by;
  g.number = asked.number();
  gather(self, id, shard_id{asked.shard()}, asked.key());
}

caf::result<explanation> begin_question(self_ptr self, const explain_request& request) {
  auto& state = self->state;
  const auto& board = *context(self).board;
  if (state.questions.size() >= limits::explanations_max)
    return caf::error{static_cast<std::uint8_t>(errc::overloaded), error_category,
                      caf::make_message(std::string{"too many explanations at once"})};
  const auto number = ++state.last;
  auto promise = self->make_response_promise<explanation>();
  auto& q = state.questions[number];
  q.promise = promise;
  q.until = request.until;
  v1::ExplainAsked asked;
  asked.set_number(number);
  asked.set_shard(request.shard.value);
  asked.set_key(request.key);
  q.missing = 1; // this function
  for (const auto& member : state.config->shape.members) {
    q.answer.nodes.push_back({.who = member.id, .answered = false, .views = {}});
    ++q.missing;
    if (member.id == board.self) continue;
    v1::Envelope envelope;
    *envelope.mutable_explain_asked() = asked;
    board.post(member.id, std::move(envelope));
  }
  if (is_client(board.self)) { // its memory, before the members
    q.answer.nodes.insert(q.answer.nodes.begin(), {.who = board.self, .answered = false, .views = {}});
    ++q.missing;
  }
  begin_gathering(self, board.self, asked);
  if (const auto still = state.questions.find(number); still != state.questions.end()) {
    if (--still->second.missing == 0)
      finish_question(self, still);
    else
      state.timer.arm(self, *context(self).clock, still->second.until);
  }
  return promise;
}

void on_tick(self_ptr self) {
  auto& state = self->state;
  const auto now = context(self).now();
  state.timer.fired(now);
  auto next = never;
  for (auto q = state.questions.begin(); q != state.questions.end();) {
    const auto here = q++;
    if (here->second.until <= now)
      finish_question(self, here);
    else
      next = std::min(next, here->second.until);
  }
  if (next != never) state.timer.arm(self, *context(self).clock, next);
}

explainer_actor::behavior_type explainer_behavior(self_ptr self, explainer_config config) {
  self->state.config = std::move(config);
  self->set_default_handler(caf::drop);
  return {
      [self](const explain_request& r) { return begin_question(self, r); },
      [self](node_id from, const v1::ExplainAsked& asked) { begin_gathering(self, from, asked); },
      [self](node_id from, const v1::ExplainTold& told) { take(self, from, told); },
      [self](key_found& f) { part_found(self, f.question, part::store, std::move(f.view)); },
      [self](tick_atom) { on_tick(self); },
  };
}

} // namespace

explainer_actor spawn_explainer(caf::actor_system& system, explainer_config config) {
  auto* const thread = config.context.thread;
  return spawn_on(system, thread, explainer_behavior, std::move(config));
}

} // namespace troupe
