/// troupe lock, as a shell script would use it, against a node in a process of its own.
#include "tests/support/cluster.hpp"

#include <doctest/doctest.h>
#include <httplib.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace troupe::test;
using nlohmann::json;

namespace {

test_cluster& shared() {
  static test_cluster cluster{[] {
    cluster_options alone;
    alone.nodes = 1;
    alone.shards = 8;
    alone.deadline_ms = 5'000;
    return alone;
  }()};
  static const bool ready = cluster.start();
  REQUIRE(ready);
  return cluster;
}

std::vector<std::string> lock(const std::string& name, const std::vector<std::string>& options,
                              const std::vector<std::string>& command = {}) {
  std::vector<std::string> words{troupe_binary(), "lock", "inventory", name, "--admin", shared().node(0).admin()};
  words.insert(words.end(), options.begin(), options.end());
  if (!command.empty()) words.emplace_back("--");
  words.insert(words.end(), command.begin(), command.end());
  return words;
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in{file};
  return {std::istreambuf_iterator<char>{in}, {}};
}

/// `troupe lock` in the background.
struct started {
  temporary_folder folder;
  child process;

  explicit started(const std::vector<std::string>& words)
      : process{words, folder.path() / "out", folder.path() / "err"} {}
  std::string output() const { return text_of(folder.path() / "out"); }
  std::string errors() const { return text_of(folder.path() / "err"); }
  bool says(const std::string& what) const {
    return wait_until([&] { return (output() + errors()).find(what) != std::string::npos; }, 20s);
  }
};

/// Ends when the file is there.
std::vector<std::string> until(const std::filesystem::path& file) {
  return {"sh", "-c", "echo running; until test -e '" + file.string() + "'; do sleep 0.02; done; exit 5"};
}

json row_of(const std::string& name) {
  const auto status = json::parse(shared().node(0).ask("/v1/status").value_or("{}"), nullptr, false);
  for (const auto& row : status.value("locks", json::array()))
    if (row.value("lock", "") == "inventory:" + name) return row;
  return {};
}

bool is_free(const std::string& name) { return run(lock(name, {"--wait", "0"}, {"true"})).exit_code == 0; }

} // namespace

TEST_CASE("cli: a command runs while the lock is held, knows its token, and its exit code is forwarded") {
  const auto said = run(lock("basic", {}, {"sh", "-c", "echo $TROUPE_LOCK $TROUPE_LOCK_TOKEN; exit 42"}));
  CHECK(said.exit_code == 42);
  CHECK(said.output.starts_with("inventory:basic "));
  CHECK(said.output.find('.') != std::string::npos);
  CHECK(is_free("basic"));
  CHECK(run(lock("basic", {}, {"sh", "-c", "kill -KILL $$"})).exit_code == 128 + SIGKILL);
  CHECK(run(lock("basic", {}, {"/nonexistent/program"})).exit_code == 127);
  CHECK(run(lock("basic", {}, {"/"})).exit_code == 126);
  CHECK(is_free("basic"));
}

TEST_CASE("cli: what is wrong on the command line is 2, also when only the node knows") {
  CHECK(run(lock("usage", {"--ttl", "soon"}, {"true"})).exit_code == 2);
  CHECK(run(lock("usage", {"--ttl", "0s"}, {"true"})).exit_code == 2);
  CHECK(run(lock("usage", {"--wait", "-1s"}, {"true"})).exit_code == 2);
  CHECK(run(lock("usage", {"--protect", "stock"}, {"true"})).exit_code == 2);
  CHECK(run({troupe_binary(), "lock", "inventory"}).exit_code == 2);
}

TEST_CASE("cli: who finds a lock taken is told by whom, ends with 1 or the code of its choice, or waits") {
  const temporary_folder folder;
  const auto go = folder.path() / "go";
  started first{lock("taken", {"--owner", "first"}, until(go))};
  REQUIRE(first.says("running"));
  const auto refused = run(lock("taken", {"--wait", "0"}, {"true"}));
  CHECK(refused.exit_code == 1);
  CHECK(refused.errors == "not done: first has it\n");
  CHECK(run(lock("taken", {"--wait", "50ms", "--conflict-exit-code", "75"}, {"true"})).exit_code == 75);
  started second{lock("taken", {}, {"echo", "at last"})};
  REQUIRE(wait_until([] { return row_of("taken").value("waiting", 0) == 1; }, 20s));
  const auto shown = run({troupe_binary(), "status", "--admin", shared().node(0).admin()});
  CHECK(shown.output.find("inventory:taken") != std::string::npos);
  CHECK(shown.output.find("first") != std::string::npos);
  CHECK(second.output().empty());
  std::ofstream{go} << "go";
  CHECK(first.process.wait(20s) == 5);
  CHECK(second.process.wait(20s) == 0);
  CHECK(second.output() == "at last\n");
}

TEST_CASE("cli: a lock is renewed for as long as its command runs") {
  const temporary_folder folder;
  const auto go = folder.path() / "go";
  started command{lock("renewed", {"--ttl", "400ms"}, until(go))};
  REQUIRE(command.says("running"));
  const auto end = std::chrono::steady_clock::now() + 1'500ms;
  while (std::chrono::steady_clock::now() < end)
    REQUIRE(run(lock("renewed", {"--wait", "0"}, {"true"})).exit_code == 1);
  std::ofstream{go} << "go";
  CHECK(command.process.wait(20s) == 5);
  CHECK(is_free("renewed"));
}

TEST_CASE("cli: a command whose lock is lost is asked to end, and the exit code says so") {
  const temporary_folder folder;
  started command{lock("lost", {"--ttl", "300ms", "--owner", "loser"}, until(folder.path() / "never"))};
  REQUIRE(command.says("running"));
  // Somebody gives it back by the owner's name.
  httplib::Client http{"127.0.0.1", shared().node(0).admin_port};
  const auto given_back = http.Delete("/v1/locks/inventory/lost?owner=loser");
  REQUIRE(given_back);
  REQUIRE(given_back->body == "{\"released\":true}");
  CHECK(command.process.wait(20s) == 3);
  CHECK(command.errors().find("troupe lock: lost: ") != std::string::npos);
}

TEST_CASE("cli: a signal is passed on to the command, and the lock is given back") {
  const temporary_folder folder;
  started command{lock("signalled", {}, until(folder.path() / "never"))};
  REQUIRE(command.says("running"));
  command.process.signal(SIGTERM);
  CHECK(command.process.wait(20s) == 128 + SIGTERM);
  CHECK(is_free("signalled"));
}

TEST_CASE("cli: without a command the lock is held until it is interrupted") {
  started holder{lock("by hand", {"--ttl", "500ms"})};
  REQUIRE(holder.says("token "));
  CHECK(holder.says("remaining "));
  CHECK_FALSE(is_free("by hand"));
  holder.process.signal(SIGINT);
  CHECK(holder.process.wait(20s) == 0);
  CHECK(is_free("by hand"));
}

TEST_CASE("cli: a wait that is interrupted is over at once, and nothing is taken behind it") {
  const temporary_folder folder;
  const auto go = folder.path() / "go";
  started first{lock("interrupted", {}, until(go))};
  REQUIRE(first.says("running"));
  started second{lock("interrupted", {}, {"true"})};
  REQUIRE(wait_until([] { return row_of("interrupted").value("waiting", 0) == 1; }, 20s));
  second.process.signal(SIGINT);
  CHECK(second.process.wait(10s) == 1);
  CHECK(second.errors() == "not done: interrupted\n");
  CHECK(wait_until([] { return row_of("interrupted").value("waiting", 0) == 0; }, 20s));
  std::ofstream{go} << "go";
  CHECK(first.process.wait(20s) == 5);
  CHECK(is_free("interrupted"));
}

TEST_CASE("S4: cli: keys are written under the lock by its command, and by nobody with an older token") {
  const auto troupe = troupe_binary();
  const auto put = troupe + " put inventory stock --lock $TROUPE_LOCK ";
  const auto first = run(lock("guard", {"--protect", "inventory:stock"},
                              {"sh", "-c",
                               put + "1 && " + troupe
                                   + " add inventory stock 2 --lock $TROUPE_LOCK "
                                     "&& echo $TROUPE_LOCK_TOKEN"}));
  CHECK(first.exit_code == 0);
  CHECK(first.output.starts_with("3\n"));
  auto token = first.output.substr(2);
  token.pop_back();
  const auto second = run(lock("guard", {"--protect", "inventory:stock"}, {"sh", "-c", put + "4"}));
  CHECK(second.exit_code == 0);
  const auto late = run({troupe, "put", "inventory", "stock", "5", "--lock", "inventory:guard", "--token", token,
                         "--admin", shared().node(0).admin()});
  CHECK(late.exit_code == 1);
  CHECK(late.errors.starts_with("not done: fenced: "));
  CHECK(run({troupe, "get", "inventory", "stock", "--admin", shared().node(0).admin()}).output == "4\n");
}
