/// Updates and states of weaker levels, in few words.
#pragma once

#include "protocol/stream/resolver.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace troupe::test {

inline constexpr origin a{{1}, 1}, a2{{1}, 2}, b{{2}, 1}, c{{3}, 1}, d{{4}, 1};

/// An update with its origin.
struct sent {
  origin from;
  v1::Update update;
  dot at() const { return {from, update.seq()}; }
};

struct stamped {
  dot at;
  std::uint64_t clock = 0;
};

inline sent put(const stamped& s, std::string_view value, const version_vector& context = {},
                std::string_view field = {}) {
  sent out{s.at.from, {}};
  out.update.set_seq(s.at.seq);
  out.update.set_clock(s.clock);
  out.update.set_value(std::string{value});
  out.update.set_field(std::string{field});
  to_wire(context, *out.update.mutable_context());
  return out;
}

inline sent removed(const stamped& s, const version_vector& context, std::string_view field = {}) {
  auto out = put(s, {}, context, field);
  out.update.set_kind(v1::Update::REMOVE);
  return out;
}

inline sent counted(const stamped& s, std::int64_t number, std::int64_t decrements = 0) {
  auto out = put(s, {});
  out.update.set_kind(v1::Update::COUNTER);
  out.update.set_number(number);
  out.update.set_decrements(decrements);
  return out;
}

/// A state together with what it has merged.
struct replica {
  sibling_set state;
  version_vector received;
  std::vector<loser> lost;

  sibling_set::merge_result merge(const sent& s, node_id self = {}) {
    sibling_set::loser_list losers{self, lost};
    const auto result = state.merge(s.from, s.update, {.received = received, .losers = &losers});
    received.raise(s.at());
    return result;
  }
};

inline std::string bytes_of(const sibling_set& state) {
  v1::WeakRecord record;
  to_wire(state, record);
  return record.SerializeAsString();
}

/// What a caller sees, in words.
inline std::string shown(resolver_kind kind, const sibling_set& state) {
  const auto seen = resolve(kind, state);
  if (!seen.exists) return "-";
  std::string out = seen.value;
  if (kind == resolver_kind::siblings || kind == resolver_kind::set || kind == resolver_kind::map) {
    out.clear();
    for (const auto& i : seen.items)
      out += (out.empty() ? "" : " ") + i.field + (i.field.empty() || i.value.empty() ? "" : "=") + i.value;
  }
  return out;
}

} // namespace troupe::test
