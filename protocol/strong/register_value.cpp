#include "protocol/strong/register_value.hpp"

#include "protocol/error.hpp"
#include "protocol/limits.hpp"
#include "protocol/wire.hpp"

#include <charconv>

namespace troupe {

namespace {

/// A current value is quoted to retries only when it is small: a record must not grow by the values that it refused.
constexpr std::size_t quoted_value_max = 1024;

bool parse_number(std::string_view text, std::int64_t& out) {
  const auto* end = text.data() + text.size();
  auto [p, ec] = std::from_chars(text.data(), end, out);
  return ec == std::errc{} && p == end;
}

applied failed(errc code) {
  applied a;
  a.result.set_error(static_cast<std::uint32_t>(code));
  return a;
}

void store(v1::Record& record, std::string value) {
  record.set_tombstone(false);
  record.set_value(std::move(value));
}

applied apply_add(const v1::Add& add, v1::Record& record, bool exists) {
  std::int64_t current = 0;
  if (exists && !parse_number(record.value(), current)) return failed(errc::not_a_number);
  std::int64_t sum = 0;
  if (__builtin_add_overflow(current, add.delta(), &sum)) return failed(errc::out_of_range);
  applied a;
  if (add.has_floor() && sum < add.floor()) {
    a.result.set_number(current);
    return a;
  }
  store(record, std::to_string(sum));
  a.result.set_number(sum);
  a.result.set_applied(true);
  a.changed = true;
  return a;
}

applied apply_compare_and_set(const v1::CompareAndSet& cas, v1::Record& record, bool exists) {
  applied a;
  const bool holds = cas.expect_absent() ? !exists : exists && record.value() == cas.expected();
  if (holds) {
    store(record, cas.value());
    a.result.set_applied(true);
    a.changed = true;
  } else {
    a.result.set_exists(exists);
    if (exists) a.result.set_value(record.value());
  }
  return a;
}

} // namespace

applied apply(const v1::Operation& operation, v1::Record& record, bool exists) {
  applied a;
  const bool is_value = !record.has_lock() && !record.has_floor();
  switch (operation.what_case()) {
  case v1::Operation::kGet:
    a.result.set_exists(exists);
    if (exists) a.result.set_value(record.value());
    a.result.set_applied(true);
    return a;
  case v1::Operation::kPut:
    if (!is_value) return failed(errc::wrong_kind);
    store(record, operation.put().value());
    a.result.set_applied(true);
    a.changed = true;
    return a;
  case v1::Operation::kRemove:
    a.result.set_exists(exists);
    a.result.set_applied(true);
    a.changed = exists;
    if (exists) {
      record.set_tombstone(true);
      record.clear_value();
    }
    return a;
  case v1::Operation::kCompareAndSet:
    if (!is_value) return failed(errc::wrong_kind);
    return apply_compare_and_set(operation.compare_and_set(), record, exists);
  case v1::Operation::kAdd:
    if (!is_value) return failed(errc::wrong_kind);
    return apply_add(operation.add(), record, exists);
  case v1::Operation::kAcquireLock: // not about a value
  case v1::Operation::kRenewLock:
  case v1::Operation::kReleaseLock:
  case v1::Operation::kRaiseFence:
  case v1::Operation::WHAT_NOT_SET:
    break;
  case v1::Operation::kPutField: // a strong value has no fields
  case v1::Operation::kRemoveField:
    return failed(errc::unsupported_operation);
  }
  return failed(errc::invalid_argument);
}

const v1::Settled* find_settled(const v1::Record& record, const request_id& id) {
  for (const auto& s : record.settled())
    if (from_wire(s.id()) == id) return &s;
  return nullptr;
}

void settle(v1::Record& record, const request_id& id, const v1::Result& result, const version& at, std::size_t kept) {
  auto& entry = *record.add_settled();
  to_wire(id, *entry.mutable_id());
  *entry.mutable_result() = result;
  if (entry.result().value().size() > quoted_value_max) {
    entry.mutable_result()->clear_value();
    entry.mutable_result()->set_value_omitted(true);
  }
  entry.mutable_result()->clear_protects(); // the record says it
  to_wire(at, *entry.mutable_version());
  const auto total = static_cast<std::size_t>(record.settled_size());
  if (total <= kept) return;
  const auto surplus = static_cast<int>(total - kept);
  auto evicted = from_wire(record.evicted());
  for (int i = 0; i < surplus; ++i)
    evicted = std::max(evicted, from_wire(record.settled(i).version()));
  to_wire(evicted, *record.mutable_evicted());
  record.mutable_settled()->DeleteSubrange(0, surplus);
}

} // namespace troupe
