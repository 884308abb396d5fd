#include "protocol/check/witness.hpp"

#include "protocol/check/register_model.hpp"
#include "protocol/check/witness_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

/// The cuts, and why each is honest (were the operations before the cut linearizable, those after it would be, too).
///
/// prefix   Everything called after some moment is dropped, and what was open then becomes unknown.
/// restart  A put or delete that overlaps nothing answered fixes the state: what was answered before it is dropped.
/// window   What returned before some moment is dropped, what was open then becomes unknown, and the key starts with
/// a
///          value of our choice. Honest because the part is refuted for every value that could make a difference.
/// reader   An operation that changes nothing is dropped.
/// answer   Whether a delete found the key is forgotten, or what an add was answered: it becomes unknown.
/// writer   An operation that makes a value is dropped if nothing left needs that value or depends on it otherwise:
/// in
///          an order of the whole, what follows it until the next write holds without it.
/// A cut is taken only if the part is still refuted, and no value that is read has lost its writer.

namespace troupe::check {

namespace {

using operations = std::vector<operation>;
using text_value = std::optional<std::string>;

constexpr std::size_t removal_operations_max = 2000;

bool answered(const operation& op) { return op.outcome == op_outcome::ok; }

bool changes_nothing(const operation& op) {
  return op.kind == op_kind::get || (answered(op) && op.applied == false)
         || (op.kind == op_kind::cas && op.old == op.value);
}

std::optional<std::int64_t> integer_of(const text_value& value) {
  if (!value) return 0;
  std::int64_t number = 0;
  const auto* end = value->data() + value->size();
  const auto [stop, error] = std::from_chars(value->data(), end, number);
  return error == std::errc{} && stop == end ? std::optional{number} : std::nullopt;
}

/// Was told its result, so it stands for one edge from value to value.
bool told_result(const operation& op) { return op.kind == op_kind::add && answered(op) && op.result.has_value(); }

/// The number that an add which was told its result must have found.
std::optional<std::int64_t> number_before(const operation& op) {
  std::int64_t before = 0;
  if (!told_result(op) || __builtin_sub_overflow(*op.result, *op.delta, &before)) return std::nullopt;
  return before;
}

/// Could this operation be impossible, or act otherwise, when the key does not hold `value`?
bool needs(const operation& op, const text_value& value) {
  if (op.kind == op_kind::get) return answered(op) && op.value == value;
  if (op.kind == op_kind::cas) return op.old == value && (op.outcome == op_outcome::unknown || op.applied == true);
  const auto before = number_before(op);
  return before && before == integer_of(value);
}

bool makes(const operation& op, const text_value& value) {
  if (op.outcome == op_outcome::fail || changes_nothing(op)) return false;
  if (op.kind == op_kind::put || op.kind == op_kind::cas) return op.value == value;
  if (op.kind == op_kind::remove) return !value;
  if (told_result(op)) return value == std::to_string(*op.result);
  return true; // append, add without a result: it may
}

/// Depends on the state in another way than through one needed value.
bool depends(const operation& op) {
  if (!answered(op)) return false;
  return (op.kind == op_kind::cas && op.applied == false) || (op.kind == op_kind::remove && op.applied)
         || (op.kind == op_kind::add && !op.result);
}

/// The values that answers in `part` need; for an add the value before it.
std::vector<text_value> needed_values(const operations& part) {
  std::vector<text_value> result;
  for (const auto& op : part) {
    if (!answered(op)) continue;
    if (op.kind == op_kind::get)
      result.push_back(op.value);
    else if (op.kind == op_kind::cas && op.applied == true)
      result.push_back(op.old);
    else if (const auto before = number_before(op); before && *before != 0)
      result.push_back(std::to_string(*before));
  }
  return result;
}

bool has_writer(const operations& part, const text_value& value) {
  return !value || std::any_of(part.begin(), part.end(), [&](const operation& op) { return makes(op, value); });
}

/// May `part[index]` be dropped without making a linearizable part look otherwise?
bool removable(const operations& part, std::size_t index) {
  const auto& removed = part[index];
  if (changes_nothing(removed)) return true;
  if (removed.kind == op_kind::add && !told_result(removed)) return false;
  text_value made = removed.value;
  if (removed.kind == op_kind::add) made = std::to_string(*removed.result);
  for (std::size_t i = 0; i < part.size(); ++i) {
    const auto& other = part[i];
    if (i == index) continue;
    if (needs(other, made)) return false;
    if (depends(other) && *other.returned >= *removed.call) return false;
    const bool relative = other.kind == op_kind::append || (other.kind == op_kind::add && !told_result(other));
    if (relative && removed.kind == op_kind::remove) return false;
    if (other.kind == op_kind::append || removed.kind == op_kind::append) {
      // What is appended to the value shows in every later answer.
      const auto contains = [&](const text_value& text) { return text && text->find(*made) != std::string::npos; };
      if (made->empty() || (other.kind == op_kind::get && contains(other.value))
          || (other.kind == op_kind::cas && contains(other.old)) || other.kind == op_kind::add)
        return false;
    }
    if (relative && other.kind == op_kind::add && integer_of(made)) return false;
  }
  return true;
}

operation weakened(operation open) {
  open.outcome = op_outcome::unknown;
  open.returned.reset();
  open.applied.reset();
  open.result.reset();
  return open;
}

/// A client does not go on after an unknown outcome: what the cuts made unknown gets a client id of its own.
void part_clients(operations& part) {
  for (std::size_t i = 0; i < part.size(); ++i) {
    auto& op = part[i];
    const bool goes_on = op.outcome == op_outcome::unknown
                         && std::any_of(part.begin() + static_cast<std::ptrdiff_t>(i) + 1, part.end(),
                                        [&](const operation& later) { return later.client == op.client; });
    if (!goes_on) continue;
    const bool text = op.client.front() == '"';
    const auto name = text ? op.client.substr(1, op.client.size() - 2) : op.client;
    op.client = '"' + name + ", call at " + std::to_string(*op.call) + '"';
  }
}

/// The moments of return, sorted.
std::vector<std::int64_t> returns_of(const operations& part) {
  std::vector<std::int64_t> moments;
  for (const auto& op : part)
    if (answered(op)) moments.push_back(*op.returned);
  std::sort(moments.begin(), moments.end());
  return moments;
}

/// What is known at `moment`: what was called by then, and the answers by then.
operations prefix_until(const operations& all, std::int64_t moment) {
  operations part;
  for (const auto& op : all) {
    if (*op.call > moment) break;
    if (!answered(op) || *op.returned <= moment)
      part.push_back(op);
    else if (op.kind != op_kind::get)
      part.push_back(weakened(op));
  }
  return part;
}

/// What happened from `moment` on, or may have.
operations window_from(const operations& all, std::int64_t moment) {
  operations part;
  for (const auto& op : all) {
    if (!answered(op) || *op.call >= moment)
      part.push_back(op);
    else if (*op.returned >= moment && op.kind != op_kind::get)
      part.push_back(weakened(op));
  }
  return part;
}

operation start_with(const operations& part, const text_value& value) {
  operation start;
  start.client = "\"before\"";
  start.key = part.front().key;
  start.kind = value ? op_kind::put : op_kind::remove;
  start.value = value;
  constexpr auto first_moment = std::numeric_limits<std::int64_t>::min();
  start.call = std::max(*part.front().call, first_moment + 1) - 1;
  start.returned = start.call;
  return start;
}

/// Every value with which the key may start so that it makes a difference to `part`; nothing if they cannot be
/// listed.
///
/// A value that no answer needs leads nowhere but over unknown operations to one that is needed, and starting there,
/// with those operations still to come, is no worse. So the needed values do, and one other; only where answers are
/// possible in a range of values (an add that was refused, say) every integer in reach is tried.
std::optional<std::vector<text_value>> starts_of(const operations& part) {
  constexpr std::int64_t integers_max = 2000;
  constexpr std::int64_t delta_max = 1'000'000;
  constexpr std::int64_t magnitude_max = std::numeric_limits<std::int64_t>::max() / 8;
  auto result = needed_values(part);
  bool counter = false;
  bool ranges = false; // there are answers that are possible in a range of values
  std::int64_t least = never;
  std::int64_t most = -never;
  std::int64_t down = 0; // what the adds without a result can do together
  std::int64_t up = 0;
  const auto widen = [&](std::int64_t number) {
    least = std::min(least, number);
    most = std::max(most, number);
  };
  for (const auto& value : result)
    if (const auto number = integer_of(value)) widen(*number);
  for (const auto& op : part) {
    if (op.kind == op_kind::append) return std::nullopt;
    ranges = ranges || depends(op);
    if (op.kind == op_kind::cas) {
      result.push_back(op.old);
      if (const auto number = integer_of(op.old)) widen(*number);
    }
    if (op.kind != op_kind::add) continue;
    counter = true;
    if (*op.delta < -delta_max || *op.delta > delta_max) return std::nullopt;
    if (op.floor && (*op.floor < -magnitude_max || *op.floor > magnitude_max)) return std::nullopt;
    if (op.floor) widen(*op.floor - *op.delta);
    if (const auto before = number_before(op)) widen(*before);
    if (!told_result(op)) (*op.delta < 0 ? down : up) += std::abs(*op.delta);
  }
  if (counter) result.emplace_back("0");
  if (counter && ranges) {
    if (least > most) widen(0);
    if (least < -magnitude_max || most > magnitude_max || most - least + down + up > integers_max)
      return std::nullopt;
    for (auto number = least - up - 1; number <= most + down + 1; ++number)
      result.emplace_back(std::to_string(number));
  }
  result.emplace_back(std::nullopt);
  std::string other = "some other value";
  while (std::any_of(part.begin(), part.end(), [&](const operation& op) { return op.value == other; }))
    other += '\'';
  result.emplace_back(std::move(other));
  std::vector<text_value> distinct;
  for (auto& value : result)
    if (std::find(distinct.begin(), distinct.end(), value) == distinct.end()) distinct.push_back(std::move(value));
  return distinct;
}

/// Makes the part smaller, cut by cut.
class shrinker {
public:
  shrinker(operations part, search_budget budget) : part_(std::move(part)), budget_(std::move(budget)) {}

  /// From a part that is refuted as a whole.
  void shrink() {
    list_orphans();
    cut_prefix();
    if (!cut_restart() && part_.size() > window_not_below && cut_window()) cut_prefix();
    remove_operations();
  }

  /// From a part of which nothing is known; false if no window of it is refuted.
  bool shrink_to_window() {
    list_orphans();
    if (!cut_window()) return false;
    cut_prefix();
    remove_operations();
    return true;
  }

  operations take() { return std::move(part_); }
  bool assumed_start() const { return assumed_start_; }

  bool refuted(const operations& part, std::uint64_t states_max = never) {
    return judge(part, states_max) == verdict::no;
  }
  bool linearizable(const operations& part) { return judge(part) == verdict::yes; }

private:
  static constexpr std::size_t window_not_below = 24;        ///< a part that is small already needs no window
  static constexpr std::uint64_t states_per_start = 100'000; ///< more is not worth it: another window may do

  verdict judge(const operations& part, std::uint64_t states_max = never) {
    std::vector<const operation*> pointers;
    pointers.reserve(part.size());
    for (const auto& op : part)
      pointers.push_back(&op);
    auto key = compile(pointers);
    auto some = budget_;
    some.states_left = std::min(states_max, budget_.states_left);
    const auto before = some.states_left;
    const auto result = search(key, some);
    budget_.states_left -= before - some.states_left;
    budget_.gave_up = some.gave_up;
    return result.found;
  }

  void list_orphans() {
    for (const auto& value : needed_values(part_))
      if (!has_writer(part_, value)) orphans_.push_back(value);
  }

  /// No value is read whose writer was cut off.
  bool complete(const operations& part) const {
    const auto needed = needed_values(part);
    return std::all_of(needed.begin(), needed.end(), [&](const text_value& value) {
      return has_writer(part, value) || std::find(orphans_.begin(), orphans_.end(), value) != orphans_.end();
    });
  }

  void cut_prefix() {
    const auto moments = returns_of(part_);
    std::size_t refuted_at = moments.size() - 1;
    for (std::size_t low = 0; low < refuted_at;) {
      const auto middle = low + (refuted_at - low) / 2;
      if (holds(prefix_until(part_, moments[middle])))
        refuted_at = middle;
      else
        low = middle + 1;
    }
    part_ = prefix_until(part_, moments[refuted_at]);
  }

  bool cut_restart() {
    constexpr int trials_max = 16;
    int trials = 0;
    std::int64_t later = never; // the first call after the operation looked at
    for (auto i = part_.size(); i-- > 0 && trials < trials_max; later = *part_[i].call) {
      const auto& op = part_[i];
      if (!answered(op) || (op.kind != op_kind::put && op.kind != op_kind::remove) || *op.returned >= later) continue;
      const bool alone = std::none_of(part_.begin(), part_.begin() + static_cast<std::ptrdiff_t>(i),
                                      [&](const operation& o) { return answered(o) && *o.returned >= *op.call; });
      if (!alone) continue;
      ++trials;
      operations rest;
      for (const auto& kept : part_)
        if (!answered(kept) || *kept.call >= *op.call) rest.push_back(kept);
      if (rest.size() < part_.size() && complete(rest) && refuted(rest)) {
        part_ = std::move(rest);
        return true;
      }
    }
    return false;
  }

  static operations started_with(const text_value& value, const operations& window) {
    operations started{start_with(window, value)};
    started.insert(started.end(), window.begin(), window.end());
    return started;
  }

  bool refuted_from_all(const std::vector<text_value>& starts, const operations& window) {
    return std::all_of(starts.begin(), starts.end(), [&](const text_value& value) {
      return refuted(started_with(value, window), states_per_start);
    });
  }

  /// Is the part refuted, with every value that it may start with if it has an assumed start?
  bool holds(const operations& part) {
    if (!refuted(part)) return false;
    if (!assumed_start_) return true;
    const operations window{part.begin() + 1, part.end()};
    const auto starts = starts_of(window);
    return starts && refuted_from_all(*starts, window);
  }

  /// For a key that is never at rest. Tries windows of growing length from the end.
  bool cut_window() {
    constexpr std::size_t window_max = 1024;
    const auto moments = returns_of(part_);
    for (std::size_t length = 2; length < std::min(moments.size(), window_max); length *= 2) {
      auto window = window_from(part_, moments[moments.size() - length]);
      if (window.empty()) continue; // gets that were open at its beginning
      const auto starts = starts_of(window);
      if (!starts) continue;
      const auto shown = std::find_if(starts->begin(), starts->end(),
                                      [&](const text_value& value) { return complete(started_with(value, window)); });
      if (shown == starts->end() || !refuted_from_all(*starts, window)) continue;
      part_ = started_with(*shown, window);
      assumed_start_ = true;
      return true;
    }
    return false;
  }

  void remove_operations() {
    if (part_.size() > removal_operations_max) return;
    forget_deletes();
    for (bool smaller = true; smaller;) {
      smaller = false;
      for (auto chunk = std::max<std::size_t>(part_.size() / 2, 1);; chunk /= 2) {
        for (std::size_t begin = 0; begin < part_.size();) {
          const bool removed = remove_chunk(begin, chunk);
          smaller = smaller || removed;
          if (!removed) begin += chunk;
        }
        if (chunk == 1) break;
      }
    }
    forget_adds();
  }

  /// Whether a delete found the key is seldom the point, and while it matters, few writes can go.
  void forget_deletes() {
    auto rest = part_;
    for (auto& op : rest)
      if (op.kind == op_kind::remove && op.applied == true) op.applied.reset();
    if (rest != part_ && holds(rest)) part_ = std::move(rest);
  }

  /// Adds depend on each other in a long chain, so few can go; but most answers can be forgotten.
  void forget_adds() {
    constexpr std::size_t small_enough = 12;
    if (part_.size() <= small_enough) return;
    for (auto chunk = part_.size() / 2; chunk > 0; chunk /= 2) {
      for (std::size_t begin = 0; begin < part_.size(); begin += chunk) {
        auto rest = part_;
        for (auto i = begin; i < std::min(begin + chunk, rest.size()); ++i)
          if (rest[i].kind == op_kind::add && answered(rest[i])) rest[i] = weakened(rest[i]);
        if (rest != part_ && complete(rest) && holds(rest)) part_ = std::move(rest);
      }
    }
  }

  /// Tries to do without what may be removed of part_[begin, begin + length).
  bool remove_chunk(std::size_t begin, std::size_t length) {
    auto rest = part_;
    for (auto i = std::min(begin + length, rest.size()); i-- > begin;) {
      if ((i == 0 && assumed_start_) || !removable(rest, i)) continue;
      rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (rest.size() == part_.size() || !complete(rest) || !holds(rest)) return false;
    part_ = std::move(rest);
    return true;
  }

  operations part_;
  search_budget budget_;
  std::vector<text_value> orphans_; ///< values that are read, but nobody in the whole history wrote
  bool assumed_start_ = false;
};

operations by_call(const std::vector<const operation*>& all) {
  operations part;
  for (const auto* op : all)
    if (op->outcome != op_outcome::fail) part.push_back(*op);
  std::stable_sort(part.begin(), part.end(),
                   [](const operation& a, const operation& b) { return *a.call < *b.call; });
  return part;
}

witness finish(shrinker& work, const std::vector<const operation*>& all) {
  witness result;
  result.key = all.front()->key;
  result.key_operations = all.size();
  result.assumed_start = work.assumed_start();
  result.operations = work.take();
  part_clients(result.operations);
  for (std::size_t i = 1; i < result.operations.size(); ++i) {
    const auto& best = result.operations[result.culprit];
    const auto& op = result.operations[i];
    if (answered(op) && (!answered(best) || *op.returned >= *best.returned)) result.culprit = i;
  }
  auto without = result.operations;
  without.erase(without.begin() + static_cast<std::ptrdiff_t>(result.culprit));
  explain(result, all, work.linearizable(without));
  return result;
}

} // namespace

witness make_witness(const std::vector<const operation*>& all, std::int64_t trouble, search_budget budget) {
  constexpr std::size_t whole_is_quick = 2000;
  if (all.size() > whole_is_quick) {
    auto half = budget;
    half.states_left /= 2;
    if (auto window = refute_window(all, trouble, std::move(half))) return std::move(*window);
    budget.states_left /= 2;
  }
  shrinker work{by_call(all), std::move(budget)};
  work.shrink();
  return finish(work, all);
}

std::optional<witness> refute_window(const std::vector<const operation*>& all, std::int64_t trouble,
                                     search_budget budget) {
  // The trouble may be an answer given later, for which the search kept the state, in vain.
  constexpr std::array<std::size_t, 4> later{0, 32, 128, 512};
  const auto part = by_call(all);
  const auto moments = returns_of(part);
  const auto first =
      static_cast<std::size_t>(std::lower_bound(moments.begin(), moments.end(), trouble) - moments.begin());
  for (const auto steps : later) {
    if (first + steps >= moments.size()) break;
    auto some = budget;
    some.states_left /= later.size();
    shrinker work{prefix_until(part, moments[first + steps]), std::move(some)};
    if (work.shrink_to_window()) return finish(work, all);
  }
  return std::nullopt;
}

} // namespace troupe::check
