/// A promise, switched off: the other half of `troupe bench levels`. What a service has that puts a plain cache in
/// front of the same cluster.
///
/// All of it is here, and nothing of it in the program that serves: homes and memory layers have no mode for it.
/// - No read locks: a client node with unpromised copies has no memory layer, so it asks for none. Homes then have
///   nobody to recall anything from, and commit with the majority. Writes are answered after the same Accepts, at the
///   same majority, after the same syncs.
/// - No leases of copies, no generations, no comparison of versions: a copy is what the node was told last, by its
/// own
///   reads and writes. Others' writes it does not see.
/// - Homes renew their leases twelve times a minute instead of ten times a second (`unpromised_lease`).
///
/// What serves the promise and is left, because the same code runs: numbers of records and requests, a home's look at
/// its lease, and in each read one at the clock and at the time of the copy, as every cache has that knows of times.
///
/// For a weaker level the same copies stand in front of the same update streams, in a member: the type is eventual,
/// so updates carry no dependencies and wait for nobody, and what others write is not seen.
///
/// Reads of such a node may be stale. No configuration file can ask for it; its status says `"promise":
/// "off"`, and its log warns.
#pragma once

#include "actors/layers/memory_table.hpp"

#include <troupe/config.hpp>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>

namespace troupe::bench {

/// Of the homes' leases in a cluster that such a client node measures.
inline constexpr std::chrono::milliseconds unpromised_lease{20'000};

/// Copies without read locks. Read by the sessions of a client node; told by its user. Thread-safe.
class unpromised_copies {
public:
  explicit unpromised_copies(std::size_t bytes_max);

  /// The node read this value of `key`, as stored, or wrote it.
  void tell(const std::string& key, const std::string& value);

  /// The configuration of a client node whose sessions read these copies.
  config attach_to(const config& client_node) const;

private:
  const std::shared_ptr<memory_table> table_;
  std::mutex mutex_;       ///< of the table's writer
  std::uint64_t told_ = 0; ///< the table wants a number that grows
};

} // namespace troupe::bench
