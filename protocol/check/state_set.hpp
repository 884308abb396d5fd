#pragma once
/// An exact set of the states of a search.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace troupe::check {

/// The states that a search has entered, compared exactly: open addressing over keys of varying length.
class state_set {
public:
  /// Adds the key; false if it was there.
  bool insert(const std::vector<std::uint64_t>& key);
  std::size_t bytes() const { return keys_.capacity() * sizeof(std::uint64_t) + slots_.capacity() * sizeof(slot); }

private:
  struct slot {
    std::uint64_t hash = 0;
    std::uint64_t begin = 0; ///< into keys_, plus 1; 0 = free
  };
  void grow();

  std::vector<std::uint64_t> keys_; ///< each as its length and then its words
  std::vector<slot> slots_;         ///< a power of two of them, at most two thirds taken
  std::size_t taken_ = 0;
};

} // namespace troupe::check
