/// troupe node: runs a node until SIGTERM or SIGINT.
#include "runtime/cli/commands.hpp"
#include "runtime/runtime_access.hpp"

#include <troupe/error.hpp>
#include <troupe/runtime.hpp>

#include <spdlog/logger.h>

#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <ctime>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

namespace troupe::cli {

namespace {

/// How long a node may take to hand its shards over and end.
constexpr std::chrono::seconds stop_patience{10};
/// How often it is looked at.
constexpr std::chrono::milliseconds look_every{100};

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
    std::signal(SIGXFSZ, SIG_IGN); // a limit on file sizes is an error of the write
  }

  /// True when one has come.
  bool wait(std::chrono::nanoseconds at_most) const {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(at_most);
    const timespec patience{seconds.count(), (at_most - seconds).count()};
    return sigtimedwait(&signals_, nullptr, &patience) > 0;
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

/// What keeps the node from ever serving again, as an error for people; none = nothing does.
std::optional<error> broken(const runtime& node) {
  std::optional<error> why;
  runtime_access{node}.with_parts([&](assembly& parts) {
    if (parts.store_failed()) why = error{errc::storage_failed, "the node has ended; why is in its log"};
    if (parts.died()) why = error{errc::internal, "an actor of the node has died; why is in its log"};
  });
  return why;
}

/// Runs until a signal asks for the end; false when the node breaks before. Says when the node is ready.
bool serve(const runtime& node, const end_signals& signals) {
  bool ready = false;
  while (!broken(node)) {
    if (!ready && node.wait_ready(look_every)) {
      ready = true;
      std::cout << "ready " << listening(node) << std::endl;
    }
    if (signals.wait(ready ? look_every : std::chrono::milliseconds{0})) return true;
  }
  return false;
}

/// A node that cannot keep what it promises must not limp: who watches it learns at once, and it takes no part.
void report_store_failure(const runtime& node) {
  runtime_access{node}.with_parts([](assembly& parts) {
    if (!parts.store_failed()) return; // node.actor_died has said it
    parts.log()->critical("node.fatal store={:?} why=\"the store refuses writes, see store.failed\" next=\"this node "
                          "hands its shards over and ends\"",
                          parts.config().directory.string());
  });
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
  const bool asked = serve(*node, signals);
  const auto why = asked ? std::nullopt : broken(*node);
  if (!asked) report_store_failure(*node);
  signals.give_up();
  if (const auto stopped = node->stop(stop_patience); !stopped) {
    std::cerr << "troupe node: " << stopped.error().message() << "\n";
    return unknown;
  }
  if (why) std::cerr << "troupe node: " << why->message() << "\n";
  return asked ? done : not_done;
}

} // namespace

void add_node(CLI::App& app, action& chosen) {
  auto file = std::make_shared<std::string>();
  auto* command = app.add_subcommand("node", "Run a node until SIGTERM or SIGINT");
  command->add_option("--config", *file, "The node's configuration (TOML)")->type_name("FILE")->required();
  command->callback([file, &chosen] { chosen = [file] { return run_node(*file); }; });
}

} // namespace troupe::cli
