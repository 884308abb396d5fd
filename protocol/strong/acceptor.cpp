#include "protocol/strong/acceptor.hpp"

#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Messages of one key that may wait for one load. A home has at most one question and one Accept under way per key
/// and repeats them rarely; more than this is somebody else's mistake.
constexpr std::size_t parked_per_key_max = 32;

/// Lengths come from the wire: nobody gets a lease that outlives an operator's patience.
milliseconds lease_of(std::uint64_t ms) { return milliseconds{std::min<std::uint64_t>(ms, 60'000)}; }

bool same_lessee(const epoch& a, const epoch& b) {
  if (mutated(mutation::restarted_home_same)) return a.round == b.round && a.node == b.node;
  return a == b;
}

/// Orders ranks; the mutation forgets that a restarted node is somebody else.
std::strong_ordering compare(record_rank a, record_rank b) {
  if (mutated(mutation::restarted_home_same))
    a.accepted_in.life = b.accepted_in.life = a.number.era.life = b.number.era.life = {};
  return a <=> b;
}

/// What a message costs while it waits, beside keys and records.
constexpr std::size_t message_overhead = 200;

std::size_t bytes_of(const v1::ReadLatest& question) { return message_overhead + question.key().size(); }
std::size_t bytes_of(const v1::Accept& accept) {
  return message_overhead + accept.key().size() + accept.record().size();
}

std::size_t bytes_of(const v1::Collect& collect) { return message_overhead + collect.key().size(); }

/// Tombstones that are listed for a home at once.
constexpr std::size_t listed_max = 64;

template <class Message> shard_id shard_in(const Message& m) { return {m.shard()}; }

} // namespace

record_rank* acceptor::rank_index::find(const std::string& key) {
  if (auto i = young_.find(key); i != young_.end()) return &i->second;
  auto i = old_.find(key);
  if (i == old_.end()) return nullptr;
  const auto rank = i->second; // a copy: put() may drop the old generation
  put(key, rank);
  return &young_.find(key)->second;
}

void acceptor::rank_index::put(const std::string& key, const record_rank& rank) {
  if (young_.size() >= half_ && !young_.contains(key)) {
    old_ = std::move(young_);
    young_.clear();
  }
  young_.insert_or_assign(key, rank);
}

void acceptor::rank_index::erase(const std::string& key) {
  young_.erase(key);
  old_.erase(key);
}

acceptor::acceptor(acceptor_options options, const std::map<shard_id, v1::StoredPromise>& promises, instant now)
    : options_{options}, index_{options.index_max}, tombstones_{options.tombstones_bytes_max} {
  for (const auto& [shard, stored] : promises) {
    auto& s = slots_[shard];
    s.promised = from_wire(stored.promised());
    s.longest = milliseconds{stored.lease_ms_max()};
    s.evicted = from_wire(stored.evicted());
    s.lease_until = now + s.longest;
  }
}

bool acceptor::outranked(const slot& s, const epoch& era) const {
  return era < s.promised && !mutated(mutation::epoch_not_checked) && !same_lessee(s.promised, era);
}

// -- bounds
// -----------------------------------------------------------------------------------------------------------

bool acceptor::full(std::size_t times) const {
  return pending_ >= times * options_.pending_max || pending_bytes_ >= times * options_.pending_bytes_max;
}

bool acceptor::is_known(shard_id shard, effects& out) const {
  if (shard.value < options_.shards) return true;
  drop("shard", shard, out);
  return false;
}

void acceptor::drop(std::string_view reason, shard_id shard, effects& out) const {
  out.emplace_back(note{"replica.dropped", "reason=" + std::string{reason} + " shard=" + to_string(shard)});
}

/// Counts something of this size that waits for the last write.
void acceptor::hold_back(std::size_t bytes) {
  if (writes_ == durable_) return;
  if (held_back_.empty() || held_back_.back().write != writes_) held_back_.push_back({.write = writes_});
  auto& last = held_back_.back();
  ++last.messages;
  last.bytes += message_overhead + bytes;
  ++pending_;
  pending_bytes_ += message_overhead + bytes;
}

void acceptor::tell(answer a, std::size_t bytes, effects& out) {
  if (!a.urgent) hold_back(bytes);
  out.emplace_back(std::move(a));
}

void acceptor::tell(const lessee_changed& l, effects& out) {
  hold_back(0);
  out.emplace_back(l);
}

// -- leases
// -----------------------------------------------------------------------------------------------------------

/// The lease of `era` runs until `until`; whoever had it before has it no more.
void acceptor::start_lease(shard_id shard, slot& s, const epoch& era, instant until, effects& out) {
  s.lease_until = until;
  if (!same_lessee(s.lessee, era) || !s.reported) {
    s.lessee = era;
    s.reported = true;
    tell(lessee_changed{shard, era, {}}, out);
  }
  watch_lease(shard, s);
}

void acceptor::watch_lease(shard_id shard, slot& s) {
  if (s.looked_at <= s.lease_until) return; // and then again
  if (s.looked_at != never) lease_ends_.erase({s.looked_at, shard});
  s.looked_at = s.lease_until;
  lease_ends_.emplace(s.looked_at, shard);
}

v1::StoredPromise acceptor::stored_promise(shard_id shard, const slot& s) {
  v1::StoredPromise p;
  to_wire(s.promised, *p.mutable_promised());
  p.set_lease_ms_max(static_cast<std::uint64_t>(s.longest.count()));
  if (s.evicted) to_wire(s.evicted, *p.mutable_evicted());
  p.set_checksum(checksum_of(shard, p));
  return p;
}

void acceptor::persist_slot(shard_id shard, slot& s, effects& out) {
  if (mutated(mutation::promise_not_persisted)) return;
  persist_promise p{.write = ++writes_, .shard = shard, .promise = stored_promise(shard, s)};
  s.promise_write = p.write;
  hold_back(0);
  out.emplace_back(std::move(p));
}

void acceptor::raise_promise(shard_id shard, slot& s, const epoch& era, effects& out) {
  if (era <= s.promised) return;
  s.promised = era;
  persist_slot(shard, s, out);
}

void acceptor::receive(node_id from, const v1::Claim& claim, instant now, effects& out) {
  const auto shard = shard_in(claim);
  if (!is_known(shard, out)) return;
  if (full(2)) return drop("pending", shard, out);
  const auto era = from_wire(claim.epoch());
  const auto lease = lease_of(claim.lease_ms());
  auto& s = slots_[shard];

  auto refuse = [&](v1::Refused::Reason reason) {
    answer a{.urgent = false, .to = from, .envelope = {}};
    auto& refused = *a.envelope.mutable_refused();
    refused.set_shard(shard.value);
    refused.set_number(claim.number());
    refused.set_reason(reason);
    to_wire(s.promised, *refused.mutable_promised());
    if (reason == v1::Refused::LEASED) {
      const auto left = s.lease_until - now;
      refused.set_remaining_ms(static_cast<std::uint64_t>(std::chrono::ceil<milliseconds>(left).count()));
      refused.set_home(s.lessee.node.value);
    }
    tell(std::move(a), 0, out);
  };
  if (outranked(s, era)) return refuse(v1::Refused::PROMISED);
  if (now < s.lease_until && !same_lessee(s.lessee, era)) return refuse(v1::Refused::LEASED);

  const bool known = same_lessee(s.promised, era) && lease <= s.longest;
  if (!known) {
    s.promised = std::max(s.promised, era);
    if (mutated(mutation::epoch_not_checked)) s.promised = era;
    s.longest = std::max(s.longest, lease);
    persist_slot(shard, s, out);
  }
  s.released = {};
  start_lease(shard, s, era, now + lease, out);
  answer a{.urgent = false, .to = from, .envelope = {}};
  auto& granted = *a.envelope.mutable_granted();
  granted.set_shard(shard.value);
  granted.set_number(claim.number());
  *granted.mutable_epoch() = claim.epoch();
  tell(std::move(a), 0, out);
}

void acceptor::receive(node_id, const v1::ReleaseHome& release, instant now, effects& out) {
  if (!is_known(shard_in(release), out)) return;
  auto& s = slots_[shard_in(release)];
  const auto era = from_wire(release.epoch());
  if (s.promised == era) s.released = era;
  if (s.lessee != era) return;
  s.lessee = {};
  s.lease_until = now;
  s.reported = false;
  tell(lessee_changed{shard_in(release), {}, release.leaving() ? era.node : node_id{}}, out);
}

void acceptor::receive(node_id from, const v1::RenewLeases& renew, instant now, effects& out) {
  answer a{.urgent = true, .to = from, .envelope = {}};
  auto& renewed = *a.envelope.mutable_leases_renewed();
  renewed.set_number(renew.number());
  const auto lease = lease_of(renew.lease_ms());
  for (const auto& one : renew.leases()) {
    const auto shard = shard_in(one);
    if (!is_known(shard, out)) continue;
    const auto era = from_wire(one.epoch());
    auto& s = slots_[shard];
    if (outranked(s, era)) {
      auto& superseded = *renewed.add_superseded();
      superseded.set_shard(shard.value);
      to_wire(s.promised, *superseded.mutable_epoch());
      continue;
    }
    // A renewal bypasses the store, so it may only confirm what the store already holds: this promise, this length.
    const bool durable = s.promise_write <= durable_ || mutated(mutation::promise_not_persisted);
    const bool free = now >= s.lease_until || same_lessee(s.lessee, era) || s.lessee == epoch{};
    const bool given_back = s.released == era && era;
    if (given_back || !same_lessee(s.promised, era) || lease > s.longest || !durable || !free) {
      renewed.add_pending(shard.value);
      continue;
    }
    start_lease(shard, s, era, now + lease, out);
  }
  tell(std::move(a), 0, out);
}

void acceptor::supersede(node_id to, shard_id shard, std::uint64_t number, const std::string& key,
                         const record_rank& stored, effects& out) {
  answer a{.urgent = false, .to = to, .envelope = {}};
  auto& superseded = *a.envelope.mutable_superseded();
  superseded.set_shard(shard.value);
  superseded.set_number(number);
  superseded.set_key(key);
  to_wire(promised(shard), *superseded.mutable_promised());
  to_wire(stored.accepted_in, *superseded.mutable_ballot());
  to_wire(stored.number, *superseded.mutable_version());
  tell(std::move(a), key.size(), out);
}

template <class Message> void acceptor::park(node_id from, Message message, effects& out) {
  place where{shard_in(message), message.key()};
  auto i = parked_.find(where);
  if (i == parked_.end()) {
    if (parked_.size() >= options_.loads_max) return drop("loads_max", where.first, out); // the home repeats itself
    i = parked_.try_emplace(where).first;
    out.emplace_back(load{where.first, where.second});
  }
  if (i->second.size() >= parked_per_key_max) return drop("parked_per_key", where.first, out);
  ++pending_;
  pending_bytes_ += bytes_of(message);
  i->second.emplace_back(from, std::move(message));
}

void acceptor::answer_latest(node_id from, const v1::ReadLatest& question, const record_rank& rank,
                             const std::optional<std::string>& bytes, effects& out) {
  answer a{.urgent = false, .to = from, .envelope = {}};
  auto& latest = *a.envelope.mutable_latest();
  latest.set_shard(question.shard());
  latest.set_number(question.number());
  latest.set_key(question.key());
  if (bytes) {
    to_wire(rank.accepted_in, *latest.mutable_ballot());
    to_wire(rank.number, *latest.mutable_version());
    latest.set_record(*bytes);
  } else if (const auto& evicted = slots_.at(shard_in(question)).evicted) {
    to_wire(evicted, *latest.mutable_evicted());
  }
  tell(std::move(a), question.key().size() + (bytes ? bytes->size() : 0), out);
}

void acceptor::abstain(node_id to, const place& where, const epoch& asker, std::uint64_t number, effects& out) {
  auto& said = damaged_[where];
  if (said.asker != asker) said = {asker, number};
  answer a{.urgent = false, .to = to, .envelope = {}};
  auto& body = *a.envelope.mutable_abstain();
  body.set_shard(where.first.value);
  body.set_number(number);
  body.set_key(where.second);
  tell(std::move(a), where.second.size(), out);
}

void acceptor::receive(node_id from, v1::ReadLatest question, instant, effects& out) {
  const auto shard = shard_in(question);
  if (!is_known(shard, out)) return;
  if (full()) return drop("pending", shard, out);
  auto& s = slots_[shard];
  const auto era = from_wire(question.epoch());
  if (outranked(s, era)) return supersede(from, shard, question.number(), question.key(), {}, out);
  raise_promise(shard, s, era, out);
  const place where{shard, question.key()};
  if (!parked_.contains(where))
    if (auto i = undurable_.find(where); i != undurable_.end())
      return answer_latest(from, question, i->second.rank, i->second.bytes, out); // held back until it is durable
  park(from, std::move(question), out);
}

void acceptor::receive(node_id from, v1::Accept accept, instant, effects& out) {
  const auto shard = shard_in(accept);
  if (!is_known(shard, out)) return;
  if (full()) return drop("pending", shard, out);
  auto& s = slots_[shard];
  const auto era = from_wire(accept.epoch());
  if (outranked(s, era)) return supersede(from, shard, accept.number(), accept.key(), {}, out);
  raise_promise(shard, s, era, out);
  const bool usual = parked_.empty() && damaged_.empty();
  auto* const rank = index_.find(accept.key());
  if (usual && rank != nullptr) return judge(from, std::move(accept), *rank, rank, out);
  const place where{shard, accept.key()};
  if (parked_.contains(where)) return park(from, std::move(accept), out);
  if (auto i = damaged_.find(where); i != damaged_.end()) {
    const bool quotes = i->second.asker == era && accept.repairs() != 0 && accept.repairs() >= i->second.first;
    if (!quotes) return abstain(from, where, era, accept.number(), out);
    out.emplace_back(note{"replica.repaired", "shard=" + to_string(shard)});
    damaged_.erase(i);
    return judge(from, std::move(accept), {}, rank, out);
  }
  if (rank != nullptr) return judge(from, std::move(accept), *rank, rank, out);
  if (auto i = undurable_.find(where); i != undurable_.end())
    return judge(from, std::move(accept), i->second.rank, nullptr, out);
  park(from, std::move(accept), out);
}

void acceptor::judge(node_id from, v1::Accept&& accept, record_rank stored, record_rank* known, effects& out) {
  const auto shard = shard_in(accept);
  const record_rank offered{from_wire(accept.epoch()), from_wire(accept.version())};
  const auto order = compare(offered, stored);
  if (order < 0) out.emplace_back(note{"replica.overtaken", "shard=" + to_string(shard)});
  if (order < 0 && !mutated(mutation::lower_version_accepted))
    return supersede(from, shard, accept.number(), accept.key(), stored, out);

  answer a{.urgent = mutated(mutation::acknowledged_before_sync), .to = from, .envelope = {}};
  auto& accepted = *a.envelope.mutable_accepted();
  accepted.set_shard(accept.shard());
  accepted.set_number(accept.number());
  accepted.set_key(accept.key());
  *accepted.mutable_epoch() = accept.epoch();
  *accepted.mutable_version() = accept.version();

  if (order != 0) {
    persist_record p{.write = ++writes_, .shard = shard, .key = accept.key(), .record = {}};
    *p.record.mutable_ballot() = accept.epoch();
    *p.record.mutable_version() = accept.version();
    p.record.set_record(std::move(*accept.mutable_record()));
    p.record.set_tombstone(accept.tombstone());
    p.record.set_checksum(checksum_of(
        record_view{shard, p.key, offered.accepted_in, offered.number, p.record.record(), accept.tombstone()}));
    learn({shard, p.key}, &p.record);
    const auto waiting =
        undurable_.insert_or_assign(place{shard, p.key}, undurable_record{p.write, offered, p.record.record()}).first;
    undurable_order_.emplace_back(p.write, waiting);
    if (known != nullptr)
      *known = offered;
    else
      index_.put(p.key, offered);
    hold_back(2 * (p.key.size() + p.record.record().size())); // here and at the store
    out.emplace_back(std::move(p));
  }
  tell(std::move(a), accept.key().size(), out);
}

void acceptor::persisted(std::uint64_t write) {
  TROUPE_ASSERT(write >= durable_ && write <= writes_);
  durable_ = write;
  for (; !held_back_.empty() && held_back_.front().write <= durable_; held_back_.pop_front()) {
    pending_ -= held_back_.front().messages;
    pending_bytes_ -= held_back_.front().bytes;
  }
  for (; !undurable_order_.empty() && undurable_order_.front().first <= durable_; undurable_order_.pop_front()) {
    const auto& [number, waiting] = undurable_order_.front();
    if (waiting->second.write == number) undurable_.erase(waiting); // else a later write of the key is under way
  }
}

void acceptor::loaded(shard_id shard, const std::string& key, found what, instant now, effects& out) {
  const place where{shard, key};
  auto i = parked_.find(where);
  if (i == parked_.end()) return;
  auto waiting = std::move(i->second);
  parked_.erase(i);
  pending_ -= waiting.size();
  for (const auto& [from, message] : waiting)
    pending_bytes_ -= std::visit([](const auto& m) { return bytes_of(m); }, message);

  if (std::holds_alternative<damage>(what)) {
    damaged_.try_emplace(where);
    out.emplace_back(note{"replica.damaged", "shard=" + to_string(shard)});
  } else {
    record_rank rank;
    if (const auto* record = std::get_if<v1::StoredRecord>(&what))
      rank = {from_wire(record->ballot()), from_wire(record->version())};
    index_.put(key, rank);
    learn(where, std::get_if<v1::StoredRecord>(&what));
  }
  for (auto& [from, message] : waiting) {
    if (auto* accept = std::get_if<v1::Accept>(&message)) {
      receive(from, std::move(*accept), now, out);
      continue;
    }
    if (const auto* collect = std::get_if<v1::Collect>(&message)) {
      receive(from, *collect, now, out);
      continue;
    }
    const auto& question = std::get<v1::ReadLatest>(message);
    auto& s = slots_[shard];
    if (full()) {
      drop("pending", shard, out);
    } else if (outranked(s, from_wire(question.epoch()))) {
      supersede(from, shard, question.number(), key, {}, out);
    } else if (damaged_.contains(where)) {
      abstain(from, where, from_wire(question.epoch()), question.number(), out);
    } else if (auto u = undurable_.find(where); u != undurable_.end()) { // an Accept that waited before it
      answer_latest(from, question, u->second.rank, u->second.bytes, out);
    } else if (const auto* record = std::get_if<v1::StoredRecord>(&what)) {
      answer_latest(from, question, {from_wire(record->ballot()), from_wire(record->version())}, record->record(),
                    out);
    } else {
      answer_latest(from, question, {}, std::nullopt, out);
    }
  }
}

// -- tombstones
// -----------------------------------------------------------------------------------------------------------

/// What stands, or is about to stand, under a key; null = nothing.
void acceptor::learn(const place& where, const v1::StoredRecord* stored) {
  if (stored != nullptr && stored->tombstone())
    tombstones_.add(where.first, {where.second, from_wire(stored->ballot())});
  else
    tombstones_.remove(where.first, where.second);
}

void acceptor::receive(node_id from, const v1::Collect& collect, instant, effects& out) {
  const auto shard = shard_in(collect);
  if (!is_known(shard, out)) return;
  if (full()) return drop("pending", shard, out);
  auto& s = slots_[shard];
  const auto era = from_wire(collect.epoch());
  if (outranked(s, era)) return supersede(from, shard, collect.number(), collect.key(), {}, out);
  raise_promise(shard, s, era, out);
  const place where{shard, collect.key()};
  if (parked_.contains(where)) return park(from, collect, out);
  // The home has seen this copy, sound and durable: something has happened to it since.
  if (damaged_.contains(where) || undurable_.contains(where)) return drop("not_collectable", shard, out);
  if (const auto* rank = index_.find(where.second)) return erase(collect, *rank, out);
  park(from, collect, out);
}

/// Why only that very record: it is what every replica held when its home decided, and none of them accepts from an
/// earlier epoch since. So whatever else stands here came later, by an Accept that has overtaken the Collect.
void acceptor::erase(const v1::Collect& collect, const record_rank& stored, effects& out) {
  const auto shard = shard_in(collect);
  const record_rank named{from_wire(collect.ballot()), from_wire(collect.version())};
  if (!named.number || stored != named) return drop("not_collectable", shard, out);
  auto& s = slots_.at(shard);
  s.evicted = std::max(s.evicted, named.number);
  persist_collection p{.write = ++writes_, .shard = shard, .key = collect.key(), .promise = stored_promise(shard, s)};
  const auto waiting = undurable_.insert_or_assign(place{shard, p.key}, undurable_record{p.write, {}, {}}).first;
  undurable_order_.emplace_back(p.write, waiting);
  index_.erase(p.key);
  tombstones_.remove(shard, p.key);
  ++collected_;
  hold_back(2 * p.key.size());
  out.emplace_back(std::move(p));
}

void acceptor::receive(node_id from, const v1::ListTombstones& question, instant, effects& out) {
  const auto shard = shard_in(question);
  if (!is_known(shard, out)) return;
  auto page = tombstones_.list(shard, from_wire(question.epoch()), question.after(), listed_max);
  answer a{.urgent = true, .to = from, .envelope = {}};
  auto& listed = *a.envelope.mutable_tombstones();
  listed.set_shard(shard.value);
  listed.set_number(question.number());
  for (auto& key : page.keys)
    listed.add_keys(std::move(key));
  listed.set_next(std::move(page.next));
  listed.set_unripe(page.unripe);
  tell(std::move(a), 0, out);
  if (auto after = tombstones_.begin_scan(shard)) out.emplace_back(scan{shard, std::move(*after)});
}

void acceptor::scanned(shard_id shard, const std::vector<tombstone_list::entry>& tombstones,
                       const std::string& next) {
  for (const auto& each : tombstones)
    if (!undurable_.contains({shard, each.key})) tombstones_.add(shard, each);
  tombstones_.end_scan(shard, next);
}

void acceptor::tick(instant now, effects& out) {
  while (!lease_ends_.empty() && lease_ends_.begin()->first <= now) {
    const auto shard = lease_ends_.begin()->second;
    lease_ends_.erase(lease_ends_.begin());
    auto& s = slots_.at(shard);
    s.looked_at = never;
    if (!s.reported) continue; // given back
    if (now < s.lease_until) { // renewed
      watch_lease(shard, s);
      continue;
    }
    s.reported = false;
    s.lessee = {};
    tell(lessee_changed{shard, {}, {}}, out);
  }
}

instant acceptor::wake_at() const { return lease_ends_.empty() ? never : lease_ends_.begin()->first; }

epoch acceptor::promised(shard_id shard) const {
  auto i = slots_.find(shard);
  return i == slots_.end() ? epoch{} : i->second.promised;
}

} // namespace troupe
