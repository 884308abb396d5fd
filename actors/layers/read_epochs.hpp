/// When memory that readers look at without a lock may be freed (epoch-based reclamation).
///
/// A writer unlinks an object from where readers find it, closes the epoch, and frees the object once no reader of
/// that epoch or an earlier one is left. Readers announce the epoch in which they began, each in a cache line of its
/// own: they never wait, and write nothing that another reader reads.
///
/// Epochs and announcements are one set per process, because threads are: a reader of one table may put off what
/// another table frees.
///
/// Why it is sound: a reader announces itself before it loads any pointer, a writer unlinks before it looks at the
/// announcements, and all four are sequentially consistent. A writer that misses an announcement therefore has a
/// reader who misses the object. There are no fences, which ThreadSanitizer cannot see through.
/// @source design: Fraser, Practical lock-freedom, 2004.
#pragma once

#include "protocol/assert.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace troupe {

/// Closes the running epoch; what was unlinked before can only be seen by readers of the returned epoch or earlier.
std::uint64_t close_read_epoch();

/// The epoch of the oldest reader under way; above every closed epoch when there is none.
/// @cost  one cache line for each thread that has ever read at the same time as others.
std::uint64_t oldest_read_epoch();

/// Where one thread announces that it reads. Never freed: passed on to a later thread when its own has ended.
struct alignas(64) reader_slot {
  static constexpr std::uint64_t idle = UINT64_MAX;

  std::atomic<std::uint64_t> epoch{idle}; ///< in which the read under way began
  std::atomic<bool> taken{true};          ///< by a living thread
  std::size_t number = 0;                 ///< 0 and up, dense; no two living threads have the same
  reader_slot* next = nullptr;            ///< all slots of the process, newest first; constant once linked
};

/// While it lives, nothing that its thread finds is freed. Short, never nested, never across a call into foreign
/// code other than a look at a clock.
class read_section {
public:
  read_section();
  ~read_section() { slot_.epoch.store(reader_slot::idle, std::memory_order_release); }
  read_section(const read_section&) = delete;
  read_section& operator=(const read_section&) = delete;

  /// The number of the thread's slot.
  std::size_t thread_number() const { return slot_.number; }

private:
  reader_slot& slot_;
};

namespace detail {
extern std::atomic<std::uint64_t> read_epoch;
extern constinit thread_local reader_slot* own_reader_slot; ///< nullptr until the thread's first read
reader_slot& take_reader_slot();
} // namespace detail

/// The number of this thread's slot.
inline std::size_t reader_number() {
  return (detail::own_reader_slot != nullptr ? *detail::own_reader_slot : detail::take_reader_slot()).number;
}

inline read_section::read_section()
    : slot_{detail::own_reader_slot != nullptr ? *detail::own_reader_slot : detail::take_reader_slot()} {
  TROUPE_ASSERT(slot_.epoch.load(std::memory_order_relaxed) == reader_slot::idle);
  slot_.epoch.store(detail::read_epoch.load(std::memory_order_acquire), std::memory_order_seq_cst);
}

} // namespace troupe
