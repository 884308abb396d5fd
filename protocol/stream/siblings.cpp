#include "protocol/stream/siblings.hpp"

#include "protocol/assert.hpp"
#include "protocol/digest.hpp"
#include "protocol/limits.hpp"
#include "protocol/mutation.hpp"

#include <algorithm>
#include <tuple>

namespace troupe {

namespace {

/// What a sibling weighs besides its field and value.
constexpr std::size_t sibling_bytes = 64;

std::size_t weight(const sibling& s) { return sibling_bytes + s.field.size() + s.value.size(); }

constexpr auto by_field_and_dot = [](const sibling& a, const sibling& b) {
  const auto c = a.field.compare(b.field);
  return c != 0 ? c < 0 : a.at < b.at;
};

constexpr auto by_field = [](const auto& entry, std::string_view field) { return entry.field < field; };

/// Whether the context of an update `at` covers `d`. Nothing replaces itself, or what its origin accepts later.
bool covers(const v1::Vector& context, const dot& d, const dot& at) {
  for (const auto& e : context.entries()) {
    if (e.node() != d.from.node.value || e.life() != d.from.life) continue;
    if (d.seq <= (d.from == at.from ? std::min(e.seq(), at.seq - 1) : e.seq())) return true;
  }
  return false;
}

bool is_counter(const sibling& s) { return s.kind == sibling_kind::counter; }

/// The sibling that an update is; nothing when it is malformed.
std::optional<sibling> sibling_of(const origin& from, const v1::Update& update) {
  if (from.node == node_id{} || !from || update.seq() == 0 || update.clock() == 0) return std::nullopt;
  sibling s{.at = {from, update.seq()}, .when = {update.clock(), from.node}};
  switch (update.kind()) {
  case v1::Update::PUT:
    s.field = update.field();
    s.value = update.value();
    return s;
  case v1::Update::REMOVE:
    s.kind = sibling_kind::tombstone;
    s.field = update.field();
    return s;
  case v1::Update::COUNTER:
    if (!update.field().empty() || update.number() < 0 || update.decrements() < 0) return std::nullopt;
    s.kind = sibling_kind::counter;
    s.number = update.number();
    s.decrements = update.decrements();
    return s;
  default:
    return std::nullopt;
  }
}

} // namespace

bool beats(const sibling& a, const sibling& b) {
  if (mutated(mutation::winner_by_wall_clock))
    return std::tie(a.when.origin, a.at) > std::tie(b.when.origin, b.at) ? a.when.wall_ms() >= b.when.wall_ms()
                                                                         : a.when.wall_ms() > b.when.wall_ms();
  return std::tie(a.when, a.at) > std::tie(b.when, b.at);
}

void sibling_set::append(const sibling& s) {
  entries_.push_back(s);
  bytes_ += weight(s);
}

bool sibling_set::insert(sibling&& s) {
  const auto i = std::lower_bound(entries_.begin(), entries_.end(), s, by_field_and_dot);
  if (i != entries_.end() && i->at == s.at && i->field == s.field) return false;
  bytes_ += weight(s);
  entries_.insert(i, std::move(s));
  return true;
}

void sibling_set::erase(std::size_t i) {
  bytes_ -= weight(entries_[i]);
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(i));
}

sibling_set::range sibling_set::range_of(std::string_view field) const {
  const auto index = [&](auto i) { return static_cast<std::size_t>(i - entries_.begin()); };
  if (!entries_.empty() && entries_.back().field.empty()) // no fields: the common case
    return field.empty() ? range{0, entries_.size()} : range{entries_.size(), entries_.size()};
  const auto begin = std::lower_bound(entries_.begin(), entries_.end(), field, by_field);
  const auto end = std::upper_bound(begin, entries_.end(), field,
                                    [](std::string_view f, const sibling& s) { return f < s.field; });
  return {index(begin), index(end)};
}

std::span<const sibling> sibling_set::of(std::string_view field) const {
  const auto [begin, end] = range_of(field);
  return std::span{entries_}.subspan(begin, end - begin);
}

const sibling* sibling_set::find(std::string_view field, const dot& at) const {
  for (const auto& s : of(field))
    if (s.at == at) return &s;
  return nullptr;
}

const sibling* sibling_set::counter_of(node_id node) const {
  for (const auto& s : of({}))
    if (is_counter(s) && s.at.from.node == node) return &s;
  return nullptr;
}

std::uint64_t sibling_set::clock() const {
  std::uint64_t highest = 0;
  for (const auto& s : entries_)
    highest = std::max(highest, s.when.clock);
  return highest;
}

/// The last writer of a field: of its values and tombstones, and of the tombstones of the whole key.
const sibling* sibling_set::best_of(std::string_view field) const {
  const sibling* best = nullptr;
  const auto look = [&](const sibling& s) {
    if (!is_counter(s) && (best == nullptr || beats(s, *best))) best = &s;
  };
  for (const auto& s : of(field))
    look(s);
  if (!field.empty())
    for (const auto& s : of({}))
      if (s.kind == sibling_kind::tombstone) look(s);
  return best;
}

// -- excess
// ----------------------------------------------------------------------------------------------------------

version_vector& sibling_set::excess_of(std::string_view field) {
  auto i = std::lower_bound(excess_.begin(), excess_.end(), field, by_field);
  if (i == excess_.end() || i->field != field) i = excess_.insert(i, {std::string{field}, {}});
  return i->vector;
}

bool sibling_set::forget_excess(std::string_view field, const version_vector& received) {
  const auto i = std::lower_bound(excess_.begin(), excess_.end(), field, by_field);
  if (i == excess_.end() || i->field != field) return false;
  const auto before = i->vector.size();
  i->vector.forget(received);
  const auto changed = i->vector.size() != before;
  if (i->vector.empty()) excess_.erase(i);
  return changed;
}

const version_vector* sibling_set::find_excess(std::string_view field) const {
  const auto i = std::lower_bound(excess_.begin(), excess_.end(), field, by_field);
  return i != excess_.end() && i->field == field ? &i->vector : nullptr;
}

bool sibling_set::replaced_already(std::string_view field, const dot& at) const {
  const auto covered_by = [&](std::string_view scope) {
    const auto* excess = find_excess(scope);
    return excess != nullptr && excess->covers(at);
  };
  return !excess_.empty() && (covered_by({}) || (!field.empty() && covered_by(field)));
}

void sibling_set::excess_into(std::string_view field, version_vector& context) const {
  if (const auto* of_key = find_excess({})) context.join(*of_key);
  if (field.empty()) return;
  if (const auto* of_field = find_excess(field)) context.join(*of_field);
}

bool sibling_set::prune(const version_vector& received) {
  bool changed = false;
  for (auto& e : excess_) {
    const auto before = e.vector.size();
    e.vector.forget(received);
    changed |= e.vector.size() != before;
  }
  if (changed) std::erase_if(excess_, [](const replaced& e) { return e.vector.empty(); });
  return changed;
}

/// Keeps what the context of the update covers and has not arrived here.
bool sibling_set::remember(const v1::Update& update, const dot& at, const version_vector& received) {
  if (mutated(mutation::excess_forgotten)) return false;
  bool changed = false;
  version_vector* excess = nullptr;
  for (const auto& e : update.context().entries()) {
    auto d = from_wire(e);
    if (d.from == at.from) d.seq = std::min(d.seq, at.seq - 1);
    if (!d || received.covers(d)) continue;
    if (excess == nullptr) excess = &excess_of(update.field());
    changed |= excess->raise(d);
  }
  return changed;
}

// -- merge
// -----------------------------------------------------------------------------------------------------------

bool sibling_set::drop_replaced(const v1::Update& update, const dot& at) {
  if (update.context().entries_size() == 0) return false;
  // Without a field it concerns the siblings of all fields.
  const auto [begin, end] = update.field().empty() ? range{0, entries_.size()} : range_of(update.field());
  auto kept = begin;
  for (auto i = begin; i < end; ++i) {
    if (!is_counter(entries_[i]) && covers(update.context(), entries_[i].at, at)) {
      bytes_ -= weight(entries_[i]);
      continue;
    }
    if (kept != i) entries_[kept] = std::move(entries_[i]);
    ++kept;
  }
  const auto at_index = [&](std::size_t i) { return entries_.begin() + static_cast<std::ptrdiff_t>(i); };
  if (kept == end) return false;
  entries_.erase(at_index(kept), at_index(end));
  return true;
}

sibling_set::merge_result sibling_set::merge_counter(sibling&& arrived) {
  const auto* known = counter_of(arrived.at.from.node);
  if (known != nullptr) {
    const auto i = static_cast<std::size_t>(known - entries_.data());
    if (mutated(mutation::counter_adds_twice) && known->at == arrived.at) {
      entries_[i].number += arrived.number;
      return {.changed = true};
    }
    if (known->at >= arrived.at) return {};
    erase(i);
  }
  insert(std::move(arrived));
  return {.added = true, .changed = true};
}

sibling_set::merge_result sibling_set::merge(const origin& from, const v1::Update& update, const merge_view& view) {
  auto arrived = sibling_of(from, update);
  if (!arrived) return {};
  const auto at = arrived->at;
  const bool again = view.received.covers(at);
  if (again && !(mutated(mutation::counter_adds_twice) && is_counter(*arrived))) return {};
  if (is_counter(*arrived)) return merge_counter(std::move(*arrived));

  // The context first: it counts whether or not the update itself has been replaced in the meantime.
  merge_result result;
  result.changed |= drop_replaced(update, at);
  if (!excess_.empty()) result.changed |= forget_excess(update.field(), view.received);
  result.changed |= remember(update, at, view.received);
  if (replaced_already(update.field(), at)) return result;
  if (view.losers != nullptr && !entries_.empty() && find(update.field(), at) == nullptr)
    report_losers(*arrived, *view.losers);
  result.added = insert(std::move(*arrived));
  result.changed |= result.added;
  return result;
}

namespace {

void report(const sibling& lost, const sibling& winner, sibling_set::loser_list& out) {
  if (lost.kind != sibling_kind::value || lost.at.from.node != out.origin) return;
  out.lost.push_back({lost.at, lost.when, lost.field, lost.value, winner.at});
}

} // namespace

/// Before `arrived` is inserted; what is there is concurrent with it. Who was not the last writer before has lost
/// already.
void sibling_set::report_losers(const sibling& arrived, loser_list& out) const {
  const auto judge = [&](const sibling* best) {
    if (best == nullptr) return;
    if (beats(arrived, *best))
      report(*best, arrived, out);
    else if (best->field == arrived.field || best->field.empty())
      report(arrived, *best, out);
  };
  judge(best_of(arrived.field));
  if (!arrived.field.empty() || arrived.kind != sibling_kind::tombstone) return;
  for (auto i = range_of({}).end; i < entries_.size(); i = range_of(entries_[i].field).end)
    judge(best_of(entries_[i].field));
}

// -- join
// ------------------------------------------------------------------------------------------------------------

void sibling_set::report_losers(const sibling_set& before, loser_list& out) const {
  for (const auto& s : entries_) {
    if (s.kind != sibling_kind::value || s.at.from.node != out.origin) continue;
    const auto* best = best_of(s.field);
    if (best->at == s.at) continue;
    const auto* was_best = before.best_of(s.field);
    if (was_best == nullptr || was_best->at == s.at || before.find(s.field, s.at) == nullptr) report(s, *best, out);
  }
}

void sibling_set::keep_one_counter_per_node() {
  constexpr auto none = static_cast<std::size_t>(-1);
  auto last = none; // sorted by node, then by age: the later one stays
  for (std::size_t i = 0; i < entries_.size() && entries_[i].field.empty(); ++i) {
    if (!is_counter(entries_[i])) continue;
    if (last != none && entries_[last].at.from.node == entries_[i].at.from.node) {
      erase(last);
      --i;
    }
    last = i;
  }
}

bool sibling_set::join(const sibling_set& other, const join_view& view) {
  sibling_set joined;
  joined.entries_.reserve(std::max(entries_.size(), other.entries_.size()));
  const auto take = [&](const sibling& s, const sibling_set& opposite, const version_vector& known_there) {
    if (is_counter(s) || !(known_there.covers(s.at) || opposite.replaced_already(s.field, s.at))) joined.append(s);
  };
  auto here = entries_.begin();
  auto there = other.entries_.begin();
  while (here != entries_.end() || there != other.entries_.end()) {
    if (there == other.entries_.end() || (here != entries_.end() && by_field_and_dot(*here, *there))) {
      take(*here++, other, view.others);
    } else if (here == entries_.end() || by_field_and_dot(*there, *here)) {
      take(*there++, *this, view.own);
    } else {
      joined.append(*here++);
      ++there;
    }
  }
  joined.keep_one_counter_per_node();

  joined.excess_ = excess_;
  for (const auto& e : other.excess_)
    joined.excess_of(e.field).join(e.vector);
  if (!view.own.contains(view.others)) joined.excess_of({}).join(view.others);
  joined.prune(view.own);
  if (view.losers != nullptr) joined.report_losers(*this, *view.losers);
  const auto changed = joined != *this;
  *this = std::move(joined);
  return changed;
}

// -- tombstones and room
// ---------------------------------------------------------------------------------------------

sibling_set::collection sibling_set::collect_tombstones(const stability& s) {
  collection result;
  // A value that t hides would come back without it.
  const auto hides_any = [&](const sibling& t) {
    const auto [begin, end] = t.field.empty() ? range{0, entries_.size()} : range_of(t.field);
    for (auto i = begin; i < end; ++i)
      if (entries_[i].kind == sibling_kind::value && beats(t, entries_[i])) return true;
    return false;
  };
  std::vector<std::size_t> ripe; // what hides is decided before anything moves
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const auto& t = entries_[i];
    if (t.kind != sibling_kind::tombstone || !s.stable.covers(t.at)) continue;
    if (t.when.clock > s.clock && !mutated(mutation::tombstone_collected_early_weak)) continue;
    if (s.hides && hides_any(t)) {
      ++result.hiding;
      continue;
    }
    ripe.push_back(i);
    bytes_ -= weight(t);
  }
  if (ripe.empty()) return result;
  auto next = ripe.begin();
  auto kept = entries_.begin() + static_cast<std::ptrdiff_t>(ripe.front());
  for (auto i = ripe.front(); i < entries_.size(); ++i) {
    if (next != ripe.end() && *next == i)
      ++next;
    else
      *kept++ = std::move(entries_[i]);
  }
  entries_.erase(kept, entries_.end());
  result.collected = ripe.size();
  return result;
}

std::optional<errc> sibling_set::room_for(const v1::Update& update) const {
  if (update.kind() == v1::Update::COUNTER) return std::nullopt; // one per node
  const auto [begin, end] = update.field().empty() ? range{0, entries_.size()} : range_of(update.field());
  std::size_t same_field = 0, gone = 0, bytes_gone = 0;
  for (auto i = begin; i < end; ++i) {
    const auto& s = entries_[i];
    if (!is_counter(s) && covers(update.context(), s.at, {})) {
      ++gone;
      bytes_gone += weight(s);
    } else if (s.field == update.field()) {
      ++same_field;
    }
  }
  const auto bytes_new = sibling_bytes + update.field().size() + update.value().size();
  if (gone > 0 && bytes_new <= bytes_gone) return std::nullopt;
  if (gone == 0 && same_field + 1 > limits::siblings_max) return errc::too_many_siblings;
  const auto count = entries_.size() - gone + 1;
  if (gone == 0 && count > limits::fields_max) return errc::value_too_large;
  // One value of the largest size always fits, whatever its siblings weigh besides.
  const auto overhead = sibling_bytes * count + limits::key_bytes_max;
  if (bytes_ - bytes_gone + bytes_new > limits::value_bytes_max + overhead) return errc::value_too_large;
  return std::nullopt;
}

// -- wire
// ------------------------------------------------------------------------------------------------------------

namespace {

std::optional<sibling> sibling_of(const v1::Sibling& s) {
  sibling out{.at = {{{s.node()}, s.life()}, s.seq()},
              .when = {s.clock(), {s.node()}},
              .kind = sibling_kind::value,
              .field = s.field(),
              .value = s.value(),
              .number = s.number(),
              .decrements = s.decrements()};
  if (s.node() == 0 || s.life() == 0 || s.seq() == 0 || s.clock() == 0) return std::nullopt;
  if (s.kind() == v1::Sibling::COUNTER) {
    out.kind = sibling_kind::counter;
    const bool valid = s.field().empty() && s.value().empty() && s.number() >= 0 && s.decrements() >= 0;
    return valid ? std::optional{std::move(out)} : std::nullopt;
  }
  if (s.number() != 0 || s.decrements() != 0) return std::nullopt;
  if (s.kind() == v1::Sibling::VALUE) return out;
  out.kind = sibling_kind::tombstone;
  const bool valid = s.kind() == v1::Sibling::TOMBSTONE && s.value().empty();
  return valid ? std::optional{std::move(out)} : std::nullopt;
}

bool is_canonical(const v1::Vector& v) {
  dot last;
  for (const auto& e : v.entries()) {
    const auto d = from_wire(e);
    if (!d || !(last.from < d.from)) return false;
    last = d;
  }
  return v.entries_size() > 0;
}

} // namespace

std::optional<sibling_set> from_wire(const v1::WeakRecord& record) {
  sibling_set out;
  out.entries_.reserve(static_cast<std::size_t>(record.siblings_size()));
  for (const auto& wire : record.siblings()) {
    const auto s = sibling_of(wire);
    if (!s || (!out.entries_.empty() && !by_field_and_dot(out.entries_.back(), *s))) return std::nullopt;
    out.append(*s);
  }
  const auto count = out.entries_.size();
  out.keep_one_counter_per_node();
  if (out.entries_.size() != count) return std::nullopt;
  for (const auto& e : record.excess()) {
    if (!is_canonical(e.vector()) || (!out.excess_.empty() && out.excess_.back().field >= e.field()))
      return std::nullopt;
    out.excess_.push_back({e.field(), from_wire(e.vector())});
  }
  return out;
}

void to_wire(const sibling_set& state, v1::WeakRecord& out) {
  out.Clear();
  for (const auto& s : state.entries_) {
    auto& wire = *out.add_siblings();
    wire.set_node(s.at.from.node.value);
    wire.set_life(s.at.from.life);
    wire.set_seq(s.at.seq);
    wire.set_clock(s.when.clock);
    wire.set_kind(static_cast<v1::Sibling::Kind>(s.kind));
    wire.set_field(s.field);
    wire.set_value(s.value);
    wire.set_number(s.number);
    wire.set_decrements(s.decrements);
  }
  for (const auto& e : state.excess_) {
    auto& wire = *out.add_excess();
    wire.set_field(e.field);
    to_wire(e.vector, *wire.mutable_vector());
  }
}

static_assert(static_cast<int>(sibling_kind::value) == v1::Sibling::VALUE);
static_assert(static_cast<int>(sibling_kind::tombstone) == v1::Sibling::TOMBSTONE);
static_assert(static_cast<int>(sibling_kind::counter) == v1::Sibling::COUNTER);

std::uint64_t hash_of(std::string_view key, const sibling_set& state) {
  digest d;
  d << key;
  bool any = false;
  for (const auto& s : state.entries()) {
    if (s.kind == sibling_kind::tombstone) continue;
    any = true;
    d << std::uint64_t{s.at.from.node.value} << s.at.from.life << s.at.seq << s.when.clock
      << static_cast<std::uint64_t>(s.kind) << s.field << s.value << static_cast<std::uint64_t>(s.number)
      << static_cast<std::uint64_t>(s.decrements);
  }
  return any ? d.value() : 0;
}

} // namespace troupe
