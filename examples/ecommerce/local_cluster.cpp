#include "examples/ecommerce/local_cluster.hpp"

#include <httplib.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <sstream>

namespace shop {

namespace {

using failure = tl::unexpected<std::string>;
using clock = std::chrono::steady_clock;

struct delay {
  std::string_view one;
  std::string_view other;
  int round_trip_ms;
};
constexpr std::array<std::string_view, 3> regions{"eu", "us", "asia"};

struct type_of_data {
  std::string_view name;
  std::string_view promise;
};
constexpr std::array<type_of_data, 9> types{{{"user_sessions", "level = \"strong\""},
                                             {"inventory", "level = \"strong\""},
                                             {"orders", "level = \"strong\""},
                                             {"threads", "level = \"causal\""},
                                             {"reviews", "level = \"causal\""},
                                             {"carts", "level = \"session\""},
                                             {"catalogue", "level = \"eventual\""},
                                             {"recommendations", "level = \"eventual\""},
                                             {"views", "level = \"eventual\"\nresolver = \"counter\""}}};
constexpr std::array<delay, 3> region_delays{{{"eu", "us", 40}, {"us", "asia", 80}, {"eu", "asia", 120}}};

/// A home renews every quarter of it, and recovery waits for its end: more than twice (a quarter, and the longest
/// round trip), and short enough that claim, first touch and write, each a round trip, end within a second.
constexpr int lease_ms = 500;

constexpr std::chrono::seconds init_patience{20};
constexpr std::chrono::seconds ready_patience{30};
constexpr std::chrono::milliseconds poll_interval{50};
constexpr std::chrono::seconds http_patience{2};

std::string address(std::uint16_t port) { return "\"127.0.0.1:" + std::to_string(port) + "\""; }

tl::expected<void, std::string> write_file(const std::filesystem::path& file, const std::string& text) {
  std::ofstream out{file, std::ios::binary | std::ios::trunc};
  out << text;
  if (!out.flush()) return failure{file.string() + ": cannot be written"};
  return {};
}

std::string end_of(const std::filesystem::path& file) {
  constexpr std::size_t lines_shown = 5;
  std::ifstream in{file};
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    lines.push_back(line);
  std::string text;
  for (auto i = lines.size() - std::min(lines.size(), lines_shown); i < lines.size(); ++i)
    text += "\n    " + lines[i];
  return text;
}

std::optional<std::string> http_get(std::uint16_t port, const std::string& target) {
  httplib::Client client{"127.0.0.1", port};
  client.set_connection_timeout(http_patience);
  client.set_read_timeout(http_patience);
  const auto answer = client.Get(target);
  if (!answer || answer->status != 200) return std::nullopt;
  return answer->body;
}

} // namespace

std::string local_cluster::delays() {
  std::string text;
  for (const auto& d : region_delays)
    text += (text.empty() ? "" : ", ") + std::string{d.one} + " - " + std::string{d.other} + " "
            + std::to_string(d.round_trip_ms) + " ms";
  return text;
}

std::string local_cluster::region_of(std::string_view node) { return std::string{node.substr(0, node.find('-'))}; }

tl::expected<std::unique_ptr<local_cluster>, std::string> local_cluster::start(const std::filesystem::path& troupe,
                                                                               const std::filesystem::path& folder) {
  std::unique_ptr<local_cluster> made{new local_cluster{troupe, folder}};
  const auto ports = troupe::free_ports(2 * regions.size());
  if (ports.size() < 2 * regions.size()) return failure{"no free ports on the loopback address"};
  for (std::size_t i = 0; i < regions.size(); ++i)
    made->nodes_.push_back({std::string{regions[i]} + "-1", ports[2 * i], ports[2 * i + 1], std::nullopt});
  if (auto written = made->write_configurations(); !written) return failure{written.error()};
  if (auto started = made->start_all(); !started) return failure{started.error()};
  return made;
}

std::string local_cluster::shared_toml() const {
  std::ostringstream out;
  out << "[cluster]\nname = \"ecommerce\"\nlease_ms = " << lease_ms << "\n";
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    out << "\n[[cluster.nodes]]\nname = \"" << nodes_[i].name << "\"\nid = " << i + 1 << "\nregion = \"" << regions[i]
        << "\"\naddress = " << address(nodes_[i].port) << "\n";
  for (const auto& [type, promise] : types)
    out << "\n[types." << type << "]\n" << promise << "\n";
  for (const auto& d : region_delays)
    out << "\n[[delays]]\nregions = [\"" << d.one << "\", \"" << d.other << "\"]\nround_trip_ms = " << d.round_trip_ms
        << "\n";
  return out.str();
}

tl::expected<void, std::string> local_cluster::write_configurations() const {
  const auto shared = shared_toml();
  for (const auto& node : nodes_) {
    auto own = "\n[node]\nname = \"" + node.name + "\"\ndirectory = \"" + node.name + ".store\"\n\n[listen]\nadmin = "
               + address(node.admin) + "\n\n[log]\nlevel = \"info\"\nfile = \"" + node.name + ".log\"\n";
    if (auto done = write_file(file(node, ".toml"), shared + own); !done) return done;
  }
  for (const auto& region : regions) {
    const std::string name{region};
    auto own = "\n[node]\nrole = \"client\"\nname = \"shoppers-" + name + "\"\nregion = \"" + name
               + "\"\n\n[log]\nlevel = \"info\"\nfile = \"shoppers-" + name + ".log\"\n";
    if (auto done = write_file(folder_ / ("shoppers-" + name + ".toml"), shared + own); !done) return done;
  }
  return {};
}

std::vector<std::filesystem::path> local_cluster::clients() const {
  std::vector<std::filesystem::path> files;
  files.reserve(regions.size());
  for (const auto& region : regions)
    files.push_back(folder_ / ("shoppers-" + std::string{region} + ".toml"));
  return files;
}

tl::expected<void, std::string> local_cluster::start_all() {
  for (const auto& node : nodes_) {
    const auto output = file(node, ".out");
    auto made = troupe::run_to_end({troupe_.string(), "init", "--config", file(node, ".toml").string()}, output,
                                   init_patience);
    if (!made) return failure{made.error()};
    if (*made != 0) return failure{"troupe init of " + node.name + " failed:" + end_of(output)};
  }
  for (auto& node : nodes_)
    if (auto spawned = spawn(node); !spawned) return spawned;
  for (const auto& node : nodes_)
    if (auto ready = wait_ready(node.name, ready_patience); !ready) return ready;
  return {};
}

tl::expected<void, std::string> local_cluster::spawn(process& node) {
  auto started =
      troupe::child::start({troupe_.string(), "node", "--config", file(node, ".toml").string()}, file(node, ".out"));
  if (!started) return failure{started.error()};
  node.running = std::move(*started);
  return {};
}

void local_cluster::kill(std::string_view node) { find(node).running.reset(); }

tl::expected<void, std::string> local_cluster::restart(std::string_view node) { return spawn(find(node)); }

bool local_cluster::ready(std::string_view node) const { return http_get(find(node).admin, "/readyz").has_value(); }

tl::expected<void, std::string> local_cluster::wait_ready(std::string_view name, std::chrono::milliseconds at_most) {
  auto& node = find(name);
  const auto until = clock::now() + at_most;
  while (!ready(name)) {
    if (!node.running) return failure{node.name + " is not running"};
    if (const auto ended = node.running->wait(poll_interval))
      return failure{failure_of(node, "ended with code " + std::to_string(*ended))};
    if (clock::now() > until) return failure{failure_of(node, "is not ready in time")};
  }
  return {};
}

std::map<std::uint32_t, shard_view> local_cluster::shards() const {
  std::map<std::uint32_t, shard_view> all;
  for (const auto& node : nodes_) {
    const auto body = http_get(node.admin, "/v1/status");
    const auto status = nlohmann::json::parse(body.value_or(""), nullptr, false);
    if (!status.is_object() || !status.contains("shards")) continue;
    for (const auto& row : status["shards"]) {
      auto& shard = all[row.value("shard", 0U)];
      if (row.value("leading", false)) shard.home = node.name;
      shard.committed += row.value("committed", std::uint64_t{0});
    }
  }
  return all;
}

tl::expected<std::uint32_t, std::string>
local_cluster::shard_written_by(const std::function<tl::expected<void, std::string>()>& write) const {
  constexpr int tries_max = 20; // nodes that have just joined write the view, some times
  for (int tries = 0; tries < tries_max; ++tries) {
    const auto before = shards();
    if (auto written = write(); !written) return failure{written.error()};
    std::vector<std::uint32_t> grown;
    for (const auto& [shard, now] : shards()) {
      const auto was = before.find(shard);
      if (now.committed != (was == before.end() ? 0 : was->second.committed)) grown.push_back(shard);
    }
    if (grown.empty()) return failure{"no shard has committed the write that was acknowledged"};
    if (grown.size() == 1) return grown.front();
  }
  return failure{"somebody else writes, and the shard of the key cannot be told"};
}

local_cluster::process& local_cluster::find(std::string_view node) {
  return *std::find_if(nodes_.begin(), nodes_.end(), [&](const process& p) { return p.name == node; });
}

const local_cluster::process& local_cluster::find(std::string_view node) const {
  return *std::find_if(nodes_.begin(), nodes_.end(), [&](const process& p) { return p.name == node; });
}

std::filesystem::path local_cluster::file(const process& node, std::string_view extension) const {
  return folder_ / (node.name + std::string{extension});
}

std::string local_cluster::failure_of(const process& node, const std::string& what) const {
  return "node " + node.name + " " + what + ":" + end_of(file(node, ".out")) + end_of(file(node, ".log"));
}

} // namespace shop
