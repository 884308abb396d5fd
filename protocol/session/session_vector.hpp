/// What one session has seen and written, and what of it each of its operations needs (PROTOCOLS §7).
///
/// Dependencies and tokens speak of the ordered lane only: an operation on an eventual type carries the highest stamp
/// that the session has seen, so that a later write of it wins, and nothing else.
///
/// What it does for the four guarantees:
///   T1 read your writes      a read names the session's own writes of its key, to be joined over what is visible
///   T2 monotonic reads       a read needs all that the session has read to be visible
///   T3 monotonic writes      a write depends on the session's earlier writes
///   T4 writes follow reads   a write depends on what the session has read
///
/// It is raised by every answer, errors included: what the session had to wait for in vain it may have seen
/// elsewhere. It goes back once: when an answer says that updates which it had seen are lost with their node, it goes
/// on without them (PROTOCOLS §4).
#pragma once

#include "protocol/ids.hpp"
#include "protocol/limits.hpp"
#include "protocol/version_vector.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// Bits of `v1::WeakOperation::guarantees`. Each can be switched off by itself.
namespace guarantee {
inline constexpr std::uint32_t read_your_writes = 1;
inline constexpr std::uint32_t monotonic_reads = 2;
inline constexpr std::uint32_t monotonic_writes = 4;
inline constexpr std::uint32_t writes_follow_reads = 8;
inline constexpr std::uint32_t all = 15;
inline constexpr std::uint32_t none = 0;
} // namespace guarantee

/// Not a read.
bool is_write(const v1::WeakOperation& operation);

class session_vector {
public:
  /// @param own_max  how many own writes are remembered by key; of more, the oldest are waited for when anything is
  /// read.
  explicit session_vector(std::size_t own_max = limits::session_own_writes_max) : own_max_{own_max} {}

  /// Adds to an operation, whose key, what and guarantees are set, what the session has to say with it.
  void attach(v1::WeakOperation& operation, stream_lane lane) const;

  /// An operation on `key` was answered.
  void raise_by(const std::string& key, const v1::WeakAnswer& answer, stream_lane lane);

  /// A token: the join of both. What it has seen counts as written, too, since nobody can tell any more.
  void join(const v1::SessionVector& token);

  /// All that the session has seen or written: what a token is made of.
  v1::SessionVector exported() const;

  const version_vector& read() const { return read_; }
  const version_vector& written() const { return written_; }
  std::size_t own_writes() const { return own_order_.size(); }

private:
  void add_own(const std::string& key, const dot& written);
  void drop_covered_own();
  void wait_for_oldest();
  void lower(const dot& survived);
  void forget_own(const std::string& key, const dot& written);

  std::size_t own_max_;
  version_vector read_;    ///< seen in answers
  version_vector written_; ///< own writes, whether they are visible or not
  version_vector owed_;    ///< own writes that a read waits for, with what they depend on: those not in `own_`
  version_vector region_;  ///< what answers have said of the frontier of a region
  std::uint64_t clock_ = 0;
  std::map<std::string, std::vector<dot>> own_;       ///< own writes that region_ does not cover; no vector is empty
  std::deque<std::pair<std::string, dot>> own_order_; ///< the same, oldest first
};

} // namespace troupe
