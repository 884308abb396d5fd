/// Rows of text for people.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iomanip>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace troupe::cli {

/// Columns as wide as their widest cell; the first `left` of them to the left, the others to the right.
class table {
public:
  explicit table(std::vector<std::string> head, std::size_t left = 1) : left_{left} {
    rows_.push_back(std::move(head));
  }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  void print(std::ostream& out) const {
    std::vector<std::size_t> widths(rows_.front().size());
    for (const auto& row : rows_)
      for (std::size_t i = 0; i < row.size(); ++i)
        widths[i] = std::max(widths[i], row[i].size());
    for (const auto& row : rows_) {
      for (std::size_t i = 0; i < row.size(); ++i) {
        const bool last_and_left = i + 1 == row.size() && i < left_; // leaves no blanks behind it
        out << (i < left_ ? std::left : std::right) << "  "
            << std::setw(last_and_left ? 0 : static_cast<int>(widths[i])) << row[i];
      }
      out << "\n";
    }
  }

private:
  std::vector<std::vector<std::string>> rows_;
  std::size_t left_;
};

} // namespace troupe::cli
