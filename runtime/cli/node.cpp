/// troupe node: runs a node until SIGTERM or SIGINT.
#include "runtime/cli/commands.hpp"
#include "runtime/runtime_access.hpp"

#include <troupe/runtime.hpp>

#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <ctime>
#include <iostream>
#include <memory>
#include <string>

namespace troupe::cli {

namespace {

/// How long a node may take to hand its shards over and end.
constexpr std::chrono::seconds stop_patience{10};
constexpr std::chrono::milliseconds ready_patience{100};

/// Every client connection is a descriptor: takes all that the system allows.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/// The signals that end a node. Blocked in the whole process, so that only wait_for() takes them.
class end_signals {
public:
  end_signals() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGTERM);
    sigaddset(&signals_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
  }

  bool pending() const {
    const timespec none{};
    return sigtimedwait(&signals_, nullptr, &none) > 0;
  }

  void wait() const {
    int number = 0;
    sigwait(&signals_, &number);
  }

  /// From now on a further signal ends the process at once.
  void give_up() const { pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr); }

private:
  sigset_t signals_{};
};

std::string listening(const runtime& node) {
  std::string text;
  runtime_access{node}.with_parts([&](assembly& parts) {
    text = "node=" + parts.config().name;
    if (const auto at = parts.resp_address()) text += " resp=" + to_string(*at);
    if (const auto at = parts.admin_address()) text += " admin=" + to_string(*at);
  });
  return text;
}

int run_node(const std::string& file) {
  auto configuration = config::from_file(file);
  if (!configuration) {
    std::cerr << configuration.error().detail() << "\n";
    return bad_usage;
  }
  const end_signals signals;
  raise_descriptor_limit();
  auto node = runtime::start(std::move(configuration));
  if (!node) {
    std::cerr << "troupe node: " << node.error().message() << "\n";
    return not_done;
  }
  bool ending = false;
  while (!ending && !node->wait_ready(ready_patience))
    ending = signals.pending();
  if (!ending) {
    std::cout << "ready " << listening(*node) << std::endl;
    signals.wait();
  }
  signals.give_up();
  if (const auto stopped = node->stop(stop_patience); !stopped) {
    std::cerr << "troupe node: " << stopped.error().message() << "\n";
    return unknown;
  }
  return done;
}

} // namespace

void add_node(CLI::App& app, action& chosen) {
  auto file = std::make_shared<std::string>();
  auto* command = app.add_subcommand("node", "Run a node until SIGTERM or SIGINT");
  command->add_option("--config", *file, "The node's configuration (TOML)")->type_name("FILE")->required();
  command->callback([file, &chosen] { chosen = [file] { return run_node(*file); }; });
}

} // namespace troupe::cli
