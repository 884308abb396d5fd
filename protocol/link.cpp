#include "protocol/link.hpp"

#include "protocol/assert.hpp"
#include "protocol/wire.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

constexpr std::chrono::seconds base_span{10};

std::size_t index_of(lane l) { return l == lane::priority ? 0 : 1; }

std::size_t items_in(const v1::Batch& batch) {
  return static_cast<std::size_t>(batch.envelopes_size()) + static_cast<std::size_t>(batch.chunks_size());
}

bool known(const v1::Envelope& envelope) { return envelope.body_case() != v1::Envelope::BODY_NOT_SET; }

} // namespace

lane lane_of(const v1::Envelope& envelope) {
  switch (envelope.body_case()) {
  case v1::Envelope::kClaim:
  case v1::Envelope::kGranted:
  case v1::Envelope::kRefused:
  case v1::Envelope::kReleaseHome:
  case v1::Envelope::kRenewLeases:
  case v1::Envelope::kLeasesRenewed:
  case v1::Envelope::kAbstain:
  case v1::Envelope::kAccepted:
  case v1::Envelope::kSuperseded:
  case v1::Envelope::kNotHome:
  case v1::Envelope::kLockGranted: // one sequence with the next three: values that are not small travel as LargeCopy
  case v1::Envelope::kLeaseGranted:
  case v1::Envelope::kRecall:
  case v1::Envelope::kCommitted:
  case v1::Envelope::kLockRelease:
  case v1::Envelope::kLeaseRenew:
  case v1::Envelope::kRecalled:
  case v1::Envelope::kUpdatesAcknowledged:
  case v1::Envelope::kFrontierFacts:
  case v1::Envelope::kFreshnessAsked:
  case v1::Envelope::kFreshnessTold:
  case v1::Envelope::kViewHeartbeat:
    return lane::priority;
  case v1::Envelope::kReadLatest:
  case v1::Envelope::kLatest:
  case v1::Envelope::kAccept:
  case v1::Envelope::kLockRefused:
  case v1::Envelope::kViewChanged:
    return envelope.ByteSizeLong() <= limits::small_message_bytes ? lane::priority : lane::bulk;
  case v1::Envelope::kOperation:
  case v1::Envelope::kOperationAnswer:
  case v1::Envelope::kLockRequest:
  case v1::Envelope::kLargeCopy:
  case v1::Envelope::kCollect: // nobody waits for it, nor for the next two
  case v1::Envelope::kListTombstones:
  case v1::Envelope::kTombstones:
  case v1::Envelope::kWeakOperation: // whatever its size: the attempts of one operation have to stay in order
  case v1::Envelope::kWeakAnswer:
  case v1::Envelope::kUpdates:
  case v1::Envelope::kCopyOffered:
  case v1::Envelope::kCopyAsked:
  case v1::Envelope::kCopyTold:
  case v1::Envelope::kTreeAsked:
  case v1::Envelope::kTreeTold:
  case v1::Envelope::kExplainAsked:
  case v1::Envelope::kExplainTold:
  case v1::Envelope::BODY_NOT_SET:
    return lane::bulk;
  }
  return lane::bulk;
}

std::string_view name_of(link_violation v) {
  switch (v) {
  case link_violation::wrong_connection:
    return "wrong_connection";
  case link_violation::wrong_checksum:
    return "wrong_checksum";
  case link_violation::frame_repeated:
    return "frame_repeated";
  case link_violation::frame_missing:
    return "frame_missing";
  case link_violation::unparsable:
    return "unparsable";
  case link_violation::unknown_body:
    return "unknown_body";
  case link_violation::chunk_misplaced:
    return "chunk_misplaced";
  case link_violation::too_large:
    return "too_large";
  case link_violation::too_many_parts:
    return "too_many_parts";
  case link_violation::false_credit:
    return "false_credit";
  }
  return "unknown_violation";
}

std::string_view name_of(drop_reason r) {
  switch (r) {
  case drop_reason::disconnected:
    return "disconnected";
  case drop_reason::queue_full:
    return "queue_full";
  case drop_reason::too_large:
    return "too_large";
  }
  return "unknown_reason";
}

std::uint64_t link_counters::frames_refused() const {
  std::uint64_t sum = 0;
  for (auto n : violations)
    sum += n;
  return sum;
}

std::size_t link_stream::queued_messages() const { return now_.lanes[0].messages() + now_.lanes[1].messages(); }

std::size_t link_stream::queued_bytes() const { return now_.lanes[0].bytes + now_.lanes[1].bytes; }

// -- beginning and end
// ------------------------------------------------------------------------------------------------

void link_stream::connected(std::uint64_t connection, instant now, link_effects& out) {
  TROUPE_ASSERT(connection != 0);
  disconnected(out);
  ++counters_.connections;
  now_.connection = connection;
  now_.sent_at = now_.heard_at = now_.ticked_at = now_.base_since = now;
  now_.window = std::min(options_.credit_bytes, 4 * options_.window_bytes_min);
}

void link_stream::disconnected(link_effects& out) {
  if (!up()) return;
  ended_[ended_next_++ % ended_.size()] = now_.connection;
  counters_.parts_dropped += now_.parts.size();
  auto gone = std::exchange(now_, connection_state{});
  for (auto& from : gone.lanes) {
    if (!from.cut.empty()) {
      // Not all pieces were sent, so the peer never sees the message.
      v1::Envelope envelope;
      TROUPE_ASSERT(envelope.ParseFromString(from.cut));
      drop(std::move(envelope), drop_reason::disconnected, out);
    }
    for (auto& w : from.queue)
      drop(std::move(w.envelope), drop_reason::disconnected, out);
  }
}

void link_stream::drop(v1::Envelope envelope, drop_reason reason, link_effects& out) {
  ++counters_.messages_dropped;
  out.push_back(dropped{std::move(envelope), reason});
}

void link_stream::violated(link_violation v, link_effects& out) {
  ++counters_.violations[static_cast<std::size_t>(v)];
  disconnected(out);
  out.push_back(closed{std::string{name_of(v)}});
}

// -- out
// --------------------------------------------------------------------------------------------------------------

void link_stream::post(v1::Envelope envelope, link_effects& out) {
  if (!up()) return drop(std::move(envelope), drop_reason::disconnected, out);
  const auto bytes = envelope.ByteSizeLong();
  if (bytes > options_.message_bytes_max) return drop(std::move(envelope), drop_reason::too_large, out);
  auto& to = now_.lanes[index_of(lane_of(envelope))];
  if (to.messages() >= options_.queue_messages || to.bytes + bytes > options_.queue_bytes)
    return drop(std::move(envelope), drop_reason::queue_full, out);
  to.bytes += bytes;
  to.queue.push_back({std::move(envelope), bytes});
}

bool link_stream::has_credit(lane which, std::size_t bytes, std::size_t messages) const {
  const auto bytes_under_way = now_.bytes_out - now_.bytes_taken + bytes;
  const auto messages_under_way = now_.messages_out - now_.messages_taken + messages;
  if (which == lane::priority)
    return bytes_under_way < 2 * options_.credit_bytes && messages_under_way < 2 * options_.credit_messages;
  return bytes_under_way < std::min(options_.credit_bytes, now_.window)
         && messages_under_way < options_.credit_messages;
}

/// Credit is told back in steps: small enough that the smallest window never waits for it, large enough that a stream
/// of small messages does not cost a frame of answer each.
bool link_stream::owes() const {
  return now_.pong_owed != 0 || now_.bytes_in - now_.bytes_told >= options_.window_bytes_min / 2
         || now_.messages_in - now_.messages_told >= options_.credit_messages / 4;
}

bool link_stream::ping_due(instant now) const {
  return !now_.ping_open && (now_.braked || now_.ping == 0 || now - now_.pinged_at >= options_.ping_every);
}

bool link_stream::wants_flush() const {
  auto ready = [this](lane which) { return now_.lanes[index_of(which)].messages() > 0 && has_credit(which, 0, 0); };
  return up() && (owes() || ready(lane::priority) || ready(lane::bulk));
}

/// Moves messages from the head of a lane into the batch. True when the frame is to be closed with chunks of this
/// lane, or because it is full.
bool link_stream::fill_envelopes(outgoing& from, lane which, v1::Batch& batch, std::size_t& bytes) {
  while (from.cut.empty() && !from.queue.empty()) {
    auto& head = from.queue.front();
    const auto items = items_in(batch);
    if (!has_credit(which, bytes, items)) {
      now_.braked = true;
      return true;
    }
    if (head.bytes > options_.chunk_bytes) {
      TROUPE_ASSERT(head.envelope.SerializeToString(&from.cut));
      from.cut_at = 0;
      from.cut_id = ++now_.last_part_out;
    } else {
      if (items >= options_.frame_messages_max || (items > 0 && bytes + head.bytes > options_.frame_bytes_max))
        return true;
      bytes += head.bytes;
      from.bytes -= head.bytes;
      ++counters_.messages_sent;
      batch.add_envelopes()->Swap(&head.envelope);
    }
    from.queue.pop_front();
  }
  return !from.cut.empty();
}

void link_stream::fill_chunks(outgoing& from, lane which, v1::Batch& batch, std::size_t bytes) {
  for (std::size_t n = 0; n < options_.chunks_per_frame && !from.cut.empty(); ++n) {
    const auto size = std::min(options_.chunk_bytes, from.cut.size() - from.cut_at);
    if (items_in(batch) > 0 && bytes + size > options_.frame_bytes_max) return;
    if (!has_credit(which, bytes, items_in(batch))) {
      now_.braked = true;
      return;
    }
    auto* chunk = batch.add_chunks();
    chunk->set_message(from.cut_id);
    chunk->set_total(from.cut.size());
    chunk->set_offset(from.cut_at);
    chunk->set_bytes(from.cut.data() + from.cut_at, size);
    bytes += size;
    from.bytes -= size;
    from.cut_at += size;
    if (from.cut_at == from.cut.size()) {
      ++counters_.messages_sent;
      std::string{}.swap(from.cut); // gives the memory back
    }
  }
}

/// Priority before bulk; envelopes before chunks; nothing after chunks. So the order inside a frame, envelopes first,
/// is the order of each lane.
bool link_stream::fill(v1::Batch& batch, std::size_t& messages) {
  std::size_t bytes = 0;
  for (auto which : {lane::priority, lane::bulk}) {
    auto& from = now_.lanes[index_of(which)];
    if (fill_envelopes(from, which, batch, bytes)) {
      fill_chunks(from, which, batch, bytes);
      break;
    }
  }
  messages = items_in(batch);
  return messages > 0;
}

void link_stream::flush(instant now, link_effects& out) {
  while (up()) {
    v1::Batch batch;
    std::size_t messages = 0;
    if (!fill(batch, messages) && !owes()) return;
    seal(batch, messages, now, out);
  }
}

void link_stream::seal(v1::Batch& batch, std::size_t messages, instant now, link_effects& out) {
  batch.set_consumed_messages(now_.messages_told = now_.messages_in);
  batch.set_consumed_bytes(now_.bytes_told = now_.bytes_in);
  batch.set_pong(std::exchange(now_.pong_owed, 0));
  if (ping_due(now)) {
    batch.set_ping(++now_.ping);
    now_.ping_open = true;
    now_.pinged_at = now;
  }
  out.emplace_back(transmit{});
  auto& frame = std::get<transmit>(out.back()).frame;
  frame.set_connection(now_.connection);
  frame.set_number(++now_.last_out);
  TROUPE_ASSERT(batch.SerializeToString(frame.mutable_batch()));
  frame.set_checksum(checksum_of(now_.connection, now_.last_out, frame.batch()));
  now_.bytes_out += frame.batch().size();
  now_.messages_out += messages;
  now_.sent_at = now;
  ++counters_.frames_sent;
}

void link_stream::tick(instant now, link_effects& out) {
  if (!up()) return;
  // A node that was paused itself heard nothing either: what the peer sent meanwhile is still to be read.
  if (now - now_.ticked_at > options_.peer_timeout / 2) now_.heard_at = now;
  now_.ticked_at = now;
  if (now - now_.heard_at > options_.peer_timeout) {
    ++counters_.silences;
    disconnected(out);
    out.push_back(closed{"silent for " + std::to_string(options_.peer_timeout.count()) + " ms"});
    return;
  }
  flush(now, out);
  if (ping_due(now) || now - now_.sent_at >= options_.ping_every) {
    v1::Batch heartbeat;
    seal(heartbeat, 0, now, out);
  }
}

void link_stream::measured(nanoseconds round_trip, instant now) {
  now_.round_trip = round_trip;
  now_.round_trip_max = std::max(now_.round_trip_max, round_trip);
  if (now - now_.base_since > base_span) {
    now_.base_before = std::exchange(now_.base, nanoseconds::max());
    now_.base_since = now;
  }
  now_.base = std::min(now_.base, round_trip);
  if (round_trip > std::min(now_.base, now_.base_before) + options_.queueing_max)
    now_.window = std::max(options_.window_bytes_min, now_.window / 2);
  else if (now_.braked)
    now_.window = std::min(options_.credit_bytes, now_.window * 2);
  now_.braked = false;
}

// -- in
// ---------------------------------------------------------------------------------------------------------------

void link_stream::receive(const v1::Frame& frame, instant now, link_effects& out) {
  if (!up() || std::find(ended_.begin(), ended_.end(), frame.connection()) != ended_.end()) {
    ++counters_.frames_stale;
    return;
  }
  if (frame.connection() != now_.connection) return violated(link_violation::wrong_connection, out);
  if (frame.checksum() != checksum_of(frame.connection(), frame.number(), frame.batch()))
    return violated(link_violation::wrong_checksum, out);
  if (frame.number() <= now_.last_in) return violated(link_violation::frame_repeated, out);
  if (frame.number() != now_.last_in + 1) return violated(link_violation::frame_missing, out);
  v1::Batch batch;
  if (!batch.ParseFromString(frame.batch())) return violated(link_violation::unparsable, out);
  if (!std::all_of(batch.envelopes().begin(), batch.envelopes().end(), known))
    return violated(link_violation::unknown_body, out);
  if (!take_credit(batch)) return violated(link_violation::false_credit, out);

  ++counters_.frames_received;
  now_.last_in = frame.number();
  now_.heard_at = now;
  now_.bytes_in += frame.batch().size();
  now_.messages_in += items_in(batch);
  if (batch.ping() != 0) now_.pong_owed = batch.ping();
  if (now_.ping_open && batch.pong() == now_.ping) {
    now_.ping_open = false;
    measured(now - now_.pinged_at, now);
  }
  counters_.messages_received += static_cast<std::uint64_t>(batch.envelopes_size());
  out.reserve(out.size() + items_in(batch));
  for (auto& envelope : *batch.mutable_envelopes())
    out.push_back(deliver{std::move(envelope)});
  for (auto& chunk : *batch.mutable_chunks()) {
    link_violation why{};
    if (!take_chunk(chunk, out, why)) return violated(why, out);
  }
}

bool link_stream::take_credit(const v1::Batch& batch) {
  if (batch.consumed_bytes() < now_.bytes_taken || batch.consumed_bytes() > now_.bytes_out) return false;
  if (batch.consumed_messages() < now_.messages_taken || batch.consumed_messages() > now_.messages_out) return false;
  now_.bytes_taken = batch.consumed_bytes();
  now_.messages_taken = batch.consumed_messages();
  return true;
}

bool link_stream::take_chunk(v1::Chunk& chunk, link_effects& out, link_violation& why) {
  auto refuse = [&why](link_violation v) {
    why = v;
    return false;
  };
  auto i = now_.parts.find(chunk.message());
  if (i == now_.parts.end()) {
    if (chunk.message() <= now_.last_part_in || chunk.offset() != 0) return refuse(link_violation::chunk_misplaced);
    if (chunk.total() > options_.message_bytes_max) return refuse(link_violation::too_large);
    if (now_.parts.size() >= now_.lanes.size()) return refuse(link_violation::too_many_parts);
    now_.last_part_in = chunk.message();
    i = now_.parts.emplace(chunk.message(), arriving{{}, chunk.total()}).first;
  }
  auto& part = i->second;
  if (chunk.offset() != part.bytes.size() || chunk.total() != part.total || chunk.bytes().empty()
      || chunk.bytes().size() > part.total - part.bytes.size())
    return refuse(link_violation::chunk_misplaced);
  part.bytes += chunk.bytes(); // memory grows with what has arrived, not with what was announced
  if (part.bytes.size() < part.total) return true;

  v1::Envelope envelope;
  const bool sound = envelope.ParseFromString(part.bytes);
  now_.parts.erase(i);
  if (!sound) return refuse(link_violation::unparsable);
  if (!known(envelope)) return refuse(link_violation::unknown_body);
  ++counters_.messages_received;
  out.push_back(deliver{std::move(envelope)});
  return true;
}

} // namespace troupe
