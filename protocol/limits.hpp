/// Every bound of the runtime in one place. Overload is an error to the caller, never memory (invariant X1).
#pragma once

#include <cstddef>
#include <cstdint>

namespace troupe::limits {

inline constexpr std::size_t key_bytes_max = 1024;
inline constexpr std::size_t value_bytes_max = std::size_t{8} << 20;

/// Messages above this are cut into chunks of this size: a large value must not delay a lease renewal.
inline constexpr std::size_t chunk_bytes = std::size_t{64} << 10;
/// Records up to this travel in the priority lane.
inline constexpr std::size_t small_message_bytes = 4096;
/// A frame is closed when it holds this much, so that one frame never occupies a connection for long.
inline constexpr std::size_t frame_bytes_max = std::size_t{256} << 10;
inline constexpr std::size_t frame_messages_max = 512;
/// Largest message that a peer may send in chunks: a value, its key and the record around it, with as many settled
/// outcomes as it may hold.
inline constexpr std::size_t message_bytes_max = value_bytes_max + (std::size_t{128} << 10);

/// What may be under way to one peer before it grants more.
inline constexpr std::size_t credit_bytes = std::size_t{16} << 20;
inline constexpr std::size_t credit_messages = 16'384;
/// What may wait for credit, per peer.
inline constexpr std::size_t link_queue_bytes = std::size_t{64} << 20;
inline constexpr std::size_t link_queue_messages = 65'536;

/// Operations that wait for one key at its home; and for all keys of one shard, with what these and its undecided
/// writes hold.
inline constexpr std::size_t key_queue_max = 1'024;
inline constexpr std::size_t shard_queue_max = 8'192;
inline constexpr std::size_t shard_queue_bytes_max = std::size_t{64} << 20;
/// Values that the answers of one step of a home carry; what else waits is answered a moment later. One always may.
inline constexpr std::size_t answers_bytes_max = std::size_t{16} << 20;
/// Waiting writes of one key that may be decided together and accepted as one record.
inline constexpr std::size_t combine_max = 64;
/// Outcomes (request ids) that a record keeps when nothing forces it to keep more.
inline constexpr std::size_t settled_kept = 8;
/// Operations of this node's sessions that may be under way at once.
inline constexpr std::size_t operations_max = 65'536;
inline constexpr std::size_t operations_bytes_max = std::size_t{512} << 20;
/// Operations of one session that are not settled: how many, and what they may weigh together.
inline constexpr std::size_t session_operations_max = 4'096;
inline constexpr std::size_t session_bytes_max = std::size_t{64} << 20;
/// Writes of one session to causal and session types that it can tell apart by key, while they are not visible in its
/// region; older ones are waited for when anything is read. So an operation names no more of them either.
inline constexpr std::size_t session_own_writes_max = 1'024;
/// Questions of `troupe explain` that are open at a node, and what one node may say of a key.
inline constexpr std::size_t explanations_max = 16;
inline constexpr std::size_t explain_views_max = 64;
/// Nodes that hold read locks of one shard, what their locks take together, and messages on their way to each of
/// them: at its home.
inline constexpr std::size_t holders_max = 1'024;
inline constexpr std::size_t held_bytes_max = std::size_t{2} << 20;
inline constexpr std::size_t holder_queue_max = 8'192;
/// Reads of a node that may be waiting for a read lock; and keys per lease that are recalled and not committed.
inline constexpr std::size_t lock_requests_max = 65'536;
inline constexpr std::size_t pending_copies_max = 1'024;
/// Named locks: how long one may be asked for, who may have one together, and what a grant protects; with the keys of
/// former grants that nobody has fenced yet.
inline constexpr std::uint64_t lock_duration_max_ms = 3'600'000;
inline constexpr std::size_t lock_owner_bytes_max = 256;
inline constexpr std::size_t lock_owners_max = 256;
inline constexpr std::size_t lock_protects_max = 64;
inline constexpr std::size_t lock_fenced_keys_max = 1'024;
inline constexpr std::size_t lock_fenced_bytes_max = std::size_t{64} << 10;
/// A lock's name leaves room for the keys of its floors.
inline constexpr std::size_t lock_name_bytes_max = key_bytes_max - 5;
/// Memory for records that a node keeps as home, and for what it knows of its own replica's records.
inline constexpr std::size_t home_bytes_max = std::size_t{256} << 20;
inline constexpr std::size_t replica_index_max = 1'000'000;
/// Reads of the local store that may be under way at once on behalf of peers.
inline constexpr std::size_t replica_loads_max = 16'384;
/// What may be waiting for the local store: writes, answers behind them, messages behind reads.
inline constexpr std::size_t replica_pending_max = 65'536;
inline constexpr std::size_t replica_pending_bytes_max = std::size_t{128} << 20;
/// Memory for the keys of tombstones that a replica knows of.
inline constexpr std::size_t replica_tombstones_bytes_max = std::size_t{32} << 20;
/// Members in a view, those of former static lists among them.
inline constexpr int view_members_max = 1'024;
/// Who follows the view on one node.
inline constexpr std::size_t view_listeners_max = 256;
/// Tombstones of its own epoch, which it cannot collect, for which the home of a shard begins a new one.
inline constexpr std::size_t unripe_tombstones_max = 10'000;
/// Weaker levels: concurrent versions of a key, or of one of its fields; and fields of a key with those removed
/// lately. Accepting replicas refuse what would exceed them; what was accepted elsewhere at the same time may.
inline constexpr std::size_t siblings_max = 32;
inline constexpr std::size_t fields_max = 10'000;
/// Values that lost against concurrent ones, kept by the node that had accepted them: how many, and what they hold.
inline constexpr std::size_t conflicts_max = 10'000;
inline constexpr std::size_t conflicts_bytes_max = std::size_t{16} << 20;
inline constexpr std::size_t conflicts_listed_max = 1'000; ///< at once
/// Functions of the service that resolve conflicts.
inline constexpr std::size_t resolvers_max = 64;

/// Update streams, per node. Memory for records that have nothing unfolded; for updates that are not part of a record
/// yet, per lane: past it the lane takes no more from peers and sessions.
inline constexpr std::size_t stream_cache_bytes = std::size_t{256} << 20;
inline constexpr std::size_t stream_unfolded_bytes_max = std::size_t{128} << 20;
/// A node's own log on disk, per lane, for peers that lag behind; what is older needs a cut.
inline constexpr std::size_t stream_own_log_bytes_max = std::size_t{1} << 30;
/// Outcomes of the node's own weak writes that a retry finds: how many, and what they hold.
inline constexpr std::size_t stream_requests_max = 262'144;
inline constexpr std::size_t stream_requests_bytes_max = std::size_t{64} << 20;
/// Writes that were refused, so that a late copy of one is not executed.
inline constexpr std::size_t stream_refusals_max = 65'536;
/// Operations that wait for what their session has seen, for a record's bytes, for the store or for other replicas.
inline constexpr std::size_t stream_waiting_max = 65'536;
inline constexpr std::size_t stream_waiting_bytes_max = std::size_t{128} << 20;

/// Update streams, per peer and lane: sent and not acknowledged; kept until it is; read from the log at once; in one
/// message.
inline constexpr std::size_t stream_window_bytes = std::size_t{4} << 20;
inline constexpr std::size_t stream_queue_bytes = std::size_t{16} << 20;
inline constexpr std::size_t stream_read_bytes = std::size_t{256} << 10;
inline constexpr std::size_t stream_message_bytes = std::size_t{64} << 10;
/// Accepted from a peer's stream and not durable yet: more than a window, since one message always may be taken.
inline constexpr std::size_t stream_unsynced_bytes = std::size_t{8} << 20;
/// Entries of a version vector that a message may carry: origins, so nodes and their lives.
inline constexpr std::size_t stream_vector_entries_max = 16'384;
/// Operations of a node that wait for its frontier.
inline constexpr std::size_t frontier_waits_max = 65'536;

} // namespace troupe::limits
