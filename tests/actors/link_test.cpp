// Links, doors and the real transport: actor systems that talk BASP over loopback, each with a link to the others.
#include "actors/basp_transport.hpp"
#include "actors/door.hpp"
#include "actors/link.hpp"
#include "actors/membership.hpp"
#include "protocol/error.hpp"

#include <caf/all.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>

using namespace troupe;

namespace {

constexpr std::chrono::seconds patience{20};

/// What the actors behind a switchboard were told. Written by them, awaited by the test.
class witness {
public:
  struct facts {
    std::vector<std::uint64_t> renewals; ///< numbers, in the order of arrival
    std::vector<std::uint64_t> accepts;
    std::size_t accept_bytes = 0;
    std::vector<std::pair<std::uint64_t, errc>> unsent; ///< request numbers of operations that were handed back
    std::vector<peer_change> changes;
    /// How many of `renewals` had arrived when the first accept of at least a mebibyte did.
    std::optional<std::size_t> renewals_before_large;
  };

  template <class F> void note(F&& change) {
    const std::lock_guard lock{mutex_};
    change(facts_);
    changed_.notify_all();
  }

  bool await(const std::function<bool(const facts&)>& condition) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, patience, [&] { return condition(facts_); });
  }

  facts read() {
    const std::lock_guard lock{mutex_};
    return facts_;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  facts facts_;
};

caf::behavior owner(caf::event_based_actor* self, witness* seen) {
  self->set_default_handler(caf::drop);
  return {
      [](const v1::Hello&) { return v1::HelloRefused{}; },
      [seen](const peer_change& c) { seen->note([&](auto& f) { f.changes.push_back(c); }); },
      [seen](node_id, const v1::RenewLeases& m) { seen->note([&](auto& f) { f.renewals.push_back(m.number()); }); },
      [seen](node_id, const v1::Accept& m) {
        seen->note([&](auto& f) {
          f.accepts.push_back(m.number());
          f.accept_bytes += m.record().size();
          if (m.record().size() >= (1U << 20) && !f.renewals_before_large)
            f.renewals_before_large = f.renewals.size();
        });
      },
      [seen](const unsent& u) {
        seen->note([&](auto& f) { f.unsent.emplace_back(u.operation.id().number(), u.why); });
      },
  };
}

cluster two_members(std::uint16_t port_of_2) {
  cluster c;
  c.name = "link-test";
  c.replicas = 2;
  c.members = {{{1}, "one", "eu", "127.0.0.1", 0}, {{2}, "two", "us", "127.0.0.1", port_of_2}};
  return c;
}

struct party_options {
  nanoseconds delay{0};
  bool real_membership = false;
  std::size_t clients_max = 16;
};

/// One node: system, transport, door, and a link to every other member. Actors that own messages are one witness.
class party {
public:
  party(const cluster& shape, node_id self, incarnation life, party_options options = {})
      : board_{std::make_shared<switchboard>()} {
    configure(config_);
    system_.emplace(config_);
    wires_ = std::make_unique<basp_transport>(*system_, shape, self);
    owner_ = system_->spawn(owner, &seen);
    board_->self = self;
    board_->replica = caf::actor_cast<replica_actor>(owner_);
    board_->strong_manager = caf::actor_cast<strong_manager_actor>(owner_);
    board_->membership = caf::actor_cast<membership_actor>(owner_);
    if (options.real_membership)
      board_->membership = spawn_membership(
          *system_,
          {{&clock_, board_, nullptr, {}}, nullptr, {.shape = shape, .self = self, .remembered_disks = {}}});
    link_config links;
    links.self = make_hello({.cluster = shape.name,
                             .configuration = shape.hash(),
                             .configuration_text = shape.describe(),
                             .node = self,
                             .life = life,
                             .disk = is_client(self) ? 0U : self.value,
                             .name = to_string(self),
                             .region = "eu"});
    links.delay = options.delay;
    links.clock = &clock_;
    links.wires = wires_.get();
    links.board = board_;
    for (const auto& m : shape.members) {
      if (m.id == self) continue;
      auto to_member = links;
      to_member.peer = m.id;
      to_member.peer_name = m.name;
      to_member.dials = dials(self, m.id);
      board_->links.emplace(m.id, spawn_link(*system_, std::move(to_member)));
    }
    board_->door = spawn_door(*system_, {.links = links, .self = self, .clients_max = options.clients_max});
    wires_->listen(board_->door);
    for (const auto& [peer, link] : board_->links)
      caf::anon_send(link, tick_atom::value);
  }

  ~party() {
    std::vector<caf::actor> ending{board_->door, owner_, caf::actor_cast<caf::actor>(board_->membership)};
    for (const auto& [peer, link] : board_->links)
      ending.push_back(caf::actor_cast<caf::actor>(link));
    for (const auto& a : ending)
      caf::anon_send_exit(a, caf::exit_reason::kill);
    *board_ = switchboard{};
    owner_ = nullptr;
    ending.clear();
    wires_.reset();
  }

  std::uint16_t port() const { return wires_->port(); }
  void post(node_id to, v1::Envelope e) const { board_->post(to, std::move(e)); }
  const switchboard& board() const { return *board_; }

  link_status status(node_id peer) {
    caf::scoped_actor self{*system_};
    std::optional<link_status> found;
    self->request(board_->links.at(peer), patience, status_atom::value)
        .receive([&](const link_status& s) { found = s; }, [](caf::error&) {});
    REQUIRE(found);
    return *found;
  }

  door_status door() {
    caf::scoped_actor self{*system_};
    std::optional<door_status> found;
    self->request(board_->door, patience, status_atom::value)
        .receive([&](const door_status& s) { found = s; }, [](caf::error&) {});
    REQUIRE(found);
    return *found;
  }

  /// Asks again and again until the answer satisfies; each question waits for the actor, so this yields to it.
  template <class Ask, class Condition> bool await(Ask ask, Condition condition) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < until) {
      if (condition((this->*ask)())) return true;
      std::this_thread::yield();
    }
    return false;
  }

  bool await_changes(std::size_t n) {
    return seen.await([n](const auto& f) { return f.changes.size() >= n; });
  }

  witness seen;

private:
  boot_clock clock_;
  caf::actor_system_config config_;
  std::optional<caf::actor_system> system_;
  std::unique_ptr<basp_transport> wires_;
  std::shared_ptr<switchboard> board_;
  caf::actor owner_;
};

constexpr node_id one{1}, two{2};

v1::Envelope renewal(std::uint64_t number) {
  v1::Envelope e;
  e.mutable_renew_leases()->set_number(number);
  return e;
}

v1::Envelope accept(std::uint64_t number, std::size_t bytes) {
  v1::Envelope e;
  e.mutable_accept()->set_number(number);
  e.mutable_accept()->set_record(std::string(bytes, 'r'));
  return e;
}

v1::Envelope operation(std::uint64_t number) {
  v1::Envelope e;
  e.mutable_operation()->mutable_id()->set_number(number);
  return e;
}

/// 2 listens on a free port, 1 dials it.
struct pair {
  explicit pair(party_options options = {})
      : b(std::in_place, two_members(0), two, incarnation{1}, options),
        a(std::in_place, two_members(b->port()), one, incarnation{1}, options) {}

  void await_up() {
    REQUIRE(a->await_changes(1));
    REQUIRE(b->await_changes(1));
  }

  std::optional<party> b, a;
};

} // namespace

TEST_CASE("link: two members come up, and membership hears of it on both sides") {
  pair nodes;
  nodes.await_up();
  const auto at_a = nodes.a->seen.read().changes.front();
  CHECK(at_a.peer == two);
  CHECK(at_a.up);
  CHECK(at_a.life == incarnation{1});
  CHECK(nodes.b->seen.read().changes.front().peer == one);
  const auto status = nodes.a->status(two);
  CHECK(status.up);
  CHECK(status.connections == 1);
  CHECK(status.last_refusal.empty());
}

TEST_CASE("link: ten thousand messages of mixed size each way arrive once, in order within their lane") {
  pair nodes;
  nodes.await_up();
  constexpr std::uint64_t each = 5'000; // per lane and direction
  std::size_t bytes = 0;
  for (std::uint64_t n = 1; n <= each; ++n) {
    const std::size_t size = n % 500 == 0 ? 150'000 : n % 7 * 100;
    bytes += size;
    nodes.a->post(two, accept(n, size));
    nodes.b->post(one, accept(n, size));
    nodes.a->post(two, renewal(n));
    nodes.b->post(one, renewal(n));
  }
  for (auto* at : {&*nodes.a, &*nodes.b}) {
    REQUIRE(at->seen.await([](const auto& f) { return f.accepts.size() == each && f.renewals.size() == each; }));
    const auto facts = at->seen.read();
    std::vector<std::uint64_t> small, large; // two lanes: a small record does not wait for a large one
    for (auto n : facts.accepts)
      (n % 500 == 0 ? large : small).push_back(n);
    CHECK(std::is_sorted(small.begin(), small.end()));
    CHECK(std::is_sorted(large.begin(), large.end()));
    CHECK(std::is_sorted(facts.renewals.begin(), facts.renewals.end()));
    CHECK(facts.accept_bytes == bytes);
  }
  const auto status = nodes.a->status(two);
  CHECK(status.frames_refused == 0);
  CHECK(status.dropped_messages == 0);
  CHECK(status.connections == 1);
}

TEST_CASE("link: a value of 8 MiB passes, and a renewal that was posted behind it arrives before it") {
  pair nodes;
  nodes.await_up();
  nodes.a->post(two, accept(1, std::size_t{8} << 20));
  for (std::uint64_t n = 1; n <= 20; ++n)
    nodes.a->post(two, renewal(n));
  REQUIRE(nodes.b->seen.await([](const auto& f) { return f.accepts.size() == 1 && f.renewals.size() == 20; }));
  const auto facts = nodes.b->seen.read();
  CHECK(facts.accept_bytes == std::size_t{8} << 20);
  REQUIRE(facts.renewals_before_large);
  CHECK(*facts.renewals_before_large >= 1);
}

TEST_CASE("link: a peer of another configuration is refused with both values named, and retried") {
  auto shape = two_members(0);
  party b{shape, two, {1}, {.real_membership = true}};
  auto other = two_members(b.port());
  other.lease = milliseconds{500};
  party a{other, one, {1}, {.real_membership = true}};
  REQUIRE(a.await(&party::door, [](const auto&) { return true; }));
  auto refused = [](const link_status& s) { return !s.last_refusal.empty(); };
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!refused(a.status(two)) && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  for (const auto& status : {a.status(two), b.status(one)}) { // who was refused, and who refused
    CHECK_FALSE(status.up);
    CHECK(status.connections == 0);
    CHECK(status.refusals >= 1);
    CHECK(status.last_refusal == "configuration: n1 has lease_ms=500, two has lease_ms=400");
  }
  CHECK(b.door().refused >= 1);
  CHECK(b.door().last_refusal.empty()); // it stands with the peer
}

TEST_CASE("link: an operation that no frame will ever carry is handed back with the reason") {
  pair nodes;
  nodes.await_up();
  auto e = operation(7);
  e.mutable_operation()->mutable_compare_and_set()->set_expected(std::string(limits::value_bytes_max, 'e'));
  e.mutable_operation()->mutable_compare_and_set()->set_value(std::string(limits::value_bytes_max, 'v'));
  nodes.a->post(two, std::move(e));
  REQUIRE(nodes.a->seen.await([](const auto& f) { return !f.unsent.empty(); }));
  CHECK(nodes.a->seen.read().unsent.front() == std::pair{std::uint64_t{7}, errc::value_too_large});
}

TEST_CASE("link: when a peer dies the other side hears of it at once, and a restarted one is found again") {
  pair nodes;
  nodes.await_up();
  const auto port = nodes.b->port();
  nodes.b.reset();
  REQUIRE(nodes.a->await_changes(2));
  CHECK_FALSE(nodes.a->seen.read().changes[1].up);
  nodes.a->post(two, operation(7)); // nobody there: it comes back
  REQUIRE(nodes.a->seen.await([](const auto& f) { return !f.unsent.empty(); }));
  CHECK(nodes.a->seen.read().unsent.front() == std::pair{std::uint64_t{7}, errc::none});

  nodes.b.emplace(two_members(port), two, incarnation{2});
  REQUIRE(nodes.a->await_changes(3));
  CHECK(nodes.a->seen.read().changes[2].up);
  CHECK(nodes.a->seen.read().changes[2].life == incarnation{2});
  REQUIRE(nodes.b->await_changes(1));
  nodes.b->post(one, renewal(1));
  CHECK(nodes.a->seen.await([](const auto& f) { return f.renewals.size() == 1; }));
}

TEST_CASE("link: the dialler dies and comes back while the listener stays") {
  pair nodes;
  nodes.await_up();
  nodes.a.reset();
  REQUIRE(nodes.b->await_changes(2));
  CHECK_FALSE(nodes.b->seen.read().changes[1].up);
  nodes.a.emplace(two_members(nodes.b->port()), one, incarnation{2});
  REQUIRE(nodes.b->await_changes(3));
  CHECK(nodes.b->seen.read().changes[2].life == incarnation{2});
}

TEST_CASE("link: a violation closes the connection on both sides, and a new one follows") {
  pair nodes;
  nodes.await_up();
  v1::Frame wrong;
  wrong.set_connection(12'345);
  caf::anon_send(nodes.a->board().links.at(two), wrong);
  REQUIRE(nodes.a->await_changes(3)); // up, down, up
  REQUIRE(nodes.b->await_changes(3));
  const auto status = nodes.a->status(two);
  CHECK(status.frames_refused == 1);
  CHECK(status.connections == 2);
  nodes.a->post(two, renewal(1));
  CHECK(nodes.b->seen.await([](const auto& f) { return f.renewals.size() == 1; }));
}

TEST_CASE("link: an injected delay is seen in the round trip, and keeps the order") {
  pair nodes{{.delay = milliseconds{30}}};
  nodes.await_up();
  for (std::uint64_t n = 1; n <= 1'000; ++n)
    nodes.a->post(two, accept(n, 100));
  REQUIRE(nodes.b->seen.await([](const auto& f) { return f.accepts.size() == 1'000; }));
  const auto accepts = nodes.b->seen.read().accepts;
  CHECK(std::is_sorted(accepts.begin(), accepts.end()));
  const auto until = std::chrono::steady_clock::now() + patience;
  while (nodes.a->status(two).round_trip_us == 0 && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  CHECK(nodes.a->status(two).round_trip_us >= 60'000);
  CHECK(nodes.a->status(two).round_trip_us < 1'000'000);
}

TEST_CASE("door: client nodes get links of their own, are bounded, and are forgotten when they leave") {
  constexpr node_id first{client_node_bit | 1}, second{client_node_bit | 2};
  cluster shape = two_members(0);
  shape.members.erase(shape.members.begin()); // only member 2
  shape.replicas = 1;
  party member{shape, two, {1}, {.clients_max = 1}};
  shape.members.front().port = member.port();
  std::optional<party> client{std::in_place, shape, first, incarnation{9}};
  REQUIRE(client->await_changes(1));
  REQUIRE(member.await_changes(1));
  CHECK(member.seen.read().changes.front().peer == first);
  member.post(first, renewal(1)); // through the door
  CHECK(client->seen.await([](const auto& f) { return f.renewals.size() == 1; }));
  client->post(two, renewal(2));
  CHECK(member.seen.await([](const auto& f) { return f.renewals.size() == 1; }));

  {
    party refused{shape, second, {1}};
    const auto until = std::chrono::steady_clock::now() + patience;
    while (refused.status(two).last_refusal.empty() && std::chrono::steady_clock::now() < until)
      std::this_thread::yield();
    CHECK(refused.status(two).last_refusal == "1 client nodes are connected already");
  }
  client.reset();
  CHECK(member.await(&party::door, [](const door_status& d) { return d.clients == 0; }));
  CHECK_FALSE(member.seen.read().changes.back().up);
  member.post(first, renewal(3));
  CHECK(member.await(&party::door, [](const door_status& d) { return d.dropped == 1; }));
}

TEST_CASE("door: what is no hello is counted and dropped, and the door stays open") {
  pair nodes;
  nodes.await_up();
  caf::anon_send(nodes.b->board().door, std::string{"who is there"});
  caf::anon_send(nodes.b->board().door, caf::make_message());
  caf::anon_send(nodes.b->board().door, caf::make_error(caf::sec::runtime_error));
  caf::anon_send(nodes.b->board().door, v1::Hello{}); // from nobody
  CHECK(nodes.b->await(&party::door, [](const door_status& d) { return d.dropped == 4; }));
  CHECK(nodes.b->door().refused == 0);
}

TEST_CASE("transport: an address that cannot be bound is named, and no host never means every host") {
  auto shape = two_members(0);
  party b{shape, two, {1}};
  shape.members[1].port = b.port();
  caf::actor_system_config config;
  configure(config);
  caf::actor_system system{config};
  witness seen;
  auto door = system.spawn(owner, &seen);
  auto why_not = [&](const cluster& c) -> std::string {
    basp_transport wires{system, c, two};
    try {
      wires.listen(door);
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return {};
  };
  CHECK(why_not(shape).find("127.0.0.1:" + std::to_string(b.port())) != std::string::npos);
  shape.members[1].host.clear();
  CHECK(why_not(shape).find("no host") != std::string::npos);
  shape.members[1].host = "127.0.0.1";
  shape.members[1].port = 0;
  CHECK(why_not(shape).empty()); // the control
  caf::anon_send_exit(door, caf::exit_reason::kill);
}
