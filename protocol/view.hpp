/// The view: the numbered, agreed list of members, the life of each, and who is not counted (PROTOCOLS §1, §4).
#pragma once

#include "protocol/ids.hpp"

#include <map>
#include <string>

namespace troupe {

/// One committed state of the record. Of two, the higher number is the later one.
struct view {
  /// 1 and up, grows by 1 with each change; 0 = no view is known yet.
  std::uint64_t number = 0;

  struct standing {
    /// Of its last start: the origin's incarnation, never given out twice. 0 = it never started.
    std::uint64_t life = 0;
    /// Not counted in any frontier.
    bool out = false;
    friend bool operator==(const standing&, const standing&) = default;
  };
  /// One entry per member of the static list, and of former ones, which are out.
  std::map<node_id, standing> nodes;

  /// Whether `node` is counted: it is a member, has started, and is not out.
  bool counts(node_id node) const {
    const auto found = nodes.find(node);
    return found != nodes.end() && !found->second.out;
  }
  /// The running, or last, life of `node`; 0 = none.
  std::uint64_t life_of(node_id node) const {
    const auto found = nodes.find(node);
    return found == nodes.end() ? 0 : found->second.life;
  }
  friend bool operator==(const view&, const view&) = default;
};

/// "7: n1.2 n2.1(out)"
std::string to_string(const view& v);

} // namespace troupe
