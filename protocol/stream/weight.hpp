/// What an update weighs in queues and windows: both ends of a stream count alike.
#pragma once

#include "protocol/wire/stream.pb.h"

#include <cstddef>
#include <memory>
#include <vector>

namespace troupe {

/// Updates are immutable, and shared by the queues of all peers.
using shared_update = std::shared_ptr<const v1::Update>;
using shared_updates = std::vector<shared_update>;

/// About what it takes on the wire and in memory, without walking the message.
inline std::size_t weight_of(const v1::Update& u) {
  constexpr std::size_t fixed = 64, entry = 24;
  return fixed + u.key().size() + u.field().size() + u.value().size()
         + entry * static_cast<std::size_t>(u.context().entries_size() + u.depends().entries_size());
}

} // namespace troupe
