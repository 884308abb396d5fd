// Lanes, credit, bounds and time. What breaks the contract, and breaks at random, is in link_contract_test.cpp.
#include "tests/support/link_shipper.hpp"

#include <algorithm>
#include <map>

using namespace troupe;
using namespace troupe::shipping;

namespace {

template <class Effect> std::vector<Effect> all_of(const link_effects& effects) {
  std::vector<Effect> found;
  for (const auto& e : effects)
    if (const auto* x = std::get_if<Effect>(&e)) found.push_back(*x);
  return found;
}

v1::Batch batch_of(const v1::Frame& frame) {
  v1::Batch batch;
  REQUIRE(batch.ParseFromString(frame.batch()));
  return batch;
}

} // namespace

TEST_CASE("link: messages that gather before a flush leave in one frame, and arrive in order") {
  shipper s;
  for (std::uint64_t n = 1; n <= 100; ++n)
    s.post(s.a, operation(n, 10));
  s.flush(s.a);
  CHECK(s.a.sent.size() == 1);
  s.run();
  const auto arrived = numbers(s.b.delivered, lane::bulk);
  REQUIRE(arrived.size() == 100);
  CHECK(std::is_sorted(arrived.begin(), arrived.end()));
}

TEST_CASE("link: the priority lane stands before the bulk lane in every frame") {
  shipper s{tiny()};
  for (std::uint64_t n = 1; n <= 20; ++n) {
    s.post(s.a, operation(n, 20));
    s.post(s.a, renewal(n));
  }
  s.flush(s.a);
  for (const auto& frame : s.a.sent) {
    bool bulk = false;
    const auto batch = batch_of(frame);
    for (const auto& e : batch.envelopes()) {
      if (lane_of(e) == lane::bulk) bulk = true;
      CHECK((lane_of(e) == lane::bulk || !bulk));
    }
  }
  const auto first = batch_of(s.a.sent.front());
  CHECK(lane_of(first.envelopes(0)) == lane::priority);
}

TEST_CASE("link: a large value is cut, a bounded number of pieces per frame, and renewals overtake it") {
  shipper s;
  s.post(s.a, operation(1, std::size_t{8} << 20));
  s.post(s.a, operation(2, 10));
  std::uint64_t renewals = 0;
  bool overtaken = false;
  for (int round = 0; round < rounds_max && s.b.delivered.size() < renewals + 2; ++round) {
    s.now += milliseconds{1};
    if (s.a.stream.queued_bytes() > 0) s.post(s.a, renewal(++renewals));
    s.flush(s.a);
    for (const auto& frame : s.a.sent) {
      const auto batch = batch_of(frame);
      CHECK(batch.chunks_size() <= 2);
      CHECK(frame.batch().size() <= limits::frame_bytes_max + 1'024);
    }
    s.ship(s.a);
    s.ship(s.b);
    if (!s.b.delivered.empty() && lane_of(s.b.delivered.front()) == lane::priority) overtaken = true;
  }
  CHECK(renewals > 10);
  CHECK(overtaken);
  CHECK(numbers(s.b.delivered, lane::bulk) == std::vector<std::uint64_t>{1, 2}); // order within the lane
  CHECK(s.b.stream.counters().frames_refused() == 0);
}

TEST_CASE("link: on a slow path the window shrinks until renewals wait little longer than queueing_max") {
  // 100 Mbit/s, 5 ms each way: 16 MiB of credit alone would put 1.3 s in front of a renewal.
  constexpr double bytes_per_ms = 12'500;
  shipper s;
  struct under_way {
    instant arrives;
    v1::Frame frame;
  };
  std::deque<under_way> pipes[2];
  instant free_at[2] = {s.now, s.now};
  std::map<std::uint64_t, instant> posted;
  nanoseconds worst{0};
  std::uint64_t renewals = 0, values = 0;
  std::size_t seen = 0;
  for (int ms = 0; ms < 6'000; ++ms) {
    s.now += milliseconds{1};
    if (ms % 50 == 0) {
      posted[++renewals] = s.now;
      s.post(s.a, renewal(renewals));
    }
    if (s.a.stream.queued_bytes() < (std::size_t{4} << 20)) s.post(s.a, operation(++values, std::size_t{1} << 20));
    s.flush(s.a);
    if (ms % 50 == 0) s.tick();
    for (auto* from : {&s.a, &s.b}) {
      const auto i = from == &s.a ? 0 : 1;
      for (; !from->sent.empty(); from->sent.pop_front()) {
        const auto takes = nanoseconds(
            static_cast<std::int64_t>(1e6 * static_cast<double>(from->sent.front().batch().size()) / bytes_per_ms));
        free_at[i] = std::max(free_at[i], s.now) + takes;
        pipes[i].push_back({free_at[i] + milliseconds{5}, std::move(from->sent.front())});
      }
    }
    for (auto* from : {&s.a, &s.b}) {
      auto& pipe = pipes[from == &s.a ? 0 : 1];
      for (; !pipe.empty() && pipe.front().arrives <= s.now; pipe.pop_front()) {
        from->sent.push_front(std::move(pipe.front().frame));
        s.ship(*from);
      }
    }
    for (; seen < s.b.delivered.size(); ++seen)
      if (lane_of(s.b.delivered[seen]) == lane::priority && ms > 2'000)
        worst = std::max(worst, s.now - posted.at(number_of(s.b.delivered[seen])));
  }
  MESSAGE("worst delay of a renewal: ", worst.count() / 1'000'000,
          " ms; values that passed: ", numbers(s.b.delivered, lane::bulk).size());
  CHECK(worst > nanoseconds{0});
  CHECK(worst < milliseconds{100});
  CHECK(numbers(s.b.delivered, lane::bulk).size() >= 40); // at least 80 % of what the path carries in 6 s
}

TEST_CASE("link: a sender without credit waits, and goes on when the peer has consumed") {
  auto options = tiny();
  options.queue_bytes = 1 << 20;
  options.queue_messages = 1'000;
  shipper s{options};
  for (std::uint64_t n = 1; n <= 200; ++n)
    s.post(s.a, operation(n, 40));
  s.flush(s.a);
  std::size_t under_way = 0;
  for (const auto& f : s.a.sent)
    under_way += f.batch().size();
  CHECK(under_way <= options.credit_bytes + options.frame_bytes_max);
  CHECK_FALSE(s.a.stream.wants_flush());
  const auto frames = s.a.sent.size();
  s.flush(s.a);
  CHECK(s.a.sent.size() == frames); // still no credit
  s.post(s.a, renewal(1));
  CHECK(s.a.stream.wants_flush()); // but priority
  s.run();
  CHECK(numbers(s.b.delivered, lane::bulk).size() == 200);
  CHECK(s.a.stream.queued_messages() == 0);
}

TEST_CASE("link: credit is told back without being asked once half of the smallest window was consumed") {
  const auto options = tiny();
  shipper s{options};
  s.post(s.a, operation(1, 1)); // carries the first ping; the next is not due while no time passes
  s.run();
  REQUIRE_FALSE(s.b.stream.wants_flush());
  std::size_t sent = 0;
  for (std::uint64_t n = 2; sent < options.window_bytes_min / 2; ++n) {
    CHECK_FALSE(s.b.stream.wants_flush());
    s.post(s.a, operation(n, 40));
    s.flush(s.a);
    const auto& frame = s.a.sent.back();
    CHECK(batch_of(frame).ping() == 0);
    sent += frame.batch().size();
    s.b.stream.receive(frame, s.now, s.b.out);
    s.take(s.b);
  }
  CHECK(s.b.stream.wants_flush());
}

TEST_CASE("link: priority messages are bounded too, by twice the credit and then by the queue") {
  const auto options = tiny();
  shipper s{options};
  for (std::uint64_t n = 1; n <= 1'000; ++n) {
    s.post(s.a, renewal(n));
    s.flush(s.a);
  }
  CHECK(s.a.stream.queued_messages() <= options.queue_messages);
  CHECK_FALSE(s.a.unsent.empty());
  std::size_t under_way = 0;
  for (const auto& f : s.a.sent)
    under_way += f.batch().size();
  CHECK(under_way <= 2 * options.credit_bytes + options.frame_bytes_max);
}

TEST_CASE("link: a full queue, a message that is too large and a peer that is down are reported with the message") {
  const auto options = tiny();
  shipper s{options};
  link_effects out;
  s.a.stream.post(operation(1, options.message_bytes_max), out);
  REQUIRE(all_of<dropped>(out).size() == 1);
  CHECK(all_of<dropped>(out)[0].reason == drop_reason::too_large);
  CHECK(number_of(all_of<dropped>(out)[0].envelope) == 1);
  out.clear();
  for (std::uint64_t n = 1; n <= options.queue_messages + 3; ++n)
    s.a.stream.post(operation(n, 1), out);
  CHECK(all_of<dropped>(out).size() == 3);
  CHECK(all_of<dropped>(out)[0].reason == drop_reason::queue_full);
  CHECK(s.a.stream.queued_messages() == options.queue_messages);
  s.cut();
  out.clear();
  s.a.stream.post(renewal(1), out);
  REQUIRE(all_of<dropped>(out).size() == 1);
  CHECK(all_of<dropped>(out)[0].reason == drop_reason::disconnected);
  CHECK(s.a.stream.counters().messages_dropped == 1 + 3 + options.queue_messages + 1);
}

TEST_CASE("link: when the connection ends, what was not wholly in frames is handed back, the rest is not") {
  auto options = tiny();
  shipper s{options};
  s.post(s.a, operation(1, 10)); // in a frame: unknown
  s.flush(s.a);
  s.post(s.a, operation(2, 3'000)); // begun, not finished: never seen by the peer
  s.flush(s.a);
  CHECK(s.a.stream.queued_messages() == 1);
  s.ship(s.a);
  s.ship(s.a);
  s.post(s.a, operation(3, 10)); // behind it
  s.cut();
  CHECK(numbers(s.a.unsent, lane::bulk) == std::vector<std::uint64_t>{2, 3});
  CHECK(s.b.stream.counters().parts_dropped == 1);
  s.connect();
  s.run();
  CHECK(numbers(s.b.delivered, lane::bulk) == std::vector<std::uint64_t>{1}); // nothing is repeated
}

TEST_CASE("link: a ping measures the round trip, and the maximum is of this connection") {
  shipper s;
  auto exchange = [&s](milliseconds takes) {
    s.now += milliseconds{200};
    s.tick();
    s.now += takes;
    while (s.ship(s.a) || s.ship(s.b)) {
    }
  };
  exchange(milliseconds{40});
  CHECK(s.a.stream.round_trip() == milliseconds{40});
  exchange(milliseconds{7});
  CHECK(s.a.stream.round_trip() == milliseconds{7});
  CHECK(s.a.stream.round_trip_max() == milliseconds{40});
  s.cut();
  s.connect();
  CHECK(s.a.stream.round_trip_max() == nanoseconds{0});
}

TEST_CASE("link: a silent peer is given up after peer_timeout, an idle one is not") {
  shipper s;
  for (int i = 0; i < 100; ++i) { // 5 s of idleness: heartbeats flow
    s.now += milliseconds{50};
    s.tick();
    while (s.ship(s.a) || s.ship(s.b)) {
    }
  }
  CHECK(s.a.ends.empty());
  s.post(s.a, operation(1, 10));
  int ticks = 0;
  for (; s.a.ends.empty() && ticks < 100; ++ticks) { // nothing arrives any more
    s.now += milliseconds{50};
    s.tick();
  }
  CHECK(ticks >= 20);
  CHECK(ticks <= 22);
  CHECK(s.a.ends == std::vector<std::string>{"silent for 1000 ms"});
  CHECK_FALSE(s.a.stream.up());
  CHECK(s.a.stream.counters().silences == 1);
}

TEST_CASE("link: a node that was paused itself reads what has come before it calls the peer silent") {
  shipper s;
  s.now += milliseconds{50};
  s.tick();
  while (s.ship(s.a) || s.ship(s.b)) {
  }
  s.now += std::chrono::seconds{5};
  s.a.stream.tick(s.now, s.a.out);
  s.take(s.a);
  CHECK(s.a.stream.up());
}

TEST_CASE("link: frames of a connection that has ended are ignored") {
  shipper s;
  s.post(s.a, renewal(1));
  s.flush(s.a);
  const auto old = s.a.sent.back();
  s.cut();
  s.b.stream.receive(old, s.now, s.b.out);
  s.connect();
  s.b.stream.receive(old, s.now, s.b.out);
  s.take(s.b);
  CHECK(s.b.stream.up());
  CHECK(s.b.delivered.empty());
  CHECK(s.b.stream.counters().frames_stale == 2);
}
