/// The names of things: strong id types, so that two integers cannot be swapped.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>

namespace troupe {

/// An integer that is an id of kind `Tag`: compares, prints, and converts from and to nothing by itself.
template <class Tag, class Rep> struct strong_id {
  Rep value = 0;
  friend constexpr auto operator<=>(strong_id, strong_id) = default;
};

/// One process (or one simulated process), the same across restarts. 1 and up; 0 = none.
using node_id = strong_id<struct node_id_tag, std::uint32_t>;
/// One of `shards` slots that keys hash to. 0 and up.
using shard_id = strong_id<struct shard_id_tag, std::uint32_t>;
/// Grows at each start of a node and is on disk before anything is sent. 1 and up.
using incarnation = strong_id<struct incarnation_tag, std::uint64_t>;
/// A session that was opened somewhere; unique in the cluster without agreement (random, or node and incarnation).
using session_id = strong_id<struct session_id_tag, std::uint64_t>;

/// Ids of client nodes (no vote, no store, not in the static list) have this bit set.
inline constexpr std::uint32_t client_node_bit = 0x8000'0000U;
constexpr bool is_client(node_id node) { return (node.value & client_node_bit) != 0; }

/// Names one operation of one session across retries and fail-over.
struct request_id {
  session_id session;
  std::uint64_t number = 0; ///< 1 and up, in the order in which the session issued them
  friend constexpr auto operator<=>(const request_id&, const request_id&) = default;
};

/// The right to decide for a shard; compared in member order. Used once: see PROTOCOLS §3.1. round 0 = none.
struct epoch {
  std::uint64_t round = 0;
  node_id node;
  incarnation life;
  friend constexpr auto operator<=>(const epoch&, const epoch&) = default;
  explicit constexpr operator bool() const { return round != 0; }
};

/// The epoch in which a replica last accepted a record.
using ballot = epoch;

/// A version of a strong key. Assigned once, never changed; counter is per shard and epoch and never reused.
struct version {
  epoch era;
  std::uint64_t counter = 0;
  friend constexpr auto operator<=>(const version&, const version&) = default;
  explicit constexpr operator bool() const { return static_cast<bool>(era); }
};

/// One generation of a node's lease with the home of a shard: a new one begins with nothing held, and an ended one
/// never runs again. Whatever was granted under another generation than the running one may not be read.
struct lease_generation {
  epoch era;           ///< of the home
  std::uint64_t n = 0; ///< grows whenever the node gives a generation up, over its restarts too; 1 and up
  friend constexpr auto operator<=>(const lease_generation&, const lease_generation&) = default;
};

/// Who numbers updates: one life of one node. Lives are given out by the view, 1 and up; life 0 = none.
struct origin {
  node_id node;
  std::uint64_t life = 0;
  friend constexpr auto operator<=>(const origin&, const origin&) = default;
  explicit constexpr operator bool() const { return life != 0; }
};

/// One update: the seq-th of its origin in its lane, 1 and up. seq 0 = none.
struct dot {
  origin from;
  std::uint64_t seq = 0;
  friend constexpr auto operator<=>(const dot&, const dot&) = default;
  explicit constexpr operator bool() const { return seq != 0; }
};

/// The monotonic time line of one node. It has no now(): time enters the pure floor as an argument.
struct node_time {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<node_time, duration>;
  static constexpr bool is_steady = true;
};
using instant = node_time::time_point;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
inline constexpr instant never = instant::max();

std::string to_string(node_id node);
std::string to_string(shard_id shard);
std::string to_string(const epoch& era);
std::string to_string(const version& v);
std::string to_string(const lease_generation& g);
std::string to_string(const request_id& id);

} // namespace troupe
