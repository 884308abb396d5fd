/// What was measured several times.
#pragma once

#include <string>
#include <vector>

namespace troupe::bench {

/// The rounds of one measure, and their median.
struct figure {
  std::vector<double> rounds;

  double median() const; ///< 0 when there is no round
  double min() const;
  double max() const;
};

/// Rounded, with a comma for every thousand.
std::string whole(double x);

} // namespace troupe::bench
