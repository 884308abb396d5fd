// What carries the messages of the lossy cluster, and performs what its cores want done.
#include "tests/support/lossy_cluster.hpp"

#include <algorithm>

namespace troupe::lossy {

// -- network
// ----------------------------------------------------------------------------------------------------------

void cluster_run::ship(node& from, node_id to, v1::Envelope envelope) {
  ++outcome_.messages;
  auto& receiver = node_of(to);
  if (envelope.has_lock_granted()) judge_grant(from, envelope.lock_granted());
  const bool about_locks =
      envelope.body_case() >= v1::Envelope::kLockRequest && envelope.body_case() <= v1::Envelope::kCommitted;
  if ((about_locks && chance(4)) || (envelope.has_collect() && chance(20))) stray(from.id, receiver, envelope);
  if (to == from.id) {
    auto& w = wires_[{to, to}];
    w.last[0] = std::max(w.last[0] + 1, now_ + random(50 * us));
    on_at(from, w.last[0], [this, &from, e = std::move(envelope)]() mutable { arrive(from, from.id, e); });
    return;
  }
  auto& w = wire_between(from.id, to);
  if (w.believed[from.id > to] == 0) {
    if (envelope.has_operation())
      on_at(from, now_ + random(20 * us), [this, &from, to, o = envelope.operation()] {
        requests::effects out;
        from.manager->unsent(to, o, errc::none, local(from), out);
        perform(from, std::move(out));
      });
    return;
  }
  if (!w.alive) return;
  if (about_locks && chance(1)) return; // a full queue
  const bool to_replica =
      envelope.has_accept() || envelope.has_read_latest() || envelope.has_claim() || envelope.has_collect();
  auto when = now_ + options_.latency_min + random(options_.latency_max - options_.latency_min);
  if (options_.reorder && (to_replica || about_locks)) {
    if (chance(10)) when += random(options_.latency_max * 8);
    when = std::max(when, w.stalled_until[to > from.id]);
  } else {
    when = std::max({when, w.last[to > from.id] + 1, w.stalled_until[to > from.id]});
    w.last[to > from.id] = when;
  }
  at(when, [this, &receiver, &w, life = receiver.life, generation = w.generation, sender = from.id,
            e = std::move(envelope)]() mutable {
    if (!receiver.up || receiver.life != life || w.generation != generation) return;
    on(receiver, [this, &receiver, sender, body = std::move(e)]() mutable { arrive(receiver, sender, body); });
  });
}

void cluster_run::arrive(node& n, node_id from, v1::Envelope& e) {
  if (keep_log_) line(&n, "<- " + to_string(from) + " " + std::string{name_of(e)} + " " + e.ShortDebugString());
  const auto t = local(n);
  auto replica = [&](auto&& m) {
    acceptor::effects out;
    n.replica->receive(from, std::move(m), t, out);
    perform(n, std::move(out));
  };
  auto lock_manager = [&](auto&& m) {
    const shard_id shard{m.shard()};
    auto i = n.homes.find(shard);
    if (i == n.homes.end()) return violate("a message for shard " + to_string(shard) + " went to " + to_string(n.id));
    home::effects out;
    i->second->receive(from, std::move(m), t, out);
    perform(n, shard, std::move(out));
  };
  auto manager = [&](const auto& m) {
    requests::effects out;
    n.manager->receive(from, m, t, out);
    perform(n, std::move(out));
  };
  switch (e.body_case()) {
  case v1::Envelope::kClaim:
    return replica(std::move(*e.mutable_claim()));
  case v1::Envelope::kReleaseHome:
    return replica(std::move(*e.mutable_release_home()));
  case v1::Envelope::kRenewLeases:
    return replica(std::move(*e.mutable_renew_leases()));
  case v1::Envelope::kReadLatest:
    return replica(std::move(*e.mutable_read_latest()));
  case v1::Envelope::kAccept:
    return replica(std::move(*e.mutable_accept()));
  case v1::Envelope::kCollect:
    return replica(e.collect());
  case v1::Envelope::kListTombstones:
    return replica(e.list_tombstones());
  case v1::Envelope::kTombstones:
    return lock_manager(e.tombstones());
  case v1::Envelope::kGranted:
    return lock_manager(std::move(*e.mutable_granted()));
  case v1::Envelope::kRefused:
    return lock_manager(std::move(*e.mutable_refused()));
  case v1::Envelope::kLatest:
    return lock_manager(std::move(*e.mutable_latest()));
  case v1::Envelope::kAbstain:
    return lock_manager(std::move(*e.mutable_abstain()));
  case v1::Envelope::kAccepted:
    return lock_manager(std::move(*e.mutable_accepted()));
  case v1::Envelope::kSuperseded:
    return lock_manager(std::move(*e.mutable_superseded()));
  case v1::Envelope::kOperation:
    return lock_manager(std::move(*e.mutable_operation()));
  case v1::Envelope::kOperationAnswer:
    return manager(e.operation_answer());
  case v1::Envelope::kNotHome:
    return manager(e.not_home());
  case v1::Envelope::kLeasesRenewed: {
    membership::effects out;
    n.members->receive(from, e.leases_renewed(), t, out);
    return perform(n, std::move(out));
  }
  default:
    if (!arrive_lock(n, from, e)) violate("an envelope that nobody understands");
  }
}

// -- effects
// ----------------------------------------------------------------------------------------------------------

void cluster_run::perform(node& n, shard_id shard, home::effects effects) {
  for (auto& e : effects) {
    if (auto* s = std::get_if<send>(&e)) {
      if (s->envelope.has_operation_answer()) judge_answer(n, s->envelope.operation_answer());
      ship(n, s->to, std::move(s->envelope));
    } else if (const auto* l = std::get_if<home::lead>(&e)) {
      ++outcome_.leaderships;
      n.leads[shard] = l->era;
      n.members->lead(shard, l->era);
    } else if (const auto* u = std::get_if<home::unlead>(&e)) {
      n.leads.erase(shard);
      n.members->unlead(shard, u->era);
    } else if (const auto* note_ = std::get_if<note>(&e)) {
      if (note_->name == "home.rolling_back") ++outcome_.rollbacks;
      if (note_->name == "home.collected") ++outcome_.collections;
      if (note_->name == "home.holder_overflow") ++outcome_.overflows;
      if (keep_log_) line(&n, note_->name + " " + note_->fields);
    }
  }
}

void cluster_run::perform(node& n, acceptor::effects effects) {
  for (auto& e : effects) {
    if (auto* record = std::get_if<acceptor::persist_record>(&e)) {
      judge_record(*record);
      n.asked = record->write;
      n.disk.write(std::move(*record));
    } else if (auto* promise = std::get_if<acceptor::persist_promise>(&e)) {
      n.asked = promise->write;
      n.disk.write(std::move(*promise));
    } else if (auto* collection = std::get_if<acceptor::persist_collection>(&e)) {
      n.asked = collection->write;
      n.disk.write(std::move(*collection));
    } else if (auto* a = std::get_if<acceptor::answer>(&e); a != nullptr && a->urgent) {
      perform_now(n, e);
    } else {
      n.held.emplace_back(n.asked, std::move(e));
    }
  }
  release_held(n);
  sync(n);
}

void cluster_run::release_held(node& n) {
  while (n.up && !n.held.empty() && n.held.front().first <= n.synced) {
    auto e = std::move(n.held.front().second);
    n.held.pop_front();
    perform_now(n, e);
  }
}

void cluster_run::perform_now(node& n, acceptor::effect& e) {
  if (auto* a = std::get_if<acceptor::answer>(&e)) {
    ship(n, a->to, std::move(a->envelope));
  } else if (const auto* l = std::get_if<acceptor::load>(&e)) {
    const auto when = std::max(now_, n.disk_stalled_until) + random(options_.sync_max);
    on_at(n, when, [this, &n, shard = l->shard, key = l->key, what = n.disk.read(l->shard, l->key)] {
      acceptor::effects out;
      n.replica->loaded(shard, key, what, local(n), out);
      perform(n, std::move(out));
    });
  } else if (const auto* s = std::get_if<acceptor::scan>(&e)) {
    const auto when = std::max(now_, n.disk_stalled_until) + random(options_.sync_max);
    on_at(n, when, [&n, shard = s->shard, found = n.disk.scan(s->shard, s->after)] {
      n.replica->scanned(shard, found, found.empty() ? "" : found.back().key);
    });
  } else if (const auto* c = std::get_if<acceptor::lessee_changed>(&e)) {
    auto i = n.homes.find(c->shard);
    if (i == n.homes.end()) return;
    home::effects out;
    i->second->lessee_seen(c->era, c->leaver, local(n), out);
    perform(n, c->shard, std::move(out));
  } else if (const auto* note_ = std::get_if<note>(&e)) {
    if (note_->name == "replica.repaired") ++outcome_.repairs;
    if (keep_log_) line(&n, note_->name + " " + note_->fields);
  }
}

void cluster_run::sync(node& n) {
  if (n.syncing || !n.disk.dirty()) return;
  n.syncing = true;
  const auto covers = n.disk.newest();
  at(std::max(now_, n.disk_stalled_until) + 50 * us + random(options_.sync_max), [this, &n, life = n.life, covers] {
    if (!n.up || n.life != life) return;
    n.disk.sync(covers); // the disk goes on while the node is paused
    on(n, [this, &n, covers] {
      n.syncing = false;
      n.synced = covers;
      n.replica->persisted(covers);
      release_held(n);
      sync(n);
    });
  });
}

void cluster_run::perform(node& n, membership::effects effects) {
  for (auto& e : effects) {
    if (auto* s = std::get_if<send>(&e)) {
      ship(n, s->to, std::move(s->envelope));
    } else if (const auto* r = std::get_if<membership::renewed>(&e)) {
      auto i = n.homes.find(r->shard);
      if (i == n.homes.end()) continue;
      home::effects out;
      i->second->renewed(r->replica, r->era, r->sent_at, r->superseded_by, local(n), out);
      perform(n, r->shard, std::move(out));
    } else if (const auto* p = std::get_if<membership::presence>(&e)) {
      requests::effects out;
      n.manager->peer(p->peer, p->up, local(n), out);
      perform(n, std::move(out));
      tell_memory(n, p->peer, p->up);
      for (auto& [shard, h] : n.homes) {
        home::effects more;
        h->peer(p->peer, p->up, local(n), more);
        perform(n, shard, std::move(more));
      }
    }
  }
}

void cluster_run::perform(node& n, requests::effects effects) {
  for (auto& e : effects) {
    if (auto* s = std::get_if<send>(&e))
      ship(n, s->to, std::move(s->envelope));
    else if (const auto* done = std::get_if<requests::settled>(&e); done != nullptr && !settle_ask(n, *done))
      settle(n, *done);
  }
}

} // namespace troupe::lossy
