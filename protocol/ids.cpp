#include "protocol/ids.hpp"

namespace troupe {

std::string to_string(node_id node) {
  if (is_client(node)) return "c" + std::to_string(node.value & ~client_node_bit);
  return "n" + std::to_string(node.value);
}

std::string to_string(shard_id shard) { return std::to_string(shard.value); }

std::string to_string(const epoch& era) {
  return std::to_string(era.round) + "/" + to_string(era.node) + "/" + std::to_string(era.life.value);
}

std::string to_string(const version& v) { return to_string(v.era) + "." + std::to_string(v.counter); }

std::string to_string(const lease_generation& g) {
  return to_string(g.era) + "/" + std::to_string(g.n >> 32) + "." + std::to_string(g.n & 0xFFFF'FFFFU);
}

std::string to_string(const request_id& id) {
  return std::to_string(id.session.value) + "#" + std::to_string(id.number);
}

} // namespace troupe
