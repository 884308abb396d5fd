/// Whether the eventual types have become the same in every region, once nobody writes any more, and what they have
/// become is what was acknowledged.
#pragma once

#include "examples/ecommerce/shopper.hpp"

#include <troupe/session.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace shop {

struct convergence {
  std::uint64_t checked = 0;         ///< keys
  std::vector<std::string> findings; ///< one sentence per key that differs, or is not what it should be
};

/// Reads pages, recommendations and counters of all items in every region, over and over until they agree.
///
/// @param sessions  one per region.
/// @param items     keys, with what their counters should know; one that nobody looked at counts 0.
/// @param at_most   as long as something may be on its way.
convergence check_convergence(std::vector<troupe::session>& sessions,
                              const std::map<std::string, view_counts::of_item>& items,
                              std::chrono::milliseconds at_most);

} // namespace shop
