#include "protocol/greeting.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

using namespace troupe;

namespace {

constexpr instant start{std::chrono::hours{1}};

greeting_options greeter(std::uint32_t self, std::uint32_t peer, bool dials) {
  greeting_options o;
  o.peer = {peer};
  o.dials = dials;
  o.self.set_node(self);
  o.self.set_incarnation(3);
  return o;
}

template <class Effect> std::optional<Effect> only(greeting_effects& effects) {
  std::optional<Effect> found;
  for (auto& e : effects)
    if (auto* x = std::get_if<Effect>(&e)) found = *x;
  effects.clear();
  return found;
}

} // namespace

TEST_CASE("greeting: dial, hello, consent, membership's verdict: both sides are up with one connection id") {
  greeting dialler{greeter(1, 2, true)}, listener{greeter(2, 1, false)};
  greeting_effects out;
  listener.tick(start, out);
  CHECK(out.empty());
  dialler.tick(start, out);
  REQUIRE(only<dial>(out));
  dialler.dialled(start, out);
  const auto hello = only<say_hello>(out)->hello;
  CHECK(hello.node() == 1);
  CHECK(hello.connection() != 0);
  listener.admitted(hello, start, out);
  const auto consent = only<say_hello>(out)->hello;
  CHECK(consent.node() == 2);
  CHECK_FALSE(listener.up());
  dialler.consented(consent, start, out);
  REQUIRE(only<check_hello>(out));
  CHECK_FALSE(dialler.up());
  dialler.checked(consent, {}, start, out);
  CHECK(only<connection_up>(out)->connection == hello.connection());
  CHECK(dialler.up());
  listener.heard(hello.connection() + 1, out); // of some other connection
  CHECK_FALSE(listener.up());
  listener.heard(hello.connection(), out);
  const auto up = only<connection_up>(out);
  CHECK(up->connection == hello.connection());
  CHECK(up->life == incarnation{3});
  CHECK(listener.up());
}

TEST_CASE("greeting: a consent that the dialler's membership refuses is told to the listener, who hangs up") {
  greeting dialler{greeter(1, 2, true)}, listener{greeter(2, 1, false)};
  greeting_effects out;
  dialler.tick(start, out);
  dialler.dialled(start, out);
  listener.admitted(only<say_hello>(out)->hello, start, out);
  const auto consent = only<say_hello>(out)->hello;
  dialler.consented(consent, start, out);
  v1::HelloRefused verdict;
  verdict.set_error(19);
  verdict.set_what("disk of b: b has 78,\n a has remembered 77");
  out.clear();
  dialler.checked(consent, verdict, start, out);
  REQUIRE(out.size() == 2);
  CHECK(std::get<refusal>(out[0]).what == "disk of b: b has 78,? a has remembered 77"); // one line
  const auto no = std::get<say_no>(out[1]).no;                                          // and the wire stays open
  out.clear();
  listener.refused(no, start, out);
  REQUIRE(out.size() == 2);
  CHECK(std::get<refusal>(out[0]).what == dialler.last_refusal());
  CHECK(std::holds_alternative<hang_up>(out[1]));
  CHECK(listener.apart());
  CHECK(listener.refusals() == 1);
  out.clear();
  dialler.lost(start + milliseconds{1}, "closed", out);
  CHECK(only<hang_up>(out));
  CHECK(dialler.due() == start + milliseconds{1001});
  CHECK(dialler.refusals() == 1);
}

TEST_CASE("greeting: who waits for the other end after a hello, a consent or a no hangs up after two seconds") {
  greeting_effects out;
  greeting listener{greeter(2, 1, false)};
  v1::Hello hello;
  hello.set_node(1);
  hello.set_connection(7);
  listener.admitted(hello, start, out);
  CHECK(listener.due() == start + milliseconds{2000});
  out.clear();
  listener.tick(start + milliseconds{2000}, out);
  CHECK(only<hang_up>(out));
  CHECK(listener.apart());
  CHECK(listener.due() == never);

  greeting dialler{greeter(1, 2, true)};
  dialler.tick(start, out);
  dialler.dialled(start, out);
  auto consent = only<say_hello>(out)->hello;
  consent.set_node(2);
  dialler.consented(consent, start, out);
  v1::HelloRefused verdict;
  verdict.set_error(19);
  dialler.checked(consent, verdict, start, out);
  out.clear();
  dialler.tick(start + milliseconds{2000}, out);
  CHECK(only<hang_up>(out));
}

TEST_CASE("greeting: a listener remembers why its door turned the peer away, until a connection is up") {
  greeting g{greeter(2, 1, false)};
  greeting_effects out;
  v1::HelloRefused no;
  no.set_error(17);
  no.set_what("configuration: a has shards=4, b has shards=8");
  g.turned_away(no, out);
  CHECK_FALSE(only<refusal>(out)->repeated);
  g.turned_away(no, out);
  CHECK(only<refusal>(out)->repeated);
  CHECK(g.last_refusal() == no.what());
  CHECK(g.refusals() == 2);
  v1::Hello hello;
  hello.set_connection(7);
  g.admitted(hello, start, out);
  g.heard(7, out);
  CHECK(g.last_refusal().empty());
  CHECK(g.refusals() == 2);

  greeting dialler{greeter(1, 2, true)};
  dialler.turned_away(no, out); // a stranger under the peer's id: the peer itself is dialled as before
  out.clear();
  dialler.tick(start, out);
  dialler.dial_failed(start, "refused", out);
  CHECK(dialler.due() == start + milliseconds{20});
}

TEST_CASE("greeting: a refusal is shown on one line of bounded length") {
  CHECK(one_line("cluster: \"a\nb\x7f\"") == "cluster: \"a?b?\"");
  CHECK(one_line(std::string(100'000, 'x')).size() == 1024);
}

TEST_CASE("greeting: a peer's name is shown on one line of bounded length, its id where it has none") {
  v1::Hello hello;
  hello.set_node(5);
  CHECK(shown_name(hello) == "node n5");
  hello.set_name("web-1\nlink.up peer=forged");
  CHECK(shown_name(hello) == "web-1?link.up peer=forged");
  hello.set_name(std::string(100'000, 'x'));
  CHECK(shown_name(hello).size() == 64);
}

TEST_CASE("greeting: failed dials are repeated with pauses from 20 ms to 1 s, and anew after a success") {
  greeting g{greeter(1, 2, true)};
  greeting_effects out;
  std::vector<long> pauses;
  auto now = start;
  for (int i = 0; i < 9; ++i) {
    g.tick(now, out);
    REQUIRE(only<dial>(out));
    g.dial_failed(now, "refused", out);
    pauses.push_back((g.due() - now).count() / 1'000'000);
    g.tick(g.due() - milliseconds{1}, out);
    CHECK(out.empty());
    now = g.due();
  }
  CHECK(pauses == std::vector<long>{20, 40, 80, 160, 320, 640, 1000, 1000, 1000});
  g.tick(now, out);
  g.dialled(now, out);
  auto consent = only<say_hello>(out)->hello;
  consent.set_node(2);
  g.consented(consent, now, out);
  g.checked(consent, {}, now, out);
  out.clear();
  g.lost(now, "gone", out);
  CHECK(std::get<connection_down>(out.front()).why == "gone");
  CHECK(g.due() == now + milliseconds{20});
}

TEST_CASE("greeting: a refusal is told once per reason, and retried after the long pause") {
  greeting g{greeter(1, 2, true)};
  greeting_effects out;
  auto now = start;
  auto refused = [&](const std::string& what) {
    g.tick(now, out);
    g.dialled(now, out);
    v1::HelloRefused no;
    no.set_error(17);
    no.set_what(what);
    no.set_connection(only<say_hello>(out)->hello.connection() + 1);
    g.refused(no, now, out); // an answer to another hello
    CHECK(out.empty());
    no.set_connection(no.connection() - 1);
    g.refused(no, now, out);
    const bool repeated = only<refusal>(out)->repeated;
    CHECK(g.due() == now + milliseconds{1000});
    now = g.due();
    return repeated;
  };
  CHECK_FALSE(refused("lease_ms=400 here, 500 there"));
  CHECK(refused("lease_ms=400 here, 500 there"));
  CHECK_FALSE(refused("shards=256 here, 128 there"));
  CHECK(g.last_refusal() == "shards=256 here, 128 there");
}

TEST_CASE("greeting: a listener that never answers is hung up on, and dialled again") {
  greeting g{greeter(1, 2, true)};
  greeting_effects out;
  g.tick(start, out);
  g.dialled(start, out);
  out.clear();
  g.tick(start + milliseconds{1999}, out);
  CHECK(out.empty());
  g.tick(start + milliseconds{2000}, out);
  CHECK(only<hang_up>(out));
  CHECK(g.due() == start + milliseconds{2020});
}

TEST_CASE("greeting: the wrong node at the other end is refused with both named") {
  greeting g{greeter(1, 2, true)};
  greeting_effects out;
  g.tick(start, out);
  g.dialled(start, out);
  auto consent = only<say_hello>(out)->hello;
  consent.set_node(3);
  g.consented(consent, start, out);
  CHECK(only<refusal>(out)->what.find("answered") != std::string::npos);
  CHECK_FALSE(g.up());
}

TEST_CASE("greeting: a newer hello replaces the connection that the peer has given up") {
  greeting g{greeter(2, 1, false)};
  greeting_effects out;
  v1::Hello hello;
  hello.set_node(1);
  hello.set_connection(7);
  g.admitted(hello, start, out);
  g.heard(7, out);
  out.clear();
  hello.set_connection(8);
  g.admitted(hello, start, out);
  REQUIRE(out.size() == 2);
  CHECK(std::holds_alternative<connection_down>(out[0]));
  CHECK(std::get<say_hello>(out[1]).hello.connection() == 8);
  out.clear();
  g.heard(7, out); // under way when the connection was given up
  CHECK(out.empty());
  g.heard(8, out);
  CHECK(only<connection_up>(out)->connection == 8);
  greeting d{greeter(1, 2, true)}; // who dials does not listen
  out.clear();
  d.admitted(hello, start, out);
  CHECK(out.empty());
}
