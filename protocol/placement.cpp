#include "protocol/cluster.hpp"

#include <algorithm>
#include <set>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace troupe {

std::string stored_key(std::string_view type, std::string_view key) {
  std::string out;
  out.reserve(type.size() + 1 + key.size());
  out.append(type).append(1, ':').append(key);
  return out;
}

shard_id shard_of(std::string_view stored, std::uint32_t shards) {
  return {static_cast<std::uint32_t>(XXH3_64bits(stored.data(), stored.size()) % shards)};
}

std::vector<node_id> replica_set(const cluster& c, shard_id shard) {
  struct candidate {
    std::uint64_t weight;
    const member* who;
  };
  std::vector<candidate> ranked;
  ranked.reserve(c.members.size());
  for (const auto& m : c.members) {
    const std::uint32_t pair[] = {shard.value, m.id.value};
    ranked.push_back({XXH3_64bits(pair, sizeof pair), &m});
  }
  std::sort(ranked.begin(), ranked.end(), [](const candidate& a, const candidate& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.who->id < b.who->id;
  });

  std::vector<node_id> chosen;
  const auto wanted = std::min<std::size_t>(c.replicas, ranked.size());
  while (chosen.size() < wanted) { // one round takes the best node of every region that is left
    std::set<std::string_view> regions;
    for (auto i = ranked.begin(); i != ranked.end() && chosen.size() < wanted;) {
      if (!regions.insert(i->who->region).second) {
        ++i;
        continue;
      }
      chosen.push_back(i->who->id);
      i = ranked.erase(i);
    }
  }
  return chosen;
}

} // namespace troupe
