#include "protocol/greeting.hpp"
#include "protocol/membership.hpp"
#include "tests/support/strong_script.hpp"

#include <doctest/doctest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr instant start{1h};
constexpr node_id n1{1}, n2{2}, n3{3};

cluster three_nodes() {
  cluster c;
  c.name = "shop";
  c.shards = 4;
  for (std::uint32_t n = 1; n <= 3; ++n)
    c.members.push_back({.id = {n}, .name = "n" + std::to_string(n), .region = "r", .host = "h", .port = 1});
  return c;
}

v1::Hello hello(std::uint32_t node = 2, std::uint64_t disk = 77) {
  v1::Hello h;
  h.set_protocol(protocol_version);
  h.set_cluster("shop");
  h.set_configuration(three_nodes().hash());
  h.set_node(node);
  h.set_name("n" + std::to_string(node));
  h.set_incarnation(1);
  h.set_disk(disk);
  return h;
}

membership three(std::map<node_id, std::uint64_t> disks = {}) {
  return membership{{three_nodes(), n1, std::move(disks)}};
}

epoch era(std::uint64_t round) { return {round, n1, {1}}; }

} // namespace

TEST_CASE("membership: a refusal names what the peer has and what this node has") {
  auto m = three({{n2, 77}});
  membership::effects out;
  auto h = hello();
  h.set_cluster("bank");
  CHECK(m.admit(h, out).error == errc::wrong_cluster);
  CHECK(m.admit(h, out).what == "cluster: n2 has \"bank\", n1 has \"shop\"");
  h = hello();
  h.set_configuration(1);
  h.set_configuration_text("cluster=shop shards=8 lease_ms=400");
  CHECK(m.admit(h, out).error == errc::wrong_configuration);
  CHECK(m.admit(h, out).what.starts_with("configuration: n2 has shards=8, n1 has drift_ppm=10000 "));
  CHECK(m.admit(h, out).what.find(" shards=4") != std::string::npos);
  CHECK(m.admit(h, out).what.find("lease_ms") == std::string::npos); // they agree on it
  h.set_configuration_text(three_nodes().describe());                // the words do not tell
  CHECK(m.admit(h, out).what == "configuration: n2 has hash 1, n1 has hash " + std::to_string(three_nodes().hash()));
  h = hello();
  h.set_protocol(9);
  CHECK(m.admit(h, out).error == errc::wrong_protocol);
  CHECK(m.admit(h, out).what == "protocol version: n2 has 9, n1 has 3");
  CHECK(m.admit(hello(2, 78), out).error == errc::foreign_disk);
  CHECK(m.admit(hello(2, 78), out).what.find("n2 has 000000000000004e, n1 has remembered 000000000000004d")
        != std::string::npos);
  CHECK(m.admit(hello(9), out).error == errc::wrong_configuration);
  CHECK(m.admit(hello(1), out).error == errc::wrong_configuration); // somebody who calls himself us
  CHECK(out.empty());
}

TEST_CASE("membership: of two long lists only what differs is named, and both sides find room on one line") {
  auto shape = three_nodes();
  for (std::uint32_t n = 4; n <= 200; ++n)
    shape.members.push_back({.id = {n}, .name = "node-" + std::to_string(n), .region = "eu", .host = "h", .port = 1});
  membership m{{shape, n1, {}}};
  membership::effects out;
  auto other = shape;
  other.members[150].region = "us";
  auto h = hello();
  auto refusal = [&] {
    h.set_configuration(other.hash());
    h.set_configuration_text(other.describe());
    return m.admit(h, out).what;
  };
  CHECK(refusal() == "configuration: n2 has nodes=node-151(151,us), n1 has nodes=node-151(151,eu)");
  other = shape;
  other.members.pop_back();
  CHECK(refusal() == "configuration: n2 has nothing of that, n1 has nodes=node-200(200,eu)");
  for (auto& listed : other.members)
    listed.region = std::string(50, 'x');
  CHECK(refusal().size() <= one_line(std::string(2'000, 'x')).size());
  CHECK(refusal().find(", n1 has nodes=") != std::string::npos);
  h.set_cluster(std::string(100'000, 'x'));
  CHECK(m.admit(h, out).what.ends_with(", n1 has \"shop\""));
}

TEST_CASE("membership: a disk that was never seen is remembered, and another one under that id refused") {
  auto m = three();
  membership::effects out;
  CHECK(m.admit(hello(2, 0), out).error == errc::foreign_disk);
  CHECK(m.admit(hello(2, 77), out).error == errc::none);
  REQUIRE(out.size() == 1);
  CHECK(std::get<membership::remember>(out[0]).disk == 77);
  CHECK(m.admit(hello(2, 77), out).error == errc::none);
  CHECK(out.size() == 1);
  CHECK(m.admit(hello(2, 78), out).error == errc::foreign_disk);
  CHECK(m.admit(hello(client_node_bit | 5, 0), out).error == errc::none);
}

TEST_CASE("membership: one renewal a replica covers every shard, each quarter of a lease, and only while something "
          "is led") {
  auto m = three();
  membership::effects out;
  m.start(start);
  m.peer(n2, {1}, true, start, out);
  m.tick(start, out);
  CHECK(script::sends(out).empty());
  m.lead({0}, era(1));
  m.lead({2}, era(3));
  m.tick(start + 99ms, out);
  CHECK(script::sends(out).empty());
  CHECK(m.wake_at() == start + 100ms);
  m.tick(start + 100ms, out);
  CHECK(script::joined(script::sends(out)) == "n1: renew_leases | n2: renew_leases"); // n3 is not there
  CHECK(std::get<send>(out.back()).envelope.renew_leases().leases_size() == 2);
  CHECK(m.wake_at() == start + 200ms);
  m.unlead({0}, era(2)); // of another epoch
  CHECK(m.leads() == 2);
  m.unlead({0}, era(1));
  m.unlead({2}, era(3));
  out.clear();
  m.tick(start + 200ms, out);
  CHECK(out.empty());
}

TEST_CASE("membership: an answer renews as of the sending of what it answers, once, and only what it was asked") {
  auto m = three();
  membership::effects out;
  m.start(start);
  m.peer(n2, {1}, true, start, out);
  m.lead({0}, era(1));
  m.lead({1}, era(1));
  m.lead({2}, era(1));
  out.clear();
  m.tick(start, out);
  v1::LeasesRenewed answer;
  answer.set_number(std::get<send>(out.back()).envelope.renew_leases().number());
  answer.add_pending(1);
  auto& superseded = *answer.add_superseded();
  superseded.set_shard(2);
  to_wire(epoch{9, n3, {1}}, *superseded.mutable_epoch());
  out.clear();
  m.lead({0}, era(2)); // meanwhile: the answer is about the epoch that was asked for
  m.receive(n3, answer, start + 50ms, out);
  CHECK(out.empty()); // n3 was not asked
  m.receive(n2, answer, start + 50ms, out);
  REQUIRE(out.size() == 2);
  const auto& r = std::get<membership::renewed>(out[0]);
  CHECK(r.era == era(1));
  CHECK(r.replica == n2);
  CHECK(r.sent_at == start);
  CHECK_FALSE(r.superseded_by);
  CHECK(std::get<membership::renewed>(out[1]).superseded_by == epoch{9, n3, {1}});
  out.clear();
  m.receive(n2, answer, start + 60ms, out);
  CHECK(out.empty());
}

TEST_CASE("cluster: the hash changes with everything that must agree, and not with where a node listens") {
  const auto base = three_nodes();
  auto changed = [&](auto change) {
    auto c = base;
    change(c);
    return c.hash() != base.hash();
  };
  CHECK(changed([](cluster& c) { c.name = "bank"; }));
  CHECK(changed([](cluster& c) { c.shards = 5; }));
  CHECK(changed([](cluster& c) { c.replicas = 1; }));
  CHECK(changed([](cluster& c) { c.lease = 401ms; }));
  CHECK(changed([](cluster& c) { c.drift_ppm = 1; }));
  CHECK(changed([](cluster& c) { c.members[0].id = {9}; }));
  CHECK(changed([](cluster& c) { c.members[0].name = "x"; }));
  CHECK(changed([](cluster& c) { c.members[0].region = "x"; }));
  CHECK(changed([](cluster& c) { c.members.pop_back(); }));
  CHECK(changed([](cluster& c) { c.types["a"] = {}; }));
  CHECK(changed([](cluster& c) { c.types["a"] = {.consistency = level::strong, .timeout = on_timeout::rollback}; }));
  CHECK_FALSE(changed([](cluster& c) { c.members[0].host = "elsewhere"; }));
  CHECK_FALSE(changed([](cluster& c) { c.members[0].port = 9; }));
}
