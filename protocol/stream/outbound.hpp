/// UPDATE STREAM's sending half: the updates of this node, all its lives and both lanes, to one peer (PROTOCOLS §4).
///
/// What it sends:      Updates.
/// What it is told:    UpdatesAcknowledged; what is durable here; answers to its reads of the log; the connection.
/// What it wants done: reads of the log; and it says what the peer has on its disk.
/// What the environment must provide: `flush` soon after anything was told (messages that gather meanwhile leave
/// together), `tick` no later than wake_at(), effects performed in order, every read_log answered once, and messages
/// of a connection only between its `connected` and its `disconnected`.
///
/// A message is a statement about the whole sequence of an origin and lane: everything in (after, upto] that is meant
/// for the peer stands in it. It goes on from where the peer says that it is, and never above what is durable here.
/// What is not acknowledged is kept in a queue up to a bound; what did not fit is read from the log when its turn
/// comes, so a slow peer costs no memory and holds up no writer. Lanes share nothing but the connection.
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

struct outbound_options {
  node_id self, peer;
  std::vector<bool> stored; ///< by shard: the peer stores it; what is of another shard only counts as stated
  std::size_t window_bytes =
      limits::stream_window_bytes; ///< per lane: sent and not acknowledged; one update always may
  std::size_t queue_bytes =
      limits::stream_queue_bytes;                     ///< per lane: not acknowledged and kept; one update always may
  std::size_t read_bytes = limits::stream_read_bytes; ///< read_log::bytes_max
  std::size_t message_bytes = limits::stream_message_bytes; ///< of one Updates; one update always may
  std::size_t message_updates = 256;
  milliseconds state_after{2};    ///< a prefix without updates for the peer is stated so long after it advanced
  milliseconds resend_after{500}; ///< without progress; doubled each time up to 16 times that, until there is some
  milliseconds cut_again{1000};   ///< a cut is said again so long after it was said
  std::size_t lives_max = 1'024;  ///< per lane; further earlier lives are ignored with a note
};

class outbound {
public:
  struct send_updates {
    node_id to;
    v1::Updates message;
  };
  /// Read what follows `after` from the log; answer with log_read() or log_gone(), exactly once. All updates of the
  /// origin and lane, whatever their shard. At most one read per lane is under way.
  struct read_log {
    stream_lane lane;
    std::uint64_t life = 0;
    std::uint64_t after = 0;
    std::size_t bytes_max = 0; ///< of weight_of(); at least one update is returned whatever it weighs
  };
  /// Everything up to `upto` that is meant for the peer is on its disk. Grows only; for write concerns and the log.
  struct peer_durable {
    node_id peer;
    stream_lane lane;
    std::uint64_t life = 0;
    std::uint64_t upto = 0;
  };
  /// The log does not reach back to `after`, which is all that the peer has or is about to get from memory: it needs
  /// to copy records. Said again and again. Nothing more is sent of this life in this lane until the peer states a
  /// position from which the log goes on.
  struct cut {
    node_id peer;
    stream_lane lane;
    std::uint64_t life = 0;
    std::uint64_t after = 0; ///< what the peer has
    std::uint64_t upto = 0;  ///< everything in (after, upto] is in no log
    bool again = false;      ///< it was said before on this connection
  };
  using effect = std::variant<send_updates, read_log, peer_durable, cut, note>;
  using effects = std::vector<effect>;

  /// Own updates that have become durable, all of one life and lane, in the order of their numbers.
  struct own_updates {
    stream_lane lane;
    std::uint64_t life = 0;
    shared_updates updates;  ///< all of them, whatever their shard; may be empty
    std::uint64_t upto = 0;  ///< everything up to here is durable; at least the last update's number
    std::uint64_t clock = 0; ///< every update above `upto` has a stamp above this
  };
  /// What a read of the log found: all updates in (after, upto].
  struct log_part {
    stream_lane lane;
    std::uint64_t life = 0;
    std::uint64_t after = 0; ///< of the read_log that this answers
    shared_updates updates;
    std::uint64_t upto = 0; ///< above `after`, not above what is durable
  };

  /// Grow only.
  struct counters {
    std::uint64_t messages = 0;   ///< sent
    std::uint64_t updates = 0;    ///< sent, repetitions included
    std::uint64_t statements = 0; ///< messages without updates
    std::uint64_t repeated = 0;   ///< times that something was sent again: asked for, or without progress
    std::uint64_t reads = 0;      ///< of the log
    std::uint64_t refused = 0;    ///< acknowledgements, or parts of them, that cannot be true or are stale
  };

  explicit outbound(outbound_options options);

  /// At start, before anything else: an earlier life of this node whose log survives up to `last_seq`.
  void earlier_life(stream_lane lane, std::uint64_t life, std::uint64_t last_seq, effects& out);
  /// The number of the view that messages carry from now on.
  void view_number(std::uint64_t number) { view_ = number; }

  /// Own updates are on this node's disk. Also tells, without updates and with the same `upto`, that the clock rose.
  /// Ignored when it adds nothing. The first one names the running life; a life above it is the next one.
  void durable(const own_updates& own, instant now, effects& out);

  /// A connection begins: nothing is sent until the peer has stated its positions.
  void connected(instant now);
  void disconnected();
  void receive(const v1::UpdatesAcknowledged& message, instant now, effects& out);

  /// Answers to read_log. One that nobody waits for is ignored with a note.
  void log_read(log_part part, instant now, effects& out);
  /// The log begins above `after` + 1, at `first_kept`; 0 = it is empty.
  void log_gone(const read_log& what, std::uint64_t first_kept, instant now, effects& out);
  /// The read failed, or nothing may be read now: it is asked for again by and by.
  void log_busy(const read_log& what, instant now, effects& out);

  /// Sends what windows allow. `out`: send_updates* and read_log*, at most one read per lane.
  void flush(instant now, effects& out);
  /// Statements of idle streams, repetitions; flushes too.
  void tick(instant now, effects& out);
  instant wake_at() const;

  const counters& counted() const { return counters_; }
  /// On the peer's disk, as far as it has told.
  std::uint64_t acknowledged(stream_lane lane, std::uint64_t life) const;
  /// Own updates that the peer has not acknowledged: numbers of the running life, its shards or not.
  std::uint64_t behind(stream_lane lane) const;
  std::size_t queued_bytes(stream_lane lane) const { return of(lane).bytes; }
  std::size_t unacknowledged_bytes(stream_lane lane) const { return of(lane).in_flight; }
  bool is_cut(stream_lane lane) const;

private:
  /// An update in memory, meant for the peer.
  struct waiting {
    std::uint64_t seq = 0;
    std::size_t bytes = 0;
    shared_update update;
  };
  /// One life in one lane. acked <= sent <= covered <= durable, and base <= sent.
  struct stream {
    std::uint64_t durable = 0; ///< here
    std::uint64_t clock = 0;   ///< goes with `durable`
    bool ended = false;        ///< an earlier life: `durable` is its last
    std::uint64_t acked = 0; ///< durable at the peer, as it said last; goes back only when the peer says that it has
    std::uint64_t best = 0;  ///< the highest that it ever said
    bool placed = false;     ///< the peer has said so on this connection
    std::uint64_t sent = 0;  ///< stated on this connection
    /// In memory: everything of (base, covered] that is meant for the peer, by number.
    std::deque<waiting> queue;
    std::uint64_t base = 0, covered = 0;
    std::size_t next = 0;              ///< index in `queue` of the first that is above `sent`
    std::uint64_t clock_sent = 0;      ///< stated on this connection, of a prefix that is not above `sent`
    bool end_sent = false;             ///< `ended` was stated on this connection
    std::optional<std::uint64_t> gone; ///< the log begins here, above what the peer has
    instant cut_again = never;         ///< gone: when that is said again
    instant due = never;               ///< to state a prefix, a clock or the end without updates
    instant progress;        ///< of the acknowledgements, or when there began to be something to acknowledge
    nanoseconds patience{0}; ///< how long to wait for progress, now
  };
  struct lane_state {
    std::map<std::uint64_t, stream> lives;
    std::size_t bytes = 0;     ///< of all queues
    std::size_t in_flight = 0; ///< of what is in queues and at or below `sent`
    std::optional<read_log> reading;
    std::map<std::uint64_t, std::uint64_t> said; ///< what the peer has of lives that are not known here yet; bounded
    instant read_again = instant::min();         ///< not before
  };
  using position_message = v1::UpdatesAcknowledged::Position;

  lane_state& of(stream_lane lane) { return lanes_[static_cast<std::size_t>(lane)]; }
  const lane_state& of(stream_lane lane) const { return lanes_[static_cast<std::size_t>(lane)]; }
  bool meant(const v1::Update& u) const { return u.shard() < options_.stored.size() && options_.stored[u.shard()]; }
  bool append(lane_state& lane, stream& s, const shared_update& update, bool whatever_it_weighs);
  void acknowledge(const position_message& p, bool first, instant now, effects& out);
  void raise(lane_state& lane, stream& s, std::uint64_t acked);
  void go_to(lane_state& lane, stream& s, std::uint64_t position);
  void flush_lane(stream_lane which, instant now, effects& out);
  bool send_one(stream_lane which, std::uint64_t life, instant now, effects& out);
  void read_on(stream_lane which, std::uint64_t life, instant now, effects& out);
  stream* read_stream(const read_log& what, std::string_view event, effects& out);
  bool wants_reading(const lane_state& lane, const stream& s) const;
  static std::uint64_t statable(const stream& s);
  static bool has_news(const stream& s);
  void refuse(std::string_view why, const position_message& p, effects& out);

  outbound_options options_;
  std::array<lane_state, stream_lanes> lanes_;
  std::uint64_t view_ = 0;
  std::uint64_t running_ = 0; ///< this node's life; 0 = not known yet
  bool up_ = false;
  bool placed_ = false; ///< the peer has spoken on this connection: what it does not mention is as it was
  counters counters_;
};

} // namespace troupe
