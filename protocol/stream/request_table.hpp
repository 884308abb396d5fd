/// Outcomes of this node's own weak writes, for their retries, and which were refused. Part of the stream replica.
///
/// Bounded: the oldest are forgotten. What was forgotten is known by a clock for each life: every stamp of a
/// forgotten write is at or below it. A retry that brings the clock which its session had seen before its first
/// attempt is above all that was forgotten, or may be among it.
#pragma once

#include "protocol/ids.hpp"
#include "protocol/version_vector.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <unordered_map>
#include <unordered_set>

namespace troupe {

struct write_outcome {
  dot at;
  stream_lane lane = stream_lane::ordered;
  std::uint64_t clock = 0;
  std::int64_t number = 0; ///< of a counter, after it; not in the log
  bool exists = false;     ///< a Remove: there was something
  bool numbered = false;   ///< `number` is known
};

struct request_hash {
  std::size_t operator()(const request_id& id) const {
    return static_cast<std::size_t>(id.session.value * 0x9E37'79B9'7F4A'7C15U ^ id.number * 0xC2B2'AE3D'27D4'EB4FU);
  }
};

/// Writes that were refused lately. Whoever was told so may have begun the write again elsewhere, under another id: a
/// copy of the request that arrives late must not be executed.
class refusal_table {
public:
  explicit refusal_table(std::size_t count_max) : max_{count_max} {}

  bool contains(const request_id& id) const { return ids_.contains(id); }
  void add(const request_id& id) {
    if (!ids_.insert(id).second) return;
    order_.push_back(id);
    if (order_.size() <= max_) return;
    ids_.erase(order_.front());
    order_.pop_front();
  }

private:
  std::size_t max_;
  std::unordered_set<request_id, request_hash> ids_; ///< looked up only, never walked through
  std::deque<request_id> order_;                     ///< oldest first
};

class request_table {
public:
  request_table(std::size_t count_max, std::size_t bytes_max)
      : max_{std::max<std::size_t>(1, std::min(count_max, bytes_max / entry_bytes))} {}

  const write_outcome* find(const request_id& id) const {
    const auto i = outcomes_.find(id);
    return i == outcomes_.end() ? nullptr : &i->second;
  }
  /// In the order of their clocks. A known id keeps its outcome.
  void add(const request_id& id, const write_outcome& outcome) {
    if (!outcomes_.emplace(id, outcome).second) return;
    order_.push_back(id);
    while (order_.size() > max_) {
      const auto oldest = outcomes_.find(order_.front());
      forget(oldest->second.at.from.life, oldest->second.clock);
      outcomes_.erase(oldest);
      order_.pop_front();
    }
  }
  /// What a counter was after it, or later: for one that was found without.
  void number(const request_id& id, std::int64_t after) {
    const auto i = outcomes_.find(id);
    if (i == outcomes_.end()) return;
    i->second.number = after;
    i->second.numbered = true;
  }
  /// Writes of that life with a stamp up to `clock` may have been forgotten, here or with the log.
  void forget(std::uint64_t life, std::uint64_t clock) {
    auto& upto = forgotten_[life];
    upto = std::max(upto, clock);
  }
  /// Whether a request that is not found, of a session that had seen `clock` before, may have been executed in that
  /// life; life 0 = in any.
  bool may_have_been(std::uint64_t life, std::uint64_t clock) const {
    if (life != 0) {
      const auto i = forgotten_.find(life);
      return i != forgotten_.end() && i->second > clock;
    }
    return std::any_of(forgotten_.begin(), forgotten_.end(), [&](const auto& f) { return f.second > clock; });
  }
  std::size_t size() const { return order_.size(); }

private:
  static constexpr std::size_t entry_bytes = 160; ///< with what the table around it takes

  std::size_t max_;
  std::unordered_map<request_id, write_outcome, request_hash> outcomes_; ///< looked up only, never walked through
  std::deque<request_id> order_;                                         ///< oldest first
  std::map<std::uint64_t, std::uint64_t> forgotten_; ///< by life; as many as left something on the disk
};

} // namespace troupe
