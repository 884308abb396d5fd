/// What two links say to each other over one connection: numbered frames that carry two lanes of messages.
///
///   Frame   connection, number (from 1, without gaps), checksum, batch
///   Batch   envelopes in their order, then chunks of at most one large message, then the peer's bookkeeping:
///           what was consumed (returns credit), ping and pong
///
/// The transport below keeps order and loses only whole connections; a frame that proves otherwise is a violation and
/// ends the connection. The environment must provide: `connected` and `disconnected` when a connection begins and
/// ends, every frame that arrives, `flush` soon after anything was posted or received, and `tick` every few
/// milliseconds.
#pragma once

#include "protocol/ids.hpp"
#include "protocol/limits.hpp"
#include "protocol/wire/frame.pb.h"

#include <array>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe {

/// Messages of one lane arrive in the order in which they were posted. The priority lane overtakes the bulk lane.
enum class lane : std::uint8_t {
  priority, ///< leases, small answers, and small records between homes and replicas: they wait for no large value
  bulk,     ///< everything else that carries a value, and operations
};
/// Two records of one key may so overtake each other, the small one the large one; replicas compare their versions.
lane lane_of(const v1::Envelope& envelope);

/// What the peer, or the transport between, did wrong.
enum class link_violation : std::uint8_t {
  wrong_connection, ///< a frame of a connection that this side has never heard of
  wrong_checksum,   ///< damaged
  frame_repeated,
  frame_missing,
  unparsable,      ///< the batch, or a message put together from chunks, is not what its schema says
  unknown_body,    ///< a kind of message that this build does not know
  chunk_misplaced, ///< not the continuation of a message, nor the start of a new one
  too_large,       ///< a message above message_bytes_max
  too_many_parts,  ///< more messages in pieces than there are lanes
  false_credit,    ///< the peer says that it consumed less than before, or more than was sent
};
inline constexpr std::size_t violation_kinds = 10;
std::string_view name_of(link_violation v);

enum class drop_reason : std::uint8_t {
  disconnected, ///< the peer was down, or went down before the message was sent
  queue_full,
  too_large, ///< above message_bytes_max: no frame will ever carry it
};
std::string_view name_of(drop_reason r);

/// What a link_stream wants done, in order.
struct transmit {
  v1::Frame frame;
};
struct deliver {
  v1::Envelope envelope;
};
/// Never sent, at least not all of it: the peer has not seen this message and never will.
struct dropped {
  v1::Envelope envelope;
  drop_reason reason;
};
/// This side has ended the connection; what was queued stands before this effect as `dropped`.
struct closed {
  std::string why;
};
using link_effect = std::variant<transmit, deliver, dropped, closed>;
using link_effects = std::vector<link_effect>;

struct link_options {
  std::size_t chunk_bytes = limits::chunk_bytes; ///< larger messages travel in pieces of this size
  std::size_t chunks_per_frame = 2;
  std::size_t frame_bytes_max = limits::frame_bytes_max; ///< at least chunk_bytes
  std::size_t frame_messages_max = limits::frame_messages_max;
  std::size_t message_bytes_max = limits::message_bytes_max;
  std::size_t queue_bytes = limits::link_queue_bytes;       ///< per lane
  std::size_t queue_messages = limits::link_queue_messages; ///< per lane

  /// Hard bound of what is under way to the peer: beyond it only the priority lane speaks, up to twice as much.
  std::size_t credit_bytes = limits::credit_bytes;
  std::size_t credit_messages = limits::credit_messages;
  /// Softer bound of the same: between window_bytes_min and credit_bytes, halved when a round trip took
  /// `queueing_max` longer than the shortest one, doubled when it was the brake and round trips are short.
  /// Why: one connection keeps one order, so whatever is under way delays the next lease renewal.
  std::size_t window_bytes_min = std::size_t{256} << 10;
  milliseconds queueing_max{25};

  milliseconds ping_every{100};    ///< nothing is sent for longer than this
  milliseconds peer_timeout{1000}; ///< nothing heard for longer than this: the peer is gone
};

/// Grow only, for the lifetime of the link.
struct link_counters {
  std::uint64_t connections = 0;
  std::uint64_t frames_sent = 0;
  std::uint64_t frames_received = 0; ///< sound ones
  std::uint64_t frames_stale = 0;    ///< of a connection that has ended: ignored
  std::uint64_t messages_sent = 0;   ///< whole messages put into frames
  std::uint64_t messages_received = 0;
  std::uint64_t messages_dropped = 0; ///< reported as `dropped`
  std::uint64_t parts_dropped = 0;    ///< incoming messages that a lost connection left incomplete
  std::uint64_t silences = 0;         ///< connections ended because the peer fell silent
  std::array<std::uint64_t, violation_kinds> violations{}; ///< by kind
  std::uint64_t frames_refused() const;
};

/// One side of the relation to one peer, across its connections.
///
/// Weak spot: credit bounds what is under way and what waits in this process's link, not the mailboxes behind it; the
/// owners of the messages bound those themselves.
class link_stream {
public:
  explicit link_stream(link_options options = {}) : options_(options) {}

  /// A connection begins; both sides know it under the same id, not 0, never used before between the two.
  /// Ends a running one first.
  void connected(std::uint64_t connection, instant now, link_effects& out);

  /// The connection is gone: everything queued is dropped and reported, everything half put together forgotten.
  /// What was in a frame already may or may not have arrived, and is not reported.
  void disconnected(link_effects& out);

  /// Queues a message. `out`: at most one `dropped`.
  void post(v1::Envelope envelope, link_effects& out);

  /// Checks a frame, delivers its messages, takes its credit. `out`: deliver*, or dropped* and one closed.
  void receive(const v1::Frame& frame, instant now, link_effects& out);

  /// Sends what credit allows. Why not from `post`: messages that gather while the actor is busy leave together.
  void flush(instant now, link_effects& out);

  /// Heartbeat and silence; flushes too.
  void tick(instant now, link_effects& out);

  /// True when `flush` would send something now.
  bool wants_flush() const;

  bool up() const { return now_.connection != 0; }
  std::uint64_t connection() const { return now_.connection; }
  const link_counters& counters() const { return counters_; }
  /// Of this connection; zero = not measured yet.
  nanoseconds round_trip() const { return now_.round_trip; }
  nanoseconds round_trip_max() const { return now_.round_trip_max; }
  std::size_t window_bytes() const { return now_.window; }
  std::size_t queued_messages() const;
  std::size_t queued_bytes() const;

private:
  struct waiting {
    v1::Envelope envelope;
    std::size_t bytes = 0; ///< serialized
  };

  struct outgoing {
    std::deque<waiting> queue; ///< oldest first
    std::size_t bytes = 0;     ///< of the queue and of the rest of `cut`
    std::string cut;           ///< the large message that is leaving in pieces, serialized; empty = none
    std::size_t cut_at = 0;    ///< how much of it has left
    std::uint64_t cut_id = 0;  ///< its Chunk.message
    std::size_t messages() const { return queue.size() + (cut.empty() ? 0 : 1); }
  };

  struct arriving {
    std::string bytes; ///< what has arrived, without gaps
    std::size_t total = 0;
  };

  /// All that ends with a connection.
  struct connection_state {
    std::uint64_t connection = 0;            ///< 0 = none
    std::array<outgoing, 2> lanes;           ///< by lane
    std::map<std::uint64_t, arriving> parts; ///< by Chunk.message; at most one per lane of the peer
    std::uint64_t last_part_in = 0;          ///< highest Chunk.message that has begun to arrive
    std::uint64_t last_part_out = 0;

    std::uint64_t last_out = 0; ///< number of the last frame sent
    std::uint64_t last_in = 0;
    instant sent_at, heard_at, ticked_at;

    // Credit counts whole batches and everything in them, the priority lane included, so that both sides count alike.
    std::uint64_t bytes_out = 0, messages_out = 0;     ///< sent
    std::uint64_t bytes_taken = 0, messages_taken = 0; ///< of these, consumed by the peer as far as it told
    std::uint64_t bytes_in = 0, messages_in = 0;       ///< consumed here
    std::uint64_t bytes_told = 0, messages_told = 0;   ///< of these, told to the peer

    std::size_t window = 0;
    bool braked = false; ///< the window held bulk messages back since the last round trip was measured

    std::uint64_t ping = 0; ///< number of the last ping
    bool ping_open = false; ///< it is not answered yet
    instant pinged_at;
    std::uint64_t pong_owed = 0; ///< 0 = none
    nanoseconds round_trip{0}, round_trip_max{0};
    /// Shortest round trip of the running and of the previous span of `base_span`: a path may become longer for good.
    nanoseconds base{nanoseconds::max()}, base_before{nanoseconds::max()};
    instant base_since;
  };

  bool fill(v1::Batch& batch, std::size_t& messages);
  bool fill_envelopes(outgoing& from, lane which, v1::Batch& batch, std::size_t& bytes);
  void fill_chunks(outgoing& from, lane which, v1::Batch& batch, std::size_t bytes);
  bool has_credit(lane which, std::size_t bytes, std::size_t messages) const;
  bool owes() const;
  bool ping_due(instant now) const;
  void seal(v1::Batch& batch, std::size_t messages, instant now, link_effects& out);
  void measured(nanoseconds round_trip, instant now);
  bool take_credit(const v1::Batch& batch);
  bool take_chunk(v1::Chunk& chunk, link_effects& out, link_violation& why);
  void violated(link_violation v, link_effects& out);
  void drop(v1::Envelope envelope, drop_reason reason, link_effects& out);

  link_options options_;
  link_counters counters_;
  connection_state now_;
  std::array<std::uint64_t, 4> ended_{}; ///< ids of the last connections: their late frames are stale, not wrong
  std::size_t ended_next_ = 0;
};

} // namespace troupe
