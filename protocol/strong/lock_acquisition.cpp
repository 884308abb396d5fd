#include "protocol/strong/lock_acquisition.hpp"

#include "protocol/cluster.hpp"
#include "protocol/strong/named_lock.hpp"
#include "protocol/wire.hpp"

#include <algorithm>
#include <map>

namespace troupe {

namespace {

/// A grant of which this part has gone by before it could be used is renewed first.
constexpr int part_gone = 3;

v1::Operation about(const std::string& lock, std::uint32_t shards) {
  v1::Operation operation;
  operation.set_key(lock);
  operation.set_shard(shard_of(lock, shards).value);
  return operation;
}

} // namespace

instant lock_acquisition::until(instant sent, milliseconds duration, std::uint32_t drift_ppm) {
  return sent + nanoseconds{duration} / 1'000'000 * (1'000'000 - drift_ppm);
}

v1::Operation lock_acquisition::release_of(const std::string& lock, const std::string& owner, const version& token,
                                           bool fenced, std::uint32_t shards) {
  auto operation = about(lock, shards);
  auto& release = *operation.mutable_release_lock();
  release.set_owner(owner);
  if (token) to_wire(token, *release.mutable_token());
  release.set_fenced(fenced);
  return operation;
}

v1::Operation lock_acquisition::renewal_of(const std::string& lock, const std::string& owner, const version& token,
                                           std::uint32_t shards) {
  auto operation = about(lock, shards);
  operation.mutable_renew_lock()->set_owner(owner);
  to_wire(token, *operation.mutable_renew_lock()->mutable_token());
  return operation;
}

void lock_acquisition::start(instant now, effects& out) {
  sent_ = now;
  auto operation = about(wish_.lock, wish_.shards);
  auto& acquire = *operation.mutable_acquire_lock();
  acquire.set_owner(wish_.owner);
  acquire.set_shared(wish_.shared);
  acquire.set_duration_ms(static_cast<std::uint64_t>(wish_.duration.count()));
  acquire.set_wait(wish_.wait);
  acquire.mutable_protects()->Assign(wish_.protects.begin(), wish_.protects.end());
  send(std::move(operation), out);
}

void lock_acquisition::send(v1::Operation operation, effects& out) {
  open_.insert(++numbers_);
  out.emplace_back(ask{numbers_, std::move(operation)});
}

void lock_acquisition::answered(std::uint64_t number, const v1::Result& result, instant now, effects& out) {
  if (open_.erase(number) == 0 || at_ == stage::over) return;
  if (result.error() != 0) return fail(static_cast<errc>(result.error()), out);
  switch (at_) {
  case stage::acquiring:
    if (!result.applied()) {
      at_ = stage::over;
      out.emplace_back(taken{result.lock_owner(), milliseconds{result.lock_remaining_ms()}});
      return;
    }
    token_ = from_wire(result.version());
    at_ = stage::fencing;
    raise_fences(result, out);
    if (open_.empty()) use(now, out);
    return;
  case stage::fencing:
    if (open_.empty()) use(now, out);
    return;
  case stage::renewing:
    at_ = stage::over;
    out.emplace_back(held{token_, until(sent_, wish_.duration, wish_.drift_ppm)});
    return;
  case stage::over:
    return;
  }
}

/// In every shard of a key that the answer names: what this grant protects may be written under it, what only former
/// grants did may not.
void lock_acquisition::raise_fences(const v1::Result& granted, effects& out) {
  std::map<std::uint32_t, v1::RaiseFence> by_shard;
  for (const auto& key : granted.protects()) {
    auto& fence = by_shard[shard_of(key, wish_.shards).value];
    const bool own = std::find(wish_.protects.begin(), wish_.protects.end(), key) != wish_.protects.end();
    (own ? fence.mutable_keys() : fence.mutable_formerly())->Add(std::string{key});
  }
  for (auto& [shard, fence] : by_shard) {
    fence.set_lock(wish_.lock);
    to_wire(token_, *fence.mutable_token());
    fence.set_shared(wish_.shared);
    v1::Operation operation;
    operation.set_key(floor_key(wish_.lock, {shard}));
    operation.set_shard(shard);
    *operation.mutable_raise_fence() = std::move(fence);
    send(std::move(operation), out);
  }
}

/// The lock is granted and fenced. The home counts from its grant, the owner from its request: what was waited for
/// has to be counted anew.
void lock_acquisition::use(instant now, effects& out) {
  const auto end = until(sent_, wish_.duration, wish_.drift_ppm);
  if (now - sent_ <= nanoseconds{wish_.duration} / part_gone) {
    at_ = stage::over;
    out.emplace_back(held{token_, end});
    return;
  }
  at_ = stage::renewing;
  sent_ = now;
  send(renewal_of(wish_.lock, wish_.owner, token_, wish_.shards), out);
}

void lock_acquisition::fail(errc why, effects& out) {
  const bool may_have = at_ != stage::acquiring || outcome_of(why) == outcome::unknown;
  at_ = stage::over;
  // By its name alone, an owner that asks more than once would lose an older grant, too.
  if (may_have && (token_ || wish_.unique_owner))
    out.emplace_back(give_back{release_of(wish_.lock, wish_.owner, token_, false, wish_.shards)});
  out.emplace_back(failed{why});
}

} // namespace troupe
