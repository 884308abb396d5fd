#include "actors/layers/weak_table.hpp"

#include <cstring>

namespace troupe {

void weak_table::publish(const entry& e) {
  scratch_.resize(sizeof e.publication);
  std::memcpy(scratch_.data(), &e.publication, sizeof e.publication);
  scratch_ += e.value;
  const version at{{e.clock, e.written.from.node, {e.written.from.life}}, e.written.seq};
  const table_record record{.key = e.key,
                            .home = everything,
                            .generation = {epoch{1, {}, {}}, 1},
                            .at = at,
                            .what = e.exists ? content::value : content::absent,
                            .value = scratch_}; // of what is absent: the number only
  switch (table_.publish(record)) {
  case published::done:
    return;
  case published::older: // of two versions the later one need not have the higher stamp: a sum of parts
    table_.erase(e.key);
    if (table_.publish(record) == published::done) return;
    [[fallthrough]];
  case published::not_leased:
  case published::no_room:
    table_.erase(e.key);
  }
}

} // namespace troupe
