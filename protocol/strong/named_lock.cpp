#include "protocol/strong/named_lock.hpp"

#include "protocol/limits.hpp"
#include "protocol/mutation.hpp"
#include "protocol/wire.hpp"

#include <algorithm>
#include <set>

namespace troupe {

namespace {

using owner_list = google::protobuf::RepeatedPtrField<v1::NamedLock::Owner>;
using key_list = google::protobuf::RepeatedPtrField<std::string>;

lock_step failed(errc code) {
  lock_step s;
  s.result.set_error(static_cast<std::uint32_t>(code));
  return s;
}

/// No type begins so.
constexpr char floor_mark = '\x01';

bool is_lock_name(const std::string& name) { return !name.empty() && name.size() <= limits::lock_name_bytes_max; }

bool are_keys(const key_list& keys) {
  return std::all_of(keys.begin(), keys.end(),
                     [](const std::string& key) { return !key.empty() && key.size() <= limits::key_bytes_max; });
}

owner_list::iterator find(owner_list& owners, const std::string& name) {
  return std::find_if(owners.begin(), owners.end(), [&](const auto& o) { return o.owner() == name; });
}

bool has(const key_list& keys, const std::string& key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

/// Its writes may still be on their way.
void fence_later(v1::NamedLock& lock, const v1::NamedLock::Owner& owner) {
  for (const auto& key : owner.protects())
    if (!has(lock.fence_also(), key)) lock.add_fence_also(key);
}

bool too_much_to_fence(const v1::NamedLock& lock) {
  std::size_t keys = 0, bytes = 0;
  auto count = [&](const key_list& some) {
    keys += static_cast<std::size_t>(some.size());
    for (const auto& key : some)
      bytes += key.size();
  };
  count(lock.fence_also());
  for (const auto& owner : lock.owners())
    count(owner.protects());
  return keys > limits::lock_fenced_keys_max || bytes > limits::lock_fenced_bytes_max;
}

} // namespace

std::string floor_key(std::string_view lock, shard_id shard) {
  std::string key(1, floor_mark);
  for (int shift = 24; shift >= 0; shift -= 8)
    key.push_back(static_cast<char>(shard.value >> shift & 0xFF));
  return key.append(lock);
}

bool is_floor_key(std::string_view key) { return key.starts_with(floor_mark); }

errc lock_flaw_of(const v1::Operation& operation) {
  const auto what = operation.what_case();
  if (is_floor_key(operation.key()) && !operation.has_raise_fence() && !operation.has_get()) return errc::wrong_kind;
  bool well = true;
  if (is_lock_operation(what))
    well = operation.key().size() <= limits::lock_name_bytes_max || operation.has_raise_fence();
  if (what == v1::Operation::kAcquireLock) {
    const auto& a = operation.acquire_lock();
    well = well && !a.owner().empty() && a.owner().size() <= limits::lock_owner_bytes_max && a.duration_ms() > 0
           && a.duration_ms() <= limits::lock_duration_max_ms
           && static_cast<std::size_t>(a.protects_size()) <= limits::lock_protects_max && are_keys(a.protects());
  } else if (what == v1::Operation::kRenewLock) {
    well = well && !operation.renew_lock().owner().empty() && operation.renew_lock().token().round() != 0;
  } else if (what == v1::Operation::kReleaseLock) {
    well = well && !operation.release_lock().owner().empty();
  } else if (what == v1::Operation::kRaiseFence) {
    const auto& f = operation.raise_fence();
    const auto keys = static_cast<std::size_t>(f.keys_size()) + static_cast<std::size_t>(f.formerly_size());
    well = is_lock_name(f.lock()) && operation.key() == floor_key(f.lock(), {operation.shard()})
           && f.token().round() != 0 && keys <= limits::lock_fenced_keys_max && are_keys(f.keys())
           && are_keys(f.formerly());
  }
  if (operation.has_fence()) {
    const bool write = what == v1::Operation::kPut || what == v1::Operation::kRemove
                       || what == v1::Operation::kCompareAndSet || what == v1::Operation::kAdd;
    well = well && write && is_lock_name(operation.fence().lock()) && operation.fence().token().round() != 0;
  }
  return well ? errc::none : errc::invalid_argument;
}

// -- terms
// ------------------------------------------------------------------------------------------------------------

void lock_terms::follow(const v1::NamedLock& lock, bool inherited, instant now) {
  std::map<std::string, term> next;
  for (const auto& owner : lock.owners()) {
    const auto token = from_wire(owner.token());
    const auto known = terms_.find(owner.owner());
    const bool same = known != terms_.end() && known->second.token == token;
    const bool over = inherited && mutated(mutation::lock_expiry_not_restarted);
    const auto whole = over ? now : now + milliseconds{owner.duration_ms()};
    next.emplace(owner.owner(), same ? known->second : term{token, whole});
  }
  terms_ = std::move(next);
}

instant lock_terms::until(const v1::NamedLock::Owner& owner) const {
  const auto known = terms_.find(owner.owner());
  return known != terms_.end() && known->second.token == from_wire(owner.token()) ? known->second.until
                                                                                  : instant::min();
}

bool lock_terms::renew(const v1::NamedLock::Owner& owner, instant now) {
  if (!has(owner, now) && !mutated(mutation::renewal_after_expiry)) return false;
  terms_.insert_or_assign(owner.owner(), term{from_wire(owner.token()), now + milliseconds{owner.duration_ms()}});
  return true;
}

// -- the lock
// ---------------------------------------------------------------------------------------------------------

const v1::NamedLock::Owner* in_the_way(const v1::AcquireLock& wish, const v1::NamedLock& lock,
                                       const lock_terms& terms, instant now) {
  for (const auto& owner : lock.owners())
    if (owner.owner() != wish.owner() && !(owner.shared() && wish.shared()) && terms.has(owner, now)) return &owner;
  return nullptr;
}

lock_step acquire_lock(const v1::AcquireLock& wish, v1::Record& record, bool exists, const version& token,
                       bool others, const lock_terms& terms, instant now) {
  if (exists || record.has_floor()) return failed(errc::wrong_kind);
  lock_step s;
  const auto* other = in_the_way(wish, record.lock(), terms, now);
  const auto& had = record.lock().owners();
  const bool again = std::any_of(had.begin(), had.end(), [&](const auto& owner) {
    return owner.owner() == wish.owner() && terms.has(owner, now);
  });
  if (other != nullptr || (others && !again)) {
    s.waits = wish.wait();
    if (other != nullptr) {
      s.result.set_lock_owner(other->owner());
      const auto left = std::chrono::ceil<milliseconds>(terms.until(*other) - now);
      s.result.set_lock_remaining_ms(static_cast<std::uint64_t>(left.count()));
    }
    return s;
  }

  auto next = record.lock();
  auto* owners = next.mutable_owners();
  for (auto i = owners->begin(); i != owners->end();) {
    if (terms.has(*i, now) && i->owner() != wish.owner()) {
      ++i;
      continue;
    }
    fence_later(next, *i);
    i = owners->erase(i);
  }
  if (static_cast<std::size_t>(owners->size()) >= limits::lock_owners_max) return failed(errc::overloaded);
  auto& owner = *next.add_owners();
  owner.set_owner(wish.owner());
  to_wire(token, *owner.mutable_token());
  owner.set_duration_ms(wish.duration_ms());
  owner.set_shared(wish.shared());
  for (const auto& key : wish.protects())
    if (!has(owner.protects(), key)) owner.add_protects(key);
  if (owner.protects_size() > 0 && too_much_to_fence(next)) return failed(errc::overloaded);
  *record.mutable_lock() = std::move(next);
  record.set_tombstone(false);
  record.clear_value();
  quote_protected(record.lock(), wish.owner(), s.result);
  s.result.set_applied(true);
  s.changed = true;
  return s;
}

lock_step release_lock(const v1::ReleaseLock& given, v1::Record& record) {
  const auto& owners = record.lock().owners();
  const bool has = std::any_of(owners.begin(), owners.end(), [&](const auto& o) {
    return o.owner() == given.owner() && (!given.has_token() || from_wire(o.token()) == from_wire(given.token()));
  });
  if (!has) return given.has_token() ? failed(errc::lock_lost) : lock_step{}; // nothing to give back
  lock_step s;
  auto& lock = *record.mutable_lock();
  const auto owner = find(*lock.mutable_owners(), given.owner());
  if (given.fenced() && lock.owners_size() == 1) lock.clear_fence_also();
  fence_later(lock, *owner);
  lock.mutable_owners()->erase(owner);
  record.set_tombstone(lock.owners_size() == 0);
  s.result.set_applied(true);
  s.changed = true;
  return s;
}

const v1::NamedLock::Owner* find_grant(const v1::NamedLock& lock, const v1::RenewLock& asked) {
  for (const auto& owner : lock.owners())
    if (owner.owner() == asked.owner() && from_wire(owner.token()) == from_wire(asked.token())) return &owner;
  return nullptr;
}

v1::Result renew_lock(const v1::RenewLock& asked, const v1::Record& record, lock_terms& terms, instant now) {
  const auto* owner = find_grant(record.lock(), asked);
  if (owner == nullptr || !terms.renew(*owner, now)) return failed(errc::lock_lost).result;
  v1::Result result;
  result.set_applied(true);
  *result.mutable_version() = owner->token();
  result.set_lock_remaining_ms(owner->duration_ms());
  return result;
}

void quote_protected(const v1::NamedLock& lock, const std::string& owner, v1::Result& result) {
  std::set<std::string> keys(lock.fence_also().begin(), lock.fence_also().end());
  for (const auto& each : lock.owners())
    if (each.owner() == owner) keys.insert(each.protects().begin(), each.protects().end());
  result.mutable_protects()->Assign(keys.begin(), keys.end());
}

// -- floors
// -----------------------------------------------------------------------------------------------------------

lock_step raise_floor(const v1::RaiseFence& fence, v1::Record& record) {
  if (record.has_lock() || !record.value().empty()) return failed(errc::wrong_kind);
  const auto floor = from_wire(record.floor().token()), token = from_wire(fence.token());
  const bool both_share = fence.shared() && record.floor().shared();
  if (token < floor && !both_share) return failed(errc::lock_lost); // there is a newer grant
  lock_step s;
  s.result.set_applied(true);
  if (token <= floor) return s;
  auto& next = *record.mutable_floor();
  *next.mutable_token() = fence.token();
  next.set_shared(fence.shared());
  *next.mutable_keys() = fence.keys();
  record.set_tombstone(false);
  s.changed = true;
  return s;
}

errc verdict(const v1::Fence& fence, const std::string& key, const v1::Record& record) {
  if (mutated(mutation::token_not_checked)) return errc::none;
  const auto floor = from_wire(record.floor().token()), token = from_wire(fence.token());
  if (token < floor || (token == floor && record.floor().shared())) return errc::fenced;
  if (token > floor || !has(record.floor().keys(), key)) return errc::not_protected;
  return errc::none;
}

} // namespace troupe
