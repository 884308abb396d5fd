#include "runtime/operation_rules.hpp"

#include "protocol/strong/named_lock.hpp"

namespace troupe {

namespace {

/// What a resolver's types have, for people.
std::string_view operations_of(resolver_kind resolver) {
  switch (resolver) {
  case resolver_kind::last_writer_wins:
    return "get, put and remove";
  case resolver_kind::siblings:
    return "get, get_siblings, put and remove";
  case resolver_kind::counter:
  case resolver_kind::growing_counter:
    return "get and add";
  case resolver_kind::set:
    return "elements_of, add_element, remove_element and remove";
  case resolver_kind::map:
    return "fields_of, put_field, remove_field and remove";
  }
  return "get";
}

bool has_read(resolver_kind resolver, read_view view) {
  const bool set = resolver == resolver_kind::set;
  const bool map = resolver == resolver_kind::map;
  switch (view) {
  case read_view::value:
  case read_view::snapshot:
    return !set && !map;
  case read_view::siblings:
    return resolver == resolver_kind::siblings;
  case read_view::elements:
    return set;
  case read_view::fields:
    return map;
  }
  return false;
}

bool has(resolver_kind resolver, const v1::Operation& operation, read_view view) {
  const bool counts = resolver == resolver_kind::counter || resolver == resolver_kind::growing_counter;
  const bool parts = resolver == resolver_kind::set || resolver == resolver_kind::map;
  switch (operation.what_case()) {
  case v1::Operation::kGet:
    return has_read(resolver, view);
  case v1::Operation::kPut:
    return !counts && !parts;
  case v1::Operation::kRemove:
    return !counts;
  case v1::Operation::kAdd:
    return counts && !operation.add().has_floor()
           && (resolver == resolver_kind::counter || operation.add().delta() >= 0);
  case v1::Operation::kPutField:
  case v1::Operation::kRemoveField: // of a set or of a map: the view tells which is meant
    return has_read(resolver, view) && parts;
  default: // compare and set, and named locks
    return false;
  }
}

std::optional<refused_operation> refuse(std::string detail, errc code = errc::unsupported_operation) {
  return refused_operation{code, std::move(detail)};
}

std::optional<refused_operation> find_strong_refusal(const std::string& name, const v1::Operation& operation,
                                                     const call_wishes& wishes) {
  const auto what = operation.what_case();
  const bool plain =
      what != v1::Operation::kPutField && what != v1::Operation::kRemoveField && wishes.view == read_view::value;
  if (!plain || wishes.dependencies || wishes.context)
    return refuse(name + " is strong: it has get, put, remove, compare_and_set, add and named locks");
  return std::nullopt;
}

} // namespace

std::optional<refused_operation> find_refusal(std::string_view type_name, const data_type& type,
                                              const v1::Operation& operation, const call_wishes& wishes) {
  const std::string name{type_name};
  if (wishes.at && *wishes.at > type.consistency)
    return refuse(name + " is " + std::string{name_of(type.consistency)} + ", and cannot be read at "
                      + std::string{name_of(*wishes.at)},
                  errc::unsupported_level);
  if (type.consistency == level::strong) return find_strong_refusal(name, operation, wishes);

  if (!has(type.resolver, operation, wishes.view) || wishes.fence)
    return refuse(name + " is " + std::string{name_of(type.consistency)} + ", with the resolver "
                  + std::string{name_of(type.resolver)} + ": it has " + std::string{operations_of(type.resolver)}
                  + (operation.has_add() || wishes.fence ? "; floors and locks are for strong types" : ""));
  const auto given = level_of(type, operation, wishes.at);
  if (wishes.max_staleness && (!operation.has_get() || given != level::eventual))
    return refuse("max_staleness is for reads at level eventual, and this is "
                  + (operation.has_get() ? "at level " + std::string{name_of(given)} : std::string{"a write"}));
  if (wishes.dependencies && type.consistency == level::eventual)
    return refuse(name + " is eventual: nothing is ordered after anything");
  if (wishes.view == read_view::snapshot && given == level::eventual)
    return refuse("a causal cut is of types of level causal and session, read at no weaker level");
  if (wishes.context && (type.resolver != resolver_kind::siblings || operation.has_get()))
    return refuse("a context is quoted by writes of types with the resolver siblings");
  return std::nullopt;
}

level level_of(const data_type& type, const v1::Operation& operation, const std::optional<level>& at) {
  return operation.has_get() && at && *at < type.consistency ? *at : type.consistency;
}

} // namespace troupe
