/// What one Redis client may cost a node: memory, places, descriptors; and that nothing of it is kept for ever.
#include "tests/faces/raw_client.hpp"
#include "tests/support/cluster.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace troupe::test;

namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;

/// One node that serves, of a cluster of its own.
struct lone_node {
  test_cluster cluster;

  explicit lone_node(cluster_options options = {})
      : cluster{[&] {
          options.nodes = 1;
          options.deadline_ms = 5'000;
          return options;
        }()} {
    const bool ready = cluster.start();
    REQUIRE(ready);
  }
  test_node& node() { return cluster.node(0); }
};

std::filesystem::path proc(const test_node& node) {
  return std::filesystem::path{"/proc"} / std::to_string(node.process().pid());
}

/// Of a process that a launcher has replaced itself with.
std::size_t open_descriptors(const test_node& node) {
  std::error_code gone; // a descriptor may be closed while it is counted
  std::size_t count = 0;
  for (std::filesystem::directory_iterator i{proc(node) / "fd", gone}, end; !gone && i != end; i.increment(gone))
    ++count;
  return count;
}

/// The most memory that the node has ever had.
std::size_t memory_peak(const test_node& node) {
  std::ifstream status{proc(node) / "status"};
  for (std::string word; status >> word;)
    if (word == "VmHWM:") {
      std::size_t kibibytes = 0;
      status >> kibibytes;
      return kibibytes << 10U;
    }
  return 0;
}

/// Says `count` times `bytes` while the test listens. Hangs up at its end: a test that has failed does not wait.
class talker {
public:
  talker(const raw_client& client, std::string bytes, std::size_t count)
      : socket_(client.descriptor()), saying_(std::async(std::launch::async, [&client, bytes, count] {
          for (std::size_t i = 0; i < count; ++i)
            client.say(bytes);
        })) {}
  talker(const talker&) = delete;
  talker& operator=(const talker&) = delete;
  ~talker() { ::shutdown(socket_, SHUT_RDWR); }

private:
  int socket_;
  std::future<void> saying_; ///< waits for its end
};

} // namespace

TEST_CASE("resp: reading goes on, however the replies that a slow client leaves behind come and go") {
  lone_node lone;
  // Replies of 400 KB around the bound of 1 MiB: reading pauses and resumes with almost every one of them.
  const std::string word(400'000, 'e');
  const auto command = array({"ECHO", word});
  const auto reply = "$400000\r\n" + word + "\r\n";
  constexpr std::size_t commands = 500;
  raw_client client{lone.node().resp_port, 65'536};
  const talker saying{client, command, commands};
  std::size_t right = 0;
  while (right < commands && client.hear(reply.size()) == reply)
    ++right;
  CHECK(right == commands);
}

TEST_CASE("resp: what a client pipelines to one key is bounded by its bytes: it is slowed down, and not refused") {
  cluster_options patient;
  patient.deadline_ms = 500;
  test_cluster cluster{patient};
  auto& node = cluster.node(0); // alone of three: no operation is done before its deadline
  node.start();
  REQUIRE(wait_until([&] { return raw_client{node}.connected(); }, 10s));
  const auto before = memory_peak(node);
  constexpr std::size_t commands = 40;
  const auto command = array({"SET", "inventory:one", std::string(8 * mebibyte, 'v')});
  raw_client client{node};
  const talker saying{client, command, commands};
  for (std::size_t i = 0; i < commands; ++i) {
    const auto reply = client.line();
    CAPTURE(reply);
    REQUIRE((reply.starts_with("-NOTDONE ") || reply.starts_with("-UNKNOWN timeout: ")));
    REQUIRE(reply.find("overloaded") == std::string::npos);
  }
  CHECK((memory_peak(node) - before) / mebibyte < 160); // all of them are 320
}

TEST_CASE("resp: a client that says QUIT gives its place back as soon as it has gone") {
  cluster_options few;
  few.shape = "[resp]\nconnections_max = 8\n";
  lone_node lone{few};
  for (int i = 0; i < 200; ++i) {
    raw_client client{lone.node()};
    client.say("QUIT\r\n");
    REQUIRE(client.rest() == "+OK\r\n");
  }
}

TEST_CASE("resp: a client that says QUIT and stays loses its place after a while") {
  cluster_options few;
  few.shape = "[resp]\nconnections_max = 8\n";
  lone_node lone{few};
  std::vector<std::unique_ptr<raw_client>> staying;
  for (int i = 0; i < 8; ++i) {
    staying.push_back(std::make_unique<raw_client>(lone.node()));
    staying.back()->say("QUIT\r\n");
    REQUIRE(staying.back()->rest() == "+OK\r\n");
  }
  const auto served = [&] {
    raw_client client{lone.node()};
    client.say("PING\r\n");
    return client.line() == "+PONG\r\n";
  };
  CHECK(wait_until(served, 15s));
}

TEST_CASE("resp: a last reply arrives, though the client goes on talking behind its QUIT") {
  lone_node lone;
  raw_client client{lone.node()};
  client.say("QUIT\r\n" + std::string(4 * mebibyte, '\n'));
  CHECK(client.rest() == "+OK\r\n");
}

TEST_CASE("resp: replies that nobody takes go with their connection, and so does its descriptor") {
  lone_node lone;
  raw_client writer{lone.node()};
  writer.say(array({"SET", "inventory:large", std::string(8 * mebibyte, 'v')}));
  REQUIRE(writer.line() == "+OK\r\n");
  const auto before = open_descriptors(lone.node());
  std::string commands;
  for (int i = 0; i < 4; ++i)
    commands += array({"GET", "inventory:large"});
  raw_client quitting{lone.node().resp_port, 65'536};
  quitting.say(commands + "QUIT\r\n");
  raw_client half_closing{lone.node().resp_port, 65'536};
  half_closing.say(commands);
  REQUIRE(half_closing.hear(1'000).size() == 1'000); // the others wait in the node
  ::shutdown(half_closing.descriptor(), SHUT_WR);
  CHECK(wait_until([&] { return open_descriptors(lone.node()) <= before; }, 20s));
}

TEST_CASE("resp: clients leave the node the descriptors that it needs itself, and are told so") {
  cluster_options tight;
  tight.places = {{"127.0.0.1", {"prlimit", "--nofile=400:400"}}};
  lone_node lone{tight};
  CHECK(lone.node().log().find("resp.connections_limited connections_max=200") != std::string::npos);
  std::vector<std::unique_ptr<raw_client>> idle;
  int served = 0;
  for (int i = 0; i < 500; ++i) {
    idle.push_back(std::make_unique<raw_client>(lone.node()));
    REQUIRE(idle.back()->connected());
    idle.back()->say("PING\r\n");
    const auto reply = idle.back()->line();
    CAPTURE(i);
    REQUIRE((reply == "+PONG\r\n" || reply == "-ERR max number of clients reached\r\n" || idle.back()->closed()));
    served += reply == "+PONG\r\n" ? 1 : 0;
  }
  CHECK(served >= 100);
  CHECK(served <= 200);
  CHECK(open_descriptors(lone.node()) <= 210); // two per refusal that has not quite ended yet
  idle.front()->say(array({"SET", "inventory:served", "1"}));
  CHECK(idle.front()->line() == "+OK\r\n");
}
