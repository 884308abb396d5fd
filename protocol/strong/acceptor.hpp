/// REPLICA's core: promises, leases and records of one node, for all shards (PROTOCOLS §3.1, §3.2, §3.4).
///
/// What homes send:       Claim, ReleaseHome, RenewLeases, ReadLatest, Accept, Collect, ListTombstones.
/// What it answers:       Granted / Refused, LeasesRenewed, Latest / Abstain / Superseded, Accepted / Superseded,
///                        nothing / Superseded, Tombstones.
/// What the environment must provide: effects performed in order; a `persist` completes before any effect behind it
/// is performed, except a `send` that is marked urgent; `persisted()` after each completed persist; one `loaded()`
/// for each `load`, one `scanned()` for each `scan`; `tick()` no later than wake_at().
///
/// Its weak spot: it answers for what it has been told is durable. A store that acknowledges a write and loses it
/// breaks every promise made here; that is why such a store must be recognised when it is opened.
#pragma once

#include "protocol/effects.hpp"
#include "protocol/ids.hpp"
#include "protocol/limits.hpp"
#include "protocol/strong/tombstone_list.hpp"

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

namespace troupe {

struct acceptor_options {
  node_id self;
  std::uint32_t shards = 0;  ///< of the cluster; messages about others are dropped
  std::size_t index_max = 0; ///< how many keys' (ballot, version) are kept in memory; 1 and up
  std::size_t loads_max = 0; ///< keys that may be waiting for the store at once; 1 and up
  /// What may be waiting for the store: writes, answers behind them, messages behind loads. Beyond it nothing is
  /// accepted or answered, which costs a vote and no promise: homes repeat themselves. Claims may go up to twice as
  /// far, so that a shard can change hands while records fill the bound.
  std::size_t pending_max = limits::replica_pending_max;
  std::size_t pending_bytes_max = limits::replica_pending_bytes_max;
  std::size_t tombstones_bytes_max = limits::replica_tombstones_bytes_max; ///< for the keys of known tombstones
};

/// What makes a stored record greater than another; compared in member order.
struct record_rank {
  ballot accepted_in;
  version number;
  friend constexpr auto operator<=>(const record_rank&, const record_rank&) = default;
};

class acceptor {
public:
  /// Store `record` under (shard, key), and know it by `write`.
  struct persist_record {
    std::uint64_t write = 0; ///< 1 and up, consecutive over records and promises
    shard_id shard;
    std::string key;
    v1::StoredRecord record;
  };
  struct persist_promise {
    std::uint64_t write = 0;
    shard_id shard;
    v1::StoredPromise promise;
  };
  /// Erase the record under (shard, key) and store `promise`, both or neither.
  struct persist_collection {
    std::uint64_t write = 0;
    shard_id shard;
    std::string key;
    v1::StoredPromise promise;
  };
  /// Read the record under (shard, key), and call loaded().
  struct load {
    shard_id shard;
    std::string key;
  };
  /// Look for tombstones among the shard's records after `after`, as many as the store cares to, and call scanned().
  struct scan {
    shard_id shard;
    std::string after;
  };
  /// An answer. Urgent: does not wait for earlier persists, because it states nothing that they hold.
  struct answer {
    bool urgent = false;
    node_id to;
    v1::Envelope envelope;
  };
  /// For the lock manager of `shard` on this node: who holds the lease here. era.round 0 = nobody any more.
  struct lessee_changed {
    shard_id shard;
    epoch era;
    node_id leaver; ///< gave the lease back and will claim no more; value 0 = the lease just ended
  };
  using effect =
      std::variant<persist_record, persist_promise, persist_collection, load, scan, answer, lessee_changed, note>;
  using effects = std::vector<effect>;

  /// What a load found: nothing, a verified record, or damage (false).
  struct damage {};
  using found = std::variant<std::monostate, v1::StoredRecord, damage>;

  /// `promises`: what the store held when it was opened. A node that starts honours, from `now`, the longest lease
  /// that it ever granted for each shard, in full: it cannot know how much of it had passed.
  acceptor(acceptor_options options, const std::map<shard_id, v1::StoredPromise>& promises, instant now);

  void receive(node_id from, const v1::Claim& claim, instant now, effects& out);
  void receive(node_id from, const v1::ReleaseHome& release, instant now, effects& out);
  void receive(node_id from, const v1::RenewLeases& renew, instant now, effects& out);
  void receive(node_id from, v1::ReadLatest question, instant now, effects& out);
  void receive(node_id from, v1::Accept accept, instant now, effects& out);
  void receive(node_id from, const v1::Collect& collect, instant now, effects& out);
  void receive(node_id from, const v1::ListTombstones& question, instant now, effects& out);

  /// All writes up to `write` are durable.
  void persisted(std::uint64_t write);
  void loaded(shard_id shard, const std::string& key, found what, instant now, effects& out);
  /// What a scan has found, and after which key it goes on; `next` empty = that was the last of them.
  void scanned(shard_id shard, const std::vector<tombstone_list::entry>& tombstones, const std::string& next);
  /// Reports leases that have ended.
  void tick(instant now, effects& out);
  /// The next moment at which tick() has something to do; `never` when there is none.
  instant wake_at() const;

  epoch promised(shard_id shard) const;
  /// Keys with a write that is not durable yet; for status and bounds.
  std::size_t undurable() const { return undurable_.size(); }
  /// What waits for the store, and what it holds.
  std::size_t pending() const { return pending_; }
  std::size_t pending_bytes() const { return pending_bytes_; }
  /// Records that were erased since the start; tombstones that are known to be here.
  std::uint64_t collected() const { return collected_; }
  std::size_t tombstones() const { return tombstones_.size(); }

private:
  struct slot {
    epoch promised;                  ///< never lower than any epoch answered; round 0 = none yet
    std::uint64_t promise_write = 0; ///< the write that makes `promised` durable; 0 = it came from the store
    milliseconds longest{0};         ///< longest lease ever granted, as written to the store
    epoch lessee;    ///< whose lease runs until lease_until; round 0 = nobody's, or not known (restart)
    version evicted; ///< highest that was collected; written to the store with the erasing
    epoch released;  ///< given back: a renewal that the release overtook starts no lease; round 0 = none since start
    instant lease_until = instant::min(); ///< on this node's clock
    bool reported = false;                ///< the lock manager was told of `lessee`
    instant looked_at = never;            ///< its place in lease_ends_; never = it has none
  };
  using place = std::pair<shard_id, std::string>; ///< a key in its shard
  using parked = std::variant<v1::ReadLatest, v1::Accept, v1::Collect>;
  struct undurable_record {
    std::uint64_t write = 0;
    record_rank rank;
    std::optional<std::string> bytes; ///< none = the record is being erased
  };
  using undurable_map = std::map<place, undurable_record>;

  /// Keeps the ranks of recently used keys, none of which is of two shards: two generations, each of at most half of
  /// the bound; the older is dropped whole when the younger is full. Never iterated.
  class rank_index {
  public:
    explicit rank_index(std::size_t keys_max) : half_{keys_max / 2 + 1} {}
    /// Null: not known. The rank may be changed, until the next call.
    record_rank* find(const std::string& key);
    void put(const std::string& key, const record_rank& rank);
    void erase(const std::string& key);

  private:
    std::size_t half_;
    std::unordered_map<std::string, record_rank> young_, old_;
  };

  void raise_promise(shard_id shard, slot& s, const epoch& era, effects& out);
  void start_lease(shard_id shard, slot& s, const epoch& era, instant until, effects& out);
  void watch_lease(shard_id shard, slot& s);
  bool full(std::size_t times = 1) const;
  bool is_known(shard_id shard, effects& out) const;
  void drop(std::string_view reason, shard_id shard, effects& out) const;
  void hold_back(std::size_t bytes);
  void tell(answer a, std::size_t bytes, effects& out);
  void tell(const lessee_changed& l, effects& out);
  static v1::StoredPromise stored_promise(shard_id shard, const slot& s);
  void persist_slot(shard_id shard, slot& s, effects& out);
  bool outranked(const slot& s, const epoch& era) const;
  void supersede(node_id to, shard_id shard, std::uint64_t number, const std::string& key, const record_rank& stored,
                 effects& out);
  template <class Message> void park(node_id from, Message message, effects& out);
  void abstain(node_id to, const place& where, const epoch& asker, std::uint64_t number, effects& out);
  /// `bytes`: none = there is no record.
  void answer_latest(node_id from, const v1::ReadLatest& question, const record_rank& rank,
                     const std::optional<std::string>& bytes, effects& out);
  /// `known`: the place of the key's rank in the index; null = it is not there.
  void judge(node_id from, v1::Accept&& accept, record_rank stored, record_rank* known, effects& out);
  void erase(const v1::Collect& collect, const record_rank& stored, effects& out);
  void learn(const place& where, const v1::StoredRecord* stored);

  acceptor_options options_;
  std::map<shard_id, slot> slots_;
  /// When to look at which lease, by time; one entry per shard whose lease is reported. Why not its exact end: a
  /// renewal moves that four times a lease, and is noticed when the entry is reached.
  std::set<std::pair<instant, shard_id>> lease_ends_;
  std::uint64_t writes_ = 0;  ///< number of the last persist that was asked for
  std::uint64_t durable_ = 0; ///< number of the last that completed
  /// Writes that are not durable, and what is said behind each.
  struct group {
    std::uint64_t write = 0;
    std::size_t messages = 0;
    std::size_t bytes = 0;
  };
  std::deque<group> held_back_; ///< by write
  std::size_t pending_ = 0;     ///< messages in held_back_ and parked_
  std::size_t pending_bytes_ = 0;
  /// Accepted here, not durable yet: the newest per key. Read before the store, which may not show them yet.
  undurable_map undurable_;
  std::deque<std::pair<std::uint64_t, undurable_map::iterator>> undurable_order_; ///< by write, for persisted()
  /// Messages that wait for a load of their key, in order of arrival. Bounded by loads_max keys, per key by what one
  /// home may have under way (it repeats itself at most once per quarter lease), and together by pending_bytes_max.
  std::map<place, std::deque<std::pair<node_id, parked>>> parked_;
  /// What was said about a damaged record. An Accept repairs it that quotes any Abstain to its own home since
  /// `first`: were it only the last one, answers to two transmissions could chase each other for ever.
  struct abstention {
    epoch asker;             ///< of the home that was told; round 0 = none was, since this node started
    std::uint64_t first = 0; ///< the number of its first message that was answered so
  };
  std::map<place, abstention> damaged_; ///< keys whose stored record is damaged: no vote until it is repaired
  rank_index index_;
  tombstone_list tombstones_; ///< hints for the homes of this node
  std::uint64_t collected_ = 0;
};

} // namespace troupe
