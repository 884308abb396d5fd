#include "protocol/strong/holders.hpp"

#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"

#include <algorithm>

namespace troupe {

void holders::reset(const epoch& era) {
  era_ = era;
  home_until_ = instant::min();
  closing_ = false;
  recalls_.clear();
  held_.clear();
  leases_.clear();
  locks_ = bytes_ = 0;
  forgotten_ = 0;
  ended_.clear();
  wake_ = never;
}

/// Puts the next message to the node into its sequence.
template <class Message> void holders::address(lease& l, Message& m) {
  m.set_shard(options_.shard.value);
  to_wire(lease_generation{.era = era_, .n = l.number}, *m.mutable_generation());
  m.set_sequence(++l.sent);
}

holders::lease* holders::find(node_id node, const lease_generation& g) {
  const auto i = leases_.find(node);
  return i != leases_.end() && g == lease_generation{.era = era_, .n = i->second.number} ? &i->second : nullptr;
}

/// The lease that a message of its node is about, which has applied the sequence up to `applied`; nullptr when it is
/// about another generation, or claims what cannot be.
holders::lease* holders::hear(node_id from, const lease_generation& g, std::uint64_t applied, effects& out) {
  auto* l = find(from, g);
  if (l == nullptr) return nullptr;
  if (applied > l->sent) {
    out.emplace_back(
        note{"home.dropped", "reason=never_sent shard=" + to_string(options_.shard) + " node=" + to_string(from)});
    return nullptr;
  }
  l->applied = std::max(l->applied, applied);
  return l;
}

/// What a lock takes in memory, about: its key here, its place with the key and with the lease.
std::size_t holders::weight_of(const std::string& key) { return 160 + key.size(); }

// -- leases
// -----------------------------------------------------------------------------------------------------------

/// The running lease that the wish is made under; one that it begins is granted first. nullptr: none can be given.
holders::lease* holders::lease_for(const wish& asked, instant now, effects& out) {
  if (closing_ || now >= home_until_) return nullptr;
  auto i = leases_.find(asked.from);
  if (i == leases_.end() && leases_.size() >= options_.nodes_max) {
    const auto over =
        std::find_if(leases_.begin(), leases_.end(), [&](const auto& other) { return !runs(other.second, now); });
    if (over == leases_.end()) return nullptr;
    remove_all(over->second);
    forgotten_ = std::max(forgotten_, over->second.sent);
    leases_.erase(over);
  }
  if (i == leases_.end()) i = leases_.emplace(asked.from, lease{.node = asked.from}).first;
  auto& l = i->second;
  // Client nodes draw their ids, so this may be another one, of which only the life says so.
  const bool another = is_client(asked.from) && l.number != 0 && l.number >> 32 != asked.generation >> 32;
  if (another && runs(l, now)) return nullptr;
  if (!another && asked.generation < l.number) return nullptr; // late: the node has given it up
  if (asked.generation == l.number) return runs(l, now) && !l.asked_back ? &l : nullptr;
  // The node gives all earlier generations up before it asks for another.
  remove_all(l);
  l = lease{.node = asked.from,
            .number = asked.generation,
            .until = instant::min(),
            .sent = forgotten_,
            .applied = forgotten_};
  extend(l, asked.number, now, out);
  return &l;
}

bool holders::over(const wish& asked, instant now) const {
  const auto i = leases_.find(asked.from);
  if (i == leases_.end() || asked.generation > i->second.number) return false;
  return asked.generation < i->second.number || i->second.asked_back || !runs(i->second, now);
}

/// Grants, from now, what remains of the home's own lease.
void holders::extend(lease& l, std::uint64_t number, instant now, effects& out) {
  auto length = nanoseconds{options_.lease};
  if (!mutated(mutation::holder_outlives_home)) length = std::min(length, home_until_ - now);
  if (length <= nanoseconds{0}) return;
  const bool begins = l.until == instant::min();
  l.until = std::max(l.until, now + length);
  send s{.to = l.node, .envelope = {}};
  auto& granted = *s.envelope.mutable_lease_granted();
  address(l, granted);
  granted.set_begins(begins);
  granted.set_number(number);
  granted.set_lease_us(
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(length).count()));
  out.emplace_back(std::move(s));
}

void holders::renew(node_id from, std::uint64_t number, const v1::HeldLease& held, instant now, effects& out) {
  auto* l = hear(from, from_wire(held.generation()), held.applied(), out);
  if (l == nullptr) return; // of another generation: it lapses there, and is asked for anew
  if (closing_ || l->asked_back || !runs(*l, now)) return;
  if (l->locks.empty()) return; // it lapses, and the next lock begins a generation
  if (l->unanswered > 0)
    l->renewal_owed = number;
  else if (!overflows(*l, now, out))
    extend(*l, number, now, out);
}

/// Takes a whole lease back, and sends nothing else under it.
void holders::ask_back(lease& l, instant now, effects& out) {
  l.asked_back = true;
  l.asked_back_at = now;
  watch(std::min(now + nanoseconds{options_.retransmit}, l.until));
  send_recall(l, {}, {}, out);
}

/// A node that applies nothing, or too slowly: its generation ends before what is under way to it has no bound.
bool holders::overflows(lease& l, instant now, effects& out) {
  if (l.asked_back) return true;
  if (l.sent < l.applied + options_.queue_max) return false;
  out.emplace_back(note{"home.holder_overflow", "shard=" + to_string(options_.shard) + " node=" + to_string(l.node)});
  ask_back(l, now, out);
  return true;
}

/// The table is full: whoever holds most begins again with what it still reads.
void holders::make_room(instant now, effects& out) {
  lease* most = nullptr;
  for (const auto& [node, l] : leases_)
    if (l.asked_back && runs(l, now) && !l.locks.empty()) return; // room is on its way
  for (auto& [node, l] : leases_)
    if (!l.asked_back && (most == nullptr || l.locks.size() > most->locks.size())) most = &l;
  if (most != nullptr && !most->locks.empty()) ask_back(*most, now, out);
}

void holders::lapse(instant now) {
  for (auto& [node, l] : leases_)
    if (!l.locks.empty() && !runs(l, now)) remove_all(l);
}

void holders::recall_all(instant now, effects& out) {
  if (std::exchange(closing_, true)) return;
  for (auto& [node, l] : leases_)
    if (!l.asked_back && runs(l, now)) ask_back(l, now, out);
}

std::size_t holders::nodes(instant now) const {
  return static_cast<std::size_t>(
      std::count_if(leases_.begin(), leases_.end(), [&](const auto& entry) { return runs(entry.second, now); }));
}

bool holders::nobody_left(instant now) const { return nodes(now) == 0; }

// -- locks
// ------------------------------------------------------------------------------------------------------------

void holders::add_lock(lease& l, held_key& key) {
  auto k = std::find_if(key.second.begin(), key.second.end(), [&](const lock& other) { return other.of == &l; });
  if (k == key.second.end()) {
    k = key.second.insert(k, lock{.of = &l, .place = l.locks.size()});
    l.locks.push_back(&key);
    ++locks_;
    bytes_ += weight_of(key.first);
  }
  k->at = lock::state::held;
  k->granted_as = l.sent;
}

/// Removes what the lease holds of the key; the key itself stays, perhaps held by nobody.
void holders::remove_lock(held_key& key, lease& l) {
  const auto k =
      std::find_if(key.second.begin(), key.second.end(), [&](const lock& other) { return other.of == &l; });
  if (k == key.second.end()) return;
  answered(key, *k);
  auto* last = l.locks.back();
  l.locks[k->place] = last;
  for (auto& other : last->second)
    if (other.of == &l) other.place = k->place;
  l.locks.pop_back();
  key.second.erase(k);
  --locks_;
  bytes_ -= weight_of(key.first);
}

/// Nothing is held under the lease any more.
void holders::remove_all(lease& l) {
  for (auto* key : l.locks) {
    auto k = std::find_if(key->second.begin(), key->second.end(), [&](const lock& other) { return other.of == &l; });
    answered(*key, *k);
    key->second.erase(k);
    --locks_;
    bytes_ -= weight_of(key->first);
    if (key->second.empty()) held_.erase(held_.find(key->first));
  }
  l.locks.clear();
  l.renewal_owed = 0;
}

/// The lock is not waited for any more; the recall ends with the last one.
void holders::answered(held_key& key, lock& k) {
  if (k.at != lock::state::recalled) return;
  k.at = lock::state::kept;
  --k.of->unanswered;
  const auto r = recalls_.find(key.first);
  TROUPE_ASSERT(r != recalls_.end() && r->second.awaited > 0);
  if (--r->second.awaited == 0) ended_.push_back(key.first);
}

bool holders::has_room(const std::string& key, instant now) {
  if (bytes_ + weight_of(key) <= options_.bytes_max) return true;
  lapse(now);
  return bytes_ + weight_of(key) <= options_.bytes_max;
}

bool holders::grant(const wish& asked, const std::string& key, const v1::Copy& copy, instant now, effects& out) {
  auto* l = lease_for(asked, now, out);
  if (l == nullptr || overflows(*l, now, out)) return false;
  if (!has_room(key, now)) {
    make_room(now, out);
    return false;
  }
  give(*l, asked.number, key, copy, out);
  return true;
}

void holders::grant_anew(node_id to, std::uint64_t generation, const std::string& key, const v1::Copy& copy,
                         instant now, effects& out) {
  auto* l = find(to, {.era = era_, .n = generation});
  // Of a large value its writer is spared the transport; who reads it there asks for it.
  if (l == nullptr || closing_ || !runs(*l, now) || copy.value().size() > limits::small_message_bytes) return;
  if (!overflows(*l, now, out) && has_room(key, now)) give(*l, 0, key, copy, out);
}

/// Sends the lock under the running lease `l`.
void holders::give(lease& l, std::uint64_t number, const std::string& key, const v1::Copy& copy, effects& out) {
  TROUPE_ASSERT(!recalls_.contains(key));
  auto& held = *held_.try_emplace(key).first;
  const bool large = copy.value().size() > limits::small_message_bytes;
  send s{.to = l.node, .envelope = {}};
  auto& granted = *s.envelope.mutable_lock_granted();
  address(l, granted);
  granted.set_number(number);
  granted.set_key(key);
  if (large) {
    *granted.mutable_copy()->mutable_version() = copy.version();
    granted.mutable_copy()->set_exists(true);
    granted.mutable_copy()->set_withheld(true);
  } else {
    *granted.mutable_copy() = copy;
  }
  add_lock(l, held);
  out.emplace_back(std::move(s));
  if (!large) return;
  send value{.to = l.node, .envelope = {}};
  auto& whole = *value.envelope.mutable_large_copy();
  whole.set_shard(options_.shard.value);
  to_wire(lease_generation{.era = era_, .n = l.number}, *whole.mutable_generation());
  whole.set_number(number);
  whole.set_key(key);
  *whole.mutable_copy() = copy;
  out.emplace_back(std::move(value));
}

void holders::released(node_id from, const v1::LockRelease& release, effects& out) {
  auto* l = hear(from, from_wire(release.generation()), release.applied(), out);
  if (l == nullptr) return;
  if (release.key().empty()) {
    l->until = instant::min();
    return remove_all(*l);
  }
  take(*l, release.key(), release.applied());
}

bool holders::given_back(node_id from, const std::string& key, const v1::GivenBack& by_write, effects& out) {
  auto* l = hear(from, from_wire(by_write.generation()), by_write.applied(), out);
  return l != nullptr && take(*l, key, by_write.applied());
}

/// Takes the lock of a node that has applied the sequence up to `applied` and dropped the key then.
/// @return false: it has none, or was granted another one since.
bool holders::take(lease& l, const std::string& key, std::uint64_t applied) {
  const auto i = held_.find(key);
  if (i == held_.end()) return false;
  const auto k = std::find_if(i->second.begin(), i->second.end(), [&](const lock& other) { return other.of == &l; });
  if (k == i->second.end()) return false;
  if (k->granted_as > applied && !mutated(mutation::late_return_accepted)) return false;
  remove_lock(*i, l);
  if (i->second.empty()) held_.erase(i);
  return true;
}

// -- recalls
// ----------------------------------------------------------------------------------------------------------

void holders::send_recall(lease& l, const std::string& key, const v1::Copy& copy, effects& out) {
  send s{.to = l.node, .envelope = {}};
  auto& recall = *s.envelope.mutable_recall();
  address(l, recall);
  recall.set_key(key);
  *recall.mutable_copy() = copy;
  out.emplace_back(std::move(s));
}

bool holders::recall(const std::string& key, const v1::Copy& copy, instant now, effects& out) {
  if (mutated(mutation::recall_not_sent)) return false;
  lapse(now);
  ended_.erase(std::remove(ended_.begin(), ended_.end(), key), ended_.end()); // of the recall that this one replaces
  const auto i = held_.find(key);
  if (i == held_.end()) {
    recalls_.erase(key);
    return false;
  }
  auto& r = recalls_[key];
  r.copy = copy;
  if (copy.value().size() > limits::small_message_bytes) {
    r.copy.clear_value();
    r.copy.set_withheld(true);
  }
  r.sent_at = now;
  r.awaited = i->second.size();
  watch(now + nanoseconds{options_.retransmit});
  for (auto& k : i->second) {
    if (k.at != lock::state::recalled) ++k.of->unanswered;
    k.at = lock::state::recalled;
    watch(k.of->until);
    if (!overflows(*k.of, now, out)) send_recall(*k.of, key, r.copy, out);
  }
  return true;
}

void holders::recalled(node_id from, const v1::Recalled& answer, instant now, effects& out) {
  auto* l = hear(from, from_wire(answer.generation()), answer.sequence(), out);
  if (l == nullptr) return;
  if (answer.key().empty()) { // given back
    l->until = instant::min();
    return remove_all(*l);
  }
  const auto r = recalls_.find(answer.key());
  if (r == recalls_.end() || from_wire(r->second.copy.version()) != from_wire(answer.version())) return;
  const auto i = held_.find(answer.key());
  if (i == held_.end()) return;
  const auto k = std::find_if(i->second.begin(), i->second.end(), [&](const lock& other) { return other.of == l; });
  if (k == i->second.end() || k->at != lock::state::recalled) return;
  if (answer.kept()) {
    answered(*i, *k);
  } else {
    remove_lock(*i, *l);
    if (i->second.empty()) held_.erase(i);
  }
  if (l->unanswered > 0) return;
  const auto owed = std::exchange(l->renewal_owed, 0);
  if (owed != 0 && !closing_ && !l->asked_back && runs(*l, now) && !l->locks.empty()) extend(*l, owed, now, out);
}

void holders::committed(const std::string& key, const version& at, effects& out) {
  if (recalls_.erase(key) == 0) return;
  const auto i = held_.find(key);
  if (i == held_.end()) return;
  for (auto& k : i->second) {
    TROUPE_ASSERT(k.at != lock::state::recalled || mutated(mutation::recall_not_awaited));
    if (k.at == lock::state::recalled) --k.of->unanswered;
    k.at = lock::state::held;
    if (k.of->asked_back) continue;
    send s{.to = k.of->node, .envelope = {}};
    auto& c = *s.envelope.mutable_committed();
    address(*k.of, c);
    c.set_key(key);
    to_wire(at, *c.mutable_version());
    out.emplace_back(std::move(s));
    k.granted_as = k.of->sent;
  }
}

// -- time
// -------------------------------------------------------------------------------------------------------------

void holders::tick(instant now, effects& out) {
  wake_ = never;
  lapse(now);
  const auto again = nanoseconds{options_.retransmit};
  for (auto& [node, l] : leases_) {
    if (!runs(l, now)) continue;
    if (l.asked_back) {
      if (now >= l.asked_back_at + again) ask_back(l, now, out);
      watch(l.asked_back_at + again);
    }
    if (l.asked_back || l.unanswered > 0) watch(l.until);
  }
  for (auto& [key, r] : recalls_) {
    if (r.awaited == 0) continue;
    if (now >= r.sent_at + again) {
      r.sent_at = now;
      for (auto& k : held_.find(key)->second)
        if (k.at == lock::state::recalled && !overflows(*k.of, now, out)) send_recall(*k.of, key, r.copy, out);
    }
    watch(r.sent_at + again);
  }
}

holders::key_holders holders::of(const std::string& key) const {
  key_holders out;
  const auto found = held_.find(key);
  if (found == held_.end()) return out;
  for (const auto& l : found->second) {
    out.all.push_back(l.of->node);
    if (l.at == lock::state::recalled) out.awaited.push_back(l.of->node);
  }
  return out;
}

} // namespace troupe
