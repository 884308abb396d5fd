/// Reads the write-ahead log of RocksDB as bytes: what a loss of power may take from it, tests cut off.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::test {

/// A log is blocks of 32 KiB that hold fragments: checksum (4 bytes), length (2), kind (1), bytes.
constexpr std::size_t log_block = 32 * 1024;

enum class log_fragment_kind : unsigned char { none, full, first, middle, last };

struct log_fragment {
  std::size_t begin = 0; ///< of its header
  std::size_t end = 0;
  log_fragment_kind kind = log_fragment_kind::none;
  std::string_view bytes;
};

/// The fragments from offset `at`, up to the end, a cut, or the zeros that the log is filled with ahead.
inline std::vector<log_fragment> fragments_of(std::string_view log, std::size_t at = 0) {
  constexpr std::size_t header = 7;
  std::vector<log_fragment> fragments;
  while (at + header <= log.size()) {
    if (const auto left = log_block - at % log_block; left < header) {
      at += left;
      continue;
    }
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(log[at + i]); };
    const std::size_t end = at + header + byte(4) + 256U * byte(5);
    const log_fragment_kind kind{byte(6)};
    if (kind == log_fragment_kind::none || kind > log_fragment_kind::last || end > log.size()) break;
    fragments.push_back({at, end, kind, log.substr(at + header, end - at - header)});
    at = end;
  }
  return fragments;
}

/// Where the log in `file` ends; `from` is where it ended earlier.
inline std::size_t end_of_log(const std::filesystem::path& file, std::size_t from) {
  const auto skipped = from - from % log_block;
  std::ifstream in{file, std::ios::binary};
  in.seekg(static_cast<std::streamoff>(skipped));
  std::ostringstream text;
  text << in.rdbuf();
  const auto log = std::move(text).str();
  const auto fragments = fragments_of(log, from - skipped);
  return fragments.empty() ? from : skipped + fragments.back().end;
}

} // namespace troupe::test
