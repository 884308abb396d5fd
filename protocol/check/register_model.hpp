#pragma once
/// The sequential object that a key is: a register with get, put, cas, delete, append and add.
///
/// A history of one key is compiled into `step`s over interned values, so that the search compares integers. Beside
/// the steps stand the facts that its pruning needs: which value a step cannot do without, and which it makes.

#include "protocol/check/history.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace troupe::check {

/// An interned value of one key. 0 = the key is absent.
using value_id = std::uint32_t;

inline constexpr value_id absent_value = 0;
inline constexpr value_id no_value = std::numeric_limits<value_id>::max();

/// The values of one key, each stored once.
class value_table {
public:
  value_id intern(std::string_view text);
  value_id intern_or_absent(const std::optional<std::string>& text) { return text ? intern(*text) : absent_value; }
  value_id intern_integer(std::int64_t number);
  const std::string& text(value_id id) const { return texts_[id]; }

  /// What the value counts as: absent = 0; none if its text is not an integer of 64 bits.
  std::optional<std::int64_t> integer(value_id id) const { return integers_[id]; }

  /// `base` with the text of `suffix` behind it.
  value_id append(value_id base, value_id suffix);

  std::size_t size() const { return texts_.size(); }
  std::size_t bytes() const { return bytes_; }

private:
  std::deque<std::string> texts_{std::string{}}; ///< by id; stable, the map below points into it
  std::vector<std::optional<std::int64_t>> integers_{0};
  std::unordered_map<std::string_view, value_id> ids_;
  std::unordered_map<std::int64_t, value_id> integer_ids_; ///< a short cut around formatting
  std::unordered_map<std::uint64_t, value_id> appended_;   ///< (base, suffix) -> result
  std::size_t bytes_ = 0;
};

inline constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

/// One operation, compiled.
struct step {
  op_kind kind = op_kind::get;
  bool unknown = false; ///< may take effect at any moment after `call`, or never

  /// Given its answers it changes nothing, whatever the state: a get; a cas, delete or add that did not apply.
  bool pure = false;

  std::optional<bool> applied; ///< as the client was told; absent = not told, or nothing to tell
  value_id value = no_value;   ///< get: the result. put, cas: the new value. append: the suffix
  value_id old = no_value;     ///< cas
  std::int64_t delta = 0;
  std::optional<std::int64_t> floor;
  std::optional<std::int64_t> result;

  std::int64_t call = 0;
  std::int64_t returned = never;

  /// The one state in which the answers are possible; `no_value` = more than one is.
  value_id needs = no_value;
  /// The one state that it leaves when it changes anything; `no_value` = it depends, or it never changes anything.
  value_id makes = no_value;

  std::uint32_t effect = 0;     ///< steps of equal kind and arguments
  std::uint32_t constraint = 0; ///< ... and of equal answers
  std::uint32_t source = 0;     ///< index into the operations that were compiled
};

/// A history of one key, ready for the search.
struct compiled_key {
  value_table values;
  std::vector<step> answered; ///< outcome ok, by call
  std::vector<step> unknown;  ///< by (effect, call)
  std::uint32_t effects = 0;
  std::uint32_t constraints = 0;
  bool grows = false; ///< nothing but non-empty appends and pure steps: no state comes twice
};

/// Compiles the operations of one key. Left out: those with outcome fail, and unknown ones that change nothing.
/// @pre every operation is one of get, put, cas, delete, append, add, and is stamped.
compiled_key compile(const std::vector<const operation*>& operations);

/// The state after `applied` in state `from`, or `no_value` if the answers are impossible there. An unknown step that
/// its condition would refuse leaves `from` as it is.
value_id apply(const step& applied, value_id from, value_table& values);

} // namespace troupe::check
