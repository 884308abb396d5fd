/// UPDATE STREAM's receiving half: the updates of one peer, all its lives and both lanes (PROTOCOLS §4).
///
/// What it sends:      UpdatesAcknowledged: what is durable here, and where the peer is to go on.
/// What it is told:    Updates; what has become durable; the connection.
/// What it wants done: accept, by the STREAM REPLICA, in order.
/// What the environment must provide: `flush` soon after anything was told, `tick` no later than wake_at(), effects
/// performed in order, `durable` for whatever was accepted (a crash instead of it is fine), and messages of a
/// connection only between its `connected` and its `disconnected`.
///
/// It takes what continues what it has, once: a message that leaves a gap is dropped whole and asked for again, what
/// is there already is left out. Nothing is acknowledged before it is durable.
#pragma once

#include "protocol/effects.hpp"
#include "protocol/limits.hpp"
#include "protocol/stream/weight.hpp"
#include "protocol/version_vector.hpp"

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe {

/// Why a message of a peer's stream was dropped as a whole.
enum class stream_refusal : std::uint8_t {
  no_life,        ///< life 0
  unknown_lane,   ///< of a newer build
  backwards,      ///< `upto` below `after`
  unsorted,       ///< numbers of updates that do not grow
  out_of_range,   ///< an update outside (after, upto]
  foreign_shard,  ///< this node does not store it, or there is none
  bad_key,        ///< empty or too long; a field that is too long
  bad_update,     ///< a kind that this build does not know, no stamp, a negative sum of decrements
  too_large,      ///< a value, or a context or dependencies of too many entries, or too many updates
  beyond_the_end, ///< of a life that ended before, or ends elsewhere than was said
  too_many_lives,
};
inline constexpr std::size_t stream_refusals = 11;
std::string_view name_of(stream_refusal r);

struct inbound_options {
  node_id self, peer;
  std::vector<bool> stored; ///< by shard: this node stores it
  std::size_t unsynced_bytes =
      limits::stream_unsynced_bytes; ///< per lane: accepted, not durable; one message always may
  std::size_t message_updates = 4'096;
  std::size_t vector_entries_max = limits::stream_vector_entries_max;
  std::size_t lives_max = 65'536;  ///< per lane; what a life takes is a few words
  std::size_t positions_max = 512; ///< of one statement, newest lives first
  milliseconds again_after{250};   ///< what was asked for and has not come is asked for again
};

class inbound {
public:
  struct send_acknowledged {
    node_id to;
    v1::UpdatesAcknowledged message;
  };
  /// Hand to the replica, in order: it persists the updates and says durable(). Without updates when the prefix, the
  /// clock or the end is all that is new. Continues the former one of the same origin and lane without a gap.
  struct accept {
    origin from;
    stream_lane lane;
    shared_updates updates; ///< by number; each of them accepted for the first time since this node started
    std::uint64_t upto = 0; ///< everything of the origin up to here that is meant for this node has been accepted now
    std::uint64_t clock = 0; ///< every update above `upto` has a stamp above this
    bool ended = false;      ///< nothing above `upto` was ever sent, or will be
  };
  using effect = std::variant<send_acknowledged, accept, note>;
  using effects = std::vector<effect>;

  /// Grow only.
  struct counters {
    std::uint64_t messages = 0;   ///< taken, at least partly
    std::uint64_t updates = 0;    ///< accepted
    std::uint64_t duplicates = 0; ///< updates, and messages without any news
    std::uint64_t gaps = 0;       ///< messages dropped because something before them is missing
    std::uint64_t full = 0;       ///< messages dropped because too much is not durable yet
    std::array<std::uint64_t, stream_refusals> refused{}; ///< by reason
    std::uint64_t refusals() const;
  };

  explicit inbound(inbound_options options);

  /// At start, before anything else: the store has everything of this origin up to here.
  void restored(stream_lane lane, std::uint64_t life, std::uint64_t upto);
  void view_number(std::uint64_t number) { view_ = number; }

  /// A connection begins. `out`: the positions of all lives that matter, and may be none.
  void connected(instant now, effects& out);
  void disconnected();
  void receive(v1::Updates message, instant now, effects& out);

  /// Everything of that life and lane up to here is durable (free lane: and merged). May be above what was received
  /// over the stream: after a catch-up. Acknowledged by the next flush.
  void durable(stream_lane lane, std::uint64_t life, std::uint64_t upto);

  /// The peer does not know what is durable here of that life: the next flush says it.
  void state_again(stream_lane lane, std::uint64_t life);

  /// Acknowledges what has become durable since. `out`: at most one send.
  void flush(instant now, effects& out);
  /// Asks again for what is still missing; flushes too.
  void tick(instant now, effects& out);
  instant wake_at() const;
  bool wants_flush() const { return up_ && owed_; }

  const counters& counted() const { return counters_; }
  /// Accepted, durable or not.
  std::uint64_t taken(stream_lane lane, std::uint64_t life) const;
  std::size_t unsynced_bytes(stream_lane lane) const { return lanes_[static_cast<std::size_t>(lane)].bytes; }

private:
  /// One life in one lane. durable <= taken.
  struct stream {
    std::uint64_t durable = 0;
    std::uint64_t taken = 0;
    std::uint64_t clock = 0;          ///< highest that came with a prefix that was taken
    std::optional<std::uint64_t> end; ///< an earlier life: its last number
    bool owed = false;                ///< an acknowledgement
    bool missing = false;             ///< a message was dropped: something has to come again
    bool again = false;               ///< to be asked for with the next flush, unless the lane is full
    instant asked;                    ///< missing: when it was asked for last
    /// Accepted and not durable, by number: what a message brought.
    std::deque<std::pair<std::uint64_t, std::size_t>> unsynced;
  };
  struct lane_state {
    std::map<std::uint64_t, stream> lives;
    std::size_t bytes = 0; ///< accepted and not durable, all lives
    bool full = false;     ///< messages were dropped for want of room: nothing is asked for until half of it is free
  };

  std::optional<stream_refusal> malformed(const v1::Updates& m) const;
  std::optional<stream_refusal> misplaced(const v1::Updates& m) const;
  std::optional<stream_refusal> malformed(const v1::Update& u) const;
  void refuse(stream_refusal why, const v1::Updates& m, effects& out);
  void ask_again(stream& s, instant now);
  void take(stream_lane which, stream& s, v1::Updates& m, effects& out);

  inbound_options options_;
  std::array<lane_state, stream_lanes> lanes_;
  std::uint64_t view_ = 0;
  bool up_ = false;
  bool owed_ = false; ///< some stream owes an acknowledgement, or asks again
  counters counters_;
};

} // namespace troupe
