/// The home's table of who holds what: the leases that it gave to nodes, the read locks under them, and the recalls
/// under way (PROTOCOLS §3.3). A part of `home`, which decides when a lock may be granted and what a recall is for.
///
/// A write of a key that somebody holds is committed only after recall() has come to its end: every holder has
/// answered, given its lease back, or lapsed by this clock. A lease is counted here from when it is granted, and by
/// the node from when it asked, less the drift: the node is always the first to stop.
///
/// Weak spot: a lease ends early only when its node gives it back. A node that is silent costs each writer of what it
/// holds what remains of its lease.
#pragma once

#include "protocol/effects.hpp"
#include "protocol/ids.hpp"
#include "protocol/limits.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace troupe {

struct holders_options {
  shard_id shard;
  milliseconds lease{400};      ///< granted at most
  milliseconds retransmit{100}; ///< unanswered recalls are sent again after this
  std::size_t nodes_max = limits::holders_max;
  std::size_t bytes_max = limits::held_bytes_max;   ///< what the locks of all nodes may take together
  std::size_t queue_max = limits::holder_queue_max; ///< messages sent to a node and not known to be applied
};

class holders {
public:
  using effect = std::variant<send, note>;
  using effects = std::vector<effect>;

  explicit holders(holders_options options) : options_{options} {}

  /// The home leads in `era`, or no longer does (round 0): nobody holds anything.
  void reset(const epoch& era);
  /// Until when the home leads, as far as it knows; never earlier than said before in this epoch.
  void home_leads_until(instant until) { home_until_ = until; }

  /// What a node asks for: the numbers of its LockRequest.
  struct wish {
    node_id from;
    std::uint64_t number = 0;
    std::uint64_t generation = 0;
  };
  /// Grants a read lock on `key`, whose committed record is `copy`; begins the generation if need be. The key must
  /// not be under recall.
  /// @return false: no lock, and nothing was sent that answers the request.
  bool grant(const wish& asked, const std::string& key, const v1::Copy& copy, instant now, effects& out);
  /// Whether nothing will ever be granted under the generation again: its node has to ask under a later one.
  bool over(const wish& asked, instant now) const;
  /// Prolongs the lease of a node that holds something. Who holds nothing is not answered, and lapses: a node that
  /// read here once shall not be renewed, and kept in this table, for ever.
  void renew(node_id from, std::uint64_t number, const v1::HeldLease& held, instant now, effects& out);
  void released(node_id from, const v1::LockRelease& release, effects& out);
  /// A write of `key` says that its node has nothing of it any more.
  /// @return whether the node held the key.
  bool given_back(node_id from, const std::string& key, const v1::GivenBack& by_write, effects& out);
  /// Grants the key, unasked, to a node that had given it back, if the generation of then still runs. The same must
  /// hold as for grant().
  void grant_anew(node_id to, std::uint64_t generation, const std::string& key, const v1::Copy& copy, instant now,
                  effects& out);

  /// Takes the key back from everybody who holds it; `copy` is what it will be. Replaces a recall of the same key.
  /// @return whether anybody is waited for.
  bool recall(const std::string& key, const v1::Copy& copy, instant now, effects& out);
  void recalled(node_id from, const v1::Recalled& answer, instant now, effects& out);
  /// The write was committed: whoever kept the copy holds the key again.
  void committed(const std::string& key, const version& at, effects& out);

  /// Takes all leases back, and grants none any more; nobody_left() tells when that is done.
  void recall_all(instant now, effects& out);
  bool nobody_left(instant now) const;

  /// Lapses and retransmissions.
  void tick(instant now, effects& out);
  instant wake_at() const { return wake_; }

  /// Keys whose recall came to its end since the last call: nobody is waited for any more.
  std::vector<std::string> take_ended() { return std::exchange(ended_, {}); }
  bool any_ended() const { return !ended_.empty(); }

  bool hold(const std::string& key) const { return held_.contains(key); }
  /// For people: the nodes that hold the key, and those among them whose answer to a recall is waited for.
  struct key_holders {
    std::vector<node_id> all, awaited;
  };
  key_holders of(const std::string& key) const;
  bool empty() const { return held_.empty(); }
  std::size_t locks() const { return locks_; }
  std::size_t bytes() const { return bytes_; }
  std::size_t leases() const { return leases_.size(); }
  /// Nodes whose lease runs.
  std::size_t nodes(instant now) const;
  std::size_t recalls() const { return recalls_.size(); }

private:
  struct lease;
  struct lock {
    enum class state : std::uint8_t {
      held,
      recalled, ///< a recall is not answered
      kept,     ///< answered, and Committed is waited for
    };
    lease* of;
    std::size_t place; ///< in of->locks
    state at = state::held;
    std::uint64_t granted_as = 0; ///< sequence of the message that granted it
  };
  /// Keys that are held, and by whom, in no order that means anything. Never iterated; entries do not move.
  using held_map = std::unordered_map<std::string, std::vector<lock>>;
  using held_key = held_map::value_type;

  struct lease {
    node_id node;
    std::uint64_t number = 0;       ///< Generation.number of its newest generation
    instant until{};                ///< it has lapsed from then on; instant::min() = given back
    std::uint64_t sent = 0;         ///< sequence of the last message; begins at forgotten_
    std::uint64_t applied = 0;      ///< sequence of the last message that is known to be applied by the node
    std::size_t unanswered = 0;     ///< locks in state `recalled`
    std::uint64_t renewal_owed = 0; ///< number of a LeaseRenew that came while a recall was unanswered; 0 = none
    bool asked_back = false;        ///< the lease as a whole is recalled: nothing else is sent under it
    instant asked_back_at{};
    std::vector<held_key*> locks{};
  };
  struct running_recall {
    v1::Copy copy;
    std::size_t awaited = 0; ///< locks in state `recalled`
    instant sent_at;
  };

  template <class Message> void address(lease& l, Message& m);
  bool runs(const lease& l, instant now) const { return now < l.until; }
  static std::size_t weight_of(const std::string& key);
  lease* find(node_id node, const lease_generation& g);
  lease* hear(node_id from, const lease_generation& g, std::uint64_t applied, effects& out);
  lease* lease_for(const wish& asked, instant now, effects& out);
  void extend(lease& l, std::uint64_t number, instant now, effects& out);
  void add_lock(lease& l, held_key& key);
  void remove_lock(held_key& key, lease& l);
  bool take(lease& l, const std::string& key, std::uint64_t applied);
  bool has_room(const std::string& key, instant now);
  void give(lease& l, std::uint64_t number, const std::string& key, const v1::Copy& copy, effects& out);
  void remove_all(lease& l);
  void answered(held_key& key, lock& k);
  void make_room(instant now, effects& out);
  void ask_back(lease& l, instant now, effects& out);
  bool overflows(lease& l, instant now, effects& out);
  void lapse(instant now);
  void send_recall(lease& l, const std::string& key, const v1::Copy& copy, effects& out);
  void watch(instant at) { wake_ = std::min(wake_, at); }

  holders_options options_;
  epoch era_;
  instant home_until_ = instant::min();
  bool closing_ = false;            ///< recall_all() was called
  std::map<node_id, lease> leases_; ///< one entry per node that had a generation in this epoch; at most nodes_max
  held_map held_;
  std::size_t locks_ = 0;                         ///< in held_
  std::size_t bytes_ = 0;                         ///< what they take; at most bytes_max
  std::uint64_t forgotten_ = 0;                   ///< highest sequence of a lease that is no longer in leases_
  std::map<std::string, running_recall> recalls_; ///< from recall to commit
  std::vector<std::string> ended_;
  instant wake_ = never; ///< no later than the next thing to do
};

} // namespace troupe
