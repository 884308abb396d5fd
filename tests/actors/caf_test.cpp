/// <troupe/caf.hpp>: runtimes in a given actor system, and sessions as actors of it.
#include <troupe/caf.hpp>

#include "actors/node_clock.hpp"
#include "tests/actors/three_nodes.hpp"

#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

// The service's own types of messages, with the first numbers that CAF leaves free.
struct service_event {
  int number = 0;
};
template <class Inspector> typename Inspector::result_type inspect(Inspector& f, service_event& e) {
  return f(e.number);
}
CAF_BEGIN_TYPE_ID_BLOCK(service, caf::first_custom_type_id)
CAF_ADD_TYPE_ID(service, (service_event))
CAF_END_TYPE_ID_BLOCK(service)

namespace {

/// A service: its configuration, its types, its system.
struct service {
  struct settings : caf::actor_system_config {
    settings() {
      configure(*this);
      add_message_types<caf::id_block::service>();
    }
  };
  settings configuration;
  caf::actor_system system{configuration};
};

runtime start_ready(caf::actor_system& system, const config& configuration) {
  auto started = start_in(system, configuration);
  if (!started) FAIL(started.error().message());
  if (auto ready = started->wait_ready(20s); !ready) FAIL(ready.error().message());
  return std::move(*started);
}

/// A node that is its whole cluster.
struct lone_cluster : three_nodes {
  explicit lone_cluster(const std::string& name = "demo") {
    base.shape.name = name;
    base.shape.members.resize(1);
    base.shape.replicas = 1;
    create_store("eu-1");
  }
};

template <class T, class Call> result<T> ask(caf::actor_system& system, const session_handle& session, Call call) {
  caf::scoped_actor self{system};
  result<T> outcome = tl::unexpected{error{errc::internal, "nothing came"}};
  self->request(session, 30s, std::move(call))
      .receive([&](T& value) { outcome = std::move(value); },
               [&](const caf::error& why) { outcome = tl::unexpected{error_of(why)}; });
  return outcome;
}

template <class T> std::string words_of(const result<T>& r) { return r ? "" : r.error().message(); }

} // namespace

TEST_CASE("caf: an actor of the service asks a session's actor, and is answered every kind of call") {
  const lone_cluster cluster;
  service host;
  auto node = start_ready(host.system, cluster.of("eu-1"));
  const auto session = value_of(spawn_session(node));

  const auto put = value_of(ask<written>(host.system, session, calls::put{"inventory", "a", "one"}));
  const auto got = value_of(ask<std::optional<found>>(host.system, session, calls::get{"inventory", "a"}));
  REQUIRE(got);
  CHECK(got->value == "one");
  CHECK(got->version == put.version);
  const auto swap = value_of(ask<swapped>(
      host.system, session, calls::compare_and_set{"inventory", "a", {.expected = "two", .value = "three"}}));
  CHECK_FALSE(swap.applied);
  CHECK(swap.current == "one");
  CHECK(value_of(ask<removed>(host.system, session, calls::remove{"inventory", "a"})).existed);
  CHECK_FALSE(value_of(ask<std::optional<found>>(host.system, session, calls::get{"inventory", "a"})));
  CHECK(value_of(ask<added>(host.system, session, calls::add{"inventory", "n", 5})).value == 5);
  CHECK_FALSE(value_of(ask<added>(host.system, session, calls::add{"inventory", "n", -6, {.floor = 0}})).applied);

  SUBCASE("errors keep their names, their details and what may be believed of them") {
    const auto refused = ask<written>(host.system, session, calls::put{"stock", "a", "x"});
    CHECK(error_of(refused) == errc::unknown_type);
    CHECK(words_of(refused).find("configured are") != std::string::npos);
    value_of(ask<written>(host.system, session, calls::put{"inventory", "word", "many"}));
    CHECK(error_of(ask<added>(host.system, session, calls::add{"inventory", "word", 1})) == errc::not_a_number);
    const caf::error ours{static_cast<std::uint8_t>(errc::overloaded), caf::atom("troupe")};
    CHECK(host.system.render(ours).find("overloaded: a bounded queue is full") == 0);
    CHECK(error_of(caf::make_error(caf::sec::request_timeout)).unknown());
    CHECK(error_of(caf::make_error(caf::sec::request_receiver_down)).not_done());
  }
  SUBCASE("in the order of the requests, a thousand of them under way") {
    std::promise<std::vector<std::int64_t>> sums;
    const auto network = host.system.middleman().backend().thread_id();
    host.system.spawn([&, network](caf::event_based_actor* self) {
      auto seen = std::make_shared<std::vector<std::int64_t>>();
      for (int i = 0; i < 1000; ++i)
        self->request(session, caf::infinite, calls::add{"inventory", "line", 1, {.floor = {}, .deadline = 20s}})
            .then(
                [=, &sums](const added& now) {
                  CHECK(std::this_thread::get_id() != network); // answers do not draw the service's actors there
                  seen->push_back(now.value);
                  if (seen->size() == 1000) sums.set_value(*seen);
                },
                [=, &sums](const caf::error&) { sums.set_value({}); });
    });
    auto told = sums.get_future();
    REQUIRE(told.wait_for(30s) == std::future_status::ready);
    const auto order = told.get();
    REQUIRE(order.size() == 1000);
    CHECK(std::is_sorted(order.begin(), order.end()));
    CHECK(order.back() == 1000);
  }
  SUBCASE("a stopped runtime ends its sessions' actors, and leaves the system and its actors alone") {
    const auto own = host.system.spawn([](caf::event_based_actor*) -> caf::behavior {
      return {[](const service_event& e) { return e.number + 1; }};
    });
    CHECK(node.stop(10s));
    CHECK(error_of(ask<written>(host.system, session, calls::put{"inventory", "b", "x"})) == errc::shutting_down);
    CHECK(error_of(spawn_session(node)) == errc::shutting_down);
    caf::scoped_actor self{host.system};
    int answer = 0;
    self->request(own, 20s, service_event{41}).receive([&](int x) { answer = x; }, [](caf::error&) {});
    CHECK(answer == 42);
  }
  SUBCASE("it starts again in the same system, with what it has stored") {
    for (int i = 0; i < 3; ++i) {
      CHECK(node.stop(10s));
      node = start_ready(host.system, cluster.of("eu-1"));
      const auto again = value_of(spawn_session(node));
      CHECK(value_of(ask<added>(host.system, again, calls::add{"inventory", "n", 1})).value == 6 + i);
    }
  }
  SUBCASE("calls that wait, and stop(), are refused on the thread of the network") {
    std::promise<std::vector<errc>> refused;
    auto s = node.open_session();
    host.system.middleman().backend().post([&] {
      refused.set_value({error_of(s.put("inventory", "a", "x")), error_of(node.stop(1s)),
                         error_of(node.wait_ready(1s)), error_of(s.async().put("inventory", "a", "x").get())});
    });
    CHECK(refused.get_future().get() == std::vector(4, errc::invalid_argument));
    value_of(s.put("inventory", "a", "y"));
  }
}

TEST_CASE("caf: a runtime in a given system is a node as any other, alone, stopped and started again") {
  three_nodes cluster;
  for (const auto& m : cluster.base.shape.members)
    cluster.create_store(m.name);
  auto us = cluster.start("us-1");
  auto ap = cluster.start("ap-1");
  service host;
  auto eu = start_ready(host.system, cluster.of("eu-1"));
  auto elsewhere = us.open_session();
  for (int i = 0; i < 2; ++i) {
    const auto session = value_of(spawn_session(eu));
    const auto key = "k" + std::to_string(i);
    value_of(ask<written>(host.system, session, calls::put{"inventory", key, "v", {.deadline = 20s}}));
    CHECK(value_of(elsewhere.get("inventory", key, {.deadline = 20s})));
    CHECK(eu.stop(10s));
    value_of(elsewhere.put("inventory", "meanwhile", "x", {.deadline = 20s}));
    eu = start_ready(host.system, cluster.of("eu-1"));
  }
  SUBCASE("another of its cluster is refused there, by name; a client node of the cluster, too") {
    const auto second = start_in(host.system, cluster.of("web"));
    CHECK(error_of(second) == errc::invalid_argument);
    CHECK(words_of(second).find("a node of the cluster \"demo\" runs in this actor system") != std::string::npos);
    CHECK(eu.stop(10s));
    auto web = start_ready(host.system, cluster.of("web")); // its place is free
    value_of(web.open_session().put("inventory", "k", "w", {.deadline = 20s}));
    CHECK(web.stop(10s));
  }
  SUBCASE("one of another cluster runs beside it") {
    lone_cluster other{"other"};
    auto beside = start_ready(host.system, other.of("eu-1"));
    value_of(beside.open_session().put("inventory", "k", "here", {.deadline = 20s}));
    value_of(eu.open_session().put("inventory", "k", "there", {.deadline = 20s}));
    CHECK(value_of(beside.open_session().get("inventory", "k"))->value == "here");
    CHECK(beside.stop(10s));
    value_of(eu.open_session().put("inventory", "k", "still there", {.deadline = 20s}));
  }
}

TEST_CASE("caf: a system that cannot carry a node is refused, and the error names what it lacks") {
  const lone_cluster cluster;
  const auto refusal_in = [&](caf::actor_system_config& settings) {
    caf::actor_system system{settings};
    const auto started = start_in(system, cluster.of("eu-1"));
    CHECK(error_of(started) == errc::invalid_argument);
    return words_of(started);
  };
  const auto contains = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  SUBCASE("made without configure") {
    caf::actor_system_config settings;
    const auto why = refusal_in(settings);
    CHECK(contains(why, "troupe::configure"));
    CHECK(contains(why, "the middleman"));
    CHECK(contains(why, "the message types of Troupe"));
  }
  SUBCASE("with a middleman of its own making") {
    caf::actor_system_config settings;
    settings.load<caf::io::middleman>();
    const auto why = refusal_in(settings);
    CHECK_FALSE(contains(why, "the middleman,"));
    CHECK(contains(why, "a node id that is unique"));
    CHECK(contains(why, "heartbeat-interval = 2s"));
  }
  SUBCASE("with a setting that was changed") {
    caf::actor_system_config settings;
    configure(settings);
    settings.set("middleman.heartbeat-interval", caf::timespan{0});
    const auto why = refusal_in(settings);
    CHECK(contains(why, "heartbeat-interval = 2s"));
    CHECK_FALSE(contains(why, "message types"));
  }
  SUBCASE("a session's actor needs a given system") {
    auto own = cluster.start("eu-1");
    CHECK(error_of(spawn_session(own)) == errc::invalid_argument);
  }
  SUBCASE("and a wrong configuration is an error as ever") {
    service host;
    CHECK(error_of(start_in(host.system, config::from_toml("", "empty.toml"))) == errc::invalid_argument);
  }
}

TEST_CASE("caf: requests that are under way when the runtime stops are answered once each") {
  const lone_cluster cluster;
  service host;
  auto node = start_ready(host.system, cluster.of("eu-1"));
  const auto session = value_of(spawn_session(node));
  constexpr int requests = 2'000;
  struct tally {
    int answered = 0, done = 0, not_done = 0;
    std::promise<void> halfway, all;
  };
  auto counted = std::make_shared<tally>();
  host.system.spawn([=](caf::event_based_actor* self) {
    const auto count = [=](bool done, bool not_done) {
      counted->done += done ? 1 : 0;
      counted->not_done += not_done ? 1 : 0;
      if (++counted->answered == requests / 20) counted->halfway.set_value();
      if (counted->answered == requests) counted->all.set_value();
    };
    for (int i = 0; i < requests; ++i)
      self->request(session, caf::infinite,
                    calls::put{"inventory", "k" + std::to_string(i % 8), "v", {.deadline = 20s}})
          .then([=](const written&) { count(true, false); },
                [=](const caf::error& why) { count(false, error_of(why).not_done()); });
  });
  counted->halfway.get_future().wait();
  CHECK(node.stop(10s));
  REQUIRE(counted->all.get_future().wait_for(20s) == std::future_status::ready);
  CHECK(counted->answered == requests);
  CHECK(counted->done > 0);
}
