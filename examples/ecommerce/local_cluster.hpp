/// Three nodes in three regions, as processes of this machine.
#pragma once

#include <tl/expected.hpp>
#include <troupe/processes.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace shop {

/// What the nodes say about a shard.
struct shard_view {
  std::string home; ///< the node that leads it; empty = none does
  std::uint64_t committed = 0;
};

/// `troupe node` three times, each with its own store below one folder; the links delay what goes between regions.
/// Everything ends with this object. For the main thread.
class local_cluster {
public:
  /// "eu - us 40 ms, …": the round trips that the links add.
  static std::string delays();

  /// Makes the stores, starts the nodes and waits until each is ready.
  /// @param troupe  the program.
  /// @errors a sentence, with the log of the node that failed.
  static tl::expected<std::unique_ptr<local_cluster>, std::string> start(const std::filesystem::path& troupe,
                                                                         const std::filesystem::path& folder);

  /// Configurations of client nodes, one in each region.
  std::vector<std::filesystem::path> clients() const;

  /// By shard number, from all nodes that answer.
  std::map<std::uint32_t, shard_view> shards() const;

  /// The shard that `write` writes a key of: the one that committed something meanwhile. Called again while others
  /// did, too.
  /// @errors a sentence: what `write` said, or that it cannot be told.
  tl::expected<std::uint32_t, std::string>
  shard_written_by(const std::function<tl::expected<void, std::string>()>& write) const;

  /// SIGKILL. Returns when the process is gone.
  void kill(std::string_view node);
  tl::expected<void, std::string> restart(std::string_view node);
  bool ready(std::string_view node) const;
  tl::expected<void, std::string> wait_ready(std::string_view node, std::chrono::milliseconds at_most);

  static std::string region_of(std::string_view node);

private:
  struct process {
    std::string name;
    std::uint16_t port = 0;
    std::uint16_t admin = 0;
    std::optional<troupe::child> running;
  };

  local_cluster(std::filesystem::path troupe, std::filesystem::path folder)
      : troupe_(std::move(troupe)), folder_(std::move(folder)) {}
  tl::expected<void, std::string> write_configurations() const;
  tl::expected<void, std::string> start_all();
  tl::expected<void, std::string> spawn(process& node);
  std::string shared_toml() const;
  process& find(std::string_view node);
  const process& find(std::string_view node) const;
  std::filesystem::path file(const process& node, std::string_view extension) const;
  std::string failure_of(const process& node, const std::string& what) const;

  const std::filesystem::path troupe_;
  const std::filesystem::path folder_;
  std::vector<process> nodes_;
};

} // namespace shop
