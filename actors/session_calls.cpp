#include "actors/session_calls.hpp"

#include "protocol/limits.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

bool writes(const session_call& call) { return !call.operation.has_get(); }

/// Those that a weaker level has. What decides on the newest value needs one home that knows it.
bool weaker_levels_have(const v1::Operation& op) {
  if (op.has_fence()) return false;
  switch (op.what_case()) {
  case v1::Operation::kGet:
  case v1::Operation::kPut:
  case v1::Operation::kRemove:
  case v1::Operation::kAdd:
  case v1::Operation::kPutField:
  case v1::Operation::kRemoveField:
    return true;
  case v1::Operation::kCompareAndSet:
  case v1::Operation::kAcquireLock:
  case v1::Operation::kRenewLock:
  case v1::Operation::kReleaseLock:
  case v1::Operation::kRaiseFence:
  case v1::Operation::WHAT_NOT_SET:
    return false;
  }
  return false;
}

} // namespace

errc check_call(const cluster& shape, const session_call& call) {
  const auto type = shape.types.find(call.type);
  if (type == shape.types.end()) return errc::unknown_type;
  const auto& op = call.operation;
  if (op.key().size() <= call.type.size() + 1) return errc::key_too_long; // an empty key
  if (op.key().size() > limits::key_bytes_max) return errc::key_too_long;
  if (op.put().value().size() > limits::value_bytes_max
      || op.compare_and_set().value().size() + op.compare_and_set().expected().size() > limits::value_bytes_max
      || op.put_field().field().size() + op.put_field().value().size() > limits::value_bytes_max)
    return errc::value_too_large;
  const auto served = type->second.consistency;
  if (served == level::strong) return errc::none;
  if (call.at && *call.at > served) return errc::unsupported_level;
  return weaker_levels_have(op) ? errc::none : errc::unsupported_operation;
}

weak_service service_of(const data_type& type, const session_call& call) {
  weak_service s;
  s.at = writes(call) ? type.consistency : call.at.value_or(type.consistency);
  s.lane = type.consistency == level::eventual ? stream_lane::free : stream_lane::ordered;
  if (s.at == level::causal)
    s.guarantees = guarantee::all;
  else if (s.at == level::session)
    s.guarantees = call.guarantees & guarantee::all;
  s.in_order = writes(call) && (s.guarantees & guarantee::monotonic_writes) != 0;
  return s;
}

v1::WeakOperation weak_operation(session_call& call, const weak_service& service, shard_id shard) {
  v1::WeakOperation out;
  auto& op = call.operation;
  auto& extra = call.extra;
  out.set_shard(shard.value);
  out.set_key(std::move(*op.mutable_key()));
  out.set_level(static_cast<std::uint32_t>(service.at));
  out.set_guarantees(service.guarantees);
  if (extra.has_context()) *out.mutable_context() = std::move(*extra.mutable_context());
  if (extra.has_cut()) *out.mutable_cut() = std::move(*extra.mutable_cut());
  if (extra.has_depends()) *out.mutable_depends() = std::move(*extra.mutable_depends());
  out.set_explicit_depends(extra.explicit_depends());
  out.set_staleness_us(extra.staleness_us());
  if (op.has_put())
    *out.mutable_put() = std::move(*op.mutable_put());
  else if (op.has_remove())
    out.mutable_remove();
  else if (op.has_add())
    *out.mutable_add() = *op.mutable_add();
  else if (op.has_put_field())
    *out.mutable_put_field() = std::move(*op.mutable_put_field());
  else if (op.has_remove_field())
    *out.mutable_remove_field() = std::move(*op.mutable_remove_field());
  else
    out.mutable_get();
  return out;
}

} // namespace troupe
