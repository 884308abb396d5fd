// Life, replay, persistence and time.
#include "protocol/session/session_vector.hpp"
#include "protocol/stream/conflict_marks.hpp"
#include "protocol/stream/stream_replica_impl.hpp"

#include <charconv>

namespace troupe {

namespace {

constexpr std::size_t replay_bytes = std::size_t{1} << 20;
constexpr milliseconds statement_every{200};

version_vector vector_in(const stream_image& image, const std::string& mark) {
  const auto i = image.marks.find(mark);
  v1::Vector v;
  if (i == image.marks.end() || !v.ParseFromString(i->second)) return {};
  return from_wire(v);
}

std::uint64_t ceiling_in(const stream_image& image) {
  const auto i = image.marks.find(stream_marks::ceiling);
  const auto found = i == image.marks.end() ? std::nullopt : stream_marks::numbers_in(i->second);
  return found ? found->first : 0;
}

} // namespace

std::string_view name_of(violation v) {
  constexpr std::array<std::string_view, stream_violation_kinds> names{"behind_session", "dependency_missing",
                                                                       "went_back", "checksum", "bound_exceeded"};
  return names[static_cast<std::size_t>(v)];
}

namespace stream_marks {

std::string received(const origin& from, stream_lane lane) {
  return "r." + std::string{name_of(lane)} + "." + std::to_string(from.node.value) + "." + std::to_string(from.life);
}
std::string erased(std::uint64_t life, stream_lane lane) {
  return "e." + std::string{name_of(lane)} + "." + std::to_string(life);
}
std::string folded(stream_lane lane) { return "f." + std::string{name_of(lane)}; }
std::string copied_until(stream_lane lane) { return "u." + std::string{name_of(lane)}; }
std::string leaf(stream_lane lane, shard_id shard, std::size_t which) {
  return "t." + std::string{name_of(lane)} + "." + std::to_string(shard.value) + "." + std::to_string(which);
}
std::string damaged(std::string_view key) { return std::string{"d."}.append(key); }
std::string conflict(std::uint64_t number) { return std::string{conflict_marks} + std::to_string(number); }
stream_write of(std::string name, const version_vector& v) {
  v1::Vector wire;
  to_wire(v, wire);
  return mark_write{std::move(name), wire.SerializeAsString()};
}
std::string numbers(std::uint64_t a, std::uint64_t b) { return std::to_string(a) + " " + std::to_string(b); }

std::optional<std::pair<std::uint64_t, std::uint64_t>> numbers_in(std::string_view text) {
  std::pair<std::uint64_t, std::uint64_t> out;
  const auto* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, out.first);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ' ') return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, out.second);
  if (second.ec != std::errc{} || second.ptr != end) return std::nullopt;
  return out;
}

} // namespace stream_marks

stream_replica::impl::impl(stream_replica_options o, stream_image i, instant now)
    : options{std::move(o)},
      image{std::move(i)},
      clock{options.self, ceiling_in(image)},
      lanes{lane_state{stream_lane::ordered, vector_in(image, stream_marks::folded(stream_lane::ordered))},
            lane_state{stream_lane::free, vector_in(image, stream_marks::folded(stream_lane::free))}},
      requests{options.requests_max, options.requests_bytes_max},
      fresh{{}},
      trees{hash_tree{options.shards}, hash_tree{options.shards}},
      statement_at{now} {
  for (const auto& [shard, nodes] : options.stored)
    for (const auto node : nodes)
      if (node != options.self) peers.insert(node);
  counted = peers;
  counted.insert(options.self);
  fresh = freshness{{.members = counted, .self = options.self}};
  read_marks();
}

void stream_replica::impl::read_marks() {
  restore_conflicts();
  for (auto m = image.marks.lower_bound("d."); m != image.marks.end() && m->first.starts_with("d."); ++m) {
    const auto key = m->first.substr(2);
    if (const auto* type = type_of(key)) damaged_keys[key].as_of = of(lane_of(*type)).staged.folded();
  }
  for (const auto l : {stream_lane::ordered, stream_lane::free}) {
    auto& lane = of(l);
    lane.copied_until = vector_in(image, stream_marks::copied_until(l));
    const auto of_leaves = "t." + std::string{name_of(l)} + ".";
    for (auto m = image.marks.lower_bound(of_leaves); m != image.marks.end() && m->first.starts_with(of_leaves);
         ++m) {
      shard_id shard;
      std::size_t which = 0;
      std::uint64_t hash = 0;
      const auto* end = m->first.data() + m->first.size();
      const auto dot = std::from_chars(m->first.data() + of_leaves.size(), end, shard.value);
      if (dot.ptr != end) std::from_chars(dot.ptr + 1, end, which);
      std::from_chars(m->second.data(), m->second.data() + m->second.size(), hash);
      if (which < tree_of(l).leaves()) tree_of(l).set(shard, which, hash);
    }
    const auto parse_origin = [](std::string_view text) {
      origin from;
      const auto* end = text.data() + text.size();
      const auto node = std::from_chars(text.data(), end, from.node.value);
      if (node.ptr != end) std::from_chars(node.ptr + 1, end, from.life);
      return from;
    };
    const auto of_peers = "r." + std::string{name_of(l)} + ".";
    for (auto m = image.marks.lower_bound(of_peers); m != image.marks.end() && m->first.starts_with(of_peers); ++m)
      if (const auto n = stream_marks::numbers_in(m->second))
        lane.received.raise(parse_origin(std::string_view{m->first}.substr(of_peers.size())), n->first);
    const auto of_own = "e." + std::string{name_of(l)} + ".";
    for (auto m = image.marks.lower_bound(of_own); m != image.marks.end() && m->first.starts_with(of_own); ++m) {
      const auto n = stream_marks::numbers_in(m->second);
      std::uint64_t of_life = 0;
      std::from_chars(m->first.data() + of_own.size(), m->first.data() + m->first.size(), of_life);
      if (!n || of_life == 0) continue;
      lane.logs[of_life].erased({n->first, n->second});
      requests.forget(of_life, n->second);
      lane.received.raise(origin{options.self, of_life}, n->first);
    }
    for (const auto& log : image.logs) {
      if (log.lane != l || log.from.node != options.self) continue;
      lane.logs[log.from.life];
      lane.received.raise(log.from, log.last);
    }
    if (!lane.logs.empty()) life_before = std::max(life_before, lane.logs.rbegin()->first);
    lane.taken = lane.received;
  }
}

void stream_replica::impl::read_on(std::size_t log, std::uint64_t after, effects& out) {
  replaying = log;
  const auto& l = image.logs[log];
  out.push_back(read_log{{.from = l.from, .lane = l.lane, .after = after, .bytes_max = replay_bytes}});
}

void stream_replica::impl::log_read(const updates_request& request, updates_page page, instant now, effects& out) {
  if (is_ready || replaying >= image.logs.size()) return;
  const auto& log = image.logs[replaying];
  if (log.from != request.from || log.lane != request.lane) return;
  auto& lane = of(log.lane);
  auto last = request.after;
  for (auto& u : page.updates) {
    last = u.seq();
    clock.saw({.clock = u.clock(), .origin = log.from.node});
    if (log.from.node == options.self) {
      lane.logs[log.from.life].append(u.seq(), u.clock(), weight_of(u), log_part_bytes());
      if (u.has_request()) {
        requests.add(from_wire(u.request()), {.at = {log.from, u.seq()}, .lane = log.lane, .clock = u.clock()});
      }
    }
    if (lane.staged.folded().covers({log.from, u.seq()})) continue;
    // More than this node has stated as received: it came with a write that was not answered, and comes again.
    if (!lane.received.covers({log.from, u.seq()})) continue;
    if (acceptable(u, log.lane))
      stage(log.from, log.lane, std::make_shared<const v1::Update>(std::move(u)), now, out);
  }
  if (page.damaged != 0) {
    last = page.damaged;
    ++counts.damaged;
    prevented(violation::checksum);
    out.push_back(note{"stream.log_damaged", "origin=" + to_string(log.from)
                                                 + " lane=" + std::string{name_of(log.lane)}
                                                 + " seq=" + std::to_string(page.damaged)});
  }
  if (page.more) return read_on(replaying, last, out);
  if (replaying + 1 < image.logs.size()) return read_on(replaying + 1, 0, out);
  replayed(now, out);
}

void stream_replica::impl::replayed(instant now, effects& out) {
  is_ready = true;
  for (const auto l : {stream_lane::ordered, stream_lane::free}) {
    auto& lane = of(l);
    for (const auto& [of_life, log] : lane.logs) {
      const origin own{options.self, of_life};
      std::vector<staged_update*> visible; // none: nothing is shown yet
      lane.staged.end({own, lane.received.at(own)}, now, visible);
      out.push_back(own_ended{of_life, l, lane.received.at(own)});
    }
    for (const auto& e : lane.received.entries()) {
      const auto m = image.marks.find(stream_marks::received(e.from, l));
      const auto stated = m == image.marks.end() ? std::nullopt : stream_marks::numbers_in(m->second);
      out.push_back(received{e.from, l, e.seq, stated ? stated->second : 0});
    }
  }
  image.logs.clear();
  show(stream_lane::free, of(stream_lane::free).received, now, out);
  // This much was shown here once. Not only what the records contain: an update that was not folded yet may be the
  // cause of one that was, and not be named by it, since everybody had it.
  auto before = vector_in(image, stream_marks::shown);
  before.meet(of(stream_lane::ordered).received);
  show(stream_lane::ordered, before, now, out);
  out.push_back(applied{of(stream_lane::ordered).staged.shown(), ++applied_number});
  reopen(out);
  whole_again(out);
  out.push_back(ready{});
}

void stream_replica::impl::begin(std::uint64_t new_life, effects& out) {
  if (mutated(mutation::incarnation_reused)) new_life = life_before + 1;
  if (new_life <= std::max(life, life_before)) {
    // Somebody else's view, or an old one: a life is lived once.
    out.push_back(note{"stream.life_refused", "life=" + std::to_string(new_life)});
    return;
  }
  TROUPE_ASSERT(life == 0);
  life = new_life;
  // A life that leaves nothing else behind is over after a restart all the same: who waits for its updates is told.
  store({mark_write{stream_marks::erased(life, stream_lane::ordered), stream_marks::numbers(0, 0)},
         mark_write{stream_marks::erased(life, stream_lane::free), stream_marks::numbers(0, 0)}},
        std::monostate{}, out);
  out.push_back(note{"stream.life_begun", "life=" + std::to_string(life)});
}

void stream_replica::impl::store(std::vector<stream_write> writes, decltype(pending_persist::then) then,
                                 effects& out) {
  for (const auto& [l, shard, which] : std::exchange(leaves_changed, {})) {
    const auto hash = tree_of(l).at(shard, which).hash;
    writes.emplace_back(
        mark_write{stream_marks::leaf(l, shard, which), hash == 0 ? std::string{} : std::to_string(hash)});
  }
  persists.push_back({++persist_number, std::move(then)});
  out.push_back(persist{persist_number, std::move(writes)});
}

void stream_replica::impl::persisted(std::uint64_t number, instant now, std::uint64_t wall_ms, effects& out) {
  std::array<std::uint64_t, stream_lanes> own{};
  bool ceiling = false, copied_page = false;
  while (!persists.empty() && persists.front().number <= number) {
    const auto then = std::move(persists.front().then);
    persists.pop_front();
    if (const auto* o = std::get_if<own_durable>(&then)) own[static_cast<std::size_t>(o->lane)] = o->upto;
    if (const auto* p = std::get_if<position_durable>(&then)) {
      of(p->what.lane).received.raise(p->what.from, p->what.upto);
      out.push_back(p->what);
    }
    if (const auto* r = std::get_if<records_durable>(&then)) {
      for (auto* k : r->keys) {
        --k->unsynced;
        touched(*k);
      }
      of(r->lane).folded_durable.join(r->folded);
      for (const auto& p : r->positions) {
        of(r->lane).received.raise(p.from, p.upto);
        out.push_back(p);
      }
      copied_page = copied_page || r->copied_page;
    }
    if (const auto* c = std::get_if<ceiling_durable>(&then)) {
      clock.ceiling_durable(c->clock);
      ceiling = true;
    }
  }
  for (const auto l : {stream_lane::ordered, stream_lane::free})
    if (const auto upto = own[static_cast<std::size_t>(l)]; upto > 0) own_up_to(l, upto, now, out);
  if (copied_page) page_stored(now, out);
  reopen(out);
  whole_again(out);
  if (!ceiling) return;
  auto stamped = std::exchange(unstamped, {});
  for (const auto cookie : stamped)
    resume(cookie, now, wall_ms, out);
}

void stream_replica::impl::own_up_to(stream_lane l, std::uint64_t upto, instant now, effects& out) {
  auto& lane = of(l);
  durable_updates durable{.lane = l, .updates = {}, .upto = upto, .clock = 0};
  lane.received.raise(self_origin(), upto);
  lane.durable_upto = upto;
  std::vector<own_write> finished;
  while (!lane.undurable.empty() && lane.undurable.front().outcome.at.seq <= upto) {
    auto& w = lane.undurable.front();
    durable.updates.push_back(w.update);
    durable.clock = w.outcome.clock;
    finished.push_back(std::move(w));
    lane.undurable.pop_front();
  }
  lane.stated_clock = std::max(lane.stated_clock, durable.clock);
  const auto stated = durable.clock;
  if (!mutated(mutation::sent_before_sync)) out.push_back(std::move(durable));
  out.push_back(received{self_origin(), l, upto, stated});
  if (l == stream_lane::free) show(l, version_vector{{self_origin(), upto}}, now, out);
  for (auto& w : finished) {
    if (acknowledged(w, l)) {
      settle(w, l, out);
    } else if (!w.askers.empty()) {
      const auto seq = w.outcome.at.seq;
      lane.unacknowledged.emplace(seq, std::move(w));
    }
  }
}

void stream_replica::impl::state_clocks(std::uint64_t wall_ms, effects& out) {
  if (life == 0 || failed) return;
  bool idle_lane = false;
  for (const auto& lane : lanes)
    idle_lane = idle_lane || lane.undurable.empty();
  if (!idle_lane) return;
  stamp_clock::effects wanted;
  const auto s = clock.next(wall_ms, wanted);
  for (const auto& w : wanted) {
    const auto ceiling = std::get<stamp_clock::persist_ceiling>(w).clock;
    store({mark_write{stream_marks::ceiling, stream_marks::numbers(ceiling, 0)}}, ceiling_durable{ceiling}, out);
  }
  if (!s) return;
  for (const auto l : {stream_lane::ordered, stream_lane::free}) {
    auto& lane = of(l);
    if (!lane.undurable.empty()) continue;
    lane.stated_clock = s->clock;
    out.push_back(durable_updates{.lane = l, .updates = {}, .upto = lane.durable_upto, .clock = s->clock});
  }
}

void stream_replica::impl::tick(instant now, std::uint64_t wall_ms, effects& out) {
  if (failed) return;
  wall_ms_last = wall_ms;
  expire(now, out);
  if (!is_ready) return;
  fold(stream_lane::ordered, now, out);
  fold(stream_lane::free, now, out);
  for (auto& lane : lanes) {
    while (!lane.held.empty() && lane.staged.bytes() < options.unfolded_bytes_max) {
      auto next = std::move(lane.held.front());
      lane.held.pop_front();
      take(std::move(next), now, out);
    }
  }
  if (now >= statement_at) {
    state_clocks(wall_ms, out);
    statement_at = now + statement_every;
  }
  freshness::questions questions;
  fresh.tick(now, questions);
  ask(std::move(questions), now, out);
  tick_copies(now, out);
  tick_comparing(now, out);
  show_fresher(now, out);
  publish_changes(out);
  trim();
}

instant stream_replica::impl::wake_at() const {
  if (failed) return never;
  auto at = never;
  if (!operation_deadlines.empty()) at = std::min(at, operation_deadlines.begin()->first);
  if (!write_deadlines.empty()) at = std::min(at, std::get<0>(*write_deadlines.begin()));
  if (!is_ready) return at;
  at = std::min(at, of(stream_lane::ordered).staged.fold_at(options.snapshot_window));
  at = std::min(at, of(stream_lane::free).staged.fold_at(options.fold_every));
  if (life != 0) at = std::min(at, statement_at);
  at = std::min(at, fresh.wake_at());
  at = std::min(at, copies_wake_at());
  at = std::min(at, comparing_wakes_at());
  for (const auto& lane : lanes)
    if (!lane.held.empty() && lane.staged.bytes() < options.unfolded_bytes_max) at = instant::min();
  return at;
}

// --- the interface ---

stream_replica::stream_replica(stream_replica_options options, stream_image image, instant now)
    : impl_{std::make_unique<impl>(std::move(options), std::move(image), now)} {}
stream_replica::~stream_replica() = default;

void stream_replica::start(instant now, effects& out) {
  if (impl_->image.logs.empty()) return impl_->replayed(now, out);
  impl_->read_on(0, 0, out);
}
void stream_replica::log_read(const updates_request& request, updates_page page, instant now, effects& out) {
  impl_->log_read(request, std::move(page), now, out);
  impl_->publish_changes(out);
}
void stream_replica::begin(std::uint64_t life, effects& out) { impl_->begin(life, out); }
void stream_replica::counted(const std::set<node_id>& nodes, effects& out) {
  impl_->counted = nodes;
  for (const auto l : {stream_lane::ordered, stream_lane::free})
    impl_->check_acknowledged(l, impl_->of(l).seq, out);
}
void stream_replica::execute(node_id from, v1::WeakOperation operation, const times& at, effects& out) {
  impl_->execute(from, std::move(operation), at.now, at.wall_ms, out);
  impl_->show_fresher(at.now, out);
  impl_->publish_changes(out);
}
void stream_replica::met(std::uint64_t cookie, const times& at, effects& out) {
  const auto o = impl_->operations.find(cookie);
  if (o == impl_->operations.end() || !o->second.awaiting) return;
  o->second.awaiting = false;
  impl_->resume(cookie, at.now, at.wall_ms, out);
}
void stream_replica::unmet(std::uint64_t cookie, const missing_cause& cause, effects& out) {
  const auto o = impl_->operations.find(cookie);
  if (o == impl_->operations.end() || !o->second.awaiting) return;
  auto a = impl_->answer_to(impl::attempt_of(o->second.what));
  a.mutable_result()->set_error(static_cast<std::uint32_t>(cause.error));
  if (cause.error == errc::lost_update) to_wire(cause.survived, *a.mutable_survived());
  a.set_waits_for_node(cause.node.value);
  to_wire(cause.missing, *a.mutable_waits_for());
  if (!mutated(mutation::token_not_raised_on_errors)) {
    impl_->raise_session(a, impl_->of(stream_lane::ordered).staged.shown(), 0);
  }
  out.push_back(answer{o->second.from, std::move(a)});
  impl_->drop(cookie);
}
void stream_replica::accept(incoming what, instant now, effects& out) {
  impl_->accept(std::move(what), now, out);
  impl_->show_fresher(now, out);
  impl_->publish_changes(out);
}
void stream_replica::peer_durable(node_id peer, const origin& own, const own_position& at, effects& out) {
  if (own.node != impl_->options.self || !impl_->peers.contains(peer)) return;
  auto& lane = impl_->of(at.lane);
  const auto log = lane.logs.find(own.life);
  if (log == lane.logs.end() || at.upto > lane.received.at(own)) return;
  if (!log->second.acknowledged(peer, at.upto)) return;
  lane.shortened_due = true;
  if (own.life == impl_->life) impl_->check_acknowledged(at.lane, at.upto, out);
}
void stream_replica::advanced(const version_vector& g, instant now, effects& out) {
  auto& lane = impl_->of(stream_lane::ordered);
  auto upto = g;
  if (!mutated(mutation::received_counted_as_merged)) upto.meet(lane.received);
  impl_->show(stream_lane::ordered, upto, now, out);
  impl_->show_fresher(now, out);
  impl_->publish_changes(out);
  out.push_back(applied{lane.staged.shown(), ++impl_->applied_number});
}
void stream_replica::ended(const origin& from, std::uint64_t last, instant now, effects& out) {
  std::vector<staged_update*> visible;
  impl_->of(stream_lane::ordered).staged.end({from, last}, now, visible);
  for (auto* u : visible)
    impl_->shown(*u, now, out);
  impl_->of(stream_lane::ordered).more_shown = true;
  impl_->show_fresher(now, out);
  // Whoever waits for an own write that was lost is told so.
  const auto first = impl_->expecting.upper_bound(dot{from, last});
  const auto end = impl_->expecting.upper_bound(dot{from, UINT64_MAX});
  std::vector<std::uint64_t> woken;
  for (auto i = first; i != end; ++i)
    woken.insert(woken.end(), i->second.begin(), i->second.end());
  impl_->expecting.erase(first, end);
  for (const auto cookie : woken)
    impl_->resume(cookie, now, 0, out);
  impl_->publish_changes(out);
}
void stream_replica::stable(stream_lane lane, const version_vector& s, std::uint64_t clock, effects& out) {
  impl_->of(lane).stable.join(s);
  impl_->collect(lane, clock, out);
}
void stream_replica::persisted(std::uint64_t number, const times& at, effects& out) {
  if (impl_->failed) return;
  impl_->wall_ms_last = at.wall_ms;
  impl_->persisted(number, at.now, at.wall_ms, out);
  impl_->show_fresher(at.now, out);
  impl_->publish_changes(out);
  impl_->trim();
}
void stream_replica::loaded(const std::string& key, found what, const times& at, effects& out) {
  const auto known = impl_->keys.find(key);
  if (known == impl_->keys.end() || known->second->record != stream_key::bytes::loading) return;
  auto& k = *known->second; // stays where it is, whatever else is read by what follows
  impl_->wall_ms_last = at.wall_ms;
  impl_->loaded(key, std::move(what), out);
  impl_->join_page(at.now, out);
  impl_->absorb_copies(at.now, out);
  impl_->join_leaf(at.now, out);
  auto waiting = std::exchange(k.waiting, {});
  for (const auto cookie : waiting)
    impl_->resume(cookie, at.now, at.wall_ms, out);
  impl_->publish_changes(out);
  impl_->touched(k);
  impl_->trim();
}
void stream_replica::store_failed(effects& out) {
  impl_->failed = true;
  while (!impl_->operations.empty()) {
    const auto o = impl_->operations.begin();
    if (o->second.awaiting) out.push_back(forget{o->first});
    const auto* before = is_write(o->second.what) ? impl_->requests.find(from_wire(o->second.what.id())) : nullptr;
    if (before != nullptr)
      out.push_back(answer{o->second.from, impl_->answer_again(o->second, *before, errc::timeout)});
    else
      impl_->fail(o->second, errc::storage_failed, out);
    impl_->drop(o->first);
  }
  for (auto& lane : impl_->lanes) {
    // What was handed to the store may be found there all the same: its outcome is not known.
    for (auto& w : lane.undurable)
      for (const auto& asker : w.askers) {
        auto a = impl_->answer_to(asker.what);
        a.mutable_result()->set_error(static_cast<std::uint32_t>(errc::timeout));
        out.push_back(answer{asker.to, std::move(a)});
      }
    // This much is there; how many others have it is what will not be known.
    for (auto& [seq, w] : lane.unacknowledged)
      for (const auto& asker : w.askers) {
        auto a = impl_->done(w.outcome, asker.what);
        a.mutable_result()->set_error(static_cast<std::uint32_t>(errc::timeout));
        impl_->raise_session(a, w.seen, w.outcome.clock);
        out.push_back(answer{asker.to, std::move(a)});
      }
    lane.undurable.clear();
    lane.unacknowledged.clear();
    lane.held.clear();
  }
}
void stream_replica::tick(const times& at, effects& out) { impl_->tick(at.now, at.wall_ms, out); }
instant stream_replica::wake_at() const { return impl_->wake_at(); }

stream_replica::status stream_replica::report() {
  auto& i = *impl_;
  auto& s = i.counts;
  s.life = i.life;
  s.ready = i.is_ready;
  s.keys = i.keys.size();
  s.cached_bytes = i.cached_bytes;
  s.staged = s.blocked = s.loading = 0;
  for (std::size_t l = 0; l < stream_lanes; ++l) {
    s.staged += i.lanes[l].staged.hidden();
    s.blocked += i.lanes[l].staged.blocked();
    s.unfolded_bytes[l] = i.lanes[l].staged.bytes();
    s.own_log_bytes[l] = 0;
    for (const auto& [of_life, log] : i.lanes[l].logs)
      s.own_log_bytes[l] += log.bytes();
  }
  s.damaged_keys = i.damaged_keys.size();
  s.copying_from = i.copies.run ? i.copies.run->from : node_id{};
  s.closed = i.of(stream_lane::ordered).is_closed();
  s.conflicts_kept = i.ledger.size();
  s.conflicts_bytes = i.ledger.bytes();
  s.conflicts_evicted = i.ledger.evicted();
  s.requests = i.requests.size();
  s.waiting = i.operations.size();
  auto out = s;
  s.visible_delay_max = {};
  return out;
}

const violation_counts& stream_replica::violations() const { return impl_->counts.violations; }
const version_vector& stream_replica::received_vector(stream_lane lane) const { return impl_->of(lane).received; }
const version_vector& stream_replica::applied_vector(stream_lane lane) const {
  return impl_->of(lane).staged.shown();
}

} // namespace troupe
