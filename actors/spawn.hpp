/// Spawning on the workers of an actor system, or on the thread that does its network I/O.
///
/// Why: one strong write passes through eleven actors of three processes. On the workers each step from the network
/// to an actor and back wakes another thread, which costs more than all that the actors do; on the thread that reads
/// and writes the sockets a whole chain of actors runs between two reads. (Single-key writes of one client: measured
/// by `troupe bench strong`.) CAF runs its brokers in this way; `io_bound` makes any actor one of them.
#pragma once

#include "actors/io_loop.hpp"

#include <caf/actor_cast.hpp>
#include <caf/actor_config.hpp>
#include <caf/actor_system.hpp>
#include <caf/execution_unit.hpp>
#include <caf/local_actor.hpp>
#include <caf/mailbox_element.hpp>
#include <caf/resumable.hpp>

#include <utility>

namespace troupe {

/// `Actor`, always run by the execution unit that it was spawned with, whoever sends.
template <class Actor> class io_bound final : public Actor {
public:
  explicit io_bound(caf::actor_config& config) : Actor(config), thread_(config.host) {}

  void enqueue(caf::strong_actor_ptr from, caf::message_id id, caf::message content, caf::execution_unit*) override {
    Actor::enqueue(caf::make_mailbox_element(std::move(from), id, {}, std::move(content)), thread_);
  }
  void enqueue(caf::mailbox_element_ptr element, caf::execution_unit*) override {
    Actor::enqueue(std::move(element), thread_);
  }
  caf::resumable::subtype_t subtype() const override { return caf::resumable::io_actor; }

private:
  caf::execution_unit* thread_;
};

/// Spawns behave(self, config) to be run by `thread`, or by any worker when it is null.
template <class Self, class Behavior, class Config>
auto spawn_on(caf::actor_system& system, io_loop* thread, Behavior (*behave)(Self*, Config), Config config) {
  if (thread == nullptr) return system.spawn(behave, std::move(config));
  caf::actor_config spawning{thread};
  spawning.init_fun = caf::actor_config::init_fun_type{
      [behave, config = std::move(config)](caf::local_actor* self) mutable -> caf::behavior {
        return std::move(behave(static_cast<Self*>(self), std::move(config)).unbox());
      }};
  auto spawned = system.spawn_class<io_bound<Self>, caf::no_spawn_options>(spawning);
  thread->enrol(*caf::actor_cast<caf::abstract_actor*>(spawned));
  return spawned;
}

} // namespace troupe
