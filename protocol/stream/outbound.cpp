#include "protocol/stream/outbound.hpp"

#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace troupe {

namespace {

constexpr stream_lane both_lanes[] = {stream_lane::ordered, stream_lane::free};
constexpr int patience_max = 16;

v1::Lane to_wire(stream_lane lane) { return lane == stream_lane::ordered ? v1::ORDERED : v1::FREE; }

std::string place(stream_lane lane, std::uint64_t life) {
  return "lane=" + std::string{name_of(lane)} + " life=" + std::to_string(life);
}

} // namespace

outbound::outbound(outbound_options options) : options_{std::move(options)} {
  TROUPE_ASSERT(options_.message_updates > 0 && options_.read_bytes > 0);
}

void outbound::earlier_life(stream_lane lane, std::uint64_t life, std::uint64_t last_seq, effects& out) {
  if (life == 0 || last_seq == 0) return; // there is nothing to say about it
  auto& lives = of(lane).lives;
  if (lives.size() >= options_.lives_max && !lives.contains(life)) {
    out.push_back(note{"stream.too_many_lives", "peer=" + to_string(options_.peer) + " " + place(lane, life)});
    return;
  }
  auto& s = lives[life];
  s.durable = last_seq;
  s.ended = true;
  s.due = instant::min();
  const auto said = of(lane).said.find(life);
  if (said == of(lane).said.end()) return;
  position_message p;
  p.set_life(life);
  p.set_lane(to_wire(lane));
  p.set_durable(std::min(said->second, last_seq));
  of(lane).said.erase(said);
  acknowledge(p, true, instant::min(), out);
}

// -- what this node has
// -----------------------------------------------------------------------------------------------

/// @return false: no room, and nothing was done.
bool outbound::append(lane_state& lane, stream& s, const shared_update& update, bool whatever_it_weighs) {
  if (!meant(*update)) return true;
  const auto bytes = weight_of(*update);
  if (!whatever_it_weighs && lane.bytes > 0 && lane.bytes + bytes > options_.queue_bytes) return false;
  s.queue.push_back({update->seq(), bytes, update});
  lane.bytes += bytes;
  return true;
}

void outbound::durable(const own_updates& own, instant now, effects& out) {
  if (own.life < running_ || own.life == 0) {
    out.push_back(note{"stream.old_life", "peer=" + to_string(options_.peer) + " " + place(own.lane, own.life)});
    return;
  }
  if (own.life > running_) {
    for (auto& lane : lanes_)
      if (const auto former = lane.lives.find(running_); former != lane.lives.end()) {
        former->second.ended = true;
        former->second.due = now;
      }
    running_ = own.life;
  }
  auto& lane = of(own.lane);
  auto& s = lane.lives[own.life];
  if (own.upto < s.durable || (own.upto == s.durable && own.clock <= s.clock)) return;
  // What does not follow directly, or finds no room, is read from the log when its turn comes.
  if (s.covered == s.durable)
    for (const auto& u : own.updates) {
      if (u->seq() <= s.covered) continue;
      if (u->seq() != s.covered + 1 || u->seq() > own.upto || !append(lane, s, u, false)) break;
      s.covered = u->seq();
    }
  s.durable = own.upto;
  s.clock = std::max(s.clock, own.clock);
  if (s.due == never) s.due = now + options_.state_after;
}

// -- where the peer is
// ------------------------------------------------------------------------------------------------

void outbound::connected(instant now) {
  disconnected();
  up_ = true;
  for (auto& lane : lanes_) {
    lane.read_again = now;
    for (auto& [life, s] : lane.lives)
      s.gone.reset(); // it may have been brought further meanwhile
  }
}

void outbound::disconnected() {
  up_ = placed_ = false;
  for (auto& lane : lanes_) {
    lane.said.clear();
    for (auto& [life, s] : lane.lives) {
      go_to(lane, s, s.acked);
      s.end_sent = s.placed = false;
    }
  }
}

/// What is sent next follows `position`.
void outbound::go_to(lane_state& lane, stream& s, std::uint64_t position) {
  for (std::size_t i = 0; i < s.next; ++i)
    lane.in_flight -= s.queue[i].bytes;
  s.next = 0;
  if (position < s.base || position > s.covered) {
    for (const auto& w : s.queue)
      lane.bytes -= w.bytes;
    s.queue.clear();
    s.base = s.covered = position;
  }
  for (; s.next < s.queue.size() && s.queue[s.next].seq <= position; ++s.next)
    lane.in_flight += s.queue[s.next].bytes;
  s.sent = position;
  s.clock_sent = 0; // it went with what was sent
}

/// The peer has everything up to `acked`, which is above what it had.
void outbound::raise(lane_state& lane, stream& s, std::uint64_t acked) {
  s.acked = acked;
  if (acked > s.sent) go_to(lane, s, acked);
  for (; !s.queue.empty() && s.queue.front().seq <= acked; s.queue.pop_front()) {
    lane.bytes -= s.queue.front().bytes;
    lane.in_flight -= s.queue.front().bytes;
    --s.next;
  }
  s.base = std::max(s.base, acked);
}

void outbound::refuse(std::string_view why, const position_message& p, effects& out) {
  ++counters_.refused;
  out.push_back(note{"stream.acknowledgement_refused", "peer=" + to_string(options_.peer) + " why=" + std::string{why}
                                                           + " lane=" + std::to_string(p.lane())
                                                           + " life=" + std::to_string(p.life())
                                                           + " durable=" + std::to_string(p.durable())});
}

void outbound::receive(const v1::UpdatesAcknowledged& message, instant now, effects& out) {
  if (!up_) {
    refuse("disconnected", {}, out);
    return;
  }
  const bool first = !std::exchange(placed_, true);
  for (const auto& p : message.positions())
    acknowledge(p, first, now, out);
  if (!first) return;
  for (auto& lane : lanes_)
    for (auto& [life, s] : lane.lives)
      s.due = now; // what was said on an earlier connection may be lost
}

void outbound::acknowledge(const position_message& p, bool first, instant now, effects& out) {
  if (p.lane() != v1::ORDERED && p.lane() != v1::FREE) return refuse("unknown_lane", p, out);
  const auto which = p.lane() == v1::ORDERED ? stream_lane::ordered : stream_lane::free;
  auto& lane = of(which);
  const auto found = lane.lives.find(p.life());
  if (found == lane.lives.end()) {
    // A life of long ago, which is over for this node, is no news when a connection begins.
    if (!first || (running_ != 0 && p.life() > running_)) return refuse("unknown_life", p, out);
    // One that is told of later, when this node has read its log; a life of long ago is no news.
    if (lane.said.size() < options_.lives_max) lane.said[p.life()] = p.durable();
    return;
  }
  auto& s = found->second;
  // What an earlier connection or process has brought it to is not known here, nor what it has copied, and from whom.
  if (p.durable() > s.durable) return refuse("beyond_what_is_there", p, out);
  if (p.durable() < s.acked) {
    if (s.placed) return refuse("stale", p, out);
    out.push_back(note{"stream.peer_went_back", "peer=" + to_string(options_.peer) + " " + place(which, p.life())
                                                    + " from=" + std::to_string(s.acked)
                                                    + " to=" + std::to_string(p.durable())});
    s.acked = p.durable();
    go_to(lane, s, s.acked);
  }
  s.placed = true;
  if (p.durable() > s.acked) {
    raise(lane, s, p.durable());
    s.progress = now;
    s.patience = options_.resend_after;
  }
  if (p.again()) {
    ++counters_.repeated;
    go_to(lane, s, s.acked);
    s.due = now;
  }
  if (s.gone && s.acked + 1 >= *s.gone) s.gone.reset();
  if (has_news(s) && s.due == never) s.due = now;
  if (s.acked > s.best) {
    s.best = s.acked;
    out.push_back(peer_durable{options_.peer, which, p.life(), s.acked});
  }
}

// -- the log
// ----------------------------------------------------------------------------------------------------------

bool outbound::wants_reading(const lane_state& lane, const stream& s) const {
  return s.covered < s.durable && !s.gone && !lane.reading
         && (lane.bytes == 0 || lane.bytes + options_.read_bytes <= options_.queue_bytes);
}

void outbound::read_on(stream_lane which, std::uint64_t life, instant now, effects& out) {
  auto& lane = of(which);
  const auto& s = lane.lives.at(life);
  if (!wants_reading(lane, s) || now < lane.read_again) return;
  ++counters_.reads;
  lane.reading = read_log{which, life, s.covered, options_.read_bytes};
  out.push_back(*lane.reading);
}

/// The stream whose queue goes on where `what` begins; none when nobody waits for it, or not any more.
outbound::stream* outbound::read_stream(const read_log& what, std::string_view event, effects& out) {
  auto& lane = of(what.lane);
  if (!lane.reading || lane.reading->life != what.life || lane.reading->after != what.after) {
    out.push_back(note{std::string{event}, "peer=" + to_string(options_.peer) + " " + place(what.lane, what.life)
                                               + " after=" + std::to_string(what.after) + " why=not_asked"});
    return nullptr;
  }
  lane.reading.reset();
  const auto found = lane.lives.find(what.life);
  return found != lane.lives.end() && found->second.covered == what.after ? &found->second : nullptr;
}

void outbound::log_read(log_part part, instant now, effects& out) {
  auto* s = read_stream({part.lane, part.life, part.after, 0}, "stream.log_read_ignored", out);
  if (s == nullptr) return;
  auto& lane = of(part.lane);
  if (part.upto <= part.after || part.upto > s->durable) {
    out.push_back(
        note{"stream.log_read_ignored", "peer=" + to_string(options_.peer) + " " + place(part.lane, part.life)
                                            + " after=" + std::to_string(part.after)
                                            + " upto=" + std::to_string(part.upto) + " why=not_of_the_log"});
    lane.read_again = now + options_.resend_after;
    return;
  }
  for (const auto& u : part.updates)
    append(lane, *s, u, true); // as much as a read is, and no more
  s->covered = part.upto;
  if (s->due == never) s->due = now + options_.state_after;
}

void outbound::log_gone(const read_log& what, std::uint64_t first_kept, instant now, effects& out) {
  auto* s = read_stream(what, "stream.log_gone_ignored", out);
  if (s == nullptr) return;
  if (first_kept == 0) first_kept = s->durable + 1;
  if (first_kept <= what.after + 1) return; // it is read again
  // What stands in memory already needs no log, and is acknowledged first; then the position is the peer's.
  s->gone = first_kept;
  s->cut_again = now + options_.cut_again;
  out.push_back(cut{options_.peer, what.lane, what.life, what.after, first_kept - 1});
}

void outbound::log_busy(const read_log& what, instant now, effects& out) {
  if (read_stream(what, "stream.log_busy_ignored", out) != nullptr)
    of(what.lane).read_again = now + options_.resend_after;
}

// -- sending
// ----------------------------------------------------------------------------------------------------------

/// The highest prefix that can be stated without another update.
std::uint64_t outbound::statable(const stream& s) {
  return s.next < s.queue.size() ? s.queue[s.next].seq - 1 : s.covered;
}

bool outbound::has_news(const stream& s) {
  return statable(s) > s.sent || (s.sent == s.durable && (s.clock > s.clock_sent || (s.ended && !s.end_sent)));
}

bool outbound::send_one(stream_lane which, std::uint64_t life, instant now, effects& out) {
  auto& lane = of(which);
  auto& s = lane.lives.at(life);
  std::size_t bytes = 0, taken = 0;
  for (; s.next + taken < s.queue.size() && taken < options_.message_updates; ++taken) {
    const auto more = s.queue[s.next + taken].bytes;
    if (taken > 0 && bytes + more > options_.message_bytes) break;
    if (lane.in_flight + bytes > 0 && lane.in_flight + bytes + more > options_.window_bytes) break;
    bytes += more;
  }
  if (taken == 0 && (!has_news(s) || now < s.due)) return false;

  send_updates e{options_.peer, {}};
  auto& m = e.message;
  m.set_view(view_);
  m.set_life(life);
  m.set_lane(to_wire(which));
  m.set_after(s.sent);
  auto clock = s.clock_sent;
  for (std::size_t i = 0; i < taken; ++i)
    *m.add_updates() = *s.queue[s.next + i].update;
  if (taken > 0) clock = std::max(clock, m.updates().rbegin()->clock());
  s.next += taken;
  lane.in_flight += bytes;
  const auto upto = statable(s);
  if (upto == s.durable) clock = std::max(clock, s.clock);
  m.set_upto(upto + (mutated(mutation::prefix_stated_before_durable) && taken == 0 && !s.ended ? 1 : 0));
  m.set_clock(clock);
  m.set_ended(s.ended && upto == s.durable);

  if (s.sent == s.acked && upto > s.sent) {
    s.progress = now;
    s.patience = options_.resend_after;
  }
  s.sent = upto;
  s.clock_sent = clock;
  s.end_sent |= m.ended();
  if (!has_news(s)) s.due = never;
  ++counters_.messages;
  counters_.updates += taken;
  if (taken == 0) ++counters_.statements;
  out.push_back(std::move(e));
  return true;
}

void outbound::flush_lane(stream_lane which, instant now, effects& out) {
  for (auto& [life, s] : of(which).lives) {
    while (send_one(which, life, now, out)) {
    }
    read_on(which, life, now, out);
  }
}

void outbound::flush(instant now, effects& out) {
  if (!up_ || !placed_) return;
  for (auto lane : both_lanes)
    flush_lane(lane, now, out);
}

void outbound::tick(instant now, effects& out) {
  if (!up_ || !placed_) return;
  for (auto& lane : lanes_)
    for (auto& [life, s] : lane.lives) {
      if (s.gone && now >= s.cut_again) {
        const auto which = &lane == &of(stream_lane::ordered) ? stream_lane::ordered : stream_lane::free;
        s.cut_again = now + options_.cut_again;
        out.push_back(cut{options_.peer, which, life, s.covered, *s.gone - 1, true});
      }
      if (s.sent <= s.acked || now < s.progress + s.patience) continue;
      ++counters_.repeated;
      const auto patience = std::min(2 * s.patience, nanoseconds{patience_max * options_.resend_after});
      go_to(lane, s, s.acked);
      s.due = now;
      // What is sent next counts from now, but is waited for longer: the peer may be slow, not deaf.
      flush_lane(&lane == &of(stream_lane::ordered) ? stream_lane::ordered : stream_lane::free, now, out);
      s.patience = patience;
    }
  flush(now, out);
}

instant outbound::wake_at() const {
  auto when = never;
  if (!up_ || !placed_) return when;
  for (const auto& lane : lanes_)
    for (const auto& [life, s] : lane.lives) {
      if (s.sent > s.acked) when = std::min(when, s.progress + s.patience);
      if (s.gone) when = std::min(when, s.cut_again);
      if (has_news(s)) when = std::min(when, s.due);
      if (wants_reading(lane, s)) when = std::min(when, lane.read_again);
    }
  return when;
}

std::uint64_t outbound::acknowledged(stream_lane lane, std::uint64_t life) const {
  const auto found = of(lane).lives.find(life);
  return found != of(lane).lives.end() ? found->second.best : 0;
}

std::uint64_t outbound::behind(stream_lane lane) const {
  const auto found = of(lane).lives.find(running_);
  return found != of(lane).lives.end() ? found->second.durable - found->second.acked : 0;
}

bool outbound::is_cut(stream_lane lane) const {
  return std::ranges::any_of(of(lane).lives, [](const auto& entry) { return entry.second.gone.has_value(); });
}

} // namespace troupe
