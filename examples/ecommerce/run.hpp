/// The whole run: a cluster, shoppers in every region, a kill in the middle, and the proof.
#pragma once

#include "examples/ecommerce/report.hpp"

#include <tl/expected.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace shop {

struct run_options {
  std::filesystem::path troupe;               ///< the program of the nodes and of the checker
  std::filesystem::path self;                 ///< this program, which reconciles
  std::filesystem::path folder;               ///< everything is written below it
  std::vector<std::filesystem::path> clients; ///< of a running cluster; empty = start one
  std::filesystem::path views;                ///< empty = generate them
  std::size_t sessions = 0;                   ///< 0 = all of the file; of a generator: at least 1
  std::uint64_t seed = 1;
  double speed = 100;
  std::chrono::milliseconds deadline{2000};
  std::size_t shoppers = 192; ///< at once, over all regions
  bool kill = true;
  std::chrono::seconds at_most{300}; ///< for the shopping
};

/// Tells on `out` what it does. For the main thread, which the node processes end with.
/// @errors a sentence: nothing was judged, because the run could not be set up.
tl::expected<report, std::string> run_shop(const run_options& options, std::ostream& out);

} // namespace shop
