/// troupe lock: runs a command while a named lock is held, or holds it until it is interrupted.
///
/// As flock(1) does, it waits for as long as it takes unless told otherwise, and ends with the command's own code.
/// While it runs a command it has one thread, which waits for a signal or the next renewal, and for an answer of the
/// node for two seconds at most.
#include "runtime/cli/admin_client.hpp"
#include "runtime/cli/commands.hpp"
#include "runtime/cli/held_lock.hpp"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace troupe::cli {

namespace {

constexpr int cannot_run = 126;
constexpr int not_found = 127;

struct lock_command_options {
  lock_wish wish;
  std::string ttl = "10s";
  std::string wait;
  std::vector<std::string> command;
  int conflict_code = not_done;
};

/// "500ms", "10s", "2m", "1h"; "10" = seconds.
std::optional<std::chrono::milliseconds> duration_in(std::string_view text) {
  std::int64_t number = 0;
  const auto* last = text.data() + text.size();
  const auto [stop, wrong] = std::from_chars(text.data(), last, number);
  constexpr std::int64_t most = std::chrono::milliseconds{std::chrono::hours{24 * 365}}.count();
  if (wrong != std::errc{} || number < 0 || number > most) return std::nullopt;
  const std::string_view unit{stop, static_cast<std::size_t>(last - stop)};
  const std::int64_t factor = unit == "ms"                  ? 1
                              : unit.empty() || unit == "s" ? 1'000
                              : unit == "m"                 ? 60'000
                              : unit == "h"                 ? 3'600'000
                                                            : 0;
  if (factor == 0 || number > most / factor) return std::nullopt;
  return std::chrono::milliseconds{number * factor};
}

std::string check_duration(const std::string& text) {
  return duration_in(text) ? "" : "a duration looks like 500ms, 10s, 2m or 1h, not " + text;
}

/// The signals that this command waits for, blocked in it from now on.
class awaited_signals {
public:
  awaited_signals() {
    sigemptyset(&signals_);
    for (const int s : {SIGINT, SIGTERM, SIGHUP, SIGCHLD})
      sigaddset(&signals_, s);
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
    std::signal(SIGPIPE, SIG_IGN);
  }

  /// The next one; nothing when none comes until `until`.
  std::optional<siginfo_t> wait(boot_time until) const {
    const auto left = std::max(until - boot_now(), std::chrono::nanoseconds{0});
    const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
    const timespec patience{seconds.count(), (left - seconds).count()};
    siginfo_t what{};
    if (sigtimedwait(&signals_, &what, &patience) > 0) return what;
    return std::nullopt;
  }
  const sigset_t& before() const { return before_; }

private:
  sigset_t signals_{};
  sigset_t before_{};
};

/// While it lives, a signal that asks for the end gives up the wait for a lock.
class interruption {
public:
  explicit interruption(const lock_wish& wish) {
    // Blocked in all threads, as those signals are.
    sigset_t own;
    sigemptyset(&own);
    sigaddset(&own, over);
    pthread_sigmask(SIG_BLOCK, &own, nullptr);
    watcher_ = std::thread{[this, &wish] { watch(wish); }};
  }
  interruption(const interruption&) = delete;
  interruption& operator=(const interruption&) = delete;
  ~interruption() {
    pthread_kill(watcher_.native_handle(), over);
    watcher_.join();
  }

  bool happened() const { return happened_; }

private:
  static constexpr int over = SIGUSR1; ///< the wait has ended

  void watch(const lock_wish& wish) {
    sigset_t awaited;
    sigemptyset(&awaited);
    for (const int s : {SIGINT, SIGTERM, SIGHUP, over})
      sigaddset(&awaited, s);
    for (;;) {
      const int what = sigwaitinfo(&awaited, nullptr);
      if (what == over) return;
      if (what < 0 || happened_.exchange(true)) continue;
      if (wish.unique_owner) held_lock::give_up(wish);
    }
  }

  std::atomic<bool> happened_{false};
  std::thread watcher_;
};

/// The command; asked to end when this process dies, for the lock then ends too.
class running_command {
public:
  running_command(const std::vector<std::string>& command, const sigset_t& mask) {
    std::vector<char*> words;
    for (const auto& word : command)
      words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    const auto parent = ::getpid();
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(not_found);
    std::signal(SIGPIPE, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &mask, nullptr);
    ::execvp(words[0], words.data());
    const int why = errno;
    std::cerr << "troupe lock: " << command.front() << ": " << std::strerror(why) << std::endl;
    ::_exit(why == ENOENT ? not_found : cannot_run);
  }

  bool started() const { return pid_ > 0; }
  void signal(int number) const { ::kill(pid_, number); }
  /// How it ended, if it has: its code, or 128 + the signal.
  std::optional<int> ended() const {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

private:
  pid_t pid_ = -1;
};

/// The terminal has sent it to the command as well.
bool from_terminal(const siginfo_t& what) { return what.si_code == SI_KERNEL; }

int report_lost(const held_lock& lock) {
  std::cerr << "troupe lock: lost: " << lock.why_lost() << std::endl;
  return unknown;
}

/// Runs the command under the lock. @return its code; `unknown` when the lock was lost before the command ended.
int run_under(held_lock& lock, const lock_command_options& given, const awaited_signals& signals) {
  ::setenv("TROUPE_LOCK", (given.wish.type + ":" + given.wish.name).c_str(), 1);
  ::setenv("TROUPE_LOCK_TOKEN", lock.token().c_str(), 1);
  ::setenv("TROUPE_LOCK_OWNER", lock.owner().c_str(), 1);
  ::setenv("TROUPE_ADMIN", given.wish.admin.c_str(), 1);
  const running_command command{given.command, signals.before()};
  if (!command.started()) {
    std::cerr << "troupe lock: cannot start another process: " << std::strerror(errno) << "\n";
    return cannot_run;
  }
  bool lost = false;
  for (;;) {
    if (const auto code = command.ended()) return lost ? static_cast<int>(unknown) : *code;
    const auto what = signals.wait(lost ? boot_time::max() : lock.next_step());
    if (what && what->si_signo != SIGCHLD && !from_terminal(*what)) command.signal(what->si_signo);
    if (what || lost || lock.keep()) continue;
    lost = true;
    (void)report_lost(lock);
    std::cerr << "troupe lock: asking the command to end" << std::endl;
    command.signal(SIGTERM);
    command.signal(SIGCONT); // a command that is stopped cannot end
  }
}

/// Holds the lock until a signal asks for the end.
int hold(held_lock& lock, const awaited_signals& signals) {
  std::cout << "token " << lock.token() << "\nowner " << lock.owner() << "\nremaining " << lock.remaining().count()
            << " ms" << std::endl;
  std::cerr << "troupe lock: held until it is interrupted" << std::endl;
  for (;;) {
    const auto what = signals.wait(lock.next_step());
    if (what && what->si_signo != SIGCHLD) return done;
    if (!what && !lock.keep()) return report_lost(lock);
  }
}

int lock_and_run(lock_command_options given) {
  given.wish.ttl = *duration_in(given.ttl);
  if (!given.wait.empty()) given.wish.wait = duration_in(given.wait);
  given.wish.unique_owner = given.wish.owner.empty();
  if (given.wish.unique_owner) given.wish.owner = unique_owner();
  const awaited_signals signals;
  auto lock = [&]() -> tl::expected<held_lock, held_lock::failure> {
    const interruption interrupted{given.wish};
    auto taken = held_lock::acquire(given.wish, [&] { return interrupted.happened(); });
    if (!taken || !interrupted.happened()) return taken;
    taken->release();
    return tl::unexpected{held_lock::failure{not_done, false, "not done: interrupted"}};
  }();
  if (!lock) {
    std::cerr << lock.error().what << "\n";
    return lock.error().taken ? given.conflict_code : static_cast<int>(lock.error().code);
  }
  const int code = given.command.empty() ? hold(*lock, signals) : run_under(*lock, given, signals);
  lock->release();
  return code;
}

} // namespace

void add_lock(CLI::App& app, action& chosen) {
  const auto given = std::make_shared<lock_command_options>();
  auto* command =
      app.add_subcommand("lock", "Run a command while a named lock is held; without one, hold it until interrupted");
  command->add_option("type", given->wish.type, "Data type")->type_name("TYPE")->required();
  command->add_option("name", given->wish.name, "Name of the lock inside the type")->type_name("NAME")->required();
  command
      ->add_option("command", given->command,
                   "What to run, with its arguments, behind --; its exit code is forwarded")
      ->type_name("COMMAND");
  command->add_option("--ttl", given->ttl, "How long the lock outlives this command; renewed every third of it")
      ->type_name("TIME")
      ->check(check_duration)
      ->capture_default_str();
  command->add_option("--wait", given->wait, "How long to wait for it; 0 = not at all; for ever when absent")
      ->type_name("TIME")
      ->check(check_duration);
  command->add_flag("--shared", given->wish.shared, "Share it with others who share it");
  command->add_option("--owner", given->wish.owner, "By which name; unique when absent")->type_name("NAME");
  command->add_option("--protect", given->wish.protects, "A key that is written under the lock; may be repeated")
      ->type_name("TYPE:KEY")
      ->allow_extra_args(false); // or it would take the "--" before the command
  command
      ->add_option("--conflict-exit-code", given->conflict_code, "Exit code when somebody else had it all the time")
      ->type_name("CODE")
      ->check(CLI::Range(0, 255))
      ->capture_default_str();
  add_admin_option(*command, given->wish.admin);
  command->callback([given, &chosen] { chosen = [given] { return lock_and_run(*given); }; });
}

} // namespace troupe::cli
