// The receiving half of an update stream (PROTOCOLS §4).
#include "tests/support/stream_script.hpp"

#include <functional>

using namespace troupe;
using namespace troupe::script;

TEST_CASE("inbound: a connection begins with what is durable here, or with nothing") {
  scripted_inbound s{scripted_inbound::usual(), false};
  CHECK(s.connect() == "positions");
  s.core.restored(ordered, 3, 7);
  s.core.restored(ordered, 5, 2);
  s.core.restored(eventual, 5, 9);
  CHECK(s.connect() == "positions ordered 5:2 ordered 3:7 free 5:9");
}

TEST_CASE("inbound: E2: nothing is acknowledged before it is durable, and acknowledgements gather until a flush") {
  scripted_inbound s;
  CHECK(s.receive(s.message(0, 2)) == "accept n1.5 ordered [1 2] upto 2 clock 20");
  CHECK(s.receive(s.message(2, 3)) == "accept n1.5 ordered [3] upto 3 clock 30");
  CHECK(s.flush() == "");
  s.core.durable(ordered, 5, 2);
  s.core.durable(ordered, 5, 3);
  CHECK(s.core.wants_flush());
  CHECK(s.flush() == "positions ordered 5:3");
  CHECK(s.flush() == "");
}

TEST_CASE("inbound: a prefix, a clock and an end are handed on without updates") {
  scripted_inbound s;
  auto m = s.message(0, 4);
  m.clear_updates();
  CHECK(s.receive(m) == "accept n1.5 ordered [] upto 4 clock 40");
  m.set_after(4);
  m.set_clock(55);
  CHECK(s.receive(m) == "accept n1.5 ordered [] upto 4 clock 55");
  m.set_ended(true);
  CHECK(s.receive(m) == "accept n1.5 ordered [] upto 4 clock 55 ended");
  CHECK(s.receive(m) == ""); // no news
  CHECK(s.core.counted().duplicates == 1);
}

TEST_CASE("inbound: what is there already is left out, and answered by what is durable") {
  scripted_inbound s;
  s.receive(s.message(0, 3));
  CHECK(s.receive(s.message(1, 5)) == "accept n1.5 ordered [4 5] upto 5 clock 50");
  s.core.durable(ordered, 5, 3);
  s.flush();
  CHECK(s.receive(s.message(2, 4)) == "");
  CHECK(s.flush() == "positions ordered 5:3");
  CHECK(s.core.counted().duplicates == 2 + 1 + 2);
}

TEST_CASE("inbound: an origin that does not know what is here is told again") {
  scripted_inbound s;
  s.receive(s.message(0, 3));
  s.core.durable(ordered, 5, 3);
  CHECK(s.flush() == "positions ordered 5:3");
  s.core.durable(ordered, 5, 3);
  CHECK(s.flush() == "");
  s.core.state_again(ordered, 5);
  CHECK(s.flush() == "positions ordered 5:3");
  s.core.state_again(ordered, 6); // nothing is here of that life
  CHECK(s.flush() == "");
}

TEST_CASE("inbound: a gap drops the message, and is asked for once and then now and then") {
  scripted_inbound s;
  s.receive(s.message(0, 1));
  s.core.durable(ordered, 5, 1);
  CHECK(s.receive(s.message(2, 3)) == "");
  CHECK(s.noted == "stream.gap peer=n1 lane=0 life=5 after=2 upto=3 taken=1");
  CHECK(s.receive(s.message(3, 4)) == "");
  CHECK(s.flush() == "positions ordered 5:1 again");
  CHECK(s.receive(s.message(4, 5)) == "");
  CHECK(s.flush() == "");
  CHECK(s.core.counted().gaps == 3);
  CHECK(s.core.wake_at() == start + 250ms);
  CHECK(s.tick(250ms) == "positions ordered 5:1 again");
  CHECK(s.receive(s.message(1, 5)) == "accept n1.5 ordered [2 3 4 5] upto 5 clock 50");
  CHECK(s.core.wake_at() == never);
}

TEST_CASE("inbound: X1: what the disk cannot follow is dropped, and asked for when half of the bound is free") {
  auto o = scripted_inbound::usual();
  o.unsynced_bytes = 400;
  scripted_inbound s{o};
  s.receive(s.message(0, 2));
  s.receive(s.message(2, 4));
  CHECK(s.core.unsynced_bytes(ordered) == 400);
  CHECK(s.receive(s.message(4, 5)) == "");
  CHECK(s.receive(s.message(5, 6)) == ""); // a gap by now
  CHECK(s.core.counted().full == 1);
  CHECK(s.flush() == "");
  CHECK(s.tick(1s) == ""); // there is no room yet
  auto free = s.message(0, 1);
  free.set_lane(v1::FREE);
  CHECK(s.receive(free) == "accept n1.5 free [1] upto 1 clock 10"); // the other lane has its own
  s.core.durable(ordered, 5, 4);
  CHECK(s.flush() == "positions ordered 5:4 again");
  CHECK(s.receive(s.message(4, 6)) == "accept n1.5 ordered [5 6] upto 6 clock 60");
}

TEST_CASE("inbound: X1: one message always may be taken, whatever it weighs") {
  auto o = scripted_inbound::usual();
  o.unsynced_bytes = 10;
  scripted_inbound s{o};
  CHECK(s.receive(s.message(0, 3)) == "accept n1.5 ordered [1 2 3] upto 3 clock 30");
  CHECK(s.receive(s.message(3, 4)) == "");
}

TEST_CASE("inbound: what a new connection repeats is accepted once, durable or not") {
  scripted_inbound s;
  s.receive(s.message(0, 3));
  s.core.durable(ordered, 5, 1);
  s.core.disconnected();
  CHECK(s.receive(s.message(3, 4)) == "");
  CHECK(s.noted == "stream.updates_ignored peer=n1 why=disconnected lane=0 life=5 after=3 upto=4");
  CHECK(s.flush() == "");
  CHECK(s.connect() == "positions ordered 5:1");
  CHECK(s.receive(s.message(1, 4)) == "accept n1.5 ordered [4] upto 4 clock 40");
}

TEST_CASE("inbound: a catch-up may bring more than the stream did; the stream goes on behind it") {
  scripted_inbound s;
  s.receive(s.message(0, 1));
  s.receive(s.message(5, 6)); // a gap
  s.core.durable(ordered, 5, 8);
  CHECK(s.flush() == "positions ordered 5:8");
  CHECK(s.receive(s.message(7, 9)) == "accept n1.5 ordered [9] upto 9 clock 90");
}

TEST_CASE("inbound: malformed messages are dropped whole, each with its reason") {
  scripted_inbound s;
  s.receive(s.message(0, 1));
  struct wrong {
    stream_refusal why;
    std::function<void(v1::Updates&)> make;
  };
  const wrong cases[] = {
      {stream_refusal::no_life, [](auto& m) { m.set_life(0); }},
      {stream_refusal::unknown_lane, [](auto& m) { m.set_lane(static_cast<v1::Lane>(2)); }},
      {stream_refusal::backwards, [](auto& m) { m.set_upto(0); }},
      {stream_refusal::unsorted, [](auto& m) { m.mutable_updates(1)->set_seq(2); }},
      {stream_refusal::out_of_range, [](auto& m) { m.mutable_updates(1)->set_seq(4); }},
      {stream_refusal::out_of_range, [](auto& m) { m.mutable_updates(0)->set_seq(1); }},
      {stream_refusal::foreign_shard, [](auto& m) { m.mutable_updates(1)->set_shard(1); }},
      {stream_refusal::foreign_shard, [](auto& m) { m.mutable_updates(1)->set_shard(2); }},
      {stream_refusal::bad_key, [](auto& m) { m.mutable_updates(0)->clear_key(); }},
      {stream_refusal::bad_key, [](auto& m) { m.mutable_updates(0)->set_key(std::string(1'025, 'k')); }},
      {stream_refusal::bad_key, [](auto& m) { m.mutable_updates(0)->set_field(std::string(1'025, 'k')); }},
      {stream_refusal::bad_update, [](auto& m) { m.mutable_updates(0)->set_kind(static_cast<v1::Update::Kind>(7)); }},
      {stream_refusal::bad_update, [](auto& m) { m.mutable_updates(0)->set_clock(0); }},
      {stream_refusal::bad_update, [](auto& m) { m.mutable_updates(0)->set_decrements(-1); }},
      {stream_refusal::too_large,
       [](auto& m) { m.mutable_updates(0)->set_value(std::string(limits::value_bytes_max + 1, 'v')); }},
      {stream_refusal::too_large,
       [](auto& m) {
         for (std::size_t i = 0; i <= limits::stream_vector_entries_max; ++i)
           m.mutable_updates(0)->mutable_depends()->add_entries();
       }},
  };
  std::uint64_t refused = 0;
  for (const auto& c : cases) {
    auto m = s.message(1, 3);
    c.make(m);
    s.noted.clear();
    CHECK(s.receive(m) == "");
    CHECK(s.noted.starts_with("stream.updates_refused peer=n1 why=" + std::string{name_of(c.why)} + " "));
    CHECK(s.core.counted().refusals() == ++refused);
  }
  CHECK(s.flush() == "");
  CHECK(s.core.taken(ordered, 5) == 1);
  CHECK(s.receive(s.message(1, 3)) == "accept n1.5 ordered [2 3] upto 3 clock 30");
}

TEST_CASE("inbound: nothing comes after the end of a life, and its end does not move") {
  scripted_inbound s;
  auto m = s.message(0, 3);
  m.set_ended(true);
  CHECK(s.receive(m) == "accept n1.5 ordered [1 2 3] upto 3 clock 30 ended");
  CHECK(s.receive(s.message(3, 4)) == "");
  auto earlier = s.message(0, 2);
  earlier.set_ended(true);
  CHECK(s.receive(earlier) == "");
  CHECK(s.core.counted().refused[static_cast<std::size_t>(stream_refusal::beyond_the_end)] == 2);
  m.set_life(6); // the next one is another matter
  m.set_ended(false);
  CHECK(s.receive(m) == "accept n1.6 ordered [1 2 3] upto 3 clock 30");
}

TEST_CASE("inbound: X1: lives are learnt up to a bound") {
  auto o = scripted_inbound::usual();
  o.lives_max = 1;
  scripted_inbound s{o};
  s.receive(s.message(0, 1));
  auto m = s.message(0, 1);
  m.set_life(6);
  CHECK(s.receive(m) == "");
  CHECK(s.core.counted().refused[static_cast<std::size_t>(stream_refusal::too_many_lives)] == 1);
}

TEST_CASE("inbound: X1: a statement of positions is bounded, and begins with the newest lives") {
  auto o = scripted_inbound::usual();
  o.positions_max = 2;
  scripted_inbound s{o, false};
  for (std::uint64_t life = 1; life <= 4; ++life)
    s.core.restored(ordered, life, 10 * life);
  CHECK(s.connect() == "positions ordered 4:40 ordered 3:30");
}
