/// The client's own books: what the cluster acknowledged, on the client's disk before the client believes it.
#pragma once

#include <tl/expected.hpp>

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace shop {

enum class event : std::uint8_t {
  stocked,        ///< the item was put on sale with `quantity` units
  took,           ///< acknowledged: `quantity` units left the stock of `item`
  maybe_took,     ///< unknown: they may have left it, or may still
  returned,       ///< acknowledged: they are back, because the order could not be completed
  maybe_returned, ///< unknown
  ordered,        ///< acknowledged: the order is stored with the content `record`
};

struct ledger_entry {
  event what = event::ordered;
  std::string order;         ///< its key; none for stocked
  std::string item;          ///< its key; none for ordered
  std::int64_t quantity = 0; ///< none for ordered
  std::string record;        ///< for ordered
};

/// Appends entries to a file, one JSON object a line, and syncs it. Safe from any thread; one sync serves all who
/// wait.
class ledger {
public:
  /// @errors a sentence with the file's name: it exists already, or cannot be written.
  static tl::expected<std::unique_ptr<ledger>, std::string> create(const std::filesystem::path& file);
  ledger(const ledger&) = delete;
  ledger& operator=(const ledger&) = delete;
  ~ledger();

  /// Returns when the entries are on the disk.
  /// @errors a sentence: they are not, and nothing that follows will be.
  tl::expected<void, std::string> enter(const std::vector<ledger_entry>& entries);

private:
  ledger(std::filesystem::path file, int descriptor);
  void write_batches();
  bool write_and_sync(std::string_view batch) const;

  const std::filesystem::path file_;
  const int descriptor_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string waiting_;       ///< lines that no batch has taken; bounded by the threads that wait for theirs
  std::uint64_t entered_ = 0; ///< calls of enter() whose lines are in waiting_ or were taken from it
  std::uint64_t durable_ = 0; ///< of those, the first so many are on the disk
  bool failed_ = false;
  bool closing_ = false;
  std::thread writer_;
};

/// Reads a ledger back. A last line without its end was never acknowledged to anybody, and is left out.
/// @errors a sentence that starts with FILE or FILE:LINE.
tl::expected<std::vector<ledger_entry>, std::string> read_ledger(const std::filesystem::path& file);

} // namespace shop
