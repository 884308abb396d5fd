#include "runtime/bench/bench_cluster.hpp"

#include "runtime/cli/admin_client.hpp"

#include <nlohmann/json.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace troupe::bench {

namespace {

using failure = tl::unexpected<std::string>;
using clock = std::chrono::steady_clock;

constexpr std::chrono::seconds init_patience{20};
constexpr std::chrono::seconds ready_patience{60};
constexpr std::chrono::milliseconds poll_interval{1};

std::string address(std::uint16_t port) { return "127.0.0.1:" + std::to_string(port); }

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in{file, std::ios::binary};
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// CPU time of a process, user and system; 0 when it is gone.
double cpu_seconds(pid_t pid) {
  constexpr int fields_before_times = 11; // behind the name, which may contain anything but ends with the last ')'
  const auto stat = text_of("/proc/" + std::to_string(pid) + "/stat");
  const auto name_end = stat.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields{stat.substr(name_end + 1)};
  std::string skipped;
  for (int i = 0; i < fields_before_times; ++i)
    fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double own_cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

nlohmann::json status_of(std::uint16_t admin) {
  const auto answer = cli::ask_admin(address(admin), {.method = "GET", .target = "/v1/status"});
  return nlohmann::json::parse(answer ? answer->body : "", nullptr, false);
}

} // namespace

tl::expected<std::unique_ptr<bench_cluster>, std::string> bench_cluster::start(cluster_options options) {
  std::unique_ptr<bench_cluster> made{new bench_cluster{std::move(options)}};
  const auto ports = free_ports(2 * nodes);
  if (ports.size() < 2 * nodes) return failure{"no free ports on the loopback address"};
  for (std::size_t i = 0; i < nodes; ++i) {
    auto& node = made->processes_[i];
    node.name = "node-" + std::to_string(i + 1);
    node.port = ports[2 * i];
    node.admin = ports[2 * i + 1];
  }
  for (const auto& node : made->processes_)
    if (auto store = made->make_store(node); !store) return failure{store.error()};
  for (auto i = made->first_process(); i < nodes; ++i)
    if (auto spawned = made->spawn(made->processes_[i]); !spawned) return failure{spawned.error()};
  for (auto i = made->first_process(); i < nodes; ++i)
    if (auto ready = made->wait_ready(made->processes_[i]); !ready) return failure{ready.error()};
  return made;
}

std::string bench_cluster::shared_toml() const {
  std::ostringstream out;
  out << "[cluster]\nname = \"bench\"\nlease_ms = " << options_.lease.count() << "\nshards = " << shards << "\n";
  for (std::size_t i = 0; i < nodes; ++i)
    out << "\n[[cluster.nodes]]\nname = \"" << processes_[i].name << "\"\nid = " << i + 1 << "\nregion = \"r" << i + 1
        << "\"\naddress = \"" << address(processes_[i].port) << "\"\n";
  out << "\n[types.bench]\nlevel = \"" << name_of(options_.at) << "\"\n"
      << options_.settings << "\n"
      << options_.more_types << "\n[log]\nlevel = \"warn\"\n";
  return out.str();
}

std::string bench_cluster::client_toml(const std::string& name, std::size_t near) const {
  return shared_toml() + "file = \"" + (options_.folder / (name + ".log")).string()
         + "\"\n\n[node]\nrole = \"client\"\nname = \"" + name + "\"\nregion = \"r" + std::to_string(near + 1)
         + "\"\n";
}

std::string bench_cluster::node_toml(const process& node) const {
  return "\n[node]\nname = \"" + node.name + "\"\ndirectory = \"" + file(node, ".store").string()
         + "\"\n\n[listen]\nadmin = \"" + address(node.admin) + "\"\n";
}

std::string bench_cluster::first_node_toml() const {
  return shared_toml() + "file = \"" + (options_.folder / "clients.log").string() + "\"\n"
         + node_toml(processes_.front());
}

tl::expected<void, std::string> bench_cluster::make_store(const process& node) const {
  const auto config = file(node, ".toml");
  std::ofstream out{config, std::ios::binary | std::ios::trunc};
  out << shared_toml() << node_toml(node);
  out.close();
  if (!out) return failure{config.string() + ": cannot be written"};
  auto made =
      run_to_end({options_.troupe.string(), "init", "--config", config.string()}, file(node, ".out"), init_patience);
  if (!made) return failure{made.error()};
  if (*made != 0) return failure{failure_of(node, "troupe init failed")};
  return {};
}

tl::expected<void, std::string> bench_cluster::spawn(process& node) {
  std::error_code absent;
  std::filesystem::remove(file(node, ".out"), absent);
  auto started =
      child::start({options_.troupe.string(), "node", "--config", file(node, ".toml").string()}, file(node, ".out"));
  if (!started) return failure{started.error()};
  node.running = std::move(*started);
  return {};
}

/// A node says "ready" once, when it is: reading that costs it nothing, as asking would.
tl::expected<void, std::string> bench_cluster::wait_ready(process& node) {
  const auto until = clock::now() + ready_patience;
  const auto says_so = [](const std::string& said) {
    return said.starts_with("ready ") || said.find("\nready ") != std::string::npos; // behind what it warns of
  };
  while (!says_so(text_of(file(node, ".out")))) {
    if (const auto ended = node.running->wait(poll_interval))
      return failure{failure_of(node, "ended with code " + std::to_string(*ended))};
    if (clock::now() > until) return failure{failure_of(node, "is not ready in time")};
  }
  return {};
}

tl::expected<std::chrono::nanoseconds, std::string> bench_cluster::restart(std::size_t node) {
  const auto begun = clock::now();
  if (auto spawned = spawn(processes_[node]); !spawned) return failure{spawned.error()};
  if (auto ready = wait_ready(processes_[node]); !ready) return failure{ready.error()};
  return clock::now() - begun;
}

std::map<shard_id, std::size_t> bench_cluster::homes() const {
  std::map<shard_id, std::size_t> found;
  for (std::size_t i = 0; i < nodes; ++i) {
    const auto status = status_of(processes_[i].admin);
    if (!status.is_object()) continue;
    for (const auto& row : status.value("shards", nlohmann::json::array()))
      if (row.value("leading", false)) found[{row.value("shard", shards)}] = i;
  }
  return found;
}

usage bench_cluster::used() const {
  usage sum;
  for (std::size_t i = 0; i < nodes; ++i) {
    const auto& running = processes_[i].running;
    if (!running) continue;
    sum.node_cpu_seconds[i] = cpu_seconds(running->pid());
    const auto status = status_of(processes_[i].admin);
    if (status.is_object() && status.contains("store"))
      sum.syncs[i] = status["store"].value("syncs", std::uint64_t{0});
  }
  sum.client_cpu_seconds = own_cpu_seconds();
  return sum;
}

std::filesystem::path bench_cluster::file(const process& node, const char* extension) const {
  return options_.folder / (node.name + extension);
}

std::string bench_cluster::failure_of(const process& node, const std::string& what) const {
  return node.name + " " + what + ": " + text_of(file(node, ".out"));
}

tl::expected<runtime, std::string> ready_runtime(result<config> configuration) {
  constexpr std::chrono::seconds patience{30};
  auto started = runtime::start(std::move(configuration));
  if (!started) return failure{started.error().message()};
  if (auto ready = started->wait_ready(patience); !ready) return failure{ready.error().message()};
  return std::move(*started);
}

} // namespace troupe::bench
