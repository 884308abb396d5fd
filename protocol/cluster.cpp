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

namespace {

template <class Kind, std::size_t N> std::optional<Kind> find_named(const Kind (&all)[N], std::string_view name) {
  for (auto kind : all)
    if (name_of(kind) == name) return kind;
  return std::nullopt;
}

} // namespace

std::string_view name_of(resolver_kind r) {
  switch (r) {
  case resolver_kind::last_writer_wins:
    return "last_writer_wins";
  case resolver_kind::siblings:
    return "siblings";
  case resolver_kind::counter:
    return "counter";
  case resolver_kind::growing_counter:
    return "growing_counter";
  case resolver_kind::set:
    return "set";
  case resolver_kind::map:
    return "map";
  }
  return "last_writer_wins";
}

std::string_view name_of(write_ack a) {
  switch (a) {
  case write_ack::local:
    return "local";
  case write_ack::one_remote:
    return "one_remote";
  case write_ack::majority:
    return "majority";
  }
  return "local";
}

std::string_view name_of(write_durability d) { return d == write_durability::sync ? "sync" : "async"; }

std::optional<resolver_kind> resolver_named(std::string_view name) {
  constexpr resolver_kind all[] = {resolver_kind::last_writer_wins, resolver_kind::siblings, resolver_kind::counter,
                                   resolver_kind::growing_counter,  resolver_kind::set,      resolver_kind::map};
  return find_named(all, name);
}

std::optional<write_ack> ack_named(std::string_view name) {
  constexpr write_ack all[] = {write_ack::local, write_ack::one_remote, write_ack::majority};
  return find_named(all, name);
}

std::optional<write_durability> durability_named(std::string_view name) {
  constexpr write_durability all[] = {write_durability::sync, write_durability::async};
  return find_named(all, name);
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
    out += (first ? "" : ",") + type + "(" + std::string{name_of(policy.consistency)};
    if (policy.timeout == on_timeout::rollback) out += ",rollback";
    if (policy.consistency != level::strong)
      out.append(",")
          .append(name_of(policy.resolver))
          .append(",")
          .append(name_of(policy.ack))
          .append(",")
          .append(name_of(policy.durability));
    out += ")";
    first = false;
  }
  return out;
}

std::uint64_t cluster::hash() const {
  const auto text = describe();
  return XXH3_64bits(text.data(), text.size());
}

} // namespace troupe
