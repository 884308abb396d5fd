#include <troupe/processes.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <system_error>
#include <thread>
#include <utility>

namespace troupe {

namespace {

using clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds poll_interval{2};
constexpr std::chrono::seconds kill_patience{10};
constexpr int not_executable = 127;
constexpr std::uint16_t first_port = 20'000;
constexpr std::uint16_t last_port = 32'000;

/// The end of a wait, which is never where the clock cannot count to.
clock::time_point from_now(std::chrono::milliseconds at_most) {
  const auto now = clock::now();
  at_most = std::max(at_most, std::chrono::milliseconds{0});
  const auto longest = std::chrono::floor<std::chrono::milliseconds>(clock::time_point::max() - now);
  return at_most < longest ? now + at_most : clock::time_point::max();
}

exit_code code_of(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

/// A thread that no signal reaches, for as long as this lives.
class no_signals {
public:
  no_signals() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  no_signals(const no_signals&) = delete;
  no_signals& operator=(const no_signals&) = delete;
  ~no_signals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
  sigset_t before_{};
};

/// In the child, between fork and exec: only calls that are safe there. No signal reaches it before it lets them.
[[noreturn]] void become(char** arguments, int output, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(not_executable);
  // A signal that comes now must not run a handler of the parent's.
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction current {};
    if (::sigaction(signal, nullptr, &current) != 0 || current.sa_handler == SIG_IGN) continue;
    current.sa_handler = SIG_DFL;
    current.sa_flags = 0;
    ::sigaction(signal, &current, nullptr);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  // When this process runs without them, `output` is one of the two itself, which dup2 leaves as it was.
  ::fcntl(STDOUT_FILENO, F_SETFD, 0);
  ::fcntl(STDERR_FILENO, F_SETFD, 0);
  // The sockets of this process's client nodes are none of the child's business.
  ::close_range(STDERR_FILENO + 1, ~0U, 0);
  ::execv(arguments[0], arguments);
  ::_exit(not_executable);
}

bool nobody_listens(std::uint16_t port) {
  const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (s < 0) return false;
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool free = ::bind(s, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
  ::close(s);
  return free;
}

/// Among the processes that ask here, a port belongs to one: by a name that the system takes back when it ends, so
/// the descriptor is kept.
bool reserve(std::uint16_t port) {
  const int s = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (s < 0) return false;
  const auto name = "troupe-port-" + std::to_string(port);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  name.copy(at.sun_path + 1, sizeof at.sun_path - 1); // a leading zero: a name that is no file
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(s, reinterpret_cast<const sockaddr*>(&at), size) == 0) return true;
  ::close(s);
  return false;
}

} // namespace

tl::expected<child, std::string> child::start(const std::vector<std::string>& command,
                                              const std::filesystem::path& output) {
  if (command.empty() || command.front().empty()) return tl::unexpected{std::string{"no program is named"}};
  auto failed = [&](const std::string& why) { return tl::unexpected{command.front() + ": " + why}; };
  auto last_error = [] { return std::generic_category().message(errno); };
  if (::access(command.front().c_str(), X_OK) != 0) return failed(last_error());
  const int file = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) return failed("its output " + output.string() + ": " + last_error());
  auto owned = command;
  std::vector<char*> arguments;
  arguments.reserve(owned.size() + 1);
  for (auto& word : owned)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const auto parent = ::getpid();
  const auto pid = [&] {
    const no_signals quiet;
    const auto forked = ::fork();
    if (forked == 0) become(arguments.data(), file, parent);
    return forked;
  }();
  const auto why = pid < 0 ? last_error() : std::string{};
  ::close(file);
  if (pid < 0) return failed(why);
  return child{pid};
}

child::child(child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), ended_(other.ended_) {}

child& child::operator=(child&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(ended_, other.ended_);
  return *this;
}

child::~child() { kill(); }

std::optional<exit_code> child::wait(std::chrono::milliseconds at_most) {
  const auto until = from_now(at_most);
  while (pid_ > 0) {
    int status = 0;
    const auto answer = ::waitpid(pid_, &status, WNOHANG);
    if (answer == pid_) {
      ended_ = code_of(status);
      pid_ = -1;
    } else if (answer < 0 && errno != EINTR) {
      ended_ = unknown_exit; // it has ended, and somebody else was told how
      pid_ = -1;
    } else if (clock::now() >= until) {
      return std::nullopt;
    } else {
      std::this_thread::sleep_for(poll_interval);
    }
  }
  return ended_;
}

void child::kill() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
  (void)wait(kill_patience);
}

exit_code child::stop(std::chrono::milliseconds at_most) {
  if (pid_ > 0) ::kill(pid_, SIGTERM);
  if (!wait(at_most)) kill();
  return ended_.value_or(128 + SIGKILL);
}

tl::expected<exit_code, std::string> run_to_end(const std::vector<std::string>& command,
                                                const std::filesystem::path& output,
                                                std::chrono::milliseconds at_most) {
  auto started = child::start(command, output);
  if (!started) return tl::unexpected{started.error()};
  if (auto code = started->wait(at_most)) return *code;
  return tl::unexpected{command.front() + ": did not end within " + std::to_string(at_most.count()) + " ms"};
}

std::vector<std::uint16_t> free_ports(std::size_t count) {
  std::vector<std::uint16_t> ports;
  const auto range = last_port - first_port;
  const auto start = static_cast<int>(::getpid()) * 31 % range;
  for (int i = 0; i < range && ports.size() < count; ++i) {
    const auto port = static_cast<std::uint16_t>(first_port + (start + i) % range);
    if (nobody_listens(port) && reserve(port)) ports.push_back(port);
  }
  return ports;
}

} // namespace troupe
