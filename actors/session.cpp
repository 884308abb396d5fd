#include "actors/session.hpp"

#include "actors/spawn.hpp"
#include "protocol/limits.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <deque>

namespace troupe {

namespace {

struct open_call {
  v1::Operation operation; ///< empty once it was sent on
  std::size_t bytes = 0;   ///< what it weighed
  instant deadline;
  std::function<void(const v1::Result&)> done;
};

struct session_state {
  std::optional<session_config> config;
  std::uint64_t issued = 0;
  std::map<std::uint64_t, std::string> sent; ///< by request number: the key; one entry per operation sent on
  std::map<std::string, std::deque<open_call>> by_key; ///< the first of each queue is the one that was sent on
  std::size_t open = 0;                                ///< entries of all queues of by_key
  std::size_t open_bytes = 0;                          ///< sum of their `bytes`
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

void send_on(self_ptr self, const std::string& key, open_call& call) {
  auto& state = self->state;
  const auto number = ++state.issued;
  state.sent.emplace(number, key);
  to_wire(request_id{state.config->id, number}, *call.operation.mutable_id());
  self->send(state.config->context.board->strong_manager,
             submission{std::move(call.operation), call.deadline, caf::actor_cast<session_actor>(self)});
}

void invoke(self_ptr self, session_call& call) {
  auto& state = self->state;
  if (auto wrong = check(state.config->shape, call); wrong != errc::none) return call.done(failure(wrong));
  // Weighed here, since all but the first operation on a key wait here, where no other bound would see them.
  const auto bytes = call.operation.ByteSizeLong();
  if (state.open >= state.config->open_max || bytes > state.config->open_bytes_max - state.open_bytes)
    return call.done(failure(errc::overloaded));
  const auto& type = state.config->shape.types.at(call.type);
  call.operation.set_roll_back(type.timeout == on_timeout::rollback);
  call.operation.set_shard(shard_of(call.operation.key(), state.config->shape.shards).value);
  const auto key = call.operation.key();
  auto& queue = state.by_key[key];
  queue.push_back({std::move(call.operation), bytes, call.deadline, std::move(call.done)});
  ++state.open;
  state.open_bytes += bytes;
  if (queue.size() == 1) send_on(self, key, queue.front());
}

void settle(self_ptr self, const v1::OperationAnswer& answer) {
  auto& state = self->state;
  auto sent = state.sent.find(answer.id().number());
  if (sent == state.sent.end()) return;
  const auto key = std::move(sent->second);
  state.sent.erase(sent);
  auto queue = state.by_key.find(key);
  auto done = std::move(queue->second.front().done);
  --state.open;
  state.open_bytes -= queue->second.front().bytes;
  queue->second.pop_front();
  if (queue->second.empty())
    state.by_key.erase(queue);
  else
    send_on(self, key, queue->second.front());
  done(answer.result());
}

void close(self_ptr self) {
  for (auto& [key, queue] : self->state.by_key) {
    bool first = true;
    for (auto& call : queue) {
      call.done(failure(first ? errc::timeout : errc::shutting_down)); // only the first was sent on
      first = false;
    }
  }
  self->quit();
}

session_actor::behavior_type session(self_ptr self, session_config config) {
  self->state.config = std::move(config);
  self->set_default_handler(caf::drop);
  return {
      [self](session_call& call) { invoke(self, call); },
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
