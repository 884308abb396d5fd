/// What is here and not part of a record yet, of one lane: staged updates, and visible ones that can still be told
/// apart (PROTOCOLS §4, §6). Part of the stream replica.
///
/// Two vectors move through it: `shown`, up to where updates become visible once their dependencies are, and
/// `folded`, up to where they are part of records. Both only grow; folded stays below shown.
#pragma once

#include "protocol/stream/weight.hpp"
#include "protocol/version_vector.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace troupe {

struct stream_key;

struct staged_update {
  dot at;
  shared_update what;
  stream_key* key = nullptr;
  version_vector depends; ///< empty in the free lane
  instant arrived;
  bool own = false;     ///< of this node's running life
  bool visible = false; ///< never goes back
  bool folded = false;  ///< is about to leave
};

class staging {
public:
  explicit staging(version_vector folded) : shown_{folded}, folded_{std::move(folded)} {}

  /// Its seq is above all others of its origin; not visible.
  staged_update& add(staged_update u);
  staged_update* find(const dot& at) const;

  /// Raises `shown`. Appends what became visible by it, in an order that depends on nothing but what was added.
  /// @cost  O(what becomes visible, or is looked at for the first time); O(origins that were raised).
  void show(const version_vector& upto, instant now, std::vector<staged_update*>& out);

  /// Nothing of an origin above its `last` (seq 0 = nothing at all) is left anywhere: who depends on it waits for no
  /// more than `last`.
  void end(const dot& last, instant now, std::vector<staged_update*>& out);
  /// The last update that is left of an origin that has ended; nothing = it has not, as far as is known here.
  std::optional<std::uint64_t> last_of(const origin& from) const;
  /// The first of `depends` that `have` lacks and that may still come; seq 0 = none.
  dot missing(const version_vector& have, const version_vector& depends) const;

  /// What may be folded: everything that was shown `window` ago, as far as whole prefixes of origins go whose
  /// dependencies are among it, and `ready` says yes to. Raises `folded`.
  template <class Ready>
  std::vector<std::unique_ptr<staged_update>> fold(instant now, nanoseconds window, Ready ready) {
    std::vector<std::unique_ptr<staged_update>> out;
    if (history_.empty() || history_.front().since + window > now) return out;
    // One step at a time: what was shown together is closed under dependencies, but for what is blocked.
    auto target = std::move(history_.front().vector);
    history_.pop_front();
    target.join(folded_);
    bool whole = true;
    for (auto& [from, of] : lines_)
      for (const auto& u : of.updates) {
        if (!target.covers(u->at)) break;
        if (u->visible && ready(*u)) continue;
        lower(target, from, u->at.seq - 1);
        whole = false;
        break;
      }
    close(target);
    take(target, out);
    // What was held up by a record that is being read has to be looked at again, though nothing more is shown.
    if (!whole && history_.empty()) history_.push_back({now, shown_});
    return out;
  }
  /// Everything up to `target`, which was taken from elsewhere, is part of records: raises `folded` and `shown`.
  /// @return what was staged of it, visible or not. `out`: what has become visible of the rest.
  std::vector<std::unique_ptr<staged_update>> absorb(const version_vector& target, instant now,
                                                     std::vector<staged_update*>& out);
  /// Whether all that is staged up to `target` passes.
  template <class Passes> bool all_upto(const version_vector& target, Passes passes) const {
    for (const auto& [from, of] : lines_)
      for (const auto& u : of.updates) {
        if (!target.covers(u->at)) break;
        if (!passes(*u)) return false;
      }
    return true;
  }
  /// When fold() has something to do; `never` when it has not.
  instant fold_at(nanoseconds window) const { return history_.empty() ? never : history_.front().since + window; }

  /// Everything up to here is shown, and none of it hidden by what it depends on.
  /// @cost  O(what is blocked).
  bool shows(const version_vector& upto) const;

  const version_vector& shown() const { return shown_; }
  const version_vector& folded() const { return folded_; }
  std::size_t size() const { return size_; }
  std::size_t hidden() const { return hidden_; }
  std::size_t blocked() const { return blocked_count_; }
  std::size_t bytes() const { return bytes_; }

private:
  struct line {
    std::deque<std::unique_ptr<staged_update>> updates; ///< by seq
    std::size_t looked_at = 0;                          ///< so many of them, from the first, `shown` covers
  };
  struct step {
    instant since;
    version_vector vector;
  };
  /// The state of `shown`, with what was found visible by it, is one step of its history.
  void remember(instant now);
  /// Visible, or filed under what it lacks.
  void look_at(staged_update& u, std::vector<staged_update*>& out);
  /// Takes what depends on something outside of the target out of it, and so on.
  void close(version_vector& target) const;
  void take(const version_vector& target, std::vector<std::unique_ptr<staged_update>>& out);
  static void lower(version_vector& target, const origin& from, std::uint64_t seq);

  std::map<origin, line> lines_;
  /// Covered by `shown`, but not what they depend on: under the first entry that is missing.
  std::map<origin, std::multimap<std::uint64_t, staged_update*>> blocked_;
  std::map<origin, std::uint64_t> ended_; ///< the last update that is left
  version_vector shown_, folded_;
  std::vector<origin> late_; ///< have updates that `shown` covered before they were added
  std::deque<step> history_; ///< of `shown`, oldest first; a bounded number, see show()
  std::size_t size_ = 0, hidden_ = 0, blocked_count_ = 0, bytes_ = 0;
};

} // namespace troupe
