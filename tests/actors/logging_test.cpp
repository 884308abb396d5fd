/// The log of a runtime whose reader is stuck, and its last lines.
#include <troupe/runtime.hpp>

#include "actors/layers/rocksdb_store.hpp"
#include "runtime/config_file.hpp"
#include "runtime/logging.hpp"
#include "tests/actors/lone_runtime.hpp"

#include <doctest/doctest.h>

#include <spdlog/async.h>
#include <spdlog/spdlog.h>

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <thread>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

/// Standard error of this process as a pipe that is full, until read() empties it.
class stuck_stderr {
public:
  stuck_stderr() : saved_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10)) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    ::fcntl(ends[1], F_SETFL, O_NONBLOCK);
    const std::string rubbish(4'096, '.');
    while (::write(ends[1], rubbish.data(), rubbish.size()) > 0) {
    }
    ::fcntl(ends[1], F_SETFL, 0);
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[1]);
    end_ = ends[0];
  }
  stuck_stderr(const stuck_stderr&) = delete;
  stuck_stderr& operator=(const stuck_stderr&) = delete;
  ~stuck_stderr() { restore(); }

  /// From now on somebody reads.
  void read() {
    reader_ = std::thread{[this] {
      std::string part(65'536, '\0');
      for (ssize_t got; (got = ::read(end_, part.data(), part.size())) > 0;)
        text_.append(part, 0, static_cast<std::size_t>(got));
    }};
  }

  /// Everything that was written. Whoever writes has to have ended.
  std::string text() {
    restore();
    return text_;
  }

private:
  void restore() {
    if (saved_ < 0) return;
    ::dup2(saved_, STDERR_FILENO); // with this, nobody writes to the pipe any more
    ::close(saved_);
    saved_ = -1;
    if (!reader_.joinable()) read();
    reader_.join();
    ::close(end_);
  }

  int saved_;
  int end_ = -1;
  std::string text_;
  std::thread reader_;
};

std::shared_ptr<runtime_log> open_log(const log_settings& settings) {
  auto log = runtime_log::open(settings, "eu-1");
  if (!log) FAIL(log.error());
  return std::move(*log);
}

std::size_t lines_in(const std::filesystem::path& file) {
  std::ifstream in{file};
  std::size_t count = 0;
  for (std::string line; std::getline(in, line);)
    ++count;
  return count;
}

} // namespace

TEST_CASE("log: who logs does not wait for a reader that is stuck; when it goes on, it learns how much it missed") {
  stuck_stderr stuck;
  auto log = open_log({});
  auto logging = std::async(std::launch::async, [&] {
    for (int i = 0; i < 20'000; ++i)
      log->logger()->info("test.line number={}", i);
  });
  const bool waited = logging.wait_for(20s) != std::future_status::ready;
  stuck.read();
  logging.get();
  log.reset();
  const auto text = stuck.text();
  CHECK_FALSE(waited);
  CHECK(text.find("warning eu-1 log.lost lines=") != std::string::npos);
  CHECK(text.ends_with("test.line number=19999\n"));
}

TEST_CASE("log: its end does not wait for a reader that is stuck") {
  stuck_stderr stuck;
  auto log = open_log({});
  auto ending = std::async(std::launch::async, [&] {
    log->logger()->info("test.line");
    log.reset();
  });
  const bool waited = ending.wait_for(20s) != std::future_status::ready;
  stuck.read();
  ending.get();
  CHECK_FALSE(waited);
}

TEST_CASE("log: a runtime whose log nobody reads serves, and stops") {
  stuck_stderr stuck;
  auto serving = std::async(std::launch::async, [] {
    lone_runtime_options chatty;
    chatty.log.level = "debug";
    chatty.log_to_stderr = true;
    lone_runtime lone{chatty};
    auto session = lone.node().open_session();
    bool stored = true;
    for (int i = 0; i < 100; ++i)
      stored = session.put("inventory", std::to_string(i), "value").has_value() && stored;
    return stored && lone.node().stop(20s).has_value();
  });
  const bool waited = serving.wait_for(60s) != std::future_status::ready;
  stuck.read();
  const bool served = serving.get();
  CHECK_FALSE(waited);
  CHECK(served);
}

TEST_CASE("log: what was logged before its end is written") {
  const test_folder folder;
  const auto file = folder.path / "log";
  auto log = open_log({"info", file});
  const auto kept = log->logger();
  for (int i = 0; i < 1'000; ++i)
    kept->info("test.line number={}", i);
  log.reset();
  CHECK(lines_in(file) == 1'000);
  kept->info("test.late"); // has nobody left to write it, and does no harm
  CHECK(lines_in(file) == 1'000);
}

TEST_CASE("log: the host's own logging is left alone") {
  const auto usual = spdlog::default_logger();
  const test_folder folder;
  const auto log = open_log({"info", folder.path / "log"});
  CHECK(spdlog::thread_pool() == nullptr);
  CHECK(spdlog::get("eu-1") == nullptr);
  CHECK(spdlog::default_logger() == usual);
}
