/// MEMORY LAYER's core: the read locks of one node with the homes of all shards (PROTOCOLS §3.3).
///
/// What it sends to homes:  LockRequest, LockRelease, LeaseRenew, Recalled.
/// What it is told:         LockGranted / LockRefused / LargeCopy, LeaseGranted, Recall, Committed; reads that
/// missed;
///                          what the table dropped for want of room; peers up and down.
/// What it wants done:      publish, unpublish, commit, erase, lease_set, lease_ended on the table of copies, which
///                          any thread reads; answers for the reads that missed.
/// What the environment must provide: effects performed in order, so that a Recalled leaves after its unpublish;
/// `tick()` no later than wake_at(); `now` sampled after the message was taken from the mailbox, or the read began.
///
/// The copies themselves are the table's. What is kept here of a lease is its generation, the sequence, and keys
/// between recall and commit. A generation is given up whole whenever anything of its sequence may be missing, and
/// nothing of it is ever readable again: that is why a recall of a generation that is over may be answered at once.
#pragma once

#include "protocol/effects.hpp"
#include "protocol/error.hpp"
#include "protocol/ids.hpp"
#include "protocol/limits.hpp"

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace troupe {

struct holder_options {
  node_id self;
  incarnation life;        ///< below 2^32
  milliseconds lease{400}; ///< what homes grant at most; leases are renewed every quarter of it
  std::uint32_t drift_ppm = 10'000;
  milliseconds patience{250}; ///< a LockRequest that is not answered by then has failed
  std::size_t requests_max = limits::lock_requests_max;
  std::size_t pending_max = limits::pending_copies_max; ///< per lease; what is recalled beyond it is dropped
};

class holder {
public:
  /// A copy of a record as the home of `shard` sent it under `generation`.
  struct cached {
    shard_id shard;
    lease_generation generation;
    std::string key;
    version at;
    bool exists = false;
    std::string value; ///< empty unless it exists
  };

  // On the table.
  struct publish { ///< reads may be answered with it while the generation's lease runs; without room: erase,
                   ///< evicted()
    cached copy;
  };
  struct unpublish { ///< no read that begins now sees the key; `pending` waits for commit; evicted() when it cannot
    cached pending;
  };
  struct commit { ///< what was unpublished may be read, if it is of exactly this version
    shard_id shard;
    std::string key;
    version at;
  };
  struct erase {
    shard_id shard;
    std::string key;
  };
  struct lease_set { ///< reads that began before `until` may be answered with what was published under it
    shard_id shard;
    lease_generation generation;
    instant until;
  };
  struct lease_ended { ///< nothing of the running generation may be read
    shard_id shard;
  };

  // On reads that missed.
  struct obtained { ///< the answer of the read that acquire() numbered
    std::uint64_t number = 0;
    version at;
    bool exists = false;
    std::string value;
  };
  struct failed { ///< ask the home by an Operation
    std::uint64_t number = 0;
    errc code = errc::none;
    node_id hint; ///< the node that seems to be home; value 0 = not known
  };

  using effect =
      std::variant<publish, unpublish, commit, erase, lease_set, lease_ended, obtained, failed, send, note>;
  using effects = std::vector<effect>;

  explicit holder(holder_options options);

  /// A read of `key` missed, and `home` seems to be home of its shard: asks it for the record and a read lock.
  ///
  /// Why no joining of requests for one key: an answer is right for reads that began before its home gave it, and
  /// only the home knows when that was.
  /// @return the number that `obtained` or `failed` will carry, exactly one of them and within `patience`.
  std::uint64_t acquire(node_id home, shard_id shard, const std::string& key, nanoseconds budget, instant now,
                        effects& out);

  void receive(node_id from, const v1::LeaseGranted& granted, instant now, effects& out);
  void receive(node_id from, v1::LockGranted granted, instant now, effects& out);
  void receive(node_id from, v1::LargeCopy large, instant now, effects& out);
  void receive(node_id from, v1::LockRefused refused, instant now, effects& out);
  void receive(node_id from, v1::Recall recall, instant now, effects& out);
  void receive(node_id from, const v1::Committed& committed, instant now, effects& out);

  /// A write of the key begins on this node: the table is to drop what it has of it before `write` is sent, which
  /// says so to the home. Nothing is said when no lease runs.
  void give_back(v1::Operation& write, instant now, effects& out);
  /// The table holds nothing of the key, for want of room: its lock is given back.
  void evicted(shard_id shard, const std::string& key, effects& out);
  /// A connection to `who` began or ended; what the old one carried may be lost, or late.
  void peer(node_id who, bool connected, instant now, effects& out);
  /// Gives all leases back, and renews none: the node is about to stop.
  void release(effects& out);
  void tick(instant now, effects& out);
  instant wake_at() const { return wake_; }

  /// Of the running lease with the home of `shard`; instant::min() when there is none.
  instant lease_until(shard_id shard) const;
  std::size_t leases() const { return running_; }
  std::size_t requests() const { return asked_.size(); }

private:
  struct lease {
    std::uint64_t number = 0; ///< Generation.number of the running generation, or of the next one
    bool running = false;
    epoch era;                              ///< of the newest generation that ran here, ended or not
    node_id home;                           ///< running: who granted it; else who was asked last
    instant until;                          ///< running: it lapses then
    std::uint64_t applied = 0;              ///< running: sequence of the last message that was applied
    std::map<std::string, version> pending; ///< running: recalled, kept, and not committed yet
    std::map<std::string, version> large;   ///< running: granted, but the value has not come yet
  };
  using lease_map = std::map<shard_id, lease>;
  /// A LockRequest that is not answered yet.
  struct request {
    node_id home;
    instant sent_at;
  };

  static void drop(std::string_view reason, node_id from, std::uint32_t shard, effects& out);
  static lease_generation generation_of(const lease& l) { return {.era = l.era, .n = l.number}; }
  lease& lease_with(shard_id shard, instant now, effects& out);
  std::optional<instant> sent_at(std::uint64_t number) const;
  void begin(lease_map::iterator i, node_id from, const v1::LeaseGranted& granted, effects& out);
  void give_up(lease_map::iterator i, std::string_view why, bool tell_home, effects& out);
  lease* in_sequence(shard_id shard, const lease_generation& g, std::uint64_t sequence, instant now, effects& out);
  void answer(std::uint64_t number, v1::Copy copy, effects& out);
  void fail(std::uint64_t number, errc code, node_id hint, effects& out);
  void send_release(const lease& l, shard_id shard, const std::string& key, effects& out) const;
  void renew(instant now, effects& out);
  void watch(instant at) { wake_ = std::min(wake_, at); }

  holder_options options_;
  lease_map leases_;                          ///< one entry per shard that was ever asked for a lock
  std::size_t running_ = 0;                   ///< of them
  std::uint64_t numbers_;                     ///< last request number; the incarnation in the upper half
  std::map<std::uint64_t, request> asked_;    ///< by number, so by age
  std::map<std::uint64_t, instant> renewals_; ///< send time of recent LeaseRenews, by number
  bool released_ = false;
  instant renew_at_ = never;
  instant wake_ = never; ///< no later than the next thing to do
};

} // namespace troupe
