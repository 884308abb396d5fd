/// Writes what the sessions of one runtime asked and were answered to a history file, for `troupe check`.
#pragma once

#include "protocol/check/history.hpp"
#include "protocol/error.hpp"

#include <tl/expected.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace troupe {

/// Safe from any thread. One line per operation, written when it ends by a thread of the recorder's own; nobody waits
/// for the disk. Bounded: whoever wants to begin an operation is refused while too many lines wait.
///
/// A process that is killed leaves out the operations that were under way. Whoever wants to judge such a run records
/// in a process that survives it.
class history_recorder {
public:
  struct bounds {
    std::size_t operations_max = 65'536;           ///< under way or waiting to be written
    std::size_t bytes_max = std::size_t{64} << 20; ///< of those that wait to be written
  };

  /// Appends to `file`, behind its last complete line: a node that starts again goes on in its file. Times are of
  /// CLOCK_BOOTTIME, so a file makes sense up to the next boot of the machine.
  /// @errors a sentence with the file's name.
  static tl::expected<std::unique_ptr<history_recorder>, std::string> open(const std::filesystem::path& file,
                                                                           bounds limit);
  history_recorder(const history_recorder&) = delete;
  history_recorder& operator=(const history_recorder&) = delete;
  ~history_recorder();

  /// Before an operation is sent. Every begin that answers `none` is followed by one end.
  /// @errors overloaded; storage_failed when the file could not be written or was closed.
  errc begin();
  /// When its outcome is known.
  void end(check::operation line);

  /// Writes what waits and closes the file.
  /// @errors why lines are missing in it.
  tl::expected<void, std::string> close();

private:
  history_recorder(std::filesystem::path file, bounds limit);
  void write_lines();

  const std::filesystem::path file_;
  const bounds limit_;
  std::ofstream out_; ///< of the writer thread

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<check::operation> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::size_t open_ = 0; ///< begun, not ended
  bool closing_ = false;
  bool failed_ = false; ///< a write failed; lines are missing
  std::thread writer_;
};

/// Bytes as text for a history: UTF-8 stays as it is, everything else (and what looks so) becomes "hex:…". Different
/// bytes give different texts.
std::string history_text(std::string_view bytes);

/// The client ids of one session. In a history a client has one call open at a time, and none after an *unknown*:
/// calls that overlap, and the ones after an unknown, get further ids. A caller that waits for every answer has one
/// id.
class history_clients {
public:
  explicit history_clients(std::uint64_t session) : session_(session) {}
  /// Ids are 1 and up.
  std::uint64_t take();
  /// After an answer: the id may be used again.
  void give_back(std::uint64_t id);
  /// As the format writes a client.
  std::string name_of(std::uint64_t id) const;

private:
  const std::uint64_t session_;
  std::mutex mutex_;
  std::vector<std::uint64_t> free_;
  std::uint64_t last_ = 0;
};

} // namespace troupe
