#include "actors/session.hpp"

#include "actors/memory_layer.hpp"
#include "actors/session_calls.hpp"
#include "actors/spawn.hpp"
#include "protocol/limits.hpp"
#include "protocol/session/session_vector.hpp"
#include "protocol/session/write_order.hpp"
#include "protocol/strong/named_lock.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <algorithm>
#include <deque>
#include <memory>
#include <set>

namespace troupe {

namespace {

/// What an operation on a type of a weaker level has besides.
struct weak_part {
  weak_service service;
  v1::WeakOperation operation; ///< instead of the call's; empty once it was sent on
  std::function<void(const v1::WeakAnswer&)> done;
  write_order::call turn = 0; ///< its name in the order of writes; 0 = it waits for no turn
  bool its_turn = false;      ///< which it keeps until it was sent and answered
};

struct open_call {
  v1::Operation operation; ///< empty once it was sent on
  std::size_t bytes = 0;   ///< what it weighed
  instant deadline;
  std::function<void(const v1::Result&)> done;
  bool missed = false;             ///< the memory table was asked already
  std::uint64_t ticket = 0;        ///< as the caller knows it; 0 = it will not be cancelled
  std::uint64_t number = 0;        ///< of the request; 0 = it waits, and was not sent on
  bool by_memory = false;          ///< set when it was sent on: by way of the memory layer
  std::unique_ptr<weak_part> weak; ///< null = of a strong type
};

using call_queue = std::deque<open_call>;

struct session_state {
  std::optional<session_config> config;
  std::uint64_t issued = 0;
  std::uint64_t unordered = 0;               ///< calls about named locks; each has a queue of its own
  std::map<std::uint64_t, std::string> sent; ///< by request number: the key; one entry per operation sent on
  /// The first of each queue is the one that was sent on, or a write that waits for its turn.
  std::map<std::string, call_queue> by_key;
  std::map<std::uint64_t, std::string> tickets; ///< the key of each open call that may be cancelled
  std::size_t open = 0;                         ///< entries of all queues of by_key
  std::size_t open_bytes = 0;                   ///< sum of their `bytes`
  bool alone = false;                           ///< the node's actors have died
  session_vector vector;
  write_order order;                                             ///< of writes to causal and session types
  std::uint64_t turns = 0;                                       ///< given out
  std::map<write_order::call, std::string> by_turn;              ///< the key of each write that is in the order
  std::set<std::pair<instant, write_order::call>> waiting_until; ///< deadlines of those that were not sent on
  std::optional<std::pair<request_id, std::string>> asked_again; ///< an unsettled write, and its key
  alarm timer;
  static inline const char* name = "troupe.session";
};

using self_ptr = session_actor::stateful_pointer<session_state>;

v1::Result failure(errc code) {
  v1::Result r;
  r.set_error(static_cast<std::uint32_t>(code));
  return r;
}

/// What the memory table answers; none = the key's home has to be asked. The clock is looked at first: what is found
/// is right for a read that began before.
std::optional<v1::Result> read_here(const session_config& config, const open_call& call) {
  if (!config.memory || !call.operation.has_get() || call.missed) return std::nullopt;
  const auto now = config.context.now();
  if (now >= call.deadline) return std::nullopt;
  std::string value;
  const auto hit = config.memory->read(call.operation.key(), now, value);
  if (!hit) return std::nullopt;
  return result_of_read(hit->at, hit->exists, std::move(value));
}

void send_on(self_ptr self, const std::string& key, open_call& call) {
  auto& state = self->state;
  call.number = ++state.issued;
  state.sent.emplace(call.number, key);
  to_wire(request_id{state.config->id, call.number}, *call.operation.mutable_id());
  const auto& board = *state.config->context.board;
  call.by_memory = board.memory_layer && !state.config->by_home && !is_lock_operation(call.operation.what_case());
  submission asked{std::move(call.operation), call.deadline, caf::actor_cast<session_actor>(self), {}};
  if (call.by_memory)
    self->send(board.memory_layer, std::move(asked));
  else
    self->send(board.strong_manager, std::move(asked));
}

/// To the manager of its level, with what the session has seen.
void send_on_weak(self_ptr self, const std::string& key, open_call& call) {
  auto& state = self->state;
  auto& weak = *call.weak;
  call.number = ++state.issued;
  state.sent.emplace(call.number, key);
  if (weak.turn != 0) state.waiting_until.erase({call.deadline, weak.turn});
  to_wire(request_id{state.config->id, call.number}, *weak.operation.mutable_id());
  state.vector.attach(weak.operation, weak.service.lane);
  self->send(state.config->context.board->weak_manager(weak.service.at),
             weak_submission{std::move(weak.operation), call.deadline, caf::actor_cast<session_actor>(self)});
}

v1::WeakAnswer as_weak_answer(v1::Result result, level at) {
  v1::WeakAnswer a;
  *a.mutable_result() = std::move(result);
  a.set_level(static_cast<std::uint32_t>(at));
  return a;
}

void answer(const open_call& call, const v1::Result& result) {
  if (call.weak)
    call.weak->done(as_weak_answer(result, call.weak->service.at));
  else
    call.done(result);
}

/// Takes a call out of its queue, and out of all that knows of it.
open_call take(session_state& state, call_queue& queue, call_queue::iterator call) {
  auto taken = std::move(*call);
  --state.open;
  state.open_bytes -= taken.bytes;
  if (taken.ticket != 0) state.tickets.erase(taken.ticket);
  if (taken.weak && taken.weak->turn != 0) {
    state.by_turn.erase(taken.weak->turn);
    state.waiting_until.erase({taken.deadline, taken.weak->turn});
  }
  queue.erase(call);
  return taken;
}

/// Takes a call of the queue out and answers it.
void finish(session_state& state, call_queue& queue, call_queue::iterator call, const v1::Result& result) {
  answer(take(state, queue, call), result);
}

/// Sends the first call on that the memory table does not answer, unless it is a write whose turn has not come;
/// forgets the key when there is none.
void advance(self_ptr self, std::map<std::string, call_queue>::iterator i) {
  auto& state = self->state;
  auto& [key, queue] = *i;
  while (!queue.empty()) {
    if (const auto* weak = queue.front().weak.get()) {
      if (queue.front().number == 0 && (weak->turn == 0 || weak->its_turn)) send_on_weak(self, key, queue.front());
      return;
    }
    const auto known = read_here(*state.config, queue.front());
    if (!known) return send_on(self, key, queue.front());
    finish(state, queue, queue.begin(), *known);
  }
  state.by_key.erase(i);
}

/// The key and the place of a write that is in the order.
std::pair<std::map<std::string, call_queue>::iterator, call_queue::iterator> find_turn(session_state& state,
                                                                                       write_order::call turn) {
  const auto i = state.by_key.find(state.by_turn.at(turn));
  const auto call = std::find_if(i->second.begin(), i->second.end(),
                                 [&](const open_call& c) { return c.weak && c.weak->turn == turn; });
  return {i, call};
}

/// Does what the order of writes says is to be done now, and sees to it that none waits beyond its deadline.
void keep_order(self_ptr self) {
  auto& state = self->state;
  auto step = state.order.next();
  if (const auto* turn = std::get_if<write_order::write>(&step)) {
    const auto [i, call] = find_turn(state, turn->which);
    call->weak->its_turn = true;
    if (call == i->second.begin()) advance(self, i); // else once the reads before it on its key are answered
  } else if (auto* first = std::get_if<write_order::settle_first>(&step)) {
    const auto deadline = find_turn(state, first->waiting).second->deadline;
    state.asked_again.emplace(from_wire(first->operation.id()), first->operation.key());
    const auto at = static_cast<level>(first->operation.level());
    self->send(state.config->context.board->weak_manager(at),
               weak_submission{std::move(first->operation), deadline, caf::actor_cast<session_actor>(self)});
  }
  if (!state.waiting_until.empty())
    state.timer.arm(self, *state.config->context.clock, state.waiting_until.begin()->first);
}

/// Answers a call that was not sent on, and goes on with what it stood before.
void drop_waiting(self_ptr self, std::map<std::string, call_queue>::iterator i, call_queue::iterator call, errc why) {
  auto& state = self->state;
  const bool first = call == i->second.begin();
  const auto gone = take(state, i->second, call);
  if (gone.weak && gone.weak->its_turn)
    state.order.written({});
  else if (gone.weak && gone.weak->turn != 0)
    state.order.withdraw(gone.weak->turn);
  answer(gone, failure(why));
  if (first) advance(self, i);
  keep_order(self);
}

/// Files a call under its key, behind those that are there.
void enqueue(self_ptr self, std::string place, open_call call) {
  auto& state = self->state;
  const auto i = state.by_key.try_emplace(std::move(place)).first;
  if (call.ticket != 0) state.tickets.emplace(call.ticket, i->first);
  ++state.open;
  state.open_bytes += call.bytes;
  if (call.weak && call.weak->turn != 0) {
    state.by_turn.emplace(call.weak->turn, i->first);
    state.waiting_until.emplace(call.deadline, call.weak->turn);
    state.order.issue(call.weak->turn);
  }
  i->second.push_back(std::move(call));
  if (i->second.size() == 1) advance(self, i);
}

/// Weighed here, since all but the first operation on a key wait here, where no other bound would see them.
bool has_room(const session_state& state, std::size_t bytes) {
  return state.open < state.config->open_max && bytes <= state.config->open_bytes_max - state.open_bytes;
}

void invoke_weak(self_ptr self, const data_type& type, session_call& call) {
  auto& state = self->state;
  open_call opened;
  opened.weak = std::make_unique<weak_part>();
  auto& weak = *opened.weak;
  weak.service = service_of(type, call);
  weak.done = call.weak_done ? std::move(call.weak_done)
                             : [done = std::move(call.done)](const v1::WeakAnswer& a) { done(a.result()); };
  if (!state.config->context.board->weak_manager(weak.service.at))
    return answer(opened, failure(errc::unsupported_level)); // nobody serves it on this node
  const auto shard = shard_of(call.operation.key(), state.config->shape.shards);
  auto place = call.operation.key();
  weak.operation = weak_operation(call, weak.service, shard);
  opened.bytes = weak.operation.ByteSizeLong();
  if (!has_room(state, opened.bytes)) return answer(opened, failure(errc::overloaded));
  opened.deadline = call.deadline;
  opened.ticket = call.ticket;
  if (weak.service.in_order) weak.turn = ++state.turns;
  enqueue(self, std::move(place), std::move(opened));
  keep_order(self);
}

void invoke_strong(self_ptr self, const data_type& type, session_call& call) {
  auto& state = self->state;
  const auto bytes = call.operation.ByteSizeLong();
  if (!has_room(state, bytes)) return call.done(failure(errc::overloaded));
  call.operation.set_roll_back(type.timeout == on_timeout::rollback);
  // What is said about named locks is in no order with anything: one call may wait until another gives a lock back.
  const bool about_lock = is_lock_operation(call.operation.what_case());
  if (!call.operation.has_raise_fence()) // which says where
    call.operation.set_shard(shard_of(call.operation.key(), state.config->shape.shards).value);
  auto place = call.operation.key();
  if (about_lock) place.append(1, '\0').append(std::to_string(++state.unordered));
  open_call opened;
  opened.operation = std::move(call.operation);
  opened.bytes = bytes;
  opened.deadline = call.deadline;
  opened.done = std::move(call.done);
  opened.missed = call.missed;
  opened.ticket = call.ticket;
  enqueue(self, std::move(place), std::move(opened));
}

void invoke(self_ptr self, session_call& call) {
  auto& state = self->state;
  const auto& types = state.config->shape.types;
  const auto type = types.find(call.type);
  const bool weaker = type != types.end() && type->second.consistency != level::strong;
  if (call.weak_done && !weaker)
    call.done = [done = std::exchange(call.weak_done, nullptr)](const v1::Result& r) {
      done(as_weak_answer(r, level::strong));
    };
  const auto wrong = state.alone ? errc::unavailable : check_call(state.config->shape, call);
  if (wrong != errc::none)
    return call.weak_done ? call.weak_done(as_weak_answer(failure(wrong), type->second.consistency))
                          : call.done(failure(wrong));
  weaker ? invoke_weak(self, type->second, call) : invoke_strong(self, type->second, call);
}

void settle(self_ptr self, const v1::OperationAnswer& outcome) {
  auto& state = self->state;
  auto sent = state.sent.find(outcome.id().number());
  if (sent == state.sent.end()) return;
  const auto i = state.by_key.find(sent->second);
  state.sent.erase(sent);
  finish(state, i->second, i->second.begin(), outcome.result());
  advance(self, i);
}

/// The outcome of a write that an earlier caller was told nothing certain of.
void settle_again(self_ptr self, weak_settled& outcome) {
  auto& state = self->state;
  state.vector.raise_by(state.asked_again->second, outcome.answer, stream_lane::ordered);
  state.asked_again.reset();
  const auto refused = state.order.asked_again(std::move(outcome.unsettled));
  if (!refused) return keep_order(self);
  const auto [i, call] = find_turn(state, *refused);
  drop_waiting(self, i, call, errc::unavailable);
}

void settle_weak(self_ptr self, weak_settled& outcome) {
  auto& state = self->state;
  if (state.asked_again && state.asked_again->first == outcome.id) return settle_again(self, outcome);
  const auto sent = state.sent.find(outcome.id.number);
  if (sent == state.sent.end()) return;
  const auto i = state.by_key.find(sent->second);
  state.sent.erase(sent);
  const auto call = take(state, i->second, i->second.begin());
  state.vector.raise_by(i->first, outcome.answer, call.weak->service.lane);
  if (call.weak->turn != 0) state.order.written(std::move(outcome.unsettled));
  call.weak->done(outcome.answer);
  advance(self, i);
  keep_order(self);
}

/// Fails the writes that have waited for their turn until their deadline.
void expire(self_ptr self) {
  auto& state = self->state;
  const auto now = state.config->context.now();
  state.timer.fired(now);
  while (!state.waiting_until.empty() && state.waiting_until.begin()->first <= now) {
    const auto [i, call] = find_turn(state, state.waiting_until.begin()->second);
    drop_waiting(self, i, call, errc::expired);
  }
  keep_order(self);
}

void cancel(self_ptr self, std::uint64_t ticket) {
  auto& state = self->state;
  const auto key = state.tickets.find(ticket);
  if (key == state.tickets.end()) return; // it has been answered
  const auto i = state.by_key.find(key->second);
  auto& queue = i->second;
  const auto call = std::find_if(queue.begin(), queue.end(), [&](const open_call& c) { return c.ticket == ticket; });
  if (call->number == 0) return drop_waiting(self, i, call, errc::cancelled);
  const operation_cancelled sent{{state.config->id, call->number}};
  const auto& board = *state.config->context.board;
  if (call->weak)
    self->send(board.weak_manager(call->weak->service.at), sent);
  else if (call->by_memory)
    self->send(board.memory_layer, sent);
  else
    self->send(board.strong_manager, sent);
}

/// Ends what is open; `rest`: what becomes of calls that were not sent on.
void fail_all(session_state& state, errc rest) {
  const auto all = std::exchange(state.by_key, {});
  state.sent.clear();
  state.tickets.clear();
  state.open = state.open_bytes = 0;
  state.order = {};
  state.by_turn.clear();
  state.waiting_until.clear();
  state.asked_again.reset();
  for (const auto& [key, queue] : all)
    for (const auto& call : queue)
      answer(call, failure(call.number != 0 ? errc::timeout : rest));
}

/// The strong manager has ended, and by the node's care all others with it: nobody would answer any more.
void outlive(self_ptr self) {
  self->state.alone = true;
  fail_all(self->state, errc::unavailable);
}

void close(self_ptr self) {
  if (const auto& manager = self->state.config->context.board->strong_manager; manager && !self->state.alone)
    self->demonitor(manager.address());
  fail_all(self->state, errc::shutting_down);
  self->quit();
}

session_actor::behavior_type session(self_ptr self, session_config config) {
  self->state.config = std::move(config);
  self->set_default_handler(caf::drop);
  self->set_down_handler([self](const caf::down_msg&) { outlive(self); });
  if (const auto& manager = self->state.config->context.board->strong_manager) self->monitor(manager);
  return {
      [self](session_call& call) { invoke(self, call); },
      [self](const call_cancelled& c) { cancel(self, c.ticket); },
      [self](const v1::OperationAnswer& outcome) { settle(self, outcome); },
      [self](weak_settled& outcome) { settle_weak(self, outcome); },
      [self](session_token_request) { return self->state.vector.exported(); },
      [self](const session_token_join& presented) { self->state.vector.join(presented.token); },
      [self](tick_atom) { expire(self); },
      [self](close_atom) { close(self); },
  };
}

} // namespace

session_actor spawn_session(caf::actor_system& system, session_config config) {
  auto* const thread = config.context.thread;
  return spawn_on(system, thread, session, std::move(config));
}

} // namespace troupe
