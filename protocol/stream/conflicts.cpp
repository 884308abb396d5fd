#include "protocol/stream/conflicts.hpp"

#include "protocol/assert.hpp"
#include "protocol/wire.hpp"

#include <charconv>

namespace troupe {

namespace {

/// What an entry takes besides its strings.
constexpr std::size_t entry_bytes = 256;

std::size_t weight(const conflict& c) { return entry_bytes + c.key.size() + c.field.size() + c.value.size(); }

/// Takes `mark` and the decimal number behind it off the front of `text`.
template <class Int> bool take(std::string_view& text, std::string_view mark, Int& out) {
  if (!text.starts_with(mark)) return false;
  text.remove_prefix(mark.size());
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || out == 0) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

} // namespace

std::string to_string(const conflict_id& id) { return std::string{name_of(id.lane)} + "/" + to_string(id.at); }

std::optional<conflict_id> conflict_id_from(std::string_view text) {
  for (const auto lane : {stream_lane::ordered, stream_lane::free}) {
    if (!text.starts_with(name_of(lane))) continue;
    text.remove_prefix(name_of(lane).size());
    conflict_id id{.lane = lane};
    const bool read = take(text, "/n", id.at.from.node.value) && take(text, ".", id.at.from.life)
                      && take(text, ":", id.at.seq) && text.empty();
    return read ? std::optional{id} : std::nullopt;
  }
  return std::nullopt;
}

conflict_ledger::recorded conflict_ledger::record(conflict c) {
  recorded out;
  if (numbers_.contains(c.id)) return out;
  if (weight(c) > bounds_.bytes_max) {
    ++evicted_; // at once: it would push out everything and still not fit
    return out;
  }
  c.number = out.number = ++last_;
  bytes_ += weight(c);
  numbers_.emplace(c.id, c.number);
  entries_.emplace(c.number, std::move(c));
  evict(out.evicted);
  return out;
}

bool conflict_ledger::restore(conflict c) {
  if (c.number == 0 || !c.id.at || entries_.contains(c.number) || numbers_.contains(c.id)) return false;
  last_ = std::max(last_, c.number);
  bytes_ += weight(c);
  numbers_.emplace(c.id, c.number);
  entries_.emplace(c.number, std::move(c));
  return true;
}

const conflict* conflict_ledger::find(const conflict_id& id) const {
  const auto number = numbers_.find(id);
  return number == numbers_.end() ? nullptr : &entries_.at(number->second);
}

std::vector<const conflict*> conflict_ledger::list(std::string_view prefix, std::size_t max) const {
  std::vector<const conflict*> out;
  for (auto i = entries_.rbegin(); i != entries_.rend() && out.size() < max; ++i)
    if (i->second.key.starts_with(prefix)) out.push_back(&i->second);
  return out;
}

std::uint64_t conflict_ledger::remove(const conflict_id& id) {
  const auto number = numbers_.find(id);
  if (number == numbers_.end()) return 0;
  const auto removed = number->second;
  erase(entries_.find(removed));
  return removed;
}

void conflict_ledger::erase(std::map<std::uint64_t, conflict>::iterator i) {
  TROUPE_ASSERT(i != entries_.end());
  bytes_ -= weight(i->second);
  numbers_.erase(i->second.id);
  entries_.erase(i);
}

void conflict_ledger::evict(std::vector<std::uint64_t>& numbers) {
  while (entries_.size() > bounds_.entries_max || bytes_ > bounds_.bytes_max) {
    numbers.push_back(entries_.begin()->first);
    erase(entries_.begin());
    ++evicted_;
  }
}

void to_wire(const conflict& c, v1::Conflict& out) {
  out.Clear();
  out.set_lane(c.id.lane == stream_lane::ordered ? v1::ORDERED : v1::FREE);
  to_wire(c.id.at, *out.mutable_at());
  out.set_key(c.key);
  out.set_field(c.field);
  out.set_value(c.value);
  out.set_clock(c.when.clock);
  to_wire(c.winner, *out.mutable_winner());
  out.set_seen_at_ms(c.seen_at_ms);
  out.set_number(c.number);
  out.set_checksum(checksum_of(out));
}

std::optional<conflict> from_wire(const v1::Conflict& c) {
  if (c.checksum() != checksum_of(c) || (c.lane() != v1::ORDERED && c.lane() != v1::FREE)) return std::nullopt;
  conflict out{.id = {c.lane() == v1::ORDERED ? stream_lane::ordered : stream_lane::free, from_wire(c.at())},
               .key = c.key(),
               .field = c.field(),
               .value = c.value(),
               .when = {c.clock(), {c.at().node()}},
               .winner = from_wire(c.winner()),
               .seen_at_ms = c.seen_at_ms(),
               .number = c.number()};
  if (!out.id.at || out.number == 0) return std::nullopt;
  return out;
}

} // namespace troupe
