#include "actors/session.hpp"

#include "actors/memory_layer.hpp"
#include "actors/spawn.hpp"
#include "protocol/limits.hpp"
#include "protocol/strong/named_lock.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <algorithm>
#include <deque>

namespace troupe {

namespace {

struct open_call {
  v1::Operation operation; ///< empty once it was sent on
  std::size_t bytes = 0;   ///< what it weighed
  instant deadline;
  std::function<void(const v1::Result&)> done;
  bool missed = false;      ///< the memory table was asked already
  std::uint64_t ticket = 0; ///< as the caller knows it; 0 = it will not be cancelled
  std::uint64_t number = 0; ///< of the request; 0 = it waits, and was not sent on
  bool by_memory = false;   ///< set when it was sent on: by way of the memory layer
};

using call_queue = std::deque<open_call>;

struct session_state {
  std::optional<session_config> config;
  std::uint64_t issued = 0;
  std::uint64_t unordered = 0;                  ///< calls about named locks; each has a queue of its own
  std::map<std::uint64_t, std::string> sent;    ///< by request number: the key; one entry per operation sent on
  std::map<std::string, call_queue> by_key;     ///< the first of each queue is the one that was sent on
  std::map<std::uint64_t, std::string> tickets; ///< the key of each open call that may be cancelled
  std::size_t open = 0;                         ///< entries of all queues of by_key
  std::size_t open_bytes = 0;                   ///< sum of their `bytes`
  bool alone = false;                           ///< the node's actors have died
  static inline const char* name = "troupe.session";
};

using self_ptr = session_actor::stateful_pointer<session_state>;

v1::Result failure(errc code) {
  v1::Result r;
  r.set_error(static_cast<std::uint32_t>(code));
  return r;
}

/// What must hold before anything leaves the node.
errc check(const cluster& shape, const session_call& call) {
  auto type = shape.types.find(call.type);
  if (type == shape.types.end()) return errc::unknown_type;
  if (type->second.consistency != level::strong) return errc::unsupported_level;
  if (call.operation.key().size() <= call.type.size() + 1) return errc::key_too_long; // an empty key
  if (call.operation.key().size() > limits::key_bytes_max) return errc::key_too_long;
  const auto& op = call.operation;
  if (op.put().value().size() > limits::value_bytes_max
      || op.compare_and_set().value().size() + op.compare_and_set().expected().size() > limits::value_bytes_max)
    return errc::value_too_large;
  return errc::none;
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

/// Takes a call of the queue out and answers it.
void finish(session_state& state, call_queue& queue, call_queue::iterator call, const v1::Result& result) {
  const auto done = std::move(call->done);
  --state.open;
  state.open_bytes -= call->bytes;
  if (call->ticket != 0) state.tickets.erase(call->ticket);
  queue.erase(call);
  done(result);
}

/// Sends the first call on that the memory table does not answer; forgets the key when there is none.
void advance(self_ptr self, std::map<std::string, call_queue>::iterator i) {
  auto& state = self->state;
  auto& [key, queue] = *i;
  while (!queue.empty()) {
    const auto known = read_here(*state.config, queue.front());
    if (!known) return send_on(self, key, queue.front());
    finish(state, queue, queue.begin(), *known);
  }
  state.by_key.erase(i);
}

void invoke(self_ptr self, session_call& call) {
  auto& state = self->state;
  if (state.alone) return call.done(failure(errc::unavailable));
  if (auto wrong = check(state.config->shape, call); wrong != errc::none) return call.done(failure(wrong));
  // Weighed here, since all but the first operation on a key wait here, where no other bound would see them.
  const auto bytes = call.operation.ByteSizeLong();
  if (state.open >= state.config->open_max || bytes > state.config->open_bytes_max - state.open_bytes)
    return call.done(failure(errc::overloaded));
  const auto& type = state.config->shape.types.at(call.type);
  call.operation.set_roll_back(type.timeout == on_timeout::rollback);
  // What is said about named locks is in no order with anything: one call may wait until another gives a lock back.
  const bool about_lock = is_lock_operation(call.operation.what_case());
  if (!call.operation.has_raise_fence()) // which says where
    call.operation.set_shard(shard_of(call.operation.key(), state.config->shape.shards).value);
  auto place = call.operation.key();
  if (about_lock) place.append(1, '\0').append(std::to_string(++state.unordered));
  const auto i = state.by_key.try_emplace(std::move(place)).first;
  if (call.ticket != 0) state.tickets.emplace(call.ticket, i->first);
  i->second.push_back(
      {std::move(call.operation), bytes, call.deadline, std::move(call.done), call.missed, call.ticket});
  ++state.open;
  state.open_bytes += bytes;
  if (i->second.size() == 1) advance(self, i);
}

void settle(self_ptr self, const v1::OperationAnswer& answer) {
  auto& state = self->state;
  auto sent = state.sent.find(answer.id().number());
  if (sent == state.sent.end()) return;
  const auto i = state.by_key.find(sent->second);
  state.sent.erase(sent);
  finish(state, i->second, i->second.begin(), answer.result());
  advance(self, i);
}

void cancel(self_ptr self, std::uint64_t ticket) {
  auto& state = self->state;
  const auto key = state.tickets.find(ticket);
  if (key == state.tickets.end()) return; // it has been answered
  auto& queue = state.by_key.find(key->second)->second;
  const auto call = std::find_if(queue.begin(), queue.end(), [&](const open_call& c) { return c.ticket == ticket; });
  if (call->number == 0) return finish(state, queue, call, failure(errc::cancelled));
  const operation_cancelled sent{{state.config->id, call->number}};
  const auto& board = *state.config->context.board;
  if (call->by_memory)
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
  for (const auto& [key, queue] : all) {
    bool first = true;
    for (const auto& call : queue) {
      call.done(failure(first ? errc::timeout : rest)); // only the first was sent on
      first = false;
    }
  }
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
      [self](const v1::OperationAnswer& answer) { settle(self, answer); },
      [self](close_atom) { close(self); },
  };
}

} // namespace

session_actor spawn_session(caf::actor_system& system, session_config config) {
  auto* const thread = config.context.thread;
  return spawn_on(system, thread, session, std::move(config));
}

} // namespace troupe
