// The memory layers of the lossy cluster: reads through their tables, and what goes wrong with their messages.
#include "tests/support/lossy_cluster.hpp"

#include <algorithm>

namespace troupe::lossy {

// -- reads
// ------------------------------------------------------------------------------------------------------------

/// A read looks at the clock first, and at the table then: in between a thread may be stopped, and with its node.
void cluster_run::read_here(node& n, v1::Operation op, moment deadline) {
  const auto sampled = local(n);
  if (chance(80)) return look_up(n, op, deadline, sampled);
  on_at(n, now_ + random(chance(50) ? 1 * ms : 100 * ms),
        [this, &n, o = std::move(op), deadline, sampled] { look_up(n, o, deadline, sampled); });
}

void cluster_run::look_up(node& n, const v1::Operation& op, moment deadline, instant sampled) {
  if (const auto* found = n.table.read(op.key(), sampled)) {
    ++outcome_.hits;
    if (n.table.below_floor(found->copy))
      return violate("K1: " + to_string(n.id) + " served " + op.key() + " at " + to_string(found->copy.at));
    const auto value = found->copy.value;
    return settle_read(n, op, found->copy.at, found->copy.exists ? &value : nullptr);
  }
  if (chance(20)) return ask_home(n, op, deadline);
  const shard_id shard{op.shard()};
  const auto& set = replicas_[shard];
  auto home = n.manager->home_hint(shard);
  if (home.value == 0) home = set[static_cast<std::size_t>(random(static_cast<moment>(set.size())))];
  holder::effects out;
  const auto number = n.memory->acquire(home, shard, op.key(), nanoseconds{deadline}, sampled, out);
  n.missed[number] = {op, deadline};
  perform(n, std::move(out));
}

void cluster_run::settle_read(node& n, const v1::Operation& op, const version& at, const std::string* value) {
  requests::settled s{from_wire(op.id()), {}};
  s.result.set_applied(true);
  s.result.set_exists(value != nullptr);
  if (value != nullptr) s.result.set_value(*value);
  to_wire(at, *s.result.mutable_version());
  settle(n, s);
}

/// The table makes room, with or without telling the core.
void cluster_run::evict(node& n) {
  const auto& slots = n.table.slots();
  if (slots.empty()) return;
  auto i = slots.begin();
  std::advance(i, random(static_cast<moment>(slots.size())));
  const auto key = i->first;
  const auto shard = i->second.copy.shard;
  n.table.erase(key);
  if (chance(40)) return;
  holder::effects out;
  n.memory->evicted(shard, key, out);
  perform(n, std::move(out));
}

// -- effects
// ----------------------------------------------------------------------------------------------------------

void cluster_run::perform(node& n, holder::effects effects) {
  std::vector<std::pair<shard_id, std::string>> gone;
  for (auto& e : effects) {
    if (auto* s = std::get_if<send>(&e)) {
      ship(n, s->to, std::move(s->envelope));
    } else if (auto* p = std::get_if<holder::publish>(&e)) {
      ++outcome_.granted;
      if (chance(95)) {
        n.table.publish(std::move(p->copy));
      } else { // no room, nor for what it had of the key
        n.table.erase(p->copy.key);
        gone.emplace_back(p->copy.shard, p->copy.key);
      }
    } else if (auto* u = std::get_if<holder::unpublish>(&e)) {
      ++outcome_.recalled;
      const auto shard = u->pending.shard;
      const auto key = u->pending.key;
      if (!n.table.unpublish(std::move(u->pending))) gone.emplace_back(shard, key);
    } else if (const auto* c = std::get_if<holder::commit>(&e)) {
      ++outcome_.revived;
      n.table.commit(c->key, c->at);
    } else if (const auto* x = std::get_if<holder::erase>(&e)) {
      n.table.erase(x->key);
    } else if (const auto* l = std::get_if<holder::lease_set>(&e)) {
      n.table.set(*l);
    } else if (const auto* d = std::get_if<holder::lease_ended>(&e)) {
      n.table.end(d->shard);
    } else if (auto* o = std::get_if<holder::obtained>(&e)) {
      const auto read = n.missed.extract(o->number);
      if (read.empty()) return violate("a read was answered twice");
      settle_read(n, read.mapped().operation, o->at, o->exists ? &o->value : nullptr);
    } else if (const auto* f = std::get_if<holder::failed>(&e)) {
      auto read = n.missed.extract(f->number);
      if (read.empty()) return violate("a read was answered twice");
      ask_home(n, std::move(read.mapped().operation), read.mapped().deadline);
    } else if (const auto* note_ = std::get_if<note>(&e)) {
      if (note_->name == "holder.leased") ++outcome_.generations;
      if (note_->fields.find("why=gap") != std::string::npos) ++outcome_.gaps;
      if (keep_log_) line(&n, note_->name + " " + note_->fields);
    }
  }
  for (const auto& [shard, key] : gone) {
    holder::effects out;
    n.memory->evicted(shard, key, out);
    perform(n, std::move(out));
  }
  if (chance(3)) evict(n);
}

// -- messages
// ---------------------------------------------------------------------------------------------------------

/// The same message again, late: after its connection, perhaps after its receiver's restart.
void cluster_run::stray(node_id from, node& receiver, const v1::Envelope& envelope) {
  at(now_ + random(chance(50) ? 10 * ms : 400 * ms), [this, from, &receiver, e = envelope]() mutable {
    on(receiver, [this, from, &receiver, body = std::move(e)]() mutable { arrive(receiver, from, body); });
  });
}

/// Who tells the memory layer of connections is not who brings it their messages: it may be late.
void cluster_run::tell_memory(node& n, node_id other, bool up) {
  n.memory_told = std::max(n.memory_told + 1, now_ + (chance(50) ? 0 : random(5 * ms)));
  on_at(n, n.memory_told, [this, &n, other, up] {
    holder::effects out;
    n.memory->peer(other, up, local(n), out);
    perform(n, std::move(out));
  });
}

/// False: it is not about read locks.
bool cluster_run::arrive_lock(node& n, node_id from, v1::Envelope& e) {
  const auto t = local(n);
  auto memory = [&](auto&& m) {
    holder::effects out;
    n.memory->receive(from, std::move(m), t, out);
    perform(n, std::move(out));
    return true;
  };
  auto at_home = [&](std::uint32_t shard, const auto& step) {
    const auto i = n.homes.find({shard});
    if (i == n.homes.end()) return true;
    home::effects out;
    step(*i->second, out);
    perform(n, {shard}, std::move(out));
    return true;
  };
  auto lock_manager = [&](const auto& m) {
    return at_home(m.shard(), [&](home& h, home::effects& out) { h.receive(from, m, t, out); });
  };
  switch (e.body_case()) {
  case v1::Envelope::kLockRequest:
    return lock_manager(e.lock_request());
  case v1::Envelope::kLockRelease:
    return lock_manager(e.lock_release());
  case v1::Envelope::kRecalled:
    return lock_manager(e.recalled());
  case v1::Envelope::kLeaseRenew:
    for (const auto& held : e.lease_renew().leases())
      at_home(held.shard(),
              [&](home& h, home::effects& out) { h.renew_held(from, e.lease_renew().number(), held, t, out); });
    return true;
  case v1::Envelope::kLeaseGranted:
    return memory(std::move(*e.mutable_lease_granted()));
  case v1::Envelope::kLockGranted:
    return memory(std::move(*e.mutable_lock_granted()));
  case v1::Envelope::kLargeCopy:
    return memory(std::move(*e.mutable_large_copy()));
  case v1::Envelope::kLockRefused:
    return memory(std::move(*e.mutable_lock_refused()));
  case v1::Envelope::kRecall:
    return memory(std::move(*e.mutable_recall()));
  case v1::Envelope::kCommitted:
    return memory(std::move(*e.mutable_committed()));
  default:
    return false;
  }
}

} // namespace troupe::lossy
