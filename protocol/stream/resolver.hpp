/// How the siblings of a key are seen, and how an operation becomes an update (PROTOCOLS §5).
///
///     auto update = draft({.kind = type.resolver, .operation = op, .visible = state, .self = self, .context =
///     applied});
///     ... seq, clock, depends; log; merge ...
///     auto seen = resolve(type.resolver, state);
///
/// The replicated state is the same set whatever the resolver: a resolver is a view of it, and never changes it.
/// Siblings that a resolver has no use for (another kind was configured before, or a peer is wrong) are ignored.
#pragma once

#include "protocol/cluster.hpp"
#include "protocol/stream/siblings.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe {

/// One of several concurrent values, one field of a map, one element of a set.
struct item {
  std::string field;
  std::string value;
  stamp when;
  friend bool operator==(const item&, const item&) = default;
};

/// A key as a read of its type shows it.
struct resolved {
  bool exists = false;
  /// last_writer_wins: the value. siblings: the newest of them. Counters: the exact sum in decimal digits, which may
  /// be outside of 64 bits when several nodes have added at the same time. Sets and maps: empty.
  std::string value;
  std::int64_t number = 0; ///< counters: the sum, or the nearest that fits
  std::vector<item> items; ///< siblings: newest first; set and map: by field
  version_vector context;  ///< covers all that was read: a write that quotes it replaces that
  dot winner;              ///< last_writer_wins: also of a tombstone; else what has the highest stamp; none = nothing
  stamp when;              ///< of the winner
};

resolved resolve(resolver_kind kind, const sibling_set& state);
bool is_counter(resolver_kind kind);
/// One of concurrent values is shown, and hides the others: last_writer_wins, and map in each field.
bool has_losers(resolver_kind kind);

/// What last_writer_wins shows without a copy; a tombstone = absent; null = never written.
const sibling* last_writer(const sibling_set& state);

void to_wire(const item& i, v1::Item& out);

/// What a write becomes an update of.
struct draft_request {
  resolver_kind kind = resolver_kind::last_writer_wins;
  const v1::WeakOperation& operation;
  /// The key as the writer's session sees it: what is visible here, with its own writes.
  const sibling_set& visible;
  /// The newest counter that this node has accepted for the key, in whichever life, *visible or not*: the next sum
  /// continues it. Null = visible.counter_of(self). Counters only.
  const sibling* own_counter = nullptr;
  node_id self = {};
  /// What `visible` is the state of: the vector applied here, raised by the session's own writes of the key. The
  /// context of the update, unless the operation brings one; the key's excess is joined in.
  const version_vector& context;
};

/// The update that a write is, without seq, clock and depends.
///
///   last_writer_wins, siblings: Put, Remove
///   counter, growing_counter:   Add, without a floor
///   set:                        PutField without a value, RemoveField, Remove
///   map:                        PutField, RemoveField, Remove
///
/// @errors
///   unsupported_operation: not among these.
///   invalid_argument: no write; no field, or above key_bytes_max; an element with a value; a growing counter and a
///     negative number.
///   out_of_range: the sum that is visible, or what this node has added or taken away, would not fit 64 bits.
///   value_too_large, too_many_siblings: see siblings::room_for.
tl::expected<v1::Update, errc> draft(const draft_request& request);

/// Functions of the service that make one value of two: a view like every other, so replicas that run another version
/// of it show something else and store the same.
///
/// Filled before the node starts; from then on any thread may use it.
class resolver_registry {
public:
  /// Merges two concurrent values. Pure.
  using function = std::function<std::string(std::string_view, std::string_view)>;
  /// A value that the service might write, made of `random`: equal numbers give equal values.
  using generator = std::function<std::string(std::uint64_t random)>;

  struct definition {
    std::string id = {};       ///< 1..64 bytes
    std::uint32_t version = 1; ///< 1 and up; a higher one replaces a lower one
    function merge = nullptr;
    generator example = nullptr; ///< null = short strings of few letters and digits
  };

  enum class law : std::uint8_t { idempotence, commutativity, associativity, totality };
  /// merge(a, a) = a; merge(a, b) = merge(b, a); merge(merge(a, b), c) = merge(a, merge(b, c)); totality: it threw,
  /// or made a value above value_bytes_max.
  struct broken {
    law which = law::idempotence;
    std::string a = {}, b = {}, c = {}; ///< the witness
    std::string left = {}, right = {};  ///< what the two sides of the equation were
  };
  using refusal = std::variant<errc, broken>;

  /// Triples that a function is tried on. That finds mistakes, and proves nothing.
  static constexpr std::size_t triples = 1'000;

  /// @errors  invalid_argument: id, version or function missing, or a lower or the same version is known. overloaded:
  ///   resolvers_max are known. Or the law that it breaks.
  tl::expected<void, refusal> add(definition d);

  /// Folds the values of the siblings, in the order of their stamps. @errors invalid_argument: no such id. internal:
  /// the function threw, or made too large a value: what is stored is untouched.
  tl::expected<resolved, errc> resolve(const std::string& id, const sibling_set& state) const;

  /// The same of values that are there already, the oldest first; at least one.
  tl::expected<std::string, errc> fold(const std::string& id, const std::vector<std::string>& values) const;

  /// Its version; 0 = not known.
  std::uint32_t version_of(const std::string& id) const;
  std::size_t size() const { return known_.size(); }

private:
  std::map<std::string, definition> known_;
};

std::string_view name_of(resolver_registry::law l);

} // namespace troupe
