/// A child process writes without pause and says what was acknowledged; it is killed, and the store opened again.
#include "tests/layers/store_fixture.hpp"
#include "tests/support/rocksdb_log.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>

using namespace troupe;
using namespace troupe::testing;

namespace {

constexpr std::size_t keys_each = 3; // records per call: stored together or not at all

/// What the child reports for each acknowledged call, from the writer's thread: no write is under way at that moment,
/// so the log holds what was synced and no more.
struct acknowledged {
  std::uint64_t number = 0;
  std::uint64_t log = 0;      ///< number in the newest log's name
  std::uint64_t log_size = 0; ///< of that log
  std::array<char, 32> mark{};
};

std::uint64_t log_number(const std::filesystem::path& log) { return std::stoull(log.stem().string()); }

std::string key_of(std::uint64_t number, std::size_t i) { return std::to_string(number) + "." + std::to_string(i); }
/// Of a record that the next call erases.
std::string passing_of(std::uint64_t number) { return "passing." + std::to_string(number); }
/// Of the log that is written along, this many entries stay.
constexpr std::uint64_t log_kept = 20;
std::string value_of(std::uint64_t number) { return std::string(150, static_cast<char>('a' + number % 26)); }

/// Runs this executable again as the child, kills it once it has had `calls` calls acknowledged, and returns the
/// last.
acknowledged kill_after(const rocksdb_options& options, std::uint64_t calls) {
  std::array<int, 2> pipe{};
  REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
  ::setenv("TROUPE_CHILD_STORE", options.directory.c_str(), 1);
  ::setenv("TROUPE_CHILD_REPORT", std::to_string(pipe[1]).c_str(), 1);
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::fcntl(pipe[1], F_SETFD, 0); // the one end that the child keeps: it dies writing when this process is gone
    ::execl("/proc/self/exe", "child", "--no-skip", "--test-case=child: *", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  ::close(pipe[1]);
  acknowledged last;
  std::uint64_t reports = 0;
  bool killed = false;
  for (;;) {
    pollfd ready{.fd = pipe[0], .events = POLLIN, .revents = 0};
    const bool came = ::poll(&ready, 1, 20'000) == 1;
    acknowledged next;
    // Shorter than PIPE_BUF, so that each report comes whole or not at all.
    const bool whole = came && ::read(pipe[0], &next, sizeof next) == sizeof next;
    if (whole) {
      CHECK(next.number == last.number + 1);
      last = next;
      ++reports;
    }
    if (!killed && (!whole || reports >= calls)) {
      ::kill(child, SIGKILL);
      killed = true;
    }
    if (!whole) break; // all that was written before the kill has been read
  }
  ::close(pipe[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  REQUIRE(reports >= calls);
  return last;
}

/// Every acknowledged call is there in full, with what it erased; of the others each in full or not at all. Returns
/// how many were found.
std::uint64_t check_everything(const rocksdb_options& options, std::uint64_t acknowledged_last) {
  const auto store = must_open(options);
  REQUIRE(store->promises().size() == 1);
  const auto promised = store->promises().at({4}).promised().round();
  CHECK(promised >= acknowledged_last);
  for (std::uint64_t number = 1; number <= promised + 100; ++number) {
    std::vector<load_request> keys;
    for (std::size_t i = 0; i < keys_each; ++i)
      keys.push_back({{4}, key_of(number, i)});
    const auto passing = load_one(*store, 4, passing_of(number));
    CHECK(std::holds_alternative<std::monostate>(passing) == (number != promised));
    for (const auto& found : load(*store, std::move(keys))) {
      if (number <= promised) {
        CHECK(bytes_of(found) == value_of(number));
      } else {
        CHECK(std::holds_alternative<std::monostate>(found));
      }
    }
  }
  // What the streams keep is as of the same call.
  const auto& streams = store->streams();
  CHECK(streams.marks.at("position") == std::to_string(promised));
  REQUIRE(streams.logs.size() == 1);
  CHECK(streams.logs[0].last == promised);
  CHECK(streams.logs[0].first == (promised > log_kept ? promised - log_kept + 1 : 1));
  const auto page = read_updates(*store, {{{2}, 1}, stream_lane::ordered, 0, 1'000'000});
  CHECK(page.updates.size() == std::min(promised, log_kept));
  for (const auto& u : page.updates)
    CHECK(u.value() == value_of(u.seq()));
  for (std::uint64_t number = promised > 50 ? promised - 49 : 1; number <= promised; ++number) {
    CHECK(testing::value_of(load_weak(*store, 5, key_of(number % 50, 0))) == value_of(number));
    const bool gone = std::holds_alternative<std::monostate>(load_weak(*store, 5, passing_of(number)));
    CHECK(gone == (number != promised));
  }
  return promised;
}

} // namespace

TEST_CASE("child: writes to a store until it is killed" * doctest::skip()) {
  const char* directory = std::getenv("TROUPE_CHILD_STORE");
  const char* report = std::getenv("TROUPE_CHILD_REPORT");
  if (directory == nullptr || report == nullptr) return;
  const int out = std::atoi(report);
  const auto options = options_for(directory);
  const auto store = must_open(options);

  constexpr int under_way_max = 40;
  std::mutex mutex;
  std::condition_variable answered;
  int under_way = 0;
  std::uint64_t log_read = 0; // the writer's own, like log_end
  std::size_t log_end = 0;
  for (std::uint64_t number = 1; number < 1'000'000; ++number) {
    {
      std::unique_lock lock{mutex};
      answered.wait(lock, [&] { return under_way < under_way_max; });
      ++under_way;
    }
    std::vector<store_write> writes;
    for (std::size_t i = 0; i < keys_each; ++i)
      writes.emplace_back(a_record(4, key_of(number, i), value_of(number)));
    writes.emplace_back(a_record(4, passing_of(number), value_of(number)));
    writes.emplace_back(record_erase{{4}, passing_of(number - 1)});
    writes.emplace_back(a_promise(4, number));
    writes.emplace_back(a_weak_record(5, key_of(number % 50, 0), value_of(number), number));
    writes.emplace_back(a_weak_record(5, passing_of(number), value_of(number), number));
    writes.emplace_back(weak_erase{{5}, passing_of(number - 1)});
    writes.emplace_back(an_update(2, number, value_of(number)));
    if (number > log_kept) writes.emplace_back(updates_erase{{{2}, 1}, stream_lane::ordered, number - log_kept});
    writes.emplace_back(mark_write{"position", std::to_string(number)});
    store->persist(std::move(writes), [&, number](errc code) {
      if (code != errc::none) std::abort();
      const auto log = database_files(options, ".log").back();
      log_end = test::end_of_log(log, log_number(log) == log_read ? log_end : 0);
      log_read = log_number(log);
      acknowledged next{.number = number, .log = log_read, .log_size = log_end, .mark = {}};
      const auto mark = read_file(options.directory / "synced");
      std::memcpy(next.mark.data(), mark.data(), next.mark.size());
      if (::write(out, &next, sizeof next) != sizeof next) std::abort();
      const std::lock_guard lock{mutex};
      --under_way;
      answered.notify_one();
    });
  }
}

TEST_CASE("store: after SIGKILL under load every acknowledged write is there") {
  const temporary_directory home;
  for (const std::uint64_t calls : {1, 40, 700, 3'000}) {
    CAPTURE(calls);
    const auto options = options_for(home / std::to_string(calls).c_str());
    must_create(options);
    const auto last = kill_after(options, calls);
    check_everything(options, last.number);
    CHECK(must_open(options)->identity().incarnation() == 3); // the child's, the check's, this one
  }
}

TEST_CASE("store: after a loss of power, which drops all that was not synced, every acknowledged write is there") {
  const temporary_directory home;
  for (const std::uint64_t calls : {1, 90, 1'100}) {
    for (const std::string behind : {"nothing", "rubbish", "zeros"}) {
      CAPTURE(calls);
      CAPTURE(behind);
      const auto options = options_for(home / (std::to_string(calls) + behind).c_str());
      must_create(options);
      const auto last = kill_after(options, calls);
      for (const auto& log : database_files(options, ".log")) {
        if (log_number(log) > last.log) std::filesystem::resize_file(log, 0);
        if (log_number(log) != last.log) continue;
        std::filesystem::resize_file(log, last.log_size);
        if (behind == "rubbish") write_file(log, read_file(log) + std::string(777, '\x5a'));
        if (behind == "zeros") std::filesystem::resize_file(log, last.log_size + 100'000);
      }
      write_file(options.directory / "synced", {last.mark.begin(), last.mark.end()});
      // What shared the last report's sync is there as well.
      CHECK(check_everything(options, last.number) >= last.number);
    }
  }
}

TEST_CASE(
    "store refused: after a loss of power, a log shorter than what was acknowledged") { // the control of the above
  const temporary_directory home;
  const auto options = options_for(home / "store");
  must_create(options);
  const auto last = kill_after(options, 200);
  for (const auto& log : database_files(options, ".log")) {
    if (log_number(log) >= last.log)
      std::filesystem::resize_file(log, log_number(log) > last.log ? 0 : last.log_size - 1);
  }
  write_file(options.directory / "synced", {last.mark.begin(), last.mark.end()});
  CHECK(refusal_of(options) == doctest::Contains("was synced"));
}
