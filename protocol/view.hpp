/// The view: the numbered, agreed list of members, the life of each, and who is not counted (PROTOCOLS §1, §4).
#pragma once

#include "protocol/ids.hpp"
#include "protocol/wire/view.pb.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>

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

/// What a sound message says.
view from_wire(const v1::View& v);

/// Why `v` is no view, in words; empty = it is one. A view has a number, at most view_members_max members in
/// ascending order, no client nodes among them; who never started is out, and only who started has a nonce.
std::string_view defect_of(const v1::View& v);

/// The only bytes that stand for `v`: two keepers that write the same content write the same record.
std::string record_of(const v1::View& v);

/// The view that a record says; nothing when it says none, or does not say it canonically.
std::optional<v1::View> view_of(const std::string& record);

} // namespace troupe
