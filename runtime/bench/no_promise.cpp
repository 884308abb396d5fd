#include "runtime/bench/no_promise.hpp"

#include "protocol/assert.hpp"
#include "runtime/config_file.hpp"

namespace troupe::bench {

namespace {

constexpr shard_id nobody{0};
constexpr lease_generation only_one{.era = {.round = 1, .node = {1}, .life = {1}}, .n = 1};

} // namespace

unpromised_copies::unpromised_copies(std::size_t bytes_max)
    : table_(std::make_shared<memory_table>(memory_table::options{.bytes_max = bytes_max})) {
  TROUPE_ASSERT(table_->set_lease(nobody, only_one, never));
}

void unpromised_copies::tell(const std::string& key, const std::string& value) {
  const std::lock_guard lock{mutex_};
  // Without room it is not kept.
  static_cast<void>(table_->publish({.key = key,
                                     .home = nobody,
                                     .generation = only_one,
                                     .at = {.era = only_one.era, .counter = ++told_},
                                     .value = value}));
}

config unpromised_copies::attach_to(const config& client_node) const {
  auto copy = std::make_shared<node_config>(client_node.checked());
  copy->unpromised = table_;
  return config{std::move(copy)};
}

} // namespace troupe::bench
