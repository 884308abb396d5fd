/// Networks of processes that a firewall can cut.
#pragma once

#include "tests/support/cluster.hpp"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe::test {

/// A namespace for each node, and a bridge between them in one of this process's own: nothing of it is visible to the
/// machine, and the kernel removes it all with the last process in it, however that ends.
class private_network {
public:
  /// What this machine refuses that it needs; nothing = it can be made.
  static std::optional<std::string> obstacle();
  /// Ends the process as a test that was skipped, with the reason, where there is an obstacle.
  static void skip_without();

  /// The main thread, and what it starts, stay in the namespace of the bridge until the process ends.
  explicit private_network(std::size_t nodes);

  std::vector<node_place> places() const;

  /// From now on, nothing that node `from` sends reaches node `to`.
  void cut(std::size_t from, std::size_t to);
  /// Ends all cuts. False when one of them had nothing to stop.
  bool heal();

private:
  std::vector<std::string> inside(std::size_t node, const std::vector<std::string>& command) const;
  void add_node(std::size_t i);

  std::vector<std::unique_ptr<child>> holders_; ///< processes that do nothing but keep a namespace
};

} // namespace troupe::test
