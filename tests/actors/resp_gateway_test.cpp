/// The RESP gateway in this process: what its acceptor survives, what it gives to clients, and how it is configured.
#include "runtime/faces/resp_gateway.hpp"

#include "runtime/config_file.hpp"
#include "runtime/runtime_access.hpp"
#include "tests/faces/raw_client.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <limits>
#include <new>
#include <optional>
#include <string>

using namespace troupe;
using troupe::test::raw_client;

namespace {

/// Runs `use` with what a face needs, on a client node whose cluster is not there.
void with_face(const std::function<void(face_setup)>& use) {
  auto settings = example_config("web-1");
  settings.log.level = "off";
  auto read = config::from_toml(print_config(settings), "web-1");
  if (!read) FAIL(read.error().message());
  auto node = runtime::start(*read);
  if (!node) FAIL(node.error().message());
  const bool used = runtime_access{*node}.with_parts([&](assembly& parts) { use(parts.face()); });
  CHECK(used);
}

bool answers(raw_client& client) {
  client.say("PING\r\n");
  return client.line() == "+PONG\r\n";
}

std::string with_resp_section(const std::string& section) {
  auto settings = example_config("eu-1");
  settings.resp.reset();
  return print_config(settings) + section;
}

std::string problems_of(const std::string& text) {
  auto read = parse_config(text, "eu-1.toml");
  return read ? "" : read.error().front().substr(read.error().front().find(' ') + 1);
}

} // namespace

TEST_CASE("resp gateway: a connection that fails costs its client, and nobody else") {
  with_face([](face_setup face) {
    std::atomic<bool> out_of_memory{false};
    face.next_session = [&, next = face.next_session] {
      if (out_of_memory.exchange(false)) throw std::bad_alloc{};
      return next();
    };
    const resp_gateway gateway{face, {"127.0.0.1", 0}, {}};
    raw_client before{gateway.address().port};
    REQUIRE(answers(before));
    out_of_memory = true;
    raw_client failing{gateway.address().port};
    failing.say("PING\r\n");
    CHECK(failing.rest().empty());
    raw_client after{gateway.address().port};
    CHECK(answers(after));
    CHECK(answers(before));
  });
}

TEST_CASE("resp gateway: its end is the end of every connection") {
  with_face([](const face_setup& face) {
    std::optional<resp_gateway> gateway;
    gateway.emplace(face, endpoint{"127.0.0.1", 0}, resp_limits{});
    raw_client one{gateway->address().port};
    raw_client two{gateway->address().port};
    REQUIRE(answers(one));
    REQUIRE(answers(two));
    gateway.reset();
    CHECK(one.rest().empty());
    CHECK(two.rest().empty());
  });
}

TEST_CASE("resp gateway: clients get all descriptors but 512, and half where there are few") {
  CHECK(descriptors_for_clients(1'048'576) == 1'048'064);
  CHECK(descriptors_for_clients(1'024) == 512);
  CHECK(descriptors_for_clients(256) == 128);
  constexpr auto unlimited = std::numeric_limits<std::size_t>::max();
  CHECK(descriptors_for_clients(unlimited) == unlimited - 512);
}

TEST_CASE("config: resp.connections_max is a whole number, and 10000 when it is not there") {
  const auto value_in = [](const std::string& text) {
    return parse_config(text, "eu-1.toml")->gateway.connections_max;
  };
  CHECK(value_in(with_resp_section("")) == 10'000);
  CHECK(value_in(with_resp_section("\n[resp]\nconnections_max = 17\n")) == 17);
  const std::string allowed = "; allowed: a whole number from 1 to 1000000";
  for (const std::string wrong : {"0", "1000001", "'17'"})
    CHECK(problems_of(with_resp_section("\n[resp]\nconnections_max = " + wrong + "\n"))
          == "resp.connections_max is " + wrong + allowed);
  CHECK(problems_of(with_resp_section("\n[resp]\nconnection_max = 1\n"))
        == "resp.connection_max is not a key of [resp]; did you mean \"connections_max\"?");
  auto printed = example_config("eu-1");
  printed.gateway.connections_max = 17;
  CHECK(value_in(print_config(printed)) == 17);
}
