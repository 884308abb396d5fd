#include "runtime/topology/simulated_lockers.hpp"

#include "protocol/wire.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>

#include <algorithm>

namespace troupe::simulated {

namespace {

constexpr std::uint64_t locks = 2;

std::string lock_name(std::uint64_t n) { return stored_key("data", "lock" + std::to_string(n)); }

errc code_of(const v1::Result& result) { return static_cast<errc>(result.error()); }

} // namespace

lockers::lockers(world& w, const simulation_options& options, const cluster& shape, judge& j)
    : world_{w},
      random_{w.random()},
      options_{options},
      shards_{shape.shards},
      drift_ppm_{shape.drift_ppm},
      judge_{j},
      places_(options.nodes + options.guests) {}

// -- nodes
// ------------------------------------------------------------------------------------------------------------

void lockers::started(std::uint32_t node, const clock& time, const session_actor& session) {
  auto& p = places_[node];
  const auto life = ++p.life;
  p.up = true;
  p.time = &time;
  p.session = session;
  world_.spawn_for(node, [&] {
    p.runner = world_.system().spawn([this, node, life](caf::event_based_actor*) -> caf::behavior {
      return {[this, node, life](std::uint64_t number) {
        auto& here = places_[node];
        if (here.up && here.life == life) here.errands.extract(number).mapped()();
      }};
    });
  });
  p.lockers.resize(options_.lockers);
  for (std::size_t l = 0; l < p.lockers.size(); ++l) {
    p.lockers[l].name = "l" + std::to_string(++names_);
    later(node, l, options_.think_max);
  }
}

void lockers::ended(std::uint32_t node) {
  auto& p = places_[node];
  if (!std::exchange(p.up, false)) return;
  while (!p.accesses.empty())
    accessed(node, p.accesses.begin()->first, nullptr);
  p.lockers.clear();
  p.errands.clear();
  p.session = nullptr;
  caf::anon_send_exit(p.runner, caf::exit_reason::kill);
  p.runner = nullptr;
  p.open = 0;
}

void lockers::rest(bool rests) { resting_ = rests; }

bool lockers::idle() const {
  return std::all_of(places_.begin(), places_.end(), [](const place& p) { return p.open == 0; });
}

void lockers::count_anew() {
  for (auto& p : places_)
    for (auto& k : p.lockers)
      k.served = 0;
}

bool lockers::all_served() const {
  return std::all_of(places_.begin(), places_.end(), [](const place& p) {
    return std::all_of(p.lockers.begin(), p.lockers.end(), [](const locker& k) { return k.served > 0; });
  });
}

/// Runs `what` on the node, where it waits for the end of a pause, and goes with the node's process.
void lockers::run_later(std::uint32_t node, nanoseconds delay, std::function<void()> what) {
  auto& here = places_[node];
  here.errands.emplace(++numbers_, std::move(what));
  world_.after(delay, [this, node, life = here.life, number = numbers_] {
    const auto& p = places_[node];
    if (p.up && p.life == life) caf::anon_send(p.runner, number);
  });
}

void lockers::later(std::uint32_t node, std::size_t l, nanoseconds at_most) {
  run_later(node, random_.between(nanoseconds{0}, at_most), [this, node, l] { step(node, l); });
}

void lockers::call(std::uint32_t node, std::size_t l, v1::Operation operation, instant deadline, answer then) {
  auto& p = places_[node];
  session_call c;
  c.operation = std::move(operation);
  c.type = "data";
  c.deadline = deadline;
  c.done = [this, node, l, life = p.life, then = std::move(then)](const v1::Result& result) {
    auto& here = places_[node];
    if (!here.up || here.life != life) return;
    --here.open;
    then(here.lockers[l], result);
  };
  ++p.open;
  caf::anon_send(p.session, std::move(c));
}

// -- what a locker does
// -----------------------------------------------------------------------------------------------

/// It looks at its own count first; what it then sends may leave long after that.
void lockers::step(std::uint32_t node, std::size_t l) {
  auto& k = places_[node].lockers[l];
  if (!k.token) {
    if (resting_) return later(node, l, options_.held_max);
    if (random_.chance(0.7)) return begin(node, l);
    return access(node, l, false); // somebody looks on
  }
  if (local(node) >= k.until || k.steps-- == 0 || resting_) return leave(node, l, random_.chance(0.7));
  const auto roll = random_.below(100);
  if (roll < 45 && !k.wish.shared) {
    if (random_.chance(0.7)) return access(node, l, true);
    // Between the look at its count and the departure a thread may be stopped.
    return run_later(node, random_.between(nanoseconds{0}, 2 * nanoseconds{options_.held_max}),
                     [this, node, l] { access(node, l, true); });
  }
  if (roll < 60) return access(node, l, false);
  if (roll < 80) return renew(node, l);
  later(node, l, random_.chance(0.7) ? options_.think_max : 2 * options_.held_max);
}

/// Two keys each, in whatever shard; neighbours have one in common.
std::vector<std::string> lockers::protected_by(std::uint64_t lock) const {
  return {stored_key("data", "p" + std::to_string(lock)), stored_key("data", "p" + std::to_string(lock + 1))};
}

void lockers::begin(std::uint32_t node, std::size_t l) {
  auto& k = places_[node].lockers[l];
  const auto name = random_.below(locks);
  const auto held_max = nanoseconds{options_.held_max};
  k.wish = {.lock = lock_name(name),
            .owner = k.name + "." + std::to_string(++k.attempt),
            .shared = random_.chance(0.2),
            .wait = random_.chance(0.85),
            .duration = std::chrono::ceil<milliseconds>(random_.between(held_max / 4, held_max)),
            .protects = protected_by(name),
            .shards = shards_,
            .drift_ppm = drift_ppm_};
  if (random_.chance(0.2)) k.wish.protects.pop_back(); // not all that former grants may still write
  k.deadline =
      local(node) + random_.between(nanoseconds{options_.deadline_min}, 2 * nanoseconds{options_.deadline_max});
  k.acquiring.emplace(k.wish);
  lock_acquisition::effects out;
  k.acquiring->start(local(node), out);
  perform(node, l, std::move(out));
}

void lockers::perform(std::uint32_t node, std::size_t l, lock_acquisition::effects effects) {
  auto& k = places_[node].lockers[l];
  for (auto& e : effects) {
    if (auto* a = std::get_if<lock_acquisition::ask>(&e)) {
      call(node, l, std::move(a->operation), k.deadline,
           [this, node, l, number = a->number, attempt = k.attempt](locker& own, const v1::Result& result) {
             if (!own.acquiring || own.attempt != attempt) return;
             lock_acquisition::effects out;
             own.acquiring->answered(number, result, local(node), out);
             perform(node, l, std::move(out));
           });
    } else if (auto* g = std::get_if<lock_acquisition::give_back>(&e)) {
      call(node, l, std::move(g->operation), local(node) + options_.deadline_max, [](locker&, const v1::Result&) {});
    } else if (const auto* h = std::get_if<lock_acquisition::held>(&e)) {
      k.acquiring.reset();
      k.token = h->token;
      k.until = h->until;
      k.steps = 1 + random_.below(6);
      ++k.served;
      ++grants_;
      world_.note("locker", "holds", k.wish.owner + " " + k.wish.lock + " token=" + to_string(k.token));
      judge_.granted(k.wish.lock, k.token, world_.now());
      compare_owners(node, l);
      later(node, l, milliseconds{2});
    } else { // taken, or failed
      k.acquiring.reset();
      later(node, l, options_.think_max);
    }
  }
}

void lockers::renew(std::uint32_t node, std::size_t l) {
  const auto& k = places_[node].lockers[l];
  const auto sent = local(node);
  call(node, l, lock_acquisition::renewal_of(k.wish.lock, k.wish.owner, k.token, shards_),
       sent + options_.deadline_max, [this, node, l, sent, token = k.token](locker& own, const v1::Result& result) {
         if (own.token == token && code_of(result) == errc::none) {
           own.until = lock_acquisition::until(sent, own.wish.duration, drift_ppm_);
           compare_owners(node, l);
         }
         later(node, l, options_.think_max);
       });
}

/// It is over with the lock: it gives it back, or lets its time run out.
void lockers::leave(std::uint32_t node, std::size_t l, bool give_back) {
  auto& k = places_[node].lockers[l];
  const auto token = std::exchange(k.token, {});
  if (give_back)
    call(node, l, lock_acquisition::release_of(k.wish.lock, k.wish.owner, token, true, shards_),
         local(node) + options_.deadline_max, [](locker&, const v1::Result&) {});
  later(node, l, options_.think_max);
}

/// A read of a protected key, or a write under the lock.
void lockers::access(std::uint32_t node, std::size_t l, bool write) {
  auto& p = places_[node];
  const auto& k = p.lockers[l];
  const auto number = ++numbers_;
  v1::Operation op;
  const auto keys = write ? k.wish.protects : protected_by(random_.below(locks));
  op.set_key(keys[random_.below(keys.size())]);
  check::operation record;
  record.client = "\"" + k.name + "." + std::to_string(number) + "\"";
  record.key = op.key();
  record.call = world_.now().count();
  record.outcome = check::op_outcome::unknown;
  if (write) {
    record.kind = check::op_kind::put;
    record.value = to_string(k.token) + " " + std::to_string(number);
    // A large value is on its way for longer than what is said about locks.
    if (random_.chance(0.5)) record.value->append(random_.below(options_.value_bytes_max + 1), '.');
    op.mutable_put()->set_value(*record.value);
    op.mutable_fence()->set_lock(k.wish.lock);
    to_wire(k.token, *op.mutable_fence()->mutable_token());
    judge_.writes_under(*record.value, k.wish.lock, k.token);
  } else {
    record.kind = check::op_kind::get;
    op.mutable_get();
  }
  p.accesses.emplace(number, std::move(record));
  call(node, l, std::move(op), local(node) + random_.between(options_.deadline_min, options_.deadline_max),
       [this, node, l, number](locker&, const v1::Result& result) {
         accessed(node, number, &result);
         later(node, l, options_.think_max);
       });
}

/// `result`: none = nothing was heard, and nothing will be.
void lockers::accessed(std::uint32_t node, std::uint64_t number, const v1::Result* result) {
  auto op = std::move(places_[node].accesses.extract(number).mapped());
  const auto code = result == nullptr ? errc::timeout : code_of(*result);
  if (code == errc::none) {
    op.outcome = check::op_outcome::ok;
    if (op.kind == check::op_kind::get && result->exists()) op.value = result->value();
  } else if (outcome_of(code) == outcome::not_done) {
    op.outcome = check::op_outcome::fail;
  }
  if (op.outcome != check::op_outcome::unknown) op.returned = world_.now().count();
  world_.note("locker", check::to_string(op.kind), op.key + " " + std::string{check::to_string(op.outcome)});
  judge_.record(std::move(op));
}

/// S5: this locker has just been told that a lock is its own. By their own clocks nobody else has it now, or all
/// share.
void lockers::compare_owners(std::uint32_t node, std::size_t l) {
  const auto& k = places_[node].lockers[l];
  if (local(node) >= k.until) return;
  for (const auto& p : places_) {
    if (!p.up) continue;
    for (const auto& o : p.lockers) {
      if (&o == &k || !o.token || o.wish.lock != k.wish.lock || p.time->now() >= o.until) continue;
      if (!o.wish.shared || !k.wish.shared)
        judge_.accuse("S5", k.wish.lock + " is " + k.wish.owner + "'s with " + to_string(k.token) + ", and "
                                + o.wish.owner + "'s with " + to_string(o.token));
    }
  }
}

} // namespace troupe::simulated
