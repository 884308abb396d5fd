/// MEMBERSHIP's core for static clusters: who may speak, who is there, and the renewal of every lease of this node.
///
/// What it sends:   RenewLeases, one per replica and quarter lease.    What it is told: LeasesRenewed; Hello; peers
/// up and down; which shards this node leads. It never decides who is home: suspicion changes no promise.
#pragma once

#include "protocol/cluster.hpp"
#include "protocol/effects.hpp"
#include "protocol/error.hpp"
#include "protocol/wire/membership.pb.h"

#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace troupe {

struct membership_options {
  cluster shape;
  node_id self;
  std::map<node_id, std::uint64_t> remembered_disks; ///< peers' disk ids, as this node's store has them
};

class membership {
public:
  /// For the lock manager of `shard`: `replica` answered a renewal.
  struct renewed {
    shard_id shard;
    epoch era;
    node_id replica;
    instant sent_at;
    epoch superseded_by; ///< round 0 = renewed
  };
  /// A peer came, or went: its link has a connection, or lost it, or heard nothing for too long.
  struct presence {
    node_id peer;
    incarnation life;
    bool up = false;
  };
  /// Keep this disk id of a peer, durably.
  struct remember {
    node_id peer;
    std::uint64_t disk = 0;
  };
  using effect = std::variant<send, renewed, presence, remember, note>;
  using effects = std::vector<effect>;

  explicit membership(membership_options options);

  struct verdict {
    errc error = errc::none; ///< none = admitted
    std::string what;        ///< both values, in words
  };
  /// May the sender of `hello` speak to this node? A disk that was never seen is remembered.
  verdict admit(const v1::Hello& hello, effects& out);

  void start(instant now);
  void peer(node_id who, incarnation life, bool connected, instant now, effects& out);
  void lead(shard_id shard, const epoch& era);
  void unlead(shard_id shard, const epoch& era);
  void receive(node_id from, const v1::LeasesRenewed& answer, instant now, effects& out);
  void tick(instant now, effects& out);
  instant wake_at() const { return next_; }

  std::size_t leads() const { return led_.size(); }
  bool present(node_id who) const { return present_.contains(who); }

private:
  struct round {
    instant sent_at;
    std::vector<std::pair<shard_id, epoch>> leases; ///< what the message asked for, by shard
  };
  /// What was asked of one replica and is not answered yet, by number; at most `rounds_kept`.
  using rounds = std::map<std::uint64_t, round>;

  membership_options options_;
  std::string name_; ///< this node's, in refusals
  std::string configuration_text_;
  std::uint64_t configuration_;
  std::map<node_id, std::vector<shard_id>> shards_of_; ///< by replica: the shards that it stores
  std::map<shard_id, epoch> led_;
  std::map<node_id, rounds> asked_;
  std::set<node_id> present_;
  std::uint64_t numbers_ = 0;
  instant next_ = never;
};

} // namespace troupe
