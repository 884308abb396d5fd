#include "tests/support/private_network.hpp"

#include <doctest/doctest.h>

#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <stdexcept>

using namespace std::chrono_literals;

namespace troupe::test {

namespace {

std::string address(std::size_t node) { return "10.77.0." + std::to_string(node + 1); }

std::string must(const std::vector<std::string>& command) {
  auto done = run(command);
  if (done.exit_code != 0) throw std::runtime_error{command.front() + ": " + done.errors};
  return std::move(done.output);
}

std::filesystem::path namespace_of(const std::string& process) {
  std::error_code gone;
  return std::filesystem::read_symlink("/proc/" + process + "/ns/net", gone);
}

} // namespace

std::optional<std::string> private_network::obstacle() {
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

void private_network::skip_without() {
  const auto why = obstacle();
  if (!why) return;
  MESSAGE("SKIPPED, nothing was shown: this needs root with CAP_NET_ADMIN, iproute2 and iptables; " << *why);
  std::exit(skipped_exit_code);
}

private_network::private_network(std::size_t nodes) {
  if (::unshare(CLONE_NEWNET) != 0) throw std::runtime_error{"no network namespace"};
  must({"ip", "link", "set", "lo", "up"});
  must({"ip", "link", "add", "name", "bridge", "type", "bridge"});
  must({"ip", "addr", "add", "10.77.0.254/24", "dev", "bridge"});
  must({"ip", "link", "set", "bridge", "up"});
  for (std::size_t i = 0; i < nodes; ++i)
    add_node(i);
}

std::vector<node_place> private_network::places() const {
  std::vector<node_place> all;
  for (std::size_t i = 0; i < holders_.size(); ++i)
    all.push_back({address(i), inside(i, {})});
  return all;
}

void private_network::cut(std::size_t from, std::size_t to) {
  must(inside(to, {"iptables", "-A", "INPUT", "-s", address(from), "-j", "DROP"}));
}

bool private_network::heal() {
  bool all_used = true;
  for (std::size_t i = 0; i < holders_.size(); ++i) {
    std::istringstream rules{must(inside(i, {"iptables", "-L", "INPUT", "-v", "-n", "-x"}))};
    for (std::string line; std::getline(rules, line);)
      if (line.find(" DROP ") != std::string::npos) all_used &= std::stoull(line) > 0; // packets stand first
    must(inside(i, {"iptables", "-F", "INPUT"}));
  }
  return all_used;
}

std::vector<std::string> private_network::inside(std::size_t node, const std::vector<std::string>& command) const {
  std::vector<std::string> all{"nsenter", "-t", std::to_string(holders_.at(node)->pid()), "-n"};
  all.insert(all.end(), command.begin(), command.end());
  return all;
}

void private_network::add_node(std::size_t i) {
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

} // namespace troupe::test
