/// Child processes: their waits, their output, and how a start fails.
#include <troupe/processes.hpp>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

/// A file of this test's own, gone with it.
struct output_file {
  fs::path path;
  output_file() {
    auto name = (fs::temp_directory_path() / "troupe-processes-XXXXXX").string();
    const int file = ::mkstemp(name.data());
    REQUIRE(file >= 0);
    ::close(file);
    path = name;
  }
  output_file(const output_file&) = delete;
  output_file& operator=(const output_file&) = delete;
  ~output_file() { fs::remove(path); }

  std::string text() const {
    std::ifstream file{path};
    return {std::istreambuf_iterator<char>{file}, {}};
  }
};

child start(const std::vector<std::string>& command, const fs::path& output = "/dev/null") {
  auto started = child::start(command, output);
  if (!started) FAIL(started.error());
  return std::move(*started);
}

/// Closes standard output and error for as long as it lives.
class closed_outputs {
public:
  closed_outputs() {
    for (const int d : {STDOUT_FILENO, STDERR_FILENO}) {
      saved_.at(static_cast<std::size_t>(d)) = ::fcntl(d, F_DUPFD_CLOEXEC, 10);
      ::close(d);
    }
  }
  closed_outputs(const closed_outputs&) = delete;
  closed_outputs& operator=(const closed_outputs&) = delete;
  ~closed_outputs() {
    for (const int d : {STDOUT_FILENO, STDERR_FILENO}) {
      ::dup2(saved_.at(static_cast<std::size_t>(d)), d);
      ::close(saved_.at(static_cast<std::size_t>(d)));
    }
  }

private:
  std::array<int, 3> saved_{};
};

} // namespace

TEST_CASE("processes: the longest patience there is waits for the end") {
  auto brief = start({"/bin/sleep", "0.2"});
  CHECK(brief.wait(std::chrono::milliseconds::max()) == 0);
  auto obedient = start({"/bin/sleep", "600"});
  CHECK(obedient.stop(std::chrono::milliseconds::max()) == 128 + SIGTERM);
}

TEST_CASE("processes: no patience finds one that runs still running, and leaves it so") {
  auto one = start({"/bin/sleep", "600"});
  CHECK_FALSE(one.wait(0ms));
  CHECK_FALSE(one.wait(-1ms));
  CHECK_FALSE(one.wait(std::chrono::milliseconds::min()));
  CHECK(::kill(one.pid(), 0) == 0);
}

TEST_CASE("processes: one whose end was told to somebody else has ended, and nobody knows how") {
  auto* const before = std::signal(SIGCHLD, SIG_IGN); // the system then forgets children as they end
  auto one = start({"/bin/sleep", "0.05"});
  const auto ended = one.wait(10s);
  std::signal(SIGCHLD, before);
  REQUIRE(ended);
  CHECK(*ended == unknown_exit);
  CHECK(one.wait(0ms) == unknown_exit);
  CHECK(one.pid() == -1);
}

TEST_CASE("processes: a command without a program is an error") {
  for (const std::vector<std::string>& command : {std::vector<std::string>{}, {""}, {"", "argument"}}) {
    const auto started = child::start(command, "/dev/null");
    REQUIRE_FALSE(started);
    CHECK(started.error() == "no program is named");
    CHECK(run_to_end(command, "/dev/null", 1s).error() == "no program is named");
  }
  CHECK(child::start({"/nonexistent"}, "/dev/null").error().starts_with("/nonexistent: "));
}

TEST_CASE("processes: output arrives whole, also from a program that runs without standard output and error") {
  const std::vector<std::string> command{"/bin/sh", "-c", "echo out; echo err >&2"};
  const output_file usual;
  CHECK(run_to_end(command, usual.path, 10s) == 0);
  CHECK(usual.text() == "out\nerr\n");
  const output_file without;
  const auto code = [&] {
    const closed_outputs closed;
    return run_to_end(command, without.path, 10s);
  }();
  CHECK(code == 0);
  CHECK(without.text() == "out\nerr\n");
}

TEST_CASE("processes: a port is given once, to this process and to no other that asks") {
  const auto first = free_ports(400); // so many that the next process begins among them
  REQUIRE(first.size() == 400);
  const auto child = ::fork();
  if (child == 0) {
    const auto theirs = free_ports(3);
    const bool shared = std::any_of(theirs.begin(), theirs.end(), [&](std::uint16_t port) {
      return std::find(first.begin(), first.end(), port) != first.end();
    });
    ::_exit(theirs.size() == 3 && !shared ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  for (const auto port : free_ports(3))
    CHECK(std::find(first.begin(), first.end(), port) == first.end());
}
