#include "actors/layers/read_epochs.hpp"

#include <algorithm>

namespace troupe {
namespace {

std::atomic<reader_slot*> all_slots{nullptr};

/// Gives the slot back when the thread ends.
struct slot_return {
  ~slot_return() {
    if (auto* slot = detail::own_reader_slot; slot != nullptr) {
      detail::own_reader_slot = nullptr;
      slot->taken.store(false, std::memory_order_release);
    }
  }
};

} // namespace

namespace detail {

std::atomic<std::uint64_t> read_epoch{1};
constinit thread_local reader_slot* own_reader_slot = nullptr;

reader_slot& take_reader_slot() {
  thread_local slot_return at_thread_end;
  for (auto* slot = all_slots.load(); slot != nullptr; slot = slot->next) {
    bool free = false;
    if (slot->taken.compare_exchange_strong(free, true)) return *(own_reader_slot = slot);
  }
  auto* slot = new reader_slot;
  slot->next = all_slots.load();
  do
    slot->number = slot->next == nullptr ? 0 : slot->next->number + 1;
  while (!all_slots.compare_exchange_weak(slot->next, slot));
  return *(own_reader_slot = slot);
}

} // namespace detail

std::uint64_t close_read_epoch() { return detail::read_epoch.fetch_add(1); }

std::uint64_t oldest_read_epoch() {
  auto oldest = reader_slot::idle;
  for (const auto* slot = all_slots.load(); slot != nullptr; slot = slot->next)
    oldest = std::min(oldest, slot->epoch.load());
  return oldest;
}

} // namespace troupe
