// Writes: numbered and stamped once, found again by their retries, answered when their type's promise is kept.
#include "protocol/stream/stream_replica_impl.hpp"

#include "protocol/session/session_vector.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Below `hidden`.
void lower(version_vector& context, const dot& hidden) {
  context.erase(hidden.from);
  if (hidden.seq > 1) context.raise(hidden.from, hidden.seq - 1);
}

/// What the caller has named of an update's causes beyond what its session has said to have seen: from now on it has.
/// Neither the update itself nor the session's earlier ones: a read that waited for them would wait for what it can
/// have joined.
version_vector named_by(const v1::WeakOperation& o, stream_lane lane) {
  if (lane == stream_lane::free || !o.explicit_depends()) return {};
  auto named = from_wire(o.depends());
  named.forget(from_wire(o.session().seen()));
  return named;
}

} // namespace

bool stream_replica::impl::write(std::uint64_t cookie, operation& o, instant now, std::uint64_t wall_ms,
                                 effects& out) {
  if (life == 0) {
    fail(o, errc::not_joined, out);
    return true;
  }
  if (waits_for_sum(cookie, o, out)) return false;
  if (known(o, out)) return true;
  const auto refuse = [&](errc error) {
    ++counts.refused;
    auto a = failure(o, error);
    a.set_settled(true); // nor will an attempt that waits here
    out.push_back(answer{o.from, std::move(a)});
    return true;
  };
  if (refusals.contains(from_wire(o.what.id()))) return refuse(errc::unavailable);
  const auto l = lane_of(*o.type);
  auto& lane = of(l);
  if (lane.is_closed()) return refuse(errc::unavailable);
  auto& k = key_of(o.what.key(), l, *o.type, out);
  if (k.record != stream_key::bytes::here) {
    k.waiting.push_back(cookie);
    return false;
  }
  if (k.damaged) return refuse(errc::corrupt);
  if (lane.staged.bytes() >= options.unfolded_bytes_max) return refuse(errc::overloaded);
  if (clock.ahead_ms(wall_ms) > options.max_clock_ahead_ms) return refuse(errc::clock_ahead);

  // What it replaces: what its session sees here; of a single value also what this node has accepted for it before.
  const bool ordered = l == stream_lane::ordered;
  std::vector<dot> own;
  for (const auto& d : o.what.own())
    own.push_back(from_wire(d));
  auto context = lane.staged.shown();
  for (const auto& d : own)
    if (lane.taken.covers(d)) context.raise(d);
  if (has_losers(o.type->resolver)) {
    for (const auto& s : k.newest().entries())
      if (s.at.from.node == options.self) context.raise(s.at);
  } else {
    // A vector cannot leave one out in the middle: where it would cover what this session has not seen, it stays
    // below, and what it has seen above that becomes concurrent.
    for (const auto* u : k.unfolded)
      if (!u->visible && context.covers(u->at) && std::find(own.begin(), own.end(), u->at) == own.end())
        lower(context, u->at);
  }
  std::optional<sibling_set> with_own;
  if (!own.empty()) with_own = state_at(k, lane.staged.shown(), own);
  const auto& visible = with_own ? *with_own : k.visible;
  const auto* own_counter = is_counter(o.type->resolver) ? k.newest().counter_of(options.self) : nullptr;
  auto drafted = draft({.kind = o.type->resolver,
                        .operation = o.what,
                        .visible = visible,
                        .own_counter = own_counter,
                        .self = options.self,
                        .context = context});
  if (!drafted) return refuse(drafted.error());

  version_vector depends;
  if (ordered) {
    const auto seen = from_wire(o.what.session().seen());
    const bool causal =
        o.what.level() >= static_cast<std::uint32_t>(level::causal) || o.type->consistency == level::causal;
    if (o.what.explicit_depends()) {
      depends = from_wire(o.what.depends());
      for (const auto& d : own)
        depends.raise(d);
    } else if (causal
               || (o.what.guarantees() & (guarantee::monotonic_writes | guarantee::writes_follow_reads)) != 0) {
      depends = seen;
    }
    depends.forget(lane.stable);
  }
  if (depends.size() > limits::stream_vector_entries_max) return refuse(errc::invalid_argument);

  stamp_clock::effects wanted;
  const auto stamped = clock.next(wall_ms, wanted);
  for (const auto& w : wanted) {
    const auto ceiling = std::get<stamp_clock::persist_ceiling>(w).clock;
    store({mark_write{stream_marks::ceiling, stream_marks::numbers(ceiling, 0)}}, ceiling_durable{ceiling}, out);
  }
  if (!stamped) {
    unstamped.push_back(cookie);
    return false;
  }

  const dot at{self_origin(), ++lane.seq};
  drafted->set_seq(at.seq);
  drafted->set_clock(stamped->clock);
  drafted->set_shard(o.what.shard());
  drafted->set_key(o.what.key());
  *drafted->mutable_request() = o.what.id();
  if (ordered) to_wire(depends, *drafted->mutable_depends());
  const auto update = std::make_shared<const v1::Update>(std::move(*drafted));

  own_write w{.id = from_wire(o.what.id()),
              .outcome = {.at = at, .lane = l, .clock = stamped->clock},
              .ack = o.type->ack,
              .shard = k.shard,
              .update = update,
              .seen = named_by(o.what, l),
              .askers = {}};
  if (o.what.has_remove()) w.outcome.exists = resolve(o.type->resolver, visible).exists;
  lane.taken.raise(at);
  lane.logs[life].append(at.seq, stamped->clock, weight_of(*update), log_part_bytes());
  stage(at.from, l, update, now, out);
  store({update_write{at.from, l, *update}}, own_durable{l, at.seq}, out);
  const bool early = o.type->durability == write_durability::async && o.type->ack == write_ack::local;
  if (early && !ordered) show(l, version_vector{{at.from, at.seq}}, now, out);
  if (is_counter(o.type->resolver)) {
    w.outcome.number = resolve(o.type->resolver, k.newest()).number;
    w.outcome.numbered = true;
  }
  requests.add(w.id, w.outcome);
  if (mutated(mutation::sent_before_sync)) {
    out.push_back(durable_updates{.lane = l, .updates = {update}, .upto = at.seq, .clock = stamped->clock});
  }
  lane.undurable.push_back(std::move(w));
  auto& stored = lane.undurable.back();
  const asker a{.to = o.from, .what = attempt_of(o.what), .deadline = o.deadline};
  if (early) {
    auto answered = done(stored.outcome, a.what);
    raise_session(answered, stored.seen, stored.outcome.clock);
    out.push_back(answer{a.to, std::move(answered)});
  } else {
    join(stored, a);
  }
  return true;
}

bool stream_replica::impl::waits_for_sum(std::uint64_t cookie, const operation& o, effects& out) {
  if (!is_counter(o.type->resolver)) return false;
  const auto id = from_wire(o.what.id());
  const auto* before = requests.find(id);
  const auto l = lane_of(*o.type);
  if (before == nullptr || before->numbered || before->lane != l) return false;
  auto& k = key_of(o.what.key(), l, *o.type, out);
  if (k.record != stream_key::bytes::here) {
    k.waiting.push_back(cookie);
    return true;
  }
  if (!k.damaged) requests.number(id, resolve(o.type->resolver, k.newest()).number);
  return false;
}

bool stream_replica::impl::known(operation& o, effects& out) {
  const auto id = from_wire(o.what.id());
  const auto answer_with = [&](const write_outcome& w, errc error = errc::none) {
    // It was done; what the sum is, nobody can say where the record is damaged.
    const bool no_sum = is_counter(o.type->resolver) && !w.numbered;
    out.push_back(answer{o.from, answer_again(o, w, no_sum ? errc::timeout : error)});
    return true;
  };
  if (const auto* before = requests.find(id); before != nullptr && !mutated(mutation::retry_executed_twice)) {
    ++counts.duplicates;
    auto* running = under_way(*before);
    const bool early = o.type->durability == write_durability::async && o.type->ack == write_ack::local;
    if (running == nullptr || early) {
      // Durable; but a type that wants more replicas is answered by how many have it.
      own_write w;
      w.id = id;
      w.outcome = *before;
      w.ack = o.type->ack;
      w.shard = {o.what.shard()};
      if (early || acknowledged(w, before->lane)) return answer_with(*before);
      // Of an earlier life: nobody counts for it any more, but a later retry may find that enough have it.
      if (before->at.from != self_origin()) return answer_with(*before, errc::timeout);
      w.seen = named_by(o.what, before->lane);
      auto& again = of(before->lane).unacknowledged.emplace(before->at.seq, w).first->second;
      join(again, {o.from, attempt_of(o.what), o.deadline});
      return true;
    }
    join(*running, {o.from, attempt_of(o.what), o.deadline});
    return true;
  }
  const auto wanted = o.what.executor_life();
  if (wanted > life) {
    fail(o, errc::not_joined, out);
    return true;
  }
  if (mutated(mutation::retry_executed_twice)) return false;
  // What is found nowhere was never executed, unless it may have been forgotten.
  if (o.what.attempt() > 1 && requests.may_have_been(wanted, o.what.session().clock())) {
    answer_forgotten(o, out);
    return true;
  }
  if (wanted == 0 || wanted == life) return false;
  auto a = failure(o, errc::unavailable);
  a.set_executed_elsewhere(true);
  out.push_back(answer{o.from, std::move(a)});
  return true;
}

/// Says what the write can have become at most: whatever depends on it, depends on that.
void stream_replica::impl::answer_forgotten(const operation& o, effects& out) {
  auto a = failure(o, errc::forgotten);
  const auto l = lane_of(*o.type);
  if (l == stream_lane::ordered) {
    const auto& lane = of(l);
    const auto wanted = o.what.executor_life();
    const bool running = wanted == 0 || wanted == life;
    const origin executor{options.self, running ? life : wanted};
    if (const auto newest = running ? lane.seq : lane.received.at(executor); newest > 0)
      to_wire(dot{executor, newest}, *a.mutable_written());
    version_vector earlier; // when it is not known which life was to execute it, it may have been any of them
    for (const auto& e : lane.received.entries())
      if (wanted == 0 && e.from.node == options.self && e.from != executor) earlier.raise(e.from, e.seq);
    raise_session(a, earlier, 0);
  }
  out.push_back(answer{o.from, std::move(a)});
}

stream_replica::impl::own_write* stream_replica::impl::under_way(const write_outcome& o) {
  if (o.at.from != self_origin()) return nullptr;
  auto& lane = of(o.lane);
  if (!lane.undurable.empty() && o.at.seq >= lane.undurable.front().outcome.at.seq) {
    const auto n = o.at.seq - lane.undurable.front().outcome.at.seq;
    return n < lane.undurable.size() ? &lane.undurable[n] : nullptr;
  }
  const auto i = lane.unacknowledged.find(o.at.seq);
  return i == lane.unacknowledged.end() ? nullptr : &i->second;
}

void stream_replica::impl::join(own_write& w, asker a) {
  constexpr std::size_t askers_max = 16; // attempts of one request; the oldest have given up
  if (w.askers.size() >= askers_max) w.askers.erase(w.askers.begin());
  write_deadlines.emplace(a.deadline, w.outcome.lane, w.outcome.at.seq);
  w.askers.push_back(std::move(a));
}

bool stream_replica::impl::acknowledged(const own_write& w, stream_lane l) const {
  if (w.ack == write_ack::local) return true;
  const auto replicas = options.stored.find(w.shard);
  const auto log = of(l).logs.find(w.outcome.at.from.life);
  if (replicas == options.stored.end() || log == of(l).logs.end()) return false;
  std::size_t in_view = 0, have = 1;
  for (const auto node : replicas->second) {
    if (node != options.self && !counted.contains(node)) continue;
    ++in_view;
    if (node != options.self && log->second.acknowledged_by(node) >= w.outcome.at.seq) ++have;
  }
  return w.ack == write_ack::one_remote ? have >= 2 : have >= in_view / 2 + 1;
}

void stream_replica::impl::check_acknowledged(stream_lane l, std::uint64_t upto, effects& out) {
  auto& waiting = of(l).unacknowledged;
  for (auto i = waiting.begin(); i != waiting.end() && i->first <= upto;) {
    if (!acknowledged(i->second, l)) {
      ++i;
      continue;
    }
    settle(i->second, l, out);
    i = waiting.erase(i);
  }
}

void stream_replica::impl::settle(own_write& w, stream_lane l, effects& out) {
  for (const auto& who : w.askers) {
    auto a = done(w.outcome, who.what);
    raise_session(a, w.seen, w.outcome.clock);
    out.push_back(answer{who.to, std::move(a)});
    write_deadlines.erase(std::tuple{who.deadline, l, w.outcome.at.seq});
  }
  w.askers.clear();
}

v1::WeakAnswer stream_replica::impl::answer_again(const operation& o, const write_outcome& w, errc error) const {
  auto a = done(w, attempt_of(o.what));
  a.mutable_result()->set_error(static_cast<std::uint32_t>(error));
  raise_session(a, named_by(o.what, w.lane), w.clock);
  return a;
}

v1::WeakAnswer stream_replica::impl::done(const write_outcome& w, const attempt& to) const {
  auto a = answer_to(to);
  auto& r = *a.mutable_result();
  r.set_applied(true);
  r.set_exists(w.exists);
  r.set_number(w.number);
  auto& v = *r.mutable_version();
  v.set_round(w.clock);
  v.set_node(w.at.from.node.value);
  v.set_incarnation(w.at.from.life);
  v.set_counter(w.at.seq);
  to_wire(w.at, *a.mutable_written());
  a.mutable_session()->set_clock(w.clock);
  return a;
}

} // namespace troupe
