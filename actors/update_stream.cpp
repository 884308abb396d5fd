#include "actors/update_stream.hpp"

#include "actors/spawn.hpp"

#include <caf/typed_event_based_actor.hpp>

namespace troupe {

namespace {

struct update_stream_state {
  std::optional<update_stream_config> config;
  std::optional<outbound> out;
  std::optional<inbound> in;
  outbound::effects out_effects; ///< empty between handlers
  inbound::effects in_effects;   ///< likewise
  bool up = false;
  bool flush_due = false; ///< a flush message is under way
  alarm timer;
  static inline const char* name = "troupe.update_stream";
};

using self_ptr = update_stream_actor::stateful_pointer<update_stream_state>;

const actor_context& context(self_ptr self) { return self->state.config->context; }

void flush_soon(self_ptr self) {
  if (std::exchange(self->state.flush_due, true)) return;
  self->send(self, flush_atom::value); // what is in the mailbox by then leaves together
}

struct performer {
  self_ptr self;

  const switchboard& board() const { return *context(self).board; }

  void operator()(outbound::send_updates& s) const {
    v1::Envelope envelope;
    *envelope.mutable_updates() = std::move(s.message);
    board().post(s.to, std::move(envelope));
  }
  void operator()(const outbound::read_log& r) const {
    auto me = caf::actor_cast<update_stream_actor>(self);
    const updates_request wanted{{board().self, r.life}, r.lane, r.after, r.bytes_max};
    self->state.config->store->read_updates(wanted, [me, wanted](updates_page page) {
      caf::anon_send(me, log_page{wanted, std::move(page)});
    });
  }
  void operator()(const outbound::peer_durable& p) const {
    caf::anon_send(board().stream_replica, stored_at_peer{p.peer, {board().self, p.life}, p.lane, p.upto});
  }
  void operator()(const outbound::cut& c) const {
    v1::Envelope envelope;
    auto& offer = *envelope.mutable_copy_offered();
    offer.set_life(c.life);
    offer.set_lane(static_cast<v1::Lane>(c.lane));
    offer.set_upto(c.upto);
    board().post(c.peer, std::move(envelope));
    if (context(self).log && !c.again)
      context(self).log->warn("stream.cut peer={} life={} lane={} after={} upto={}: it has to copy records",
                              to_string(c.peer), c.life, name_of(c.lane), c.after, c.upto);
  }
  void operator()(inbound::send_acknowledged& s) const {
    v1::Envelope envelope;
    *envelope.mutable_updates_acknowledged() = std::move(s.message);
    board().post(s.to, std::move(envelope));
  }
  void operator()(inbound::accept& a) const {
    caf::anon_send(board().frontier, origin_clock{a.lane, a.from, a.upto, a.clock});
    caf::anon_send(
        board().stream_replica,
        incoming_updates{
            {.from = a.from, .lane = a.lane, .updates = std::move(a.updates), .upto = a.upto, .clock = a.clock}});
  }
  void operator()(const note& n) const { context(self).record(n); }
};

void perform(self_ptr self) {
  auto& state = self->state;
  for (auto& effect : state.out_effects)
    std::visit(performer{self}, effect);
  state.out_effects.clear();
  for (auto& effect : state.in_effects)
    std::visit(performer{self}, effect);
  state.in_effects.clear();
  state.timer.arm(self, *context(self).clock, std::min(state.out->wake_at(), state.in->wake_at()));
}

void on_peer(self_ptr self, const peer_change& p) {
  auto& state = self->state;
  if (p.peer != state.config->outgoing.peer || p.up == state.up) return;
  state.up = p.up;
  const auto now = context(self).now();
  if (p.up) {
    state.out->connected(now);
    state.in->connected(now, state.in_effects);
  } else {
    state.out->disconnected();
    state.in->disconnected();
  }
  perform(self);
  flush_soon(self);
}

/// Of the log: own updates, all of them up to the last of the page.
void on_log(self_ptr self, log_page& p) {
  auto& state = self->state;
  const auto now = context(self).now();
  const auto& wanted = p.request;
  const outbound::read_log asked{wanted.lane, wanted.from.life, wanted.after, wanted.bytes_max};
  if (p.page.updates.empty()) {
    // It was asked for what is durable: what is not there was shortened away, or cannot be read any more.
    state.out->log_gone(asked, p.page.damaged == 0 ? 0 : p.page.damaged + 1, now, state.out_effects);
  } else if (p.page.updates.front().seq() != wanted.after + 1) {
    state.out->log_gone(asked, p.page.updates.front().seq(), now, state.out_effects);
  } else {
    outbound::log_part part{wanted.lane, wanted.from.life, wanted.after, {}, p.page.updates.back().seq()};
    part.updates.reserve(p.page.updates.size());
    for (auto& update : p.page.updates)
      part.updates.push_back(std::make_shared<const v1::Update>(std::move(update)));
    state.out->log_read(std::move(part), now, state.out_effects);
  }
  perform(self);
  flush_soon(self);
}

void flush(self_ptr self) {
  auto& state = self->state;
  state.flush_due = false;
  const auto now = context(self).now();
  state.out->flush(now, state.out_effects);
  state.in->flush(now, state.in_effects);
  perform(self);
}

update_stream_status describe(const update_stream_state& state) {
  const auto sent = state.out->counted();
  const auto taken = state.in->counted();
  update_stream_status s;
  s.peer = state.config->outgoing.peer;
  s.up = state.up;
  s.sent = sent.updates;
  s.repeated = sent.repeated;
  s.log_reads = sent.reads;
  s.received = taken.updates;
  s.gaps = taken.gaps;
  s.refused = taken.refusals() + sent.refused;
  for (const auto lane : {stream_lane::ordered, stream_lane::free}) {
    s.behind[static_cast<std::size_t>(lane)] = state.out->behind(lane);
    s.queued_bytes += state.out->queued_bytes(lane);
    s.cut = s.cut || state.out->is_cut(lane);
  }
  return s;
}

update_stream_actor::behavior_type update_stream(self_ptr self, update_stream_config config) {
  auto& state = self->state;
  state.config = std::move(config);
  state.out.emplace(state.config->outgoing);
  state.in.emplace(state.config->incoming);
  self->set_default_handler(caf::drop);
  return {
      [self](node_id from, v1::Updates& m) {
        if (from != self->state.config->incoming.peer) return;
        self->state.in->receive(std::move(m), context(self).now(), self->state.in_effects);
        perform(self);
        if (self->state.in->wants_flush()) flush_soon(self);
      },
      [self](node_id from, const v1::UpdatesAcknowledged& m) {
        if (from != self->state.config->outgoing.peer) return;
        self->state.out->receive(m, context(self).now(), self->state.out_effects);
        perform(self);
        flush_soon(self);
      },
      [self](const own_statement& s) {
        self->state.out->durable({s.lane, s.life, s.updates, s.upto, s.clock}, context(self).now(),
                                 self->state.out_effects);
        perform(self);
        flush_soon(self);
      },
      [self](const received_durable& r) {
        self->state.in->durable(r.lane, r.from.life, r.upto);
        if (r.again) self->state.in->state_again(r.lane, r.from.life);
        if (self->state.in->wants_flush()) flush_soon(self);
      },
      [self](const own_life_ended& e) {
        self->state.out->earlier_life(e.lane, e.life, e.last, self->state.out_effects);
        perform(self);
      },
      [self](const peer_change& p) { on_peer(self, p); },
      [self](const view_changed& v) {
        self->state.out->view_number(v.now.number);
        self->state.in->view_number(v.now.number);
      },
      [self](log_page& p) { on_log(self, p); },
      [self](flush_atom) { flush(self); },
      [self](tick_atom) {
        auto& s = self->state;
        const auto now = context(self).now();
        s.timer.fired(now);
        s.out->tick(now, s.out_effects);
        s.in->tick(now, s.in_effects);
        perform(self);
      },
      [self](status_atom) { return describe(self->state); },
  };
}

} // namespace

update_stream_actor spawn_update_stream(caf::actor_system& system, update_stream_config config) {
  auto* const thread = config.context.thread;
  return spawn_on(system, thread, update_stream, std::move(config));
}

} // namespace troupe
