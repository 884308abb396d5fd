#include "runtime/history_lines.hpp"

#include "runtime/history_recorder.hpp"

namespace troupe {

namespace {

using check::op_kind;

bool counts(const data_type& type) {
  return type.consistency != level::strong
         && (type.resolver == resolver_kind::counter || type.resolver == resolver_kind::growing_counter);
}

std::optional<op_kind> kind_of_read(const data_type& type, read_view view) {
  switch (view) {
  case read_view::value:
  case read_view::snapshot:
    return counts(type) ? op_kind::count : op_kind::get;
  case read_view::elements:
    return op_kind::members;
  case read_view::siblings:
  case read_view::fields:
    break;
  }
  return std::nullopt;
}

} // namespace

std::optional<check::operation> invocation_line(const data_type& type, const v1::Operation& operation, read_view view,
                                                const std::string& key) {
  check::operation line;
  line.key = history_text(key);
  const auto of_field = [&](const std::string& field, op_kind of_set, op_kind of_map) {
    const bool set = type.resolver == resolver_kind::set;
    line.kind = set ? of_set : of_map;
    if (set)
      line.value = history_text(field);
    else
      line.key = history_text(key + "/" + field);
  };
  switch (operation.what_case()) {
  case v1::Operation::kGet: {
    const auto kind = kind_of_read(type, view);
    if (!kind) return std::nullopt;
    line.kind = *kind;
    break;
  }
  case v1::Operation::kPut:
    line.kind = op_kind::put;
    line.value = history_text(operation.put().value());
    break;
  case v1::Operation::kRemove:
    if (type.resolver == resolver_kind::set || type.resolver == resolver_kind::map) return std::nullopt;
    line.kind = op_kind::remove;
    break;
  case v1::Operation::kCompareAndSet: {
    const auto& swap = operation.compare_and_set();
    line.kind = op_kind::cas;
    line.value = history_text(swap.value());
    if (!swap.expect_absent()) line.old = history_text(swap.expected());
    break;
  }
  case v1::Operation::kAdd:
    line.kind = counts(type) ? op_kind::incr : op_kind::add;
    line.delta = operation.add().delta();
    if (operation.add().has_floor()) line.floor = operation.add().floor();
    break;
  case v1::Operation::kPutField:
    of_field(operation.put_field().field(), op_kind::set_add, op_kind::put);
    if (line.kind == op_kind::put) line.value = history_text(operation.put_field().value());
    break;
  case v1::Operation::kRemoveField:
    of_field(operation.remove_field().field(), op_kind::set_remove, op_kind::remove);
    break;
  default:
    return std::nullopt;
  }
  return line;
}

void complete_line(check::operation& line, const v1::Result& answer, const v1::WeakAnswer* whole) {
  if ((line.kind == op_kind::get || line.kind == op_kind::count) && answer.exists())
    line.value = history_text(answer.value());
  if (line.kind == op_kind::cas || line.kind == op_kind::add) line.applied = answer.applied();
  if (line.kind == op_kind::add && answer.applied()) line.result = answer.number();
  if (line.kind == op_kind::remove) line.applied = answer.exists();
  if (whole == nullptr) return;
  if (line.kind == op_kind::members) {
    line.members.emplace();
    for (const auto& item : whole->items())
      line.members->push_back(history_text(item.field()));
  }
  const auto& v = answer.version();
  if (v.round() != 0)
    line.ver = "\"" + std::to_string(v.round()) + "." + std::to_string(v.node()) + "."
               + std::to_string(v.incarnation()) + "." + std::to_string(v.counter()) + "\"";
}

} // namespace troupe
