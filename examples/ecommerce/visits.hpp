/// Shopping sessions: who looks at what, and when. Real ones from a file, or generated in their likeness.
#pragma once

#include <tl/expected.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace shop {

struct view {
  std::chrono::milliseconds at{0}; ///< since the first view of its visit
  std::string item;
};

/// One shopping session. At least one view; in the order of their times, the first at 0.
struct visit {
  std::string id;
  std::vector<view> views;
};

/// Reads `session_id;user_id;item_id;timeframe;eventdate`, timeframe in milliseconds into the session; a file that
/// ends in .xz is decompressed. Visits come in the order of their first lines.
/// @errors a sentence that starts with FILE or FILE:LINE.
tl::expected<std::vector<visit>, std::string> read_visits(const std::filesystem::path& file);

/// The same from a text.
/// @param name  what the errors call it.
tl::expected<std::vector<visit>, std::string> parse_visits(std::string_view text, std::string_view name);

/// The shape of generated traffic, fitted to 12,391 product views of 2,986 shopping sessions over 7,139 items, the
/// public sample of a recommendation challenge of 2016 (DIGINETICA, CIKM Cup; `item_views.csv`).
struct traffic {
  /// Views after the first are negative binomial, as a gamma mixture of Poissons. Maximum likelihood over dispersions
  /// in steps of 0.02 with the sample's mean of 4.150 views: largest distance of the two distribution functions 0.009
  /// (a geometric one: 0.071). The sample's longest session has 54 views.
  double views_mean = 4.15;
  double views_dispersion = 0.64;
  std::size_t views_max = 60;

  /// Time from view to view is log-normal: mean and deviation of the logarithms of all 9,405 gaps in ms. Their median
  /// is 50 s (fitted: 50 s), the 95th percentile 368 s (373 s), the longest 1,178 s.
  double gap_log_mean = 10.82;
  double gap_log_deviation = 1.22;
  std::chrono::milliseconds gap_max{1'200'000};

  /// How often a view after the first shows an item that this session saw before: 2,205 of 9,405.
  double again = 0.234;

  /// A new item has weight (rank + shift)^-exponent, rank from 1 to items. Grid search for the greatest Poisson
  /// likelihood of *how many items were seen by k sessions*, k = 1 to 12 and more, over the 10,186 pairs of session
  /// and item. Sample: 5567 941 310 142 76 26; fitted: 5502 945 274 121 66 41.
  std::size_t items = 40'000;
  double popularity_shift = 60;
  double popularity_exponent = 0.8;
};

/// The same seed gives the same visits.
std::vector<visit> generate_visits(std::size_t count, std::uint64_t seed, const traffic& shape = {});

} // namespace shop
