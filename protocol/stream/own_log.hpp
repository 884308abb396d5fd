/// How far this node's own log may be shortened, per life and lane: what every peer has, or what is too much. Part of
/// the stream replica.
#pragma once

#include "protocol/version_vector.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>

namespace troupe {

class own_log {
public:
  struct position {
    std::uint64_t seq = 0;
    std::uint64_t clock = 0; ///< at least that of the entry
  };

  /// In order of seq. What is appended between two ends of a part, each `part_bytes` after the former, goes together.
  void append(std::uint64_t seq, std::uint64_t clock, std::size_t bytes, std::size_t part_bytes) {
    if (parts_.empty() || parts_.back().bytes >= part_bytes) parts_.push_back({});
    auto& p = parts_.back();
    p.last = {seq, clock};
    p.bytes += bytes;
    bytes_ += bytes;
  }
  /// A peer has everything up to here. @return whether that is news.
  bool acknowledged(node_id peer, std::uint64_t upto) {
    auto& at = peers_[peer];
    if (upto <= at) return false;
    at = upto;
    return true;
  }
  std::uint64_t acknowledged_by(node_id peer) const {
    const auto i = peers_.find(peer);
    return i == peers_.end() ? 0 : i->second;
  }

  struct bounds {
    std::uint64_t folded = 0;        ///< nothing above this is erased
    std::uint64_t kept = UINT64_MAX; ///< nor above this for its size alone, unless it is twice what it may be
    std::size_t bytes_max = 0;
  };
  /// What all of `peers` have, and of the rest what is too much. What is appended to now stays, so that a peer that
  /// keeps up is not cut off by one large update.
  struct shortened {
    position upto;    ///< seq 0 = nothing to do
    bool cut = false; ///< some peer lacks some of it
  };
  template <class Peers> shortened shorten(const Peers& peers, const bounds& b) {
    auto everywhere = b.folded;
    for (const auto peer : peers)
      everywhere = std::min(everywhere, acknowledged_by(peer));
    shortened out;
    while (!parts_.empty()) {
      const auto& p = parts_.front();
      const bool theirs = p.last.seq <= everywhere;
      const bool too_much = bytes_ > b.bytes_max && (p.last.seq <= b.kept || bytes_ > 2 * b.bytes_max);
      const bool may_go = too_much && p.last.seq <= b.folded && parts_.size() > 1;
      if (!theirs && !may_go) break;
      out.upto = p.last;
      out.cut = out.cut || !theirs;
      bytes_ -= p.bytes;
      parts_.pop_front();
    }
    if (out.upto.seq > 0) erased_ = out.upto;
    return out;
  }
  void erased(const position& upto) { erased_ = upto; }
  const position& erased() const { return erased_; }
  std::size_t bytes() const { return bytes_; }

private:
  struct part {
    position last;
    std::size_t bytes = 0;
  };
  std::deque<part> parts_; ///< what is in the log, oldest first
  std::map<node_id, std::uint64_t> peers_;
  position erased_; ///< the log begins above
  std::size_t bytes_ = 0;
};

} // namespace troupe
