/// What any thread may answer reads of the weaker levels with: the copies, and the pictures that they belong to.
#pragma once

#include "actors/layers/weak_table.hpp"
#include "protocol/version_vector.hpp"

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace troupe {

/// What was visible at this node when a publication of the weak table was through. Safe from any thread.
///
/// Why beside the table: a session that has read a copy has seen, at most, all that was visible then. So it need not
/// know the past of each copy, and its next write or its token carries that instead.
class weak_pictures {
public:
  struct picture {
    std::uint64_t publication = 0; ///< 0 = there was none yet
    version_vector visible;        ///< ordered lane
  };

  /// Of the stream replica: when all of a publication is in the table, and before weak_table::applied says so.
  /// @param visible  contains that of the picture before.
  void complete(std::uint64_t publication, version_vector visible) {
    auto next = std::make_shared<const picture>(picture{publication, std::move(visible)});
    const std::lock_guard lock{mutex_};
    newest_ = std::move(next);
  }

  /// At least as new as what weak_table::applied said before.
  std::shared_ptr<const picture> newest() const {
    const std::lock_guard lock{mutex_};
    return newest_;
  }

private:
  mutable std::mutex mutex_;
  std::shared_ptr<const picture> newest_ = std::make_shared<const picture>();
};

/// Of one node. Both or neither: without a stream replica there is nothing to read.
struct weak_copies {
  std::shared_ptr<weak_table> table;
  std::shared_ptr<weak_pictures> pictures;
};

} // namespace troupe
