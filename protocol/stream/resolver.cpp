#include "protocol/stream/resolver.hpp"

#include "protocol/limits.hpp"

#include <algorithm>
#include <limits>
#include <tuple>

namespace troupe {

namespace {

constexpr auto int64_min = std::numeric_limits<std::int64_t>::min();
constexpr auto int64_max = std::numeric_limits<std::int64_t>::max();

/// Of increments and decrements of at most 2^32 nodes: it always fits.
__extension__ using wide = __int128;

bool fits(wide x) { return x >= int64_min && x <= int64_max; }

std::string to_decimal(wide x) {
  if (fits(x)) return std::to_string(static_cast<std::int64_t>(x));
  __extension__ using wide_unsigned = unsigned __int128;
  auto rest = x < 0 ? -static_cast<wide_unsigned>(x) : static_cast<wide_unsigned>(x);
  std::string digits;
  for (; rest != 0; rest /= 10)
    digits += static_cast<char>('0' + static_cast<int>(rest % 10));
  if (x < 0) digits += '-';
  std::reverse(digits.begin(), digits.end());
  return digits;
}

wide sum_of(const sibling_set& state) {
  wide sum = 0;
  for (const auto& s : state.of({}))
    if (s.kind == sibling_kind::counter) sum += wide{s.number} - s.decrements;
  return sum;
}

item item_of(const sibling& s) { return {s.field, s.value, s.when}; }

void win(resolved& out, const sibling& s) {
  out.winner = s.at;
  out.when = s.when;
}

void resolve_last_writer(const sibling_set& state, resolved& out) {
  const auto* last = last_writer(state);
  if (last == nullptr) return;
  win(out, *last);
  out.exists = last->kind == sibling_kind::value;
  if (out.exists) out.value = last->value;
}

void resolve_siblings(const sibling_set& state, resolved& out) {
  std::vector<const sibling*> values;
  for (const auto& s : state.of({}))
    if (s.kind == sibling_kind::value) values.push_back(&s);
  if (values.empty()) {
    if (const auto* last = last_writer(state)) win(out, *last);
    return;
  }
  std::sort(values.begin(), values.end(), [](const sibling* a, const sibling* b) { return beats(*a, *b); });
  for (const auto* s : values)
    out.items.push_back(item_of(*s));
  out.exists = true;
  out.value = out.items.front().value;
  win(out, *values.front());
}

void resolve_counter(const sibling_set& state, resolved& out) {
  const sibling* newest = nullptr;
  for (const auto& s : state.of({}))
    if (s.kind == sibling_kind::counter && (newest == nullptr || beats(s, *newest))) newest = &s;
  const auto sum = sum_of(state);
  out.exists = newest != nullptr;
  if (newest != nullptr) win(out, *newest);
  out.value = to_decimal(sum);
  out.number = static_cast<std::int64_t>(std::clamp(sum, wide{int64_min}, wide{int64_max}));
}

/// The fields of a set or map: of each, what `choose` makes of its siblings, null = it is not there.
template <class Choose> void resolve_fields(const sibling_set& state, resolved& out, Choose choose) {
  const auto& all = state.entries();
  const sibling* newest = nullptr;
  for (const auto& s : all)
    if (s.kind != sibling_kind::counter && (newest == nullptr || beats(s, *newest))) newest = &s;
  if (newest != nullptr) win(out, *newest);
  for (auto i = state.of({}).size(); i < all.size();) {
    const auto begin = i;
    while (i < all.size() && all[i].field == all[begin].field)
      ++i;
    if (const auto* chosen = choose(std::span{all}.subspan(begin, i - begin))) out.items.push_back(item_of(*chosen));
  }
  out.exists = !out.items.empty();
}

/// An element is there when any addition is: a removal that has not seen it does not concern it.
const sibling* added(std::span<const sibling> element) {
  const sibling* newest = nullptr;
  for (const auto& s : element)
    if (s.kind == sibling_kind::value && (newest == nullptr || beats(s, *newest))) newest = &s;
  return newest;
}

void resolve_set(const sibling_set& state, resolved& out) {
  resolve_fields(state, out, added);
  for (auto& element : out.items)
    element.value.clear();
}

void resolve_map(const sibling_set& state, resolved& out) {
  // The removal of the whole key is a write of every field.
  const sibling* removed = nullptr;
  for (const auto& s : state.of({}))
    if (s.kind == sibling_kind::tombstone && (removed == nullptr || beats(s, *removed))) removed = &s;
  resolve_fields(state, out, [removed](std::span<const sibling> field) -> const sibling* {
    const sibling* last = removed;
    for (const auto& s : field)
      if (s.kind != sibling_kind::counter && (last == nullptr || beats(s, *last))) last = &s;
    return last != nullptr && last->kind == sibling_kind::value ? last : nullptr;
  });
}

void context_of(const sibling_set& state, version_vector& out) {
  for (const auto& s : state.entries())
    out.raise(s.at);
  state.excess_into({}, out);
}

} // namespace

const sibling* last_writer(const sibling_set& state) {
  const sibling* last = nullptr;
  for (const auto& s : state.of({}))
    if (s.kind != sibling_kind::counter && (last == nullptr || beats(s, *last))) last = &s;
  return last;
}

resolved resolve(resolver_kind kind, const sibling_set& state) {
  resolved out;
  context_of(state, out.context);
  switch (kind) {
  case resolver_kind::last_writer_wins:
    resolve_last_writer(state, out);
    break;
  case resolver_kind::siblings:
    resolve_siblings(state, out);
    break;
  case resolver_kind::counter:
  case resolver_kind::growing_counter:
    resolve_counter(state, out);
    break;
  case resolver_kind::set:
    resolve_set(state, out);
    break;
  case resolver_kind::map:
    resolve_map(state, out);
    break;
  }
  return out;
}

void to_wire(const item& i, v1::Item& out) {
  out.set_field(i.field);
  out.set_value(i.value);
  out.set_clock(i.when.clock);
  out.set_node(i.when.origin.value);
}

// -- draft
// -----------------------------------------------------------------------------------------------------------

bool is_counter(resolver_kind kind) {
  return kind == resolver_kind::counter || kind == resolver_kind::growing_counter;
}
bool has_losers(resolver_kind kind) { return kind == resolver_kind::last_writer_wins || kind == resolver_kind::map; }

namespace {

bool has_fields(resolver_kind kind) { return kind == resolver_kind::set || kind == resolver_kind::map; }

std::optional<errc> draft_sum(const draft_request& request, const v1::Add& add, v1::Update& out) {
  if (add.has_floor()) return errc::unsupported_operation;
  if (request.kind == resolver_kind::growing_counter && add.delta() < 0) return errc::invalid_argument;
  const auto* own = request.own_counter != nullptr ? request.own_counter : request.visible.counter_of(request.self);
  wide number = own != nullptr ? own->number : 0;
  wide decrements = own != nullptr ? own->decrements : 0;
  const auto delta = wide{add.delta()};
  (delta < 0 ? decrements : number) += delta < 0 ? -delta : delta;
  if (!fits(number) || !fits(decrements)) return errc::out_of_range;
  // What the others have added without this node's knowing may still take the sum out of range: then it is exact in
  // `value`, and the next addition away from zero is refused.
  const auto before = sum_of(request.visible), after = before + delta;
  const bool away = delta > 0 ? after > int64_max : delta < 0 && after < int64_min;
  if (away) return errc::out_of_range;
  out.set_kind(v1::Update::COUNTER);
  out.set_number(static_cast<std::int64_t>(number));
  out.set_decrements(static_cast<std::int64_t>(decrements));
  return std::nullopt;
}

/// Kind, field, value and sums. @return what the resolver does not know, or the operation lacks.
std::optional<errc> draft_body(const draft_request& request, v1::Update& out) {
  const auto& op = request.operation;
  const auto field_of = [&](const std::string& field) -> std::optional<errc> {
    if (!has_fields(request.kind)) return errc::unsupported_operation;
    if (field.empty() || field.size() > limits::key_bytes_max) return errc::invalid_argument;
    out.set_field(field);
    return std::nullopt;
  };
  switch (op.what_case()) {
  case v1::WeakOperation::kPut:
    if (is_counter(request.kind) || has_fields(request.kind)) return errc::unsupported_operation;
    if (op.put().value().size() > limits::value_bytes_max) return errc::value_too_large;
    out.set_kind(v1::Update::PUT);
    out.set_value(op.put().value());
    return std::nullopt;
  case v1::WeakOperation::kRemove:
    if (is_counter(request.kind)) return errc::unsupported_operation;
    out.set_kind(v1::Update::REMOVE);
    return std::nullopt;
  case v1::WeakOperation::kAdd:
    if (!is_counter(request.kind)) return errc::unsupported_operation;
    return draft_sum(request, op.add(), out);
  case v1::WeakOperation::kPutField:
    if (const auto error = field_of(op.put_field().field())) return error;
    if (request.kind == resolver_kind::set && !op.put_field().value().empty()) return errc::invalid_argument;
    if (op.put_field().value().size() > limits::value_bytes_max) return errc::value_too_large;
    out.set_kind(v1::Update::PUT);
    out.set_value(op.put_field().value());
    return std::nullopt;
  case v1::WeakOperation::kRemoveField:
    if (const auto error = field_of(op.remove_field().field())) return error;
    out.set_kind(v1::Update::REMOVE);
    return std::nullopt;
  case v1::WeakOperation::kGet:
  case v1::WeakOperation::WHAT_NOT_SET:
    return errc::invalid_argument;
  }
  return errc::invalid_argument;
}

} // namespace

tl::expected<v1::Update, errc> draft(const draft_request& request) {
  v1::Update out;
  if (const auto error = draft_body(request, out)) return tl::unexpected{*error};
  out.set_shard(request.operation.shard());
  out.set_key(request.operation.key());
  *out.mutable_request() = request.operation.id();
  if (out.kind() == v1::Update::COUNTER) return out; // replaces by node
  if (request.operation.has_context()) {
    to_wire(from_wire(request.operation.context()), *out.mutable_context());
  } else if (request.visible.has_excess()) {
    auto context = request.context;
    request.visible.excess_into(out.field(), context);
    to_wire(context, *out.mutable_context());
  } else if (!request.context.empty()) {
    to_wire(request.context, *out.mutable_context());
  }
  if (const auto error = request.visible.room_for(out)) return tl::unexpected{*error};
  return out;
}

} // namespace troupe
