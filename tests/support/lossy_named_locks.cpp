// Who asks for named locks in the lossy cluster, what they do under them, and the judge of S4 and S5.
#include "tests/support/lossy_cluster.hpp"

#include <algorithm>
#include <limits>

namespace troupe::lossy {

namespace {

constexpr moment acquiring_max = 1'200 * ms;
constexpr moment access_max = 600 * ms;

} // namespace

// -- lockers
// ----------------------------------------------------------------------------------------------------------

void cluster_run::start_lockers(node& n) {
  n.lockers.clear();
  n.lockers.resize(options_.lockers);
  for (std::size_t l = 0; l < n.lockers.size(); ++l) {
    n.lockers[l].session = locker_sessions + (std::uint64_t{n.id.value} << 40) + (n.life.value << 20) + l;
    pause_locker(n, l, options_.think_max);
  }
}

void cluster_run::end_lockers(node& n) {
  std::erase_if(lock_asks_, [&](const auto& asked) { return asked.second.at == n.id; });
  n.lockers.clear();
}

void cluster_run::pause_locker(node& n, std::size_t l, moment at_most) {
  on_at(n, now_ + random(at_most), [this, &n, l] { step(n, l); });
}

/// Two keys each, in whatever shard; neighbours have one in common.
std::vector<std::string> cluster_run::protected_by(std::uint32_t l) const {
  return {"text:p" + std::to_string(l), "text:p" + std::to_string(l + 1)};
}

/// What a locker does next. It looks at its own count first; a write may be on its way long after that.
void cluster_run::step(node& n, std::size_t l) {
  auto& k = n.lockers[l];
  if (!k.token) {
    if (!issuing_) return;
    if (chance(70)) return begin_acquiring(n, l);
    access(n, l, false); // somebody looks on
    return;
  }
  if (local(n) >= k.until || k.steps-- == 0 || !issuing_) return leave_lock(n, l, chance(70));
  const auto dice = random(100);
  if (dice < 25 && !k.wish.shared) {
    // Between the look at the count and the departure a thread may be stopped.
    const auto stopped = chance(70) ? 0 : random(2 * options_.held_max.count() * ms);
    on_at(n, now_ + stopped, [this, &n, l, grant = k.token] {
      if (n.lockers[l].token == grant) access(n, l, true);
    });
  } else if (dice < 45) {
    access(n, l, false);
  } else if (dice < 80) {
    ask(n, l, lock_acquisition::renewal_of(k.wish.lock, k.wish.owner, k.token, options_.shards),
        {.at = {},
         .locker = l,
         .key = k.wish.lock,
         .what = lock_ask::kind::renewal,
         .sent = local(n),
         .token = k.token},
        nanoseconds{access_max});
  } else {
    pause_locker(n, l, chance(70) ? options_.think_max : 2 * options_.held_max.count() * ms);
  }
}

void cluster_run::begin_acquiring(node& n, std::size_t l) {
  auto& k = n.lockers[l];
  const auto name = static_cast<std::uint32_t>(random(options_.named));
  k.wish = {.lock = lock_name(name),
            .owner = std::to_string(k.session) + "." + std::to_string(++k.grants),
            .shared = chance(20),
            .wait = chance(85),
            .duration = options_.held_max / 4 + milliseconds{random(options_.held_max.count() * 3 / 4)},
            .protects = protected_by(name),
            .shards = options_.shards,
            .drift_ppm = options_.drift_ppm};
  if (chance(20)) k.wish.protects.pop_back(); // not all that former grants may still write
  k.deadline = local(n) + nanoseconds{acquiring_max};
  k.acquiring.emplace(k.wish);
  lock_acquisition::effects out;
  k.acquiring->start(local(n), out);
  perform(n, l, std::move(out));
}

void cluster_run::perform(node& n, std::size_t l, lock_acquisition::effects effects) {
  auto& k = n.lockers[l];
  for (auto& e : effects) {
    if (auto* a = std::get_if<lock_acquisition::ask>(&e)) {
      const auto key = a->operation.key();
      ask(n, l, std::move(a->operation),
          {.at = {},
           .locker = l,
           .key = key,
           .what = lock_ask::kind::acquisition,
           .number = a->number,
           .grant = k.grants},
          k.deadline - local(n));
    } else if (auto* g = std::get_if<lock_acquisition::give_back>(&e)) {
      const auto key = g->operation.key();
      ask(n, l, std::move(g->operation), {.at = {}, .locker = l, .key = key}, nanoseconds{access_max});
    } else if (const auto* h = std::get_if<lock_acquisition::held>(&e)) {
      k.acquiring.reset();
      k.token = h->token;
      k.until = h->until;
      k.steps = 1 + static_cast<int>(random(6));
      ++outcome_.locked;
      if (keep_log_) line(&n, k.wish.owner + " has " + k.wish.lock + " with " + to_string(k.token));
      grants_[k.wish.lock].emplace_back(now_, k.token);
      judge_holders(n, l);
      pause_locker(n, l, 2 * ms);
    } else { // taken, or failed
      k.acquiring.reset();
      pause_locker(n, l, options_.think_max);
    }
  }
}

void cluster_run::ask(node& n, std::size_t l, v1::Operation op, lock_ask what, nanoseconds at_most) {
  auto& k = n.lockers[l];
  const request_id id{.session = {k.session}, .number = ++k.issued};
  to_wire(id, *op.mutable_id());
  what.at = n.id;
  lock_asks_[id] = std::move(what);
  if (keep_log_) line(&n, "asks " + op.ShortDebugString());
  ask_home(n, std::move(op), at_most.count());
}

/// A read of a protected key, or a write under the lock.
void cluster_run::access(node& n, std::size_t l, bool write) {
  const auto& k = n.lockers[l];
  v1::Operation op;
  const auto keys = write ? k.wish.protects : protected_by(static_cast<std::uint32_t>(random(options_.named)));
  op.set_key(keys[static_cast<std::size_t>(random(static_cast<moment>(keys.size())))]);
  op.set_shard(shard_of(op.key(), options_.shards).value);
  check::operation record;
  record.client = "\"l" + std::to_string(k.session) + "." + std::to_string(k.issued) + "\"";
  record.key = op.key();
  record.call = now_;
  record.outcome = check::op_outcome::unknown;
  if (write) {
    record.kind = check::op_kind::put;
    record.value = to_string(k.token) + " " + std::to_string(history_.operations.size());
    op.mutable_put()->set_value(*record.value);
    op.mutable_fence()->set_lock(k.wish.lock);
    to_wire(k.token, *op.mutable_fence()->mutable_token());
    op.set_roll_back(chance(20));
    locked_writes_.push_back({history_.operations.size(), k.wish.lock, k.token});
  } else {
    record.kind = check::op_kind::get;
    op.mutable_get();
  }
  const auto index = history_.operations.size();
  history_.operations.push_back(std::move(record));
  const auto key = op.key();
  ask(n, l, std::move(op), {.at = {}, .locker = l, .key = key, .what = lock_ask::kind::access, .operation = index},
      nanoseconds{access_max});
}

/// False: no locker has asked for it.
bool cluster_run::settle_ask(node& n, const requests::settled& s) {
  if (s.id.session.value < locker_sessions) return false;
  const auto found = lock_asks_.extract(s.id);
  if (found.empty()) {
    violate("request " + to_string(s.id) + " was settled twice");
    return true;
  }
  const auto& asked = found.mapped();
  auto& k = n.lockers[asked.locker];
  const auto code = static_cast<errc>(s.result.error());
  if (keep_log_)
    line(&n, "settles " + to_string(s.id) + " " + std::string{name_of(code)} + " " + s.result.ShortDebugString());
  switch (asked.what) {
  case lock_ask::kind::nothing:
    return true;
  case lock_ask::kind::acquisition: {
    lock_acquisition::effects out;
    if (k.acquiring && k.grants == asked.grant) k.acquiring->answered(asked.number, s.result, local(n), out);
    perform(n, asked.locker, std::move(out));
    return true;
  }
  case lock_ask::kind::renewal:
    if (k.token == asked.token && code == errc::none) {
      ++outcome_.renewed;
      k.until = lock_acquisition::until(asked.sent, k.wish.duration, options_.drift_ppm);
      judge_holders(n, asked.locker);
    }
    break;
  case lock_ask::kind::access: {
    auto& op = history_.operations[asked.operation];
    if (code == errc::none) {
      op.outcome = check::op_outcome::ok;
      op.returned = now_;
      if (op.kind == check::op_kind::get && s.result.exists()) op.value = s.result.value();
      if (op.kind == check::op_kind::put) ++outcome_.written;
    } else if (outcome_of(code) == outcome::not_done) {
      op.outcome = check::op_outcome::fail;
      op.returned = now_;
      if (code == errc::fenced) ++outcome_.fenced;
    }
    break;
  }
  }
  pause_locker(n, asked.locker, options_.think_max);
  return true;
}

/// It is over with the lock: it gives it back, or lets its time run out.
void cluster_run::leave_lock(node& n, std::size_t l, bool give_back) {
  auto& k = n.lockers[l];
  const auto token = std::exchange(k.token, {});
  if (give_back)
    ask(n, l, lock_acquisition::release_of(k.wish.lock, k.wish.owner, token, true, options_.shards),
        {.at = {}, .locker = l, .key = k.wish.lock}, nanoseconds{access_max});
  pause_locker(n, l, options_.think_max);
}

// -- judge
// ------------------------------------------------------------------------------------------------------------

/// S5: locker `l` has just been told that a lock is its own. By their own counts, nobody else has it now, or all
/// share.
void cluster_run::judge_holders(node& n, std::size_t l) {
  const auto& k = n.lockers[l];
  if (local(n) >= k.until) return;
  for (const auto& other : nodes_) {
    if (!other.up) continue;
    for (const auto& o : other.lockers) {
      if (&o == &k || !o.token || o.wish.lock != k.wish.lock || local(other) >= o.until) continue;
      if (!o.wish.shared || !k.wish.shared)
        violate("S5: " + k.wish.lock + " is " + k.wish.owner + "'s with " + to_string(k.token) + ", and "
                + o.wish.owner + "'s with " + to_string(o.token));
    }
  }
}

/// S4: a write has changed something before the first answer of a newer grant of its lock, or does so never. What
/// was seen of it must be explained by that, which the history's judge finds out.
void cluster_run::judge_fences() {
  for (const auto& w : locked_writes_) {
    auto& op = history_.operations[w.operation];
    moment over = std::numeric_limits<moment>::max();
    for (const auto& [when, token] : grants_[w.lock])
      if (w.token < token) over = std::min(over, when);
    if (over == std::numeric_limits<moment>::max() || op.outcome == check::op_outcome::fail) continue;
    ++outcome_.late;
    const bool seen = std::any_of(history_.operations.begin(), history_.operations.end(), [&](const auto& other) {
      return other.kind == check::op_kind::get && other.outcome == check::op_outcome::ok && other.key == op.key
             && other.value == op.value;
    });
    if (op.outcome == check::op_outcome::unknown && !seen) continue;
    if (*op.call > over)
      return violate("S4: a write of " + op.key + " with the old token " + to_string(w.token) + " of " + w.lock
                     + " was done");
    op.outcome = check::op_outcome::ok;
    op.returned = std::min(op.returned.value_or(over), over);
  }
}

} // namespace troupe::lossy
