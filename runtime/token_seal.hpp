/// Session tokens as one node makes and takes them.
#pragma once

#include "protocol/session/token.hpp"

#include <troupe/error.hpp>

#include <string>
#include <string_view>

namespace troupe {

/// What they are sealed with.
struct token_seal {
  session_token::key_ring keys; ///< not empty
  std::string cluster;
  std::string region; ///< of the node: whose frontier its sessions hear of

  result<std::string> seal(const v1::SessionVector& seen) const;
  /// What a session here has to join, to go on from a token.
  /// @errors bad_token; dependency_timeout: it speaks of lives of which it is not known here how they have ended.
  result<v1::SessionVector> open(std::string_view text) const;
};

} // namespace troupe
