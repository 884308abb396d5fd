/// FRONTIER's core: what this node, its region and all members have of everybody's updates (PROTOCOLS §4, §6).
///
/// What it sends:      FrontierFacts, to every member.
/// What it is told:    FrontierFacts; what has become durable here; what origins state about their clocks; the view;
///                     statements that came with tokens; waits; peers up and down.
/// What it wants done: the applied vector has advanced, so has the stable one, a wait is over.
/// What the environment must provide: `flush` soon after anything was told (all that is concluded is concluded
/// there), `tick` no later than wake_at(), effects performed in order.
///
/// Four vectors of the ordered lane, each of which only grows:
///
///   received   durable at this node
///   region     F: what every counted node of this region has; the minimum of what they report, joined with what
///              others of this region, or tokens, state about it. A statement of the past stays true.
///   applied    G: `region` as far as `received` goes. What this node shows.
///   stable     what every member has applied, as it reports; members that are out included
///
/// Why `stable` is of what was applied, and counts those that are out: tokens and dependencies leave out what is
/// stable, so wherever they go it must be shown already; and a node that is out, or does not know it yet, must never
/// be sent an effect without a cause that it lacks. A restarted node has applied nothing yet: it answers waits only
/// once it has heard of every counted node of its region since its start (ready()), for what was stable is in all
/// that they report.
///
/// Of the free lane only `stable` is kept here: the minimum of what all members have received and merged.
#pragma once

#include "protocol/effects.hpp"
#include "protocol/error.hpp"
#include "protocol/limits.hpp"
#include "protocol/version_vector.hpp"
#include "protocol/view.hpp"

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>
#include <vector>

namespace troupe {

struct frontier_options {
  node_id self;
  incarnation life;                       ///< of this process
  std::map<node_id, std::string> regions; ///< of every member, this node included
  milliseconds pace{1};         ///< between two FrontierFacts to a node of this region, while anything changes
  milliseconds pace_far{10};    ///< the same to nodes of other regions, which need them for `stable` only
  milliseconds heartbeat{1000}; ///< and when nothing changes
  std::size_t waits_max = limits::frontier_waits_max;
  std::size_t vector_entries_max = limits::stream_vector_entries_max; ///< of a message, and of what is kept
};

class frontier {
public:
  struct send_facts {
    node_id to;
    v1::FrontierFacts message;
  };
  /// `applied` as it is from now on. Before any `reached` that it leads to.
  struct advanced {
    version_vector applied;
  };
  /// The stable vector of a lane as it is from now on.
  struct stable_advanced {
    stream_lane lane;
    version_vector stable;
  };
  /// `applied` contains what the wait was for, and may be shown.
  struct reached {
    std::uint64_t cookie = 0;
  };
  /// It does not, and is not going to (lost_update), or not before the deadline (dependency_timeout), or there are
  /// too many waits already (overloaded).
  struct failed {
    std::uint64_t cookie = 0;
    errc code = errc::none;
    dot missing; ///< the first that is; seq 0 = nothing, but this node is not ready
    node_id who; ///< everybody waits for this node; value 0 = nobody in particular
  };
  using effect = std::variant<send_facts, advanced, stable_advanced, reached, failed, note>;
  using effects = std::vector<effect>;

  /// `cookie`: the caller's, not under way already.
  struct wait_for {
    std::uint64_t cookie = 0;
    version_vector vector;
    instant deadline = never;
  };
  /// What an origin has said about itself, in a message of its stream that was accepted (or this node, of itself).
  struct statement {
    stream_lane lane;
    origin from;
    std::uint64_t upto = 0;
    std::uint64_t clock = 0; ///< every update of the origin above `upto` has a stamp above this
  };
  /// For people: the node of this region that F waits for most.
  struct holding_up {
    node_id who;
    origin from;              ///< whose updates it lacks
    std::uint64_t behind = 0; ///< so many numbers
  };

  /// Grow only.
  struct counters {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::uint64_t refused = 0; ///< FrontierFacts that are malformed, stale, or of no member
    std::uint64_t waits = 0;   ///< that were not answered at once
    std::uint64_t timeouts = 0;
    std::uint64_t lost = 0;
    std::uint64_t overloads = 0;
  };

  explicit frontier(frontier_options options);

  /// At start: a value that `applied` had on this disk once, so a true statement about the region. Optional.
  void restored(const version_vector& applied) { region_.join(applied); }
  /// At start: an earlier life of this node, and the last number of it that survived, ordered lane. Told to all
  /// others.
  void earlier_life(std::uint64_t life, std::uint64_t last_seq);

  /// The agreed view has changed; one that is not newer is ignored.
  void view_changed(const view& v, instant now, effects& out);
  /// Everything of that origin up to here is durable here (free lane: and merged). This node's own updates too. At
  /// start, before the first flush: all that the store has, of this node's own earlier lives as well.
  void received(stream_lane lane, const origin& from, std::uint64_t upto);
  void stated(const statement& s);
  void receive(node_id from, const v1::FrontierFacts& message, instant now, effects& out);
  /// A statement about this region's F that came with a token or an answer; used as far as `received` goes.
  void facts(const version_vector& region);
  /// Facts are sent to it when a connection begins, and not while there is none.
  void peer(node_id who, bool connected, instant now);

  /// Answers at once when `applied` contains the vector, or never will; else when a flush or tick finds so.
  void wait(wait_for what, instant now, effects& out);
  /// The caller waits no more. Nothing happens when it was answered.
  void cancel(std::uint64_t cookie);

  /// Concludes, answers waits, sends facts that are due.
  void flush(instant now, effects& out);
  /// Deadlines and heartbeats; flushes too.
  void tick(instant now, effects& out);
  instant wake_at() const;

  const version_vector& received() const { return own_.received; }
  const version_vector& received_free() const { return own_.received_free; }
  const version_vector& region() const { return region_; }
  const version_vector& applied() const { return applied_; }
  const version_vector& stable(stream_lane lane) const { return stable_[static_cast<std::size_t>(lane)]; }
  /// Waits may be answered: the view is known, and every counted node of this region has reported since the start.
  bool ready() const { return ready_; }
  /// Every update that this node may still get, or any member that is in or out, of any origin in the view and in
  /// this lane, has a stamp above this clock. 0 = not known. For tombstones: all updates at or below are stable.
  std::uint64_t stable_clock(stream_lane lane) const;
  /// `received` contains what is stable, and what every counted node of this region has stated of F in a view of at
  /// least this number: a node that was out since then may be counted again.
  bool caught_up(std::uint64_t view_number) const;
  std::optional<holding_up> holdup() const;
  /// Earlier lives, of any node, and the last number of each that survived; ordered lane.
  const std::map<origin, std::uint64_t>& ended() const { return ended_; }
  std::size_t waits() const { return waits_.size(); }
  const counters& counted() const { return counters_; }

private:
  /// What a member has reported: its newest FrontierFacts.
  struct report {
    std::uint64_t incarnation = 0; ///< 0 = nothing heard since this node's start
    std::uint64_t number = 0;
    std::uint64_t view = 0;
    version_vector received, received_free, region;
  };
  /// A member as a receiver of facts.
  struct listener {
    bool up = false;
    bool changed = true; ///< something that it has not been told
    bool wanted = false; ///< it asked for an answer
    bool ask = false;    ///< it is to be asked for one
    instant told = instant::min();
  };
  /// What an origin has stated about its clock: pairs by number, both growing. At most clocks_max: the newest
  /// replaces the last one.
  struct clock_statements {
    std::uint64_t confirmed = 0;                              ///< of a number that is stable
    std::deque<std::pair<std::uint64_t, std::uint64_t>> open; ///< (upto, clock) that is not
  };
  struct waiter {
    version_vector vector;
    instant deadline;
    dot missing; ///< under which it stands in `blocked_`; seq 0 = under none: this node is not ready
  };

  using waits_map = std::map<std::uint64_t, waiter>;

  bool is_member(node_id who) const { return options_.regions.contains(who); }
  bool is_near(node_id who) const;
  bool counted_in_region(node_id who) const;
  std::string_view malformed(node_id from, const v1::FrontierFacts& m) const;
  bool malformed(const v1::Vector& v) const;
  void state_region(const version_vector& region);
  bool lost(const version_vector& v, dot& which) const;
  node_id held_up_by(const dot& missing) const;
  void block(std::uint64_t cookie, waiter& w);
  void remove(waits_map::iterator w);
  void fail_lost(effects& out);
  void wake(effects& out);
  void conclude_region();
  void conclude_stable(effects& out);
  void confirm_clocks(stream_lane lane);
  void conclude(effects& out);
  instant due(node_id who, const listener& l) const;
  void tell(node_id who, listener& l, instant now, effects& out);
  void changed();

  frontier_options options_;
  view view_;
  std::map<node_id, std::uint64_t> life_since_; ///< by node: the first view seen here with its present life
  report own_;                                  ///< of this node; its `region` is unused
  std::map<node_id, report> reports_;           ///< of the others; one entry per member
  std::map<node_id, listener> listeners_;       ///< one entry per other member
  std::map<origin, std::uint64_t> ended_;       ///< earlier lives: the last number that survived, ordered lane
  version_vector region_, applied_;
  std::array<version_vector, stream_lanes> stable_;
  std::array<std::map<origin, clock_statements>, stream_lanes> clocks_;
  waits_map waits_;                                                    ///< by cookie
  std::set<std::tuple<origin, std::uint64_t, std::uint64_t>> blocked_; ///< (origin, seq that is missing, cookie)
  std::set<std::pair<instant, std::uint64_t>> deadlines_;              ///< (when, cookie)
  std::uint64_t number_ = 0;
  bool ready_ = false;
  bool unsettled_ = true; ///< something was told that conclude() has not looked at
  counters counters_;
};

} // namespace troupe
