/// What one HTTP client may cost a node, and what it may not do: to answers, to memory, to the threads that serve, to
/// keys, and to the end of the node.
#include "runtime/faces/admin_http.hpp"
#include "runtime/runtime_access.hpp"
#include "tests/actors/lone_runtime.hpp"
#include "tests/faces/raw_client.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>

#include <httplib.h>

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace troupe;
using namespace std::chrono_literals;
using troupe::test::lone_runtime;
using troupe::test::lone_runtime_options;
using troupe::test::raw_client;

namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;

/// The admin HTTP of a runtime, at a free port.
std::unique_ptr<admin_http> listen(const runtime& node, const admin_limits& bounds = {}, std::uint16_t port = 0) {
  std::unique_ptr<admin_http> admin;
  runtime_access{node}.with_parts([&](assembly& parts) {
    admin = std::make_unique<admin_http>(parts.face(), endpoint{"127.0.0.1", port}, bounds);
  });
  REQUIRE(admin);
  return admin;
}

/// One for all test cases that leave it as it was.
runtime& shared() {
  static lone_runtime lone;
  return lone.node();
}

struct answer {
  std::string head;
  std::string body;
  int status() const { return head.size() < 12 ? 0 : std::stoi(head.substr(9, 3)); }
  bool says(const std::string& line) const { return head.find("\r\n" + line + "\r\n") != std::string::npos; }
};

/// Reads one answer that says how long it is.
answer hear(raw_client& client) {
  answer result;
  std::size_t size = 0;
  do {
    const auto line = client.line();
    if (line.starts_with("Content-Length: ")) size = std::stoul(line.substr(16));
    result.head += line;
    if (line.empty()) return result;
  } while (!result.head.ends_with("\r\n\r\n"));
  result.body = client.hear(size);
  return result;
}

answer ask(const admin_http& admin, const std::string& request) {
  raw_client client{admin.address().port};
  client.say(request);
  return hear(client);
}

std::string get(const std::string& target, const std::string& fields = "") {
  return "GET " + target + " HTTP/1.1\r\nHost: here\r\n" + fields + "\r\n";
}

std::string with_body(const std::string& method, const std::string& target, const std::string& body,
                      const std::string& fields = "") {
  return method + " " + target + " HTTP/1.1\r\nHost: here\r\nContent-Length: " + std::to_string(body.size()) + "\r\n"
         + fields + "\r\n" + body;
}

/// Says a byte about every millisecond, until the node has had enough; false when it bears it for 20 s.
bool dribble(const raw_client& client) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (std::chrono::steady_clock::now() < until) {
    client.say("x");
    pollfd answered{client.descriptor(), POLLIN, 0};
    if (::poll(&answered, 1, 1) > 0) return true;
  }
  return false;
}

/// Looks until it is so; false after 20 s.
bool becomes(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (!condition())
    if (std::chrono::steady_clock::now() > until) return false;
  return true;
}

std::string gzipped(const std::string& text) {
  std::string result;
  httplib::detail::gzip_compressor compressor;
  REQUIRE(compressor.compress(text.data(), text.size(), true, [&](const char* bytes, std::size_t size) {
    result.append(bytes, size);
    return true;
  }));
  return result;
}

} // namespace

TEST_CASE("http: a Range is ignored: what is answered as the whole value is all of it, once") {
  const auto admin = listen(shared());
  const std::string key = "/v1/keys/inventory/ranges";
  const std::string value(mebibyte, 'v');
  REQUIRE(ask(*admin, with_body("PUT", key, value)).status() == 200);
  std::string many = "Range: bytes=0-";
  for (int i = 0; i < 2'500; ++i)
    many += ",0-";
  for (const std::string& range :
       {std::string{"Range: bytes=0-3"}, many, std::string{"Range: bytes=9-3"}, std::string{"range: rows=1-2"},
        std::string{"Range: bytes=99999999999999999999-"}}) {
    CAPTURE(range.substr(0, 40));
    const auto got = ask(*admin, get(key, range + "\r\n"));
    CHECK(got.status() == 200);
    CHECK(got.body.size() == value.size());
    CHECK(got.says("Accept-Ranges: none"));
  }
}

TEST_CASE("http: a head without end is refused once it is too long, whether a line or a heap of them") {
  const auto admin = listen(shared());
  const std::string line(80, 'y');
  for (const std::string& part : {line, "GET / HTTP/1.1\r\n" + line, "A: " + line + "\r\n"}) {
    CAPTURE(part);
    raw_client client{admin->address().port};
    std::string bytes = "GET / HTTP/1.1\r\n";
    while (bytes.size() < mebibyte)
      bytes += part;
    client.say(bytes);
    CHECK(hear(client).status() == 431);
    CHECK(client.rest().empty());
  }
}

TEST_CASE(
    "http: a request has a time in all: a byte now and then does not prolong it, and the thread is free again") {
  admin_limits bounds;
  bounds.threads = 1;
  bounds.connection.head_patience = 200ms;
  bounds.connection.body_patience = 200ms;
  const auto admin = listen(shared(), bounds);
  raw_client slow{admin->address().port};
  slow.say("GET /healthz HTTP/1.1\r\nX: ");
  CHECK(dribble(slow));
  CHECK(hear(slow).status() == 408);
  CHECK(slow.rest().empty());
  raw_client slow_body{admin->address().port};
  slow_body.say("PUT /v1/keys/inventory/slow HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");
  CHECK(dribble(slow_body));
  CHECK(hear(slow_body).status() == 400);
  CHECK(ask(*admin, get("/v1/keys/inventory/slow")).status() == 404);
  CHECK(ask(*admin, get("/healthz")).status() == 200);
}

TEST_CASE("http: a client that does not take its answer loses it, and the thread is free again") {
  admin_limits bounds;
  bounds.threads = 1;
  bounds.connection.answer_patience = 200ms;
  const auto admin = listen(shared(), bounds);
  const std::string key = "/v1/keys/inventory/untaken";
  REQUIRE(ask(*admin, with_body("PUT", key, std::string(8 * mebibyte, 'v'))).status() == 200);
  raw_client lazy{admin->address().port, 4'096};
  lazy.say(get(key));
  CHECK(ask(*admin, get("/healthz")).status() == 200);
  CHECK(lazy.rest().size() < 8 * mebibyte);
}

TEST_CASE("http: requests that come at once are answered in their order, on one connection") {
  const auto admin = listen(shared());
  const std::string key = "/v1/keys/inventory/pipelined";
  raw_client client{admin->address().port};
  client.say(with_body("PUT", key, "one") + get(key) + with_body("PUT", key, "two") + get(key) + get("/healthz"));
  CHECK(hear(client).status() == 200);
  CHECK(hear(client).body == "one");
  CHECK(hear(client).status() == 200);
  CHECK(hear(client).body == "two");
  CHECK(hear(client).body == "ok\n");
}

TEST_CASE("http: what follows a refused request on its connection is not taken for one") {
  const auto admin = listen(shared());
  const auto inner = with_body("PUT", "/v1/keys/inventory/smuggled", "stolen");
  for (const auto& outer :
       {with_body("POST", "/v1/keys/inventory/page?add=1", inner, "Origin: http://evil.example\r\n"),
        with_body("GET", "/healthz", inner), with_body("POST", "/healthz", inner),
        with_body("DELETE", "/v1/keys/inventory/page", inner)}) {
    CAPTURE(outer);
    raw_client client{admin->address().port};
    client.say(outer.substr(0, outer.size() - inner.size()));
    CHECK(hear(client).status() != 0);
    client.say(inner);
    CHECK(client.rest().empty());
    CHECK(ask(*admin, get("/v1/keys/inventory/smuggled")).status() == 404);
  }
}

TEST_CASE("http: a body that no handler is for is not kept, however large it would become") {
  const auto admin = listen(shared());
  CHECK(ask(*admin, "PATCH /v1/keys/inventory/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").status() == 405);
  CHECK(ask(*admin, "POST /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").status() == 404);
  CHECK(ask(*admin, "DELETE /v1/keys/inventory/a HTTP/1.1\r\nContent-Length: 9\r\n\r\n").status() == 200);
  const auto bomb = gzipped(std::string(64 * mebibyte, '0'));
  REQUIRE(bomb.size() < mebibyte);
  CHECK(ask(*admin, with_body("PUT", "/v1/keys/inventory/bomb", bomb, "Content-Encoding: gzip\r\n")).status() == 413);
  CHECK(ask(*admin, with_body("PUT", "/v1/conflicts/free/n1.1:7", bomb, "Content-Encoding: gzip\r\n")).status()
        == 405);
  for (const char* method : {"POST", "DELETE"})
    CHECK(ask(*admin, with_body(method, "/v1/conflicts/17", bomb, "Content-Encoding: gzip\r\n")).status() == 400);
  CHECK(ask(*admin, "PUT /v1/keys/inventory/a HTTP/1.1\r\nContent-Length: 8388609\r\n\r\n").status() == 413);
}

TEST_CASE("http: a chunked body is a value; one that never ends is cut off") {
  const auto admin = listen(shared());
  const std::string key = "/v1/keys/inventory/chunked";
  const auto head = "PUT " + key + " HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  raw_client client{admin->address().port};
  client.say(head + "3\r\none\r\n2;x=y\r\n, \r\n3\r\ntwo\r\n0\r\n\r\n");
  const auto stored = hear(client);
  CHECK(stored.status() == 200);
  CHECK(stored.says("Connection: close"));
  CHECK(ask(*admin, get(key)).body == "one, two");
  raw_client endless{admin->address().port};
  std::string part = "1000\r\n" + std::string(4'096, 'v') + "\r\n";
  endless.say(head);
  for (std::size_t said = 0; said < 32 * mebibyte; said += part.size())
    endless.say(part);
  CHECK(hear(endless).status() == 413);
}

TEST_CASE("http: a form is a value like any other, with as many parts as it has") {
  const auto admin = listen(shared());
  const std::string key = "/v1/keys/inventory/form-data";
  const std::string form = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n";
  CHECK(ask(*admin, with_body("PUT", key, form, "Content-Type: multipart/form-data; boundary=x\r\n")).status()
        == 200);
  CHECK(ask(*admin, get(key)).body == form);
}

TEST_CASE("http: the longest target there is gets an answer, also where threads have little stack") {
  pthread_attr_t before{};
  REQUIRE(::pthread_getattr_default_np(&before) == 0);
  auto small = before;
  REQUIRE(::pthread_attr_setstacksize(&small, std::size_t{256} << 10) == 0);
  REQUIRE(::pthread_setattr_default_np(&small) == 0);
  const auto admin = listen(shared());
  CHECK(ask(*admin, get("/healthz")).status() == 200); // so its threads run
  ::pthread_setattr_default_np(&before);
  ::pthread_attr_destroy(&before);
  CHECK(ask(*admin, get("/v1/keys/inventory/" + std::string(8'000, 'k'))).status() == 400);
  CHECK(ask(*admin, get("/v1/keys/inventory/" + std::string(9'000, 'k'))).status() == 414);
}

TEST_CASE("http: a node with very many descriptors answers its probes still") {
  constexpr int beyond = 1'100; // FD_SETSIZE is 1024
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  if (limit.rlim_cur < beyond + 100) {
    MESSAGE("skipped: this process may not open enough descriptors");
    return;
  }
  const auto admin = listen(shared());
  std::vector<int> taken;
  do
    taken.push_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  while (taken.back() >= 0 && taken.back() < beyond);
  const auto alive = ask(*admin, get("/healthz"));
  for (const int descriptor : taken)
    ::close(descriptor);
  CHECK(alive.status() == 200);
}

TEST_CASE("http: an address has one listener") {
  const auto admin = listen(shared());
  CHECK_THROWS_AS(listen(shared(), {}, admin->address().port), cannot_listen);
}

TEST_CASE("http: clients do not hold up the end: one that waits for its answer gets it, and the others are let go") {
  lone_runtime_options alone;
  alone.has_majority = false;
  lone_runtime lone{alone};
  auto admin = listen(lone.node());
  const auto port = admin->address().port;
  std::size_t actors = 0;
  const auto count = [&] {
    std::size_t running = 0;
    runtime_access{lone.node()}.with_parts([&](assembly& parts) { running = parts.system().registry().running(); });
    return running;
  };
  actors = count();
  raw_client waiting{port};
  waiting.say(with_body("PUT", "/v1/keys/inventory/late?deadline_ms=60000", "x"));
  REQUIRE(becomes([&] { return count() > actors; })); // its session is open
  raw_client idle{port};
  idle.say(get("/healthz"));
  CHECK(hear(idle).status() == 200);
  raw_client halfway{port};
  halfway.say("GET /healthz HTTP/1.1\r\n");
  raw_client uploading{port};
  uploading.say("PUT /v1/keys/inventory/part HTTP/1.1\r\nContent-Length: 1000\r\n\r\npart");

  auto ending = std::async(std::launch::async, [&] { admin.reset(); });
  CHECK(ending.wait_for(10s) == std::future_status::ready);
  const auto answered = hear(waiting);
  CHECK((answered.status() == 504 || answered.status() == 503));
  CHECK(answered.body.find("\"outcome\"") != std::string::npos);
  ending.get();
}

TEST_CASE("http: a node stops while a client waits for an operation that cannot be done, and tells it") {
  lone_runtime_options alone;
  alone.has_majority = false;
  alone.admin = true;
  lone_runtime lone{alone};
  std::uint16_t port = 0;
  runtime_access{lone.node()}.with_parts([&](assembly& parts) { port = parts.admin_address()->port; });
  raw_client waiting{port};
  waiting.say(get("/v1/keys/inventory/a?deadline_ms=60000"));
  const auto asked = get("/healthz"); // and it is served while the other waits
  raw_client other{port};
  other.say(asked);
  CHECK(hear(other).status() == 200);
  auto stopping = std::async(std::launch::async, [&] { return lone.node().stop(20s).has_value(); });
  const auto answered = hear(waiting);
  CHECK((answered.status() == 504 || answered.status() == 503));
  CHECK(stopping.get());
}
