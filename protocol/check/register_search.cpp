#include "protocol/check/register_search.hpp"

#include "protocol/check/state_set.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

/// The reductions, and why none changes the verdict. "Solution" = an order of the operations left that fits.
///
/// pure first       An operation that never changes anything and fits now is taken at once, without alternative: it
///                  may come next, so any solution can be changed to begin with it, and nobody sees that it moved.
/// earliest first   Of two operations equal in arguments and answers, only the one that returns first is tried (of
///                  unknown ones: was called first): in any solution they can be exchanged. An unknown one is not
///                  tried beside an answered one of equal arguments that fits, by the same exchange.
/// no idle unknown  An unknown operation is tried only if it changes the state, and what may come next includes an
///                  operation that depends on what it makes (for adds: on what it makes together with other unknown
///                  ones): otherwise the solution holds without it.
/// last exit        The state is not left while an operation is left that needs exactly this state and no operation
///                  left, called before that one returns, can make the state again.
/// no way back      A counter that is below what an operation that may come next needs is given up when nothing left,
///                  called before that one returns, can raise it; and vice versa.
/// prefixes         Where a value only grows, an append must make a prefix of what the next reader will answer.

namespace troupe::check {

namespace {

/// A set of small integers whose words can be read, to compare sets.
class bit_words {
public:
  explicit bit_words(std::size_t bits) : words_((bits + 63) / 64) {}
  bool test(std::size_t bit) const { return ((words_[bit / 64] >> (bit % 64)) & 1U) != 0; }
  void set(std::size_t bit) { words_[bit / 64] |= std::uint64_t{1} << (bit % 64); }
  void reset(std::size_t bit) { words_[bit / 64] &= ~(std::uint64_t{1} << (bit % 64)); }
  std::uint64_t word(std::size_t index) const { return words_[index]; }

private:
  std::vector<std::uint64_t> words_;
};

/// Operations of one value, sorted; `first` skips those that are taken.
struct queue_of {
  std::vector<std::uint32_t> items;
  std::size_t first = 0; ///< everything before it is taken
};

class register_search {
public:
  /// @param lazy  unknown operations are tried only where no answered one fits: most solutions are found at once that
  ///              way, but when none is found, there may still be one.
  register_search(compiled_key& key, search_budget& budget, bool lazy);
  verdict run();
  std::int64_t furthest() const { return furthest_; }

private:
  /// Operations are numbered: answered ones by position, unknown ones behind them.
  using number = std::uint32_t;

  struct candidate {
    number op = 0;
    value_id after = 0;
    std::int64_t returned = 0;
  };

  /// A state from which there is more than one way, or only one but it was not tried yet.
  struct frame {
    std::size_t trail = 0;            ///< operations taken on arrival, pure ones included
    std::size_t candidates_begin = 0; ///< into candidates_
    std::size_t next = 0;             ///< the next to try
    number top = 0;                   ///< top_ on arrival
  };

  enum class arrival : std::uint8_t { solved, dead, open, out_of_budget };

  const step& at(number op) const { return op < answered_ ? key_.answered[op] : key_.unknown[op - answered_]; }
  bool taken(number op) const { return taken_.test(op); }

  void link_events();
  void index_values();
  bool every_need_can_be_met();

  void take(number op);
  void undo_to(std::size_t trail);

  arrival arrive(value_id state);
  bool remember(value_id state);
  std::int64_t take_pure_and_collect(value_id state);
  void collect_unknown(value_id state, std::int64_t deadline);
  void drop_dominated(std::size_t begin);
  void drop_fatal(std::size_t begin, value_id state);

  number first_left(queue_of& queue, number except) const;
  bool reachable_again(value_id state, number needer, number leaver);
  void count_unknown(const step& it, int sign);
  bool useful(number unknown, value_id made, std::int64_t deadline);
  bool beyond_recall(value_id state);
  bool fits_next_reader(value_id made);

  compiled_key& key_;
  search_budget& budget_;
  const bool lazy_;
  const number answered_;
  const number all_;
  bit_words taken_;
  number top_ = 0;         ///< one past the highest answered operation ever taken on this path
  number first_left_ = 0;  ///< every answered operation before it is taken
  number unknown_top_ = 0; ///< one past the highest unknown operation taken; never lowered
  number answered_left_ = 0;
  std::size_t wildcards_left_ = 0; ///< operations left that may make values nobody can name in advance

  /// What the unknown operations left can do together, see useful().
  struct unknown_reach {
    std::size_t appends = 0;
    std::size_t swaps = 0; ///< cas
    std::size_t adds = 0;
    std::int64_t down = 0; ///< the sum of the negative deltas
    std::int64_t up = 0;   ///< the sum of the positive ones
  };
  unknown_reach unknown_left_;
  bool sums_fit_ = true; ///< every delta is small enough for `down` and `up`

  /// What the last walk saw: operations that may come next, but do not fit or change the state.
  std::vector<number> callable_needers_; ///< those with `needs`
  bool callable_dependent_ = false;      ///< one depends on the state in a way that `needs` cannot say

  /// Events in order of time, calls before returns at equal stamps: node op = its call, node answered_ + op = its
  /// return, the last node = head and end.
  std::vector<number> next_;
  std::vector<number> previous_;

  struct unknown_class {
    number begin = 0;
    number end = 0;
    number used = 0; ///< the first `used` of them are taken
  };
  std::vector<unknown_class> classes_;
  std::vector<number> class_of_; ///< by unknown operation

  std::vector<queue_of> needers_;        ///< by value, by return
  std::vector<queue_of> makers_;         ///< by value, by call
  std::vector<queue_of> unknown_cas_on_; ///< by compared value
  std::vector<number> needer_position_;  ///< by operation
  std::vector<number> maker_position_;
  std::vector<number> reader_position_;
  std::vector<number> cas_position_;
  queue_of raisers_;  ///< all that may make a counter larger, by call
  queue_of lowerers_; ///< ... smaller
  std::vector<number> raiser_position_;
  std::vector<number> lowerer_position_;
  queue_of readers_; ///< where the key grows: its gets, by return

  std::vector<number> trail_;
  std::vector<candidate> candidates_;
  std::vector<frame> frames_;
  state_set entered_;
  std::vector<std::uint64_t> words_;              ///< scratch: the key of a state
  std::vector<std::uint32_t> best_of_constraint_; ///< scratch: position in candidates_, if stamped in this round
  std::vector<std::uint64_t> constraint_round_;
  std::vector<std::uint64_t> effect_round_;
  std::uint64_t round_ = 0;
  std::uint64_t arrivals_ = 0;
  std::int64_t furthest_ = std::numeric_limits<std::int64_t>::min();
};

/// Its answers depend on the state in a way that no single value describes.
bool is_dependent(const step& it) {
  switch (it.kind) {
  case op_kind::cas:
    return it.applied == false;
  case op_kind::remove:
    return it.applied == true;
  case op_kind::append:
    return true;
  case op_kind::add:
    return it.needs == no_value;
  default:
    return false;
  }
}

bool may_raise(const step& it) { return !it.pure && (it.kind != op_kind::add || it.delta > 0); }
bool may_lower(const step& it) { return !it.pure && (it.kind != op_kind::add || it.delta < 0); }

bool is_wildcard(const step& it) { return !it.pure && it.makes == no_value; }

register_search::register_search(compiled_key& key, search_budget& budget, bool lazy)
    : key_(key),
      budget_(budget),
      lazy_(lazy),
      answered_(static_cast<number>(key.answered.size())),
      all_(static_cast<number>(key.answered.size() + key.unknown.size())),
      taken_(all_),
      unknown_top_(answered_),
      answered_left_(answered_),
      best_of_constraint_(key.constraints),
      constraint_round_(key.constraints),
      effect_round_(key.effects) {
  link_events();
  index_values();
}

void register_search::link_events() {
  std::vector<number> events(std::size_t{2} * answered_);
  std::iota(events.begin(), events.end(), number{0});
  const auto moment = [&](number event) {
    return event < answered_ ? std::pair{key_.answered[event].call, 0}
                             : std::pair{key_.answered[event - answered_].returned, 1};
  };
  std::stable_sort(events.begin(), events.end(), [&](number a, number b) { return moment(a) < moment(b); });
  const number head = 2 * answered_;
  next_.resize(head + 1);
  previous_.resize(head + 1);
  number last = head;
  for (const auto event : events) {
    next_[last] = event;
    previous_[event] = last;
    last = event;
  }
  next_[last] = head;
  previous_[head] = last;

  for (number op = answered_; op < all_; ++op) {
    if (classes_.empty() || at(op).effect != at(op - 1).effect)
      classes_.push_back({.begin = op, .end = op, .used = 0});
    classes_.back().end = op + 1;
    class_of_.push_back(static_cast<number>(classes_.size() - 1));
  }
}

void register_search::index_values() {
  needers_.resize(key_.values.size());
  makers_.resize(key_.values.size());
  unknown_cas_on_.resize(key_.values.size());
  needer_position_.resize(all_);
  maker_position_.resize(all_);
  reader_position_.resize(all_);
  raiser_position_.resize(all_);
  lowerer_position_.resize(all_);
  cas_position_.resize(all_);
  for (number op = 0; op < all_; ++op) {
    const auto& it = at(op);
    if (it.needs != no_value) needers_[it.needs].items.push_back(op);
    if (it.makes != no_value) makers_[it.makes].items.push_back(op);
    if (it.unknown && it.kind == op_kind::cas) unknown_cas_on_[it.old].items.push_back(op);
    if (key_.grows && it.kind == op_kind::get) readers_.items.push_back(op);
    if (may_raise(it)) raisers_.items.push_back(op);
    if (may_lower(it)) lowerers_.items.push_back(op);
    if (it.unknown) count_unknown(it, 1);
    wildcards_left_ += is_wildcard(it) && !key_.grows ? 1 : 0;
  }
  const auto by_return = [&](number a, number b) { return at(a).returned < at(b).returned; };
  const auto by_call = [&](number a, number b) { return at(a).call < at(b).call; };
  const auto settle = [](queue_of& queue, auto before, std::vector<number>& positions) {
    std::stable_sort(queue.items.begin(), queue.items.end(), before);
    for (std::size_t i = 0; i < queue.items.size(); ++i)
      positions[queue.items[i]] = static_cast<number>(i);
  };
  for (auto& queue : needers_)
    settle(queue, by_return, needer_position_);
  for (auto& queue : makers_)
    settle(queue, by_call, maker_position_);
  for (auto& queue : unknown_cas_on_)
    settle(queue, by_call, cas_position_);
  settle(readers_, by_return, reader_position_);
  settle(raisers_, by_call, raiser_position_);
  settle(lowerers_, by_call, lowerer_position_);
}

/// Nothing can be explained while some value is needed that neither was there nor will be made in time.
bool register_search::every_need_can_be_met() {
  for (value_id value = absent_value + 1; value < needers_.size(); ++value) {
    const auto needer = first_left(needers_[value], all_);
    if (needer != all_ && !key_.grows && !reachable_again(value, needer, all_)) {
      furthest_ = at(needer).returned;
      return false;
    }
  }
  return true;
}

void register_search::take(number op) {
  trail_.push_back(op);
  taken_.set(op);
  const auto& it = at(op);
  wildcards_left_ -= is_wildcard(it) && !key_.grows ? 1 : 0;
  if (op >= answered_) {
    count_unknown(it, -1);
    ++classes_[class_of_[op - answered_]].used;
    unknown_top_ = std::max(unknown_top_, op + 1);
    return;
  }
  --answered_left_;
  top_ = std::max(top_, op + 1);
  while (first_left_ < answered_ && taken(first_left_))
    ++first_left_;
  for (const auto event : {op, answered_ + op}) {
    next_[previous_[event]] = next_[event];
    previous_[next_[event]] = previous_[event];
  }
}

void register_search::undo_to(std::size_t trail) {
  const auto rewind = [](queue_of& queue, number position) {
    queue.first = std::min(queue.first, std::size_t{position});
  };
  while (trail_.size() > trail) {
    const auto op = trail_.back();
    trail_.pop_back();
    taken_.reset(op);
    const auto& it = at(op);
    wildcards_left_ += is_wildcard(it) && !key_.grows ? 1 : 0;
    if (it.needs != no_value) rewind(needers_[it.needs], needer_position_[op]);
    if (key_.grows && it.kind == op_kind::get) rewind(readers_, reader_position_[op]);
    if (it.makes != no_value) rewind(makers_[it.makes], maker_position_[op]);
    if (may_raise(it)) rewind(raisers_, raiser_position_[op]);
    if (may_lower(it)) rewind(lowerers_, lowerer_position_[op]);
    if (op >= answered_) {
      count_unknown(it, 1);
      if (it.kind == op_kind::cas) rewind(unknown_cas_on_[it.old], cas_position_[op]);
      --classes_[class_of_[op - answered_]].used;
      continue;
    }
    ++answered_left_;
    first_left_ = std::min(first_left_, op);
    for (const auto event : {answered_ + op, op}) {
      next_[previous_[event]] = event;
      previous_[next_[event]] = event;
    }
  }
}

/// The first of `queue` that is not taken and is not `except`; `all_` if there is none.
register_search::number register_search::first_left(queue_of& queue, number except) const {
  while (queue.first < queue.items.size() && taken(queue.items[queue.first]))
    ++queue.first;
  for (auto i = queue.first; i < queue.items.size(); ++i)
    if (queue.items[i] != except && !taken(queue.items[i])) return queue.items[i];
  return all_;
}

/// Can `state`, which `leaver` leaves, be made again in time for `needer`?
bool register_search::reachable_again(value_id state, number needer, number leaver) {
  if (wildcards_left_ > (leaver != all_ && is_wildcard(at(leaver)) ? 1U : 0U)) return true;
  const auto maker = first_left(makers_[state], leaver);
  return maker != all_ && at(maker).call <= at(needer).returned;
}

void register_search::count_unknown(const step& it, int sign) {
  constexpr std::int64_t delta_max = 100'000'000'000; // ten million of them still fit
  const auto one = static_cast<std::size_t>(sign);    // -1 wraps around, as it should
  if (it.kind == op_kind::append) unknown_left_.appends += one;
  if (it.kind == op_kind::cas) unknown_left_.swaps += one;
  if (it.kind != op_kind::add) return;
  unknown_left_.adds += one;
  if (it.delta < -delta_max || it.delta > delta_max)
    sums_fit_ = false;
  else
    (it.delta < 0 ? unknown_left_.down : unknown_left_.up) += sign * it.delta;
}

/// May something that can come next depend on `made`, which `unknown` would make now?
bool register_search::useful(number unknown, value_id made, std::int64_t deadline) {
  const auto& it = at(unknown);
  if (callable_dependent_ || unknown_left_.appends > (it.kind == op_kind::append ? 1U : 0U)) return true;
  if (std::any_of(callable_needers_.begin(), callable_needers_.end(),
                  [&](number op) { return at(op).needs == made; }))
    return true;
  if (made < unknown_cas_on_.size()) {
    const auto next = first_left(unknown_cas_on_[made], unknown);
    if (next != all_ && at(next).call <= deadline) return true;
  }
  const bool adds = it.kind == op_kind::add;
  const auto from = key_.values.integer(made);
  if (!from || unknown_left_.adds == (adds ? 1U : 0U)) return false;
  constexpr std::int64_t from_max = never / 2;
  if (unknown_left_.swaps > 0 || !sums_fit_ || *from < -from_max || *from > from_max) return true;
  const auto least = *from + unknown_left_.down - (adds ? std::min<std::int64_t>(it.delta, 0) : 0);
  const auto most = *from + unknown_left_.up - (adds ? std::max<std::int64_t>(it.delta, 0) : 0);
  return std::any_of(callable_needers_.begin(), callable_needers_.end(), [&](number op) {
    const auto needed = key_.values.integer(at(op).needs);
    return needed && least <= *needed && *needed <= most;
  });
}

bool register_search::beyond_recall(value_id state) {
  if (wildcards_left_ == 0) return false; // the last exit is exact enough
  const auto now = key_.values.integer(state);
  if (!now) return false;
  const auto raiser = first_left(raisers_, all_);
  const auto lowerer = first_left(lowerers_, all_);
  return std::any_of(callable_needers_.begin(), callable_needers_.end(), [&](number op) {
    const auto needed = key_.values.integer(at(op).needs);
    if (!needed || *needed == *now) return false;
    const auto way = *now < *needed ? raiser : lowerer;
    return way == all_ || at(way).call > at(op).returned;
  });
}

bool register_search::fits_next_reader(value_id made) {
  const auto reader = first_left(readers_, all_);
  return reader == all_ || std::string_view{key_.values.text(at(reader).value)}.starts_with(key_.values.text(made));
}

/// One walk over the operations that may come next. Returns the moment by which one of them must.
std::int64_t register_search::take_pure_and_collect(value_id state) {
  const number head = 2 * answered_;
  callable_needers_.clear();
  callable_dependent_ = false;
  for (auto event = next_[head]; event != head; event = next_[event]) {
    if (event >= answered_) return at(event - answered_).returned;
    const auto& it = at(event);
    const auto after = apply(it, state, key_.values);
    if (it.pure && after != no_value) {
      const auto before = previous_[event];
      take(event);
      event = before;
      continue;
    }
    if (it.needs != no_value) callable_needers_.push_back(event);
    callable_dependent_ = callable_dependent_ || is_dependent(it);
    if (after != no_value) candidates_.push_back({.op = event, .after = after, .returned = it.returned});
  }
  return never;
}

void register_search::collect_unknown(value_id state, std::int64_t deadline) {
  for (const auto& group : classes_) {
    const auto op = group.begin + group.used;
    if (op == group.end || at(op).call > deadline || effect_round_[at(op).effect] == round_) continue;
    const auto after = apply(at(op), state, key_.values);
    if (after != state && useful(op, after, deadline))
      candidates_.push_back({.op = op, .after = after, .returned = never});
  }
}

/// Keeps of equal answered operations the one that returns first, and stamps the effects that are there.
void register_search::drop_dominated(std::size_t begin) {
  ++round_;
  auto kept = begin;
  for (auto i = begin; i < candidates_.size(); ++i) {
    const auto& it = at(candidates_[i].op);
    effect_round_[it.effect] = round_;
    if (constraint_round_[it.constraint] == round_) {
      auto& best = candidates_[best_of_constraint_[it.constraint]];
      if (candidates_[i].returned < best.returned) best = candidates_[i];
      continue;
    }
    constraint_round_[it.constraint] = round_;
    best_of_constraint_[it.constraint] = static_cast<std::uint32_t>(kept);
    candidates_[kept++] = candidates_[i];
  }
  candidates_.resize(kept);
}

void register_search::drop_fatal(std::size_t begin, value_id state) {
  const auto fatal = [&](const candidate& it) {
    if (key_.grows && !fits_next_reader(it.after)) return true;
    if (it.after == state || state >= needers_.size()) return false;
    const auto needer = first_left(needers_[state], it.op);
    return needer != all_ && !reachable_again(state, needer, it.op);
  };
  candidates_.erase(
      std::remove_if(candidates_.begin() + static_cast<std::ptrdiff_t>(begin), candidates_.end(), fatal),
      candidates_.end());
}

bool register_search::remember(value_id state) {
  const auto words_of = [&](number begin, number end) {
    const auto first = begin / 64;
    const auto last = end == 0 ? 0 : (end + 63) / 64;
    for (auto i = first; i < last; ++i)
      words_.push_back(taken_.word(i));
  };
  words_.assign(2, 0);
  const auto answered_end = std::max(top_, first_left_);
  words_of(first_left_, answered_end);
  words_[0] = (std::uint64_t{first_left_ / 64} << 32) | state;
  words_[1] = words_.size();
  // The word where answered and unknown operations meet may stand in both halves; that is harmless.
  if (unknown_top_ > answered_) words_of(answered_, unknown_top_);
  while (words_.size() > words_[1] && words_.back() == 0)
    words_.pop_back();
  return entered_.insert(words_);
}

register_search::arrival register_search::arrive(value_id state) {
  const auto begin = candidates_.size();
  const auto deadline = take_pure_and_collect(state);
  if (answered_left_ == 0) return arrival::solved;
  furthest_ = std::max(furthest_, deadline);
  if (beyond_recall(state) || !remember(state)) {
    candidates_.resize(begin);
    return arrival::dead;
  }
  constexpr std::uint64_t arrivals_between_questions = 256;
  if (budget_.states_left == 0 || entered_.bytes() + key_.values.bytes() > budget_.memory_bytes_max
      || budget_.gave_up)
    return arrival::out_of_budget;
  if (++arrivals_ % arrivals_between_questions == 0 && budget_.give_up) budget_.gave_up = budget_.give_up();
  --budget_.states_left;
  drop_dominated(begin);
  if (!lazy_) collect_unknown(state, deadline);
  drop_fatal(begin, state);
  if (lazy_ && candidates_.size() == begin) {
    collect_unknown(state, deadline);
    drop_fatal(begin, state);
  }
  if (candidates_.size() == begin) return arrival::dead;
  std::stable_sort(candidates_.begin() + static_cast<std::ptrdiff_t>(begin), candidates_.end(),
                   [](const candidate& a, const candidate& b) { return a.returned < b.returned; });
  frames_.push_back({.trail = trail_.size(), .candidates_begin = begin, .next = begin, .top = top_});
  return arrival::open;
}

verdict register_search::run() {
  if (!every_need_can_be_met()) return verdict::no;
  auto arrived = arrive(absent_value);
  while (arrived != arrival::solved) {
    if (arrived == arrival::out_of_budget) return verdict::undecided;
    if (frames_.empty()) return verdict::no;
    auto& here = frames_.back();
    undo_to(here.trail);
    top_ = here.top;
    if (here.next == candidates_.size()) {
      candidates_.resize(here.candidates_begin);
      frames_.pop_back();
      continue;
    }
    const auto chosen = candidates_[here.next++];
    take(chosen.op);
    arrived = arrive(chosen.after);
  }
  return verdict::yes;
}

} // namespace

search_result search(compiled_key& key, search_budget& budget) {
  std::int64_t furthest = std::numeric_limits<std::int64_t>::min();
  if (!key.unknown.empty()) {
    // Most histories that have an order have one of this kind; a bounded try costs little beside the full search.
    const auto states_for_lazy = std::min<std::uint64_t>(budget.states_left / 4, 1000 + 20 * key.answered.size());
    auto some = budget;
    some.states_left = states_for_lazy;
    register_search lazy{key, some, true};
    const auto found = lazy.run();
    budget.states_left -= states_for_lazy - some.states_left;
    budget.gave_up = some.gave_up;
    if (found == verdict::yes) return {.found = found, .furthest = lazy.furthest()};
    furthest = lazy.furthest();
  }
  register_search full{key, budget, false};
  const auto found = full.run();
  return {.found = found, .furthest = std::max(furthest, full.furthest())};
}

} // namespace troupe::check
