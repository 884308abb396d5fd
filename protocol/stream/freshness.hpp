/// FRESHNESS: as of when this node shows what each member has accepted, by its own clock alone (PROTOCOLS §5, E4).
///
/// What it asks:    a member, for the numbers of everything that it has accepted (FreshnessAsked, FreshnessTold).
/// What it is told: the answers; what is shown here; connections; who wants to know, and how fresh.
/// What the environment must provide: questions sent in order, `tick` no later than wake_at().
///
/// A question leaves at t. What the member had accepted when it came is all that it had acknowledged at t, and maybe
/// more. Once all of that is shown here, what is shown is as of t, at least: no clock but this node's has been read.
///
/// One question per member and lane is open at a time, and the next one leaves when what the answer named is shown:
/// newer answers would else move the goal for ever while the member is written to. Who wants it fresher meanwhile is
/// served by the next one, together with all others who do.
///
/// A lost connection voids what was asked and answered: the member may have forgotten what it had not synced.
#pragma once

#include "protocol/effects.hpp"
#include "protocol/version_vector.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace troupe {

struct freshness_options {
  std::set<node_id> members;  ///< whom to ask; may contain this node, which is always connected
  node_id self;               ///< value 0 = not among them
  milliseconds retry{200};    ///< a question that is not answered is asked again: its member may be starting
  milliseconds measure{1000}; ///< how old what is known gets before it is asked for unasked, for receipts
};

class freshness {
public:
  struct question {
    node_id to;
    stream_lane lane = stream_lane::ordered;
    std::uint64_t number = 0; ///< grows
  };
  using questions = std::vector<question>;
  struct answer {
    node_id from;
    stream_lane lane = stream_lane::ordered;
    std::uint64_t number = 0; ///< of the question
    version_vector accepted;  ///< of all lives of `from`
  };

  using is_shown = std::function<bool(const version_vector&)>;

  explicit freshness(freshness_options options);

  void peer(node_id who, bool connected, instant now, questions& out);
  /// Somebody needs what `who` had accepted at `since`.
  void want(node_id who, stream_lane lane, instant since, instant now, questions& out);
  /// One to an older question, or a repetition, changes nothing.
  ///
  /// @param shown  whether all of a vector is shown at present, of its lane.
  /// @return whether something is known to be fresher than before.
  bool told(answer a, const is_shown& shown, instant now, questions& out);
  /// More is shown. Returned as by told().
  bool more_shown(stream_lane lane, const is_shown& shown, instant now, questions& out);

  /// Everything that `who` had acknowledged at this moment is shown here; instant::min() = nothing is known.
  instant as_of(node_id who, stream_lane lane) const;

  void tick(instant now, questions& out);
  instant wake_at() const;

private:
  struct answered {
    version_vector accepted;
    instant as_of;
  };
  struct knowledge {
    instant as_of = instant::min();
    instant wanted = instant::min();
    std::uint64_t number = 0; ///< of the open question; 0 = none
    instant asked_at;
    std::optional<answered> pending; ///< an answer that is not shown yet
  };

  /// When it is asked of its own accord; `never` while an answer waits to be shown, or nobody can be asked.
  instant due(node_id who, const knowledge& k) const;
  bool reachable(node_id who) const { return who == options_.self || connected_.contains(who); }
  void ask(node_id who, stream_lane lane, knowledge& k, instant now, questions& out);
  void ask_if_wanted(node_id who, stream_lane lane, knowledge& k, instant now, questions& out);
  static bool settle(knowledge& k, const is_shown& shown);

  freshness_options options_;
  std::set<node_id> connected_;
  std::map<std::pair<node_id, stream_lane>, knowledge> known_; ///< one entry per member and lane
  std::uint64_t last_ = 0;
};

} // namespace troupe
