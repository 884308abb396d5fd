#include "protocol/check/register_model.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>
#include <unordered_set>

namespace troupe::check {

namespace {

std::optional<std::int64_t> to_integer(std::string_view text) {
  std::int64_t number = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

std::optional<std::int64_t> sum(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

value_id apply_cas(const step& cas, value_id from) {
  const bool matches = from == cas.old;
  if (!cas.unknown && cas.applied != matches) return no_value;
  return matches ? cas.value : from;
}

value_id apply_add(const step& add, value_id from, value_table& values) {
  const auto before = values.integer(from);
  const auto after = before ? sum(*before, add.delta) : std::nullopt;
  if (!after) // not a counter, or an overflow: an error for the caller, so never ok
    return add.unknown ? from : no_value;
  const bool applies = !add.floor || *after >= *add.floor;
  if (!add.unknown && add.applied != applies) return no_value;
  if (!applies) return from;
  if (add.result && *add.result != *after) return no_value;
  return values.intern_integer(*after);
}

step translate(const operation& op, value_table& values) {
  step result;
  result.kind = op.kind;
  result.unknown = op.outcome == op_outcome::unknown;
  result.call = *op.call;
  result.returned = result.unknown ? never : *op.returned;
  result.delta = op.delta.value_or(0);
  result.floor = op.floor;
  if (!result.unknown) {
    result.applied = op.kind == op_kind::add ? op.applied.value_or(true) : op.applied;
    result.result = op.result;
  }
  if (op.kind != op_kind::remove && op.kind != op_kind::add) result.value = values.intern_or_absent(op.value);
  if (op.kind == op_kind::cas) result.old = values.intern_or_absent(op.old);
  result.pure =
      op.kind == op_kind::get || result.applied == false || (op.kind == op_kind::cas && result.old == result.value);
  return result;
}

/// Fills `needs` and `makes`.
///
/// An add that was told its result needs the value before it. That value has one text only where every text of an
/// integer is the canonical one (not "007", which a put or an append can make), and 0 has two states: the counter at
/// 0 and the absent key.
void relate(step& it, value_table& values, bool canonical) {
  if (it.kind == op_kind::get) {
    it.needs = it.value;
  } else if (it.kind == op_kind::put) {
    it.makes = it.value;
  } else if (it.kind == op_kind::cas) {
    if (!it.pure) it.makes = it.value;
    if (it.applied == true) it.needs = it.old;
  } else if (it.kind == op_kind::remove) {
    if (it.pure)
      it.needs = absent_value;
    else
      it.makes = absent_value;
  } else if (it.kind == op_kind::add && it.result) {
    it.makes = values.intern_integer(*it.result);
    if (std::int64_t before = 0; canonical && !__builtin_sub_overflow(*it.result, it.delta, &before) && before != 0)
      it.needs = values.intern_integer(before);
  }
}

/// Replaces the values that nobody ever compares or reads by one of them: where nothing appends or adds, they behave
/// alike in every state, so the history is linearizable with them exactly if it is with the one.
void merge_unobserved(std::vector<step>& steps) {
  std::unordered_set<value_id> observed{absent_value};
  for (const auto& it : steps) {
    if (it.kind == op_kind::get)
      observed.insert(it.value);
    else if (it.kind == op_kind::cas)
      observed.insert(it.old);
    else if (it.kind != op_kind::put && it.kind != op_kind::remove)
      return;
  }
  value_id one = no_value;
  for (auto& it : steps) {
    if ((it.kind != op_kind::put && it.kind != op_kind::cas) || observed.contains(it.value)) continue;
    if (one == no_value) one = it.value;
    it.value = one;
  }
}

void number_classes(compiled_key& key, std::vector<step>& steps) {
  using effect_key = std::tuple<op_kind, value_id, value_id, std::int64_t, std::optional<std::int64_t>>;
  using constraint_key = std::tuple<std::uint32_t, bool, std::optional<bool>, std::optional<std::int64_t>>;
  std::map<effect_key, std::uint32_t> effects;
  std::map<constraint_key, std::uint32_t> constraints;
  for (auto& it : steps) {
    const auto next_effect = static_cast<std::uint32_t>(effects.size());
    it.effect = effects.try_emplace({it.kind, it.value, it.old, it.delta, it.floor}, next_effect).first->second;
    const auto next_constraint = static_cast<std::uint32_t>(constraints.size());
    it.constraint =
        constraints.try_emplace({it.effect, it.unknown, it.applied, it.result}, next_constraint).first->second;
  }
  key.effects = static_cast<std::uint32_t>(effects.size());
  key.constraints = static_cast<std::uint32_t>(constraints.size());
}

} // namespace

value_id value_table::intern(std::string_view text) {
  if (const auto found = ids_.find(text); found != ids_.end()) return found->second;
  const auto id = static_cast<value_id>(texts_.size());
  texts_.emplace_back(text);
  integers_.push_back(to_integer(text));
  ids_.emplace(texts_.back(), id);
  bytes_ += text.size() + 128; // the entries around it
  return id;
}

value_id value_table::intern_integer(std::int64_t number) {
  const auto [entry, added] = integer_ids_.try_emplace(number, 0);
  if (added) entry->second = intern(std::to_string(number));
  return entry->second;
}

value_id value_table::append(value_id base, value_id suffix) {
  const auto [entry, added] = appended_.try_emplace((std::uint64_t{base} << 32) | suffix, 0);
  if (added) entry->second = intern(texts_[base] + texts_[suffix]);
  return entry->second;
}

compiled_key compile(const std::vector<const operation*>& operations) {
  compiled_key key;
  std::vector<step> steps;
  steps.reserve(operations.size());
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const auto& op = *operations[i];
    if (op.outcome == op_outcome::fail) continue;
    auto it = translate(op, key.values);
    if (it.unknown && it.pure) continue;
    it.source = static_cast<std::uint32_t>(i);
    steps.push_back(it);
  }
  merge_unobserved(steps);

  bool canonical =
      std::none_of(steps.begin(), steps.end(), [](const step& it) { return it.kind == op_kind::append; });
  for (value_id id = 1; id < key.values.size() && canonical; ++id)
    if (const auto number = key.values.integer(id)) canonical = std::to_string(*number) == key.values.text(id);
  key.grows = std::all_of(steps.begin(), steps.end(), [&](const step& it) {
    return it.pure || (it.kind == op_kind::append && !key.values.text(it.value).empty());
  });
  for (auto& it : steps)
    relate(it, key.values, canonical);
  number_classes(key, steps);

  for (auto& it : steps)
    (it.unknown ? key.unknown : key.answered).push_back(it);
  std::stable_sort(key.answered.begin(), key.answered.end(), [](const step& a, const step& b) {
    return std::tie(a.call, a.returned) < std::tie(b.call, b.returned);
  });
  std::stable_sort(key.unknown.begin(), key.unknown.end(), [](const step& a, const step& b) {
    return std::tie(a.effect, a.call) < std::tie(b.effect, b.call);
  });
  return key;
}

value_id apply(const step& applied, value_id from, value_table& values) {
  switch (applied.kind) {
  case op_kind::get:
    return from == applied.value ? from : no_value;
  case op_kind::put:
    return applied.value;
  case op_kind::cas:
    return apply_cas(applied, from);
  case op_kind::remove:
    if (applied.applied && *applied.applied != (from != absent_value)) return no_value;
    return absent_value;
  case op_kind::append:
    return values.append(from, applied.value);
  case op_kind::add:
    return apply_add(applied, from, values);
  default:
    return no_value; // refused before: see check_linearizability
  }
}

} // namespace troupe::check
