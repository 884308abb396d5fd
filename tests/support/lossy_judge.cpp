// The clients of the lossy cluster and its judge.
#include "tests/support/lossy_cluster.hpp"

#include "protocol/check/linearizability.hpp"

#include <algorithm>

namespace troupe::lossy {

namespace {

constexpr moment deadline_max = 1'800 * ms;

} // namespace

// -- clients
// ----------------------------------------------------------------------------------------------------------

void cluster_run::think(node& n, std::size_t client, moment how_long) {
  on_at(n, now_ + random(how_long), [this, &n, client] {
    if (issuing_) issue(n, client);
  });
}

void cluster_run::issue(node& n, std::size_t client) {
  auto& c = n.clients[client];
  const auto k = static_cast<std::size_t>(random(options_.keys));
  const bool text = k % 2 == 0;
  const auto unique = std::to_string(history_.operations.size());
  v1::Operation op;
  op.set_shard(shard_of_key(k).value);
  op.set_key(key_name(k));
  op.set_roll_back(chance(30));
  const auto large = text && chance(3) ? std::string(limits::small_message_bytes, 'x') : std::string{};
  check::operation record;
  record.key = key_name(k);
  const auto dice = options_.locks && chance(options_.hot_reads) ? 0 : random(100);
  if (dice < 35) {
    record.kind = check::op_kind::get;
    op.mutable_get();
  } else if (dice < 35 + static_cast<moment>(options_.removes)) {
    record.kind = check::op_kind::remove;
    op.mutable_remove();
  } else if (text && dice < 70) {
    record.kind = check::op_kind::put;
    record.value = "v" + unique + large;
    op.mutable_put()->set_value(*record.value);
  } else if (text && dice < 98) {
    record.kind = check::op_kind::cas;
    auto& cas = *op.mutable_compare_and_set();
    if (auto i = c.seen.find(record.key); i != c.seen.end() && !chance(20)) {
      record.old = i->second;
      cas.set_expected(i->second);
    } else {
      cas.set_expect_absent(true);
    }
    record.value = "w" + unique;
    cas.set_value(*record.value);
  } else { // on a text mostly an error, and then not done
    record.kind = check::op_kind::add;
    record.delta = random(20) - 8;
    auto& add = *op.mutable_add();
    add.set_delta(*record.delta);
    if (chance(60)) {
      record.floor = 0;
      add.set_has_floor(true);
    }
  }
  const auto deadline = chance(30) ? 10 * ms + random(100 * ms) : random(deadline_max);
  submit(n, client, std::move(op), std::move(record), deadline);
}

void cluster_run::submit(node& n, std::size_t client, v1::Operation op, check::operation record, moment deadline) {
  auto& c = n.clients[client];
  const request_id id{.session = {c.session}, .number = ++c.issued};
  to_wire(id, *op.mutable_id());
  record.client = "\"" + std::to_string(c.session) + "." + std::to_string(c.name) + "\"";
  record.call = now_;
  record.outcome = check::op_outcome::unknown;
  submitted_[id] = {history_.operations.size(), n.id, client, {op.shard()}};
  history_.operations.push_back(std::move(record));
  if (keep_log_) line(&n, "submits " + op.ShortDebugString());
  if (options_.locks && op.has_get() && !history_.operations.back().final)
    return read_here(n, std::move(op), deadline);
  if (options_.locks && !op.has_get() && chance(70)) {
    holder::effects out;
    n.memory->give_back(op, local(n), out);
    if (op.has_given_back()) ++outcome_.given_back;
    perform(n, std::move(out));
  }
  ask_home(n, std::move(op), deadline);
}

void cluster_run::ask_home(node& n, v1::Operation op, moment deadline) {
  requests::effects out;
  const auto t = local(n);
  n.manager->submit(std::move(op), t + nanoseconds{deadline}, t, out);
  perform(n, std::move(out));
}

void cluster_run::settle(node& n, const requests::settled& s) {
  auto& sub = submitted_.at(s.id);
  if (sub.settled) return violate("request " + to_string(s.id) + " was settled twice");
  sub.settled = true;
  auto& c = n.clients[sub.client];
  auto& op = history_.operations[sub.operation];
  const auto code = static_cast<errc>(s.result.error());
  if (keep_log_)
    line(&n, "settles " + to_string(s.id) + " " + std::string{name_of(code)} + " " + s.result.ShortDebugString());
  if (code == errc::none) {
    op.outcome = check::op_outcome::ok;
    op.returned = now_;
    switch (op.kind) {
    case check::op_kind::get:
      if (s.result.exists()) op.value = s.result.value();
      if (op.value)
        c.seen[op.key] = *op.value;
      else
        c.seen.erase(op.key);
      break;
    case check::op_kind::put:
      c.seen[op.key] = *op.value;
      break;
    case check::op_kind::cas:
      op.applied = s.result.applied();
      if (*op.applied) c.seen[op.key] = *op.value;
      break;
    case check::op_kind::add:
      op.applied = s.result.applied();
      if (*op.applied) op.result = s.result.number();
      break;
    case check::op_kind::remove:
      op.applied = s.result.exists();
      break;
    default:
      break;
    }
    if (op.final) ++finals_;
  } else if (outcome_of(code) == outcome::not_done) {
    op.outcome = check::op_outcome::fail;
    op.returned = now_;
  } else {
    ++c.name;
  }
  if (issuing_) think(n, sub.client, options_.think_max * (op.outcome == check::op_outcome::fail ? 4 : 1));
}

void cluster_run::final_read(std::size_t key, int attempts) {
  auto& n = nodes_[(key + static_cast<std::size_t>(attempts)) % nodes_.size()];
  const auto index = history_.operations.size();
  v1::Operation op;
  op.set_shard(shard_of_key(key).value);
  op.set_key(key_name(key));
  op.mutable_get();
  check::operation record;
  record.key = key_name(key);
  record.final = true;
  submit(n, 0, std::move(op), std::move(record), 500 * ms);
  after(n);
  at(now_ + 600 * ms, [this, key, attempts, index] {
    if (history_.operations[index].outcome != check::op_outcome::ok && attempts < 3) final_read(key, attempts + 1);
  });
}

// -- judge
// ------------------------------------------------------------------------------------------------------------

void cluster_run::line(const node* n, const std::string& what) {
  log_.push_back(std::to_string(now_ / us) + (n != nullptr ? " " + to_string(n->id) + " " : " -- ") + what);
}

void cluster_run::violate(const std::string& what) {
  if (!outcome_.violation.empty()) return;
  outcome_.violation = what;
  if (keep_log_) line(nullptr, "VIOLATION " + what);
}

/// S2: whoever lets a node read has not been succeeded by another epoch.
void cluster_run::judge_grant(node& n, const v1::LockGranted& granted) {
  const shard_id shard{granted.shard()};
  const auto era = n.leads.find(shard);
  if (era == n.leads.end() || era->second != from_wire(granted.generation().epoch()))
    return violate("S2: " + to_string(n.id) + " granted a lock without leading");
  auto& newest = decided_[shard];
  if (era->second < newest)
    return violate("S2: epoch " + to_string(era->second) + " granted a lock after epoch " + to_string(newest));
  newest = era->second;
}

/// S2, as the nodes believe: no two of them lead one shard at one moment.
void cluster_run::judge_homes(node& n) {
  for (const auto& [shard, h] : n.homes) {
    if (h->state() != home::role::leading || local(n) >= h->lease_until()) continue;
    for (const auto& other : nodes_) {
      if (other.id == n.id || !other.up) continue;
      auto i = other.homes.find(shard);
      if (i == other.homes.end() || i->second->state() != home::role::leading) continue;
      if (local(other) < i->second->lease_until())
        violate("S2: " + to_string(n.id) + " and " + to_string(other.id) + " lead shard " + to_string(shard));
    }
  }
}

/// S2, by deeds: once a later epoch has decided something, no earlier one does. D1: what is answered stands on disk.
void cluster_run::judge_answer(node& n, const v1::OperationAnswer& answer) {
  const auto v = from_wire(answer.result().version());
  const auto code = static_cast<errc>(answer.result().error());
  if (code != errc::none && code != errc::rolled_back) return;
  const shard_id shard{answer.shard()};
  auto era = n.leads.find(shard);
  if (era == n.leads.end()) return violate("S2: " + to_string(n.id) + " decided without leading");
  auto& newest = decided_[shard];
  if (era->second < newest)
    return violate("S2: epoch " + to_string(era->second) + " decided after epoch " + to_string(newest));
  newest = era->second;
  if (!v) return; // the key was never written

  const auto id = from_wire(answer.id());
  const auto sub = submitted_.find(id);
  const auto asked = lock_asks_.find(id);
  if (id.session.value >= locker_sessions && asked == lock_asks_.end()) return; // it has given up, or crashed
  if (sub == submitted_.end() && asked == lock_asks_.end()) return violate("an answer to a request that nobody made");
  const auto& key = asked != lock_asks_.end() ? asked->second.key : history_.operations[sub->second.operation].key;
  // A key without a record is absent as of what was collected, which may have been another key's.
  if (const auto first = versions_.find({shard, v});
      first != versions_.end() && !first->second.starts_with(key + "="))
    return;
  std::size_t holders = 0;
  for (auto r : replicas_[shard]) {
    const auto& disk = node_of(r).disk;
    const auto promise = disk.promises().find(shard);
    const auto collected = promise != disk.promises().end() ? from_wire(promise->second.evicted()) : version{};
    const auto* s = disk.find(shard, key);
    if ((s != nullptr ? from_wire(s->record.version()) : collected) >= v) ++holders;
  }
  if (holders < replicas_[shard].size() / 2 + 1)
    violate("D1: version " + to_string(v) + " of " + key + " was answered and is durable at "
            + std::to_string(holders) + " replicas only");
}

/// A version is assigned once, and is always the same record.
void cluster_run::judge_record(const acceptor::persist_record& p) {
  const auto v = from_wire(p.record.version());
  auto [i, fresh] = versions_.try_emplace({p.shard, v}, p.key + "=" + p.record.record());
  if (!fresh && i->second != p.key + "=" + p.record.record())
    violate("version " + to_string(v) + " of shard " + to_string(p.shard) + " was assigned twice");
}

void cluster_run::judge_liveness() {
  for (const auto& [id, s] : submitted_)
    if (!s.settled) return violate("liveness: request " + to_string(id) + " was never settled");
  if (!lock_asks_.empty())
    return violate("liveness: request " + to_string(lock_asks_.begin()->first) + " was never settled");
  for (const auto& [shard, set] : replicas_) {
    std::size_t leading = 0;
    for (auto r : set) {
      const auto& h = *node_of(r).homes.at(shard);
      if (h.state() == home::role::leading) ++leading;
      if (h.undecided() != 0 || h.queued() != 0 || h.held().recalls() != 0)
        return violate("liveness: " + to_string(r) + " still has undecided keys of shard " + to_string(shard));
    }
    if (leading != 1)
      return violate("liveness: shard " + to_string(shard) + " has " + std::to_string(leading) + " homes");
  }
}

/// S1 and S3: answers are explained by some order, without the operations that were said to be not done.
void cluster_run::judge_history() {
  judge_fences();
  if (!outcome_.violation.empty()) return;
  check::linearizability_options how;
  how.with_witness = keep_log_;
  how.states_max = 200'000; // many unknown outcomes on one key: undecided, and counted
  auto report = check::check_linearizability(history_, how);
  if (!report) return violate("the history cannot be read: " + check::to_string(report.error()));
  outcome_.undecided_keys = report->undecided_keys.size();
  if (report->result == check::verdict::no) {
    violate("S1: not linearizable");
    if (keep_log_ && report->refutation) line(nullptr, check::render(*report->refutation));
  }
}

} // namespace troupe::lossy
