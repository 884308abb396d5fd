/// What all nodes of a static cluster must agree on, and the hash that two nodes compare before they talk.
#pragma once

#include "protocol/ids.hpp"

#include <troupe/level.hpp>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Version of everything that travels between nodes; two nodes with different ones do not talk.
inline constexpr std::uint32_t protocol_version = 3;

/// What happens to a write that no majority has answered by its deadline. See PROTOCOLS §3.5.
enum class on_timeout : std::uint8_t { unknown, rollback };

/// How the concurrent versions of a key of a weaker level are seen: a view of the set of them (PROTOCOLS §5).
enum class resolver_kind : std::uint8_t {
  last_writer_wins, ///< the value with the highest stamp; the others go to the conflict ledger
  siblings,         ///< all of them, with a context that the next write quotes
  counter,          ///< the sum of what every node has added and taken away
  growing_counter,  ///< the same; nothing is ever taken away
  set,              ///< of elements: an element that is added while it is removed elsewhere stays
  map,              ///< of fields, each of which the last writer wins
};

/// Which replicas have an update on their disks before its writer is answered; of those in the view.
enum class write_ack : std::uint8_t { local, one_remote, majority };

/// When the accepting node answers: after its own sync, or before it. No update leaves it before the sync.
enum class write_durability : std::uint8_t { sync, async };

/// A named policy for a set of keys.
struct data_type {
  level consistency = level::strong;
  on_timeout timeout = on_timeout::unknown; ///< strong types only
  // Weaker levels only:
  resolver_kind resolver = resolver_kind::last_writer_wins;
  write_ack ack = write_ack::local;
  write_durability durability = write_durability::sync;
  friend bool operator==(const data_type&, const data_type&) = default;
};

std::string_view name_of(resolver_kind r);
std::string_view name_of(write_ack a);
std::string_view name_of(write_durability d);
std::optional<resolver_kind> resolver_named(std::string_view name);
std::optional<write_ack> ack_named(std::string_view name);
std::optional<write_durability> durability_named(std::string_view name);

/// A node of the static list.
struct member {
  node_id id;
  std::string name;
  std::string region;
  std::string host; ///< where its links listen
  std::uint16_t port = 0;
};

/// The static list and everything cluster-wide. Sorted: members by id, types by name.
struct cluster {
  std::string name;
  std::uint32_t shards = 256; ///< 1..65536
  std::uint32_t replicas = 3; ///< per shard; at most the number of members
  milliseconds lease{400};
  std::uint32_t drift_ppm = 10'000; ///< max_clock_drift: clocks of two nodes drift by less over one lease
  std::vector<member> members;
  std::map<std::string, data_type> types;

  const member* find(node_id id) const;
  const member* find(std::string_view member_name) const;

  /// XXH3-64 over all of the above except hosts and ports (a node may move).
  std::uint64_t hash() const;
  /// The same content in words, for the refusal that names both values: "shards=256 lease_ms=400 nodes=eu-1(1,eu),…".
  std::string describe() const;
};

/// A stored key: data type and key in one, "inventory:85123A". Type names hold no colon.
std::string stored_key(std::string_view type, std::string_view key);

/// The shard that a stored key hashes to.
shard_id shard_of(std::string_view stored, std::uint32_t shards);

/// The replica set of a shard in the order in which its members claim it: rendezvous hashing, spread over regions
/// first (no region twice while another has none). Deterministic; depends on ids and regions only.
std::vector<node_id> replica_set(const cluster& c, shard_id shard);

} // namespace troupe
