#include "protocol/stream/inbound.hpp"

#include "protocol/mutation.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

namespace troupe {

namespace {

constexpr stream_lane both_lanes[] = {stream_lane::ordered, stream_lane::free};

v1::Lane to_wire(stream_lane lane) { return lane == stream_lane::ordered ? v1::ORDERED : v1::FREE; }

std::string place(const v1::Updates& m) {
  return "lane=" + std::to_string(m.lane()) + " life=" + std::to_string(m.life())
         + " after=" + std::to_string(m.after()) + " upto=" + std::to_string(m.upto());
}

} // namespace

std::string_view name_of(stream_refusal r) {
  switch (r) {
  case stream_refusal::no_life:
    return "no_life";
  case stream_refusal::unknown_lane:
    return "unknown_lane";
  case stream_refusal::backwards:
    return "backwards";
  case stream_refusal::unsorted:
    return "unsorted";
  case stream_refusal::out_of_range:
    return "out_of_range";
  case stream_refusal::foreign_shard:
    return "foreign_shard";
  case stream_refusal::bad_key:
    return "bad_key";
  case stream_refusal::bad_update:
    return "bad_update";
  case stream_refusal::too_large:
    return "too_large";
  case stream_refusal::beyond_the_end:
    return "beyond_the_end";
  case stream_refusal::too_many_lives:
    return "too_many_lives";
  }
  return "unknown";
}

std::uint64_t inbound::counters::refusals() const {
  return std::accumulate(refused.begin(), refused.end(), std::uint64_t{0});
}

inbound::inbound(inbound_options options) : options_{std::move(options)} {}

void inbound::restored(stream_lane lane, std::uint64_t life, std::uint64_t upto) { durable(lane, life, upto); }

// -- the connection
// ---------------------------------------------------------------------------------------------------

void inbound::connected(instant, effects& out) {
  disconnected();
  up_ = true;
  send_acknowledged e{options_.peer, {}};
  e.message.set_view(view_);
  for (auto which : both_lanes) {
    const auto& lives = lanes_[static_cast<std::size_t>(which)].lives;
    std::size_t stated = 0;
    for (auto i = lives.rbegin(); i != lives.rend() && stated < options_.positions_max; ++i, ++stated) {
      auto& p = *e.message.add_positions();
      p.set_life(i->first);
      p.set_lane(to_wire(which));
      p.set_durable(i->second.durable);
    }
  }
  out.push_back(std::move(e));
}

void inbound::disconnected() {
  up_ = owed_ = false;
  for (auto& lane : lanes_) {
    lane.full = false;
    for (auto& [life, s] : lane.lives)
      s.owed = s.missing = s.again = false; // the peer goes on from where it is told with the next connection
  }
}

// -- what arrives
// -----------------------------------------------------------------------------------------------------

std::optional<stream_refusal> inbound::malformed(const v1::Update& u) const {
  using enum stream_refusal;
  if (u.shard() >= options_.stored.size() || !options_.stored[u.shard()]) return foreign_shard;
  if (u.key().empty() || u.key().size() > limits::key_bytes_max || u.field().size() > limits::key_bytes_max)
    return bad_key;
  if (!v1::Update::Kind_IsValid(u.kind()) || u.clock() == 0 || u.decrements() < 0) return bad_update;
  const auto fits = [&](const v1::Vector& v) {
    return static_cast<std::size_t>(v.entries_size()) <= options_.vector_entries_max;
  };
  if (u.value().size() > limits::value_bytes_max || !fits(u.context()) || !fits(u.depends())) return too_large;
  return std::nullopt;
}

/// By itself, whatever came before it.
std::optional<stream_refusal> inbound::malformed(const v1::Updates& m) const {
  using enum stream_refusal;
  if (m.life() == 0) return no_life;
  if (m.lane() != v1::ORDERED && m.lane() != v1::FREE) return unknown_lane;
  if (m.upto() < m.after()) return backwards;
  if (static_cast<std::size_t>(m.updates_size()) > options_.message_updates) return too_large;
  std::uint64_t last = 0;
  for (const auto& u : m.updates()) {
    if (u.seq() <= m.after() || u.seq() > m.upto()) return out_of_range;
    if (u.seq() <= last) return unsorted;
    last = u.seq();
    if (const auto why = malformed(u)) return why;
  }
  return std::nullopt;
}

/// Beside what is known of its life.
std::optional<stream_refusal> inbound::misplaced(const v1::Updates& m) const {
  const auto& lives = lanes_[m.lane() == v1::ORDERED ? 0 : 1].lives;
  const auto found = lives.find(m.life());
  if (found == lives.end())
    return lives.size() < options_.lives_max ? std::nullopt : std::optional{stream_refusal::too_many_lives};
  const auto& s = found->second;
  const bool beyond = s.end && m.upto() > *s.end;
  const bool elsewhere = m.ended() && (s.end ? m.upto() != *s.end : m.upto() < s.taken);
  return beyond || elsewhere ? std::optional{stream_refusal::beyond_the_end} : std::nullopt;
}

void inbound::refuse(stream_refusal why, const v1::Updates& m, effects& out) {
  ++counters_.refused[static_cast<std::size_t>(why)];
  out.push_back(note{"stream.updates_refused",
                     "peer=" + to_string(options_.peer) + " why=" + std::string{name_of(why)} + " " + place(m)});
}

/// Something was dropped that has to come again; asked for once, and then by tick().
void inbound::ask_again(stream& s, instant now) {
  if (s.missing) return;
  s.missing = s.again = owed_ = true;
  s.asked = now;
}

void inbound::receive(v1::Updates m, instant now, effects& out) {
  if (!up_) {
    out.push_back(
        note{"stream.updates_ignored", "peer=" + to_string(options_.peer) + " why=disconnected " + place(m)});
    return;
  }
  if (const auto why = malformed(m)) return refuse(*why, m, out);
  if (const auto why = misplaced(m)) return refuse(*why, m, out);
  const auto which = m.lane() == v1::ORDERED ? stream_lane::ordered : stream_lane::free;
  auto& lane = lanes_[static_cast<std::size_t>(which)];
  auto& s = lane.lives[m.life()];

  if (m.after() > s.taken && !mutated(mutation::gap_not_checked)) {
    ++counters_.gaps;
    if (!s.missing)
      out.push_back(note{"stream.gap",
                         "peer=" + to_string(options_.peer) + " " + place(m) + " taken=" + std::to_string(s.taken)});
    return ask_again(s, now);
  }
  const bool news = m.upto() > s.taken || (m.upto() == s.taken && (m.clock() > s.clock || (m.ended() && !s.end)));
  if (!news) {
    // An acknowledgement may be what is missing there.
    counters_.duplicates += 1 + static_cast<std::uint64_t>(m.updates_size());
    if (!mutated(mutation::update_taken_twice)) {
      s.owed = owed_ = true;
      return;
    }
  }
  std::size_t bytes = 0;
  for (const auto& u : m.updates())
    if (u.seq() > s.taken) bytes += weight_of(u);
  if (bytes > 0 && lane.bytes > 0 && lane.bytes + bytes > options_.unsynced_bytes) {
    ++counters_.full;
    lane.full = true;
    return ask_again(s, now);
  }
  if (bytes > 0) {
    s.unsynced.emplace_back(m.upto(), bytes);
    lane.bytes += bytes;
  }
  take(which, s, m, out);
}

/// It continues what is there, and there is room.
void inbound::take(stream_lane which, stream& s, v1::Updates& m, effects& out) {
  accept e{{options_.peer, m.life()}, which, {}, m.upto(), 0, m.ended()};
  for (auto& u : *m.mutable_updates()) {
    if (u.seq() <= s.taken && !mutated(mutation::update_taken_twice))
      ++counters_.duplicates;
    else
      e.updates.push_back(std::make_shared<const v1::Update>(std::move(u)));
  }
  if (m.upto() > s.taken) s.missing = s.again = false;
  s.taken = std::max(s.taken, m.upto());
  s.clock = std::max(s.clock, m.clock()); // true of a lower prefix, so of this one
  if (m.ended()) s.end = m.upto();
  e.clock = s.clock;
  if (mutated(mutation::update_acknowledged_before_durable)) s.owed = owed_ = true;
  ++counters_.messages;
  counters_.updates += e.updates.size();
  out.push_back(std::move(e));
}

// -- what has become durable
// ------------------------------------------------------------------------------------------

void inbound::durable(stream_lane which, std::uint64_t life, std::uint64_t upto) {
  auto& lane = lanes_[static_cast<std::size_t>(which)];
  auto& s = lane.lives[life];
  if (upto <= s.durable) return;
  s.durable = upto;
  if (upto > s.taken) { // brought by something else than the stream
    s.taken = upto;
    s.missing = s.again = false;
  }
  for (; !s.unsynced.empty() && s.unsynced.front().first <= upto; s.unsynced.pop_front())
    lane.bytes -= s.unsynced.front().second;
  s.owed = owed_ = true;
  if (lane.full && lane.bytes <= options_.unsynced_bytes / 2) lane.full = false;
}

void inbound::state_again(stream_lane which, std::uint64_t life) {
  auto& lives = lanes_[static_cast<std::size_t>(which)].lives;
  if (const auto known = lives.find(life); known != lives.end() && up_) known->second.owed = owed_ = true;
}

void inbound::flush(instant now, effects& out) {
  if (!wants_flush()) return;
  owed_ = false;
  send_acknowledged e{options_.peer, {}};
  e.message.set_view(view_);
  for (auto which : both_lanes) {
    auto& lane = lanes_[static_cast<std::size_t>(which)];
    for (auto& [life, s] : lane.lives) {
      const bool again = s.again && !lane.full;
      if (!s.owed && !again) continue;
      auto& p = *e.message.add_positions();
      p.set_life(life);
      p.set_lane(to_wire(which));
      p.set_durable(mutated(mutation::update_acknowledged_before_durable) ? s.taken : s.durable);
      p.set_again(again);
      s.owed = false;
      if (!again) continue;
      s.again = false;
      s.asked = now;
    }
  }
  if (e.message.positions_size() > 0) out.push_back(std::move(e));
}

void inbound::tick(instant now, effects& out) {
  if (!up_) return;
  for (auto& lane : lanes_)
    for (auto& [life, s] : lane.lives)
      if (s.missing && now >= s.asked + options_.again_after) s.again = owed_ = true;
  flush(now, out);
}

instant inbound::wake_at() const {
  auto when = never;
  if (!up_) return when;
  for (const auto& lane : lanes_)
    for (const auto& [life, s] : lane.lives)
      if (s.missing && !lane.full) when = std::min(when, s.asked + options_.again_after);
  return when;
}

std::uint64_t inbound::taken(stream_lane lane, std::uint64_t life) const {
  const auto& lives = lanes_[static_cast<std::size_t>(lane)].lives;
  const auto found = lives.find(life);
  return found != lives.end() ? found->second.taken : 0;
}

} // namespace troupe
