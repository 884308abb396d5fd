#include "actors/basp_transport.hpp"
#include "actors/io_loop.hpp"
#include "actors/spawn.hpp"

#include <caf/all.hpp>
#include <caf/io/middleman.hpp>
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

using player = caf::typed_actor<caf::replies_to<int>::with<int>, // the answer is one more
                                caf::reacts_to<caf::actor_addr>, // play with it, for ever
                                caf::reacts_to<caf::atom_constant<caf::atom("ball")>>>;
using ball_atom = caf::atom_constant<caf::atom("ball")>;

struct observer {
  std::atomic<std::uint64_t> balls{0};
  std::atomic<int> ended{0}; ///< players
  std::mutex mutex;
  std::set<std::thread::id> threads;

  void saw_this_thread() {
    const std::lock_guard lock{mutex};
    threads.insert(std::this_thread::get_id());
  }
};

struct player_state {
  player other;
  observer* seen = nullptr;

  player_state() = default;
  player_state(const player_state&) = delete;
  player_state& operator=(const player_state&) = delete;
  ~player_state() { ++seen->ended; }
};

player::behavior_type play(player::stateful_pointer<player_state> self, observer* seen) {
  self->state.seen = seen;
  return {
      [=](int x) {
        seen->saw_this_thread();
        return x + 1;
      },
      [=](const caf::actor_addr& other) {
        self->state.other = caf::actor_cast<player>(other);
        caf::anon_send(self->state.other, ball_atom::value);
      },
      [=](ball_atom) {
        ++seen->balls;
        if (self->state.other) caf::anon_send(self->state.other, ball_atom::value);
      },
  };
}

struct stage {
  stage() { loop = std::make_unique<io_loop>(system, system.middleman().backend()); }
  ~stage() {
    for (const auto& p : players)
      caf::anon_send_exit(p, caf::exit_reason::kill);
    players.clear();
    system.await_all_actors_done();
  }
  player spawn() { return players.emplace_back(spawn_on(system, loop.get(), play, &seen)); }

  struct with_network : caf::actor_system_config {
    with_network() { configure(*this); }
  } settings;
  observer seen;
  std::unique_ptr<io_loop> loop; // ends after the system
  caf::actor_system system{settings};
  std::vector<player> players;
};

int ask(stage& s, const player& p, int x) {
  caf::scoped_actor self{s.system};
  int answer = 0;
  self->request(p, 20s, x).receive([&](int y) { answer = y; }, [](caf::error&) {});
  return answer;
}

} // namespace

TEST_CASE("whoever sends, actors of the loop run on one thread, which is not the sender's") {
  stage s;
  const auto a = s.spawn();
  const auto b = s.spawn();
  CHECK(ask(s, a, 1) == 2);
  CHECK(ask(s, b, 2) == 3);
  std::thread{[&] { CHECK(ask(s, a, 3) == 4); }}.join();
  const std::lock_guard lock{s.seen.mutex};
  CHECK(s.seen.threads.size() == 1);
  CHECK(s.seen.threads.count(std::this_thread::get_id()) == 0);
}

TEST_CASE("two actors that never stop talking keep nobody else from the thread") {
  stage s;
  const auto a = s.spawn();
  const auto b = s.spawn();
  const auto c = s.spawn();
  caf::anon_send(a, b.address());
  caf::anon_send(b, a.address());
  for (int i = 0; i < 100; ++i)
    REQUIRE(ask(s, c, i) == i + 1); // comes in through the multiplexer's pipe, behind whose back they play
  CHECK(s.seen.balls > 0);
}

TEST_CASE("actors of the loop have ended once it has awaited them, and others of the system live on") {
  stage s;
  const auto other =
      s.system.spawn([](caf::event_based_actor*) -> caf::behavior { return {[](int x) { return x; }}; });
  for (int i = 0; i < 50; ++i) {
    caf::anon_send(s.spawn(), s.spawn().address()); // they play until they are killed
    caf::anon_send(s.players.back(), s.players[s.players.size() - 2].address());
  }
  CHECK(ask(s, s.players.front(), 1) == 2);
  for (const auto& p : s.players)
    caf::anon_send_exit(p, caf::exit_reason::kill);
  s.loop->await_actors();
  CHECK(s.seen.ended == 100);
  s.loop->await_actors(); // of none
  caf::scoped_actor self{s.system};
  int answer = 0;
  self->request(other, 20s, 7).receive([&](int x) { answer = x; }, [](caf::error&) {});
  CHECK(answer == 7);
  self->send_exit(other, caf::exit_reason::user_shutdown);
}
