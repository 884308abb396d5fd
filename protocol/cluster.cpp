#include "protocol/cluster.hpp"

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace troupe {

std::string_view name_of(level l) {
  switch (l) {
  case level::eventual:
    return "eventual";
  case level::session:
    return "session";
  case level::causal:
    return "causal";
  case level::strong:
    return "strong";
  }
  return "strong";
}

std::optional<level> level_named(std::string_view name) {
  for (auto l : {level::eventual, level::session, level::causal, level::strong})
    if (name_of(l) == name) return l;
  return std::nullopt;
}

const member* cluster::find(node_id id) const {
  auto i = std::find_if(members.begin(), members.end(), [&](const member& m) { return m.id == id; });
  return i == members.end() ? nullptr : &*i;
}

const member* cluster::find(std::string_view member_name) const {
  auto i = std::find_if(members.begin(), members.end(), [&](const member& m) { return m.name == member_name; });
  return i == members.end() ? nullptr : &*i;
}

std::string cluster::describe() const {
  auto out = "cluster=" + name + " shards=" + std::to_string(shards) + " replicas=" + std::to_string(replicas)
             + " lease_ms=" + std::to_string(lease.count()) + " drift_ppm=" + std::to_string(drift_ppm) + " nodes=";
  for (const auto& m : members)
    out += (&m == &members.front() ? "" : ",") + m.name + "(" + std::to_string(m.id.value) + "," + m.region + ")";
  out += " types=";
  bool first = true;
  for (const auto& [type, policy] : types) {
    out += (first ? "" : ",") + type + "(" + std::string{name_of(policy.consistency)}
           + (policy.timeout == on_timeout::rollback ? ",rollback)" : ")");
    first = false;
  }
  return out;
}

std::uint64_t cluster::hash() const {
  const auto text = describe();
  return XXH3_64bits(text.data(), text.size());
}

} // namespace troupe
