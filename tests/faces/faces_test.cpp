/// The faces of a node, from outside: three real processes, redis-cli, raw sockets, HTTP, and the command line.
#include "tests/faces/raw_client.hpp"
#include "tests/support/cluster.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <httplib.h>
#include <nlohmann/json.hpp>

#include <map>
#include <random>
#include <string>
#include <string_view>

using namespace std::chrono_literals;
using namespace troupe::test;
using nlohmann::json;

namespace {

/// One cluster for all test cases that leave it as it is.
test_cluster& shared() {
  static test_cluster cluster{[] {
    cluster_options patient;
    // What is tested here are the faces, not the speed of disk and memory: a lease must outlast the worst stall, and
    // three copies of 8 MiB are one.
    patient.deadline_ms = 20'000;
    patient.lease_ms = 2'000;
    return patient;
  }()};
  static const bool ready = cluster.start();
  REQUIRE(ready);
  return cluster;
}

httplib::Client http(const test_node& node) {
  httplib::Client client{"127.0.0.1", node.admin_port};
  client.set_read_timeout(10s);
  client.set_keep_alive(true);
  return client;
}

/// The value of a series, or -1 when the page does not have it.
double series(const std::string& page, const std::string& name) {
  const auto at = page.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(page.substr(at + name.size() + 2));
}

bool installed(const char* program) { return run({"which", program}).exit_code == 0; }

} // namespace

TEST_CASE("resp: what one node was told, every other node answers") {
  auto& cluster = shared();
  raw_client one{cluster.node(0)};
  raw_client two{cluster.node(1)};
  raw_client three{cluster.node(2)};
  one.say(array({"SET", "inventory:tea", "5"}));
  REQUIRE(one.line() == "+OK\r\n");
  two.say(array({"GET", "inventory:tea"}));
  CHECK(two.hear(7) == "$1\r\n5\r\n");
  three.say(array({"INCRBY", "inventory:tea", "7"}));
  CHECK(three.line() == ":12\r\n");
  one.say(array({"DECRBY", "inventory:tea", "2"}));
  CHECK(one.line() == ":10\r\n");
  two.say(array({"DEL", "inventory:tea", "inventory:nothing"}));
  CHECK(two.line() == ":1\r\n");
  three.say(array({"GET", "inventory:tea"}));
  CHECK(three.line() == "$-1\r\n");
}

TEST_CASE("resp: pipelined commands are answered in their order, also more of them than may be under way") {
  raw_client client{shared().node(0)};
  constexpr int rounds = 3;
  constexpr int keys = 1'000;
  std::string commands;
  std::string expected;
  for (int round = 1; round <= rounds; ++round)
    for (int key = 0; key < keys; ++key) {
      const auto word = std::to_string(round * keys + key);
      commands += array({"INCR", "inventory:pipelined-" + std::to_string(key)}) + array({"ECHO", word});
      expected += ":" + std::to_string(round) + "\r\n$4\r\n" + word + "\r\n";
    }
  client.say(commands);
  const bool in_order = client.hear(expected.size()) == expected; // not shown when it fails: it is too long
  CHECK(in_order);
}

TEST_CASE("resp: commands on one key mean what they say, though they are pipelined") {
  raw_client client{shared().node(1)};
  std::string commands;
  std::string expected;
  for (int i = 1; i <= 20; ++i) {
    commands += array({"INCR", "inventory:one"}) + array({"GET", "inventory:one"});
    const auto number = std::to_string(i);
    expected += ":" + number + "\r\n$" + std::to_string(number.size()) + "\r\n" + number + "\r\n";
  }
  client.say(commands);
  CHECK(client.hear(expected.size()) == expected);
}

TEST_CASE("resp: a value of 8 MiB arrives whole, and a larger one is refused without ending the connection") {
  raw_client client{shared().node(1)};
  std::string value(std::size_t{8} << 20, 'v');
  for (std::size_t i = 0; i < value.size(); i += 4'093)
    value[i] = static_cast<char>(i);
  client.say(array({"SET", "inventory:big", value}));
  REQUIRE(client.line() == "+OK\r\n");
  client.say(array({"GET", "inventory:big"}));
  REQUIRE(client.line() == "$8388608\r\n");
  CHECK(client.hear(value.size()) == value);
  CHECK(client.hear(2) == "\r\n");
  client.say(array({"SET", "inventory:big", value + "x"}));
  CHECK(client.line().starts_with("-NOTDONE value_too_large: "));
  client.say("PING\r\n");
  CHECK(client.line() == "+PONG\r\n");
}

TEST_CASE("resp: errors name what is wrong and what there is") {
  raw_client client{shared().node(0)};
  client.say(array({"GET", "stock"}));
  CHECK(client.line().ends_with("with one of these types: inventory, key\r\n"));
  client.say(array({"LPUSH", "inventory:a", "1"}));
  CHECK(client.line().starts_with("-ERR unknown command 'LPUSH': Troupe has GET SET DEL"));
  client.say(array({"SET", "inventory:word", "word"}) + array({"INCR", "inventory:word"}));
  CHECK(client.line() == "+OK\r\n");
  CHECK(client.line().starts_with("-NOTDONE not_a_number: "));
}

TEST_CASE("resp: hostile bytes are answered once, end the connection, and harm nobody else") {
  auto& cluster = shared();
  for (const std::string bytes : {"*x\r\n", "*1\r\n:1\r\n", "*1\r\n$-7\r\n", "*1\r\n$1\r\nxyz\r\n"}) {
    raw_client client{cluster.node(0)};
    client.say(bytes);
    const auto reply = client.rest();
    CHECK(reply.starts_with("-ERR Protocol error: "));
    CHECK(reply.find("\r\n") == reply.size() - 2);
  }
  raw_client page{cluster.node(0)};
  page.say("POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET inventory:stolen 1\r\n");
  CHECK(page.rest().starts_with("-ERR unknown command 'POST'"));
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    std::string bytes(random() % 5'000, ' ');
    for (auto& c : bytes)
      c = static_cast<char>(random());
    raw_client client{cluster.node(0)};
    REQUIRE(client.connected());
    client.say(bytes);
  }
  CHECK(cluster.node(0).running());
  raw_client client{cluster.node(0)};
  client.say(array({"GET", "inventory:stolen"}));
  CHECK(client.line() == "$-1\r\n");
}

TEST_CASE("resp: a connection that ends in the middle of its commands leaves the node as it was") {
  auto& cluster = shared();
  for (int i = 0; i < 50; ++i) {
    raw_client client{cluster.node(2)};
    std::string commands;
    for (int k = 0; k < 20; ++k)
      commands += array({"INCR", "inventory:abandoned"});
    client.say(commands + "*2\r\n$3\r\nGE");
  }
  raw_client client{cluster.node(2)};
  client.say("PING\r\n");
  CHECK(client.line() == "+PONG\r\n");
}

TEST_CASE("resp: QUIT is answered, and the connection ends") {
  raw_client client{shared().node(0)};
  client.say("QUIT\r\nPING\r\n");
  CHECK(client.rest() == "+OK\r\n");
}

TEST_CASE("resp: redis-cli talks to a node, in both versions of its protocol") {
  if (!installed("redis-cli")) {
    MESSAGE("skipped: redis-cli is not installed");
    return;
  }
  const auto port = std::to_string(shared().node(0).resp_port);
  CHECK(run({"redis-cli", "-p", port, "SET", "inventory:cli", "41"}).output == "OK\n");
  CHECK(run({"redis-cli", "-p", port, "INCR", "inventory:cli"}).output == "42\n");
  CHECK(run({"redis-cli", "-3", "-p", port, "GET", "inventory:cli"}).output == "42\n");
  CHECK(run({"redis-cli", "-3", "-p", port, "GET", "inventory:none"}).output == "\n");
  CHECK(run({"redis-cli", "-p", port, "GET", "none"}).output.starts_with("NOTDONE unknown_type: "));
}

TEST_CASE("resp: redis-benchmark runs against a node") {
  if (!installed("redis-benchmark")) {
    MESSAGE("skipped: redis-benchmark is not installed");
    return;
  }
  const auto port = std::to_string(shared().node(0).resp_port);
  const auto result =
      run({"redis-benchmark", "-p", port, "-t", "set,get", "-n", "2000", "-r", "1000", "-P", "8", "-q"}, 60s);
  CHECK(result.exit_code == 0);
  CHECK(result.errors.find("ERR") == std::string::npos);
  CHECK(result.output.find("GET: ") != std::string::npos);
}

TEST_CASE("http: a key is put, read with its version, added to, and removed") {
  auto& cluster = shared();
  auto one = http(cluster.node(0));
  auto two = http(cluster.node(1));
  const std::string key = "/v1/keys/inventory/a%2Fb%20c%00";
  const auto put = one.Put(key, "one", "text/plain");
  REQUIRE(put);
  CHECK(put->status == 200);
  const auto etag = put->get_header_value("ETag");
  CHECK(!etag.empty());
  auto got = two.Get(key);
  REQUIRE(got);
  CHECK(got->status == 200);
  CHECK(got->body == "one");
  CHECK(got->get_header_value("ETag") == etag);
  got = two.Get(key, {{"If-None-Match", etag}});
  REQUIRE(got);
  CHECK(got->status == 304);
  const auto again = one.Put(key, {{"If-None-Match", "*"}}, "two", "text/plain");
  REQUIRE(again);
  CHECK(again->status == 412);
  auto gone = one.Delete(key);
  REQUIRE(gone);
  CHECK(json::parse(gone->body) == json{{"existed", true}});
  got = two.Get(key);
  REQUIRE(got);
  CHECK(got->status == 404);
  const std::string stock = "/v1/keys/inventory/http-stock";
  auto sum = one.Post(stock + "?add=5", "", "text/plain");
  REQUIRE(sum);
  CHECK(json::parse(sum->body) == json{{"applied", true}, {"number", 5}});
  sum = two.Post(stock + "?add=-6&floor=0&deadline_ms=2000", "", "text/plain");
  REQUIRE(sum);
  CHECK(sum->status == 409);
  CHECK(json::parse(sum->body) == json{{"applied", false}, {"number", 5}});
}

TEST_CASE("http: a form's body is a value like any other, also a large one") {
  auto client = http(shared().node(0));
  const std::string body(100'000, '&');
  const auto put = client.Put("/v1/keys/inventory/form", body, "application/x-www-form-urlencoded");
  REQUIRE(put);
  CHECK(put->status == 200);
  const auto got = client.Get("/v1/keys/inventory/form");
  REQUIRE(got);
  CHECK(got->body == body);
}

TEST_CASE("http: a request that announces no body has none: it is not waited for") {
  auto& node = shared().node(0);
  raw_client client{node.admin_port};
  const std::string end = " HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
  client.say("POST /v1/keys/inventory/no-body?add=7" + end); // as `curl -X POST` sends it
  CHECK(client.line() == "HTTP/1.1 200 OK\r\n");
  CHECK(client.rest().find("{\"applied\":true,\"number\":7}") != std::string::npos);
  raw_client putting{node.admin_port};
  putting.say("PUT /v1/keys/inventory/no-body" + end);
  CHECK(putting.line() == "HTTP/1.1 200 OK\r\n");
  CHECK(http(node).Get("/v1/keys/inventory/no-body")->body.empty());
}

TEST_CASE("http: bad requests are refused with code and outcome") {
  auto client = http(shared().node(0));
  const auto error = [&](const std::string& target, int status, const std::string& code) {
    CAPTURE(target);
    const auto answer = client.Get(target);
    REQUIRE(answer);
    CHECK(answer->status == status);
    const auto body = json::parse(answer->body);
    CHECK(body["error"] == code);
    CHECK(body["outcome"] == "not done");
  };
  error("/v1/keys/inventory", 400, "invalid_argument");
  error("/v1/keys/inventory/%zz", 400, "invalid_argument");
  error("/v1/keys/inventory/a?deadline_ms=0", 400, "invalid_argument");
  error("/v1/keys/inventory/a?add=1", 400, "invalid_argument");
  error("/v1/keys/stock/a", 400, "unknown_type");
  error("/v1/keys/inventory/", 400, "key_too_long");
  error("/v1/keys/inventory/" + std::string(1'025, 'k'), 400, "key_too_long");
  error("/v1/nothing", 404, "invalid_argument");
  const auto page = client.Post("/v1/keys/inventory/a?add=1", {{"Origin", "http://evil.example"}}, "", "text/plain");
  REQUIRE(page);
  CHECK(page->status == 403);
  auto fresh = http(shared().node(0));
  const auto large = fresh.Put("/v1/keys/inventory/a", std::string((std::size_t{8} << 20) + 1, 'v'), "text/plain");
  if (large) CHECK(large->status == 413); // or the connection ended while the body was under way
}

TEST_CASE("http: the probes, the status and the metrics of a cluster at work") {
  auto& cluster = shared();
  auto client = http(cluster.node(0));
  const auto alive = client.Get("/healthz");
  REQUIRE(alive);
  CHECK(alive->status == 200);
  raw_client resp{cluster.node(0)};
  resp.say(array({"SET", "inventory:metric", "1"}));
  REQUIRE(resp.line() == "+OK\r\n");
  const auto before = client.Get("/metrics");
  resp.say(array({"SET", "inventory:metric", "2"}));
  REQUIRE(resp.line() == "+OK\r\n");
  const auto after = client.Get("/metrics");
  REQUIRE(before);
  REQUIRE(after);
  const std::string puts =
      R"(troupe_operations_total{given="strong",level="strong",operation="put",outcome="done",type="inventory"})";
  CHECK(series(before->body, puts) >= 1);
  CHECK(series(after->body, puts) == series(before->body, puts) + 1);
  CHECK(series(after->body, R"(troupe_link_up{peer="node-2"})") == 1);
  CHECK(series(after->body, "troupe_store_syncs_total") > 0);
  CHECK(after->body.find("troupe_operation_seconds_bucket") != std::string::npos);

  REQUIRE(cluster.node(0).wait_ready(10s));
  const auto answer = client.Get("/v1/status");
  REQUIRE(answer);
  const auto status = json::parse(answer->body);
  CHECK(status["node"] == "node-1");
  CHECK(status["ready"] == status["not_ready_because"].get<std::string>().empty());
  CHECK(status["links"].size() == 2);
  CHECK(status["shards"].size() == 256);
}

TEST_CASE("S1: what RESP and HTTP read from a node's memory is what another node has just written") {
  auto& cluster = shared();
  auto client = http(cluster.node(0));
  raw_client reader{cluster.node(0)};
  raw_client writer{cluster.node(1)};
  const auto hits = [&] {
    const auto page = client.Get("/metrics");
    REQUIRE(page);
    return series(page->body, "troupe_memory_hits_total");
  };
  const auto before = hits();
  for (int round = 0; round < 10; ++round) {
    const auto value = std::to_string(round);
    writer.say(array({"SET", "inventory:near", value}));
    REQUIRE(writer.line() == "+OK\r\n");
    for (int i = 0; i < 3; ++i) {
      const auto page = client.Get("/v1/keys/inventory/near");
      REQUIRE(page);
      CHECK(page->body == value);
      reader.say(array({"GET", "inventory:near"}));
      CHECK(reader.line() == "$1\r\n");
      CHECK(reader.line() == value + "\r\n");
    }
  }
  CHECK(hits() >= before + 10);
  const auto shown = run({troupe_binary(), "status", "--admin", cluster.node(0).admin()});
  CHECK(shown.output.find("  memory: ") != std::string::npos);
}

TEST_CASE("cli: keys and status by hand, with exit codes that say what happened") {
  auto& cluster = shared();
  const auto troupe = [&](std::vector<std::string> words, std::size_t node = 0) {
    words.insert(words.begin(), troupe_binary());
    words.insert(words.end(), {"--admin", cluster.node(node).admin()});
    return run(words);
  };
  CHECK(troupe({"put", "inventory", "by hand", "7"}).exit_code == 0);
  CHECK(troupe({"get", "inventory", "by hand"}, 1).output == "7\n");
  CHECK(troupe({"add", "inventory", "by hand", "-3", "--floor", "0"}).output == "4\n");
  const auto refused = troupe({"add", "inventory", "by hand", "-5", "--floor", "0"});
  CHECK(refused.exit_code == 1);
  CHECK(refused.errors == "not done: the sum would be below the floor\n");
  CHECK(troupe({"remove", "inventory", "by hand"}).exit_code == 0);
  CHECK(troupe({"get", "inventory", "by hand"}).exit_code == 1);
  CHECK(troupe({"get", "stock", "a"}).exit_code == 2);
  // Homes move when a machine under load starves a lease; the answer is right whenever it is asked.
  command_result status;
  const auto ready = [&] { return (status = troupe({"status"})).output.find(": ready\n") != std::string::npos; };
  const bool seen_ready = wait_until(ready, 10s);
  CAPTURE(status.output);
  CHECK(seen_ready);
  CHECK(status.exit_code == 0);
  CHECK(status.output.starts_with("node node-1 (id 1, region r1, incarnation 1) of cluster test: ready\n"));
  CHECK(json::parse(troupe({"status", "--json"}).output)["node"] == "node-1");
}

TEST_CASE("cli: a key is explained: what every layer of every node has of it") {
  auto& cluster = shared();
  const auto explain = [&](const std::string& type, const std::string& key, std::vector<std::string> more = {}) {
    std::vector<std::string> words{troupe_binary(), "explain", type, key, "--admin", cluster.node(1).admin()};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  };
  REQUIRE(run({troupe_binary(), "put", "inventory", "why 7", "5", "--admin", cluster.node(0).admin()}).exit_code
          == 0);
  const auto layers = [&](const json& found) {
    std::map<std::string, int> count;
    for (const auto& node : found["nodes"]) {
      CHECK(node["answered"] == true);
      for (const auto& view : node["views"])
        ++count[view["layer"].get<std::string>()];
    }
    return count;
  };
  // A replica that is slow may store what was acknowledged a moment later.
  json found;
  CHECK(wait_until(
      [&] {
        found = json::parse(explain("inventory", "why 7", {"--json"}).output);
        return layers(found)["store"] == 3;
      },
      10s));
  CAPTURE(found.dump());
  CHECK(found["key"] == "inventory:why 7");
  CHECK(found["level"] == "strong");
  CHECK(found["replicas"].size() == 3);
  CHECK(layers(found)["home"] >= 1);
  const auto shown = explain("inventory", "why 7");
  CAPTURE(shown.output);
  CHECK(shown.exit_code == 0);
  CHECK(shown.output.starts_with("inventory:why 7: strong, shard "));
  CHECK(shown.output.find("home in epoch ") != std::string::npos);
  const auto refused = explain("stock", "a");
  CHECK(refused.exit_code == 1);
  CHECK(refused.errors.find("there are: ") != std::string::npos);
  CHECK(http(cluster.node(0)).Get("/v1/explain/inventory")->status == 400);
  CHECK(http(cluster.node(0)).Get("/v1/explain/inventory/a?b=c")->status == 400);
  CHECK(http(cluster.node(0)).Get("/v1/explain/inventory/nobody")->status == 200);
}

TEST_CASE("cli: bad usage is 2 with a sentence, and nobody listening is 1") {
  CHECK(run({troupe_binary()}).exit_code == 2);
  CHECK(run({troupe_binary(), "node"}).exit_code == 2);
  CHECK(run({troupe_binary(), "node", "--config", "/nonexistent.toml"}).exit_code == 2);
  CHECK(run({troupe_binary(), "get", "a", "b", "--admin", "nowhere"}).exit_code == 2);
  CHECK(run({troupe_binary(), "check", "linearizability", "/nonexistent"}).exit_code == 2);
  const auto port = std::to_string(free_ports(1).front());
  const auto nobody = run({troupe_binary(), "put", "inventory", "a", "1", "--admin", "127.0.0.1:" + port});
  CHECK(nobody.exit_code == 1);
  CHECK(nobody.errors.starts_with("not done: "));
  CHECK(run({troupe_binary(), "--version"}).output.starts_with("troupe "));
}

TEST_CASE("cli: a store is not made twice, and a node does not start without one") {
  cluster_options alone;
  alone.nodes = 1;
  test_cluster cluster{alone};
  const auto config = cluster.node(0).config().string();
  CHECK(run({troupe_binary(), "init", "--config", config}).exit_code == 1);
  std::filesystem::remove_all(cluster.node(0).folder / "store");
  const auto started = run({troupe_binary(), "node", "--config", config});
  CHECK(started.exit_code == 1);
  CHECK(!started.errors.empty());
}

TEST_CASE("node: an address that is taken is an error that names the file, the key and the port") {
  test_cluster cluster;
  auto& node = cluster.node(0);
  const std::vector<std::pair<std::string, std::uint16_t>> addresses{
      {"cluster.nodes.address", node.link_port}, {"listen.resp", node.resp_port}, {"listen.admin", node.admin_port}};
  for (const auto& [key, port] : addresses) {
    CAPTURE(key);
    const int taken = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(taken, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(taken, 1) == 0);
    const auto ended = run({troupe_binary(), "node", "--config", node.config().string()});
    ::close(taken);
    CHECK(ended.exit_code == 1);
    INFO(ended.errors);
    CHECK(ended.errors.find("troupe node: cannot_listen: an address to listen at is in use") != std::string::npos);
    CHECK(ended.errors.find(node.config().string() + ": " + key + " = \"127.0.0.1:" + std::to_string(port)
                            + "\": in use")
          != std::string::npos);
  }
}

TEST_CASE("node: SIGTERM hands over and ends with 0, and those that are left go on") {
  test_cluster cluster;
  REQUIRE(cluster.start());
  raw_client client{cluster.node(1)};
  client.say(array({"SET", "inventory:left", "1"}));
  REQUIRE(client.line() == "+OK\r\n");
  const auto code = cluster.node(0).terminate(15s);
  REQUIRE(code);
  CHECK(*code == 0);
  CHECK(cluster.node(0).log().find("ready node=node-1 resp=127.0.0.1:") != std::string::npos);
  CHECK(cluster.node(1).wait_ready(10s));
  client.say(array({"INCR", "inventory:left"}));
  CHECK(client.line() == ":2\r\n");
  cluster.node(0).start();
  CHECK(cluster.node(0).wait_ready(10s));
  raw_client back{cluster.node(0)};
  back.say(array({"GET", "inventory:left"}));
  CHECK(back.hear(7) == "$1\r\n2\r\n");
}

TEST_CASE("node: one that can reach nobody is alive and not ready, and says why") {
  test_cluster cluster;
  cluster.node(0).start();
  auto client = http(cluster.node(0));
  REQUIRE(wait_until([&] { return static_cast<bool>(client.Get("/healthz")); }, 10s));
  const auto ready = client.Get("/readyz");
  REQUIRE(ready);
  CHECK(ready->status == 503);
  CHECK(json::parse(ready->body)["because"].get<std::string>().find("node-2") != std::string::npos);
  const auto write = client.Put("/v1/keys/inventory/a?deadline_ms=200", "1", "text/plain");
  REQUIRE(write);
  CHECK(write->status == 503);
  CHECK(json::parse(write->body)["error"] == "unavailable");
}
