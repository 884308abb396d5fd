// Values of this node that lost against concurrent ones: kept for people until somebody deals with them.
#include "protocol/stream/conflict_marks.hpp"
#include "protocol/stream/stream_replica_impl.hpp"

namespace troupe {

void stream_replica::impl::restore_conflicts() {
  auto m = image.marks.lower_bound(std::string{conflict_marks});
  while (m != image.marks.end() && m->first.starts_with(conflict_marks)) {
    v1::Conflict kept;
    const auto entry = kept.ParseFromString(m->second) ? from_wire(kept) : std::nullopt;
    if (!entry || !ledger.restore(*entry)) ++counts.damaged;
    m = image.marks.erase(m);
  }
}

/// The mark is handed over at once, and a record is folded later: it is on the disk before the value is gone from
/// there.
void stream_replica::impl::lost(const stream_key& k, loser&& value, effects& out) {
  ++counts.conflicts;
  conflict entry{.id = {k.lane, value.at},
                 .key = k.key,
                 .field = value.field,
                 .value = value.value,
                 .when = value.when,
                 .winner = value.winner,
                 .seen_at_ms = wall_ms_last};
  const auto kept = ledger.record(std::move(entry));
  std::vector<stream_write> writes;
  if (kept.number != 0) {
    v1::Conflict wire;
    to_wire(*ledger.find({k.lane, value.at}), wire);
    writes.emplace_back(mark_write{stream_marks::conflict(kept.number), wire.SerializeAsString()});
  }
  forget(kept.evicted, writes);
  if (!writes.empty()) store(std::move(writes), std::monostate{}, out);
  out.push_back(conflict_found{k.lane, k.key, std::move(value)});
}

void stream_replica::impl::forget(const std::vector<std::uint64_t>& numbers,
                                  std::vector<stream_write>& writes) const {
  for (const auto number : numbers)
    writes.emplace_back(mark_write{stream_marks::conflict(number), {}});
}

const conflict_ledger& stream_replica::conflicts() const { return impl_->ledger; }

bool stream_replica::forget_conflict(const conflict_id& id, effects& out) {
  const auto number = impl_->ledger.remove(id);
  if (number == 0 || impl_->failed) return number != 0;
  std::vector<stream_write> writes;
  impl_->forget({number}, writes);
  impl_->store(std::move(writes), std::monostate{}, out);
  return true;
}

} // namespace troupe
