/// STRONG MANAGER's core: brings each operation of this node's sessions to its key's home until it is settled.
///
/// What it sends:   Operation.     What it is told: OperationAnswer, NotHome; peers up and down; operations not sent.
/// What the environment must provide: effects performed in order; `tick()` no later than wake_at().
///
/// An attempt that was sent is *open* until its home has said that it was not executed. *Not done* is reported only
/// when no attempt is open; everything else that ends without an answer is *unknown*.
#pragma once

#include "protocol/effects.hpp"
#include "protocol/error.hpp"
#include "protocol/ids.hpp"
#include "protocol/limits.hpp"

#include <map>
#include <set>
#include <variant>
#include <vector>

namespace troupe {

struct requests_options {
  node_id self;
  std::vector<std::vector<node_id>> replica_sets; ///< by shard; in the order in which their members claim it
  milliseconds attempt{250};                      ///< an attempt that is not answered by then is repeated
  milliseconds pause{10};                         ///< before asking again when nobody seemed to be home
  std::size_t operations_max = 0;
  std::size_t operations_bytes_max =
      limits::operations_bytes_max; ///< what they may carry together; one operation always may
};

class requests {
public:
  struct settled {
    request_id id;
    v1::Result result;
  };
  using effect = std::variant<send, settled, note>;
  using effects = std::vector<effect>;

  explicit requests(requests_options options) : options_{std::move(options)} {}

  /// `operation`: id, shard, key, what, roll_back are set. Settled by `deadline` at the latest.
  void submit(v1::Operation operation, instant deadline, instant now, effects& out);
  void receive(node_id from, const v1::OperationAnswer& answer, instant now, effects& out);
  void receive(node_id from, const v1::NotHome& answer, instant now, effects& out);
  /// The link could not take this attempt: it never left the node. `why` it could not take another one either;
  /// none = it may.
  void unsent(node_id to, const v1::Operation& attempt, errc why, instant now, effects& out);
  /// Its caller waits no more: settles it at once. A read, and what has no open attempt, is *not done* and will not
  /// be; anything else is *unknown*. Nothing happens to an operation that is not under way.
  void cancel(request_id id, effects& out);
  /// `home` seems to be home of `shard`: what is submitted from now on is sent there first.
  void hear_of_home(shard_id shard, node_id home) { hints_[shard] = home; }
  void peer(node_id who, bool connected, instant now, effects& out);
  void tick(instant now, effects& out);
  instant wake_at() const;

  std::size_t open() const { return calls_.size(); }
  node_id home_hint(shard_id shard) const;

private:
  struct call {
    v1::Operation operation;
    std::size_t bytes = 0;        ///< what it counts in bytes_
    instant deadline;             ///< of the caller
    instant next;                 ///< when to try again, or to give up
    node_id at;                   ///< whom the attempt that is waited for went to; value 0 = none is
    std::set<std::uint32_t> open; ///< attempts that may have been executed, or may be yet
    std::size_t redirects = 0;    ///< followed at once since the last pause
    std::size_t tries = 0;        ///< rotates through the replica set when nobody knows the home
  };
  using call_map = std::map<request_id, call>;

  node_id choose(call& c);
  void doubt(const call& c);
  void attempt(call_map::iterator i, instant now, effects& out);
  void again(call_map::iterator i, nanoseconds pause, instant now, effects& out);
  void finish(call_map::iterator i, v1::Result result, effects& out);
  void give_up(call_map::iterator i, effects& out);
  void learn(shard_id shard, const v1::Version& newest);
  void schedule(call_map::iterator i, instant at);

  requests_options options_;
  std::size_t bytes_ = 0;                            ///< of the operations in calls_
  call_map calls_;                                   ///< one entry per operation under way; sorted by id
  std::set<std::pair<instant, request_id>> by_time_; ///< the same, by `next`
  std::map<shard_id, node_id> hints_;                ///< last known home; absent = not known
  std::map<shard_id, version> newest_;               ///< newest version seen, the next operation's `base`
  std::set<node_id> connected_;
};

} // namespace troupe
