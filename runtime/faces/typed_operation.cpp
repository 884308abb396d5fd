#include "runtime/faces/typed_operation.hpp"

#include "protocol/limits.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// The bytes of the largest value that an operation carries.
std::size_t value_bytes(const v1::Operation& operation) {
  switch (operation.what_case()) {
  case v1::Operation::kPut:
    return operation.put().value().size();
  case v1::Operation::kCompareAndSet:
    return operation.compare_and_set().value().size() + operation.compare_and_set().expected().size();
  case v1::Operation::kPutField:
    return operation.put_field().value().size();
  default:
    return 0;
  }
}

} // namespace

std::string_view name_of(v1::Operation::WhatCase what) {
  switch (what) {
  case v1::Operation::kGet:
    return "get";
  case v1::Operation::kPut:
    return "put";
  case v1::Operation::kRemove:
    return "remove";
  case v1::Operation::kCompareAndSet:
    return "compare_and_set";
  case v1::Operation::kAdd:
    return "add";
  case v1::Operation::kAcquireLock:
    return "acquire_lock";
  case v1::Operation::kRenewLock:
    return "renew_lock";
  case v1::Operation::kReleaseLock:
    return "release_lock";
  case v1::Operation::kRaiseFence:
    return "raise_fence";
  case v1::Operation::kPutField:
    return "put_field";
  case v1::Operation::kRemoveField:
    return "remove_field";
  case v1::Operation::WHAT_NOT_SET:
    break;
  }
  return "none";
}

v1::Result failed(errc code) {
  v1::Result result;
  result.set_error(static_cast<std::uint32_t>(code));
  return result;
}

errc find_mistake(const cluster& shape, const typed_operation& asked) {
  if (!shape.types.contains(asked.type)) return errc::unknown_type;
  if (asked.key.empty() || asked.key.size() > limits::key_bytes_max) return errc::key_too_long;
  if (value_bytes(asked.operation) > limits::value_bytes_max) return errc::value_too_large;
  return errc::none;
}

std::optional<refused_operation> find_refusal(const cluster& shape, const typed_operation& asked) {
  return find_refusal(asked.type, shape.types.at(asked.type), asked.operation,
                      {.view = asked.view,
                       .at = asked.at,
                       .max_staleness = asked.extra.staleness_us() != 0,
                       .dependencies = asked.extra.explicit_depends(),
                       .context = asked.extra.has_context(),
                       .fence = asked.operation.has_fence()});
}

std::string type_names(const cluster& shape) {
  std::string names;
  for (const auto& [name, type] : shape.types) {
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

} // namespace troupe
