/// The core of the MANAGERS of the weaker levels: brings each operation of this node's sessions to a replica of its
/// key's shard, and keeps it until it is settled.
///
/// What it sends:   WeakOperation.     What it is told: WeakAnswer; operations not sent; peers up and down; the view.
/// What the environment must provide: effects performed in order; `tick()` no later than wake_at(); the attempts of
/// one operation to one node arrive in order, or are lost with their connection.
///
/// A *write* names the one node that may execute it, chosen before the first attempt. Only that node is asked again,
/// under the same id: no update is applied twice, a counter is never added twice. When it is proven that nothing has
/// happened, and never will, a fresh write may begin elsewhere: under an id of this node's own, which its caller does
/// not see. *Not done* is reported only with that proof, everything else that ends without an answer is *unknown*.
///
/// A *read* may be asked of any replica, and of several: the first that can answer does.
#pragma once

#include "protocol/effects.hpp"
#include "protocol/error.hpp"
#include "protocol/ids.hpp"
#include "protocol/limits.hpp"
#include "protocol/wire/stream.pb.h"

#include <map>
#include <set>
#include <variant>
#include <vector>

namespace troupe {

struct weak_requests_options {
  node_id self{};
  std::set<node_id> near{};                         ///< the members of this node's region
  std::vector<std::vector<node_id>> replica_sets{}; ///< by shard; in the order in which they are asked
  session_id restarts{};     ///< for ids of writes that begin again: unique to this core and start. 0 = none do
  milliseconds attempt{250}; ///< a write that is not answered by then is asked for again
  milliseconds forward{100}; ///< a read: of another replica, too; then after twice as long, and so on
  milliseconds pause{10};    ///< before a write that was refused begins again
  std::size_t operations_max = limits::operations_max;
  std::size_t operations_bytes_max =
      limits::operations_bytes_max; ///< what they may carry together; one operation always may
};

class weak_requests {
public:
  struct settled {
    request_id id;         ///< as it was submitted
    v1::WeakAnswer answer; ///< with that id
    /// Of a write whose outcome is *unknown*: submitted as it is, it is asked for again. executor 0 = not so.
    v1::WeakOperation unsettled;
  };
  using effect = std::variant<send, settled, note>;
  using effects = std::vector<effect>;

  struct counters {
    std::uint64_t done = 0;
    std::uint64_t not_done = 0;
    std::uint64_t unknown = 0;
    std::uint64_t retries = 0;  ///< attempts after the first, to the same node
    std::uint64_t forwards = 0; ///< reads that went to another replica
    std::uint64_t restarts = 0; ///< writes that began again under another id
    std::uint64_t waits = 0;    ///< operations that waited for what they depend on
    std::uint64_t waited_us = 0;
  };

  explicit weak_requests(weak_requests_options options) : options_{std::move(options)} {}

  /// `operation`: all but attempt, executor and its life; or what an earlier `settled::unsettled` was, which goes on
  /// where that ended. Settled by `deadline` at the latest.
  void submit(v1::WeakOperation operation, instant deadline, instant now, effects& out);
  void receive(node_id from, const v1::WeakAnswer& answer, instant now, effects& out);
  /// The link could not take this attempt: it never left the node. `why` it could not take another one either;
  /// none = it may.
  void unsent(node_id to, const v1::WeakOperation& attempt, errc why, instant now, effects& out);
  /// Its caller waits no more: settles it at once. A read, and what was never sent, is *not done* and will not be;
  /// anything else is *unknown*. Nothing happens to an operation that is not under way.
  void cancel(request_id id, effects& out);
  void peer(node_id who, bool connected, instant now, effects& out);
  /// `lives`: of the members that have one. `out`: whom the view does not count; they are asked last.
  void lives(std::map<node_id, std::uint64_t> lives, std::set<node_id> outs, instant now, effects& out);
  void tick(instant now, effects& out);
  instant wake_at() const { return by_time_.empty() ? never : by_time_.begin()->first; }

  std::size_t open() const { return calls_.size(); }
  const counters& counted() const { return counters_; }

private:
  struct call {
    v1::WeakOperation operation;           ///< as it was last sent
    std::size_t bytes = 0;                 ///< what it counts in bytes_
    instant deadline;                      ///< of the caller
    instant next;                          ///< when to try again, or to give up
    std::map<std::uint32_t, node_id> open; ///< attempts that may have been executed, or may be yet; and where
    std::set<node_id> asked;               ///< reads: in this round. Writes: where it has begun, to no avail
    bool resumed = false;                  ///< its outcome was unknown to an earlier caller
    std::uint32_t earlier = 0; ///< the last attempt before it was resumed: in `open` it stands for all up to it
    bool parked = false;       ///< nobody can be asked for now
    std::uint32_t tries = 0;   ///< attempts since it began
    v1::WeakAnswer refusal;    ///< the last answer that settled nothing; error 0 = none
  };
  using call_map = std::map<request_id, call>;

  bool reachable(node_id who) const;
  std::uint64_t life_of(node_id who) const;
  node_id choose(const call& c) const;
  void proceed(call_map::iterator i, instant now, effects& out);
  void attempt(call_map::iterator i, node_id to, instant now, effects& out);
  static bool was_asked(const call& c, node_id who, std::uint32_t attempt);
  static void close(call& c, std::uint32_t attempt);
  void answered_read(call_map::iterator i, node_id from, const v1::WeakAnswer& answer, instant now, effects& out);
  void answered_write(call_map::iterator i, const v1::WeakAnswer& answer, instant now, effects& out);
  void begin_again(call_map::iterator i, v1::WeakAnswer why, instant now, effects& out);
  void finish(call_map::iterator i, v1::WeakAnswer answer, effects& out);
  void finish(call_map::iterator i, errc code, effects& out);
  void give_up(call_map::iterator i, effects& out);
  void schedule(call_map::iterator i, instant at);
  void park(call_map::iterator i);
  void wake_parked(instant now, effects& out);

  weak_requests_options options_;
  std::size_t bytes_ = 0; ///< of the operations in calls_
  call_map calls_;        ///< one entry per operation under way; by the id it was submitted with
  std::set<std::pair<instant, request_id>> by_time_; ///< the same, by `next`
  std::map<request_id, request_id> renamed_; ///< from the id that a write has begun again with to the submitted one
  std::uint64_t restarted_ = 0;              ///< numbers of `options_.restarts` given out
  std::map<node_id, std::uint64_t> lives_;
  std::set<node_id> outs_;
  bool view_known_ = false; ///< lives_ is that of the view; else what answers have told
  std::set<node_id> connected_;
  counters counters_;
};

} // namespace troupe
