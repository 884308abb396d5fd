#include "actors/link.hpp"

#include "actors/spawn.hpp"
#include "protocol/cluster.hpp"
#include "protocol/error.hpp"
#include "protocol/wire.hpp"

#include <caf/all.hpp>
#include <spdlog/spdlog.h>

namespace troupe {

namespace {

template <class... Fs> struct overloaded : Fs... { using Fs::operator()...; };
template <class... Fs> overloaded(Fs...) -> overloaded<Fs...>;

struct link_state;
using link_pointer = link_actor::stateful_pointer<link_state>;

struct held_frame {
  instant due;
  v1::Frame frame;
};

struct link_state {
  static inline const char* name = "link";

  link_pointer self = nullptr;
  link_config config;
  std::unique_ptr<greeting> hello;
  std::unique_ptr<link_stream> frames;
  greeting_effects hello_out; ///< what `hello` wants done, until `perform`
  link_effects frames_out;    ///< what `frames` wants done, until `perform`
  bool met = false;           ///< DOOR has handed a wire over
  caf::strong_actor_ptr wire; ///< null = none; overwritten by a newer handle even if that compares equal: CAF.md §5

  bool flush_planned = false; ///< a flush_atom is in the mailbox
  alarm timer;
  instant ticked_at;            ///< the last tick; frames need one every half ping interval
  std::deque<held_frame> held;  ///< oldest first; what the injected delay holds back
  bool release_planned = false; ///< a delayed_atom is under way
  incarnation peer_life;        ///< of the running, or else of the last connection

  instant now() const { return config.clock->now(); }
  /// Over the wire; the peer answers to this actor.
  template <class Message> void speak(Message message) {
    if (wire) caf::unsafe_send_as(self, caf::actor_cast<caf::actor>(wire), std::move(message));
  }
  void meet(caf::strong_actor_ptr new_wire);
  void part();
  void perform();
  void perform(greeting_effect& effect);
  void perform(link_effect& effect);
  void ask_membership(const v1::Hello& consent);
  void transmit_frame(v1::Frame frame);
  void send_held();
  void hand_back(dropped& message);
  void announce(bool up);
  void plan_release();
  void plan_flush();
  void plan_tick();
  void wire_down(const caf::down_msg& down);
  link_status status() const;

  template <class... Fields>
  void log(spdlog::level::level_enum severity, const char* format, const Fields&... fields) const {
    if (config.log) config.log->log(severity, fmt::runtime(format), fields...);
  }
};

void link_state::meet(caf::strong_actor_ptr new_wire) {
  if (new_wire.get() == wire.get()) return;
  part();
  wire = std::move(new_wire);
  self->monitor(wire);
}

void link_state::part() {
  if (wire) self->demonitor(wire->address());
  wire = nullptr;
}

/// The two cores speak to each other here: what the frames close, the greeting has lost; what the greeting brings up
/// or down, the frames begin or end.
void link_state::perform() {
  greeting_effects greetings;
  while (!frames_out.empty() || !hello_out.empty()) {
    for (auto& effect : frames_out)
      perform(effect);
    frames_out.clear();
    greetings.swap(hello_out);
    for (auto& effect : greetings)
      perform(effect);
    greetings.clear();
  }
  if (config.one_connection && met && hello->apart()) return self->quit();
  plan_flush();
  plan_tick();
}

void link_state::perform(link_effect& effect) {
  std::visit(overloaded{
                 [this](transmit& e) { transmit_frame(std::move(e.frame)); },
                 [this](deliver& e) {
                   if (!config.board->deliver(config.peer, e.envelope))
                     log(spdlog::level::debug, "link.undeliverable peer={} message={}", config.peer_name,
                         name_of(e.envelope));
                 },
                 [this](dropped& e) { hand_back(e); },
                 [this](closed& e) {
                   log(spdlog::level::warn, "link.closed peer={} why={}", config.peer_name, e.why);
                   hello->lost(now(), e.why, hello_out);
                 },
             },
             effect);
}

void link_state::perform(greeting_effect& effect) {
  std::visit(overloaded{
                 [this](dial&) { config.wires->dial(config.peer, caf::actor_cast<caf::actor>(self)); },
                 [this](say_hello& e) { speak(std::move(e.hello)); },
                 [this](say_no& e) { speak(std::move(e.no)); },
                 [this](check_hello& e) {
                   // From here on the wire is the peer's link; its door was only for the hello.
                   meet(self->current_sender());
                   ask_membership(e.hello);
                 },
                 [this](connection_up& e) {
                   peer_life = e.life;
                   frames->connected(e.connection, now(), frames_out);
                   frames->tick(now(), frames_out); // measures the round trip at once
                   log(spdlog::level::info, "link.up peer={} incarnation={} connection={:x}", config.peer_name,
                       e.life.value, e.connection);
                   announce(true);
                 },
                 [this](connection_down& e) {
                   frames->disconnected(frames_out);
                   held.clear();
                   log(spdlog::level::info, "link.down peer={} why={}", config.peer_name, e.why);
                   announce(false);
                 },
                 [this](hang_up&) {
                   if (wire) config.wires->close(caf::actor_cast<caf::actor>(wire));
                   part();
                 },
                 [this](refusal& e) {
                   log(e.repeated ? spdlog::level::debug : spdlog::level::warn,
                       "link.refused peer={} error={} what=\"{}\"", config.peer_name,
                       name_of(static_cast<errc>(e.error)), e.what);
                 },
             },
             effect);
}

/// Other messages wait until the answer is here: frames that follow the consent must not be taken for stale ones.
/// Membership is an actor of this node and never waits for a link.
void link_state::ask_membership(const v1::Hello& consent) {
  auto verdict = [this, consent](const v1::HelloRefused& answer) {
    hello->checked(consent, answer, now(), hello_out);
    perform();
  };
  v1::HelloRefused gone;
  gone.set_error(static_cast<std::uint32_t>(errc::shutting_down));
  gone.set_what("this node's membership has ended");
  if (!config.board->membership) return verdict(gone);
  self->request(config.board->membership, caf::infinite, consent)
      .await([verdict](const v1::HelloRefused& answer) { verdict(answer); },
             [verdict, gone](caf::error&) { verdict(gone); });
}

void link_state::transmit_frame(v1::Frame frame) {
  if (config.delay == nanoseconds{0}) {
    speak(std::move(frame));
    return;
  }
  held.push_back({now() + config.delay, std::move(frame)});
  plan_release();
}

void link_state::send_held() {
  const auto time = now();
  while (wire && !held.empty() && held.front().due <= time) {
    speak(std::move(held.front().frame));
    held.pop_front();
  }
  plan_release();
}

void link_state::hand_back(dropped& message) {
  log(spdlog::level::debug, "link.dropped peer={} message={} reason={}", config.peer_name, name_of(message.envelope),
      name_of(message.reason));
  const auto why = message.reason == drop_reason::too_large ? errc::value_too_large : errc::none;
  if (message.envelope.has_weak_operation()) {
    auto& operation = *message.envelope.mutable_weak_operation();
    const auto& manager = config.board->weak_manager(static_cast<level>(operation.level())); // this node set it
    if (manager) self->send(manager, weak_unsent{config.peer, std::move(operation), why});
    return;
  }
  if (!message.envelope.has_operation() || !config.board->strong_manager) return;
  self->send(config.board->strong_manager,
             unsent{config.peer, std::move(*message.envelope.mutable_operation()), why});
}

void link_state::announce(bool up) {
  // To those who count on it that what a connection brings comes between its beginning and its end, and that what
  // they say at its beginning is heard: by way of membership this news would come behind the first messages.
  const auto& board = *config.board;
  const peer_change change{config.peer, peer_life, up};
  if (const auto stream = board.update_streams.find(config.peer); stream != board.update_streams.end())
    self->send(stream->second, change);
  if (board.frontier) self->send(board.frontier, change);
  if (board.stream_replica) self->send(board.stream_replica, change);
  if (board.membership) self->send(board.membership, change);
}

void link_state::plan_release() {
  if (release_planned || held.empty()) return;
  release_planned = true;
  self->delayed_send(self, config.clock->until(held.front().due), delayed_atom{});
}

void link_state::plan_flush() {
  if (flush_planned || !frames->wants_flush()) return;
  flush_planned = true;
  self->send(self, flush_atom{});
}

void link_state::plan_tick() {
  auto wanted = hello->due();
  if (frames->up()) wanted = std::min(wanted, ticked_at + config.frames.ping_every / 2);
  timer.arm(self, *config.clock, wanted);
}

void link_state::wire_down(const caf::down_msg& down) {
  // Not by ==: the handle of an earlier connection compares equal to the present one.
  if (!wire || caf::actor_cast<caf::strong_actor_ptr>(down.source).get() != wire.get()) return;
  part();
  hello->lost(now(), "connection lost", hello_out);
  perform();
}

link_status link_state::status() const {
  const auto& c = frames->counters();
  auto us = [](nanoseconds t) { return static_cast<std::uint64_t>(t.count() / 1000); };
  link_status s;
  s.peer = config.peer;
  s.name = config.peer_name;
  s.up = frames->up();
  s.round_trip_us = us(frames->round_trip());
  s.round_trip_us_max = us(frames->round_trip_max());
  s.queued_messages = frames->queued_messages();
  s.queued_bytes = frames->queued_bytes();
  s.frames_sent = c.frames_sent;
  s.frames_received = c.frames_received;
  s.frames_refused = c.frames_refused();
  s.connections = c.connections;
  s.dropped_messages = c.messages_dropped + c.parts_dropped;
  s.refusals = hello->refusals();
  s.last_refusal = hello->last_refusal();
  return s;
}

link_actor::behavior_type link_behavior(link_pointer self, link_config config) {
  auto& state = self->state;
  state.self = self;
  state.hello = std::make_unique<greeting>(greeting_options{config.peer, config.dials, config.self});
  // A silence means nothing within what the injected delay explains.
  config.frames.peer_timeout += std::chrono::duration_cast<milliseconds>(4 * config.delay);
  state.frames = std::make_unique<link_stream>(config.frames);
  state.config = std::move(config);
  // What CAF could not parse arrives as an empty message; the gap that it leaves in the numbers ends the connection.
  self->set_default_handler(caf::drop);
  self->set_error_handler([](caf::scheduled_actor*, caf::error&) {});
  self->set_down_handler([&state](caf::down_msg& down) { state.wire_down(down); });

  return {
      [&state](v1::Envelope& envelope) {
        state.frames->post(std::move(envelope), state.frames_out);
        state.perform();
      },
      [&state](const v1::Hello& hello, caf::strong_actor_ptr& wire) {
        state.met = true;
        state.meet(std::move(wire));
        state.hello->admitted(hello, state.now(), state.hello_out);
        state.perform();
      },
      [&state](turned_away_atom, const v1::HelloRefused& no) {
        state.hello->turned_away(no, state.hello_out);
        state.perform();
      },
      [&state](const v1::Hello& consent) {
        state.hello->consented(consent, state.now(), state.hello_out);
        state.perform();
      },
      [&state](const v1::HelloRefused& no) {
        state.hello->refused(no, state.now(), state.hello_out);
        state.perform();
      },
      [&state](const v1::Frame& frame) {
        if (!state.hello->up()) {
          state.hello->heard(frame.connection(), state.hello_out);
          state.perform();
        }
        state.frames->receive(frame, state.now(), state.frames_out);
        state.perform();
      },
      [&state](dialled_atom, node_id, caf::strong_actor_ptr& wire) {
        state.meet(std::move(wire));
        state.hello->dialled(state.now(), state.hello_out);
        state.perform();
      },
      [&state](dial_failed_atom, node_id, const std::string& why) {
        state.log(spdlog::level::debug, "link.dial_failed peer={} why=\"{}\"", state.config.peer_name, why);
        state.hello->dial_failed(state.now(), why, state.hello_out);
        state.perform();
      },
      [&state](flush_atom) {
        state.flush_planned = false;
        state.frames->flush(state.now(), state.frames_out);
        state.perform();
      },
      [&state](tick_atom) {
        const auto now = state.now();
        state.timer.fired(now);
        state.ticked_at = now;
        state.hello->tick(now, state.hello_out);
        state.frames->tick(now, state.frames_out);
        state.perform();
      },
      [&state](delayed_atom) {
        state.release_planned = false;
        state.send_held();
        state.perform();
      },
      [&state](status_atom) { return state.status(); },
  };
}

} // namespace

v1::Hello make_hello(const self_description& self) {
  v1::Hello hello;
  hello.set_protocol(protocol_version);
  hello.set_cluster(self.cluster);
  hello.set_configuration(self.configuration);
  hello.set_configuration_text(self.configuration_text);
  hello.set_node(self.node.value);
  hello.set_incarnation(self.life.value);
  hello.set_disk(self.disk);
  hello.set_name(self.name);
  hello.set_region(self.region);
  return hello;
}

link_actor spawn_link(caf::actor_system& system, link_config config) {
  auto* const thread = config.thread;
  return spawn_on(system, thread, link_behavior, std::move(config));
}

} // namespace troupe
