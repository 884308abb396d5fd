/// What any thread of a member may answer reads of the weaker levels with, without a message (PROTOCOLS §5-7).
///
/// The STREAM REPLICA is the only writer. Each time that it shows more of what it has received it publishes the
/// values that have changed, each under the number of that publication, and says `applied` when it is through. A
/// reader may meet a publication half-way: an effect that is in the table while one of its causes is not. So:
///
/// - an eventual read takes what it finds;
/// - a session remembers the highest number that it has met, and reads no more from the table until that publication
///   is through. Whoever has a token, or writes of its own that the table does not show yet, asks the replica.
#pragma once

#include "actors/layers/memory_table.hpp"
#include "protocol/ids.hpp"

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe {

class weak_table {
public:
  explicit weak_table(std::size_t bytes_max) : table_{{.bytes_max = bytes_max}} {
    table_.set_lease(everything, {epoch{1, {}, {}}, 1}, never);
  }

  // Any thread.

  struct hit {
    dot written;
    std::uint64_t clock = 0; ///< of the stamp
    bool exists = false;
    std::uint64_t publication = 0;
  };
  /// @param value  assigned on a hit. Reusing it saves the allocation.
  std::optional<hit> read(std::string_view key, std::string& value) const {
    std::uint64_t number = 0;
    const auto found = table_.read(key, instant{}, number, value);
    if (!found) return std::nullopt;
    const auto& at = found->at;
    return hit{{{at.era.node, at.era.life.value}, at.counter}, at.era.round, found->exists, number};
  }
  /// Everything up to this publication is in the table, as far as it is kept. Look at it before the table.
  std::uint64_t applied() const { return applied_.load(std::memory_order_acquire); }
  memory_table::counters count() const { return table_.count(); }

  // The writer's.

  struct entry {
    std::string_view key;
    bool exists = false;
    std::string_view value;
    dot written;
    std::uint64_t clock = 0;
    std::uint64_t publication = 0;
  };
  /// Makes it what readers find. What does not fit is not kept: they ask the replica.
  void publish(const entry& e);
  void withdraw(std::string_view key) { table_.erase(key); }
  void applied(std::uint64_t publication) { applied_.store(publication, std::memory_order_release); }
  /// See memory_table.
  bool reclaim(std::size_t places) { return table_.reclaim(places); }

private:
  /// One term for all entries, which never ends: nobody recalls what is here.
  static constexpr shard_id everything{0};

  memory_table table_;
  std::string scratch_;
  std::atomic<std::uint64_t> applied_{0};
};

} // namespace troupe
