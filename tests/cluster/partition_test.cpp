/// Links that are cut by a firewall, between processes in network namespaces of their own.
#include "tests/support/cluster_trial.hpp"

#include <doctest/doctest.h>

#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <stdexcept>

using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

/// A namespace for each node, and a bridge between them in one of this process's own: nothing of it is visible to the
/// machine, and the kernel removes it all with the last process in it, however that ends.
class private_network {
public:
  /// What this machine refuses that it needs; nothing = it can be made.
  static std::optional<std::string> obstacle() {
    if (::geteuid() != 0) return "not root";
    const std::vector<std::vector<std::string>> needed{
        {"unshare", "-n", "true"},
        {"unshare", "-n", "iptables", "-A", "INPUT", "-s", "10.77.0.1", "-j", "DROP"},
        {"unshare", "-n", "ip", "link", "add", "name", "bridge", "type", "bridge"},
        {"unshare", "-n", "ip", "link", "add", "name", "one", "type", "veth", "peer", "name", "other"},
        {"nsenter", "--version"}};
    for (const auto& command : needed) {
      const auto tried = run(command);
      if (tried.exit_code == 0) continue;
      std::string words;
      for (const auto& word : command)
        words += (words.empty() ? "" : " ") + word;
      return "`" + words + "` ends with " + std::to_string(tried.exit_code) + ": " + tried.errors;
    }
    return std::nullopt;
  }

  /// The main thread, and what it starts, stay in the namespace of the bridge until the process ends.
  explicit private_network(std::size_t nodes) {
    if (::unshare(CLONE_NEWNET) != 0) throw std::runtime_error{"no network namespace"};
    must({"ip", "link", "set", "lo", "up"});
    must({"ip", "link", "add", "name", "bridge", "type", "bridge"});
    must({"ip", "addr", "add", "10.77.0.254/24", "dev", "bridge"});
    must({"ip", "link", "set", "bridge", "up"});
    for (std::size_t i = 0; i < nodes; ++i)
      add_node(i);
  }

  std::vector<node_place> places() const {
    std::vector<node_place> all;
    for (std::size_t i = 0; i < holders_.size(); ++i)
      all.push_back({address(i), inside(i, {})});
    return all;
  }

  /// From now on, nothing that node `from` sends reaches node `to`.
  void cut(std::size_t from, std::size_t to) {
    must(inside(to, {"iptables", "-A", "INPUT", "-s", address(from), "-j", "DROP"}));
  }
  /// Ends all cuts. False when one of them had nothing to stop.
  bool heal() {
    bool all_used = true;
    for (std::size_t i = 0; i < holders_.size(); ++i) {
      std::istringstream rules{must(inside(i, {"iptables", "-L", "INPUT", "-v", "-n", "-x"}))};
      for (std::string line; std::getline(rules, line);)
        if (line.find(" DROP ") != std::string::npos) all_used &= std::stoull(line) > 0; // packets stand first
      must(inside(i, {"iptables", "-F", "INPUT"}));
    }
    return all_used;
  }

private:
  static std::string address(std::size_t node) { return "10.77.0." + std::to_string(node + 1); }

  static std::string must(const std::vector<std::string>& command) {
    auto done = run(command);
    if (done.exit_code != 0) throw std::runtime_error{command.front() + ": " + done.errors};
    return std::move(done.output);
  }

  static std::filesystem::path namespace_of(const std::string& process) {
    std::error_code gone;
    return std::filesystem::read_symlink("/proc/" + process + "/ns/net", gone);
  }

  std::vector<std::string> inside(std::size_t node, const std::vector<std::string>& command) const {
    std::vector<std::string> all{"nsenter", "-t", std::to_string(holders_.at(node)->pid()), "-n"};
    all.insert(all.end(), command.begin(), command.end());
    return all;
  }

  void add_node(std::size_t i) {
    holders_.push_back(std::make_unique<child>(std::vector<std::string>{"unshare", "-n", "tail", "-f", "/dev/null"},
                                               "/dev/null", "/dev/null"));
    const auto holder = std::to_string(holders_.back()->pid());
    const bool apart = wait_until([&] { return namespace_of(holder) != namespace_of("self"); }, 10s);
    if (!apart) throw std::runtime_error{"no network namespace for a node"};
    const auto port = "port" + std::to_string(i);
    must({"ip", "link", "add", "name", port, "type", "veth", "peer", "name", "eth0", "netns", holder});
    must({"ip", "link", "set", port, "master", "bridge", "up"});
    must(inside(i, {"ip", "addr", "add", address(i) + "/24", "dev", "eth0"}));
    must(inside(i, {"ip", "link", "set", "eth0", "up"}));
    must(inside(i, {"ip", "link", "set", "lo", "up"}));
  }

  std::vector<std::unique_ptr<child>> holders_; ///< processes that do nothing but keep a namespace
};

constexpr auto cut_for = 3s;

} // namespace

TEST_CASE("S1, S2: links of a home that are cut for 3 s, one way, both ways, and all, cost no write and no read") {
  if (const auto why = private_network::obstacle()) {
    MESSAGE("SKIPPED, nothing was shown: this needs root with CAP_NET_ADMIN, iproute2 and iptables; " << *why);
    std::exit(skipped_exit_code);
  }
  private_network network{3};
  trial_options options;
  options.cluster.places = network.places();
  trial run{options};
  run.begin();

  // `moves`: the home cannot keep its lease.
  const auto cut = [&](const std::string& what, bool moves, auto links) {
    const auto home = run.home_of(0);
    run.struck(what);
    links(home, (home + 1) % 3, (home + 2) % 3);
    run.last(cut_for);
    if (moves) CHECK(run.home_of(0) != home);
    run.struck("healing of: " + what);
    CHECK(network.heal());
    run.serve(50);
    for (std::size_t i = 0; i < 3; ++i)
      REQUIRE(run.node(i).wait_ready(trial::patience));
  };
  cut("cut from the home to a peer", false, [&](auto home, auto peer, auto) { network.cut(home, peer); });
  cut("cut from a peer to the home", false, [&](auto home, auto peer, auto) { network.cut(peer, home); });
  cut("cut between the home and a peer", false, [&](auto home, auto peer, auto) {
    network.cut(home, peer);
    network.cut(peer, home);
  });
  // Only its clients still reach the home: what it knows grows old, and it must know that.
  cut("cut between the home and all peers", true, [&](auto home, auto one, auto other) {
    for (const auto peer : {one, other}) {
      network.cut(home, peer);
      network.cut(peer, home);
    }
  });
  cut("cut from all peers to the home", true, [&](auto home, auto one, auto other) {
    network.cut(one, home);
    network.cut(other, home);
  });

  const auto found = run.conclude();
  MESSAGE(found);
  CHECK(found.problems.empty());
}
